"""Watches the bytes of httpcore's connections, so that none carries a forged answer.

h11 keeps bytes that follow a complete body and reads them as the answer to the *next* request on
that connection. Here a parser follows the framing beside it; a connection with such bytes is never
used again (RFC 9112 section 11.2, response splitting).
"""

import contextlib
import select
import socket
import ssl
from collections.abc import Iterable
from typing import Any, cast

import anyio
import httpcore
import httptools

from nbhttp._core.runtime import discard_transport
from nbhttp._engines.base import Phases
from nbhttp.errors import ProtocolError

__all__ = ["WatchingBackend"]

_MAX_INTERIM = 100
_READ_BYTES = 256 * 1024
"""What the transport holds at most; httpcore asks for 64 KiB, and pays for each piece."""
_ONE_WRITE_BYTES = 64 * 1024
"""What a socket takes at once: the refusal of a shorter body is read as any answer."""


class _Framing:
    """httptools' callbacks: whether anything follows the end of the answer."""

    __slots__ = ("interim", "is_complete", "is_head_request", "is_tainted", "parser")

    def __init__(self, *, is_head_request: bool) -> None:
        self.is_head_request = is_head_request
        self.interim = 0
        self.is_complete = False
        self.is_tainted = False
        self.parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        if self.is_tainted:
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # h11 judges the answer; a connection that two parsers read differently is not reused.
            self.is_tainted = True

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.is_tainted = True

    def on_body(self, data: bytes) -> None:
        del data
        if self.is_head_request:  # an answer to HEAD has no body, whatever its fields say
            self.is_tainted = True

    def on_message_complete(self) -> None:
        if self.parser.get_status_code() >= 200:
            self.is_complete = True
        else:
            self.interim += 1


class WatchingBackend(httpcore.AsyncNetworkBackend):
    """Opens the connection of one pool and watches what it receives.

    Args:
        is_watching: False for HTTP/2, whose frames say which request they answer.
    """

    def __init__(self, *, is_watching: bool) -> None:
        self._backend = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        self._is_watching = is_watching
        self._stream: _WatchedStream | None = None
        self._framing = _Framing(is_head_request=False)
        self._phases = Phases()
        self.has_received = False
        self.peer: str | None = None  # known while the connection is open, asked for later

    def begin(self, method: str, phases: Phases) -> None:
        """Start to watch the answer to one request; with its first byte, it is received."""
        self.has_received = False
        if self._is_watching:
            self._framing = _Framing(is_head_request=method == "HEAD")
            self._phases = phases

    def received(self, data: bytes) -> None:
        """Take note of what the connection received.

        Raises:
            ProtocolError: The server sends one interim answer after the other.
        """
        if not data:
            return
        self.has_received = True
        if not self._is_watching:
            return
        if self._phases.running == "wait":
            self._phases.running = "receive"
        self._framing.feed(data)
        if self._framing.interim > _MAX_INTERIM:
            raise ProtocolError(f"the server sent over {_MAX_INTERIM} interim answers")

    def spoil(self) -> None:
        """Never use the connection again."""
        self._framing.is_tainted = True

    def read_size(self, asked: int) -> int:
        """Return how many bytes to read: more than asked for once a body comes; h11 takes any."""
        is_body = self._is_watching and self._phases.running == "receive"
        return max(asked, _READ_BYTES) if is_body else asked

    def is_clean(self) -> bool:
        """Whether nothing followed the last answer, up to now."""
        if self._framing.is_tainted:
            return False
        return self._stream is None or not self._stream.has_unread()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a TCP connection; see httpcore."""
        stream = await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
        self.peer = _peer(stream.get_extra_info("server_addr"))
        self._stream = _WatchedStream(stream, self)
        return self._stream

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a Unix socket; see httpcore."""
        stream = await self._backend.connect_unix_socket(path, timeout, socket_options)
        self._stream = _WatchedStream(stream, self)
        return self._stream

    async def sleep(self, seconds: float) -> None:
        """Sleep; see httpcore."""
        await self._backend.sleep(seconds)

    async def aclose(self) -> None:
        """Close the connection if httpcore lost sight of it (cancelled while connecting)."""
        if self._stream is not None:
            await self._stream.aclose()
            self._stream = None

    def discard(self) -> None:
        """Close the connection at once, on asyncio."""
        if self._stream is not None:
            self._stream.discard()
            self._stream = None


