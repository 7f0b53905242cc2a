"""The unfinished download on disk: `NAME.part`, a sidecar that says what it is, and a lock.

The sidecar is JSON lines: first what is being fetched, then, as bytes come, which of them are in
the `.part` file. The last whole line counts, so a process may be killed at any point. URLs may
hold secrets: the sidecar keeps a salted hash to compare with, and the redacted text to read.
"""

# ruff: noqa: PTH105, PTH108 - text for paths: see `Part`

import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import anyio.to_thread

from nbhttp._core.pathlock import PathLock
from nbhttp._core.ranges import Done, Span
from nbhttp.errors import ConfigError, LockedError
from nbhttp.redaction import redact_url

__all__ = [
    "Identity",
    "Part",
    "Record",
    "Sidecar",
    "Validators",
    "find_by_url",
    "part_path",
    "read_record",
    "sync_directory",
]

_VERSION = 1
_COMPACT_BYTES = 256 * 1024
_FLAGS = os.O_RDWR | os.O_CREAT
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW"):  # where the system has them
    _FLAGS |= getattr(os, _name, 0)
    _READ_FLAGS |= getattr(os, _name, 0)
_SIGNING = re.compile(r"x-(?:amz|goog|ms)-", re.IGNORECASE)
# What signs a URL for a while, where all that makes it recognisable is there.
_SIGNATURES = (
    (  # Azure's shared access signatures
        {"sig", "sv", "se"},
        {"sig", "sv", "se", "st", "sp", "sr", "spr", "sip", "skoid", "sktid", "skt", "ske", "sks"}
        | {"skv", "ss", "srt"},
    ),
    (  # CloudFront
        {"signature", "key-pair-id"},
        {"signature", "key-pair-id", "expires", "policy", "hash-algorithm"},
    ),
    ({"signature", "awsaccesskeyid"}, {"signature", "awsaccesskeyid", "expires"}),
    ({"signature", "googleaccessid"}, {"signature", "googleaccessid", "expires"}),
)


class Identity:
    """A URL to be recognised later, without writing it down.

    The signature of a signed URL, which differs each time, does not count, and neither do user and
    password. Every other parameter does, whatever it is called: `key=` may name another file.

    Args:
        url: As the user gave it, parameters included.
    """

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return redact_url(self._url)

    def hashed(self, salt: str) -> str:
        """Return the keyed hash under which it is kept."""
        key = bytes.fromhex(salt)[:64]
        counts = _canonical(self._url).encode()
        return hashlib.blake2b(counts, key=key, digest_size=20).hexdigest()

    def is_kept_as(self, kept: Any, salt: Any) -> bool:
        """Whether `kept` and `salt` were made of the same URL."""
        try:
            return isinstance(kept, str) and kept == self.hashed(salt)
        except (TypeError, ValueError):
            return False


def _canonical(url: str) -> str:
    """Return what counts of a URL: no userinfo, no fragment, no parameter that differs each time."""
    rest, _, query = url.partition("#")[0].partition("?")
    scheme, _, rest = rest.partition("://")
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{scheme}://{host}{slash}{path}?{_unsigned(query) if query else query}"


def _unsigned(query: str) -> str:
    """Return a query without the parameters that sign it."""
    pairs = query.split("&")
    names = [unquote_plus(pair.partition("=")[0]).lower() for pair in pairs]
    signing = {name for name in names if _SIGNING.match(name)}
    for required, all_of_it in _SIGNATURES:
        if required <= set(names):
            signing |= all_of_it
    return "&".join(pair for pair, name in zip(pairs, names, strict=True) if name not in signing)


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of a file from another (RFC 9110 section 8.8).

    Attributes:
        etag: As sent, quotes and `W/` included; None when there is none.
        last_modified: As sent; None when there is none.
    """

    etag: str | None = None
    last_modified: str | None = None

    @property
    def is_strong(self) -> bool:
        """Whether the ETag vouches for every byte."""
        return self.etag is not None and not self.etag.startswith(("W/", "w/"))

    @property
    def for_if_range(self) -> str | None:
        """The value for If-Range: a strong ETag, else Last-Modified (RFC 9110 section 13.1.5)."""
        if self.is_strong:
            return self.etag
        return self.last_modified if self.etag is None else None

    def contradicts(self, other: "Validators") -> bool:
        """Whether both are of different versions, as far as both say."""
        if self.etag is not None and other.etag is not None:
            return self.etag != other.etag
        if self.last_modified is not None and other.last_modified is not None:
            return self.last_modified != other.last_modified
        return False


_MOST_PART_BYTES = 240  # of a name, so that the part's own and its lock's fit into 255


def part_path(target: Path) -> Path:
    """Return where the unfinished `target` is kept; a name near the system's limit is cut."""
    return Path(_part_path(target))


