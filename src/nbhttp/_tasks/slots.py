"""A bounded number of slots, handed over in the order of asking."""

from collections import OrderedDict
from collections.abc import Callable

import anyio

__all__ = ["Slots"]


class Slots:
    """Slots that are taken with a callback, so that who waits costs an entry and not a task.

    Belongs to one loop: every method is called in that loop's thread. Invariant: something
    waits only while all slots are taken.

    Args:
        capacity: How many slots there are.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.taken = 0
        self._waiting: OrderedDict[object, Callable[[], object]] = OrderedDict()

    def request(self, key: object, on_granted: Callable[[], object]) -> None:
        """Call `on_granted` as soon as a slot is the caller's: now, or at a later release."""
        if self.taken >= self.capacity:
            self._waiting[key] = on_granted
            return
        self.taken += 1
        on_granted()

    def withdraw(self, key: object) -> bool:
        """Stop waiting; False when `key` was not waiting (any more)."""
        return self._waiting.pop(key, None) is not None

    def release(self) -> None:
        """Give a slot back; who waits longest gets it."""
        if not self._waiting:
            self.taken -= 1
            return
        _, on_granted = self._waiting.popitem(last=False)
        on_granted()

    async def acquire(self) -> None:
        """Wait for a slot; a cancelled wait leaves none taken."""
        granted = anyio.Event()
        self.request(granted, granted.set)
        try:
            await granted.wait()
        except BaseException:
            if not self.withdraw(granted):
                self.release()
            raise
