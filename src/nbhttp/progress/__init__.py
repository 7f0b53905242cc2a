"""Progress of downloads and uploads: a bar while they run, one true sentence afterwards."""

import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from nbhttp.progress.board import Board
from nbhttp.progress.display import Painter

__all__ = ["EventWatcher", "ProgressTypes", "Watcher", "watcher"]

ProgressTypes: TypeAlias = 'bool | Literal["bar"] | Callable[[Any], object] | None'
"""How progress is shown: True chooses what fits, "bar" takes a bar in any case, False and None are
silent, a function gets each event."""


def watcher(progress: ProgressTypes, *, is_batch: bool = False) -> "Watcher | EventWatcher | None":
    """Return what shows the progress of one call; None for silence.

    True looks at where the call was made: in a notebook that somebody watches, a live bar; in one
    that is executed by nbclient, papermill or nbconvert, one line that changes now and then; in a
    terminal, a text bar; else, a line of text every tenth or thirty seconds. Each of them ends as
    one sentence.

    Args:
        progress: See `ProgressTypes`. A function is called with each `DownloadStarted`,
            `DownloadProgress`, `DownloadFinished`, `BatchProgress` or `UploadProgress`, where the
            call was made.
        is_batch: Many downloads share it: a `BatchProgress` says when it is over.

    Raises:
        TypeError: It is none of these.

    Examples:
        >>> watcher(False) is None
        True
    """
    if progress is None or progress is False:
        return None
    if callable(progress):
        return EventWatcher(progress)
    if progress is not True and progress != "bar":
        raise TypeError(f"progress takes True, False, 'bar' or a function, not {progress!r}")
    from nbhttp.progress.auto import choose, surroundings
    from nbhttp.progress.display import painter

    return Watcher(painter(choose(progress, surroundings())), is_batch=is_batch)


class EventWatcher:
    """Hands each event to the user's function.

    Args:
        function: Takes one event.
    """

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.start = self.update = self.finish = function


class Watcher:
    """Draws one call's progress, at most ten times a second.

    It may be called from any thread. What it draws lands in the output of the cell whose context
    it runs in: the core calls it where the call was made.

    Args:
        painter: Draws.
        is_batch: Many downloads share it: a `BatchProgress` says when it is over.
        clock: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        painter: Painter,
        *,
        is_batch: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._painter = painter
        self._clock = clock
        self._board = Board(is_batch=is_batch)
        self._lock = threading.Lock()
        self._drawn_at: float | None = None
        self._drawn: int | None = None
        self._is_over = False

    def start(self, event: object) -> None:
        """Take a first event."""
        self.update(event)

    def update(self, event: object) -> None:
        """Take an event; draw when it is time to."""
        with self._lock:
            if self._is_over:
                return
            now = self._clock()
            self._board.take(event, now)
            if self._board.outcome is not None:
                self._is_over = True
                self._painter.end(self._board.outcome)
            else:
                self._draw(now)

    def finish(self, event: object) -> None:
        """Take a last event."""
        self.update(event)

    def _draw(self, now: float) -> None:
        rows = self._board.rows()
        if not rows:
            return
        share = rows[0].percent
        if self._drawn_at is None or self._painter.is_due(now - self._drawn_at, self._drawn, share):
            self._painter.show(rows)
            self._drawn_at, self._drawn = now, share
