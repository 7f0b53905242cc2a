"""What became of many calls, of a download, of background tasks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from nbhttp._marks import clip
from nbhttp._render.blocks import Block, Column, Fold, Grid, Hint, Note, Span, Title
from nbhttp._render.limits import Limits
from nbhttp._render.units import bytes_text, count, seconds_text
from nbhttp._render.views.card import attempts_grid, failure_words
from nbhttp.downloads import DownloadResult
from nbhttp.errors import NbhttpError, StatusError, TruncatedError
from nbhttp.redaction import redact_text, redact_url

if TYPE_CHECKING:
    from nbhttp._tasks.records import TaskInfo
    from nbhttp.result import RequestResult

__all__ = ["BulkCard", "DownloadCard", "TasksCard"]

_FAILED_SHOWN = 10
_SHOWN = 5
_TONES: Mapping[str, Literal["ok", "warn", "bad", "info"]] = {
    "running": "info",
    "failed": "bad",
    "timeout": "bad",
    "cancelled": "warn",
    "completed": "ok",
}


# --- many calls ----------------------------------------------------------------------------


class BulkCard:
    """The results of many calls: how many went well, and the first of each kind.

    Args:
        results: In the order of what was asked.
        elapsed: Seconds that all took.
        hint: What to do when some failed; "" for nothing.
    """

    def __init__(
        self,
        results: "Sequence[RequestResult | DownloadResult]",
        elapsed: float,
        hint: str = "",
    ) -> None:
        self._hint = (Hint(hint),) if hint else ()
        self._failed = [(at, r) for at, r in enumerate(results) if not r]
        self._good = [(at, r) for at, r in enumerate(results) if r]
        self._results = results
        self._elapsed = elapsed
        are_files = bool(results) and isinstance(results[0], DownloadResult)
        self._noun = "file" if are_files else "result"
        self._origin = _common_origin(results)

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the verdict, then what failed, then some of what did not."""
        good = self._table(self._good, "Succeeded", min(_SHOWN, limits.rows), limits)
        if not self._failed:
            return (self._title(), *good)
        failed = self._table(self._failed, "Failed", min(_FAILED_SHOWN, limits.rows), limits)
        if not good:
            return (self._title(), *failed, *self._hint)
        folded = Fold("Succeeded", good, count(len(self._good), self._noun), in_text="none")
        return (self._title(), *failed, *self._hint, folded)

    def _title(self) -> Title:
        good, bad = len(self._good), len(self._failed)
        verdict = f"{good:,} ok, {bad:,} failed" if bad else f"{good:,} ok"
        if not self._results:
            verdict = "Nothing"
        facts = [f"in {seconds_text(self._elapsed)}"]
        size = sum(map(_received, self._results))
        if size:
            facts.append(bytes_text(size))
        already = sum(1 for r in self._results if isinstance(r, DownloadResult) and r.skipped)
        if already:
            facts.append(f"{already:,} already there")
        tone: Literal["ok", "warn", "bad", "info"] = "ok"
        if bad:
            tone = "warn" if good else "bad"
        elif not good:
            tone = "info"
        return Title(verdict, tone, count(good + bad, self._noun), " · ".join(facts))

    def _table(
        self,
        rows: "Sequence[tuple[int, RequestResult | DownloadResult]]",
        caption: str,
        most: int,
        limits: Limits,
    ) -> tuple[Block, ...]:
        if not rows:
            return ()
        hidden = len(rows) - len(rows[:most])
        return (
            Grid(
                f"{caption}: {len(rows):,}" + (f" at {self._origin}" if self._origin else ""),
                (
                    Column("#", "", is_number=True),
                    Column("Status", "", is_number=True),
                    Column("Request", ""),
                    Column("Outcome", ""),
                    Column("Took", "", is_number=True),
                ),
                tuple(_result_row(at, r, self._origin, limits) for at, r in rows[:most]),
                f"… {hidden:,} more" if hidden else "",
            ),
        )


def _received(result: "RequestResult | DownloadResult") -> int:
    return result.received if isinstance(result, DownloadResult) else len(result.content)


def _common_origin(results: "Sequence[RequestResult | DownloadResult]") -> str:
    """Return scheme and host when they are the same for all, so that no row repeats them."""
    if not results:
        return ""
    origin = "/".join(results[0].url.split("/", 3)[:3])
    is_common = "://" in origin and all(r.url.startswith(f"{origin}/") for r in results)
    return redact_url(origin) if is_common else ""


def _result_row(
    at: int, result: "RequestResult | DownloadResult", origin: str, limits: Limits
) -> tuple[Span, ...]:
    room = min(120, limits.string)
    return (
        Span(f"{at:,}", "dim"),
        Span("" if result.status_code is None else str(result.status_code), "number"),
        Span(clip(f"{_method(result)} {redact_url(result.url[:8192]).removeprefix(origin)}", room)),
        Span(clip(_outcome(result), room)),
        Span(seconds_text(result.elapsed)),
    )


def _method(result: "RequestResult | DownloadResult") -> str:
    return "GET" if isinstance(result, DownloadResult) else redact_text(result.method)


