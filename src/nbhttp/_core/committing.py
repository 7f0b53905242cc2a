"""Puts many small files on the disk in groups, with one thread instead of one hop a file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import anyio
import anyio.to_thread

__all__ = ["Commit", "Committer", "ThreadCommitter", "Together"]

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
    error: Exception | None = None


@dataclass(eq=False, slots=True)
class _Group:
    entries: list[_Entry] = field(default_factory=list)
    done: anyio.Event = field(default_factory=anyio.Event)


class Together:
    """Runs what has come since the last group as the next one, step by step for all of it.

    Threads that take turns with the loop cost a small file more than all that it needs done. And
    where one sync waits for the disk, those after it find most of their work done.

    Each commit is in `_waiting`, or in a group under way, or done.
    """

    def __init__(self) -> None:
        self._waiting = _Group()
        self._news = anyio.Event()

    async def run(self, commit: Commit) -> None:
        """Run one; `serve` must run beside it; see `Committer.run`."""
        group, entry = self._waiting, _Entry(commit)
        group.entries.append(entry)
        self._news.set()
        try:
            await group.done.wait()
        except BaseException:
            if group is self._waiting:
                group.entries.remove(entry)
            else:
                with anyio.CancelScope(shield=True):
                    await group.done.wait()
            raise
        if entry.error is not None:
            raise entry.error

    async def serve(self) -> None:
        """Run groups until cancelled; where several do, that many groups are under way at once."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            group, self._waiting = self._waiting, _Group()
            try:
                await anyio.to_thread.run_sync(_run_all, group.entries)
            finally:
                group.done.set()


def _run_all(entries: list[_Entry]) -> None:
    while entries:
        entries = [entry for entry in entries if _has_more(entry)]


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
