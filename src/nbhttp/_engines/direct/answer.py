"""Reads one answer from the bytes of a connection; knows nothing of sockets and loops."""

from typing import NamedTuple

from nbhttp._engines.base import Head
from nbhttp._engines.direct.chunked import ChunkedBody
from nbhttp._engines.framing import (
    check_head,
    check_head_start,
    find_head_end,
    head_too_large,
    match_head,
    parse_head,
)
from nbhttp.errors import BodyTooLargeError, ProtocolError

__all__ = ["AnswerReader", "ReadLimits"]

_MAX_INTERIM = 100
_USUAL_HEAD_BYTES = 8 * 1024


class ReadLimits(NamedTuple):
    """What an answer may be at most.

    Attributes:
        head_bytes: Bytes of a head, and of a chunked body's overhead in a row.
        head_fields: Fields of a head, and of trailers.
    """

    head_bytes: int
    head_fields: int


class AnswerReader:
    """Takes the bytes of one answer as they come and tells content from framing.

    Before the head is complete `head` is None. Then exactly one of these holds: `_chunks` is set
    (chunked body), `_left` counts down to 0 (known length), or both are None (the body ends with
    the connection).

    Args:
        method: The request's method: an answer to HEAD has no body.
        limits: Largest head accepted.
        max_body: Most bytes of body; None is no bound.

    Attributes:
        head: Status and fields of the final answer.
        received: Bytes of content so far.
        expected: Bytes of content announced; None when unknown.
        has_begun: Whether any byte has come.
        is_done: The body has come to its end.
        is_reusable: The connection may carry another exchange; changes to False when bytes
            follow the body.
    """

    __slots__ = (
        "_chunks",
        "_interim",
        "_left",
        "_limits",
        "_max_body",
        "_method",
        "_partial",
        "expected",
        "has_begun",
        "head",
        "is_done",
        "is_reusable",
        "received",
    )

    def __init__(self, method: str, limits: ReadLimits, max_body: int | None) -> None:
        self._method = method
        self._limits = limits
        self._max_body = max_body
        self._partial: bytearray | None = None
        self._interim = 0
        self._chunks: ChunkedBody | None = None
        self._left: int | None = None
        self.head: Head | None = None
        self.received = 0
        self.expected: int | None = None
        self.has_begun = False
        self.is_done = False
        self.is_reusable = False

    def feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Take what arrived and return the content in it, often `data` itself; it may be empty.

        Raises:
            ProtocolError: The answer is not valid HTTP/1.x, or over a limit.
            BodyTooLargeError: The body is, or is announced, larger than `max_body`.
        """
        if self.head is None:
            self.has_begun = True
            data = self._feed_head(data)
            if not data:
                return b""
        if self.is_done:
            self.is_reusable = False
            return b""
        if self._chunks is not None:
            content: bytes | memoryview = self._chunks.feed(data)
            if self._chunks.is_done:
                self.is_done = True
                self.is_reusable = self.is_reusable and not self._chunks.is_dirty
        elif self._left is not None:
            content = data
            self._left -= len(data)
            if self._left < 0:
                content = data[: self._left]
                self.is_reusable = False
            self.is_done = self._left <= 0
        else:
            content = data
        self.received += len(content)
        if self._max_body is not None and self.received > self._max_body:
            raise _too_large(self._max_body)
        return content

    def end(self) -> bool:
        """The peer closed: return whether that ends the answer properly.

        A body without a length ends so, whole or cut: nothing tells the two apart
        (RFC 9112 section 8).
        """
        if self.head is not None and self._chunks is None and self._left is None:
            self.is_done = True
        return self.is_done

    def _feed_head(self, data: bytes | memoryview) -> bytes | memoryview:
        """Read heads until the final one is complete; return the bytes behind it."""
        if self._partial is None:
            # Much of the body may have come along: it is not copied to look at the head.
            matched = match_head(bytes(data[:_USUAL_HEAD_BYTES]))
            if matched is not None and matched[0].status >= 200:
                head, end = matched
                self._check_size(end)
                self._begin(head)
                return data[end:]
            raw = bytes(data)
            end = find_head_end(raw)
        else:
            start = max(len(self._partial) - 2, 0)
            self._partial += data
            end = find_head_end(self._partial, start)
            if end < 0:
                self._check_partial(self._partial)
                return b""
            raw = bytes(self._partial)
            self._partial = None
        while end >= 0:
            self._check_size(end)
            head = parse_head(raw[:end])
            raw = raw[end:]
            if self._is_final(head):
                self._begin(head)
                return raw
            end = find_head_end(raw)
        self._check_partial(raw)
        self._partial = bytearray(raw)
        return b""

    def _check_partial(self, data: bytes | bytearray) -> None:
        check_head_start(data)
        self._check_size(len(data))

    def _check_size(self, size: int) -> None:
        if size > self._limits.head_bytes:
            raise head_too_large(self._limits.head_bytes)

    def _is_final(self, head: Head) -> bool:
        """Count and skip interim answers (RFC 9110 section 15.2)."""
        status = head.status
        if status >= 200 or status == 101:
            return True
        self._interim += 1
        if self._interim > _MAX_INTERIM or status < 100:
            raise ProtocolError(
                f"the server sent status {status}"
                if status < 100
                else f"the server sent over {_MAX_INTERIM} interim answers"
            )
        return False

    def _begin(self, head: Head) -> None:
        """Take the final head."""
        framing = check_head(
            self._method, head, max_bytes=None, max_fields=self._limits.head_fields
        )
        self.head = head
        self.is_reusable = framing.keeps_alive
        self.expected = self._left = framing.length
        if framing.is_chunked:
            self._chunks = ChunkedBody(self._limits.head_bytes, self._limits.head_fields)
        elif framing.length is not None:
            self.is_done = framing.length == 0
            if self._max_body is not None and framing.length > self._max_body:
                raise _too_large(self._max_body, framing.length)


def _too_large(max_body: int, announced: int | None = None) -> BodyTooLargeError:
    size = "over the limit" if announced is None else f"{announced:,} bytes long"
    return BodyTooLargeError(
        f"the answer's body is {size}; max_body is {max_body:,} bytes",
        hint="use download_file() or stream_request() for large bodies, or raise max_body",
    )
