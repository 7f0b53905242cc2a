"""What a transfer has come to, in a few words; pure."""

import math
import re
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from nbhttp._core.events import BatchProgress, DownloadFinished, UploadProgress
from nbhttp._render.units import count

__all__ = [
    "Meter",
    "batch_outcome",
    "download_outcome",
    "facts",
    "label_of",
    "of_total",
    "percent",
    "shortened",
    "size_text",
    "time_text",
    "upload_label",
    "upload_outcome",
]

_UNITS = ("KB", "MB", "GB", "TB", "PB")
_MOST_LABEL = 40
_MOST_UPLOAD = 60
_MOST_ERROR = 300
_MOST_REASON = 80
_STILL_S = 3.0
"""Seconds without a byte after which the last speed says nothing any more."""
_REQUEST = re.compile(r" \([A-Z]+ https?://[^\s()]*\)")


def size_text(size: float) -> str:
    """Return a size with two digits: "812 bytes", "1.2 GB", "412 MB"; units are decimal.

    Examples:
        >>> size_text(1), size_text(1_234_000_000), size_text(999_600)
        ('1 byte', '1.2 GB', '1.0 MB')
    """
    if size < 1000:
        whole = int(size)
        return f"{whole} byte" if whole == 1 else f"{whole} bytes"
    amount = size
    unit = ""
    for unit in _UNITS:  # noqa: B007 - the unit it stopped at
        amount /= 1000
        if amount < 999.5:
            break
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"


def time_text(seconds: float) -> str:
    """Return a duration as one says it: "2.4 s", "38 s", "3 min 20 s", "1 h 5 min".

    Examples:
        >>> time_text(0.03), time_text(2.4), time_text(38), time_text(200), time_text(3900)
        ('0.1 s', '2.4 s', '38 s', '3 min 20 s', '1 h 5 min')
    """
    if seconds < 9.95:
        return f"{max(0.1, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400:,} days"


