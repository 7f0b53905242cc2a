"""A light tick that lets an interrupt through while an event loop that is not ours sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

from nbhttp._core.runtime import is_asyncio

__all__ = ["Ticker", "ticking"]

_TICK_S = 0.1


@contextlib.contextmanager
def ticking(loop: Any) -> Iterator[None]:
    """Have `loop`, which is running, wake ten times a second inside the block."""
    ticker = Ticker.of(loop) if is_asyncio(loop) else None
    if ticker is None:
        yield
        return
    ticker.begin()
    try:
        yield
    finally:
        ticker.end()


class Ticker:
    """Wakes a foreign event loop ten times a second while calls are in flight on it.

    ipykernel's handler for an interrupt marks the cell's task, but does not wake a loop that
    sleeps in `select`: without a tick, a stop at 2 s ended a wait of 12 s at 12.3 s.
    """

    _of_loop: ClassVar[dict[int, Ticker]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._count = 0
        self._handle: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Ticker | None:
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
        """Tick until `end` was called as often as this."""
        self._count += 1
        if self._handle is None:
            self._handle = self.loop.call_later(_TICK_S, self._tick)

    def end(self) -> None:
        """Need the tick no longer."""
        self._count -= 1

    def _tick(self) -> None:
        self._handle = self.loop.call_later(_TICK_S, self._tick) if self._count > 0 else None
