"""Tells those who watch a download how far it is: events, the user's callback, a display."""

import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import anyio

from nbhttp._core import events
from nbhttp._core.callers import Caller
from nbhttp._core.identity import Identity
from nbhttp.downloads import OnProgress
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr, redact_text

__all__ = ["Display", "FunctionDisplay", "Reporter", "Watched", "as_display", "report_failure"]

_PERIOD_S = 0.1
_REPEAT_S = 1.0
_numbers = count(1)
_log = logging.getLogger("nbhttp")


class Display(Protocol):
    """Shows one download: a bar, or the user's function of an event."""

    def start(self, event: events.DownloadStarted, /) -> object:
        """Bytes are about to come; called again when the download starts over."""

    def update(self, event: events.DownloadProgress, /) -> object:
        """More bytes have come."""

    def finish(self, event: events.DownloadFinished, /) -> object:
        """It ended; called exactly once."""


class FunctionDisplay:
    """The user's function of an event as a display."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.start = self.update = self.finish = function


def as_display(progress: Any, bar: Callable[[str], Display | None]) -> Display | None:
    """Read what the user gave as `progress=`.

    Args:
        progress: True, False, "bar" or a function of an event.
        bar: Makes a bar, of the style "auto" or "bar".

    Raises:
        ConfigError: It is none of these.
    """
    if progress is False or progress is None:
        return None
    if progress is True:
        return bar("auto")
    if isinstance(progress, str) and progress == "bar":
        return bar("bar")
    if callable(progress):
        return FunctionDisplay(progress)
    raise ConfigError(
        f"progress takes True, False, 'bar' or a function, not {redact_repr(progress)}"
    )


class Watched(Protocol):
    """How far a download is, as the reporter reads it."""

    @property
    def total(self) -> int | None:
        """The size; None when unknown."""

    @property
    def resumed_from(self) -> int:
        """Bytes that were there from an earlier call."""
        ...

    @property
    def waiting_because(self) -> str | None:
        """Why nothing comes just now; None while bytes come."""

    @property
    def received(self) -> int:
        """Bytes that are there."""
        ...

    @property
    def path(self) -> str | None:
        """The final path; None when there is none yet."""

    @property
    def connections(self) -> int:
        """Connections at work."""
        ...


class Reporter:
    """Reports on one download, at most ten times a second.

    The user's callback and display run where the call was made. An exception of theirs is logged
    once, ends the reports to that one, and does not harm the file.

    Args:
        hub: The client's events.
        client: The client's name.
        identity: The URL.
        caller: Where the user's code runs.
        on_progress: The user's callback of received and total bytes; None for none.
        display: None for none.

    Attributes:
        download_id: Stands in every event of this download.
    """

    def __init__(
        self,
        hub: events.EventHub,
        client: str,
        identity: Identity,
        caller: Caller,
        on_progress: OnProgress | None,
        display: Display | None,
    ) -> None:
        self._hub = hub
        self._client = client
        self._identity = identity
        self._caller = caller
        self._on_progress = on_progress
        self._display = display
        self.download_id = f"d{next(_numbers):06d}"
        self._last: tuple[Any, ...] | None = None
        self._told_at = 0.0

    @property
    def is_watched(self) -> bool:
        """Whether anybody wants to know."""
        return self._on_progress is not None or self._display is not None or self._hub.is_heard

    async def watch(self, watched: Watched, is_over: anyio.Event) -> None:
        """Report until it is over; a callback under way is waited for."""
        while not is_over.is_set():
            with anyio.move_on_after(_PERIOD_S):
                await is_over.wait()
                return
            await self.progress(watched)

    async def started(self, watched: Watched, because: str | None = None) -> None:
        """Report the beginning, and the first position."""
        if not self.is_watched:
            return
        event = events.DownloadStarted(
            self.download_id,
            self._client,
            self._identity.shown,
            watched.path,
            watched.total,
            watched.received,
            because,
        )
        self._hub.emit(event)
        if self._display is not None:
            await self._show(self._display.start, event)
        await self.progress(watched)

    async def progress(self, watched: Watched) -> None:
        """Report where it is; unless that was reported already, a moment ago."""
        received, total = watched.received, watched.total
        if total is not None:
            received = min(received, total)
        state = (received, total, watched.connections, watched.waiting_because)
        now = time.monotonic()
        if not self.is_watched or (state == self._last and now - self._told_at < _REPEAT_S):
            return
        moved = self._last is None or state[:2] != self._last[:2]
        self._last, self._told_at = state, now
        event = events.DownloadProgress(
            self.download_id, self._client, self._identity.shown, watched.path, *state
        )
        self._hub.emit(event)
        if self._display is not None:
            await self._show(self._display.update, event)
        if self._on_progress is not None and moved:
            await self._call(received, total)

    async def finished(self, watched: Watched, started: float, result: Any) -> None:
        """Report the last position and the end."""
        if not self.is_watched:
            return
        await self.progress(watched)
        event = self._finished_event(watched, started, result)
        self._hub.emit(event)
        if self._display is not None:
            await self._show(self._display.finish, event)

    async def cancelled(self, watched: Watched, started: float) -> None:
        """Report that it was stopped."""
        if not self.is_watched:
            return
        event = self._finished_event(watched, started, None)
        self._hub.emit(event)
        if self._display is not None:
            with anyio.move_on_after(1, shield=True):
                await self._show(self._display.finish, event)

    def _finished_event(
        self, watched: Watched, started: float, result: Any
    ) -> events.DownloadFinished:
        return events.DownloadFinished(
            download_id=self.download_id,
            client=self._client,
            url=self._identity.shown,
            path=watched.path,
            received=watched.received,
            total=watched.total,
            success=result is not None and result.success,
            skipped=result is not None and result.skipped,
            error="cancelled" if result is None else result.error,
            elapsed=time.perf_counter() - started,
            resumed_from=watched.resumed_from,
            result=result,
        )

    async def _call(self, received: int, total: int | None) -> None:
        callback = self._on_progress
        try:
            await self._caller.run(callback, received, total)  # type: ignore[arg-type] # not None here
        except Exception as exc:  # noqa: BLE001 - a callback must not harm the file
            self._on_progress = None
            report_failure(callback, exc)

    async def _show(self, method: Callable[[Any], object], event: object) -> None:
        try:
            await self._caller.run(method, event)
        except Exception as exc:  # noqa: BLE001 - a display must not harm the file
            self._display = None
            report_failure(method, exc)


def report_failure(what: Any, exc: Exception) -> None:
    """Log once that the user's own code failed while it was told of progress."""
    name = getattr(what, "__qualname__", repr(what))
    text = redact_text(f"{type(exc).__name__}: {exc}")
    _log.error("the progress callback %s failed and is not called again: %s", name, text)
