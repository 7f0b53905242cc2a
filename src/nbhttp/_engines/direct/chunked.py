"""The chunked coding (RFC 9112 section 7.1), decoded by llhttp."""

import httptools

from nbhttp.errors import ProtocolError

__all__ = ["ChunkedBody"]

# llhttp only decodes chunks behind a head; each body gets this one.
_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class ChunkedBody:
    """Takes a chunked body as it comes and gives its content.

    Args:
        max_overhead: Most bytes in a row that may come without content: chunk sizes with their
            extensions, and trailers, which are checked and dropped.
        max_fields: Most trailer fields.

    Attributes:
        is_done: The last chunk and the trailers have come.
        is_dirty: Bytes came after that.
    """

    def __init__(self, max_overhead: int, max_fields: int) -> None:
        self._max_overhead = max_overhead
        self._max_fields = max_fields
        self._pieces: list[bytes] = []
        self._overhead = 0
        self._fields = 0
        self.is_done = False
        self.is_dirty = False
        self._parser = httptools.HttpResponseParser(self)
        # Old servers pad chunk sizes with spaces; h11 and curl read them too.
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        self._parser.feed_data(_HEAD)
        self._fields = 0

    def feed(self, data: bytes | memoryview) -> bytes:
        """Return the content in `data`; it may be empty.

        Raises:
            ProtocolError: The coding is broken, or the overhead is above its limit.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            if not self.is_done:
                raise ProtocolError(f"the answer's chunked body is damaged: {exc}") from exc
            self.is_dirty = True
        pieces, self._pieces = self._pieces, []
        self._overhead = 0 if pieces else self._overhead + len(data)
        if self._overhead > self._max_overhead or self._fields > self._max_fields:
            raise ProtocolError(
                "the answer's chunked body has too much that is not content: the limit is "
                f"{self._max_overhead:,} bytes in a row, or {self._max_fields} trailer fields"
            )
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def on_body(self, piece: bytes) -> None:
        """Called by the parser with content."""
        self._pieces.append(piece)

    def on_header(self, _name: bytes, _value: bytes) -> None:
        """Called by the parser for each trailer field."""
        self._fields += 1

    def on_message_complete(self) -> None:
        """Called by the parser behind the trailers."""
        self.is_done = True

    def on_message_begin(self) -> None:
        """Called by the parser when something follows the body."""
        self.is_dirty = self.is_done
