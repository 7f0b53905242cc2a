"""Writes a body to a file as it arrives, without stalling the loop on a slow disk."""

import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from time import perf_counter
from typing import Any, Protocol

import anyio
import anyio.to_thread

from nbhttp.errors import BodyTooLargeError

__all__ = ["FileSink", "Hasher"]

_SLOW_WRITE_S = 0.020
_SLICE_BYTES = 512 * 1024
_QUEUED_SLICES = 16


class Hasher(Protocol):
    """What `hashlib` makes, as far as a sink needs it."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Hash the next bytes."""


class FileSink:
    """A `BodySink` that writes to an open file at a growing offset.

    Writes happen at once, on the caller's thread: the page cache takes a MiB in well under a
    millisecond. When one write takes over 20 ms the disk cannot keep up, and everything after it
    goes through one writer thread with a bounded queue; reading then pauses while that is full.

    It works on any event loop. It does not close the file.

    Args:
        fd: A file descriptor open for writing; nothing else may move its offset on Windows.
        offset: Where the first byte goes.
        hasher: Gets every byte in order; None hashes nothing.
        on_bytes: Called on the caller's thread with the size of each piece taken.
        limit: Most bytes to take; None takes all.

    Attributes:
        written: Bytes that are in the file, counted from `offset` without a gap.
    """

    def __init__(
        self,
        fd: int,
        offset: int = 0,
        *,
        hasher: Hasher | None = None,
        on_bytes: Callable[[int], None] | None = None,
        limit: int | None = None,
    ) -> None:
        self._fd = fd
        self._offset = offset
        self._hasher = hasher
        self._on_bytes = on_bytes
        self._limit = limit
        self._taken = 0
        self._writer: _Writer | None = None
        self.written = 0

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Take `data`.

        Returns:
            None when more may come; on a slow disk, an awaitable that waits for room.

        Raises:
            BodyTooLargeError: More than `limit` bytes came; what fits was not written.
            OSError: This write failed, or an earlier one of the writer thread.
        """
        size = len(data)
        if self._limit is not None and self._taken + size > self._limit:
            raise BodyTooLargeError(f"more than the expected {self._limit:,} bytes came")
        self._taken += size
        waiting = None
        if self._writer is not None:
            waiting = self._writer.put(data)
        else:
            started = perf_counter()
            self._store(data)
            if perf_counter() - started > _SLOW_WRITE_S:
                self._writer = _Writer(self._store)
        if self._on_bytes is not None:
            self._on_bytes(size)
        return waiting

    async def aclose(self) -> None:
        """Write what is queued and end the writer thread.

        When cancelled, what is still queued is dropped; the write under way is awaited all the
        same, since the caller will close the file.

        Raises:
            OSError: A write of the writer thread failed.
        """
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.aclose()

    def _store(self, data: bytes | memoryview) -> None:
        """Write and hash `data`, on whatever thread."""
        view = memoryview(data)
        if self._hasher is not None:
            self._hasher.update(view)
        while view:
            count = _write_at(self._fd, view, self._offset + self.written)
            self.written += count
            view = view[count:]


class _Room:
    """Waits, on a worker thread, once awaited; may be dropped without."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, Any, None]:
        return anyio.to_thread.run_sync(self._wait, abandon_on_cancel=True).__await__()


class _Writer:
    """One thread that stores slices in order.

    `_queue`, `_error` and `_is_closing` change only under `_changed`.
    """

    def __init__(self, store: Callable[[bytes], None]) -> None:
        self._store = store
        self._queue: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._error: OSError | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="nbhttp-writer", daemon=True)
        self._thread.start()

    def put(self, data: memoryview) -> Awaitable[None] | None:
        """Copy `data` into the queue; return an awaitable when that is full."""
        with self._changed:
            self._raise_error()
            for start in range(0, len(data), _SLICE_BYTES):
                self._queue.append(bytes(data[start : start + _SLICE_BYTES]))
            self._changed.notify_all()
            is_full = len(self._queue) >= _QUEUED_SLICES
        return _Room(self._wait_for_room) if is_full else None

    async def aclose(self) -> None:
        """Store everything, or on cancellation drop it, and join the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        try:
            while self._thread.is_alive():
                await anyio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)
        except BaseException:
            with self._changed:
                self._queue.clear()
                self._changed.notify_all()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._thread.join)
            raise
        self._raise_error()

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._error is not None or len(self._queue) <= _QUEUED_SLICES // 2
            )
            self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                if not self._queue:
                    return
                piece = self._queue.popleft()
            try:
                self._store(piece)
            except OSError as exc:
                with self._changed:
                    self._error = exc
                    self._queue.clear()
                    self._changed.notify_all()
                return
            with self._changed:
                self._changed.notify_all()


if sys.platform == "win32":  # no pwrite there
    _SEEK_AND_WRITE = threading.Lock()

    def _write_at(fd: int, data: memoryview, offset: int) -> int:
        with _SEEK_AND_WRITE:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)
else:

    def _write_at(fd: int, data: memoryview, offset: int) -> int:
        return os.pwrite(fd, data, offset)