def _part_path(target: Path) -> str:
    path, name = os.fspath(target), target.name
    if 4 * len(name) <= _MOST_PART_BYTES or len(os.fsencode(name)) <= _MOST_PART_BYTES:
        return f"{path}.part"
    encoded = os.fsencode(name)
    digest = hashlib.blake2b(encoded, digest_size=6).hexdigest()
    return f"{path[: -len(name)]}{encoded[:200].decode('utf-8', 'ignore')}~{digest}.part"


@dataclass(slots=True)
class Sidecar:
    """What the `.part` file holds.

    Attributes:
        identity: The URL.
        validators: Of the version that is being fetched.
        total: Its size; None when unknown.
        target: The name that the file will get.
        done: What is there.
    """

    identity: Identity
    validators: Validators
    total: int | None
    target: str
    done: Done = field(default_factory=Done)

    @property
    def can_resume(self) -> bool:
        """Whether there is something, and the server can prove that the rest belongs to it."""
        return self.done.size > 0 and self.validators.for_if_range is not None

    def open_end(self) -> None:
        """Ask for the last byte again when all are there and the file has not got its name.

        Its answer says whether the rest is still what the server has.
        """
        if self.total is not None and self.done.size == self.total:
            self.done = self.done.within(self.total - 1)

    def first_line(self) -> str:
        """Return the sidecar's head as one line of JSON."""
        salt = secrets.token_hex(16)
        return _line(
            nbhttp=_VERSION,
            url=self.identity.shown,
            salt=salt,
            id=self.identity.hashed(salt),
            etag=self.validators.etag,
            last_modified=self.validators.last_modified,
            total=self.total,
            target=self.target,
            boot=boot_token(),
            holder={
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": int(time.time()),
            },
        )


def _line(**members: Any) -> str:
    return json.dumps(members, ensure_ascii=True, separators=(",", ":")) + "\n"


def _read_sidecar(path: str) -> tuple[dict[str, Any], list[Span]] | None:
    """Return head and spans; None when there is no sidecar of ours.

    After the machine was restarted only what had been synced counts: a power cut may have lost
    the rest, whatever the sidecar says.
    """
    lines = _read_regular(path).decode("utf-8", "replace").split("\n")
    head = _object(lines[0])
    if head is None or head.get("nbhttp") != _VERSION:
        return None
    kinds = ("done", "synced") if head.get("boot") == boot_token() else ("synced",)
    for line in reversed(lines[1:-1]):  # what follows the last newline may be torn
        record = _object(line) or {}
        for kind in kinds:
            spans = _spans(record.get(kind))
            if spans is not None:
                return head, spans
    return head, []


def _read_regular(path: str) -> bytes:
    """Return what is in a file that we may have written; b"" when it is none, or too large."""
    try:
        fd = os.open(path, _READ_FLAGS)
    except OSError:
        return b""
    try:
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)  # a fifo would have us wait
        return os.read(fd, 2 * _COMPACT_BYTES) if is_regular else b""
    except OSError:
        return b""
    finally:
        os.close(fd)


def boot_token() -> str:
    """Return what differs after the machine was restarted."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return str(round((time.time() - time.monotonic()) / 60))


def _spans_line(kind: str, done: Done) -> bytes:
    return _line(**{kind: [list(span) for span in done.spans]}).encode()


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _spans(value: Any) -> list[Span] | None:
    if not isinstance(value, list):
        return None
    spans: list[Span] = []
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2):
            return None
        start, stop = pair
        if not (isinstance(start, int) and isinstance(stop, int) and 0 <= start <= stop):
            return None
        spans.append((start, stop))
    return spans


_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{1,1000}")


def _validators(members: Mapping[str, Any]) -> Validators:
    """Read what was kept; what could not stand in a field again counts as absent."""
    etag, date = members.get("etag"), members.get("last_modified")
    return Validators(
        etag if isinstance(etag, str) and _FIELD_VALUE.fullmatch(etag) else None,
        date if isinstance(date, str) and _FIELD_VALUE.fullmatch(date) else None,
    )


def find_by_url(directory: Path, identity: Identity) -> str | None:
    """Return the target's name of an unfinished download of this URL in `directory`."""
    try:
        names = sorted(p.name for p in directory.iterdir() if p.name.endswith(".part.json"))
    except OSError:
        return None
    for name in names[:1000]:
        found = _read_sidecar(os.fspath(directory / name))
        if found is None or not identity.is_kept_as(found[0].get("id"), found[0].get("salt")):
            continue
        target = found[0].get("target")
        if not isinstance(target, str) or Path(target).name != target:
            continue
        if part_path(directory / target).name + ".json" == name:
            return target
    return None


