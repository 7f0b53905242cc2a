"""Many downloads into one directory: what is asked for, under which names, and what came of it."""

import os
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.to_thread

from nbhttp._checks import check_count
from nbhttp._core import events
from nbhttp._core.callers import Caller
from nbhttp._core.committing import Together
from nbhttp._core.destination import Destination, resolve
from nbhttp._core.download_job import Job, JobMaker, Setting
from nbhttp._core.filenames import from_url, numbered, safe_name
from nbhttp._core.manifest import DEFAULT_NAME, Manifest
from nbhttp._core.partfile import sync_directory
from nbhttp._core.reporting import Display
from nbhttp.bulk import BulkResult, Collected, map_bounded
from nbhttp.downloads import DownloadResult
from nbhttp.errors import ConfigError
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
    if isinstance(items, str | bytes | Mapping):
        raise TypeError(
            f"download_many takes many URLs, not {redact_repr(items)}; use download_file for one"
        )
    if hasattr(items, "columns") and hasattr(items, "to_dict"):
        missing = {"url"} - set(items.columns)
        if missing:
            raise ConfigError(f"the table has no column 'url', only {list(items.columns)}")
        kept = [column for column in _KEYS if column in items.columns]
        items = [_without_gaps(row) for row in items[kept].to_dict("records")]
    try:
        return [_item(value) for value in items]
    except TypeError as exc:
        if hasattr(items, "__iter__"):
            raise
        raise TypeError(
            f"download_many takes an iterable of URLs, not {redact_repr(items)}"
        ) from exc


def _without_gaps(row: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what a table holds for "nothing here": None and NaN."""
    return {key: value for key, value in row.items() if value is not None and value == value}  # noqa: PLR0124 - NaN differs from itself


def _item(value: Any) -> Item:
    if isinstance(value, Item):
        return value
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - set(_KEYS))
        if unknown or "url" not in value:
            raise ConfigError(
                f"a mapping for download_many needs 'url' and may have {_KEYS[1:]}, "
                f"not {unknown or sorted(value)}"
            )
        return Item(**value)
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ConfigError(f"a pair for download_many is (url, name), not {value!r}")
        return Item(value[0], str(value[1]))
    if not isinstance(value, str) and not hasattr(value, "host"):  # an httpx.URL
        raise TypeError(f"download_many takes URLs, pairs or mappings, not {redact_repr(value)}")
    return Item(value)


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
    directory: Path,
    maker: JobMaker,
    manifest: Manifest | None,
) -> tuple[list[Task], list[int]]:
    """Give every item its name.

    A URL keeps the name that it has in the manifest. Names that differ in case or composition
    only are the same on some systems: a number makes them differ. The same URL twice is one file.

    Returns:
        The tasks, and for each item the index of its task.

    Raises:
        ConfigError: Two items with different URLs ask for the same name, or an item is wrong.
        TypeError: An item has the wrong type.
    """
    tasks: list[Task] = []
    taken: dict[str, int] = {}
    of_url: dict[tuple[str, str | None], int] = {}
    where: list[int] = []
    nowhere = Destination()
    for item in items:
        job = maker.make(item.url, nowhere, checksum=item.checksum, headers=item.headers)
        url = job.request.url.text
        known = of_url.get((url, item.name))
        if known is not None:
            where.append(known)
            continue
        name = _name(item, job, manifest)
        if _key(name) in taken:
            if item.name is not None:
                other = tasks[taken[_key(name)]].job.identity.shown
                raise ConfigError(
                    f"two files would be named {name!r}: {other} and {job.identity.shown}"
                )
            name = next(each for n in count(2) if _key(each := numbered(name, n)) not in taken)
        of_url[url, item.name] = taken[_key(name)] = len(tasks)
        where.append(len(tasks))
        tasks.append(Task(job._replace(destination=Destination(directory, name)), name))
    return tasks, where


def _name(item: Item, job: Job, manifest: Manifest | None) -> str:
    if item.name is not None:
        return safe_name(item.name)
    known = None if manifest is None else manifest.name_of(job.identity)
    return known or safe_name(from_url(job.request.url.text))


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
    folder = resolve(os.path.join(directory, "")).directory  # noqa: PTH118 - ends in a separator
    assert folder is not None  # noqa: S101 - it ends as a directory
    kept = _manifest(manifest, folder)

    common = {name: value for name, value in options.items() if name != "mkdir"}
    if headers is not None:
        common["headers"] = headers
    maker = JobMaker(defaults, hashes_sha256=kept is not None, **common)
    tasks, where = make_tasks(wanted, folder, maker, kept)
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

    @property
    def success(self) -> bool:
        """Whether every file is there."""
        return all(self)

    def retry_failed(self) -> "DownloadManyResult":
        """Fetch what failed once more.

        Returns:
            A new result of everything: what was there, and what came of the rest.

        Raises:
            ConfigError: This is a part of a result, such as `.failed`.
        """
        result: DownloadManyResult = self._retrier()(self)
        return result

    def _retrier(self) -> "Callable[[Sequence[DownloadResult]], Any]":
        if self._retry is None:
            raise ConfigError("retry_failed() belongs to the whole result, not to a part of it")
        return self._retry

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each file.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from nbhttp.integrations._require import require

        pandas = require("pandas", extra="pandas", feature="to_pandas()")
        return pandas.DataFrame([result.to_dict() for result in self])

    def __repr__(self) -> str:
        failed = sum(1 for result in self if not result)
        skipped = sum(1 for result in self if result.skipped)
        size = sum(result.received for result in self)
        facts = [f"{len(self):,} files", f"{size:,} bytes in {self.elapsed:.1f} s"]
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
        self._fetched = 0
        self._files = len(plan.tasks)
        self._running: dict[str, int] = {}
        self._news: dict[tuple[str, str], Any] = {}
        self._committer = Together()
        own_hub: events.EventHub | None = None
        if self._display is not None:
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
        return result

    async def _note(self, task: Task, result: DownloadResult) -> None:
        """Have the manifest know; a file that was there already is hashed for it, in a thread."""
        if self._manifest is None:
            return
        if result.skipped:
            try:
                await anyio.to_thread.run_sync(lambda: result.sha256)
            except OSError:  # gone by now: there is nothing to vouch for
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
        """Take the events of single files: the large ones are shown, the others only counted."""
        if isinstance(event, events.DownloadFinished):
            self._running.pop(event.download_id, None)
            self._news.pop((event.download_id, "update"), None)
            if self._news.pop((event.download_id, "start"), None) is None:
                self._news[event.download_id, "finish"] = event
            return
        if isinstance(event, events.DownloadProgress):
            self._running[event.download_id] = event.received
        if isinstance(event, events.DownloadStarted):
            kind = "start"
        elif isinstance(event, events.DownloadProgress):
            kind = "update"
        else:
            return
        if event.total is None or event.total >= _SHOWN_BYTES:
            self._news[event.download_id, kind] = event

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
            report_failure(display, exc)
