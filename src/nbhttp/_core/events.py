"""What the core tells those who listen: logs, progress, history.

Events are small, frozen and redacted. Nothing is built when nobody listens.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from nbhttp.redaction import redact_repr
from nbhttp.result import Timing
from nbhttp.types import Subscriber, Unsubscribe

__all__ = [
    "BatchProgress",
    "DownloadFinished",
    "DownloadProgress",
    "DownloadStarted",
    "Event",
    "EventHub",
    "RedirectFollowed",
    "RequestFinished",
    "RequestRetried",
    "RequestStarted",
    "UploadProgress",
    "current_request_id",
    "everyone",
]


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A call was made; it may still wait for a connection.

    Attributes:
        request_id: The same in every event of one call; unique in this process.
        client: The client's name.
        method: As sent.
        url: Redacted.
    """

    request_id: str
    client: str
    method: str
    url: str


@dataclass(frozen=True, slots=True)
class RedirectFollowed:
    """The server pointed elsewhere and the call went there.

    Attributes:
        status_code: 301, 302, 303, 307 or 308.
        location: Where to, absolute and redacted.
    """

    request_id: str
    client: str
    method: str
    url: str
    status_code: int
    location: str


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """An attempt of a download, or a connection of an event stream, has ended; another follows.

    Attributes:
        attempt: The one that ended, counted from 1.
        status_code: None when no answer came.
        error: What went wrong, redacted; None when the status alone is the reason.
        delay: Seconds until the next attempt.
    """

    request_id: str
    client: str
    method: str
    url: str
    attempt: int
    status_code: int | None
    error: str | None
    delay: float


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """A call ended, well or not; exactly one for every `RequestStarted`.

    Attributes:
        status_code: None when no answer came.
        success: As `RequestResult.success`.
        error: As `RequestResult.error`, redacted; None when it succeeded; "cancelled" when it was.
        elapsed: Seconds from the call to its end.
        received: Bytes of the decoded body.
        attempts: How often it was tried.
        redirects: How many were followed.
        http_version: "HTTP/1.1", …; None when no answer came.
        engine: The engine that sent it.
        timing: Where the time went; None when it was cancelled.
        result: The result itself; None when the call was cancelled or streamed.
    """

    request_id: str
    client: str
    method: str
    url: str
    status_code: int | None
    success: bool
    error: str | None
    elapsed: float
    received: int
    attempts: int
    redirects: int
    http_version: str | None
    engine: str
    timing: Timing | None
    result: object | None = None


