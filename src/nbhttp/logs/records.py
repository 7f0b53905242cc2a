"""What is logged: one `Entry` for an event, for a line of the user, for a `logging` record.

Everything here decides and redacts; nothing here writes.
"""

import asyncio
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbhttp._core.events import (
    RedirectFollowed,
    RequestFinished,
    RequestRetried,
    RequestStarted,
)
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_body, redact_json, redact_text
from nbhttp.result import RequestResult

__all__ = [
    "LEVELS",
    "Entry",
    "describe_exception",
    "entry_of",
    "level_number",
    "level_of",
    "redact_bound",
    "safe_text",
]

LEVELS: Mapping[str, int] = {
    "TRACE": 5,
    "DEBUG": 10,
    "INFO": 20,
    "SUCCESS": 25,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
}
_NAMES = {number: name for name, number in LEVELS.items()}
# A secret cut in two by the end of what is read would not be recognised; it falls into this margin.
_BODY_MARGIN = 4096
_MAX_DEPTH = 16
_SCALARS = (str, int, float, type(None))


@dataclass(slots=True)
class Entry:
    """One record, redacted and ready for any sink.

    Attributes:
        time: With its offset.
        level: The level's name.
        level_number: As in loguru and `logging`.
        message: One sentence.
        logger: "nbhttp" for the library's own, else the module or logger that wrote it.
        fields: What the library knows about the request, in the order of the JSON line.
        bound: What the user bound: context and keyword arguments.
        exception: "type", "message", "traceback" (a list of lines); None without one.
    """

    time: datetime
    level: str
    level_number: int
    message: str
    logger: str
    fields: dict[str, Any]
    bound: dict[str, Any] = field(default_factory=dict)
    exception: dict[str, Any] | None = None


def level_number(level: str | int) -> int:
    """Return a level's number.

    Raises:
        ConfigError: It is neither one of the names in `LEVELS`, in any case, nor a number >= 0.
    """
    if isinstance(level, int) and not isinstance(level, bool) and level >= 0:
        return level
    number = LEVELS.get(level.upper()) if isinstance(level, str) else None
    if number is None:
        raise ConfigError(f"level must be one of {', '.join(LEVELS)} or a number, not {level!r}")
    return number


# --- events --------------------------------------------------------------------------------


def level_of(event: object, slow_s: float | None) -> int | None:
    """How grave an event is; None when it is not one that is logged.

    A finished request is INFO, a slow one and one that was refused (4xx) or cancelled WARNING, one
    that failed ERROR. A retry is WARNING; a start and a redirection, which the finished request
    tells as well, are DEBUG.
    """
    if isinstance(event, RequestFinished):
        return _level_of_finished(event, slow_s)
    if isinstance(event, RequestRetried):
        return LEVELS["WARNING"]
    if isinstance(event, RequestStarted | RedirectFollowed):
        return LEVELS["DEBUG"]
    return None


def _level_of_finished(event: RequestFinished, slow_s: float | None) -> int:
    if event.error is None:  # a stream that was read to its end has no result, and no error
        return LEVELS["WARNING"] if _is_slow(event, slow_s) else LEVELS["INFO"]
    is_refused = event.status_code is not None and 400 <= event.status_code < 500
    if is_refused or event.error == "cancelled":
        return LEVELS["WARNING"]
    return LEVELS["ERROR"]


def _is_slow(event: RequestFinished, slow_s: float | None) -> bool:
    return slow_s is not None and event.elapsed >= slow_s


def entry_of(event: Any, level: int, *, slow_s: float | None = None, max_body: int = 0) -> Entry:
    """Make the record of an event that `level_of` gave a level.

    Args:
        event: One of the core's events.
        level: What `level_of` said.
        slow_s: Seconds from which on an answer is called slow; None never calls it so.
        max_body: Bytes of the request's and of the response's body to include.
    """
    describe = _DESCRIBERS[type(event)]
    message, details = describe(event, slow_s)
    fields: dict[str, Any] = {
        "event": details.pop("event"),
        "request_id": event.request_id,
        "method": event.method,
        "url": event.url,
        "status": details.pop("status", None),
        "elapsed_ms": details.pop("elapsed_ms", None),
        "bytes": details.pop("bytes", None),
        "attempt": details.pop("attempt", None),
        "error": details.pop("error", None),
        "client": event.client,
        "task": _task_name(),
        **details,
    }
    if max_body and isinstance(event, RequestFinished):
        fields.update(_bodies(event.result, max_body))
    return Entry(datetime.now().astimezone(), _NAMES[level], level, message, "nbhttp", fields)


def _started(event: RequestStarted, _: float | None) -> tuple[str, dict[str, Any]]:
    return f"{event.method} {event.url} started", {"event": "request.started"}


def _redirected(event: RedirectFollowed, _: float | None) -> tuple[str, dict[str, Any]]:
    message = f"{event.method} {event.url} {event.status_code}, redirected to {event.location}"
    return message, {
        "event": "request.redirected",
        "status": event.status_code,
        "location": event.location,
    }


def _retried(event: RequestRetried, _: float | None) -> tuple[str, dict[str, Any]]:
    what = f"{event.method} {event.url}"
    message = (
        f"{what} attempt {event.attempt} failed, next in {event.delay:.3g} s: "
        f"{_reason(event.error, event) or event.status_code}"
    )
    return message, {
        "event": "request.retried",
        "status": event.status_code,
        "attempt": event.attempt,
        "error": event.error,
        "delay_ms": round(event.delay * 1000, 3),
    }