def _outcome(result: "RequestResult | DownloadResult") -> str:
    if result.error is not None:
        # The row names the request and its status already.
        text = redact_text(result.error).removeprefix(f"{result.status_code} ")
        return text.rpartition(f" ({_method(result)} ")[0] or text
    if isinstance(result, DownloadResult):
        return f"{_name(result)}, {'already there' if result.skipped else bytes_text(result.size or 0)}"
    kind = redact_text(result.content_type) or "no content type"
    return f"{kind}, {bytes_text(len(result.content))}"


def _name(result: DownloadResult) -> str:
    return "a file object" if result.path is None else redact_text(result.path.name)


# --- a download ----------------------------------------------------------------------------


class DownloadCard:
    """One download: where the file is and what is known about it, or what went wrong."""

    def __init__(self, result: DownloadResult) -> None:
        self._result = result

    def _destination(self, room: int) -> Note | None:
        result = self._result
        if result.path is None and not result:  # a file object, or a file without a name as yet
            return None
        label = "File: " if result else "Goes to: "
        return Note((Span(label, "strong"), Span(clip(_place(result), room))))

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the card, most important first."""
        result = self._result
        room = max(60, limits.string * 2)
        parts: Iterable[Block | None] = (
            Title(*self._verdict(), "GET", clip(redact_url(result.url[:8192]), room)),
            self._destination(room),
            Note((Span(" · ".join(self._facts())),), is_quiet=True),
            *self._failure(limits),
            attempts_grid(result.attempts, limits),
        )
        return tuple(part for part in parts if part is not None)

    def _verdict(self) -> tuple[str, Literal["ok", "warn", "bad", "info"]]:
        result = self._result
        if result.exception is not None:
            return _failure(result, result.exception), "bad"
        return ("Already there", "info") if result.skipped else ("Downloaded", "ok")

    def _facts(self) -> list[str]:
        result = self._result
        facts = [] if result.size is None else [bytes_text(result.size)]
        if result.received and result.received != result.size:
            facts.append(f"{bytes_text(result.received)} received")
        facts.append(seconds_text(result.elapsed))
        if result.received:
            facts.append(f"{bytes_text(int(result.speed))}/s")
        if result.resumed_from:
            facts.append(f"resumed from {bytes_text(result.resumed_from)}")
        if result.segments > 1:
            facts.append(count(result.segments, "connection"))
        if result.verified:
            facts.append("checksum verified")
        facts += [f"started over: {redact_text(why)}" for why in result.restarts]
        return facts

    def _failure(self, limits: Limits) -> list[Block]:
        exception = self._result.exception
        if exception is None:
            return []
        room = max(60, limits.characters // 3)
        blocks: list[Block] = [Note((Span(clip(redact_text(str(exception)), room)),))]
        if exception.hint:
            blocks.append(Hint(clip(redact_text(exception.hint), max(60, limits.string))))
        return blocks


def _failure(result: DownloadResult, exception: NbhttpError) -> str:
    if isinstance(exception, StatusError):
        return f"Failed, status {exception.status_code}"
    is_partial = result.received + result.resumed_from > 0
    return (
        "Not whole"
        if isinstance(exception, TruncatedError) and is_partial
        else failure_words(exception)
    )


def _place(result: DownloadResult) -> str:
    return "a file object" if result.path is None else redact_text(str(result.path))


# --- tasks ---------------------------------------------------------------------------------


class TasksCard:
    """Background tasks, what needs a look first.

    Args:
        tasks: In the order in which they are shown.
        title: What they belong to; "" for nothing.
    """

    def __init__(self, tasks: "Sequence[TaskInfo]", title: str = "") -> None:
        self._tasks = tasks
        self._counts = Counter(str(task.state) for task in tasks)
        self._title = title

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the table, below the title if there is one."""
        title = (Note((Span(redact_text(self._title), "strong"),)),) if self._title else ()
        if not self._tasks:
            return title or (Note((Span("no tasks"),), is_quiet=True),)
        shown = self._tasks[: limits.rows]
        rest = Counter(str(task.state) for task in self._tasks[limits.rows :])
        return (
            *title,
            Grid(
                ", ".join(f"{number:,} {state}" for state, number in self._counts.items()),
                (
                    Column("Task", ""),
                    Column("State", ""),
                    Column("Started", ""),
                    Column("Seconds", "", is_number=True),
                    Column("Outcome", ""),
                ),
                tuple(_task_row(task, limits) for task in shown),
                "… and " + ", ".join(f"{n:,} {state}" for state, n in rest.items()) if rest else "",
            ),
        )


def _task_row(task: "TaskInfo", limits: Limits) -> tuple[Span, ...]:
    room = min(120, limits.string)
    return (
        Span(clip(redact_text(str(task.id)), min(60, room))),
        Span(str(task.state), _TONES.get(str(task.state), "plain")),
        Span("" if task.started is None else f"{task.started.astimezone():%H:%M:%S}"),
        Span("" if task.elapsed is None else f"{task.elapsed:.2f}"),
        Span(clip(_task_outcome(task), room)),
    )


def _task_outcome(task: "TaskInfo") -> str:
    words: Any = task.error or task.note
    if words is None and task.result is not None:
        words = redact_text(_short_repr(task.result))
    return " ".join(str(words or "").split())


def _short_repr(value: object) -> str:
    """`repr(value)` of what is small or ours; the type of all else, which may be huge."""
    if isinstance(value, str | bytes):
        value = value[:200]
    elif not (isinstance(value, int | float | bool) or type(value).__module__.startswith("nbhttp")):
        return f"{type(value).__name__}"
    return repr(value)
