"""`LoggerManager`: the library's log, silent until configured."""

import atexit
import contextlib
import datetime as dt
import functools
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Self, TextIO

from nbhttp._core.events import current_request_id, everyone
from nbhttp.errors import ConfigError
from nbhttp.logs.records import (
    LEVELS,
    Entry,
    describe_exception,
    entry_of,
    level_number,
    level_of,
    redact_bound,
    safe_text,
)
from nbhttp.logs.writer import Sink, Writer
from nbhttp.redaction import redact_repr

if TYPE_CHECKING:
    import loguru

    from nbhttp.logs.intercept import Interception

__all__ = ["LoggerManager"]

_NOTHING: Mapping[str, Any] = {}
_context: ContextVar[Mapping[str, Any]] = ContextVar("nbhttp_log_context", default=_NOTHING)
_delivering = threading.local()
_log = logging.getLogger("nbhttp")
_FLUSH_TIMEOUT_S = 5.0


class _Pipeline:
    """From an event or a line to the sinks; one for each `configure`."""

    def __init__(
        self,
        sinks: tuple[Sink, ...],
        *,
        level: int,
        in_place: bool,
        forward: "loguru.Logger | None",
        slow_s: float | None,
        max_body: int,
    ) -> None:
        self.level = level
        self._sinks = sinks
        self._forward = forward
        self._slow_s = slow_s
        self._max_body = max_body
        self._is_forwarding = True
        self.writer = Writer(in_place=in_place, on_dropped=self._tell_dropped)

    def on_event(self, event: object) -> None:
        level = level_of(event, self._slow_s)
        if level is None or level < self.level:
            return
        entry = entry_of(event, level, slow_s=self._slow_s, max_body=self._max_body)
        entry.bound = redact_bound(_context.get())
        self.deliver(entry)

    def deliver(self, entry: Entry) -> None:
        """Hand an entry to every sink, unless a sink itself is the one who logs."""
        if entry.level_number < self.level or getattr(_delivering, "here", False):
            return
        _delivering.here = True
        try:
            for sink in self._sinks:
                self.writer.put(sink, sink.render(entry))
            if self._forward is not None:
                self._forward_to(self._forward, entry)
        finally:
            _delivering.here = False

    def _forward_to(self, logger: "loguru.Logger", entry: Entry) -> None:
        extra = {**entry.fields, **entry.bound}
        if entry.exception is not None:
            extra["exception"] = entry.exception
        try:
            logger.patch(functools.partial(_rename, entry)).bind(**extra).log(
                entry.level if entry.level in LEVELS else entry.level_number, entry.message
            )
        except Exception as exc:  # noqa: BLE001 - the user's sinks must not harm the request
            if self._is_forwarding:
                self._is_forwarding = False
                _log.error(
                    "the loguru logger given as forward= failed and is not reported again: %s",
                    safe_text(f"{type(exc).__name__}: {exc}"),
                )

    def _tell_dropped(self, count: int) -> None:
        entry = Entry(
            time=dt.datetime.now().astimezone(),
            level="WARNING",
            level_number=LEVELS["WARNING"],
            message=f"{count:,} records were dropped here: they came faster than the log is written",
            logger="nbhttp",
            fields={"event": "log.dropped", "count": count},
        )
        for sink in self._sinks:
            self.writer.write_now(sink, sink.render(entry))

    def close(self) -> None:
        self.writer.close(_FLUSH_TIMEOUT_S, self._sinks)
        if self.writer.lost:
            _log.warning("%s log records were lost", f"{self.writer.lost:,}")


def _rename(entry: Entry, record: "loguru.Record") -> None:
    record["name"] = entry.logger
    record["time"] = entry.time


