"""The console sink: one readable line a request."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from nbhttp.logs.json_sink import printable, traceback_text
from nbhttp.logs.records import LEVELS, Entry

__all__ = ["ConsoleSink", "console_line"]

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_GREEN = "\x1b[32m"
_CYAN = "\x1b[36m"
_YELLOW = "\x1b[33m"
_RED = "\x1b[31m"


def console_line(entry: Entry, *, is_coloured: bool = False) -> str:
    """The entry as "12:01:05 INFO    GET https://h/x 200, 12 bytes in 0.153 s", with its line end.

    Args:
        entry: What to show; a traceback follows on lines of its own.
        is_coloured: Colour level and message by the status of the answer, else by the level.
    """
    time = f"{entry.time:%H:%M:%S}"
    text = f"{entry.level:<7} {printable(entry.message)}"
    if is_coloured:
        time = f"{_DIM}{time}{_RESET}"
        text = f"{_colour(entry)}{text}{_RESET}"
    return f"{time} {text}\n{traceback_text(entry)}"


def _colour(entry: Entry) -> str:
    status = entry.fields.get("status")
    if isinstance(status, int) and entry.fields.get("error") is None:
        return _CYAN if status >= 300 else _GREEN
    if isinstance(status, int):
        return _YELLOW if 400 <= status < 500 else _RED
    if entry.level_number >= LEVELS["ERROR"]:
        return _RED
    if entry.level_number >= LEVELS["WARNING"]:
        return _YELLOW
    return ""


class ConsoleSink:
    """Writes entries to a stream.

    Args:
        stream: Where to; None is `sys.stdout` in a notebook, where a line lands in the output of
            the cell whose context it is written in, and `sys.stderr` elsewhere, each as it is at
            that moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    name = "the console"

    @property
    def is_immediate(self) -> bool:
        """True in a kernel: its streams only buffer, and they ask the context for the cell."""
        stream = self._target()
        return stream is not None and _is_kernel_stream(stream)

    def render(self, entry: Entry) -> str:
        """Make the entry's line, coloured for a terminal."""
        stream = self._target()
        return console_line(entry, is_coloured=stream is not None and _has_colours(stream))

    def write(self, texts: Sequence[str]) -> None:
        """Write the lines.

        Raises:
            OSError: The terminal is gone.
            ValueError: The stream is closed.
        """
        stream = self._target()
        if stream is None:  # pythonw has no streams
            return
        text = "".join(texts)
        try:
            stream.write(text)
        except UnicodeEncodeError as exc:
            stream.write(text.encode(exc.encoding, "backslashreplace").decode(exc.encoding))
        if not _is_kernel_stream(stream):  # there a flush would wait; the kernel does it itself
            stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""

    def _target(self) -> TextIO | None:
        if self._stream is not None:
            return self._stream
        stdout: TextIO | None = sys.stdout
        return stdout if stdout is not None and _is_kernel_stream(stdout) else sys.stderr


def _is_kernel_stream(stream: TextIO) -> bool:
    return type(stream).__module__.partition(".")[0] == "ipykernel"


def _has_colours(stream: TextIO) -> bool:
    """Whether the stream is a terminal that shows colours; NO_COLOR (no-color.org) says no."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if sys.platform == "win32" and "WT_SESSION" not in os.environ:
        return False
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
