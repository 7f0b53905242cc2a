"""Many downloads into one directory: what is asked for, under which names, and what came of it."""

import os
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread

from nbhttp._checks import check_count
from nbhttp._core import events
from nbhttp._core.callers import Caller
from nbhttp._core.committing import Together
from nbhttp._core.destination import Destination, check_path, resolve
from nbhttp._core.digests import Checksum
from nbhttp._core.download_job import Job, JobMaker, Setting
from nbhttp._core.filenames import from_url, numbered, safe_name
from nbhttp._core.manifest import DEFAULT_NAME, Manifest
from nbhttp._core.partfile import sync_directory
from nbhttp._core.reporting import Display, FunctionDisplay
from nbhttp.bulk import BulkResult, Collected, map_bounded
from nbhttp.downloads import DownloadResult
from nbhttp.errors import ConfigError, DownloadError
from nbhttp.redaction import redact_repr

if TYPE_CHECKING:
    import pandas as pd

    from nbhttp._core.request import Defaults

__all__ = [
    "AsyncDownloadManyResult",
    "Batch",
    "DownloadManyResult",
    "Item",
    "Plan",
    "Task",
    "make_plan",
    "make_tasks",
    "read_items",
]

_KEYS = ("url", "name", "checksum", "headers")
_PERIOD_S = 0.1
_SHOWN_BYTES = 8 * 1024 * 1024
"""Files below this have no bar of their own."""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is asked for.

    Attributes:
        url: Absolute or relative, as `download_file` takes it.
        name: The file's name; None takes it from the URL.
        checksum: As `download_file` takes it; None for none.
        headers: Further fields of this request; None for none.
    """

    url: Any
    name: str | None = None
    checksum: str | None = None
    headers: Any = None


def read_items(items: Any) -> list[Item]:
    """Read what `download_many` takes.

    Args:
        items: An iterable of URLs, `(url, name)` pairs and mappings; or a DataFrame with a column
            `url` and, as wanted, `name`, `checksum` and `headers`.

    Raises:
        ConfigError: A mapping has no `url` or an unknown key.
        TypeError: It is one URL, or something else.
    """
    if isinstance(items, str | bytes):
        raise TypeError(
            f"download_many takes many URLs, not {redact_repr(items)}; use download_file for one"
        )
    if isinstance(items, Mapping):
        raise TypeError(
            "download_many takes a list of mappings with 'url', or of (url, name) pairs, not one "
            "mapping"
        )
    if hasattr(items, "columns") and hasattr(items, "to_dict"):
        columns = list(items.columns)
        if columns.count("url") != 1:
            raise ConfigError(f"the table needs one column 'url', and has {columns}")
        kept = [column for column in _KEYS if column in columns]
        items = [_without_gaps(row) for row in items[kept].to_dict("records")]
    try:
        values = iter(items)
    except TypeError as exc:
        raise TypeError(
            f"download_many takes an iterable of URLs, not {redact_repr(items)}"
        ) from exc
    return [_item(number, value) for number, value in enumerate(values)]


def _without_gaps(row: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what a table holds for "nothing here": None and NaN."""
    return {key: value for key, value in row.items() if not _is_gap(value)}


def _is_gap(value: Any) -> bool:
    try:
        return value is None or bool(value != value)  # noqa: PLR0124 - NaN and NaT differ so
    except TypeError:  # pandas.NA will not say
        return True
    except ValueError:  # an array
        return False


def _item(number: int, value: Any) -> Item:
    if isinstance(value, Item):
        return value
    if isinstance(value, Mapping):
        unknown = sorted(map(str, value.keys() - set(_KEYS)))
        if unknown or "url" not in value:
            problem = f"has {unknown}" if unknown else "has no 'url'"
            raise ConfigError(
                f"item {number} of download_many {problem}: a mapping needs 'url' and may have "
                f"{', '.join(_KEYS[1:])}"
            )
        return Item(**{**value, "name": _checked_name(number, value.get("name"))})
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ConfigError(
                f"item {number} of download_many: a pair is (url, name), not {redact_repr(value)}"
            )
        return Item(value[0], _checked_name(number, value[1]))
    if not isinstance(value, str) and not hasattr(value, "host"):  # an httpx.URL
        raise TypeError(
            f"item {number} of download_many: a URL, a pair or a mapping, not {redact_repr(value)}"
        )
    return Item(value)


