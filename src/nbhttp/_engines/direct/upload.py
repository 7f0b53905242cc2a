"""Frames a request for the wire."""

from collections.abc import AsyncGenerator, AsyncIterable

from nbhttp._engines.base import EngineRequest, RawHeaders
from nbhttp.errors import ProtocolError

__all__ = ["HeadWriter", "framed_body"]

_PIECE_BYTES = 256 * 1024


class HeadWriter:
    """Makes the heads of a connection's requests: most have the same list of fields."""

    __slots__ = ("_fields", "_lines")

    def __init__(self) -> None:
        self._fields: RawHeaders | None = None
        self._lines = b""

    def write(self, request: EngineRequest) -> bytes:
        """Return the request line and the fields, the empty line included (RFC 9112 section 3)."""
        if request.headers is not self._fields:
            self._fields = request.headers
            self._lines = b"".join([b"%b: %b\r\n" % field for field in request.headers])
        method = request.method.encode("ascii")
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, request.target, self._lines)


async def framed_body(request: EngineRequest) -> AsyncGenerator[bytes | memoryview, None]:
    """Yield the body as the request's fields frame it, in pieces for one write each.

    Raises:
        ProtocolError: The iterable gave another number of bytes than Content-Length says.
    """
    body = request.body
    if isinstance(body, bytes):
        view = memoryview(body)
        for start in range(0, len(view), _PIECE_BYTES):
            yield view[start : start + _PIECE_BYTES]
        return
    try:
        fields = {name.lower(): value for name, value in request.headers}
        if b"transfer-encoding" in fields:
            async for piece in body:
                if piece:  # an empty chunk would end the body
                    yield b"%x\r\n%b\r\n" % (len(piece), piece)
            yield b"0\r\n\r\n"
        else:
            async for piece in _counted(body, int(fields.get(b"content-length", b"0"))):
                yield piece
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()  # it may end early; its own `finally` runs now, not when collected


async def _counted(body: AsyncIterable[bytes], length: int) -> AsyncGenerator[bytes, None]:
    """Pass on what adds up to `length`.

    The piece that completes it is held back until the iterable has ended: the server may answer
    as soon as it has come, and then nobody would hear that there was more.
    """
    sent = 0
    last = b""
    async for piece in body:
        sent += len(piece)
        if sent > length:
            raise ProtocolError(
                f"the request's body is longer than the {length:,} bytes its Content-Length says"
            )
        if sent < length:
            yield piece
        else:
            last += piece
    if sent < length:
        raise ProtocolError(
            f"the request's body ended after {sent:,} of the {length:,} bytes "
            "its Content-Length says"
        )
    if last:
        yield last
