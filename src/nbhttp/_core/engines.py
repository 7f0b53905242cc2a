"""Which engine sends a request, and where the engines of a client live.

State belongs to the client, connections to the loop that opened them: a client has one set of
engines for each event loop it is used on. Its connections are closed when the loop ends, when the
client is closed or collected, whichever comes first.
"""

import threading
import weakref
from typing import Any, NamedTuple

from nbhttp._core.proxies import EnvironmentProxies, MountTable, make_proxy
from nbhttp._core.runtime import (
    call_threadsafe,
    current_loop,
    is_asyncio,
    spawn,
    wait_for_end_of,
)
from nbhttp._core.tls import context_for
from nbhttp._engines.base import Engine, EngineSettings, Origin
from nbhttp.config import ClientConfig
from nbhttp.errors import ConfigError

__all__ = ["Choice", "EngineSet", "Engines", "Purpose"]

Purpose = str  # "single", "bulk", "download" or "stream"

_MOST_ORIGINS = 1024  # a crawl over many hosts must not grow the table for ever


class Choice(NamedTuple):
    """An engine's name and why it was chosen."""

    name: str
    reason: str
    detail: Any = None  # the proxy or the transport


class Usage:
    """How many requests a choice served, over all loops."""

    __slots__ = ("choice", "number")

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.number = 0


class Selection(NamedTuple):
    """What serves an origin on one loop."""

    engine: Engine
    usage: Usage


class EngineSet:
    """The engines of one client on one loop, made when first needed.

    Closing it closes connections; it may be used again until its loop ends.
    """

    def __init__(self, loop: Any, settings: EngineSettings, *, http2: bool) -> None:
        self.loop = loop
        self.on_asyncio = is_asyncio(loop)
        self.has_ended = False
        self._settings = settings
        self._http2 = http2
        self._engines: dict[Any, Engine] = {}
        self._selected: dict[tuple[Origin, Purpose], Selection] = {}

    def select(self, engines: "Engines", origin: Origin, purpose: Purpose) -> Selection:
        """Return what serves a request; the same question has the same answer.

        Raises:
            ConfigError: The engine that the client insists on cannot serve it.
        """
        key = (origin, purpose)
        selected = self._selected.get(key)
        if selected is None:
            choice = engines.choose(origin, purpose, on_asyncio=self.on_asyncio)
            selected = Selection(self._get(choice), engines.usage_of(choice))
            if len(self._selected) > _MOST_ORIGINS:
                self._selected.clear()
            self._selected[key] = selected
        return selected

    def _get(self, choice: Choice) -> Engine:
        key = (choice.name, id(choice.detail)) if choice.detail is not None else choice.name
        engine = self._engines.get(key)
        if engine is None:
            engine = self._engines[key] = self._make(choice)
        return engine

    def _make(self, choice: Choice) -> Engine:
        if choice.name == "direct":
            from nbhttp._engines.direct.engine import DirectEngine

            return DirectEngine(self._settings)
        from nbhttp._engines.httpx import HttpxEngine, TransportEngine

        if choice.name == "transport":
            return TransportEngine(choice.detail)
        return HttpxEngine(self._settings, http2=self._http2, proxy=choice.detail)

    @property
    def connections(self) -> int:
        """Connections open on this loop."""
        return sum(engine.connections for engine in self._engines.values())

    async def aclose(self) -> None:
        """Close every engine but the user's own transports; to be awaited on the loop."""
        for engine in self._let_go():
            await engine.aclose()

    async def end(self) -> None:
        """Close every engine for good: the loop is ending."""
        self.has_ended = True
        await self.aclose()

    def close_soon(self) -> None:
        """Close every engine, from any thread and whether or not the loop still runs."""
        try:
            if self.on_asyncio:
                call_threadsafe(self.loop, self._discard)
            else:
                call_threadsafe(self.loop, spawn, self.loop, self.aclose)
        except RuntimeError:  # the loop has ended
            self.has_ended = True
            self._discard()

    def _discard(self) -> None:
        for engine in self._let_go():
            engine.discard()

    def _let_go(self) -> list[Engine]:
        engines = [engine for engine in self._engines.values() if engine.name != "transport"]
        self._engines = {}
        self._selected = {}
        return engines


