"""What is known of a task: its record while it lives, and the frozen view that users get."""

import enum
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from nbhttp._display import Displayed
from nbhttp.redaction import redact_text

if TYPE_CHECKING:
    from nbhttp._render.bundle import Shown

__all__ = [
    "Record",
    "StatusTable",
    "TaskInfo",
    "TaskState",
    "current_record",
    "describe_counts",
    "describe_error",
]

_ROWS_SHOWN = 30
_DETAIL_CHARS = 60


class TaskState(enum.StrEnum):
    """Where a task stands; a plain string to compare and to write to JSON."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended, one way or another."""
        return self not in {TaskState.QUEUED, TaskState.RUNNING}


@dataclass(frozen=True, slots=True, repr=False)
class TaskInfo:
    """How a task stands, at the moment of asking.

    Attributes:
        id: The task's id.
        state: Where it stands.
        started: When it began to run; None while it is queued or when it never ran.
        elapsed: Seconds it has run so far, or ran in all; None when it never ran.
        result: What the function returned; None until it has, or when it did not.
        exception: What the function raised, or the TimeoutError; None otherwise.
        note: What else there is to know (a thread that could not be stopped); None mostly.
    """

    id: Hashable
    state: TaskState
    started: datetime | None = None
    elapsed: float | None = None
    result: Any = None
    exception: BaseException | None = None
    note: str | None = None

    @property
    def error(self) -> str | None:
        """The exception as one redacted line; None when there is none."""
        return None if self.exception is None else describe_error(self.exception)

    def __repr__(self) -> str:
        text = f"TaskInfo({redact_text(repr(self.id))}, {self.state}"
        if self.elapsed is not None:
            text += f", {self.elapsed:.2f} s"
        detail = "; ".join(part for part in (self.error, self.note) if part)
        return f"{text}: {detail})" if detail else f"{text})"


class StatusTable(Displayed, dict[Hashable, TaskInfo]):
    """The tasks by id, in the order they were added; prints as a table."""

    def __repr__(self) -> str:
        if not self:
            return "no tasks"
        shown = self._sorted()
        rows = [("task", "state", "started", "seconds", "")]
        rows += [_row(info) for info in shown[:_ROWS_SHOWN]]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [_line(row, widths) for row in rows]
        if len(shown) > _ROWS_SHOWN:
            rest = Counter(info.state for info in shown[_ROWS_SHOWN:])
            lines.append(f"… and {describe_counts(rest)}")
        return "\n".join(lines)

    def _sorted(self) -> list[TaskInfo]:
        return sorted(self.values(), key=lambda info: _DISPLAY_ORDER.index(info.state))

    def _view(self, title: str = "") -> "Shown":
        from nbhttp._render.views.outcomes import TasksCard

        return TasksCard(self._sorted(), title)


# What needs a look comes first.
_DISPLAY_ORDER = (
    TaskState.RUNNING,
    TaskState.FAILED,
    TaskState.TIMEOUT,
    TaskState.QUEUED,
    TaskState.CANCELLED,
    TaskState.COMPLETED,
)


def _row(info: TaskInfo) -> tuple[str, str, str, str, str]:
    started = "" if info.started is None else f"{info.started.astimezone():%H:%M:%S}"
    elapsed = "" if info.elapsed is None else f"{info.elapsed:.2f}"
    detail = info.error or info.note or ""
    return (_cut(redact_text(str(info.id))), str(info.state), started, elapsed, _cut(detail))


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _DETAIL_CHARS else text[: _DETAIL_CHARS - 1] + "…"


def _line(row: tuple[str, str, str, str, str], widths: list[int]) -> str:
    name, state, started, elapsed, detail = row
    cells = (
        name.ljust(widths[0]),
        state.ljust(widths[1]),
        started.ljust(widths[2]),
        elapsed.rjust(widths[3]),
        detail,
    )
    return "  ".join(cells).rstrip()


def describe_counts(counts: Mapping[TaskState, int]) -> str:
    """Return the states that occur with their numbers: "3 running, 40 completed"."""
    order = (TaskState.RUNNING, *(state for state in TaskState if state != TaskState.RUNNING))
    return ", ".join(f"{counts[state]:,} {state}" for state in order if counts.get(state))


def describe_error(error: BaseException) -> str:
    """Return the exception's kind and message as one redacted line."""
    try:
        message = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the failure it reports
        message = ""
    kind = type(error).__name__
    return redact_text(f"{kind}: {message}" if message else kind)


@dataclass(eq=False, slots=True)
class Record:
    """A task as the manager sees it; `state` only moves forward, to one final state."""

    id: Hashable
    func: Callable[[], Any]  # this and the context are deleted at the end, with what they hold
    context: Context
    in_thread: bool
    timeout: float | None
    state: TaskState = TaskState.QUEUED
    started: datetime | None = None
    result: Any = None
    exception: BaseException | None = None
    note: str | None = None
    scope: anyio.CancelScope | None = None
    is_cancel_requested: bool = False
    _waiters: list[anyio.Event] = field(default_factory=list)
    _began_s: float | None = None
    _ended_s: float | None = None

    def begin(self) -> None:
        """Mark the task as running, from now."""
        self.state = TaskState.RUNNING
        self.started = datetime.now(UTC)
        self._began_s = time.monotonic()

    def cancel(self) -> None:
        """Cancel the running function, or prevent it from beginning."""
        self.is_cancel_requested = True
        if self.scope is not None:
            self.scope.cancel()

    def finish(
        self, state: TaskState, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Mark the task as ended, and wake who waits for it."""
        self.state = state
        self.result = result
        self.exception = exception
        self._ended_s = time.monotonic()
        self.scope = None
        del self.func, self.context
        _set_all(self._waiters)

    async def wait(self) -> None:
        """Wait until the task has ended."""
        if self.state.is_final:
            await anyio.lowlevel.checkpoint()
            return
        ended = anyio.Event()
        self._waiters.append(ended)
        try:
            await ended.wait()
        finally:
            if ended in self._waiters:
                self._waiters.remove(ended)

    def info(self) -> TaskInfo:
        """Return how the task stands now."""
        elapsed_s = None
        if self._began_s is not None:
            elapsed_s = (self._ended_s or time.monotonic()) - self._began_s
        return TaskInfo(
            id=self.id,
            state=self.state,
            started=self.started,
            elapsed=elapsed_s,
            result=self.result,
            exception=self.exception,
            note=self.note,
        )


def _set_all(events: Iterable[anyio.Event]) -> None:
    for event in tuple(events):
        event.set()


current_record: ContextVar[Record | None] = ContextVar("nbhttp_current_record", default=None)
