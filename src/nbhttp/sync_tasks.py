"""The task manager for code without `await`: the same names, run on nbhttp's private loop."""

import inspect
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Hashable,
    Iterable,
    Iterator,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from nbhttp._core.loopthread import LoopThread
from nbhttp._display import Displayed
from nbhttp._habits import SaysHow, of_tasks
from nbhttp.tasks import AnyioTaskManager, ResultStream, StatusTable, TaskInfo

if TYPE_CHECKING:
    from nbhttp._core.callers import CallingThread
    from nbhttp._render.bundle import Shown

__all__ = ["ResultIterator", "TaskManager"]

T = TypeVar("T")
R = TypeVar("R")

_END: Any = object()


class TaskManager(SaysHow, Displayed):
    """Runs functions in the background from plain code; any thread may call it.

    ```python
    with TaskManager(max_threads=4) as manager:
        manager.add_task("users", fetch_users)
        manager.wait("users").result
    ```

    Every method does what its namesake of `AnyioTaskManager` does, with the same arguments and
    errors, and returns when that has. Async functions run on nbhttp's private loop, plain ones in
    threads. Interrupting a call cancels what it waits for; tasks added by id go on.

    Args:
        max_tasks: Async functions that run at once.
        max_threads: Threads that run at once.
        max_processes: Processes that run at once; None means one for each processor.
        max_queue: Added tasks that may wait for a slot.
        default_timeout: Seconds a task may run when `add_task` does not say; None means
            without limit.
        max_history: Ended tasks whose records are kept; the oldest go first.

    Attributes:
        aio: The manager underneath; it belongs to the private loop.

    Raises:
        ConfigError: When a limit is not a positive whole number, or the timeout not positive.
    """

    _habits = of_tasks

    def __init__(
        self,
        max_tasks: int = 100,
        max_threads: int = 16,
        *,
        max_processes: int | None = None,
        max_queue: int = 10_000,
        default_timeout: float | None = None,
        max_history: int = 1_000,
    ) -> None:
        self.aio = AnyioTaskManager(
            max_tasks,
            max_threads,
            max_processes=max_processes,
            max_queue=max_queue,
            default_timeout=default_timeout,
            max_history=max_history,
        )

    def start(self) -> Self:
        """Begin to accept tasks; see `AnyioTaskManager.start`."""
        _call(self.aio.start)
        return self

    def shutdown(self, *, wait: bool = False) -> None:
        """Cancel the tasks that run or wait, and stop; see `AnyioTaskManager.shutdown`."""
        _call(self.aio.shutdown, wait=wait)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    def add_task(
        self,
        task_id: Hashable,
        func: Callable[..., Any],
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> TaskInfo:
        """Run `func(*args, **kwargs)` in the background; see `AnyioTaskManager.add_task`.

        For a process, add `manager.aio.run_in_process` with the function as first argument.
        """
        info: TaskInfo = _call(self.aio.add_task, task_id, func, *args, timeout=timeout, **kwargs)
        return info

    def cancel_task(self, task_id: Hashable) -> bool:
        """Cancel a task that is queued or running; see `AnyioTaskManager.cancel_task`."""
        return bool(_call(self.aio.cancel_task, task_id))

    def wait(self, task_id: Hashable, *, timeout: float | None = None) -> TaskInfo:
        """Wait until a task has ended, and return how; see `AnyioTaskManager.wait`."""
        info: TaskInfo = _call(self.aio.wait, task_id, timeout=timeout)
        return info

    def status(self) -> StatusTable:
        """Return how each task stands, by id; see `AnyioTaskManager.status`."""
        table: StatusTable = _call(self.aio.status)
        return table

    def __repr__(self) -> str:
        return repr(self.aio).replace("AnyioTaskManager", "TaskManager", 1)

    def _view(self) -> "Shown":
        return self.status()._view(repr(self))  # noqa: SLF001 - the table with a title

    def gather(
        self,
        func: Callable[[T], Any],
        items: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int | None = None,
        task_timeout: float | None = None,
        total_timeout: float | None = None,
        jitter: float = 0.0,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> list[Any]:
        """Call `func` on each item, results in order; see `AnyioTaskManager.gather`.

        Any iterable but a list, tuple or range is advanced in the calling thread.
        """

        async def gather(caller: "CallingThread") -> list[Any]:
            return await self.aio.gather(
                func,
                _pulled_by(caller.run, items),
                concurrency=concurrency,
                task_timeout=task_timeout,
                total_timeout=total_timeout,
                jitter=jitter,
                on_error=on_error,
            )

        results: list[Any] = LoopThread.get().call(gather)
        return results

    def map(
        self,
        func: Callable[[T], Any],
        iterable: Iterable[T] | AsyncIterable[T],
        concurrency: int | None = None,
    ) -> list[Any]:
        """Call `func` on each item, results in order; see `AnyioTaskManager.map`."""
        return self.gather(func, iterable, concurrency=concurrency, on_error="raise")

    def imap(
        self,
        func: Callable[[T], Any],
        iterable: Iterable[T] | AsyncIterable[T],
        concurrency: int | None = None,
        *,
        task_timeout: float | None = None,
        jitter: float = 0.0,
        on_error: Literal["collect", "raise"] = "raise",
    ) -> "ResultIterator":
        """Call `func` on each item, results as they finish; see `AnyioTaskManager.imap`.

        Any iterable but a list, tuple or range is advanced in a thread of its own, ahead of the
        loop.
        """
        import anyio.to_thread

        stream = self.aio.imap(
            func,
            _pulled_by(anyio.to_thread.run_sync, iterable),
            concurrency,
            task_timeout=task_timeout,
            jitter=jitter,
            on_error=on_error,
        )
        return ResultIterator(stream)

    def run_in_thread(
        self, func: Callable[..., R], *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> R:
        """Call a plain function in a thread; see `AnyioTaskManager.run_in_thread`."""
        result: R = _call(self.aio.run_in_thread, func, *args, timeout=timeout, **kwargs)
        return result

    def run_in_process(
        self, func: Callable[..., R], *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> R:
        """Call a plain function in another process; see `AnyioTaskManager.run_in_process`."""
        result: R = _call(self.aio.run_in_process, func, *args, timeout=timeout, **kwargs)
        return result


class ResultIterator(Iterator[Any]):
    """Results as they finish; leaving the loop early stops the workers."""

    def __init__(self, stream: ResultStream[Any]) -> None:
        self._stream = stream

    def __next__(self) -> Any:
        try:
            return _call(self._stream.__anext__)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Cancel the workers and wait until they have ended."""
        _call(self._stream.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _call(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `func` on the private loop, await what is awaitable, and return the result."""

    async def on_loop(_caller: "CallingThread") -> Any:
        result = func(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    return LoopThread.get().call(on_loop)


def _pulled_by(
    run: Callable[..., Any], items: Iterable[T] | AsyncIterable[T]
) -> Iterable[T] | AsyncIterable[T]:
    """Have the user's iterables run elsewhere: one that blocks must not stop the loop."""
    is_at_hand = any(isinstance(items, kind) for kind in (list, tuple, range))
    return _Pulled(run, items) if isinstance(items, Iterable) and not is_at_hand else items


class _Pulled(AsyncIterable[T]):
    """The items of an iterable, pulled by `run`; as long as that one says."""

    def __init__(self, run: Callable[..., Any], items: Iterable[T]) -> None:
        self._run = run
        self._items = items

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]  # TypeError where it has none

    async def __aiter__(self) -> AsyncIterator[T]:
        iterator = await self._run(iter, self._items)
        while (item := await self._run(next, iterator, _END)) is not _END:
            yield item
