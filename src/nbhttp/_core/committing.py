"""Puts many small files on the disk in groups, with one thread instead of one hop a file."""

import contextlib
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

import anyio
import anyio.to_thread

from nbhttp._core.runtime import Sleeper, call_threadsafe, current_loop, sleeper

__all__ = ["Commit", "Committer", "ThreadCommitter", "Together"]

_ROOM_BYTES = 8 * 1024 * 1024

Commit = Iterator[None]
"""Blocking steps, one for each `next`: write, wait for the disk, give the name."""


class Committer(Protocol):
    """Runs commits."""

    async def run(self, commit: Commit) -> None:
        """Run one to its end; returns when nothing of it runs any more, also when cancelled.

        Raises:
            Exception: What the commit raised.
        """


class ThreadCommitter:
    """Runs each commit in a worker thread of its own."""

    async def run(self, commit: Commit) -> None:
        """Run one; see `Committer.run`."""
        await anyio.to_thread.run_sync(_exhaust, commit)


def _exhaust(commit: Commit) -> None:
    for _ in commit:
        pass


@dataclass(eq=False, slots=True)
class _Entry:
    commit: Commit
    waiting: Sleeper = field(default_factory=sleeper)
    is_done: bool = False
    is_dropped: bool = False
    error: Exception | None = None


class Together:
    """Runs what has come since the last group as the next one, step by step for all of it.

    Threads that take turns with the loop cost a small file more than all that it needs done. And
    where one sync waits for the disk, those after it find most of their work done.
    """

    def __init__(self) -> None:
        self._entries: SimpleQueue[_Entry | None] = SimpleQueue()

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None, None]:
        """Have a thread run what is given to `run` inside the block."""
        thread = threading.Thread(
            target=self._work, args=(current_loop(),), name="nbhttp-commit", daemon=True
        )
        thread.start()
        _keep_room()
        try:
            yield
        finally:
            self._entries.put(None)
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.join)

    async def run(self, commit: Commit) -> None:
        """Run one, inside a block of `at_work`; see `Committer.run`."""
        entry = _Entry(commit)
        self._entries.put(entry)
        try:
            await entry.waiting.wait()
        except BaseException:
            entry.is_dropped = True  # unless it has begun
            if not entry.is_done:
                entry.waiting = sleeper()
                with anyio.CancelScope(shield=True):
                    await entry.waiting.wait()
            raise
        if entry.error is not None:
            raise entry.error

    def _work(self, loop: Any) -> None:
        is_last = False
        while not is_last:
            group = [self._entries.get()]
            while not self._entries.empty():  # nobody else takes from it
                group.append(self._entries.get())
            is_last = None in group
            entries = [entry for entry in group if entry is not None]
            _run_all([entry for entry in entries if not entry.is_dropped])
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                call_threadsafe(loop, _tell, entries)


def _keep_room() -> None:
    """Have the memory of small files be used again and again.

    glibc keeps twice as much freed memory at hand as the largest block had that was mapped and
    freed before. Below what is under way it gives each file's pages back, to fault them in again
    for the next one: 80 µs a file of 200 KB. The block itself is never touched.
    """
    bytes(_ROOM_BYTES)


def _run_all(entries: list[_Entry]) -> None:
    while entries:
        entries = [entry for entry in entries if _has_more(entry)]


def _tell(entries: list[_Entry]) -> None:
    for entry in entries:
        entry.is_done = True
        entry.waiting.wake()


def _has_more(entry: _Entry) -> bool:
    """Run an entry's next step; whether another one follows."""
    try:
        next(entry.commit)
    except StopIteration:
        return False
    except Exception as exc:  # noqa: BLE001 - raised where it is waited for
        entry.error = exc
        return False
    return True