class Part:
    """The `.part` file of one target, held under a lock.

    All methods do blocking I/O and may be called in a worker thread, one at a time; `note` is
    quick enough for the loop.

    Args:
        target: The final path.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        # Text: many small files would spend more on path objects than on what they need done.
        self._path = _part_path(target)
        self._sidecar = self._path + ".json"
        self._fresh = self._sidecar + ".new"
        self._lock = PathLock(self._path + ".lock")
        self._journal: int | None = None
        self._journal_bytes = 0
        self._noted = Done()
        self._synced = Done()
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
            return self._lock.try_take()
        except OSError as exc:
            raise self._unwritable((exc.strerror or str(exc)).lower()) from exc

    def _unwritable(self, reason: str) -> ConfigError:
        return ConfigError(
            f"cannot write the lock {self._lock.path!r}: {reason}",
            hint="choose a directory that can be written",
        )

    def locked_error(self) -> LockedError:
        """Return the error that says who holds the lock."""
        found = _read_sidecar(self._sidecar)
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
        found = _read_sidecar(self._sidecar)
        if found is None:
            return None
        head, spans = found
        if not identity.is_kept_as(head.get("id"), head.get("salt")):
            return None
        try:
            size = os.lstat(self._path).st_size
        except OSError:
            return None
        total = head.get("total")
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            total = None
        validators = _validators(head)
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
        self._journal_bytes += os.write(self._journal, _spans_line(kind, done))
        if self._journal_bytes > _COMPACT_BYTES:
            self._rewrite()

    def _rewrite(self) -> None:
        """Write the sidecar anew, atomically, and keep it open."""
        assert self.sidecar is not None  # noqa: S101 - opened first
        head = self.sidecar.first_line().encode()
        text = head + _spans_line("synced", self._synced) + _spans_line("done", self._noted)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._fresh)
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
        try:
            self.fd = os.open(self._path, _FLAGS | os.O_EXCL, 0o666)
        except FileExistsError:
            self.discard()
            self.fd = self._create()
        for piece in pieces:
            written = os.write(self.fd, piece)
            while written < len(piece):
                written += os.write(self.fd, memoryview(piece)[written:])

    def _create(self) -> int:
        """Make a new file: what a reader has open or a link points to is not written to."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        return os.open(self._path, _FLAGS | os.O_EXCL, 0o666)

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
        return found.st_mtime_ns

    def settle(self) -> None:
        """Have the sealed file survive a power cut."""
        os.fsync(self._open_fd)

    def name(self, *, overwrite: bool = False, syncs_name: bool = True) -> None:
        """Give the settled file its name.

        Args:
            overwrite: Whether a file of that name may be replaced.
            syncs_name: Whether the name survives a power cut too; what has it is whole anyway.

        Raises:
            FileExistsError: Something else has taken the name meanwhile.
            OSError: The unfinished file is another one than was written.
        """
        if self.sidecar is not None:  # it was there for a while
            self._check_is_ours()
        self.close()
        if not overwrite and os.path.lexists(self.target):
            raise FileExistsError(self.target)
        os.replace(self._path, self.target)
        if syncs_name:
            sync_directory(self.target.parent)
        if self.sidecar is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._sidecar)

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


# What a finished file is


_ATTRIBUTE = "user.nbhttp"


@lru_cache(maxsize=1)
def _record_salt() -> str:
    """Return the salt of this process's records."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Record:
    """Where a finished file came from; travels with it as an extended attribute.

    Attributes:
        validators: Of the version that was fetched.
        is_same_url: Whether it is the URL that was asked about.
        is_untouched: Whether the file is still as it was fetched.
    """

    validators: Validators
    is_same_url: bool
    is_untouched: bool


def write_record(
    fd: int, identity: Identity, validators: Validators, size: int, mtime_ns: int
) -> None:
    """Note at an open, complete file where it came from; where that cannot be, nothing happens."""
    if not hasattr(os, "setxattr"):
        return
    members = {
        "salt": _record_salt(),
        "id": identity.hashed(_record_salt()),
        "etag": validators.etag,
        "last_modified": validators.last_modified,
        "size": size,
        "mtime": mtime_ns,
    }
    with contextlib.suppress(OSError):
        os.setxattr(fd, _ATTRIBUTE, json.dumps(members).encode())


def read_record(path: Path, identity: Identity) -> Record | None:
    """Return what `write_record` noted; None when there is nothing."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        members = _object(os.getxattr(path, _ATTRIBUTE).decode("utf-8", "replace"))
        now = path.stat()
    except (OSError, ValueError):
        return None
    if members is None:
        return None
    was = (members.get("size"), members.get("mtime"))
    return Record(
        _validators(members),
        identity.is_kept_as(members.get("id"), members.get("salt")),
        was == (now.st_size, now.st_mtime_ns),
    )
