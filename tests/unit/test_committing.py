"""Files put on the disk in groups."""

import threading
from collections.abc import Iterator

import anyio
import pytest

from nbhttp._core.committing import Together

pytestmark = pytest.mark.anyio


async def test_what_waits_is_run_as_a_group_step_by_step():
    """Every file is written before the first one is synced."""
    steps: list[str] = []

    def commit(name: str) -> Iterator[None]:
        steps.append(f"write {name}")
        yield
        steps.append(f"sync {name}")

    together = Together()
    async with anyio.create_task_group() as files:
        for name in "abc":
            files.start_soon(together.run, commit(name))
        await anyio.wait_all_tasks_blocked()
        async with together.at_work():
            pass
    assert [step.split()[0] for step in steps] == ["write"] * 3 + ["sync"] * 3
    assert len(set(steps)) == 6


async def test_one_that_fails_does_not_harm_the_others():
    """Its error is raised where it is waited for."""
    written: list[str] = []

    def good() -> Iterator[None]:
        yield
        written.append("good")

    def bad() -> Iterator[None]:
        yield
        raise OSError("no space left")

    together = Together()
    async with together.at_work(), anyio.create_task_group() as files:
        files.start_soon(together.run, good())
        with pytest.raises(OSError, match="no space"):
            await together.run(bad())
    assert written == ["good"]


async def test_cancelling_waits_for_what_runs_and_drops_what_waits():
    """The caller may close its file afterwards."""
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slow() -> Iterator[None]:
        begun.set()
        go_on.wait(30)
        yield
        done.append("slow")

    def waiting() -> Iterator[None]:
        yield
        done.append("waiting")

    together = Together()
    async with together.at_work():
        async with anyio.create_task_group() as files:
            files.start_soon(together.run, slow())
            await anyio.to_thread.run_sync(begun.wait, 30)
            files.start_soon(together.run, waiting())
            await anyio.wait_all_tasks_blocked()
            files.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()  # both have heard of it
            go_on.set()
        assert done == ["slow"]
    assert done == ["slow"]
    assert "nbhttp-commit" not in {thread.name for thread in threading.enumerate()}