def _checked_name(number: int, name: Any) -> str | None:
    if _is_gap(name):
        return None
    if isinstance(name, os.PathLike):
        name = os.fspath(name)
    if not isinstance(name, str):
        raise TypeError(f"item {number} of download_many: a name is text, not {redact_repr(name)}")
    if not name:
        raise ConfigError(
            f"the name of item {number} of download_many is empty",
            hint="leave it out, or give None, to have the URL's",
        )
    return name


class Task(NamedTuple):
    """One file to fetch.

    Attributes:
        job: What is asked for, and how it is fetched.
        name: The file's name, which no other task has.
    """

    job: Job
    name: str


def make_tasks(
    items: Sequence[Item],
    jobs: Sequence[Job],
    directory: Path,
    manifest: Manifest | None,
) -> tuple[list[Task], list[int]]:
    """Give every item its name.

    A URL keeps the name that it has in the manifest. Names that differ in case or composition
    only are the same on some systems: a number makes them differ, unless both were asked for. The
    same request under the same name is one file.

    Args:
        items: What is asked for.
        jobs: Their jobs, as yet without a destination.
        directory: Where all go.
        manifest: None when none is kept.

    Returns:
        The tasks, and for each item the index of its task.

    Raises:
        ConfigError: Two items ask for the same name, or for one file with two checksums.
    """
    names = _Names(items, directory, manifest)
    tasks: list[Task] = []
    of_request: dict[Any, int] = {}
    where: list[int] = []
    for item, job in zip(items, jobs, strict=True):
        own_fields = None if item.headers is None else tuple(job.request.headers)
        request = (job.request.url.text, item.name, own_fields)
        known = of_request.get(request)
        if known is None:
            of_request[request] = known = len(tasks)
            name = names.give(item, job)
            tasks.append(Task(job._replace(destination=Destination(directory, name)), name))
        elif job.checksum is not None:
            tasks[known] = _with_checksum(tasks[known], job.checksum)
        where.append(known)
    return tasks, where


def _check_are_told_apart(items: Sequence[Item], jobs: Sequence[Job]) -> None:
    """Refuse unnamed items that differ in their credentials alone, which no manifest keeps."""
    if all(item.headers is None for item in items):
        return
    asked: dict[str, tuple[int, Job]] = {}
    for number, (item, job) in enumerate(zip(items, jobs, strict=True)):
        if item.name is not None:
            continue
        first, other = asked.setdefault(job.identity.hashed(""), (number, job))
        if other.request.headers != job.request.headers:
            raise ConfigError(
                f"items {first} and {number} of download_many both ask for {job.identity.shown}, "
                "and differ only in headers such as credentials, which say nothing of the file",
                hint="give them different names",
            )


def _with_checksum(task: Task, checksum: Checksum) -> Task:
    """Return what was asked for before, with the checksum that it is asked for with now."""
    known = task.job.checksum
    if known not in {None, checksum}:
        raise ConfigError(
            f"{task.job.identity.shown} is asked for with two checksums: {known} and {checksum}"
        )
    return task._replace(job=task.job._replace(checksum=checksum))


class _Names:
    """The names of a batch, each given once."""

    def __init__(self, items: Sequence[Item], directory: Path, manifest: Manifest | None) -> None:
        self._manifest = manifest
        self._given: dict[str, Job] = {}
        self._asked = {_key(safe_name(item.name)) for item in items if item.name is not None}
        self._kept: set[str] = set()
        self._of_manifest = ""
        if manifest is not None:
            self._kept = {_key(name) for name in manifest.names()}
            if manifest.path.parent == directory:
                self._of_manifest = _key(manifest.path.name)

    def give(self, item: Item, job: Job) -> str:
        """Return the name of an item's file.

        Raises:
            ConfigError: The name that it asks for belongs to another.
        """
        name = self._asked_for(item, job) if item.name is not None else self._found(job)
        self._given[_key(name)] = job
        return name

    def _asked_for(self, item: Item, job: Job) -> str:
        name = safe_name(item.name)
        other = self._given.get(_key(name))
        if other is not None:
            raise ConfigError(
                f"two files would be named {name!r}: {other.identity.shown} and "
                f"{job.identity.shown}",
                hint="all go into one directory; give them different names",
            )
        if _key(name) == self._of_manifest:
            raise ConfigError(f"{name!r} is the manifest's name", hint="choose another")
        return name

    def _found(self, job: Job) -> str:
        known = None if self._manifest is None else self._manifest.name_of(job.identity)
        if known is not None and not self._is_taken(known):
            return known
        name = safe_name(from_url(job.request.url.text))
        numbers = (numbered(name, number) for number in count(2))
        return next(
            each
            for each in chain((name,), numbers)
            if not self._is_taken(each) and _key(each) not in self._kept
        )

    def _is_taken(self, name: str) -> bool:
        key = _key(name)
        return key in self._given or key in self._asked or key == self._of_manifest


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


