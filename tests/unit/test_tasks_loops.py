"""The task manager over the end of its loop, on another one, and under asyncio's own cancelling."""

import asyncio
import math
import os
import threading
from typing import Any

import anyio
import psutil
import pytest

from nbhttp.errors import TaskError
from nbhttp.tasks import AnyioTaskManager


def run(func: Any, backend: str) -> Any:
    return anyio.run(func, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_that_ends_without_shutdown_leaves_nothing(backend: str) -> None:
    """The end of the loop ends tasks and processes; the manager starts again on the next loop."""
    manager = AnyioTaskManager(max_tasks=1, max_threads=1)

    async def first() -> int:
        await manager.start()
        manager.add_task("running", anyio.sleep, math.inf)
        manager.add_task("queued", anyio.sleep, math.inf)
        return await manager.run_in_process(os.getpid)

    async def second() -> int:
        async with manager:
            manager.add_task("again", os.getpid)
            return (await manager.wait("again")).result

    pid = run(first, backend)
    assert not psutil.pid_exists(pid)
    assert {info.state for info in manager.status().values()} == {"cancelled"}
    assert run(second, backend) == os.getpid()


def test_another_loop_is_refused_while_the_first_runs() -> None:
    """A started manager belongs to its loop; elsewhere the calls say so."""
    manager = AnyioTaskManager()
    errors: list[BaseException] = []

    async def elsewhere() -> None:
        for call in (manager.start, manager.shutdown):
            try:
                await call()
            except TaskError as error:
                errors.append(error)
        try:
            manager.add_task("a", anyio.sleep, 0)
        except TaskError as error:
            errors.append(error)

    async def main() -> None:
        async with manager:
            thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
            thread.start()
            thread.join()

    asyncio.run(main())
    assert len(errors) == 3
    assert all("another event loop" in str(error) for error in errors)
    with pytest.raises(TaskError, match="not started"):
        manager.add_task("a", anyio.sleep, 0)


def test_a_stray_cancellation_ends_one_task_only() -> None:
    """Awaiting what someone else has cancelled, or being cancelled natively, hurts no other."""

    async def await_cancelled(_item: int = 0) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    tasks: list[asyncio.Task[Any]] = []

    async def sleep_and_tell() -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await asyncio.sleep(math.inf)

    async def main() -> None:
        async with AnyioTaskManager() as manager:
            manager.add_task("bystander", anyio.sleep, math.inf)
            manager.add_task("stray", await_cancelled)
            assert (await manager.wait("stray")).state == "cancelled"
            manager.add_task("native", sleep_and_tell)
            while not tasks:
                await asyncio.sleep(0)
            tasks[0].cancel()
            assert (await manager.wait("native")).state == "cancelled"
            assert manager.status()["bystander"].state == "running"
            results = await manager.gather(await_cancelled, [1])
            assert isinstance(results[0], TaskError)

    asyncio.run(main())


def test_asyncio_cancelling_the_caller_cancels_the_work() -> None:
    """`task.cancel()` on who awaits gather, map or a process ends all of it."""
    running = 0

    async def work(_item: int) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(math.inf)
        finally:
            running -= 1

    async def main() -> None:
        task = asyncio.create_task(AnyioTaskManager().gather(work, range(9), concurrency=3))
        while running < 3:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert running == 0

    asyncio.run(main())


def test_no_loop_is_a_clear_error() -> None:
    """Plain code gets told to use TaskManager."""
    manager = AnyioTaskManager()
    with pytest.raises(TaskError, match="no event loop") as caught:
        manager.start().send(None)
    assert "TaskManager" in (caught.value.hint or "")