class LoggerManager:
    """The log of what nbhttp does: one record a finished request, to the console and to a file.

    Nothing is logged, and no handler of anybody is touched, until `configure()` is called. It has
    no instances: one process, one log. It stands apart from the user's own loguru logger.

    Examples:
        >>> import json, pathlib, tempfile
        >>> import nbhttp
        >>> from nbhttp.testing import DemoServer
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = pathlib.Path(folder.name) / "requests.jsonl"
        >>> nbhttp.LoggerManager.configure(console=False, file=path)
        >>> with DemoServer() as server, nbhttp.LoggerManager.context(job="nightly"):
        ...     r = nbhttp.get(server.url + "/status/200")
        >>> nbhttp.LoggerManager.shutdown()
        >>> line = json.loads(path.read_text())
        >>> line["event"], line["status"], line["job"]
        ('request.finished', 200, 'nightly')
        >>> folder.cleanup()
    """

    _lock: ClassVar[threading.RLock] = threading.RLock()
    _pipeline: ClassVar[_Pipeline | None] = None
    _logger: ClassVar["loguru.Logger | None"] = None
    _handler_id: ClassVar[int | None] = None
    _heard_level: ClassVar[int | None] = None
    _undo: ClassVar[contextlib.ExitStack] = contextlib.ExitStack()
    _intercepted: ClassVar[dict[str, "Interception"]] = {}
    _flushes_at_exit: ClassVar[bool] = False

    def __new__(cls) -> Self:
        """Refuse: everything is called on the class.

        Raises:
            TypeError: Always.
        """
        raise TypeError("LoggerManager has no instances; call LoggerManager.configure(...)")

    @classmethod
    def configure(
        cls,
        level: str | int = "INFO",
        console: bool | TextIO = True,
        *,
        file: "str | os.PathLike[str] | None" = None,
        json: bool = True,
        rotation: str | float | dt.time | dt.timedelta | None = "50 MB",
        retention: str | int | dt.timedelta | None = 10,
        compression: str | None = "gz",
        enqueue: bool = True,
        bodies: int = 0,
        slow: float | None = 5.0,
        forward: "loguru.Logger | None" = None,
    ) -> None:
        """Start logging; called again, as a cell is run again, it replaces what it made before.

        Args:
            level: The least grave level to log, a name or a number. A finished request is INFO, a
                slow, refused (4xx) or cancelled one WARNING, a failed one ERROR; a retry is
                WARNING; a start and a redirection are DEBUG.
            console: One line a record to `sys.stderr`, or in a notebook to the output of the cell
                that started the request. A text stream: to that instead. With `forward`, True
                leaves the console to your logger, so that no line is printed twice.
            file: The file to write; its folder is made. None writes none.
            json: One JSON object a line in the file; else plain lines.
            rotation: When a new file begins, in loguru's words: a size ("50 MB", or bytes), an
                interval ("1 day"), a time ("00:00"); None never begins one.
            retention: How many rotated files stay, or for how long ("2 weeks"); None keeps all.
            compression: "gz", "bz2", "xz", "zip" … for rotated files; None leaves them as they are.
            enqueue: Write on a thread of our own; else on the thread that logs, which then waits
                for the disk.
            bodies: Bytes of each request's and response's body to include, redacted.
            slow: Seconds from which on a successful request is called slow; None never does so.
            forward: Your loguru logger, usually `loguru.logger`: each record goes to its sinks too,
                with the fields in `extra`.

        Raises:
            ConfigError: A value is not understood, or the file cannot be opened; the log that was
                configured before goes on.
            TypeError: `console`, `file` or `forward` is none of these.
        """
        number = level_number(level)
        _check_numbers(bodies=bodies, slow=slow)
        if forward is not None and not callable(getattr(forward, "patch", None)):
            raise TypeError(f"forward takes a loguru logger, not {type(forward).__name__}")
        sinks = (
            *_console_sinks(console, is_forwarded=forward is not None),
            *_file_sinks(
                file, json=json, rotation=rotation, retention=retention, compression=compression
            ),
        )
        pipeline = _Pipeline(
            sinks,
            level=number,
            in_place=not enqueue,
            forward=forward,
            slow_s=slow,
            max_body=bodies,
        )
        with cls._lock:
            previous = cls._connect(pipeline)
        if previous is not None:
            previous.close()

    @classmethod
    def shutdown(cls) -> None:
        """Write what waits, close the file and be silent again; what was intercepted goes back.

        Waits at most five seconds for the disk. Called again, or before `configure()`, it does
        nothing. At the end of the process it is called by itself.
        """
        with cls._lock:
            previous = cls._connect(None)
            cls._intercepted.clear()
        if previous is not None:
            previous.close()

    @classmethod
    def flush(cls, timeout: float = _FLUSH_TIMEOUT_S) -> bool:
        """Wait until everything logged so far is written.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False when the time was not enough.
        """
        pipeline = cls._pipeline
        return pipeline is None or pipeline.writer.flush(timeout)

    @classmethod
    @contextlib.contextmanager
    def context(cls, **bound: Any) -> Iterator[None]:
        """Put these names into every record of the block, of its tasks and of its sync calls.

        Args:
            **bound: At the top level of a JSON line; below "extra" when a name is one of its own.
                Values are redacted; what JSON does not know is written as text.
        """
        token = _context.set({**_context.get(), **bound})
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # a generator closed from another context
                _context.reset(token)

    @classmethod
    def logger(cls, **bound: Any) -> "loguru.Logger":
        """Return a loguru logger that writes into the same sinks, for your own lines.

        It is silent until `configure()`, may be kept from one cell to the next, and has nothing to
        do with the handlers of `loguru.logger`.

        Args:
            **bound: Put into each of its records, as in `context()`.

        Examples:
            >>> log = LoggerManager.logger(job=1)
            >>> log.info("page {} done", 3)
        """
        with cls._lock:
            return cls._private_logger().bind(**bound)

    @classmethod
    def intercept(cls, *names: str) -> None:
        """Take in the records of these loggers of the standard `logging`, redacted.

        They go to our sinks instead of those of their parents, so no line appears twice, from the
        configured level on; a logger that has a level of its own keeps it. `shutdown()` undoes it.

        Args:
            *names: Names of loggers, such as "httpx" and "httpcore".

        Raises:
            ConfigError: Nothing is configured yet, or no name is given.
            TypeError: A name is not a string.
        """
        from nbhttp.logs.intercept import Interception

        if not names:
            raise ConfigError('intercept takes the names of loggers, such as "httpx"')
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"intercept takes names of loggers, not {redact_repr(name)}")
        with cls._lock:
            if cls._pipeline is None:
                raise ConfigError("call LoggerManager.configure(...) before intercept(...)")
            for name in names:
                if name not in cls._intercepted:
                    cls._intercepted[name] = Interception(name, cls._deliver)
                    cls._undo.callback(cls._intercepted[name].undo)
                cls._intercepted[name].set_level(cls._pipeline.level)

    # Private

    @classmethod
    def _connect(cls, pipeline: _Pipeline | None) -> _Pipeline | None:
        """Let events and lines flow into this pipeline; return the one before."""
        previous, cls._pipeline = cls._pipeline, pipeline
        cls._listen()
        if pipeline is None:
            cls._undo.close()
            return previous
        if previous is None:
            cls._undo.callback(everyone.subscribe(cls._take_event))
        for interception in cls._intercepted.values():
            interception.set_level(pipeline.level)
        if not cls._flushes_at_exit:
            cls._flushes_at_exit = True
            atexit.register(cls.shutdown)
        return previous

    @classmethod
    def _private_logger(cls) -> "loguru.Logger":
        if cls._logger is None:
            from nbhttp.logs._loguru import make_logger

            cls._logger = make_logger()
            cls._listen()
        return cls._logger

    @classmethod
    def _listen(cls) -> None:
        """Give the private logger the one handler that it needs now; none while all is silent."""
        logger = cls._logger
        level = None if cls._pipeline is None else cls._pipeline.level
        if logger is None or level == cls._heard_level:
            return
        if cls._handler_id is not None:
            logger.remove(cls._handler_id)
            cls._handler_id = None
        cls._heard_level = level
        if level is not None:
            cls._handler_id = logger.add(
                cls._take_message,
                level=level,
                format="{message}",
                backtrace=False,
                diagnose=False,
            )

    @classmethod
    def _take_event(cls, event: object) -> None:
        pipeline = cls._pipeline
        if pipeline is not None:
            pipeline.on_event(event)

    @classmethod
    def _take_message(cls, message: "loguru.Message") -> None:
        record = message.record
        exception = record["exception"]
        exc = None if exception is None else exception.value
        cls._deliver(
            Entry(
                time=record["time"],
                level=record["level"].name,
                level_number=record["level"].no,
                message=safe_text(record["message"]),
                logger=record["name"] or "",
                fields={"event": "log"},
                bound=redact_bound(record["extra"]),
                exception=None if exc is None else describe_exception(exc),
            )
        )

    @classmethod
    def _deliver(cls, entry: Entry) -> None:
        pipeline = cls._pipeline
        if pipeline is None:
            return
        if request_id := current_request_id.get():
            entry.fields["request_id"] = request_id
        context = _context.get()
        if context:
            entry.bound = {**redact_bound(context), **entry.bound}
        pipeline.deliver(entry)


