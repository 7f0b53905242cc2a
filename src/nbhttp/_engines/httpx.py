"""The engines that httpx gives: its connections (httpcore), and custom httpx transports.

httpcore's pool looks through all its connections for every request, which is what makes it crawl
with many in flight. So each connection here is a pool of its own, handed out last in, first out
from a free list per origin; the client's gate stands in front.
"""

import functools
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpcore

from nbhttp._core.runtime import time_limit
from nbhttp._core.translate import foreign_error, time_limit_error
from nbhttp._engines.base import (
    BodySink,
    EngineRequest,
    EngineResponse,
    EngineSettings,
    Exchange,
    Head,
    Origin,
    Phases,
)
from nbhttp._engines.framing import check_head, check_text
from nbhttp._engines.watch import WatchingBackend
from nbhttp.errors import BodyTooLargeError, NbhttpError, RequestError

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpxEngine", "TransportEngine", "too_large"]

_PHASE_OF = {
    "connect_tcp": "connect",
    "connect_unix_socket": "connect",
    "start_tls": "tls",
    "send_request_headers": "send",
    "send_request_body": "send",
    "receive_response_headers": "wait",
}


class _Connection:
    """One httpcore pool that holds at most one connection, and what watches its bytes."""

    __slots__ = ("idle_since", "is_used", "pool", "watch")

    def __init__(self, pool: httpcore.AsyncConnectionPool, watch: WatchingBackend) -> None:
        self.pool = pool
        self.watch = watch
        self.is_used = False
        self.idle_since = 0.0


