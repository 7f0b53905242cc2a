"""The task manager on the loop and in threads: ids, limits, ends; fan-out; start and stop."""

import asyncio
import contextvars
import functools
import gc
import math
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import nbhttp.errors
from nbhttp.errors import ConfigError, DuplicateTaskError, QueueFullError, TaskError
from nbhttp.tasks import AnyioTaskManager, TaskInfo, TaskState

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]


async def double(number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return number * 2


async def until(condition: Any) -> None:
    """Give others the loop until something holds; the deadline only ends a failing test."""
    with anyio.fail_after(30):
        while not condition():
            await anyio.sleep(0.001)


async def in_task_of_its_own(func: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(func)


async def test_a_record_shows_its_time_in_plain_digits() -> None:
    """Never as 7.6e-05 s."""
    info = TaskInfo("a", TaskState.RUNNING, elapsed=0.000076)
    assert repr(info) == "TaskInfo('a', running, 0.00 s)"


async def test_a_task_runs_and_its_record_says_so() -> None:
    """A task's record goes from running to completed, with result and times."""
    async with AnyioTaskManager() as manager:
        first = manager.add_task("a", double, 21)
        ended = await manager.wait("a")
    assert first.state == "running"
    assert (ended.id, ended.state, ended.result, ended.exception) == ("a", "completed", 42, None)
    assert ended.started is not None
    assert ended.elapsed is not None
    assert ended.elapsed >= 0


async def test_start_and_shutdown_may_be_in_different_tasks() -> None:
    """One cell starts, another adds, a third shuts down: each is a task of its own."""
    manager = AnyioTaskManager()
    ended: list[TaskInfo] = []

    async def start() -> None:
        await manager.start()

    async def add() -> None:
        manager.add_task("short", double, 1)
        manager.add_task("long", anyio.sleep, math.inf)
        ended.append(await manager.wait("short"))

    for cell in (start, add, manager.shutdown):
        await in_task_of_its_own(cell)
    assert ended[0].result == 2
    assert manager.status()["long"].state == "cancelled"


async def test_shutdown_marks_what_is_pending_and_the_manager_starts_again() -> None:
    """Running and queued tasks are cancelled; the same manager then works on."""
    manager = AnyioTaskManager(max_tasks=1)
    await manager.start()
    await manager.start()  # a cell that ran twice
    manager.add_task("running", anyio.sleep, math.inf)
    manager.add_task("queued", anyio.sleep, math.inf)
    await manager.shutdown()
    await manager.shutdown()
    assert [info.state for info in manager.status().values()] == ["cancelled", "cancelled"]
    assert manager.status()["queued"].started is None
    with pytest.raises(TaskError, match="not started"):
        manager.add_task("late", double, 1)
    async with manager:
        manager.add_task("running", double, 4)
        assert (await manager.wait("running")).result == 8


async def test_shutdown_can_let_the_tasks_end_first() -> None:
    """With `wait` queued tasks still run, and new ones are refused."""
    manager = await AnyioTaskManager(max_tasks=1).start()
    for number in range(3):
        manager.add_task(number, double, number)
    await manager.shutdown(wait=True)
    assert [info.result for info in manager.status().values()] == [0, 2, 4]


async def test_a_failing_task_takes_no_other_down() -> None:
    """Whatever a task raises stays in its record, a KeyboardInterrupt as well."""
    kinds = (ValueError, KeyboardInterrupt, SystemExit, StopIteration, asyncio.CancelledError)

    def fail(kind: type[BaseException]) -> None:
        raise kind

    async with AnyioTaskManager() as manager:
        manager.add_task("bystander", anyio.sleep, math.inf)
        for kind in kinds[:-1]:
            manager.add_task(kind, fail, kind)
            info = await manager.wait(kind)
            assert info.state == "failed"
            assert isinstance(info.exception, kind | RuntimeError)

        async def interrupt() -> None:
            raise KeyboardInterrupt

        manager.add_task("interrupt", interrupt)
        assert (await manager.wait("interrupt")).state == "failed"
        assert manager.status()["bystander"].state == "running"


async def test_at_most_max_tasks_run_and_the_rest_wait_in_order() -> None:
    """Tasks begin in the order they were added, no more than `max_tasks` at once."""
    begun: list[int] = []
    running = peak = 0

    async def work(number: int) -> None:
        nonlocal running, peak
        begun.append(number)
        running += 1
        peak = max(peak, running)
        await anyio.sleep(0.001)
        running -= 1

    async with AnyioTaskManager(max_tasks=3) as manager:
        states = [manager.add_task(number, work, number).state for number in range(10)]
        await manager.wait(9)
    assert states == ["running"] * 3 + ["queued"] * 7
    # Trio shuffles the tasks of one turn, of which there are three at most.
    assert all(abs(place - number) < 3 for place, number in enumerate(begun))
    assert peak == 3


async def test_a_duplicate_id_is_refused_until_its_task_has_ended() -> None:
    """An id is taken while its task is queued or running, and free afterwards."""
    async with AnyioTaskManager() as manager:
        manager.add_task("a", anyio.sleep, math.inf)
        with pytest.raises(DuplicateTaskError, match="'a' is running already"):
            manager.add_task("a", double, 1)
        manager.cancel_task("a")
        await manager.wait("a")
        manager.add_task("a", double, 1)
        assert (await manager.wait("a")).result == 2


async def test_a_full_queue_is_refused() -> None:
    """A task over `max_queue` is an error; a freed place is usable again."""
    async with AnyioTaskManager(max_tasks=1, max_queue=2) as manager:
        for number in range(3):
            manager.add_task(number, anyio.sleep, math.inf)
        with pytest.raises(QueueFullError, match="2 tasks wait already"):
            manager.add_task(3, double, 1)
        assert manager.cancel_task(2)
        manager.add_task(3, double, 1)
        assert list(manager.status()) == [0, 1, 2, 3]


async def test_cancel_reaches_queued_and_running_tasks() -> None:
    """A queued task is cancelled at once, a running one when it has let go."""
    async with AnyioTaskManager(max_tasks=1) as manager:
        manager.add_task("running", anyio.sleep, math.inf)
        manager.add_task("queued", double, 1)
        assert manager.cancel_task("queued")
        assert manager.status()["queued"].state == "cancelled"
        assert manager.cancel_task("running")
        assert (await manager.wait("running")).state == "cancelled"
        assert not manager.cancel_task("running")
        assert not manager.cancel_task("unknown")
        manager.add_task("next", double, 1)
        assert (await manager.wait("next")).result == 2


async def test_a_task_cancelled_before_its_first_step_never_begins() -> None:
    """Cancelling in the same breath as adding prevents the function."""
    calls: list[int] = []

    async def work() -> None:
        calls.append(1)

    async with AnyioTaskManager() as manager:
        for task_id, func in (("async", work), ("thread", functools.partial(calls.append, 1))):
            manager.add_task(task_id, func)
            manager.cancel_task(task_id)
            assert (await manager.wait(task_id)).state == "cancelled"
    assert calls == []


async def test_a_timeout_ends_the_task() -> None:
    """A task over its own or the default timeout is `timeout`; a TimeoutError it raises is not."""

    async def own_timeout() -> None:
        raise TimeoutError("mine")

    async with AnyioTaskManager(default_timeout=0.01) as manager:
        manager.add_task("default", anyio.sleep, math.inf)
        manager.add_task("own", anyio.sleep, math.inf, timeout=0.02)
        manager.add_task("unlimited", anyio.sleep, 0.05, timeout=math.inf)
        manager.add_task("raised", own_timeout)
        states = {key: await manager.wait(key) for key in manager.status()}
    assert [info.state for info in states.values()] == ["timeout", "timeout", "completed", "failed"]
    assert isinstance(states["own"].exception, nbhttp.errors.TimeoutError)
    assert "0.02 s" in (states["own"].error or "")


async def test_wait_refuses_the_unknown_and_itself_and_respects_its_timeout() -> None:
    """Waiting cannot hang: for no such task, for oneself, or past the timeout."""
    manager = AnyioTaskManager()

    async def wait_for_me() -> None:
        await manager.wait("me")

    async with manager:
        with pytest.raises(TaskError, match="no task 'x'"):
            await manager.wait("x")
        manager.add_task("me", wait_for_me)
        assert "its own end" in str((await manager.wait("me")).exception)
        manager.add_task("long", anyio.sleep, math.inf)
        with pytest.raises(nbhttp.errors.TimeoutError, match="still running"):
            await manager.wait("long", timeout=0.01)
        assert manager.status()["long"].state == "running"


async def test_a_task_may_shut_its_manager_down() -> None:
    """Shutting down from inside ends the task too, and does not hang."""
    manager = await AnyioTaskManager().start()
    manager.add_task("inside", manager.shutdown)
    await until(lambda: "not started" in repr(manager))
    assert manager.status()["inside"].state == "cancelled"


async def test_cancelling_the_caller_propagates() -> None:
    """A cancelled wait is cancelled, the task goes on; leaving `async with` still stops all."""
    manager = AnyioTaskManager()
    with anyio.move_on_after(0.01) as limit:
        async with manager:
            manager.add_task("long", anyio.sleep, math.inf)
            await manager.wait("long")
    assert limit.cancelled_caught
    assert manager.status()["long"].state == "cancelled"


async def test_history_is_bounded_and_counts_are_not() -> None:
    """Only the latest ended records are kept; the totals go on."""
    async with AnyioTaskManager(max_tasks=1, max_history=3) as manager:
        for number in range(10):
            manager.add_task(number, double, number)
        await manager.wait(9)
        assert list(manager.status()) == [7, 8, 9]
        assert repr(manager) == "AnyioTaskManager: 10 completed"


async def test_a_task_sees_the_context_of_who_added_it() -> None:
    """A queued task runs in the context at `add_task`, in a thread too."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def read() -> str:
        return variable.get()

    async with AnyioTaskManager(max_tasks=1, max_threads=1) as manager:
        for name in ("a", "b"):
            variable.set(name)
            manager.add_task(name, read)
            manager.add_task(f"{name} in a thread", variable.get)
        for task_id in manager.status():
            assert (await manager.wait(task_id)).result == task_id[0]


async def test_a_plain_function_may_return_something_to_await() -> None:
    """`lambda: fetch(…)` is a plain function, and its coroutine is awaited."""
    async with AnyioTaskManager() as manager:
        manager.add_task("a", lambda: double(4))
        assert (await manager.wait("a")).result == 8
        assert await manager.map(lambda number: double(number), [1, 2]) == [2, 4]  # noqa: PLW0108


async def test_an_unstoppable_thread_keeps_its_slot_and_says_so() -> None:
    """The slot of a timed-out thread is free when the thread ends, not before."""
    release = threading.Event()
    async with AnyioTaskManager(max_threads=1) as manager:
        manager.add_task("stuck", release.wait, 60, timeout=0.01)
        stuck = await manager.wait("stuck")
        assert stuck.state == "timeout"
        assert "keeps one of 1 thread slots" in (stuck.note or "")
        manager.add_task("next", threading.get_ident)
        assert manager.status()["next"].state == "queued"
        release.set()
        assert (await manager.wait("next")).state == "completed"
        assert "ended" in (manager.status()["stuck"].note or "")


async def test_a_stuck_thread_keeps_its_slot_over_a_restart() -> None:
    """Shutting down does not wait for a thread, and does not forget it."""
    begun, release = threading.Event(), threading.Event()
    manager = await AnyioTaskManager(max_threads=1).start()
    manager.add_task("stuck", lambda: begun.set() or release.wait(60))
    await until(begun.is_set)
    await manager.shutdown()
    async with manager:
        manager.add_task("next", threading.get_ident)
        assert manager.status()["next"].state == "queued"
        release.set()
        assert (await manager.wait("next")).state == "completed"


async def test_run_in_thread_returns_raises_and_times_out() -> None:
    """A call in a thread gives back what the function does, or a TimeoutError."""
    release = threading.Event()
    manager = AnyioTaskManager(max_threads=1)
    assert await manager.run_in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await manager.run_in_thread(divmod, 7, 0)
    with pytest.raises(TimeoutError, match="keeps its slot"):
        await manager.run_in_thread(release.wait, 60, timeout=0.01)
    with anyio.move_on_after(0.01) as limit:
        await manager.run_in_thread(threading.get_ident)
    assert limit.cancelled_caught
    release.set()
    assert await manager.run_in_thread(threading.get_ident) != threading.get_ident()


async def test_gather_keeps_order_and_collects_errors() -> None:
    """Results stand where their items stood; a failure is an exception in its place."""

    async def work(number: int) -> int:
        await anyio.sleep((5 - number) / 1000)
        if number == 2:
            raise ValueError(number)
        return number

    results = await AnyioTaskManager().gather(work, range(5), concurrency=5, jitter=0.001)
    assert isinstance(results.pop(2), ValueError)
    assert results == [0, 1, 3, 4]


async def test_gather_can_raise_the_first_error() -> None:
    """With "raise" the error comes plain, the rest is cancelled and no task is left."""
    begun: list[int] = []
    ended: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            await until(lambda: len(begun) == 4)
            raise ValueError("one")
        try:
            await anyio.sleep(math.inf)
        finally:
            ended.append(number)

    with pytest.raises(ValueError, match="one"):
        await AnyioTaskManager().gather(work, range(9), concurrency=4, on_error="raise")
    assert sorted(ended) == [0, 2, 3]


async def test_gather_keeps_what_ended_within_the_total_timeout() -> None:
    """What is late or never began is a TimeoutError; what ended is kept."""

    async def work(number: int) -> int:
        await anyio.sleep(0 if number < 2 else math.inf)
        return number

    manager = AnyioTaskManager()
    results = await manager.gather(work, range(6), concurrency=3, total_timeout=0.5)
    assert results[:2] == [0, 1]
    assert [type(result) for result in results[2:]] == [nbhttp.errors.TimeoutError] * 4
    results = await manager.gather(work, [0, 5], task_timeout=0.5)
    assert (results[0], type(results[1])) == (0, nbhttp.errors.TimeoutError)
    with pytest.raises(TimeoutError, match=r"total of 0\.02 s"):
        await manager.gather(work, range(6), total_timeout=0.02, on_error="raise")


async def test_waiting_for_a_thread_is_not_counted_by_a_timeout() -> None:
    """A plain function's time begins with its thread, as in run_in_thread."""
    release = threading.Event()
    manager = AnyioTaskManager(max_threads=1)
    results: list[Any] = []

    async def gather() -> None:
        results.extend(await manager.gather(str, ["a", "b"], task_timeout=0.5))

    async with anyio.create_task_group() as group:
        group.start_soon(manager.run_in_thread, release.wait, 60)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(gather)
        await anyio.sleep(0.7)
        release.set()
    assert results == ["a", "b"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_length_that_is_wrong_loses_nothing(kind: str) -> None:
    """What says that it has no items is asked all the same, and its end is found."""

    class Numbers:
        def __init__(self, *numbers: int) -> None:
            self.numbers = numbers

        def __len__(self) -> int:
            return 0

    class SyncNumbers(Numbers):
        def __iter__(self) -> Iterator[int]:
            return iter(self.numbers)

    class AsyncNumbers(Numbers):
        async def __aiter__(self) -> AsyncIterator[int]:
            for number in self.numbers:
                yield number

    make: Any = SyncNumbers if kind == "sync" else AsyncNumbers
    with anyio.fail_after(30):
        assert await AnyioTaskManager().gather(double, make()) == []
        assert await AnyioTaskManager().gather(double, make(1, 2)) == [2, 4]


async def test_map_takes_sync_and_async_functions_and_iterables() -> None:
    """Every combination gives a list in the order of the items."""

    async def numbers() -> AsyncIterator[int]:
        for number in range(20):
            await anyio.lowlevel.checkpoint()
            yield number

    manager = AnyioTaskManager(max_threads=2)
    for func in (double, lambda number: number * 2):
        for items in (range(20), iter(range(20)), numbers()):
            assert await manager.map(func, items, 4) == [number * 2 for number in range(20)]
    assert await manager.map(double, []) == []


async def test_an_error_in_the_iterable_stops_and_is_raised() -> None:
    """The items' own error comes to the caller, from sync and async iterables."""

    def sync_items() -> Iterator[int]:
        yield 1
        raise LookupError("sync")

    async def async_items() -> AsyncIterator[int]:
        yield 1
        raise LookupError("async")

    for items in (sync_items(), async_items()):
        with pytest.raises(LookupError):
            await AnyioTaskManager().gather(double, items)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_workers_pull_only_what_they_work_on(kind: str) -> None:
    """Never more than `concurrency` items are taken and not ended."""
    pulled = ended = most_open = 0

    def take() -> int:
        nonlocal pulled, most_open
        pulled += 1
        most_open = max(most_open, pulled - ended)
        return pulled

    async def async_items() -> AsyncIterator[int]:
        for _ in range(50):
            yield take()

    async def work(_item: int) -> None:
        nonlocal ended
        await anyio.lowlevel.checkpoint()
        ended += 1

    items = (take() for _ in range(50)) if kind == "sync" else async_items()
    await AnyioTaskManager().gather(work, items, concurrency=4)
    assert (pulled, ended) == (50, 50)
    assert most_open <= 4


async def test_ten_thousand_items_cost_little_memory() -> None:
    """The memory for a long iterable is that of its results and a few workers."""
    manager = AnyioTaskManager()
    await manager.map(double, range(100), 10)
    gc.collect()
    tracemalloc.start()
    try:
        results = await manager.map(double, iter(range(10_000)), 100)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(results) == 10_000
    assert peak_bytes < 2_000_000


async def test_imap_yields_results_as_they_finish() -> None:
    """The quick one comes first, whatever its place."""
    gate = anyio.Event()

    async def work(number: int) -> int:
        if number == 0:
            await gate.wait()
        return number

    seen = []
    async for result in AnyioTaskManager().imap(work, range(3), 2):
        seen.append(result)
        if result == 2:
            gate.set()
    assert seen == [1, 2, 0]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_leaving_imap_early_stops_the_workers(kind: str) -> None:
    """After `break` no worker runs and the items' generator is closed."""
    running = 0
    is_closed = False

    def sync_items() -> Iterator[int]:
        nonlocal is_closed
        try:
            yield from range(1_000_000)
        finally:
            is_closed = True

    async def async_items() -> AsyncIterator[int]:
        nonlocal is_closed
        try:
            for number in range(1_000_000):
                yield number
        finally:
            is_closed = True

    async def work(number: int) -> int:
        nonlocal running
        running += 1
        try:
            await anyio.sleep(math.inf if number > 3 else 0)
        finally:
            running -= 1
        return number

    items = sync_items() if kind == "sync" else async_items()
    async for _ in AnyioTaskManager().imap(work, items, 4):
        break
    items = None
    await until(lambda: running == 0 and (gc.collect() or is_closed))


async def test_imap_as_context_manager_waits_for_the_workers_end() -> None:
    """At the end of `async with` nothing runs, though the stream is still referenced."""
    running = 0

    async def work(number: int) -> int:
        nonlocal running
        running += 1
        try:
            await anyio.sleep(math.inf if number else 0)
        finally:
            running -= 1
        return number

    async with AnyioTaskManager().imap(work, range(10), 3) as stream:
        async for _ in stream:
            break
        assert running > 0
    assert running == 0
    assert [item async for item in stream] == []


async def test_imap_errors_are_raised_or_collected() -> None:
    """By default the first error ends the iteration; collected it is one of the results."""

    async def work(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    manager = AnyioTaskManager()
    seen: list[Any] = []
    stream = manager.imap(work, range(9), 1)
    seen.append(await anext(stream))
    with pytest.raises(ValueError, match="one"):
        await anext(stream)
    assert seen == [0]
    collected = [result async for result in manager.imap(work, range(3), 1, on_error="collect")]
    assert (collected[0], type(collected[1]), collected[2]) == (0, ValueError, 2)


async def test_a_cancelled_consumer_stops_imap() -> None:
    """Cancelling the wait for a result cancels the workers."""
    running = 0

    async def work(_number: int) -> None:
        nonlocal running
        running += 1
        try:
            await anyio.sleep(math.inf)
        finally:
            running -= 1

    stream = AnyioTaskManager().imap(work, range(10), 3)
    with anyio.move_on_after(0.01):
        await anext(stream)
    await until(lambda: running == 0)
    await stream.aclose()


async def test_shutdown_closes_the_streams() -> None:
    """A stream kept in a variable ends with its manager."""
    manager = await AnyioTaskManager().start()
    stream = manager.imap(double, iter(int, 1), 2)
    assert await anext(stream) == 0
    await manager.shutdown()
    assert [item async for item in stream] == []


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ConfigError, {"max_tasks": 0}),
        (TypeError, {"max_threads": True}),
        (TypeError, {"max_processes": 1.5}),
        (ConfigError, {"max_queue": -1}),
        (TypeError, {"max_history": "many"}),
        (ConfigError, {"default_timeout": 0}),
        (ConfigError, {"default_timeout": math.nan}),
        (TypeError, {"default_timeout": "1"}),
    ],
)
async def test_bad_limits_are_refused(error: type[Exception], options: dict[str, Any]) -> None:
    """As the options of a client are, with the name of the limit."""
    with pytest.raises(error, match=next(iter(options))):
        AnyioTaskManager(**options)


async def test_bad_calls_are_refused() -> None:
    """What cannot work is refused at the call."""
    async with AnyioTaskManager() as manager:
        with pytest.raises(TypeError, match=r"double, … instead of double\(…\)"):
            manager.add_task("a", double(1))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not a function"):
            manager.add_task("a", 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="unhashable"):
            manager.add_task([], double, 1)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="timeout"):
            manager.add_task("a", double, 1, timeout=-1)
        with pytest.raises(TypeError, match="is async"):
            await manager.run_in_thread(double, 1)
        with pytest.raises(TypeError, match="iterate"):
            await manager.map(double, 3)  # type: ignore[call-overload]
        with pytest.raises(ConfigError, match="on_error"):
            await manager.gather(double, [1], on_error="ignore")  # type: ignore[call-overload]
        with pytest.raises(ConfigError, match="concurrency"):
            manager.imap(double, [1], 0)
        with pytest.raises(ConfigError, match="jitter"):
            manager.imap(double, [1], jitter=-1)
        with pytest.raises(ConfigError, match="jitter"):
            manager.imap(double, [1], jitter=math.inf)
        assert not manager.status()


async def test_what_is_printed_is_short_and_redacted() -> None:
    """`repr`, the table and the error line hold counts and no secret."""
    secret = "ghp_" + "a1B2" * 9

    async def fail() -> None:
        raise ValueError(f"bad token {secret}")

    async with AnyioTaskManager(max_tasks=2) as manager:
        assert repr(manager) == "AnyioTaskManager: nothing to do"
        manager.add_task("bad", fail)
        await manager.wait("bad")
        for number in range(50):
            manager.add_task(number, anyio.sleep, math.inf)
        assert repr(manager) == "AnyioTaskManager: 2 running, 48 queued, 1 failed"
        table = repr(manager.status())
        texts = [table, repr(manager.status()["bad"]), manager.status()["bad"].error or ""]
    assert all(secret not in text and "ValueError: bad token" in text for text in texts)
    assert table.splitlines()[0].split() == ["task", "state", "started", "seconds"]
    assert table.splitlines()[-1] == "… and 21 queued"
    assert "not started" in repr(manager)
    assert [state.is_final for state in TaskState] == [False, False, True, True, True, True]
