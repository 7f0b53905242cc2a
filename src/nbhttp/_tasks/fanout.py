"""One function over many items: a few workers pull from the iterable, whatever its length."""

import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast

import anyio
import anyio.abc
import anyio.lowlevel

from nbhttp._tasks.loops import Loop
from nbhttp.errors import TaskError

__all__ = ["Outcome", "ResultStream", "Workers", "is_cancelled", "size_of"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one item: a value, or the error in its place."""

    value: Any = None
    error: BaseException | None = None


class _End:
    """Marks the end of the items."""


_END = _End()


class _Source(Protocol[T_co]):
    async def pull(self) -> T_co | _End: ...


class _SyncSource(Generic[T]):
    def __init__(self, items: Iterable[T]) -> None:
        self._items: Iterator[T] = iter(items)
        self._is_over = False

    async def pull(self) -> T | _End:
        # Also what makes a worker yield whose function never waits.
        await anyio.lowlevel.checkpoint()
        if self._is_over:
            return _END
        try:
            return next(self._items)
        except StopIteration:
            self._is_over = True
            return _END
        except BaseException:
            self._is_over = True
            raise


class _AsyncSource(Generic[T]):
    """An async iterable, advanced and closed by one task, as async generators require.

    It is advanced only while a worker waits for an item: nothing is read ahead.
    """

    def __init__(self, items: AsyncIterable[T], concurrency: int) -> None:
        self._items = items
        self._wanted = anyio.Semaphore(0)
        self._send, self._receive = anyio.create_memory_object_stream[T](concurrency)

    async def pull(self) -> T | _End:
        self._wanted.release()
        try:
            return await self._receive.receive()
        except anyio.EndOfStream:
            return _END

    async def feed(self) -> None:
        iterator = aiter(self._items)
        try:
            while True:
                await self._wanted.acquire()
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    return
                self._send.send_nowait(item)
        finally:
            self._send.close()
            await _close_generator(iterator)

    def close(self) -> None:
        self._send.close()
        self._receive.close()


async def _close_generator(iterator: AsyncIterator[Any]) -> None:
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        with anyio.CancelScope(shield=True):
            await aclose()


class Workers(Generic[T]):
    """Workers that pull items, call the function, and deliver each outcome.

    A failed item does not stop the others; an error in the iterable or raised by `deliver`
    stops all, and `run` raises it.

    Args:
        items: What to work on, sync or async; advanced in the loop's thread.
        call: What to do with one item, given its index and itself.
        concurrency: How many workers there are at most.
        deliver: Takes an item's index and outcome; may wait, and so slow the worker down.
        on_pull: Called with the index of each item as it is taken.
    """

    def __init__(
        self,
        items: Iterable[T] | AsyncIterable[T],
        call: Callable[[int, T], Awaitable[Any]],
        *,
        concurrency: int,
        deliver: Callable[[int, Outcome], Awaitable[None]],
        on_pull: Callable[[int], None] | None = None,
    ) -> None:
        self._items = items
        self._call = call
        self._concurrency = concurrency
        self._deliver = deliver
        self._on_pull = on_pull
        self._pulled = 0
        self._error: BaseException | None = None
        self._scope: anyio.CancelScope | None = None

    async def run(self) -> None:
        """Work until the items are used up; no task is left, however this ends."""
        try:
            await self._run_group()
        except BaseExceptionGroup:
            # Only what `_worker` has recorded can come out of the group, beside cancellation.
            if self._error is None:
                raise
        if self._error is not None:
            # Without the frames of the workers, which would keep all results alive.
            raise self._error

    async def _run_group(self) -> None:
        if isinstance(self._items, AsyncIterable):
            source = _AsyncSource(self._items, self._concurrency)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._feed, source)
                    self._start_workers(group, source)
            finally:
                source.close()
            return
        async with anyio.create_task_group() as group:
            self._start_workers(group, _SyncSource(self._items))

    def _start_workers(self, group: anyio.abc.TaskGroup, source: _Source[T]) -> None:
        self._scope = group.cancel_scope
        size = size_of(self._items)
        # One worker at least: it finds the end, also of what says that it has none or says wrong.
        count = self._concurrency if size is None else min(self._concurrency, max(size, 1))
        for _ in range(count):
            group.start_soon(self._worker, source)

    async def _feed(self, source: _AsyncSource[T]) -> None:
        try:
            await source.feed()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._fail(error)

    async def _worker(self, source: _Source[T]) -> None:
        try:
            while not isinstance(item := await source.pull(), _End):
                await self._work_on(item)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._fail(error)

    async def _work_on(self, item: T) -> None:
        index = self._pulled
        self._pulled += 1
        if self._on_pull is not None:
            self._on_pull(index)
        try:
            outcome = Outcome(await self._call(index, item))
        except Exception as error:  # noqa: BLE001 - the item's outcome
            outcome = Outcome(error=error)
        except anyio.get_cancelled_exc_class() as error:
            if is_cancelled():
                raise
            outcome = Outcome(error=_stray_cancellation(index, error))
        await self._deliver(index, outcome)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        if self._scope is not None:
            self._scope.cancel()


def is_cancelled() -> bool:
    """Tell whether a scope around the current task is cancelled."""
    return anyio.current_effective_deadline() == -math.inf


def _stray_cancellation(index: int, error: BaseException) -> TaskError:
    # On asyncio, awaiting a future that someone has cancelled raises CancelledError here.
    stray = TaskError(f"item {index} awaited something that was cancelled")
    stray.__cause__ = error
    return stray


def size_of(items: object) -> int | None:
    """Return how many items there are; None when that is not known."""
    try:
        return len(items)  # type: ignore[arg-type]  # asks whether it has a length
    except TypeError:
        return None


class ResultStream(Generic[R]):
    """Results as they finish: an async iterator, and an async context manager.

    The work starts with the first result asked for. Leaving the loop early stops the workers:
    at once when nothing else holds the stream, and in any case with `aclose()`, at the end of
    `async with`, or when the task that waits for a result is cancelled.
    """

    def __init__(
        self,
        start: Callable[[Callable[[int, Outcome], Awaitable[None]]], Workers[Any]],
        buffer: int,
    ) -> None:
        self._start = start
        self._buffer = buffer
        self._work: _Work | None = None
        self._is_closed = False

    def __aiter__(self) -> "ResultStream[R]":
        return self

    async def __anext__(self) -> R:
        """Return the next result.

        Raises:
            StopAsyncIteration: When all items are done, or the stream is closed.
            BaseException: What an item raised, and the rest is cancelled; with
                `on_error="collect"` it is returned in place of a result.
        """
        if self._is_closed:
            raise StopAsyncIteration
        if self._work is None:
            self._work = _Work(self._start, self._buffer)
        try:
            return cast("R", await self._work.next())
        except BaseException:
            self._is_closed = True
            self._work.stop()
            raise

    async def aclose(self) -> None:
        """Cancel the workers and wait until they have ended."""
        self._is_closed = True
        if self._work is not None:
            self._work.stop()
            await self._work.wait()

    async def __aenter__(self) -> "ResultStream[R]":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # An early `break` drops the stream here. Garbage is collected in any thread and at any
        # moment, so the loop does the rest.
        work = getattr(self, "_work", None)
        if work is not None and not self._is_closed:
            work.loop.call_soon(work.stop)


class _Work:
    """The running part of a stream. It must not refer to the stream, which could not be dropped."""

    def __init__(
        self,
        start: Callable[[Callable[[int, Outcome], Awaitable[None]]], Workers[Any]],
        buffer: int,
    ) -> None:
        self.loop = Loop.current()
        self._send, self._receive = anyio.create_memory_object_stream[Outcome](buffer)
        self._workers = start(self._deliver)
        self._error: BaseException | None = None
        self._scope: anyio.CancelScope | None = None
        self._is_stopped = False
        self._ended = anyio.Event()
        # A task of its own: a group entered by the consumer would break when the consumer's
        # next step runs in another task, as the cells of a notebook do.
        self._task = self.loop.spawn(self._run, "nbhttp imap")

    async def next(self) -> Any:
        try:
            outcome = await self._receive.receive()
        except anyio.EndOfStream:
            await self.wait()
            if self._error is not None:
                raise self._error from None
            raise StopAsyncIteration from None
        return outcome.value

    def stop(self) -> None:
        """Cancel the workers; they end within the next turns of the loop."""
        self._is_stopped = True
        self._receive.close()
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self) -> None:
        await self._ended.wait()

    async def _deliver(self, _index: int, outcome: Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error
        await self._send.send(outcome)

    async def _run(self) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                if not self._is_stopped:
                    await self._workers.run()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the results are taken
            self._error = error
        finally:
            self._send.close()
            self._ended.set()
