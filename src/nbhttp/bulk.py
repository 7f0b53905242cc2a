"""Many requests at once: bounded workers that pull from an iterable, results in input order.

Knows no client: it gets a `fetch` function and is tested with a plain one.
"""

import asyncio
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar, overload

__all__ = ["BulkResult", "map_bounded"]


class Outcome(Protocol):
    """What can stand in a `BulkResult`: true when it succeeded."""

    def __bool__(self) -> bool:
        """Whether it succeeded."""


Item = TypeVar("Item")
R = TypeVar("R", bound=Outcome)

_BATCH = 64
_BATCH_S = 0.005
_END: Any = object()


class BulkResult(Sequence[R], Generic[R]):
    """The results of many calls, in the order of what was asked.

    Args:
        results: In input order.
        elapsed: Seconds that all took.
    """

    __slots__ = ("_results", "elapsed")

    def __init__(self, results: Iterable[R], elapsed: float = 0.0) -> None:
        self._results: tuple[R, ...] = tuple(results)
        self.elapsed = elapsed

    @property
    def ok(self) -> "BulkResult[R]":
        """The results that succeeded, order kept."""
        return type(self)((r for r in self._results if r), self.elapsed)

    @property
    def failed(self) -> "BulkResult[R]":
        """The results that did not, order kept."""
        return type(self)((r for r in self._results if not r), self.elapsed)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> "BulkResult[R]": ...
    def __getitem__(self, index: int | slice) -> "R | BulkResult[R]":
        if isinstance(index, slice):
            return type(self)(self._results[index], self.elapsed)
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[R]:
        return iter(self._results)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BulkResult) and self._results == other._results

    def __hash__(self) -> int:
        return hash(self._results)

    def __repr__(self) -> str:
        good = sum(1 for r in self._results if r)
        bad = len(self) - good
        return f"<BulkResult {len(self):,} results: {good:,} ok, {bad:,} failed, {self.elapsed:.2f} s>"


Pull = Callable[[Callable[[], Any]], Awaitable[Any]]


async def map_bounded(
    items: "Iterable[Item] | AsyncIterable[Item]",
    fetch: Callable[[Item], Awaitable[R]],
    *,
    concurrency: int,
    pull: Pull | None = None,
) -> BulkResult[R]:
    """Fetch every item, at most `concurrency` at once.

    Memory grows with the results, not with the items: workers pull from the iterable.

    Args:
        items: A sequence is read where this runs; any other iterable by `pull`.
        fetch: Gives one item's result; failures are results. What it raises ends everything.
        concurrency: Workers, at least 1.
        pull: Runs a function where the iterable may be touched (the caller's thread or loop), and
            awaits what it returns; None runs it here.

    Raises:
        BaseException: What `fetch` or the iterable raised, or cancellation; its attribute
            `results` is a `BulkResult` of what had come by then.
    """
    started = time.perf_counter()
    results: dict[int, R] = {}
    source = _Source(items, pull)

    async def work() -> None:
        while True:
            index, item = await source.next()
            if item is _END:
                return
            results[index] = await fetch(item)

    try:
        await _run_all(work, min(concurrency, source.size or concurrency))
    except BaseException as exc:
        _keep(exc, _in_order(results, started))
        raise
    return _in_order(results, started)


def _in_order(results: dict[int, R], started: float) -> BulkResult[R]:
    return BulkResult((results[i] for i in sorted(results)), time.perf_counter() - started)


def _keep(exc: BaseException, results: BulkResult[Any]) -> None:
    """Leave what had finished on the exception: stopping loses nothing."""
    exc.results = results  # type: ignore[attr-defined] # documented on map_bounded
    if len(results):
        exc.add_note(
            f"{len(results):,} results had come: they are in this exception's .results "
            "(in a notebook: sys.last_value.results)"
        )


async def _run_all(work: Callable[[], Awaitable[None]], workers: int) -> None:
    """Run `workers` copies; the first exception ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    except BaseException:
        await _cancel(tasks)
        raise
    failed = [task for task in done if not task.cancelled() and task.exception() is not None]
    await _cancel(tasks)
    if failed:
        error = failed[0].exception()
        assert error is not None  # noqa: S101 - chosen for it
        raise error
    if any(task.cancelled() for task in done):
        raise asyncio.CancelledError


async def _cancel(tasks: "list[asyncio.Future[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Source(Generic[Item]):
    """Hands out numbered items, one at a time, from a sequence or in batches from elsewhere."""

    def __init__(self, items: "Iterable[Item] | AsyncIterable[Item]", pull: Pull | None) -> None:
        self.size: int | None = None
        self._count = 0
        self._held: Iterator[Item] = iter(())
        self._refill: Callable[[], Awaitable[list[Item]]] | None
        self._lock = asyncio.Lock()
        if isinstance(items, list | tuple | range):
            self.size = max(len(items), 1)
            self._held = iter(items)
            self._refill = None
        elif isinstance(items, AsyncIterable):
            pieces = aiter(items)
            self._refill = lambda: _pull_async(pieces, pull)
        else:
            iterator = iter(items)
            self._refill = lambda: _pull_batch(iterator, pull)

    async def next(self) -> tuple[int, Any]:
        item = next(self._held, _END)
        while item is _END and self._refill is not None:
            async with self._lock:
                item = next(self._held, _END)
                if item is not _END or self._refill is None:
                    break
                batch = await self._refill()
                if not batch:
                    self._refill = None
                self._held = iter(batch)
                item = next(self._held, _END)
        index = self._count
        self._count += 1
        return index, item


async def _pull_batch(iterator: Iterator[Item], pull: Pull | None) -> list[Item]:
    """Take items for 5 ms or up to 64, whichever comes first; [] at the end."""

    def take() -> list[Item]:
        first = list(islice(iterator, 1))
        until = time.perf_counter() + _BATCH_S
        while first and len(first) < _BATCH and time.perf_counter() < until:
            more = list(islice(iterator, 1))
            if not more:
                break
            first += more
        return first

    if pull is None:
        return take()
    batch: list[Item] = await pull(take)
    return batch


async def _pull_async(pieces: AsyncIterator[Item], pull: Pull | None) -> list[Item]:
    async def take() -> list[Item]:
        item = await anext(pieces, _END)
        return [] if item is _END else [item]

    if pull is None:
        return await take()
    batch: list[Item] = await pull(take)
    return batch
