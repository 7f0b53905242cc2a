"""Routes loggers of the standard `logging` into the library's log."""

import logging
from collections.abc import Callable
from datetime import datetime

from nbhttp.logs.records import Entry, describe_exception, redact_bound, safe_text

__all__ = ["Interception"]

# What every LogRecord has; the rest came in with `extra=`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _Handler(logging.Handler):
    """Hands records over as entries."""

    def __init__(self, deliver: Callable[[Entry], None]) -> None:
        super().__init__()
        self._deliver = deliver

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._deliver(_entry_of(record))
        except Exception as exc:  # noqa: BLE001 - a log line must not harm those who write it
            # logging's own handleError would print the arguments, unredacted.
            record = logging.makeLogRecord({"name": record.name, "levelno": logging.ERROR})
            record.levelname = "ERROR"
            record.msg = f"a record of this logger could not be logged: {type(exc).__name__}"
            self._deliver(_entry_of(record))


def _entry_of(record: logging.LogRecord) -> Entry:
    exc = record.exc_info[1] if record.exc_info else None
    return Entry(
        time=datetime.fromtimestamp(record.created).astimezone(),
        level=record.levelname,
        level_number=record.levelno,
        message=_message_of(record),
        logger=record.name,
        fields={"event": "log"},
        bound=redact_bound({k: v for k, v in record.__dict__.items() if k not in _STANDARD}),
        exception=None if exc is None else describe_exception(exc),
    )


def _message_of(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit the format
        text = f"{record.msg} {record.args}"
    return safe_text(text)


class Interception:
    """One logger whose records come to us alone, until `undo()`.

    Its records no longer go up to the handlers of its parents, so no line appears twice. Its level
    is set only when it had none of its own: a logger that was silenced stays so.

    Args:
        name: The logger's name.
        deliver: Takes each entry.
    """

    def __init__(self, name: str, deliver: Callable[[Entry], None]) -> None:
        self._logger = logging.getLogger(name)
        self._handler = _Handler(deliver)
        self._had_level = self._logger.level
        self._propagated = self._logger.propagate
        self._logger.addHandler(self._handler)
        self._logger.propagate = False

    def set_level(self, level: int) -> None:
        """Let records from this level on through, when the logger had no level of its own."""
        if self._had_level == logging.NOTSET:
            self._logger.setLevel(max(level, 1))

    def undo(self) -> None:
        """Give the logger back as it was; what was changed in between stays."""
        self._logger.removeHandler(self._handler)
        if not self._logger.propagate:
            self._logger.propagate = self._propagated
        if self._had_level == logging.NOTSET:
            self._logger.setLevel(logging.NOTSET)
