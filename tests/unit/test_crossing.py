"""Crossing from one event loop to another, and back."""

import asyncio
import threading

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