def _check_numbers(*, bodies: int, slow: float | None) -> None:
    if not isinstance(bodies, int) or isinstance(bodies, bool) or bodies < 0:
        raise ConfigError(f"bodies must be a number of bytes, 0 for none, not {bodies!r}")
    is_seconds = isinstance(slow, int | float) and not isinstance(slow, bool) and slow > 0
    if slow is not None and not is_seconds:
        raise ConfigError(f"slow must be seconds above 0, or None, not {slow!r}")


def _console_sinks(console: bool | TextIO, *, is_forwarded: bool) -> tuple[Sink, ...]:
    if console is False or (console is True and is_forwarded):
        return ()
    from nbhttp.logs.console_sink import ConsoleSink

    if console is True:
        return (ConsoleSink(),)
    if not callable(getattr(console, "write", None)):
        raise TypeError(f"console takes True, False or a text stream, not {redact_repr(console)}")
    return (ConsoleSink(console),)


def _file_sinks(
    file: "str | os.PathLike[str] | None",
    *,
    json: bool,
    rotation: Any,
    retention: Any,
    compression: Any,
) -> tuple[Sink, ...]:
    from nbhttp.logs._loguru import check_options

    check_options(rotation=rotation, retention=retention, compression=compression)
    if file is None:
        return ()
    if not isinstance(file, str | os.PathLike):
        raise TypeError(f"file takes a path, not {type(file).__name__}")
    from nbhttp.logs.json_sink import FileSink

    return (
        FileSink(file, json=json, rotation=rotation, retention=retention, compression=compression),
    )
