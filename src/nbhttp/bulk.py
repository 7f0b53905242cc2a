"""Many requests at once: bounded workers that pull from an iterable, results in input order.

Knows no client: it gets a `fetch` function and is tested with a plain one.
"""

import contextlib
import time
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast, overload

import anyio

from nbhttp._display import Displayed
from nbhttp._habits import SaysHow, of_bulk

if TYPE_CHECKING:
    from nbhttp._render.bundle import Shown

__all__ = ["BulkResult", "Collected", "map_bounded"]


class Outcome(Protocol):
    """What can stand in a `BulkResult`: true when it succeeded."""

    def __bool__(self) -> bool:
        """Whether it succeeded."""
        raise NotImplementedError


Item = TypeVar("Item")
R = TypeVar("R", bound=Outcome)

_BATCH = 64
_BATCH_S = 0.005
_END: Any = object()


class BulkResult(SaysHow, Displayed, Sequence[R], Generic[R]):
    """The results of many calls, in the order of what was asked.

    It is a sequence: true when there is any result, however they ended. `success` judges.

    Args:
        results: In input order.
        elapsed: Seconds that all took.
    """

    __slots__ = ("_results", "elapsed")

    def __init__(self, results: Iterable[R], elapsed: float = 0.0) -> None:
        self._results: tuple[R, ...] = tuple(results)
        self.elapsed = elapsed

    def _habits_of(self, name: str) -> Mapping[str, str]:
        if not self._results or not hasattr(self._results[0], name):
            return of_bulk
        each = f"[r.{name} for r in results]"
        if name == "raise_for_status":
            each = "for r in results: r.raise_for_status()"
        elif callable(getattr(self._results[0], name)):
            each = f"[r.{name}() for r in results.ok]"
        return {name: f"each of its results has it: {each}"}

    @property
    def success(self) -> bool:
        """Whether every call succeeded; also when there was none."""
        return all(self._results)

    @property
    def ok(self) -> Self:
        """The results that succeeded, order kept."""
        return type(self)((r for r in self._results if r), self.elapsed)

    @property
    def failed(self) -> Self:
        """The results that did not, order kept."""
        return type(self)((r for r in self._results if not r), self.elapsed)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> R | Self:
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
        return (
            f"<BulkResult {len(self):,} results: {good:,} ok, {bad:,} failed, {self.elapsed:.2f} s>"
        )

    def _view(self) -> "Shown":
        from nbhttp._render.views.outcomes import BulkCard

        return BulkCard(cast("Any", self._results), self.elapsed, self._advice())

    def _advice(self) -> str:
        """Return what to do about what failed; "" for nothing."""
        return ""


class Collected(Generic[R]):
    """The results of a `map` that runs, as they come."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._results: dict[int, R] = {}

    def add(self, index: int, result: R) -> None:
        """Note the result of the item at `index`."""
        self._results[index] = result

    def in_order(self) -> BulkResult[R]:
        """Return what has come, in the order of what was asked."""
        return BulkResult(
            (self._results[i] for i in sorted(self._results)),
            time.perf_counter() - self._started,
        )

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Leave what had come on the exception that ends the block: stopping loses nothing."""
        try:
            yield
        except BaseException as exc:
            exc.results = self.in_order()  # type: ignore[attr-defined] # documented on `map`
            if self._results:
                exc.add_note(
                    f"{len(self._results):,} results had come: they are in this exception's "
                    ".results (in a notebook: sys.last_value.results)"
                )
            raise


Pull = Callable[[Callable[[], Any]], Awaitable[Any]]


async def map_bounded(
    items: "Iterable[Item] | AsyncIterable[Item]",
    fetch: Callable[[Item], Awaitable[R]],
    *,
    concurrency: int,
    pull: Pull | None = None,
    collected: "Collected[R] | None" = None,
) -> BulkResult[R]:
    """Fetch every item, at most `concurrency` at once.

    Memory grows with the results, not with the items: workers pull from the iterable.

    Args:
        items: A sequence is read where this runs; any other iterable by `pull`. An async
            generator is closed when this ends early.
        fetch: Gives one item's result; failures are results. What it raises ends everything.
        concurrency: Workers, at least 1.
        pull: Runs a function where the iterable may be touched (the caller's thread or loop), and
            awaits what it returns; None runs it here.
        collected: Gets the results as they come; None makes one.

    Raises:
        BaseException: What `fetch` or the iterable raised, or cancellation.
    """
    collected = Collected() if collected is None else collected
    source = _Source(items, pull)

    async def work() -> None:
        while True:
            index, item = await source.next()
            if item is _END:
                return
            collected.add(index, await fetch(item))

    try:
        await _run_all(work, min(concurrency, source.size or concurrency))
    finally:
        await source.aclose()
    return collected.in_order()


async def _run_all(work: Callable[[], Awaitable[None]], workers: int) -> None:
    """Run `workers` copies; the first exception ends the others and is raised as it is."""
    errors: list[Exception] = []

    async def guarded() -> None:
        try:
            await work()
        except Exception as exc:  # noqa: BLE001 - raised below, outside the task group's wrapping
            errors.append(exc)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(guarded)
    if errors:
        raise errors[0]


class _Source(Generic[Item]):
    """Hands out numbered items, one at a time, from a sequence or in batches from elsewhere."""

    def __init__(self, items: "Iterable[Item] | AsyncIterable[Item]", pull: Pull | None) -> None:
        self.size: int | None = None
        self._pull = pull
        self._close: Callable[[], Awaitable[None]] | None = None
        self._count = 0
        self._held: Iterator[Item] = iter(())
        self._refill: Callable[[], Awaitable[list[Item]]] | None
        self._lock = anyio.Lock()
        if isinstance(items, list | tuple | range):
            self.size = max(len(items), 1)
            self._held = iter(cast("list[Item]", items))
            self._refill = None
        elif isinstance(items, AsyncIterable):
            pieces = aiter(items)
            self._close = getattr(pieces, "aclose", None)
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

    async def aclose(self) -> None:
        """Close an async generator that has not come to its end."""
        if self._close is None or self._refill is None:
            return
        with anyio.CancelScope(shield=True):
            await (self._close() if self._pull is None else self._pull(self._close))


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
