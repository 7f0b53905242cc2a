"""Crossing from one event loop to another, and back."""

import asyncio
import threading

import anyio
import pytest

from nbhttp._core import crossing
from nbhttp._core.loopthread import LoopThread

pytestmark = pytest.mark.anyio


async def test_a_crossing_cancelled_before_it_began_ends_at_once(monkeypatch):
    """The start and its cancellation may reach the other loop in one turn of it."""
    monkeypatch.setattr(crossing, "_GRACE_S", 30.0)
    go_on, has_begun = threading.Event(), []

    async def function(_caller):
        has_begun.append(True)

    LoopThread.get().loop.call_soon_threadsafe(go_on.wait)
    task = asyncio.create_task(crossing.on_private_loop(function))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    done, _ = await asyncio.wait([task], timeout=10)
    assert done, "it waits for the grace of a task that has ended"
    assert task.cancelled()
    assert not has_begun


@pytest.mark.parametrize("exit", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("in_a_group", [False, True])
async def test_what_would_end_the_process_ends_the_call(exit: type, in_a_group: bool):
    """The user's code raises it; the call is cancelled, and raises it where it was made."""
    ended = []

    def callback() -> None:
        raise exit

    async def function(caller):
        try:
            if not in_a_group:
                await caller.run(callback)
            async with anyio.create_task_group() as group:
                group.start_soon(caller.run, callback)
                await anyio.sleep_forever()
        except asyncio.CancelledError:
            await anyio.sleep(0)  # time to put things in order
            ended.append("cancelled")
            raise

    with pytest.raises(exit):
        await crossing.on_private_loop(function)
    assert ended == ["cancelled"]

    async def answer(_caller):
        return "still there"

    assert await crossing.on_private_loop(answer) == "still there"


async def test_a_task_of_the_private_loop_cannot_end_it():
    """Whatever it raises, who waits for the loop is answered."""

    async def leave() -> None:
        raise SystemExit

    thread = LoopThread.get()
    thread.post(leave)

    async def answer(_caller):
        return "still there"

    with anyio.fail_after(20):
        assert await crossing.on_private_loop(answer) == "still there"
    assert LoopThread.get() is thread
