"""The gate: how many exchanges one client runs at once, over all loops and threads."""

import threading
from collections import OrderedDict

from nbhttp._core.runtime import Sleeper, sleeper

__all__ = ["Gate"]


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
        self.reset()

    def reset(self) -> None:
        """Forget what is held and who waits: in a forked process both are the parent's."""
        # Re-entrant: a coroutine that the garbage collector ends may release a slot in the
        # middle of a locked line of the same thread.
        self._lock = threading.RLock()
        self._free = self.capacity
        self._queue: OrderedDict[Sleeper, None] = OrderedDict()

    @property
    def held(self) -> int:
        """Slots in use now."""
        return self.capacity - self._free

    @property
    def queued(self) -> int:
        """Calls that wait for a slot."""
        return len(self._queue)

    def try_acquire(self) -> bool:
        """Take a slot if one is free; False otherwise."""
        with self._lock:
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
        waiter = sleeper()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            self._queue[waiter] = None
        try:
            await waiter.wait(timeout)
        except BaseException:
            self._abandon(waiter)
            raise

    def release(self) -> None:
        """Give a slot back; the first in the queue gets it."""
        while True:
            with self._lock:
                if not self._queue:
                    # A slot taken before a fork is not ours to give back.
                    self._free = min(self._free + 1, self.capacity)
                    return
                waiter, _ = self._queue.popitem(last=False)
            try:
                waiter.wake()
            except RuntimeError:  # its loop is closed: nobody will use the slot
                continue
            return

    def _abandon(self, waiter: Sleeper) -> None:
        """Leave the queue; or, when it was left already, pass on the slot that was granted."""
        with self._lock:
            was_granted = self._queue.pop(waiter, self) is self
        if was_granted:
            self.release()
