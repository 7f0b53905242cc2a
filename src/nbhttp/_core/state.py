"""What belongs to a client as a whole, over all its loops and threads."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any

from nbhttp._core import events
from nbhttp._core.engines import Engines
from nbhttp._core.limits import Gate
from nbhttp._core.request import Defaults
from nbhttp._core.runtime import call_threadsafe, current_loop, is_asyncio
from nbhttp.config import ClientConfig

__all__ = ["ClientState"]

_names = count(1)
_TICK_S = 0.1


class ClientState:
    """Configuration, cookies, limits, events and what is in flight.

    Args:
        config: Frozen and checked.
        cookies: The user's.
        name: Shows in logs and events; None numbers the clients of this process.
    """

    request_id: ContextVar[str] = events.current_request_id

    def __init__(self, config: ClientConfig, cookies: Any = None, name: str | None = None) -> None:
        self.config = config
        self.name = name or f"client-{next(_names)}"
        self.defaults = Defaults(config, cookies)
        self.gate = Gate(config.max_connections)
        self.events = events.EventHub(parent=events.everyone)
        self.engines = Engines(config)
        self.is_closed = False
        self.lives: set[Any] = set()
        self._in_flight: dict[object, _Cancel] = {}

    @contextlib.contextmanager
    def in_flight(self) -> Iterator[None]:
        """Make the block end by `cancel_all()`, and a foreign loop wake for an interrupt."""
        loop = current_loop()
        key = object()
        if not is_asyncio(loop):
            with self._trio_in_flight(key, loop):
                yield
            return
        task = asyncio.current_task()
        self._in_flight[key] = _Cancel(loop, task.cancel if task else None)
        ticker = _Ticker.of(loop)
        if ticker is not None:
            ticker.begin()
        try:
            yield
        finally:
            del self._in_flight[key]
            if ticker is not None:
                ticker.end()

    @contextlib.contextmanager
    def _trio_in_flight(self, key: object, loop: Any) -> Iterator[None]:
        import trio

        with trio.CancelScope() as scope:
            self._in_flight[key] = _Cancel(loop, scope.cancel)
            try:
                yield
            finally:
                del self._in_flight[key]
        if scope.cancelled_caught:
            raise asyncio.CancelledError("cancelled by cancel_all()")

    def with_fresh_cookies(self) -> "ClientState":
        """Return the same state with an empty cookie jar, for one call that leaves none behind."""
        other = copy.copy(self)
        other.defaults = self.defaults.with_fresh_jar()
        return other

    def cancel_all(self) -> int:
        """Cancel what is in flight, from any thread; return how many calls that were."""
        calls, lives = list(self._in_flight.values()), list(self.lives)
        for live in lives:
            live.cancel()
        for call in calls:
            call()
        return max(len(calls), len(lives))


class _Cancel:
    """How to end one call."""

    __slots__ = ("_cancel", "_loop")

    def __init__(self, loop: Any, cancel: Any) -> None:
        self._loop = loop
        self._cancel = cancel

    def __call__(self) -> None:
        if self._cancel is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the call with it
            call_threadsafe(self._loop, self._cancel)


class _Ticker:
    """Wakes a foreign event loop ten times a second while calls are in flight on it.

    ipykernel's handler for an interrupt marks the cell's task, but does not wake a loop that
    sleeps in `select`: without a tick, a stop at 2 s ended a wait of 12 s at 12.3 s.
    """

    _of_loop: "dict[int, _Ticker]" = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "_Ticker | None":
        """Return the loop's ticker; None where no signal arrives (not the main thread)."""
        ticker = cls._of_loop.get(id(loop))
        if ticker is not None and ticker.loop is loop:
            return ticker
        if threading.current_thread() is not threading.main_thread():
            return None
        cls._of_loop = {k: t for k, t in cls._of_loop.items() if not t.loop.is_closed()}
        ticker = cls._of_loop[id(loop)] = cls(loop)
        return ticker

    def begin(self) -> None:
        self._count += 1
        if self._handle is None:
            self._handle = self.loop.call_later(_TICK_S, self._tick)

    def end(self) -> None:
        self._count -= 1

    def _tick(self) -> None:
        self._handle = self.loop.call_later(_TICK_S, self._tick) if self._count > 0 else None