def _finished(event: RequestFinished, slow_s: float | None) -> tuple[str, dict[str, Any]]:
    is_slow = _is_slow(event, slow_s)
    return _finished_message(event, is_slow=is_slow), {
        "event": "request.finished",
        "status": event.status_code,
        "elapsed_ms": round(event.elapsed * 1000, 3),
        "bytes": event.received,
        "attempt": event.attempts,
        "error": event.error,
        "redirects": event.redirects,
        "slow": is_slow,
        "http_version": event.http_version,
        "engine": event.engine,
    }


def _finished_message(event: RequestFinished, *, is_slow: bool) -> str:
    notes = []
    if event.attempts > 1:
        notes.append(f"attempt {event.attempts}")
    if event.redirects:
        notes.append(f"{event.redirects} redirect{'s' if event.redirects > 1 else ''}")
    if is_slow:
        notes.append("slow")
    noted = f" ({', '.join(notes)})" if notes else ""
    what = f"{event.method} {event.url}"
    if event.status_code is None and event.error is None:
        return f"{what} ended after {event.elapsed:.3f} s{noted}"
    if event.status_code is None:
        reason = _reason(event.error, event)
        return f"{what} failed after {event.elapsed:.3f} s{noted}: {reason}"
    text = f"{what} {event.status_code}, {event.received:,} bytes in {event.elapsed:.3f} s{noted}"
    return text if event.error is None else f"{text}: {_reason(event.error, event)}"


def _reason(error: str | None, event: RequestFinished | RequestRetried) -> str:
    """The error without what the line has said already: the status, the method and the URL."""
    if error is None:
        return ""
    return error.removeprefix(f"{event.status_code} ").removesuffix(
        f" ({event.method} {event.url})"
    )


_DESCRIBERS: Mapping[type, Callable[[Any, float | None], tuple[str, dict[str, Any]]]] = {
    RequestStarted: _started,
    RedirectFollowed: _redirected,
    RequestRetried: _retried,
    RequestFinished: _finished,
}


def _task_name() -> str | None:
    """The name of the asyncio or trio task that runs; None outside of one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is not None:
        return redact_text(task.get_name())
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        return redact_text(trio.lowlevel.current_task().name)
    except RuntimeError:
        return None


# --- bodies --------------------------------------------------------------------------------


def _bodies(result: object, max_bytes: int) -> dict[str, str | None]:
    if not isinstance(result, RequestResult):
        return {}
    result._hide_echoes()  # noqa: SLF001 - before it is shown
    sent = result._request  # noqa: SLF001 - what was sent has no public face beside `response`
    kind = next((v for k, v in sent.headers if k.lower() == b"content-type"), b"")
    return {
        "request_body": _body_text(sent.body, kind.decode("latin-1"), max_bytes),
        "response_body": _body_text(
            result.content, result.headers.get("content-type", ""), max_bytes
        ),
    }


def _body_text(body: bytes | None, content_type: str, max_bytes: int) -> str | None:
    """The beginning of a body, redacted; None when there is none."""
    if not body:
        return None
    window = body[: max_bytes + _BODY_MARGIN]
    if b"\0" in window:
        return f"<{len(body):,} bytes of {redact_text(content_type) or 'binary data'}>"
    text = redact_body(window, content_type)
    if len(window) < len(body):
        text = text[:-_BODY_MARGIN]
    raw = text.encode("utf-8", "replace")
    if len(raw) <= max_bytes and len(window) == len(body):
        return text
    return raw[:max_bytes].decode("utf-8", "ignore") + "…"


# --- what users bind and raise -------------------------------------------------------------


def safe_text(value: object) -> str:
    """`str(value)`, redacted; its type when even that fails."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - somebody else's __str__ must not harm the request
        text = f"<{type(value).__qualname__} that has no text>"
    return redact_text(text)


def redact_bound(bound: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of what the user bound, made of plain values and redacted."""
    if not bound:
        return {}
    plain: dict[str, Any] = redact_json({str(key): _plain(v, 0) for key, v in bound.items()})
    return plain


def _plain(value: Any, depth: int) -> Any:
    """The value made of dicts, lists and scalars; anything else, and a cycle, becomes text."""
    if type(value) in _SCALARS or isinstance(value, bool):
        return value
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return {_key_text(key): _plain(v, depth + 1) for key, v in list(value.items())}
        if type(value) in (list, tuple):
            return [_plain(v, depth + 1) for v in list(value)]
    if isinstance(value, datetime):
        return value.isoformat()
    return safe_text(value)


def _key_text(key: object) -> str:
    return key if type(key) is str else safe_text(key)


def describe_exception(exc: BaseException) -> dict[str, Any]:
    """An exception as data: its type, its message and its traceback with causes, redacted.

    The values of variables are not in it.
    """
    kind = type(exc)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    try:
        text = "".join(traceback.TracebackException.from_exception(exc).format())
    except Exception:  # noqa: BLE001 - a broken __str__ or source file must not harm the request
        text = name
    return {
        "type": name,
        "message": safe_text(exc),
        "traceback": redact_text(text).splitlines(),
    }