def _peer(address: Any) -> str | None:
    if not isinstance(address, tuple) or len(address) < 2:
        return None
    host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
    return f"{host}:{address[1]}"


class _WatchedStream(httpcore.AsyncNetworkStream):
    """One connection, or the TLS layer on it."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: WatchingBackend) -> None:
        self._stream = stream
        self._anyio: Any = stream._stream  # type: ignore[attr-defined] # noqa: SLF001 - AnyIOStream's
        self._backend = backend
        self._is_wrapped = False
        self._is_closed = False
        self._writes = 0  # since something was read: the head, and pieces of the body
        self._twin: socket.socket | None = None
        self._socket = stream.get_extra_info("socket")
        self._tls = stream.get_extra_info("ssl_object")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data = await self._read(self._backend.read_size(max_bytes), timeout)
        except httpcore.ReadError:
            data = self._last_words()
            if not data:
                raise
            self._backend.spoil()
        self._end_upload()
        self._backend.received(data)
        return data

    async def _read(self, max_bytes: int, timeout: float | None) -> bytes:
        try:
            if timeout is None:
                return await self._read_unbounded(max_bytes)
            return await self._stream.read(max_bytes, timeout)
        except OSError as exc:  # an alert of TLS 1.3 comes with the first read
            raise httpcore.ReadError(exc) from exc

    async def _read_unbounded(self, max_bytes: int) -> bytes:
        """Read without httpcore's limit, which costs 50 µs where another one bounds the call."""
        try:
            data: bytes = await self._anyio.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise httpcore.ReadError(exc) from exc
        return data

    def _last_words(self) -> bytes:
        """Return what arrived before the write that failed; b"" when nothing did.

        A server that refuses an upload answers and closes. The transport meets the broken pipe
        first and closes the socket; its twin has the answer still. (Under TLS it stays unread.)
        """
        words = bytearray()
        with contextlib.suppress(OSError):
            while self._twin is not None and (data := self._twin.recv(_READ_BYTES)):
                words += data
        return bytes(words)

    def _begin_upload(self) -> None:
        """Keep a twin of the socket for `_last_words`."""
        if self._twin is None and self._tls is None and self._socket is not None:
            with contextlib.suppress(OSError):
                of = self._socket
                self._twin = socket.fromfd(of.fileno(), of.family, of.type)
                self._twin.setblocking(False)

    def _end_upload(self) -> None:
        self._writes = 0
        twin, self._twin = self._twin, None
        if twin is not None:
            twin.close()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._writes += bool(buffer)
        if len(buffer) > _ONE_WRITE_BYTES or self._writes > 2:
            self._begin_upload()
        try:
            if timeout is None and buffer:
                await self._write(buffer)
            else:
                await self._stream.write(buffer, timeout)
        except OSError as exc:
            raise httpcore.WriteError(exc) from exc

    async def _write(self, buffer: bytes) -> None:
        try:
            await self._anyio.send(buffer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise httpcore.WriteError(exc) from exc

    async def aclose(self) -> None:
        self._end_upload()
        if not self._is_closed:
            self._is_closed = True
            await self._stream.aclose()

    def discard(self) -> None:
        """Close the transport below the layers of httpcore and anyio, which only close by await."""
        self._is_closed = True
        self._end_upload()
        stream = self._anyio
        while hasattr(stream, "transport_stream"):  # anyio's TLS
            stream = stream.transport_stream
        transport = getattr(stream, "_transport", None)
        if transport is not None:
            discard_transport(transport)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        wrapped = _WatchedStream(stream, self._backend)
        self._backend._stream = wrapped  # noqa: SLF001 - one class in two halves
        return wrapped

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # asked before each request; anyio asks the system for addresses
            return _is_readable(self._socket)
        return self._stream.get_extra_info(info)

    def has_unread(self) -> bool:
        """Whether decrypted or encrypted bytes wait between the socket and h11.

        On a plain socket httpcore itself sees that it is readable. Behind TLS, bytes that came
        in the same segment as the end of the body lie in OpenSSL's buffers.
        """
        if self._tls is None:
            return _is_readable(self._socket)
        try:
            return bool(self._tls.read(1))
        except ssl.SSLError:
            return False


def _is_readable(sock: Any) -> bool:
    """Whether bytes or an end wait in a socket; a closed one has its end."""
    if sock is None or sock.fileno() < 0:
        return True
    if hasattr(select, "poll"):  # select() has no room for file descriptors above 1,023
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
