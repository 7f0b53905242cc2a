"""What goes on in one call, put together from its events: pure state, no display."""

from dataclasses import dataclass, field
from typing import Literal

from nbhttp._core.events import (
    BatchProgress,
    DownloadFinished,
    DownloadProgress,
    DownloadStarted,
    UploadProgress,
)
from nbhttp._render.units import count
from nbhttp.progress.summary import (
    Meter,
    batch_outcome,
    download_outcome,
    facts,
    label_of,
    percent,
    size_text,
    upload_label,
    upload_outcome,
)

__all__ = ["Board", "Outcome", "Row"]

MOST_ROWS = 4
"""Single files shown below the bar of a batch."""
_ALL = "download_many"
_NO_ANSWER = "no answer yet"


@dataclass(frozen=True, slots=True)
class Row:
    """One bar.

    Attributes:
        label: What it is about.
        done: Bytes, or files of a batch; never above `total`.
        total: All of them; None when unknown.
        facts: Sizes, speed and time left in words.
        is_resumable: Whether running it again goes on from here.
    """

    label: str
    done: int
    total: int | None
    facts: str
    is_resumable: bool = True

    @property
    def percent(self) -> int | None:
        """Whole percent, rounded down; None when the total is unknown."""
        return percent(self.done, self.total)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    Attributes:
        label: What it is about.
        text: The sentence that stays.
        tone: "ok" when all of it is there, "warn" when it was stopped, "bad" when it failed.
    """

    label: str
    text: str
    tone: Literal["ok", "warn", "bad"]


@dataclass(slots=True)
class _Transfer:
    label: str
    done: int
    total: int | None
    now: float
    waiting_because: str | None = None
    is_resumable: bool = True
    meter: Meter = field(init=False)
    moved_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.done, self.now)
        self.moved_at = self.now

    def move(self, done: int, total: int | None, now: float) -> None:
        self.total = total
        before, self.done = self.done, done if total is None else min(done, total)
        self.now = now
        if self.done != before or self.waiting_because is not None:
            self.moved_at = now
        self.meter.add(self.done, now)

    def row(self) -> Row:
        still = self.now - self.moved_at
        text = facts(self.done, self.total, self.meter.speed, self.waiting_because, still)
        return Row(self.label, self.done, self.total, text, self.is_resumable)


@dataclass(slots=True)
class Board:
    """Takes the events of one call and says what to show.

    Attributes:
        is_batch: Whether it is a `download_many`: the batch decides when it is over.
        outcome: How it ended; None while it runs.
    """

    is_batch: bool = False
    outcome: Outcome | None = None
    _transfers: dict[str, _Transfer] = field(default_factory=dict)
    _batch: BatchProgress | None = None
    _meter: Meter | None = None

    def take(self, event: object, now: float) -> None:
        """Take in an event; one that is of no concern here changes nothing.

        Args:
            event: Any event of the core.
            now: Seconds of a monotonic clock.
        """
        match event:
            case DownloadStarted():
                self._start(event, now)
            case DownloadProgress():
                self._move(event, now)
            case DownloadFinished():
                self._finish(event)
            case BatchProgress():
                self._count(event, now)
            case UploadProgress():
                self._send(event, now)

    def _start(self, event: DownloadStarted, now: float) -> None:
        label = label_of(event.path, event.url)
        there = event.resumed_from
        self._transfers[event.download_id] = _Transfer(
            label, there, event.total, now, is_resumable=event.path is not None
        )

    def _move(self, event: DownloadProgress, now: float) -> None:
        transfer = self._transfers.get(event.download_id)
        if transfer is None:
            label = label_of(event.path, event.url)
            transfer = _Transfer(label, event.received, event.total, now)
            self._transfers[event.download_id] = transfer
        transfer.waiting_because = event.waiting_because
        transfer.move(event.received, event.total, now)

    def _finish(self, event: DownloadFinished) -> None:
        self._transfers.pop(event.download_id, None)
        if not self.is_batch:
            label = label_of(event.path, event.url)
            self.outcome = Outcome(
                label, download_outcome(event), _tone(event.success, event.error)
            )

    def _count(self, event: BatchProgress, now: float) -> None:
        self.is_batch = True
        self._batch = event
        if self._meter is None:
            self._meter = Meter(event.received, now)
        self._meter.add(event.received, now)
        if event.is_over:
            self.outcome = Outcome(_ALL, batch_outcome(event), _batch_tone(event))

    def _send(self, event: UploadProgress, now: float) -> None:
        transfer = self._transfers.get(event.request_id)
        label = upload_label(event)
        if transfer is None:
            transfer = _Transfer(label, 0, event.total, now, is_resumable=False)
            self._transfers[event.request_id] = transfer
        transfer.waiting_because = _NO_ANSWER if event.sent == event.total else None
        transfer.move(event.sent, event.total, now)
        if event.is_over:
            del self._transfers[event.request_id]
            self.outcome = Outcome(label, upload_outcome(event), _tone(event.success, event.error))

    def rows(self) -> list[Row]:
        """Return what to show now: the batch, if there is one, and a few transfers."""
        singles = [transfer.row() for transfer in list(self._transfers.values())[:MOST_ROWS]]
        if self._batch is None:
            return singles
        return [self._overall(self._batch), *singles]

    def _overall(self, batch: BatchProgress) -> Row:
        done = batch.finished + batch.failed
        parts = [f"{done:,} of {count(batch.files, 'file')}"]
        if batch.failed:
            parts.append(f"{batch.failed:,} failed")
        parts.append(size_text(batch.received))
        speed = None if self._meter is None else self._meter.speed
        if speed is not None and speed >= 1:
            parts.append(f"{size_text(speed)}/s")
        return Row(_ALL, done, batch.files, ", ".join(parts))


def _batch_tone(event: BatchProgress) -> Literal["ok", "warn", "bad"]:
    if event.finished == event.files:
        return "ok"
    return "bad" if event.failed and not event.finished else "warn"


def _tone(is_whole: bool, error: str | None) -> Literal["ok", "warn", "bad"]:
    if is_whole:
        return "ok"
    return "warn" if error == "cancelled" else "bad"
