"""A function in a worker thread, whose slot is free when the thread is, not when we stop waiting."""

import inspect
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from nbhttp._tasks.loops import Loop
from nbhttp._tasks.records import Record, current_record
from nbhttp._tasks.slots import Slots

__all__ = ["finish_awaitable", "run_in_slot"]


async def run_in_slot(func: Callable[[], Any], slots: Slots, loop: Loop) -> Any:
    """Run `func` in a worker thread, in a slot that the caller has acquired.

    The slot is released when the thread is done with `func`. A cancelled wait ends at once;
    the thread goes on, keeps the slot, and the current task's note says so.
    """
    job = _Job(func, loop, slots.release)
    # Our slots bound the threads. anyio's own limit frees an abandoned thread's place at once
    # on asyncio and at its end on trio.
    unlimited = anyio.CapacityLimiter(math.inf)
    try:
        await anyio.to_thread.run_sync(job.run, abandon_on_cancel=True, limiter=unlimited)
    except BaseException:
        if job.drop():
            slots.release()
        elif not job.has_ended:
            job.report_to_current_task(slots.capacity)
        raise
    if job.error is not None:
        raise job.error
    return job.result


async def finish_awaitable(result: Any) -> Any:
    """Await what a plain function returned where that is a coroutine: `lambda: fetch(url)`."""
    return await result if inspect.isawaitable(result) else result


class _Job:
    """One call. Invariant: it is dropped or begun, never both; the lock decides which."""

    def __init__(self, func: Callable[[], Any], loop: Loop, on_end: Callable[[], object]) -> None:
        self._func = func
        self._loop = loop
        self._on_end = on_end
        self._lock = threading.Lock()
        self._has_begun = False
        self._is_dropped = False
        self._abandoned_s: float | None = None
        self._record: Record | None = None
        self.has_ended = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Call the function; runs in the thread and never raises."""
        with self._lock:
            if self._is_dropped:
                return
            self._has_begun = True
        try:
            self.result = self._func()
        except BaseException as error:  # noqa: BLE001 - handed to the waiting task
            self.error = _raisable(error)
        self.has_ended = True
        self._loop.call_soon(self._end)

    def drop(self) -> bool:
        """Prevent the call if the thread has not begun it."""
        with self._lock:
            self._is_dropped = not self._has_begun
            return self._is_dropped

    def _end(self) -> None:
        if self._abandoned_s is not None and self._record is not None:
            late_s = time.monotonic() - self._abandoned_s
            self._record.note = f"its thread could not be stopped and ended {late_s:.1f} s later"
        self._on_end()

    def report_to_current_task(self, capacity: int) -> None:
        """Note on the current task that its thread lives on."""
        self._abandoned_s = time.monotonic()
        self._record = current_record.get()
        if self._record is not None:
            self._record.note = (
                "its thread cannot be stopped: it runs on and keeps "
                f"one of {capacity} thread slots until it ends"
            )


def _raisable(error: BaseException) -> BaseException:
    # A coroutine cannot raise StopIteration: it would look like its own end.
    if not isinstance(error, StopIteration):
        return error
    replacement = RuntimeError("the function raised StopIteration")
    replacement.__cause__ = error
    return replacement