@dataclass(frozen=True, slots=True)
class Plan:
    """A `download_many`, checked and complete.

    Attributes:
        tasks: The files.
        where: For each item, the index of its task.
        manifest: None when none is kept.
        concurrency: Downloads under way at once.
        make_display: Makes what shows a run; it may make None.
    """

    tasks: Sequence[Task]
    where: Sequence[int]
    manifest: Manifest | None
    concurrency: int
    make_display: Callable[[], Display | None]

    @property
    def manifest_path(self) -> Path | None:
        """Where the manifest is."""
        return None if self.manifest is None else self.manifest.path


def make_plan(
    defaults: "Defaults",
    items: Any,
    directory: Any,
    *,
    concurrency: Any,
    manifest: Any,
    make_display: Callable[[], Display | None],
    headers: Any,
    options: Mapping[str, Any],
) -> Plan:
    """Check what the user asked for; `options` are those of `download_file`.

    Raises:
        ConfigError: A value is wrong, or the directory cannot be written; nothing was sent.
        TypeError: A value has the wrong type.
    """
    wanted = read_items(items)
    concurrency = check_count("concurrency", concurrency)
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(f"directory takes a path, not {redact_repr(directory)}")
    check_path("directory", directory)
    common = dict(options)
    if headers is not None:
        common["headers"] = headers
    is_kept = manifest is not False and manifest is not None
    maker = JobMaker(defaults, common, hashes_sha256=is_kept)
    nowhere = Destination()
    jobs = [maker.make(i.url, nowhere, checksum=i.checksum, headers=i.headers) for i in wanted]
    _check_are_told_apart(wanted, jobs)
    # Only now: it may create the directory.
    folder = resolve(os.path.join(directory, "")).directory  # noqa: PTH118 - ends in a separator
    assert folder is not None  # noqa: S101 - it ends as a directory
    kept = _manifest(manifest, folder)
    tasks, where = make_tasks(wanted, jobs, folder, kept)
    return Plan(tasks, where, kept, concurrency, make_display)


def _manifest(manifest: Any, directory: Path) -> Manifest | None:
    if manifest is False or manifest is None:
        return None
    if manifest is True:
        return Manifest(directory / DEFAULT_NAME)
    if isinstance(manifest, str | os.PathLike):
        return Manifest(Path(os.fspath(manifest)))
    raise TypeError(f"manifest takes True, False or a path, not {redact_repr(manifest)}")


class DownloadManyResult(BulkResult[DownloadResult]):
    """The results of a `download_many`, in the order of what was asked.

    Attributes:
        elapsed: Seconds that all took.
        manifest: The manifest's path; None when there is none.
    """

    __slots__ = ("_retry", "manifest")

    def __init__(
        self,
        results: Iterable[DownloadResult],
        elapsed: float = 0.0,
        *,
        manifest: Path | None = None,
        retry: "Callable[[Sequence[DownloadResult]], Any] | None" = None,
    ) -> None:
        super().__init__(results, elapsed)
        self.manifest = manifest
        self._retry = retry

    def retry_failed(self) -> "DownloadManyResult":
        """Fetch what failed once more.

        Returns:
            A new result of everything: what was there, and what came of the rest.

        Raises:
            ConfigError: This is a part of a result, such as `.failed`, or was pickled or copied.
        """
        result: DownloadManyResult = self._retrier()(self)
        return result

    def _retrier(self) -> "Callable[[Sequence[DownloadResult]], Any]":
        if self._retry is None:
            raise ConfigError(
                "retry_failed() belongs to the whole result, not to a part or a copy of it"
            )
        return self._retry

    def _advice(self) -> str:
        verb = "await" if isinstance(self, AsyncDownloadManyResult) else "call"
        advice = f"{verb} retry_failed() of this result to try again what failed"
        return "" if self._retry is None else advice

    def __reduce__(self) -> tuple[Any, ...]:
        # What tries again holds a client, and stays where that is.
        return partial(type(self), manifest=self.manifest), (tuple(self), self.elapsed)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each file.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from nbhttp.integrations._require import require

        pandas = require("pandas", extra="pandas", feature="to_pandas()")
        columns = DownloadResult(url="").to_dict()
        return pandas.DataFrame([result.to_dict() for result in self], columns=list(columns))

    def __repr__(self) -> str:
        failed = sum(1 for result in self if not result)
        skipped = sum(1 for result in self if result.skipped)
        size = sum(result.received for result in self)
        noun = "file" if len(self) == 1 else "files"
        facts = [f"{len(self):,} {noun}", f"{size:,} bytes in {self.elapsed:.1f} s"]
        facts += [f"{skipped:,} already there"] if skipped else []
        facts += [f"{failed:,} failed"] if failed else []
        return f"<{type(self).__name__}: {', '.join(facts)}>"


