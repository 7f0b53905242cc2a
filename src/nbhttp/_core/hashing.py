"""Hashes a file while it is being written, in a thread that follows the bytes on disk."""

import threading
from collections.abc import Iterable
from pathlib import Path

import anyio
import anyio.to_thread

from nbhttp._core.digests import Hashes

__all__ = ["FollowingHash", "hash_file"]

_READ_BYTES = 1024 * 1024


def hash_file(path: Path, *algorithms: str) -> dict[str, bytes]:
    """Return the digests of a file; blocking."""
    hashes = Hashes(algorithms)
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            hashes.update(piece)
    return hashes.digests()


class FollowingHash:
    """Digests of a growing file.

    It reads what was just written, out of the page cache, while more arrives: hashing costs the
    loop nothing, a resumed file is hashed from its beginning, and segments need no order. What is
    verified is what is on disk.

    `_front` and `_is_stopped` change only under `_changed`.

    Args:
        path: The file.
        algorithms: As `hashlib` names them.
    """

    def __init__(self, path: Path, algorithms: Iterable[str]) -> None:
        self._path = path
        self._hashes = Hashes(algorithms)
        self._changed = threading.Condition()
        self._front = 0
        self._is_whole = False
        self._is_stopped = False
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def advance(self, front: int) -> None:
        """Tell that the first `front` bytes are in the file."""
        with self._changed:
            if front <= self._front:
                return
            self._front = front
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nbhttp-hash", daemon=True)
            self._thread.start()

    async def digests(self, size: int) -> dict[str, bytes]:
        """Return the digests by algorithm, once `size` bytes are hashed.

        Raises:
            OSError: The file cannot be read.
        """
        self.advance(size)
        with self._changed:
            self._is_whole = True
            self._changed.notify()
        thread = self._thread
        if thread is not None:
            while thread.is_alive():
                await anyio.to_thread.run_sync(thread.join, abandon_on_cancel=True)
        if self._error is not None:
            raise self._error
        return self._hashes.digests()

    async def stop(self) -> None:
        """End the thread, and see its end: it may be waiting for a slow disk."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        thread = self._thread
        if thread is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(thread.join)

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                position = 0
                while (front := self._next_front(position)) is not None:
                    piece = file.read(min(_READ_BYTES, front - position))
                    if not piece:
                        self._error = OSError(f"{str(self._path)!r} became shorter meanwhile")
                        return
                    self._hashes.update(piece)
                    position += len(piece)
        except OSError as exc:
            self._error = exc

    def _next_front(self, position: int) -> int | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopped or self._is_whole or self._front > position
            )
            if self._is_stopped or self._front <= position:
                return None
            return self._front
