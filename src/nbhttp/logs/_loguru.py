"""The only module that touches loguru's private parts.

loguru has one public logger and no way to a second one: its `Core` gives us a logger of our own,
whose handlers are not the user's. Its file sink gives rotation, retention and compression without
its queue. pyproject.toml bounds the version; tests/unit/test_logs_loguru.py holds what is used.
"""

import contextlib
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru._file_sink import FileSink
from loguru._logger import Core, Logger

from nbhttp.errors import ConfigError

if TYPE_CHECKING:
    import loguru

__all__ = ["RotatingFile", "make_logger"]

_CHUNK = 256 * 1024


def make_logger() -> "loguru.Logger":
    """A loguru logger with no handlers, apart from the one that `from loguru import logger` gives."""
    logger: Any = Logger(
        core=Core(),  # type: ignore[no-untyped-call] # loguru's inside has no types
        exception=None,
        depth=0,
        record=False,
        lazy=False,
        colors=False,
        raw=False,
        capture=True,
        patchers=[],
        extra={},
    )
    return logger  # type: ignore[no-any-return] # loguru types its logger in a stub only


class _Text(str):
    """A text with the record that loguru's rotation looks at."""

    __slots__ = ("record",)
    record: dict[str, Any]


class RotatingFile:
    """loguru's file sink; the arguments are those of `FileSink` in json_sink.py.

    Attributes:
        chunk_size: Characters that may be written at once and still rotate in time: a rotated file
            is never longer than asked, and at most a sixteenth shorter.
    """

    def __init__(
        self, path: "str | os.PathLike[str]", *, rotation: Any, retention: Any, compression: Any
    ) -> None:
        self.path = Path(path).expanduser()
        options: dict[str, Any] = {"rotation": rotation}
        if rotation is not None:
            # Without rotation loguru would compress and clear away the live file at its end.
            options.update(retention=retention, compression=compression)
        check_options(rotation=rotation, retention=retention, compression=compression)
        try:
            self._sink = FileSink(self.path, watch=True, **options)  # type: ignore[no-untyped-call]
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise ConfigError(
                f"the log file {self.path} cannot be opened: {reason}",
                hint="name a file in a folder that you may write to",
            ) from exc
        except (KeyError, ValueError, IndexError) as exc:
            raise ConfigError(
                f"{str(self.path)!r} is not the name of a log file: {exc}",
                hint="in braces only {time} has a meaning; write others as {{ and }}",
            ) from exc
        limit = _size_limit(self._sink)
        self.chunk_size = _CHUNK if limit is None else max(1, min(_CHUNK, int(limit) // 16))

    def write(self, text: str) -> None:
        """Append the text, after a rotation when one is due.

        Raises:
            OSError: The disk is full, the file cannot be reached.
        """
        line = _Text(text)
        line.record = {"time": datetime.now().astimezone()}
        try:
            self._sink.write(line)  # type: ignore[no-untyped-call]
        except OSError:
            if self._sink._file is not None:  # noqa: SLF001 - this module is about it
                raise
            # Only the rotation failed: nothing of the text is in any file, and a new one opens.
            self._sink.write(line)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Flush and close; an error of the disk is swallowed."""
        self._sink._watch = False  # noqa: SLF001 - else a deleted file would be made anew
        file = self._sink._file  # noqa: SLF001
        try:
            self._sink.stop()  # type: ignore[no-untyped-call]
        except OSError:
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()


def check_options(*, rotation: Any, retention: Any, compression: Any) -> None:
    """Refuse what loguru does not understand, without touching a file.

    Raises:
        ConfigError: One of the three is wrong; the message names it and its value.
    """
    given = {"rotation": rotation, "retention": retention, "compression": compression}
    for name, value in given.items():
        sink = None
        # What goes wrong is not chained: loguru's error quotes the value as it is.
        with contextlib.suppress(ValueError, TypeError, ArithmeticError):
            sink = FileSink("unused", delay=True, **{name: value})  # type: ignore[no-untyped-call]
        is_wrong = isinstance(value, bool) or (name == "retention" and _is_negative(value))
        if sink is None or is_wrong:
            raise ConfigError(f"{name}={value!r} is not understood; try {_EXAMPLES[name]}")
        if name == "rotation" and (limit := _size_limit(sink)) is not None and not limit > 0:
            raise ConfigError(f"rotation={value!r} must be more than nothing")


_EXAMPLES = {
    "rotation": '"50 MB", "1 day", "00:00" or None',
    "retention": '10 (files), "2 weeks" or None',
    "compression": '"gz", "bz2", "xz", "zip" or None',
}


def _is_negative(value: object) -> bool:
    return isinstance(value, int | float) and value < 0


def _size_limit(sink: FileSink) -> float | None:
    """The bytes at which the sink rotates; None when it does so by time or never."""
    keywords = getattr(sink._rotation_function, "keywords", {})  # noqa: SLF001
    limit: float | None = keywords.get("size_limit")
    return limit
