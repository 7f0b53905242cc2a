"""The unfinished download on disk: `NAME.part`, the sidecar that says what it is, and a lock."""

# ruff: noqa: PTH104, PTH105, PTH108 - text for paths: see `Part`

import contextlib
import logging
import os
import stat
import time
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread

from nbhttp._core.identity import Identity
from nbhttp._core.pathlock import PathLock
from nbhttp._core.ranges import Done
from nbhttp._core.record import write_record
from nbhttp._core.sidecar import (
    COMPACT_BYTES,
    Sidecar,
    boot_token,
    is_sidecar,
    part_path,
    read_sidecar,
    spans_line,
)
from nbhttp._core.validators import Validators, kept_validators
from nbhttp.errors import ConfigError, LockedError
from nbhttp.redaction import redact_text

__all__ = ["Part", "sync_directory"]

_COMPARED_BYTES = 1024 * 1024
_log = logging.getLogger("nbhttp")
_FLAGS = os.O_RDWR | os.O_CREAT
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW"):  # where the system has them
    _FLAGS |= getattr(os, _name, 0)


class Part:
    """The `.part` file of one target, held under a lock.

    What stands at its names and is not ours is moved aside, and never written to. Ours is what has
    a sidecar of ours, and what the holder of a lock left who was killed.

    All methods do blocking I/O and may be called in a worker thread, one at a time; `note` is
    quick enough for the loop.

    Args:
        target: The final path.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        # Text: many small files would spend more on path objects than on what they need done.
        self._path = part_path(target)
        self._sidecar = self._path + ".json"
        self._fresh = self._sidecar + ".new"
        self._lock = PathLock(self._path + ".lock")
        self._journal: int | None = None
        self._journal_bytes = 0
        self._noted = Done()
        self._synced = Done()
        self._sealed: tuple[Identity, Validators, int] | None = None
        self.fd: int | None = None
        self.sidecar: Sidecar | None = None

    @property
    def path(self) -> Path:
        """Where the unfinished file is."""
        return Path(self._path)

    # Lock

    def try_lock(self) -> bool:
        """Take the lock if nobody has it.

        Raises:
            ConfigError: The lock cannot be written.
        """
        try:
            is_taken = self._lock.try_take()
        except OSError as exc:
            raise self._unwritable((exc.strerror or str(exc)).lower()) from exc
        if is_taken and self._lock.was_left and not is_sidecar(self._sidecar):
            # A small file's, which has no sidecar: once the lock is gone nothing tells whose it is.
            for path in (self._path, self._fresh, self._sidecar):
                with contextlib.suppress(OSError):
                    os.unlink(path)
        return is_taken

    def _unwritable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"cannot write the lock {self._lock.path!r}: {reason}",
            hint="choose a directory that can be written",
        )

    def locked_error(self) -> LockedError:
        """Return the error that says who holds the lock."""
        found = read_sidecar(self._sidecar)
        holder = None if found is None else found[0].get("holder")
        who = "another process"
        if isinstance(holder, dict):
            with contextlib.suppress(TypeError, ValueError, OverflowError, OSError):
                since = time.strftime("%H:%M:%S", time.localtime(float(holder["since"])))
                who = f"process {int(holder['pid'])} on {str(holder['host'])[:99]!r} since {since}"
        return LockedError(
            f"{str(self.target)!r} is being written by {who}",
            hint="wait for it to end and run this again, or raise lock_timeout=",
        )

    def unlock(self) -> None:
        """Give the lock back and remove its file."""
        self.close()
        self._lock.give_back()

    # Resuming

    def load(self, identity: Identity) -> Sidecar | None:
        """Return what an earlier run left for the same URL; None when there is nothing usable."""
        if not os.access(self._sidecar, os.F_OK):  # quicker than to fail
            return None
        found = read_sidecar(self._sidecar)
        if found is None:
            return None
        head, spans = found
        if not identity.is_kept_as(head.get("id"), head.get("salt")):
            return None
        try:
            there = os.lstat(self._path)
        except OSError:
            return None
        if not stat.S_ISREG(there.st_mode):
            return None
        size = there.st_size
        total = head.get("total")
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            total = None
        validators = kept_validators(head)
        done = Done(spans).within(size if total is None else min(size, total))
        if head.get("boot") != boot_token():
            self._synced = done
        return Sidecar(identity, validators, total, self.target.name, done)

    # Writing

    def open(self, sidecar: Sidecar, *, keep: bool) -> int:
        """Open the `.part` file for what `sidecar` says; return its descriptor.

        Args:
            sidecar: What is being fetched.
            keep: Whether the bytes that are there count; else it is emptied.
        """
        self.close()
        if not keep:
            sidecar.done = self._synced = Done()
        self.sidecar = sidecar
        self._noted = sidecar.done
        self.fd = os.open(self._path, _FLAGS, 0o666) if keep else self._create()
        self._rewrite()
        return self.fd

    def note(self, done: Done) -> None:
        """Append to the sidecar that `done` is in the file; costs some microseconds."""
        if done.spans != self._noted.spans:
            self._noted = done
            self._append("done", done)

    async def sync(self, done: Done) -> None:
        """Have `done` survive a power cut: first the bytes, then the note of them."""
        if self.fd is None or done.spans == self._synced.spans:
            return
        await anyio.to_thread.run_sync(os.fsync, self.fd)
        self._synced = done
        self._append("synced", done)

    def start_writing(self, start: int, stop: int) -> None:
        """Have the system begin to write these bytes to the disk: the sync at the end is shorter.

        Blocking, up to some tenths of a second; does nothing where the system cannot be told.
        """
        if self.fd is not None and hasattr(os, "posix_fadvise"):
            # Linux starts writing what is dirty in the range, and keeps it.
            os.posix_fadvise(self.fd, start, stop - start, os.POSIX_FADV_DONTNEED)

    def _append(self, kind: str, done: Done) -> None:
        if self._journal is None:
            return
        self._journal_bytes += os.write(self._journal, spans_line(kind, done))
        if self._journal_bytes > COMPACT_BYTES:
            self._rewrite()

    def _rewrite(self) -> None:
        """Write the sidecar anew, atomically, and keep it open."""
        assert self.sidecar is not None  # noqa: S101 - opened first
        head = self.sidecar.first_line().encode()
        text = head + spans_line("synced", self._synced) + spans_line("done", self._noted)
        if self._journal is None and not is_sidecar(self._sidecar):
            self._free(self._sidecar)
        self._free(self._fresh)
        fd = os.open(self._fresh, _FLAGS | os.O_EXCL, 0o666)
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
        self._close_journal()
        os.replace(self._fresh, self._sidecar)
        self._journal = os.open(self._sidecar, os.O_WRONLY | os.O_APPEND)
        self._journal_bytes = len(text)

    def write_whole(self, pieces: Iterable[bytes]) -> None:
        """Write a small file at once, without a sidecar: it is not worth resuming."""
        self.close()
        self.sidecar = None
        self.fd = self._create()
        for piece in pieces:
            written = os.write(self.fd, piece)
            while written < len(piece):
                written += os.write(self.fd, memoryview(piece)[written:])

    def _create(self) -> int:
        """Make a new file: what a reader has open or a link points to is not written to."""
        flags = _FLAGS | os.O_EXCL
        try:
            return os.open(self._path, flags, 0o666)
        except FileExistsError:
            self._free(self._path)
            return os.open(self._path, flags, 0o666)

    def _free(self, path: str) -> None:
        """Make room at one of the names: what is ours goes, and what is not is moved aside."""
        if not os.path.lexists(path):
            return
        if is_sidecar(self._sidecar) or is_sidecar(path):
            with contextlib.suppress(OSError):  # a directory
                os.unlink(path)
                return
        aside = _move_aside(path)
        _log.warning(
            "%s stood where a download is kept, and was not made by nbhttp: it is now %s",
            redact_text(repr(path)),
            redact_text(repr(aside)),
        )

    def seal(
        self,
        size: int,
        *,
        identity: Identity,
        validators: Validators,
        mtime: float | None = None,
    ) -> int:
        """Note at the complete file what it is; nothing is written to it after this.

        Args:
            size: Bytes of the file.
            identity: Where it came from.
            validators: Its version.
            mtime: Modification time to set, in seconds since 1970; None leaves it.

        Returns:
            Its modification time, in nanoseconds since 1970.

        Raises:
            OSError: It is shorter than that: somebody else has cut it.
        """
        fd = self._open_fd
        found = os.fstat(fd)
        if found.st_size < size:
            raise OSError("somebody else has cut it meanwhile")
        if found.st_size > size:
            os.ftruncate(fd, size)
        if mtime is not None:
            os.utime(fd if os.utime in os.supports_fd else self._path, (mtime, mtime))
        if found.st_size != size or mtime is not None:
            found = os.fstat(fd)
        write_record(fd, identity, validators, size, found.st_mtime_ns)
        self._sealed = identity, validators, size
        return found.st_mtime_ns

    def settle(self) -> None:
        """Have the sealed file survive a power cut."""
        os.fsync(self._open_fd)

    def name(self, *, overwrite: bool = False, syncs_name: bool = True) -> int | None:
        """Give the settled file its name.

        A file of that name that has the same bytes stays, and what it is is noted at it.

        Args:
            overwrite: Whether a file of that name may be replaced.
            syncs_name: Whether the name survives a power cut too; what has it is whole anyway.

        Returns:
            The modification time of the file that stayed, in nanoseconds since 1970; None when
            there was none.

        Raises:
            FileExistsError: A file of that name has other bytes.
            OSError: The unfinished file is another one than was written.
        """
        if self.sidecar is not None:  # it was there for a while
            self._check_is_ours()
        self.close()
        if not overwrite and os.path.lexists(self.target):
            return self._leave_name()
        os.replace(self._path, self.target)
        if syncs_name:
            sync_directory(self.target.parent)
        if self.sidecar is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._sidecar)
        return None

    def _leave_name(self) -> int:
        """Keep the file that has the name, if it is the same."""
        with self.target.open("rb") as there, self.path.open("rb") as fetched:
            if not _is_same(there, fetched):
                if self.sidecar is None:  # nothing would tell later whose it is
                    self.discard()
                raise FileExistsError(self.target)
            mtime_ns = os.fstat(there.fileno()).st_mtime_ns
            assert self._sealed is not None  # noqa: S101 - it is settled
            write_record(there.fileno(), *self._sealed, mtime_ns)
        self.discard()
        return mtime_ns

    def _check_is_ours(self) -> None:
        try:
            is_ours = os.path.samestat(os.fstat(self._open_fd), os.lstat(self._path))
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            raise OSError("somebody else has removed or replaced it meanwhile")

    @property
    def _open_fd(self) -> int:
        assert self.fd is not None  # noqa: S101 - opened first
        return self.fd

    def discard(self) -> None:
        """Remove what is there: it is not worth resuming."""
        self.close()
        for path in (self._path, self._sidecar, self._fresh):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def close(self) -> None:
        """Close the files; the lock stays."""
        self._close_journal()
        fd, self.fd = self.fd, None
        if fd is not None:
            os.close(fd)

    def _close_journal(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            os.close(journal)


def _is_same(one: BinaryIO, other: BinaryIO) -> bool:
    """Whether two files have the same bytes."""
    if os.fstat(one.fileno()).st_size != os.fstat(other.fileno()).st_size:
        return False
    while piece := one.read(_COMPARED_BYTES):
        if other.read(_COMPARED_BYTES) != piece:
            return False
    return True


def _move_aside(path: str) -> str:
    """Rename a file to a name that is free; return that."""
    names = chain((f"{path}.old",), (f"{path}.old-{number}" for number in count(2)))
    aside = next(name for name in names if not os.path.lexists(name))
    os.rename(path, aside)
    return aside


def sync_directory(path: Path) -> None:
    """Have names in it survive a power cut; not every file system can."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
