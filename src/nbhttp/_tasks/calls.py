"""Work that belongs to the caller who awaits it: many items, a thread, a process."""

import functools
import random
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload
from weakref import WeakSet

import anyio

from nbhttp._checks import check_count
from nbhttp._tasks.checks import (
    is_async,
    name_of,
    require_on_error,
    require_plain,
    require_seconds,
    require_work,
)
from nbhttp._tasks.fanout import Outcome, ResultStream, Workers, size_of
from nbhttp._tasks.loops import Loop
from nbhttp._tasks.processes import ProcessPool
from nbhttp._tasks.slots import Slots
from nbhttp._tasks.threads import finish_awaitable, run_in_slot
from nbhttp.errors import TimeoutError as NbhttpTimeoutError

__all__ = ["Calls", "Limits", "OnError"]

T = TypeVar("T")
R = TypeVar("R")

OnError = Literal["collect", "raise"]

_NOT_DONE: Any = object()  # the place of a result that is still to come


@dataclass(frozen=True, slots=True)
class Limits:
    """The slots of one loop; replaced when the manager is used on another one."""

    loop: Loop
    tasks: Slots
    threads: Slots
    processes: Slots


class Calls:
    """The part of the manager that needs no `start()`.

    Args:
        max_tasks: Calls at once, where `concurrency` does not say.
        max_threads: Threads that run at once.
        max_processes: Processes that run at once.
    """

    def __init__(self, *, max_tasks: int, max_threads: int, max_processes: int) -> None:
        self.max_tasks = check_count("max_tasks", max_tasks)
        self.max_threads = check_count("max_threads", max_threads)
        self.max_processes = check_count("max_processes", max_processes)
        self._last_limits: Limits | None = None
        self._processes = ProcessPool()
        self._streams: WeakSet[ResultStream[Any]] = WeakSet()

    def _limits(self, loop: Loop) -> Limits:
        # Kept over a restart: threads that could not be stopped still hold their slots.
        limits = self._last_limits
        if limits is None or not limits.loop.is_same(loop):
            limits = self._last_limits = Limits(
                loop,
                tasks=Slots(self.max_tasks),
                threads=Slots(self.max_threads),
                processes=Slots(self.max_processes),
            )
        return limits

    # -- one function over many items

    @overload
    async def gather(
        self,
        func: Callable[[T], Awaitable[R]],
        items: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int | None = ...,
        task_timeout: float | None = ...,
        total_timeout: float | None = ...,
        jitter: float = ...,
        on_error: Literal["raise"],
    ) -> list[R]: ...
    @overload
    async def gather(
        self,
        func: Callable[[T], Any],
        items: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int | None = ...,
        task_timeout: float | None = ...,
        total_timeout: float | None = ...,
        jitter: float = ...,
        on_error: OnError = ...,
    ) -> list[Any]: ...
    async def gather(
        self,
        func: Callable[[T], Any],
        items: Iterable[T] | AsyncIterable[T],
        *,
        concurrency: int | None = None,
        task_timeout: float | None = None,
        total_timeout: float | None = None,
        jitter: float = 0.0,
        on_error: OnError = "collect",
    ) -> list[Any]:
        """Call `func` on each item and return the results in the order of the items.

        A few workers pull from `items`, so a long or endless iterable costs what is in work.
        Async functions run on the loop, plain ones in the manager's threads.

        Args:
            func: Called with one item.
            items: Sync or async; advanced on the loop, when a worker is free.
            concurrency: Calls at once; None means `max_tasks`.
            task_timeout: Seconds for one call, waiting for a thread not counted; None means
                without limit.
            total_timeout: Seconds for all; what has ended by then is kept. None means without
                limit.
            jitter: Each call begins after a random delay of up to so many seconds, to spread
                the load.
            on_error: "collect" puts the exception in the place of the result; "raise" cancels
                the rest and raises it.

        Returns:
            A result for each item; with "collect" an exception where the call failed, and a
            TimeoutError where it took too long or had not ended (or, for items with a length,
            not begun) within `total_timeout`.

        Raises:
            TimeoutError: With "raise", when a call or all took too long.
            Exception: With "raise", what a call raised; always, what iterating `items` raised.
            ConfigError: When an option is out of range.
            TypeError: When `func` cannot be called or `items` not be iterated.
        """
        total_timeout_s = require_seconds("total_timeout", total_timeout)
        require_on_error(on_error)
        results: list[Any] = []

        async def deliver(index: int, outcome: Outcome) -> None:
            if outcome.error is not None and on_error == "raise":
                raise outcome.error
            results[index] = outcome.value if outcome.error is None else outcome.error

        workers = self._workers(
            func,
            items,
            deliver,
            concurrency=concurrency,
            task_timeout=task_timeout,
            jitter=jitter,
            on_pull=lambda _index: results.append(_NOT_DONE),
        )
        with anyio.move_on_after(total_timeout_s) as limit:
            await workers.run()
        if not limit.cancelled_caught:
            return results
        message = f"not done within the total of {total_timeout_s:g} s"
        if on_error == "raise":
            raise NbhttpTimeoutError(message)
        results += [_NOT_DONE] * ((size_of(items) or 0) - len(results))
        return [NbhttpTimeoutError(message) if one is _NOT_DONE else one for one in results]

    @overload
    async def map(
        self,
        func: Callable[[T], Awaitable[R]],
        iterable: Iterable[T] | AsyncIterable[T],
        concurrency: int | None = ...,
    ) -> list[R]: ...
    @overload
    async def map(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T] | AsyncIterable[T],
        concurrency: int | None = ...,
    ) -> list[R]: ...
    async def map(
        self,
        func: Callable[[T], Any],
        iterable: Iterable[T] | AsyncIterable[T],
        concurrency: int | None = None,
    ) -> list[Any]:
        """Call `func` on each item and return the results in the order of the items.

        Like `gather` with `on_error="raise"`: the first failure cancels the rest and is raised.
        """
        return await self.gather(func, iterable, concurrency=concurrency, on_error="raise")

    def imap(
        self,
        func: Callable[[T], Any],
        iterable: Iterable[T] | AsyncIterable[T],
        concurrency: int | None = None,
        *,
        task_timeout: float | None = None,
        jitter: float = 0.0,
        on_error: OnError = "raise",
    ) -> ResultStream[Any]:
        """Call `func` on each item and iterate over the results as they finish.

        ```python
        async for page in manager.imap(fetch, urls, 20):
            ...
            break                                        # cancels the rest

        async with manager.imap(fetch, urls, 20) as pages:   # and waits for its end
            async for page in pages:
                ...
        ```

        The workers stay at most `concurrency` results ahead of the loop. Keep a stream in a
        variable and it lives on after `break`: use `async with`, or `aclose()`.

        Args:
            func: Called with one item; see `gather`.
            iterable: Sync or async; advanced on the loop, when a worker is free.
            concurrency: Calls at once; None means `max_tasks`.
            task_timeout: Seconds for one call; None means without limit.
            jitter: Seconds of random delay before each call, at most.
            on_error: "raise" ends the iteration with the first exception; "collect" yields it
                in place of a result.

        Raises:
            ConfigError: When an option is out of range.
            TypeError: When `func` cannot be called or `iterable` not be iterated.
        """
        require_on_error(on_error)
        count = self._require_concurrency(concurrency)

        def start(deliver: Callable[[int, Outcome], Awaitable[None]]) -> Workers[Any]:
            async def deliver_error_as_value(index: int, outcome: Outcome) -> None:
                error = outcome.error
                await deliver(index, outcome if error is None else Outcome(error))

            return self._workers(
                func,
                iterable,
                deliver if on_error == "raise" else deliver_error_as_value,
                concurrency=count,
                task_timeout=task_timeout,
                jitter=jitter,
            )

        require_work(func, iterable, task_timeout, jitter)
        stream: ResultStream[Any] = ResultStream(start, buffer=count)
        self._streams.add(stream)
        return stream

    def _workers(
        self,
        func: Callable[[T], Any],
        items: Iterable[T] | AsyncIterable[T],
        deliver: Callable[[int, Outcome], Awaitable[None]],
        *,
        concurrency: int | None,
        task_timeout: float | None,
        jitter: float,
        on_pull: Callable[[int], None] | None = None,
    ) -> Workers[T]:
        require_work(func, items, task_timeout, jitter)
        threads = None if is_async(func) else self._limits(Loop.current()).threads

        async def call(index: int, item: T) -> Any:
            if jitter:
                await anyio.sleep(random.uniform(0, jitter))  # noqa: S311 - spreads load, no secret
            if threads is not None:  # waiting for a slot is not counted
                await threads.acquire()
            with anyio.move_on_after(task_timeout):
                if threads is None:
                    return await func(item)
                in_thread = run_in_slot(functools.partial(func, item), threads, Loop.current())
                return await finish_awaitable(await in_thread)
            raise NbhttpTimeoutError(f"item {index} took longer than {task_timeout:g} s")

        return Workers(
            items,
            call,
            concurrency=self._require_concurrency(concurrency),
            deliver=deliver,
            on_pull=on_pull,
        )

    def _require_concurrency(self, concurrency: int | None) -> int:
        if concurrency is None:
            return self.max_tasks
        return check_count("concurrency", concurrency)

    # -- threads and processes

    async def run_in_thread(
        self,
        func: Callable[..., R],
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> R:
        """Call a plain function in a thread, when one of `max_threads` slots is free.

        Cancelling or timing out ends the wait at once, not the thread: Python cannot stop one.
        It keeps its slot until it ends, and the note of the task that waited says so.

        Args:
            func: A plain function.
            *args: Its positional arguments.
            timeout: Seconds it may run, waiting for a slot not counted; None means without
                limit.
            **kwargs: Its keyword arguments.

        Raises:
            TimeoutError: When `timeout` has passed.
            TypeError: When `func` is not a plain function.
            Exception: What the function raised.
        """
        require_plain(func, "run_in_thread")
        seconds = require_seconds("timeout", timeout)
        loop = Loop.current()
        threads = self._limits(loop).threads
        await threads.acquire()
        call = functools.partial(func, *args, **kwargs)
        with anyio.move_on_after(seconds):
            result: R = await run_in_slot(call, threads, loop)
            return result
        raise NbhttpTimeoutError(
            f"{name_of(func)} took longer than {seconds:g} s; its thread cannot be stopped "
            "and keeps its slot until it ends"
        )

    async def run_in_process(
        self,
        func: Callable[..., R],
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> R:
        """Call a plain function in another process, when one of `max_processes` slots is free.

        Cancelling or timing out kills the process, and what it has started; when this returns
        it is gone. A process is a new interpreter, not a fork. Functions of modules are
        imported there; functions that cells of a notebook define are sent as code, with the
        globals they name. Classes must come from a module. What the function prints goes to
        standard error. While the manager is started, processes are kept for the next call.

        Args:
            func: A plain function.
            *args: Its positional arguments; like the result they travel by pickle.
            timeout: Seconds it may run, the start of its process included and waiting for a
                slot not; None means without limit.
            **kwargs: Its keyword arguments.

        Raises:
            TimeoutError: When `timeout` has passed; the process was killed.
            TaskError: When the call or its result cannot be sent, or the process cannot be
                started or died.
            TypeError: When `func` is not a plain function.
            Exception: What the function raised, with the traceback there as its cause.
        """
        require_plain(func, "run_in_process")
        seconds = require_seconds("timeout", timeout)
        slots = self._limits(Loop.current()).processes
        await slots.acquire()
        try:
            with anyio.move_on_after(seconds):
                result: R = await self._processes.call(func, args, kwargs)
                return result
        finally:
            slots.release()
        raise NbhttpTimeoutError(
            f"{name_of(func)} took longer than {seconds:g} s; its process was killed"
        )
