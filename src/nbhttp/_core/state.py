"""What belongs to a client as a whole, over all its loops and threads."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbhttp._core import events
from nbhttp._core.engines import Engines
from nbhttp._core.limits import Gate
from nbhttp._core.request import Defaults
from nbhttp._core.runtime import call_threadsafe, current_loop, is_asyncio
from nbhttp._core.ticker import Ticker
from nbhttp.config import ClientConfig
from nbhttp.redaction import redact_repr, redact_text

if TYPE_CHECKING:
    from nbhttp._core.live import Live
    from nbhttp._core.request import Prepared

__all__ = ["ClientState", "Flight"]

_names = count(1)


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
        self.name = _checked_name(name)
        self.defaults = Defaults(config, cookies)
        self.gate = Gate(config.max_connections)
        self.events = events.EventHub(parent=events.everyone)
        self.engines = Engines(config)
        self.lives: set[Live] = set()
        self._in_flight: set[Flight] = set()
        _watch_forks(self)

    def in_flight(self, what: Prepared | str, call: object = None) -> Flight:
        """Make the `with` block end by `cancel_all()`, and a foreign loop wake for an interrupt.

        Args:
            what: What a cancelled block was about, for the note that its CancelledError carries.
            call: The user's call that the block is a part of; None when it is the whole of it.
        """
        return Flight(self._in_flight, what, call)

    def with_fresh_cookies(self) -> ClientState:
        """Return the same state with an empty cookie jar, for one call that leaves none behind."""
        other = copy.copy(self)
        other.defaults = self.defaults.with_fresh_jar()
        return other

    def cancel_all(self) -> int:
        """Cancel what is in flight, from any thread; return how many calls that were."""
        lives, flights = list(self.lives), list(self._in_flight)
        reads = {live.flight for live in lives}
        for live in lives:
            live.cancel()
        for flight in flights:
            if flight not in reads:
                flight.cancel()
        return len({live.call for live in lives} | {flight.call for flight in flights})

    def after_fork(self) -> None:
        """Leave to the parent what is the parent's, in a forked process."""
        self.gate.reset()
        self.engines.after_fork()
        self.lives.clear()
        self._in_flight.clear()


class Flight:
    """A call in flight on one loop, or a part of one; a context manager around it.

    Attributes:
        call: What all parts of the user's call have in common.
        is_cancelled: Whether `cancel_all()` ended it.
    """

    __slots__ = (
        "_all",
        "_cancel_task",
        "_loop",
        "_scope",
        "_ticker",
        "_what",
        "call",
        "is_cancelled",
    )

    def __init__(self, all_flights: set[Flight], what: Prepared | str, call: object) -> None:
        self.call = self if call is None else call
        self._all = all_flights
        self._what = what
        self._scope: Any = None
        self._ticker: Ticker | None = None
        self._cancel_task: Callable[[], object] | None = None
        self.is_cancelled = False

    def __enter__(self) -> None:
        self._loop = loop = current_loop()
        if is_asyncio(loop):
            task = asyncio.current_task()
            self._cancel_task = None if task is None else task.cancel
            self._ticker = Ticker.of(loop)
            if self._ticker is not None:
                self._ticker.begin()
        else:
            import trio

            self._scope = trio.CancelScope()
            self._scope.__enter__()
            self._cancel_task = self._scope.cancel
        self._all.add(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._all.discard(self)
        if self._ticker is not None:
            self._ticker.end()
        swallowed: bool | None = None
        if self._scope is not None:
            swallowed = self._scope.__exit__(kind, exc, traceback)
        if self.is_cancelled and (exc is None or swallowed):
            # Also when the block has ended by itself before it was told: a stream that was being
            # opened must not stay open.
            raise self._noted(asyncio.CancelledError())
        if isinstance(exc, asyncio.CancelledError):
            self._noted(exc)
        return swallowed

    def cancel(self) -> None:
        """End the block, from any thread: it raises CancelledError."""
        self.is_cancelled = True
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the call with it
            call_threadsafe(self._loop, self._cancel)

    def _cancel(self) -> None:
        # The task may have left the block meanwhile; what it does now is its own.
        if self in self._all and self._cancel_task is not None:
            cancel, self._cancel_task = self._cancel_task, None
            cancel()

    def _noted(self, exc: asyncio.CancelledError) -> asyncio.CancelledError:
        """Have the exception say what it ended, since an interrupted cell shows it as it is."""
        if not hasattr(exc, "__notes__"):
            what = self._what
            if not isinstance(what, str):
                from nbhttp.redaction import redact_url

                what = f"{what.method} {redact_url(what.url.text)}"
            how = "cancelled by cancel_all()" if self.is_cancelled else "interrupted or cancelled"
            exc.add_note(f"{what} was {how}; its connection is closed and the client usable")
        return exc


_states: weakref.WeakSet[ClientState] | None = None


def _checked_name(name: str | None) -> str:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"a client's name is text, not {redact_repr(name)}")
    return redact_text(name) if name else f"client-{next(_names)}"


def _watch_forks(state: ClientState) -> None:
    """Have `state.after_fork()` called in each process that is forked from this one."""
    global _states  # noqa: PLW0603 - made with the first client
    if _states is None:
        _states = weakref.WeakSet()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)
    _states.add(state)


def _after_fork() -> None:
    for state in list(_states or ()):
        state.after_fork()