class HttpxEngine:
    """Sends requests over httpcore: HTTP/1.1 and HTTP/2, proxies, asyncio and trio.

    Args:
        settings: Shared by all engines.
        http2: Offer HTTP/2. One pool per origin is shared then, since a connection carries many
            requests.
        proxy: Sends everything through this proxy; None connects directly.
    """

    name = "httpx"

    def __init__(
        self,
        settings: EngineSettings,
        *,
        http2: bool = False,
        proxy: "httpx.Proxy | None" = None,
    ) -> None:
        self._settings = settings
        self._http2 = http2
        self._proxy = proxy
        self._idle: dict[Origin, list[_Connection]] = {}
        self._busy: set[_Connection] = set()
        self._shared: dict[Origin, _Connection] = {}
        self._is_closed = False

    @property
    def connections(self) -> int:
        """Connections open now, idle ones included."""
        # Copies: this may be asked from any thread.
        idle = [c for free in list(self._idle.values()) for c in list(free)]
        pools = [*self._busy.copy(), *list(self._shared.values()), *idle]
        return sum(len(connection.pool.connections) for connection in pools)

    async def fetch(self, request: EngineRequest, max_body: int | None) -> EngineResponse:
        """Send and receive everything; see `Engine.fetch`."""
        return await _fetch(self._open, request, max_body, Phases())

    async def open(self, request: EngineRequest) -> "_HttpcoreExchange":
        """Send the request and return when the head has come; see `Engine.open`."""
        return await self._open(request, Phases())

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in self._let_go():
            await _close(connection)

    def discard(self) -> None:
        """Close every connection at once; see `Engine.discard`."""
        for connection in self._let_go():
            connection.watch.discard()

    def _let_go(self) -> list[_Connection]:
        self._is_closed = True
        idle = [c for free in self._idle.values() for c in free]
        everything = [*idle, *self._busy, *self._shared.values()]
        self._idle.clear()
        self._busy.clear()
        self._shared.clear()
        return everything

    # One exchange

    async def _open(self, request: EngineRequest, phases: Phases) -> "_HttpcoreExchange":
        connection = await self._take(request.origin)
        was_used = connection.is_used and not self._http2
        try:
            return await self._send(connection, request, phases)
        except RequestError:
            # RFC 9112 section 9.3.1.1: an idle connection may be closed at any time.
            is_stale = was_used and phases.running in {"send", "wait"}
            if not (is_stale and request.is_replayable and not connection.watch.has_received):
                raise
        fresh = self._connect(request.origin)
        return await self._send(fresh, request, phases)

    async def _send(
        self, connection: _Connection, request: EngineRequest, phases: Phases
    ) -> "_HttpcoreExchange":
        connection.watch.begin(request.method, phases)
        started = time.perf_counter()
        try:
            response = await connection.pool.handle_async_request(
                _to_httpcore(request, _tracer(phases, request))
            )
            if isinstance(request.body, AsyncGenerator):
                await request.body.aclose()  # a refusal ends it early; its `finally` runs now
        except BaseException as exc:  # noqa: BLE001 - raised again, translated or as it is
            await self.drop(connection)
            self._note_running(phases, started)
            raise _translated(exc, request, phases) or exc from _cause(exc)
        connection.is_used = True
        head = Head(
            response.status,
            response.extensions.get("reason_phrase", b""),
            response.extensions.get("http_version", b"HTTP/1.1").decode("ascii"),
            list(response.headers),
        )
        exchange = _HttpcoreExchange(self, connection, request, response, head, phases)
        try:
            check_text(head)
            check_head(
                request.method,
                head,
                max_bytes=self._settings.max_header_bytes,
                max_fields=self._settings.max_header_fields,
            )
        except NbhttpError as exc:
            await exchange.abort()
            raise _with_phases(exc, phases) from None
        return exchange

    @staticmethod
    def _note_running(phases: Phases, started: float) -> None:
        """Book the time of the phase that failed."""
        spent = phases.connect + phases.tls + phases.send + phases.wait
        if phases.running in {"connect", "tls", "send", "wait", "receive"}:
            missing = max(0.0, time.perf_counter() - started - spent)
            setattr(phases, phases.running, getattr(phases, phases.running) + missing)

    # Connections

    async def _take(self, origin: Origin) -> _Connection:
        if self._http2 and origin.is_tls:
            return self._shared.setdefault(origin, self._connect(origin, is_shared=True))
        free = self._idle.get(origin)
        now = time.monotonic()
        while free:
            connection = free.pop()
            is_fresh = now - connection.idle_since < self._settings.keepalive_expiry
            if is_fresh and connection.watch.is_clean():
                self._busy.add(connection)
                return connection
            await _close(connection)
        await self._make_room()
        return self._connect(origin)

    def _connect(self, origin: Origin, *, is_shared: bool = False) -> _Connection:
        http2 = self._http2 and origin.is_tls
        watch = WatchingBackend(is_watching=not is_shared)
        context = None
        if origin.is_tls:
            context = self._settings.ssl_context(("http/1.1", "h2") if http2 else ("http/1.1",))
        pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            proxy=_httpcore_proxy(self._proxy, self._settings),
            max_connections=self._settings.max_idle if is_shared else 1,
            max_keepalive_connections=self._settings.max_idle if is_shared else 1,
            keepalive_expiry=self._settings.keepalive_expiry,
            http1=True,
            http2=http2,
            local_address=self._settings.local_address,
            network_backend=watch,
        )
        connection = _Connection(pool, watch)
        if not is_shared:
            self._busy.add(connection)
        return connection

    async def _make_room(self) -> None:
        """Close the connection that is idle longest when there would be too many."""
        idle = [(c.idle_since, o) for o, free in self._idle.items() for c in free[:1]]
        count = sum(len(free) for free in self._idle.values()) + len(self._busy)
        if count < self._settings.max_idle or not idle:
            return
        _, origin = min(idle)
        oldest = self._idle[origin].pop(0)
        if not self._idle[origin]:
            del self._idle[origin]
        await _close(oldest)

    async def give_back(self, connection: _Connection, origin: Origin) -> None:
        """Keep a connection whose answer was read to its end, if it may be used again."""
        if connection not in self._busy:  # shared, or closed meanwhile
            return
        is_idle = any(c.is_idle() for c in connection.pool.connections)
        if not is_idle or self._is_closed or not connection.watch.is_clean():
            await self.drop(connection)
            return
        self._busy.discard(connection)
        connection.idle_since = time.monotonic()
        self._idle.setdefault(origin, []).append(connection)

    async def drop(self, connection: _Connection) -> None:
        """Close a connection for good: httpcore can neither use nor evict a half-used one."""
        if connection in self._busy:
            self._busy.discard(connection)
            await _close(connection)


