"""Every error that nbhttp raises or puts into a result.

```
NbhttpError
├ RequestError      no usable response
│ ├ ConnectError            no connection: name, address, TLS
│ ├ TimeoutError            a limit passed (also the built-in TimeoutError)
│ ├ ProtocolError           what came is not HTTP, or is damaged
│ ├ TooManyRedirectsError
│ └ BodyTooLargeError       the body is over `max_body`
├ StatusError       a response came, with 4xx or 5xx
├ DecodeError       the body is not the JSON or text asked for (also ValueError)
├ StreamError       broken mid-way; says how far it came
│ └ UnexpectedContentTypeError
├ TaskError
│ ├ QueueFullError
│ └ DuplicateTaskError
├ DownloadError
│ ├ TruncatedError          fewer bytes than promised
│ ├ ChecksumError           not the bytes that were promised
│ ├ ChangedError            the file changed upstream
│ └ LockedError             another process holds the file
├ ConfigError       a setting or an argument is wrong (also ValueError)
└ MissingExtraError an optional package is missing (also ImportError)
```

Misuse (`TypeError`, `ValueError`, `ConfigError`) and cancellation always raise; everything
below `RequestError`, `StatusError` and `DownloadError` can also stand in a result.
"""

import builtins
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbhttp._marks import visible
from nbhttp.redaction import redact_text, redact_url

if TYPE_CHECKING:
    from nbhttp.result import Attempt, RequestResult

__all__ = [
    "BodyTooLargeError",
    "ChangedError",
    "ChecksumError",
    "ConfigError",
    "ConnectError",
    "DecodeError",
    "DownloadError",
    "DuplicateTaskError",
    "LockedError",
    "MissingExtraError",
    "NbhttpError",
    "ProtocolError",
    "QueueFullError",
    "RequestError",
    "StatusError",
    "StreamError",
    "TaskError",
    "TimeoutError",
    "TooManyRedirectsError",
    "TruncatedError",
    "UnexpectedContentTypeError",
]


class NbhttpError(Exception):
    """The root of all nbhttp errors.

    The message says what failed and with which value; it never holds a secret: it passes the
    redactor when the error is made.

    Args:
        message: What failed, with which value.
        method: The request's method; None when no request is at fault.
        url: The request's URL; kept redacted. None when no request is at fault.
        attempts: What was tried, oldest first.
        hint: One sentence on what to do; None when there is nothing useful to say.
    """

    phases: Any = None
    """Where the time went until it failed, set by an engine for the result's timing."""

    def __init__(
        self,
        message: str = "",
        *,
        method: str | None = None,
        url: str | None = None,
        attempts: "Sequence[Attempt]" = (),
        hint: str | None = None,
    ) -> None:
        # What a server wrote may be in it, and a terminal obeys escape sequences.
        self.message = visible(redact_text(message), keep="\n\t")
        self.method = method
        self.url = None if url is None else redact_url(url)
        self.attempts: tuple[Attempt, ...] = tuple(attempts)
        self.hint = None if hint is None else visible(redact_text(hint), keep="\n\t")
        super().__init__(self.message)
        if self.hint and self.hint not in self.message:
            self.add_note(f"hint: {self.hint}")  # a traceback ends with it

    def add_note(self, note: str, /) -> None:
        """Add a note, once."""
        if note not in getattr(self, "__notes__", ()):
            super().add_note(note)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own rebuilds from positional arguments alone and would drop the rest.
        # The state comes third, so that an error and the result that holds it may name each other.
        return (_rebuild, (type(self), self.args), self._picklable_state())

    def _picklable_state(self) -> dict[str, Any]:
        return dict(self.__dict__)


def _rebuild(kind: type[NbhttpError], args: tuple[Any, ...]) -> NbhttpError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class RequestError(NbhttpError):
    """No usable response came."""


class ConnectError(RequestError):
    """No connection: the name is unknown, the address refuses, or TLS does not trust it."""


class TimeoutError(RequestError, builtins.TimeoutError):  # noqa: A001 - the design's name; also the built-in
    """A time limit passed before the answer was complete."""


class ProtocolError(RequestError):
    """What came is not valid HTTP, or its content coding is damaged."""


class TooManyRedirectsError(RequestError):
    """The server redirected more often than `max_redirects` allows."""


class BodyTooLargeError(RequestError):
    """The response body is larger than `max_body`, counted after decompression."""


class StatusError(NbhttpError):
    """A response came, with status 4xx or 5xx.

    Attributes:
        result: The `RequestResult` with the response; None when the error was made without one.
        status_code: The response's status code.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int,
        result: "RequestResult | None" = None,
        **context: Any,
    ) -> None:
        super().__init__(message, **context)
        self.status_code = status_code
        self.result = result


class DecodeError(NbhttpError, ValueError):
    """The body is not the JSON, text or record that was asked for."""


class StreamError(NbhttpError):
    """A stream broke mid-way.

    Attributes:
        received: Bytes that had come before it broke.
    """

    def __init__(self, message: str = "", *, received: int = 0, **context: Any) -> None:
        super().__init__(message, **context)
        self.received = received


class UnexpectedContentTypeError(StreamError):
    """The stream's content type is not the one asked for; nothing was read."""


class TaskError(NbhttpError):
    """A background task could not be added, found or run."""


class QueueFullError(TaskError):
    """The task manager's queue is full; wait for tasks to end or raise `max_queue`."""


class DuplicateTaskError(TaskError):
    """A task with this id exists already."""


class DownloadError(NbhttpError):
    """A download did not end with a whole, verified file."""


class TruncatedError(DownloadError):
    """The server closed before all promised bytes had come."""


class ChecksumError(DownloadError):
    """The bytes that came do not match the checksum or digest."""


class ChangedError(DownloadError):
    """The file changed upstream while it was being fetched."""


class LockedError(DownloadError):
    """Another process is writing this file."""


class ConfigError(NbhttpError, ValueError):
    """A setting or an argument is wrong; nothing was sent."""


class MissingExtraError(NbhttpError, ImportError):
    """An optional package is missing; the message says how to install it."""
