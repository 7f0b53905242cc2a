"""The direct engine: `Engine` on asyncio protocols."""

import asyncio
import math
import socket
import ssl
from time import perf_counter
from typing import Any, cast

import aiohappyeyeballs

from nbhttp._core import translate
from nbhttp._engines.base import (
    BodySink,
    EngineRequest,
    EngineResponse,
    EngineSettings,
    Head,
    Origin,
    Phases,
)
from nbhttp._engines.direct.answer import ReadLimits
from nbhttp._engines.direct.connection import Connection, SharedBuffer, Surroundings
from nbhttp._engines.direct.deadlines import Deadlines
from nbhttp._engines.direct.pool import Pool
from nbhttp.errors import ConnectError, RequestError

__all__ = ["DirectEngine", "DirectExchange"]

_SECOND_FAMILY_DELAY_S = 0.25  # RFC 8305 section 5


class DirectEngine:
    """HTTP/1.1 over TCP and TLS, on the running asyncio loop.

    Args:
        settings: Limits, and how to make a TLS context.

    Raises:
        RuntimeError: No asyncio loop is running.
    """

    name = "direct"

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._shared = Surroundings(
            self._loop,
            ReadLimits(settings.max_header_bytes, settings.max_header_fields),
            Deadlines(self._loop),
            SharedBuffer(),
        )
        self._pool = Pool(self._loop, settings.keepalive_expiry, settings.max_idle)
        self._tls: ssl.SSLContext | None = None

    @property
    def connections(self) -> int:
        """Connections open now, idle ones included."""
        return len(self._pool)

    async def fetch(self, request: EngineRequest, max_body: int | None) -> EngineResponse:
        """Send and receive everything; see `Engine.fetch`."""
        phases = Phases()
        total_at = math.inf if request.total is None else perf_counter() + request.total
        connection, head = await self._exchange(request, phases, total_at, max_body, whole=True)
        body = connection.take()
        self._pool.put(connection)
        return EngineResponse(head, body, phases, connection.peer)

    async def open(self, request: EngineRequest) -> "DirectExchange":
        """Send the request and return when the answer's head has come."""
        phases = Phases()
        connection, head = await self._exchange(request, phases, math.inf, None, whole=False)
        return DirectExchange(self._pool, connection, head, phases)

    async def aclose(self) -> None:
        """Close every connection; what is in flight fails."""
        self._shared.deadlines.close()
        await self._pool.aclose()

    def discard(self) -> None:
        """Close every connection at once; see `Engine.discard`."""
        self._shared.deadlines.close()
        self._pool.discard_all()

    async def _exchange(
        self,
        request: EngineRequest,
        phases: Phases,
        total_at: float,
        max_body: int | None,
        *,
        whole: bool,
    ) -> tuple[Connection, Head]:
        try:
            sni = (request.extensions or {}).get("sni_hostname")
            key = request.origin if sni is None else (request.origin, sni)
            connection = self._pool.take(key)
            if connection is not None:
                try:
                    head = await connection.perform(
                        request, phases, total_at, max_body, whole=whole
                    )
                except ConnectError:
                    # RFC 9112 section 9.3.1.1: it may have been closed while idle; send again
                    # what is safe to send again, once, on a fresh connection.
                    if connection.has_answered or not request.is_replayable:
                        raise
                else:
                    return connection, head
            connection = await self._connect(request, key, sni, phases, total_at)
            head = await connection.perform(request, phases, total_at, max_body, whole=whole)
        except RequestError as error:
            error.phases = phases
            raise
        return connection, head

    async def _connect(
        self,
        request: EngineRequest,
        key: object,
        sni: str | None,
        phases: Phases,
        total_at: float,
    ) -> Connection:
        origin = request.origin
        self._pool.make_room()
        phases.running = "connect"
        started = perf_counter()
        left = total_at - started
        limit = request.limits.connect
        is_total = limit is None or left <= limit
        seconds = left if is_total else limit
        try:
            async with asyncio.timeout(None if seconds == math.inf else seconds):
                sock = await self._tcp(origin)
                phases.connect = perf_counter() - started
                return await self._protocol(sock, origin, key, sni, phases)
        except TimeoutError as exc:
            if exc.errno is None and perf_counter() - started >= (seconds or 0.0) * 0.99:
                shown = request.total if is_total else limit
                raise translate.time_limit_error(shown, phases.running) from exc
            raise translate.connect_error(exc, origin) from exc
        except (OSError, UnicodeError, ssl.SSLError, ExceptionGroup) as exc:
            raise translate.connect_error(exc, origin) from exc
        finally:
            if phases.running == "connect":
                phases.connect = perf_counter() - started
            else:
                phases.tls = perf_counter() - started - phases.connect

    async def _tcp(self, origin: Origin) -> socket.socket:
        """Resolve and connect: the families race (RFC 8305)."""
        addresses = await self._addresses(origin.host, origin.port)
        local = self._settings.local_address
        return await aiohappyeyeballs.start_connection(
            addresses,
            local_addr_infos=None if local is None else await self._addresses(local, 0),
            happy_eyeballs_delay=_SECOND_FAMILY_DELAY_S,
            interleave=1,
            loop=self._loop,
        )

    async def _addresses(self, host: str, port: int) -> list[Any]:
        literal = _literal_address(host, port)
        if literal is not None:
            return [literal]
        return await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    async def _protocol(
        self, sock: socket.socket, origin: Origin, key: object, sni: str | None, phases: Phases
    ) -> Connection:
        connection = Connection(key, self._shared, self._pool.discard)
        try:
            if origin.is_tls:
                phases.running = "tls"
                await self._loop.create_connection(
                    lambda: connection,
                    sock=sock,
                    ssl=self._tls_context(),
                    server_hostname=sni or origin.host,
                )
            else:
                await self._loop.create_connection(lambda: connection, sock=sock)
        except BaseException:
            connection.abort()
            sock.close()
            raise
        self._pool.add(connection)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = cast("ssl.SSLContext", self._settings.ssl_context(("http/1.1",)))
        return self._tls


class DirectExchange:
    """An answer whose body is still on the wire; see `Exchange`.

    Attributes:
        head: Status and fields.
        phases: Where the time went.
        peer: Address and port that answered.
    """

    __slots__ = ("_connection", "_pool", "head", "peer", "phases")

    def __init__(self, pool: Pool, connection: Connection, head: Head, phases: Phases) -> None:
        self._pool = pool
        self._connection: Connection | None = connection
        self.head = head
        self.phases = phases
        self.peer = connection.peer

    async def read(self) -> bytes:
        """Return the next piece as sent, up to some MiB; b"" at the end."""
        try:
            return await self._live.read()
        except RequestError as error:
            error.phases = self.phases
            raise

    async def drain(self, sink: BodySink) -> None:
        """Write the whole body to `sink`."""
        try:
            await self._live.drain(sink)
        except RequestError as error:
            error.phases = self.phases
            raise

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.put(connection)

    @property
    def _live(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("the exchange is closed; read its body before aclose()")
        return self._connection


def _literal_address(host: str, port: int) -> Any:
    """Return the address info of an IP literal; None for a name."""
    if host[-1:].isdigit() or ":" in host:
        for family in (socket.AF_INET6, socket.AF_INET):
            try:
                socket.inet_pton(family, host)
            except OSError:
                continue
            address = (host, port, 0, 0) if family == socket.AF_INET6 else (host, port)
            return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
    return None
