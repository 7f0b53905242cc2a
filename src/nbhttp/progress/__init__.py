"""Progress of downloads and uploads: a bar while they run, one true sentence afterwards.

What is drawn is chosen where the call is made: in a notebook that somebody watches, a live bar; in
one that nbclient, papermill or nbconvert executes, a line that changes now and then; in a terminal,
a text bar; else a line of text every tenth or thirty seconds. Each of them ends as one sentence,
which is all that a saved notebook keeps.
"""

import threading
import time
from collections.abc import Callable

from nbhttp._core.events import DownloadFinished
from nbhttp.progress.board import Board
from nbhttp.progress.display import Painter

__all__ = ["Watcher", "for_download", "for_downloads", "for_upload"]

_BATCH_S = 0.1
_QUIET_S = 5.0
_LONG_S = 30.0


def for_download(style: str = "auto") -> "Watcher":
    """Return what shows one `download_file`.

    Args:
        style: "auto" is what fits; "bar" is a bar even where nobody seems to watch.
    """
    return Watcher(_painter(style))


def for_upload(style: str = "auto") -> "Watcher":
    """Return what shows how the body of one request is sent; see `for_download`."""
    return Watcher(_painter(style))


def for_downloads(style: str = "auto") -> "Watcher":
    """Return what shows one `download_many`; see `for_download`."""
    return Watcher(_painter(style), is_batch=True)


def _painter(style: str) -> Painter:
    from nbhttp.progress.auto import choose, surroundings
    from nbhttp.progress.display import painter

    return painter(choose(style, surroundings()))


class Watcher:
    """Draws one call's progress.

    Where somebody watches, each change of a single transfer, which the core reports ten times a
    second; a batch, which has many, is drawn as often. Else now and then.

    It may be called from any thread. What it draws lands in the output of the cell in whose
    context it is called: the core does so where the call was made.

    Args:
        painter: Draws.
        is_batch: Many downloads share it.
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
            if self._drawn_at is None and not isinstance(event, DownloadFinished):
                self._painter.prepare()  # it takes a while: before the meters read the clock
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
        if self._drawn_at is None or self._is_due(now - self._drawn_at, share):
            self._painter.show(rows)
            self._drawn_at, self._drawn = now, share

    def _is_due(self, since: float, share: int | None) -> bool:
        if self._painter.is_live:
            return since >= _BATCH_S or not self._board.is_batch
        return is_quietly_due(since, self._drawn, share)


def is_quietly_due(since: float, drawn: int | None, now: int | None) -> bool:
    """Say whether a line is due that nobody waits for.

    Args:
        since: Seconds since the last one.
        drawn: The percentage it had; None when unknown.
        now: The percentage at present; None when unknown.

    Returns:
        True at each further tenth, but not within five seconds; in any case after thirty.
    """
    if since >= _LONG_S:
        return True
    return since >= _QUIET_S and now is not None and now >= (drawn or 0) + 10
