"""Opens connections: name look-up, TCP, TLS."""

import asyncio
import math
import socket
import ssl
from collections.abc import Callable
from time import perf_counter
from typing import Any, cast

import aiohappyeyeballs

from nbhttp._core import translate
from nbhttp._engines.base import EngineRequest, EngineSettings, Origin, Phases
from nbhttp._engines.direct.connection import Connection, Surroundings
from nbhttp.errors import ConnectError, RequestError

__all__ = ["Connector"]

_SECOND_FAMILY_DELAY_S = 0.25  # RFC 8305 section 5


class Connector:
    """Makes connections until it is closed.

    Args:
        settings: How to make the TLS context, and where to connect from.
        shared: What the connections have in common.
        on_lost: Called with each connection when it is gone.
    """

    def __init__(
        self,
        settings: EngineSettings,
        shared: Surroundings,
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._on_lost = on_lost
        self._loop = shared.loop
        self._tls: ssl.SSLContext | None = None
        self._under_way: set[asyncio.Timeout] = set()
        self._is_closed = False

    def close(self) -> None:
        """Open nothing more; what is under way fails."""
        self._is_closed = True
        for timeout in self._under_way:
            timeout.reschedule(self._loop.time())

    async def connect(
        self, key: object, sni: str | None, request: EngineRequest, phases: Phases, total_at: float
    ) -> Connection:
        """Open a connection to the request's origin.

        Args:
            key: What the pool will file it under.
            sni: The name to ask for and to check in TLS; None is the origin's host.
            request: Whose origin and limits hold.
            phases: Gets the times of `connect` and `tls`.
            total_at: When everything has to be over, on `perf_counter`'s clock.

        Raises:
            ConnectError: It cannot be reached or trusted, or the connector is closed.
            TimeoutError: The total or `limits.connect` passed.
        """
        self._check_open()
        phases.running = "connect"
        started = perf_counter()
        seconds, shown = _tighter(total_at - started, request)
        timeout = asyncio.timeout(seconds)
        self._under_way.add(timeout)
        try:
            async with timeout:
                sock = await self._tcp(request.origin)
                phases.connect = perf_counter() - started
                connection = await self._protocol(sock, request.origin, key, sni, phases)
        except (OSError, UnicodeError, ExceptionGroup) as exc:
            if timeout.expired():
                raise self._expired(shown, phases) from exc
            raise translate.connect_error(exc, request.origin) from exc
        finally:
            self._under_way.discard(timeout)
            if phases.running == "connect":
                phases.connect = perf_counter() - started
            else:
                phases.tls = perf_counter() - started - phases.connect
        try:
            self._check_open()  # again: `close` may have come too late to stop it
        except ConnectError:
            connection.abort()
            raise
        return connection

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()

    def _expired(self, shown: float | None, phases: Phases) -> RequestError:
        return _closed() if self._is_closed else translate.time_limit_error(shown, phases.running)

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
        connection = Connection(key, self._shared, self._on_lost)
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
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = cast("ssl.SSLContext", self._settings.ssl_context(("http/1.1",)))
        # A context of the user's own may serve an HTTP/2 client too: httpcore sets its list
        # before each handshake, and so does this engine.
        self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


def _tighter(left: float, request: EngineRequest) -> tuple[float | None, float | None]:
    """Return the seconds for connecting, and the limit they come from."""
    limit = request.limits.connect
    if limit is not None and limit < left:
        return limit, limit
    return (None if left == math.inf else left), request.total


def _closed() -> ConnectError:
    return ConnectError("the client was closed", hint="make a new client, or close it later")


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
