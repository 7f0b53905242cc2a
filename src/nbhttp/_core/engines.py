"""Which engine sends a request, and where the engines of a client live.

State belongs to the client, connections to the loop that opened them: a client has one set of
engines for each event loop it is used on. A set is closed when its loop ends, when the client is
closed or collected, whichever comes first.
"""

import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

from anyio.lowlevel import RunVar

from nbhttp._core.proxies import EnvironmentProxies, MountTable, make_proxy
from nbhttp._core.runtime import call_threadsafe, current_loop, spawn
from nbhttp._core.tls import context_for
from nbhttp._engines.base import Engine, EngineSettings, Origin
from nbhttp.config import ClientConfig
from nbhttp.errors import ConfigError

__all__ = ["Choice", "EngineSet", "Engines", "Purpose"]

Purpose = str  # "single", "bulk", "download" or "stream"


class Choice(NamedTuple):
    """An engine's name and why it was chosen."""

    name: str
    reason: str
    detail: Any = None  # the proxy or the transport


class EngineSet:
    """The engines of one client on one loop, made when first needed."""

    def __init__(self, loop: Any, settings: EngineSettings, *, http2: bool) -> None:
        self.loop = loop
        self._settings = settings
        self._http2 = http2
        self._engines: dict[Any, Engine] = {}
        self.is_closed = False

    def get(self, choice: Choice) -> Engine:
        """Return the engine of a choice."""
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
        """Close every engine but the user's own transports."""
        self.is_closed = True
        engines, self._engines = self._engines, {}
        for engine in engines.values():
            if engine.name != "transport":
                await engine.aclose()


class Engines:
    """All engine sets of one client.

    Args:
        config: The client's.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._mounts = MountTable(config.mounts)
        self._proxy = make_proxy(config.proxy)
        self._choices: dict[Any, Choice] = {}
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
        self._sets: dict[int, EngineSet] = {}
        self._lock = threading.Lock()
        self._last: EngineSet | None = None
        self.used: dict[Choice, int] = {}

    def choose(self, origin: Origin, purpose: Purpose, *, on_asyncio: bool) -> Choice:
        """Choose the engine for a request; the same question has the same answer."""
        key = (origin, purpose, on_asyncio)
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choose(origin, purpose, on_asyncio=on_asyncio)
            self._choices[key] = choice
        self.used[choice] = self.used.get(choice, 0) + 1
        return choice

    def _choose(self, origin: Origin, purpose: Purpose, *, on_asyncio: bool) -> Choice:
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

    def here(self) -> EngineSet:
        """Return the set of the running loop."""
        loop = current_loop()
        last = self._last
        if last is not None and last.loop is loop and not last.is_closed:
            return last
        found = _sets_of_loop()
        mine = found.get(id(self))
        if mine is None or mine.is_closed:
            mine = EngineSet(loop, self._settings, http2=self._config.http2)
            found[id(self)] = mine
            with self._lock:
                alive = {key: each for key, each in self._sets.items() if not each.is_closed}
                self._sets = {**alive, id(loop): mine}
            weakref.finalize(self, _forget, found, id(self), mine)
        self._last = mine
        return mine

    @property
    def connections(self) -> int:
        """Connections open, over all loops."""
        return sum(each.connections for each in list(self._sets.values()))

    async def aclose(self) -> None:
        """Close the connections of this loop, and have the other loops close theirs."""
        loop = current_loop()
        with self._lock:
            sets, self._sets = list(self._sets.values()), {}
            self._last = None
        for each in sets:
            if each.loop is loop:
                _sets_of_loop().pop(id(self), None)
                await each.aclose()
            else:
                _close_elsewhere(each)
        for transport in (self._config.transport, *self._mounts.transports()):
            if transport is not None:
                await transport.aclose()


def _obstacle(config: ClientConfig, proxy: Any, *, on_asyncio: bool) -> str:
    """Say what the direct engine cannot do; "" when it can do all."""
    if not on_asyncio:
        return "trio is spoken by httpx only"
    if config.http2:
        return "HTTP/2 is spoken by httpx only"
    if proxy is not None:
        return "proxies are spoken by httpx only"
    return ""


# The sets of a loop


Sets = dict[int, EngineSet]  # by the id of the client's `Engines`

_loop_sets: RunVar[tuple[Sets, AsyncGenerator[None, None]]] = RunVar("nbhttp_engines")


def _sets_of_loop() -> Sets:
    """Return the engine sets of all clients on the running loop."""
    try:
        return _loop_sets.get()[0]
    except LookupError:
        sets: Sets = {}
        _loop_sets.set((sets, _close_with_loop(sets)))
        return sets


def _close_with_loop(sets: Sets) -> AsyncGenerator[None, None]:
    """Have `sets` closed when the running loop ends; what is returned must be kept till then.

    asyncio.run and trio.run close the async generators that are still open at their end. That is
    the one hook that both have, so a generator waits for it.
    """
    keeper = _keeper(sets)
    with contextlib.suppress(StopIteration):  # it has come to its `yield`
        keeper.__anext__().send(None)
    return keeper


async def _keeper(sets: Sets) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        while sets:
            await sets.popitem()[1].aclose()


def _forget(found: dict[int, EngineSet], key: int, engines: EngineSet) -> None:
    """The client was collected: close what it left open."""
    if found.pop(key, None) is not None:
        _close_elsewhere(engines)


def _close_elsewhere(engines: EngineSet) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and its connections with it
        call_threadsafe(engines.loop, spawn, engines.loop, engines.aclose)