@dataclass(frozen=True, slots=True)
class DownloadStarted:
    """The first bytes of a download are about to come, or it started over.

    Attributes:
        download_id: The same in every event of one download; unique in this process.
        client: The client's name.
        url: Redacted.
        path: Where the file will be; None when it goes to a file object.
        total: Its size in bytes; None when unknown.
        resumed_from: Bytes that are there already.
        restarted_because: Why earlier bytes were dropped; None at the first start.
    """

    download_id: str
    client: str
    url: str
    path: str | None
    total: int | None
    resumed_from: int
    restarted_because: str | None = None


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a download is; at most some ten times a second, and each second while it stands.

    Attributes:
        received: Bytes that are there, those of earlier runs included; never above `total`.
        total: The size in bytes; None when unknown.
        segments: Connections at work.
        waiting_because: Why nothing comes just now (there is no answer yet, another attempt is to
            follow, or another process holds the file); None while bytes come.
    """

    download_id: str
    client: str
    url: str
    path: str | None
    received: int
    total: int | None
    segments: int = 1
    waiting_because: str | None = None


@dataclass(frozen=True, slots=True)
class DownloadFinished:
    """A download ended, well or not; exactly one for every download.

    Attributes:
        received: Bytes that are there now.
        total: The size in bytes; None when unknown.
        success: Whether the whole file is there.
        skipped: Whether it was there already.
        error: What went wrong, redacted; None when it succeeded; "cancelled" when it was.
        elapsed: Seconds from the call to its end.
        resumed_from: Bytes that were there from an earlier call.
        result: The `DownloadResult`; None when the call was cancelled.
    """

    download_id: str
    client: str
    url: str
    path: str | None
    received: int
    total: int | None
    success: bool
    skipped: bool
    error: str | None
    elapsed: float
    resumed_from: int
    result: object | None = None


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a `download_many` is; at most some ten times a second.

    Attributes:
        batch_id: The same in every event of one call; unique in this process.
        client: The client's name.
        finished: Files that are there, skipped ones included.
        skipped: How many of those were there already.
        failed: Files that failed.
        files: All files.
        received: Bytes fetched so far.
        is_over: Whether this is the last event of the batch.
        elapsed: Seconds from the call on.
        resumed_from: Bytes of finished files that were there from an earlier call.
    """

    batch_id: str
    client: str
    finished: int
    skipped: int
    failed: int
    files: int
    received: int
    is_over: bool = False
    elapsed: float = 0.0
    resumed_from: int = 0


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """How much of a request's body was sent; at most some ten times a second.

    Told to who asked for the progress of this one call, not to the client's subscribers.

    Attributes:
        request_id: The same in every event of one call; unique in this process.
        sent: Bytes handed to the connection; starts over when the body is sent again.
        total: The body's size in bytes; None when unknown.
        is_over: Whether this is the last event of the call: the answer is there, or it failed.
        success: Whether the server answered with a success; False while `is_over` is.
        error: What went wrong, redacted; "cancelled" when it was; else None.
        elapsed: Seconds since the call began.
        files: Names of the files that are sent, as far as they have names; redacted.
    """

    request_id: str
    client: str
    method: str
    url: str
    sent: int
    total: int | None
    is_over: bool = False
    success: bool = False
    error: str | None = None
    elapsed: float = 0.0
    files: tuple[str, ...] = ()


Event: TypeAlias = (
    RequestStarted
    | RedirectFollowed
    | RequestRetried
    | RequestFinished
    | DownloadStarted
    | DownloadProgress
    | DownloadFinished
    | BatchProgress
    | UploadProgress
)

current_request_id: ContextVar[str] = ContextVar("nbhttp_request_id", default="")
"""The `request_id` of the call that this code runs for; "" outside of one, or when nobody listens."""

_log = logging.getLogger("nbhttp")


class EventHub:
    """Hands events to subscribers, in order of subscription, on the thread that emits them."""

    def __init__(self, parent: "EventHub | None" = None) -> None:
        self._subscribers: tuple[_Entry, ...] = ()
        self._parent = parent

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens: events are only worth making then."""
        return bool(self._subscribers) or (self._parent is not None and self._parent.is_heard)

    def subscribe(self, callback: Subscriber) -> Unsubscribe:
        """Call `callback(event)` for each event from now on.

        Returns:
            A function that ends the subscription; calling it again does nothing.
        """
        if not callable(callback):
            raise TypeError(f"subscribe takes a function of one event, not {redact_repr(callback)}")
        entry = _Entry(callback)
        self._subscribers = (*self._subscribers, entry)

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not entry)

        return unsubscribe

    def emit(self, event: object) -> None:
        """Tell everybody; an exception of a subscriber is logged once and goes no further."""
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception as exc:  # noqa: BLE001 - a listener must not harm the request
                subscriber.report(exc)
        if self._parent is not None:
            self._parent.emit(event)


class _Entry:
    """One subscription; the same callback may be subscribed twice."""

    __slots__ = ("callback", "is_reported")

    def __init__(self, callback: Subscriber) -> None:
        self.callback = callback
        self.is_reported = False

    def __call__(self, event: object, /) -> object:
        return self.callback(event)

    def report(self, exc: Exception) -> None:
        """Log once that the callback failed."""
        if self.is_reported:
            return
        self.is_reported = True
        from nbhttp.redaction import redact_text

        name = redact_text(repr(getattr(self.callback, "__qualname__", self.callback)))
        text = redact_text(f"{type(exc).__name__}: {exc}")
        _log.error("the event subscriber %s failed and is not reported again: %s", name, text)


everyone = EventHub()
"""Hears the events of every client in this process."""