class _HttpcoreExchange:
    """An answer on the wire; see `Exchange`."""

    def __init__(
        self,
        engine: HttpxEngine,
        connection: _Connection,
        request: EngineRequest,
        response: httpcore.Response,
        head: Head,
        phases: Phases,
    ) -> None:
        self.head = head
        self.phases = phases
        self.peer = connection.watch.peer
        self._engine = engine
        self._connection = connection
        self._request = request
        self._response = response
        self._pieces: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type] # async pool: async stream
        self._received = 0
        self._is_complete = False
        self._is_closed = False
        self._started = time.perf_counter()
        phases.running = "receive"

    async def read(self) -> bytes:
        """Return the next piece as sent; see `Exchange.read`."""
        try:
            piece = await anext(self._pieces, b"")
        except BaseException as exc:  # noqa: BLE001 - raised again, translated or as it is
            await self.abort()
            raise _translated(exc, self._request, self.phases, self._received) or exc from _cause(
                exc
            )
        self._received += len(piece)
        if not piece:
            self._is_complete = True
            self.phases.receive = time.perf_counter() - self._started
        return piece

    async def drain(self, sink: BodySink) -> None:
        """Write the whole body to `sink`; see `Exchange.drain`."""
        while piece := await self.read():
            pause = sink.write(memoryview(piece))
            if pause is not None:
                await pause

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""
        if self._is_closed:
            return
        if not self._is_complete:
            await self.abort()
            return
        self._is_closed = True
        try:
            await self._response.aclose()
        finally:
            await self._engine.give_back(self._connection, self._request.origin)

    async def abort(self) -> None:
        """Close the connection at once."""
        if self._is_closed:
            return
        self._is_closed = True
        import anyio

        with anyio.CancelScope(shield=True):
            try:
                await self._response.aclose()
            finally:  # `task.cancel()` of asyncio passes the shield
                await self._engine.drop(self._connection)


async def _fetch(
    open_exchange: Callable[[EngineRequest, Phases], Awaitable[Exchange]],
    request: EngineRequest,
    max_body: int | None,
    phases: Phases,
) -> EngineResponse:
    """Open an exchange and read its whole body, within the request's total limit."""
    limit = time_limit(request.total)
    try:
        async with limit:
            exchange = await open_exchange(request, phases)
            try:
                body = await _collect(exchange, request.method, max_body)
            finally:
                await exchange.aclose()
    except TimeoutError as exc:
        if not limit.is_passed:
            raise
        error = time_limit_error(request.total, phases.running, phases.proxy)
        raise _with_phases(error, phases) from exc
    return EngineResponse(exchange.head, body, phases, exchange.peer)


async def _collect(exchange: Exchange, method: str, max_body: int | None) -> bytes:
    """Read the whole body, stopping as soon as it is known to be too large."""
    has_body = method != "HEAD" and exchange.head.status not in {204, 304}
    declared = _declared_length(exchange.head) if has_body else None
    if max_body is not None and declared is not None and declared > max_body:
        raise too_large(max_body, declared)
    first = await exchange.read()
    second = await exchange.read() if first else b""
    if not second:
        if max_body is not None and len(first) > max_body:
            raise too_large(max_body)
        return bytes(first)
    body = bytearray(first)
    piece: bytes = second
    while piece:
        body += piece
        if max_body is not None and len(body) > max_body:
            raise too_large(max_body)
        piece = await exchange.read()
    return bytes(body)


def too_large(max_body: int, size: int | None = None) -> BodyTooLargeError:
    """Return the error for a body above `max_body` bytes."""
    what = f"the body has {size:,} bytes" if size is not None else "the body is larger"
    joint = ", more" if size is not None else ""
    return BodyTooLargeError(
        f"{what}{joint} than max_body={max_body:,} allows",
        hint="use download_file() to write it to disk, stream_request() to read it piece by "
        "piece, or raise max_body=",
    )


def _declared_length(head: Head) -> int | None:
    for name, value in head.headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None


