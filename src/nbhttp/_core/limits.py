"""The gate: how many exchanges one client runs at once, over all loops and threads."""

import os
import threading
from collections import deque
from collections.abc import Callable

from nbhttp._core.runtime import sleeper

__all__ = ["Gate"]


class _Waiter:
    """One call in the queue; `state` changes only under the gate's lock."""

    __slots__ = ("is_abandoned", "is_granted", "wake")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.is_granted = False
        self.is_abandoned = False


class Gate:
    """Grants `capacity` slots, first come first served.

    Invariant: slots free + slots held == capacity, and nobody waits while a slot is free. A slot
    is handed straight from the one who releases it to the first in the queue, so a newcomer
    cannot overtake.

    Args:
        capacity: Slots, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        # Re-entrant: a coroutine that the garbage collector ends may release a slot in the
        # middle of a locked line of the same thread.
        self._lock = threading.RLock()
        self._reset()

    def _reset(self) -> None:
        self._free = self.capacity
        self._queue: deque[_Waiter] = deque()
        self._pid = os.getpid()

    @property
    def held(self) -> int:
        """Slots in use now."""
        return self.capacity - self._free

    @property
    def queued(self) -> int:
        """Calls that wait for a slot."""
        with self._lock:
            return sum(1 for w in self._queue if not w.is_abandoned)

    def try_acquire(self) -> bool:
        """Take a slot if one is free; False otherwise."""
        with self._lock:
            if self._pid != os.getpid():  # forked: what was held belongs to the parent
                self._reset()
            if self._free:
                self._free -= 1
                return True
            return False

    async def acquire(self, timeout: float | None = None) -> None:
        """Wait for a slot.

        Args:
            timeout: Seconds to wait; None waits forever.

        Raises:
            TimeoutError: The built-in one: no slot within `timeout`.
        """
        if self.try_acquire():
            return
        wake, wait = sleeper()
        waiter = _Waiter(wake)
        with self._lock:
            if self._free:  # released meanwhile
                self._free -= 1
                return
            self._queue.append(waiter)
        try:
            await wait(timeout)
        except BaseException:
            self._abandon(waiter)
            raise

    def release(self) -> None:
        """Give a slot back; the first in the queue gets it."""
        while True:
            with self._lock:
                if self._pid != os.getpid():
                    return
                waiter = self._next_waiter()
                if waiter is None:
                    self._free += 1
                    return
                waiter.is_granted = True
            try:
                waiter.wake()
            except RuntimeError:  # its loop is closed: nobody will use the slot
                continue
            return

    def _next_waiter(self) -> _Waiter | None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.is_abandoned:
                return waiter
        return None

    def _abandon(self, waiter: _Waiter) -> None:
        with self._lock:
            waiter.is_abandoned = True
            was_granted = waiter.is_granted
        if was_granted:
            self.release()