class AsyncDownloadManyResult(DownloadManyResult):
    """As `DownloadManyResult`; trying again is awaited."""

    __slots__ = ()

    async def retry_failed(self) -> "AsyncDownloadManyResult":  # type: ignore[override] # the async face of the same
        """Fetch what failed once more; see `DownloadManyResult.retry_failed`."""
        result: AsyncDownloadManyResult = await self._retrier()(self)
        return result


class Batch:
    """One `download_many` at work.

    Args:
        plan: What is to be done.
        download: Does one job.
        caller: Where the user's code runs.
        hub: The client's events.
        client: The client's name.
    """

    def __init__(
        self,
        plan: Plan,
        download: Callable[[Job, Setting], Awaitable[DownloadResult]],
        *,
        caller: Caller,
        hub: events.EventHub,
        client: str,
    ) -> None:
        self._plan = plan
        self._manifest = plan.manifest
        self._display = plan.make_display()
        self._download = download
        self._caller = caller
        self._hub = hub
        self._client = client
        self._id = f"b{next(_numbers):06d}"
        self._started = time.perf_counter()
        self._counts = {"ok": 0, "skipped": 0, "failed": 0}
        self._fetched = self._resumed = 0
        self._files = len(plan.tasks)
        self._before: dict[str, int] = {}  # bytes of earlier runs, of each file under way
        self._running: dict[str, int] = {}
        self._shown: set[str] = set()
        self._shows_all = isinstance(self._display, FunctionDisplay)
        self._news: dict[tuple[str, str], Any] = {}
        self._committer = Together()
        own_hub: events.EventHub | None = None
        if self._display is not None or hub.is_heard:
            own_hub = events.EventHub(parent=hub)
            own_hub.subscribe(self._hear)
        self._setting = Setting(own_hub, syncs_name=False, committer=self._committer)

    async def run(
        self, before: Sequence[DownloadResult] = ()
    ) -> tuple[list[DownloadResult], float]:
        """Fetch everything, or what had failed.

        Args:
            before: The results of an earlier run; empty for none.

        Returns:
            One result for each item, in order, and the seconds it took.

        Raises:
            BaseException: Cancellation, with what had come in its `results`.
        """
        where = self._plan.where
        wanted = sorted({at for i, at in enumerate(where) if not (before and before[i])})
        self._files = len(wanted)
        collected: Collected[DownloadResult] = Collected()
        error: Exception | None = None
        try:
            with collected.kept():
                async with anyio.create_task_group() as group:
                    group.start_soon(self._watch)
                    group.start_soon(self._keep_noted)
                    try:
                        async with self._committer.at_work():
                            await map_bounded(
                                [self._plan.tasks[at] for at in wanted],
                                self._fetch,
                                concurrency=self._plan.concurrency,
                                collected=collected,
                            )
                    except Exception as exc:  # noqa: BLE001 - raised below, as it is
                        error = exc
                    group.cancel_scope.cancel()
                if error is not None:
                    raise error
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._sync)
            with anyio.move_on_after(1, shield=True):
                await self._tell(is_over=True)
        new = dict(zip(wanted, collected.in_order(), strict=True))
        results = [new[at] if at in new else before[i] for i, at in enumerate(where)]
        return results, time.perf_counter() - self._started

    async def _keep_noted(self) -> None:
        """Write the manifest along: few lines are lost to a kill, and those files are there."""
        while self._manifest is not None:
            await anyio.sleep(_PERIOD_S)
            await anyio.to_thread.run_sync(self._manifest.flush)

    def _sync(self) -> None:
        """Have names and manifest survive a power cut."""
        if self._fetched and self._plan.tasks[0].job.destination.directory is not None:
            sync_directory(self._plan.tasks[0].job.destination.directory)
        if self._manifest is not None:
            self._manifest.close()

    async def _fetch(self, task: Task) -> DownloadResult:
        result = self._known(task)
        if result is None:
            result = await self._download(task.job, self._setting)
            await self._note(task, result)
        self._counts["ok" if result else "failed"] += 1
        self._counts["skipped"] += result.skipped
        self._fetched += result.received
        self._resumed += result.resumed_from
        return result

    async def _note(self, task: Task, result: DownloadResult) -> None:
        """Have the manifest know; a file that was there already is hashed for it, in a thread."""
        if self._manifest is None:
            return
        if result.skipped:
            try:
                await anyio.to_thread.run_sync(lambda: result.sha256)
            except DownloadError:  # gone by now: there is nothing to vouch for
                return
        self._manifest.note(task.job.identity, task.name, result)

    def _known(self, task: Task) -> DownloadResult | None:
        """Return the result of a file that the manifest vouches for."""
        directory = task.job.destination.directory
        if self._manifest is None or directory is None:
            return None
        entry = self._manifest.finished(task.job.identity, directory, task.name)
        if entry is None:
            return None
        sha256, checksum = entry.get("sha256"), task.job.checksum
        if checksum is not None and str(checksum) != f"sha256:{sha256}":
            return None
        return DownloadResult(
            url=task.job.request.url.text,
            path=directory / task.name,
            size=entry["size"],
            skipped=True,
            verified=checksum is not None,
            sha256=sha256 if isinstance(sha256, str) else None,
        )

    # Telling

    def _hear(self, event: Any) -> None:
        """Count what single files bring, and keep what is to be shown of them."""
        match event:
            case events.DownloadStarted():
                kind, size = "start", event.total or 0
                self._before.setdefault(event.download_id, event.resumed_from)
            case events.DownloadProgress():
                kind, size = "update", max(event.total or 0, event.received)
                fetched = event.received - self._before.get(event.download_id, 0)
                known = self._running.get(event.download_id, 0)
                self._running[event.download_id] = max(fetched, known)  # it may start over
            case events.DownloadFinished():
                kind, size = "finish", 0
                fetched = self._running.pop(event.download_id, 0)
                self._before.pop(event.download_id, None)
                if event.result is None:  # stopped: no result will tell
                    self._fetched += fetched
            case _:
                return
        if self._display is not None:
            self._keep_news(event, kind, is_large=size >= _SHOWN_BYTES)

    def _keep_news(self, event: Any, kind: str, *, is_large: bool) -> None:
        """Keep an event for the next look: all for a function, those of large files for a bar."""
        key = event.download_id
        if is_large or self._shows_all:
            self._shown.add(key)
        if key not in self._shown:
            return
        self._news[key, kind] = event
        if kind == "finish":
            self._shown.discard(key)
            if not self._shows_all and self._news.pop((key, "start"), None) is not None:
                # It began and ended between two looks: there is nothing to draw.
                self._news.pop((key, "update"), None)
                del self._news[key, kind]

    async def _watch(self) -> None:
        if self._display is None and not self._hub.is_heard:
            return
        while True:
            await self._tell()
            await anyio.sleep(_PERIOD_S)

    async def _tell(self, *, is_over: bool = False) -> None:
        event = events.BatchProgress(
            batch_id=self._id,
            client=self._client,
            finished=self._counts["ok"],
            skipped=self._counts["skipped"],
            failed=self._counts["failed"],
            files=self._files,
            received=self._fetched + sum(self._running.values()),
            resumed_from=self._resumed,
            is_over=is_over,
            elapsed=time.perf_counter() - self._started,
        )
        self._hub.emit(event)
        display, news = self._display, self._news
        if display is None:
            return
        self._news = {}

        def show() -> None:
            for (_, kind), each in news.items():
                getattr(display, kind if kind != "finish" else "update")(each)
            (display.finish if is_over else display.update)(event)  # type: ignore[arg-type] # a batch's display takes batch events

        try:
            await self._caller.run(show)
        except Exception as exc:  # noqa: BLE001 - a display must not harm the files
            from nbhttp._core.reporting import report_failure

            self._display = None
            report_failure(display.update, exc)