class Engines:
    """All engine sets of one client.

    Args:
        config: The client's.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._mounts = MountTable(config.mounts)
        self._proxy = make_proxy(config.proxy)
        self._usages: dict[Choice, Usage] = {}
        self._settings = EngineSettings(
            ssl_context=lambda alpn: context_for(config.verify, config.cert, alpn),
            keepalive_expiry=config.keepalive_expiry,
            max_idle=config.max_connections,
            max_header_bytes=config.max_header_bytes,
            max_header_fields=config.max_header_fields,
        )
        # Built now, so that a wrong file is refused when the client is made.
        if config.verify is not True or config.cert is not None:
            self._settings.ssl_context(("http/1.1",))
        self._environment = EnvironmentProxies() if config.trust_env else None
        _load(config)
        self._sets: dict[int, EngineSet] = {}  # by the id of the loop
        weakref.finalize(self, _close_all, self._sets).atexit = False
        weakref.finalize(self, _close_ended, self._sets)  # at exit too: asyncio would warn
        self._last: EngineSet | None = None
        self._lock = threading.Lock()

    def choose(self, origin: Origin, purpose: Purpose, *, on_asyncio: bool) -> Choice:
        """Choose the engine for a request.

        Raises:
            ConfigError: The client insists on an engine that cannot serve it.
        """
        config = self._config
        is_mounted, transport = self._mounts.find(origin)
        if transport is None and not is_mounted:
            transport = config.transport
        if transport is not None:
            return Choice("transport", "a custom transport serves it", transport)
        proxy = None if is_mounted else self._proxy
        if proxy is None and self._environment is not None and not is_mounted:
            proxy = make_proxy(self._environment.find(origin))
        obstacle = _obstacle(config, proxy, on_asyncio=on_asyncio)
        if config.engine == "direct":
            if obstacle:
                raise ConfigError(f"engine='direct' cannot be used: {obstacle}")
            return Choice("direct", "engine='direct'")
        if config.engine == "httpx":
            return Choice("httpx", "engine='httpx'", proxy)
        if obstacle:
            return Choice("httpx", obstacle, proxy)
        if purpose == "single":
            return Choice("httpx", "single calls go over httpx")
        return Choice("direct", f"a {purpose} goes over the direct engine")

    def usage_of(self, choice: Choice) -> Usage:
        """Return the count that belongs to a choice."""
        return self._usages.setdefault(choice, Usage(choice))

    def report(self) -> list[tuple[str, str, int]]:
        """Return (engine, reason, number of requests) of what was used so far."""
        used = [u for u in self._usages.values() if u.number]
        return [(u.choice.name, u.choice.reason, u.number) for u in used]

    def here(self) -> EngineSet:
        """Return the set of the running loop."""
        loop = current_loop()
        mine = self._last
        if mine is not None and mine.loop is loop and not mine.has_ended:
            return mine
        mine = self._sets.get(id(loop))
        if mine is None or mine.loop is not loop or mine.has_ended:
            mine = self._enter(loop)
        self._last = mine
        return mine

    def _enter(self, loop: Any) -> EngineSet:
        mine = EngineSet(loop, self._settings, http2=self._config.http2)
        with self._lock:
            _close_ended(self._sets)
            self._sets[id(loop)] = mine
        wait_for_end_of(loop, mine)
        return mine

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent, in a forked process."""
        _of_parents.extend(self._sets.values())
        self._sets.clear()
        self._last = None
        self._lock = threading.Lock()

    @property
    def connections(self) -> int:
        """Connections open, over all loops."""
        return sum(each.connections for each in list(self._sets.values()))

    async def aclose(self) -> None:
        """Close the connections of this loop, and have the other loops close theirs."""
        loop = current_loop()
        for each in list(self._sets.values()):
            if each.loop is loop:
                await each.aclose()
            else:
                each.close_soon()
        for transport in (self._config.transport, *self._mounts.transports()):
            if transport is not None:
                await transport.aclose()


def _load(config: ClientConfig) -> None:
    """Import what the first request needs: that takes long, and would hold up its event loop."""
    if config.transport is not None:
        return
    if config.engine == "direct":
        import nbhttp._engines.direct.engine
    else:
        import anyio._backends._asyncio  # noqa: F401

        import nbhttp._engines.httpx  # noqa: F401


def _obstacle(config: ClientConfig, proxy: Any, *, on_asyncio: bool) -> str:
    """Say what the direct engine cannot do; "" when it can do all."""
    if not on_asyncio:
        return "trio is spoken by httpx only"
    if config.http2:
        return "HTTP/2 is spoken by httpx only"
    if proxy is not None:
        return "proxies are spoken by httpx only"
    return ""


_of_parents: list[EngineSet] = []  # kept: a fork must not touch what its parent's loops watch


def _close_all(sets: dict[int, EngineSet]) -> None:
    """The client was collected: close what it left open."""
    while sets:
        sets.popitem()[1].close_soon()


def _close_ended(sets: dict[int, EngineSet]) -> None:
    """Close the connections of loops that ended without a chance to do it."""
    for key, each in list(sets.items()):
        if each.has_ended or (each.on_asyncio and each.loop.is_closed()):
            del sets[key]
            each.close_soon()