def percent(done: int, total: int | None) -> int | None:
    """Return whole percent, rounded down: 100 only when all is done; None for an unknown total.

    Examples:
        >>> percent(999, 1000), percent(1000, 1000), percent(5, None)
        (99, 100, None)
    """
    return None if not total else min(100, 100 * done // total)


def of_total(done: int, total: int | None) -> str:
    """Return "412 MB of 1.2 GB", or "412 MB" when the total is unknown or passed."""
    if total is None or total < done:
        return size_text(done)
    return f"{size_text(done)} of {size_text(total)}"


def facts(
    done: int,
    total: int | None,
    speed: float | None,
    waiting_because: str | None = None,
    still: float = 0.0,
) -> str:
    """Return what is known while it runs: "412 MB of 1.2 GB, 31 MB/s, 25 s left".

    Args:
        done: Bytes that are there, or that were sent.
        total: All bytes; None when unknown.
        speed: Bytes a second; None when unknown.
        waiting_because: Why nothing moves; None when it does.
        still: Seconds since something moved.
    """
    parts = [of_total(done, total)] if done or total is not None else []
    if waiting_because is not None:
        return ", ".join([*parts, f"waiting: {_error(waiting_because, _MOST_REASON)}"])
    parts = parts or [size_text(done)]
    if still >= _STILL_S:
        return f"{parts[0]}, nothing for {time_text(still)}"
    if speed is not None and speed >= 1:
        parts.append(f"{size_text(speed)}/s")
        if total is not None and total > done:
            parts.append(f"{time_text(max(1.0, (total - done) / speed))} left")
    return ", ".join(parts)


def label_of(path: str | None, url: str) -> str:
    """Return a short name: the file's, else the last part of the URL's path, else its host.

    Examples:
        >>> label_of("data/big.bin", "https://h/x"), label_of(None, "https://h/a/b%20c.zip?k=1")
        ('big.bin', 'b c.zip')
        >>> label_of(None, "https://h/")
        'h'
    """
    if path is not None:
        name = PurePath(path).name
    else:
        parts = urlsplit(url)
        name = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or url
    return shortened(name, _MOST_LABEL)


def upload_label(event: UploadProgress) -> str:
    """Return what is sent and where to: "scan.png to api.example", "PUT api.example/harbour"."""
    parts = urlsplit(event.url)
    host = parts.netloc.rpartition("@")[2]
    if not event.files:
        return shortened(f"{event.method} {host}{parts.path}", _MOST_UPLOAD)
    first, *others = event.files
    more = f" and {len(others):,} more" if others else ""
    return f"{shortened(first, _MOST_LABEL)}{more} to {shortened(host, _MOST_LABEL)}"


def shortened(text: str, most: int) -> str:
    """Return `text` with its middle left out, `most` characters at most: names differ at the end."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[head + 1 - most :]}"


def download_outcome(event: DownloadFinished) -> str:
    """Return how a download ended: "1.2 GB in 38 s, complete"."""
    if event.success:
        return _complete(event)
    if event.received == 0:
        error = "stopped before anything came"
        return error if event.error == "cancelled" else f"failed: {_error(event.error)}"
    if event.received == event.total and event.error != "cancelled":  # such as a wrong checksum
        return f"failed after {size_text(event.received)}: {_error(event.error)}"
    where = f"stopped at {of_total(event.received, event.total)}"
    if event.error != "cancelled":
        where += f": {_error(event.error)}"
    is_resumable = event.path is not None and event.received != event.total
    if is_resumable and "to resume" not in where:
        where += "; run again to resume"
    return where


def _complete(event: DownloadFinished) -> str:
    size = size_text(event.received if event.total is None else event.total)
    checked = ", verified" if getattr(event.result, "verified", False) else ""
    if event.skipped:
        return f"{size}, already there{checked}"
    before = [f"started over: {_error(why)}" for why in getattr(event.result, "restarts", ())[-1:]]
    before += [f"{size_text(event.resumed_from)} were there already"] if event.resumed_from else []
    aside = f" ({'; '.join(before)})" if before else ""
    return f"{size} in {time_text(event.elapsed)}, complete{checked}{aside}"


def _error(error: str | None, most: int = _MOST_ERROR) -> str:
    """Return an error without the request that it names: the line names the file already."""
    text = _REQUEST.sub("", " ".join((error or "unknown error").split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def upload_outcome(event: UploadProgress) -> str:
    """Return how an upload ended: "1.2 GB in 38 s, sent"."""
    if event.success:
        if event.total is not None and event.sent < event.total:
            sent = of_total(event.sent, event.total)
            return f"{sent} sent in {time_text(event.elapsed)}: the server answered before the rest"
        return f"{size_text(event.sent)} in {time_text(event.elapsed)}, sent"
    if event.sent == event.total and event.error != "cancelled":
        return f"{size_text(event.sent)} sent, failed: {_error(event.error)}"
    where = f"stopped at {of_total(event.sent, event.total)}"
    return where if event.error == "cancelled" else f"{where}: {_error(event.error)}"


def batch_outcome(event: BatchProgress) -> str:
    """Return how a `download_many` ended: "500 files, 100 MB in 12 s, complete"."""
    files = count(event.files, "file")
    if event.skipped == event.files:
        return f"{files}, already there" if event.files else "nothing to fetch"
    fetched = f"{size_text(event.received)} in {time_text(event.elapsed)}"
    there = [f"{event.skipped:,} already there"] if event.skipped else []
    there += [f"{size_text(event.resumed_from)} resumed"] if event.resumed_from else []
    already = f" ({', '.join(there)})" if there else ""
    if event.finished == event.files:
        return f"{files}, {fetched}, complete{already}"
    where = f"{event.finished:,} of {files}, {fetched}{already}"
    if event.failed:
        where += f", {event.failed:,} failed"
    if event.finished + event.failed < event.files:
        return f"stopped at {where}; run again to fetch the rest"
    return f"{where}; .retry_failed() tries {'that' if event.failed == 1 else 'those'} again"


class Meter:
    """The speed of late: an average in which older seconds count less and less.

    It divides bytes by seconds, both of which fade alike: so the first step is as right as any
    later one, and none of them outweighs the time that it took.

    Args:
        done: Where it stood at `now`; what was there before does not count as speed.
        now: Seconds of a monotonic clock.
    """

    MEMORY_S = 4.0
    LEAST_S = 0.05  # a shorter step says nothing: bytes come in bursts

    def __init__(self, done: int, now: float) -> None:
        self._done = done
        self._at = now
        self._bytes = 0.0
        self._seconds = 0.0

    @property
    def speed(self) -> float | None:
        """Bytes a second; None before the first step."""
        return self._bytes / self._seconds if self._seconds else None

    def add(self, done: int, now: float) -> None:
        """Take in that `done` bytes are there at `now`."""
        passed = now - self._at
        if done < self._done:  # it started over
            self.__init__(done, now)  # type: ignore[misc] # as new
            return
        if passed < self.LEAST_S:
            return
        kept = math.exp(-passed / self.MEMORY_S)
        self._bytes = self._bytes * kept + (done - self._done)
        self._seconds = self._seconds * kept + passed
        self._done, self._at = done, now