def _to_httpcore(request: EngineRequest, trace: Any) -> httpcore.Request:
    body = request.body
    limits = request.limits
    timeout = {"connect": limits.connect, "read": limits.read, "write": limits.write}
    if request.total is not None:
        # The total bounds every phase; a limit of their own would only cost time.
        timeout = {
            name: None if seconds is not None and seconds >= request.total else seconds
            for name, seconds in timeout.items()
        }
    extensions = {**(request.extensions or {}), "timeout": timeout, "trace": trace}
    return httpcore.Request(
        request.method.encode("ascii"),
        httpcore.URL(
            scheme=request.origin.scheme.encode("ascii"),
            host=request.origin.host.encode("ascii"),
            port=request.origin.port,
            target=request.target,
        ),
        headers=request.headers,
        content=_Whole(body) if isinstance(body, bytes) else _OneShot(body),
        extensions=extensions,
    )


class _Whole:
    """A body in memory as httpcore wants it.

    A plain iterator: trio warns of a generator that is not read to its end.
    """

    def __init__(self, body: bytes) -> None:
        self._pieces = iter((body,))

    def __aiter__(self) -> "_Whole":
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Nothing to close."""


class _OneShot:
    """An async body as httpcore wants it."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._source)

    async def aclose(self) -> None:
        """Close a generator that was not consumed to its end."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()


def _tracer(phases: Phases, request: EngineRequest) -> Any:
    """Make httpcore's trace callback: it books each phase's time, and whom it is spent with."""
    began = 0.0
    also = (request.extensions or {}).get("trace")
    target = request.origin.host, request.origin.port

    async def trace(name: str, info: dict[str, Any]) -> None:
        nonlocal began
        step, _, state = name.rpartition(".")
        phase = _PHASE_OF.get(step.rpartition(".")[2])
        if phase is not None:
            if state == "started":
                phases.running = phase
                began = time.perf_counter()
                if phase == "connect":
                    peer = info.get("host", target[0]), info.get("port", target[1])
                    phases.proxy = None if peer == target else peer
                elif phases.proxy is not None and _is_with_target(name, info):
                    phases.proxy = None
            else:
                spent = time.perf_counter() - began
                setattr(phases, phase, getattr(phases, phase) + spent)
                if state == "complete" and phase == "send":
                    phases.running = "wait"
        if also is not None:
            await also(name, info)

    return trace


def _is_with_target(name: str, info: dict[str, Any]) -> bool:
    """Whether a step of httpcore's goes past the proxy: TLS in its tunnel, or the request."""
    if name in {"proxy.start_tls.started", "socks.start_tls.started"}:
        return True
    request = info.get("request")
    return request is not None and request.method != b"CONNECT"


def _httpcore_proxy(proxy: "httpx.Proxy | None", settings: EngineSettings) -> httpcore.Proxy | None:
    if proxy is None:
        return None
    url = proxy.url
    context = proxy.ssl_context
    if context is None and url.scheme == "https":
        context = settings.ssl_context(("http/1.1",))
    return httpcore.Proxy(
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
        ssl_context=context,
    )


def _translated(
    exc: BaseException, request: EngineRequest, phases: Phases, received: int = 0
) -> NbhttpError | None:
    """Return nbhttp's error for what was raised; None when it is to be raised as it is."""
    if isinstance(exc, NbhttpError):
        return _with_phases(exc, phases)
    error = foreign_error(exc, request.origin, phases, received, request.limits)
    return None if error is None else _with_phases(error, phases)


def _with_phases(error: NbhttpError, phases: Phases) -> NbhttpError:
    error.phases = phases
    return error


def _cause(exc: BaseException) -> BaseException | None:
    return exc.__cause__ if isinstance(exc, NbhttpError) or not isinstance(exc, Exception) else exc


async def _close(connection: _Connection) -> None:
    import anyio

    try:
        with anyio.CancelScope(shield=True):
            await connection.pool.aclose()
            await connection.watch.aclose()
    except BaseException:  # `task.cancel()` of asyncio passes the shield
        connection.watch.discard()
        raise


