"""The file sink: one JSON object a line, or one plain line."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from nbhttp.logs._loguru import RotatingFile
from nbhttp.logs.records import Entry

__all__ = ["FileSink", "json_line", "text_line"]

# The library's own names: a bound value of the same name goes below "extra", in every record, so
# that a column never changes its meaning.
RESERVED = frozenset(
    {
        "time", "level", "message", "logger", "event", "request_id", "method", "url", "status",
        "elapsed_ms", "bytes", "attempt", "error", "client", "task", "redirects", "slow",
        "http_version", "engine", "location", "delay_ms", "request_body", "response_body", "count",
        "exception", "extra",
    }
)  # fmt: skip
_MAX_INTEGER = 2**63


def json_line(entry: Entry) -> str:
    """The entry as one line of JSON, with its line end; it never fails."""
    data: dict[str, Any] = {
        "time": entry.time.isoformat(timespec="microseconds"),
        "level": entry.level,
        "message": entry.message,
        "logger": entry.logger,
        **entry.fields,
    }
    extra: dict[str, Any] = {}
    for name, value in entry.bound.items():
        (extra if name in RESERVED else data)[name] = value
    if entry.exception is not None:
        data["exception"] = entry.exception
    if extra:
        data["extra"] = extra
    try:
        text = orjson.dumps(data, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer over 64 bits or half a surrogate pair
        text = orjson.dumps(_encodable(data), default=str, option=orjson.OPT_APPEND_NEWLINE)
    return text.decode()


def _encodable(value: Any) -> Any:
    """The same with what JSON's encoder refuses made text."""
    if isinstance(value, dict):
        return {_encodable(str(key)): _encodable(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_encodable(v) for v in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return str(value) if value.bit_length() < 10_000 else hex(value)
    return value


def text_line(entry: Entry) -> str:
    """The entry as a plain line, "time | level | logger | message", and its traceback below."""
    time = entry.time.isoformat(sep=" ", timespec="milliseconds")
    line = f"{time} | {entry.level:<8} | {printable(entry.logger)} | {printable(entry.message)}"
    bound = "".join(f" {printable(f'{name}={v}')}" for name, v in entry.bound.items())
    return f"{line}{' |' if bound else ''}{bound}\n{traceback_text(entry)}"


def printable(text: str) -> str:
    """The text on one line: control characters, which could steer a terminal, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def traceback_text(entry: Entry) -> str:
    """The lines of the entry's traceback, indented; empty without one."""
    if entry.exception is None:
        return ""
    return "".join(f"    {printable(line)}\n" for line in entry.exception["traceback"])


class FileSink:
    """Writes entries to a file that rotates.

    Args:
        path: The file; its folder is made. It is opened at once.
        json: Write JSON lines; else plain ones.
        rotation: As loguru has it: a size, an interval, a time of day; None never rotates.
        retention: How many rotated files stay, or for how long; None keeps all.
        compression: Of rotated files; None leaves them as they are.

    Raises:
        ConfigError: The file cannot be opened, or loguru does not understand one of the others.
    """

    is_immediate = False

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        *,
        json: bool,
        rotation: Any,
        retention: Any,
        compression: Any,
    ) -> None:
        self._file = RotatingFile(
            path, rotation=rotation, retention=retention, compression=compression
        )
        self._render: Callable[[Entry], str] = json_line if json else text_line

    @property
    def name(self) -> str:
        """Where it writes to, for messages."""
        return f"the log file {self._file.path}"

    def render(self, entry: Entry) -> str:
        """Make the entry's text, on the thread that logs."""
        return self._render(entry)

    def write(self, texts: Sequence[str]) -> None:
        """Append the texts, whole.

        Raises:
            OSError: The disk is full, the file cannot be reached.
        """
        for chunk in _chunks(texts, self._file.chunk_size):
            self._file.write(chunk)

    def close(self) -> None:
        """Flush and close; an error of the disk is swallowed, its lines were counted."""
        self._file.close()


def _chunks(texts: Sequence[str], size: int) -> Sequence[str]:
    """The texts joined to pieces of about `size` characters, none cut."""
    chunks: list[str] = []
    gathered: list[str] = []
    length = 0
    for text in texts:
        if gathered and length + len(text) > size:
            chunks.append("".join(gathered))
            gathered, length = [], 0
        gathered.append(text)
        length += len(text)
    if gathered:
        chunks.append("".join(gathered))
    return chunks
