"""Time limits of many exchanges with one timer."""

import asyncio
import math
from time import perf_counter
from typing import Protocol

__all__ = ["Deadlines", "Watched"]

_FINEST_S = 0.005


class Watched(Protocol):
    """Something with a moment by which it must have got on."""

    def due(self) -> float:
        """Return the moment, on `perf_counter`'s clock; it may have moved since it was watched."""
        ...

    def expire(self) -> None:
        """End it: the moment has passed."""


class Deadlines:
    """Ends what takes too long.

    To watch and unwatch are one dictionary operation each; the one timer of the loop is set for
    the earliest moment known when it was set, and looks at everything only when it fires. Most
    exchanges are over by then.

    Args:
        loop: The loop that the watched things belong to.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[Watched, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def watch(self, item: Watched, at: float) -> None:
        """End `item` when `at` has passed, unless its `due` says later by then."""
        if at == math.inf:
            return
        self._watched[item] = at
        if at < self._fires_at:
            self._set_timer(at)

    def unwatch(self, item: Watched) -> None:
        """Forget `item`; nothing happens when it is not watched."""
        self._watched.pop(item, None)

    def close(self) -> None:
        """Forget everything and stop the timer."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fires_at = math.inf

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = at
        self._timer = self._loop.call_later(max(at - perf_counter(), _FINEST_S), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._fires_at = math.inf
        now = perf_counter()
        for item in [item for item, at in self._watched.items() if at <= now]:
            moved_to = item.due()
            if now < moved_to < math.inf:
                self._watched[item] = moved_to
                continue
            del self._watched[item]
            if moved_to <= now:
                item.expire()
        if self._watched:
            self._set_timer(min(self._watched.values()))