class TransportEngine:
    """Sends requests through a transport that the user made (`transport=`, `mounts=`).

    Args:
        transport: An `httpx.AsyncBaseTransport`, such as `MockTransport` or `ASGITransport`.
    """

    name = "transport"

    def __init__(self, transport: "httpx.AsyncBaseTransport") -> None:
        import httpx

        self._transport = transport
        # Others may well hand the request to something that takes no such callback.
        self._is_traceable = isinstance(transport, httpx.AsyncHTTPTransport)

    @property
    def connections(self) -> int:
        """Unknown here: 0."""
        return 0

    async def fetch(self, request: EngineRequest, max_body: int | None) -> EngineResponse:
        """Send and receive everything; see `Engine.fetch`."""
        return await _fetch(self._open, request, max_body, Phases(running="wait"))

    async def open(self, request: EngineRequest) -> "_TransportExchange":
        """Send the request and return when the head has come; see `Engine.open`."""
        return await self._open(request, Phases(running="wait"))

    async def _open(self, request: EngineRequest, phases: Phases) -> "_TransportExchange":
        started = time.perf_counter()
        made = _to_httpx(request)
        if self._is_traceable:
            made.extensions["trace"] = _tracer(phases, request)
        try:
            response = await self._transport.handle_async_request(made)
        except BaseException as exc:  # noqa: BLE001 - raised again, translated or as it is
            raise _translated(exc, request, phases) or exc from _cause(exc)
        began = phases.connect + phases.tls + phases.send
        phases.wait = max(0.0, time.perf_counter() - started - began)
        return _TransportExchange(request, response, phases)

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()

    def discard(self) -> None:
        """Leave the transport to the user, whose it is."""


class _TransportExchange:
    """An answer of a custom transport; see `Exchange`."""

    peer: str | None = None

    def __init__(self, request: EngineRequest, response: "httpx.Response", phases: Phases) -> None:
        extensions = response.extensions
        self.head = Head(
            response.status_code,
            extensions.get("reason_phrase", b""),
            extensions.get("http_version", b"HTTP/1.1").decode("ascii"),
            list(response.headers.raw),
        )
        self.phases = phases
        self._request = request
        self._response = response
        self._pieces = _async_pieces(response.stream)
        self._received = 0
        self._started = time.perf_counter()
        phases.running = "receive"

    async def read(self) -> bytes:
        """Return the next piece as sent; see `Exchange.read`."""
        try:
            piece: bytes = await anext(self._pieces, b"")
        except BaseException as exc:  # noqa: BLE001 - raised again, translated or as it is
            raise _translated(exc, self._request, self.phases, self._received) or exc from _cause(
                exc
            )
        self._received += len(piece)
        if not piece:
            self.phases.receive = time.perf_counter() - self._started
        return piece

    async def drain(self, sink: BodySink) -> None:
        """Write the whole body to `sink`; see `Exchange.drain`."""
        while piece := await self.read():
            pause = sink.write(memoryview(piece))
            if pause is not None:
                await pause

    async def aclose(self) -> None:
        """End the answer."""
        close = getattr(self._response.stream, "aclose", None)
        if close is not None:
            await close()


async def _async_pieces(stream: Any) -> AsyncIterator[bytes]:
    """Yield the non-empty pieces of an httpx stream of either colour."""
    if isinstance(stream, AsyncIterable):
        async for piece in stream:
            if piece:
                yield piece
        return
    for piece in stream:
        if piece:
            yield piece


def _to_httpx(request: EngineRequest) -> "httpx.Request":
    import httpx

    limits = request.limits
    timeout = {
        "connect": limits.connect, "read": limits.read, "write": limits.write, "pool": None
    }  # fmt: skip
    body = request.body
    made = httpx.Request(
        request.method,
        _httpx_url(request.origin, request.target),
        headers=request.headers,
        stream=httpx.ByteStream(body) if isinstance(body, bytes) else _AsyncStream.make(body),
        extensions={**(request.extensions or {}), "timeout": timeout},
    )
    if isinstance(body, bytes):
        made.read()
    return made


@functools.lru_cache(maxsize=512)
def _httpx_url(origin: Origin, target: bytes) -> "httpx.URL":
    """Make a URL; httpx parses it twice for that, half of what a call costs."""
    import httpx

    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return httpx.URL(scheme=origin.scheme, host=host, port=origin.port).copy_with(raw_path=target)


class _AsyncStream:
    """An async body as httpx wants it."""

    @staticmethod
    def make(source: AsyncIterable[bytes]) -> "httpx.AsyncByteStream":
        import httpx

        class Stream(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                async for piece in source:
                    yield piece

        return Stream()
