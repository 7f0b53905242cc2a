"""What stands beside an unfinished file: `NAME.part.json` says what `NAME.part` holds.

It is JSON lines: first what is being fetched, then, as bytes come, which of them are in the `.part`
file. The last whole line counts, so a process may be killed at any point. URLs may hold secrets:
the sidecar keeps a salted hash to compare with, and the redacted text to read.
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbhttp._core.identity import Identity
from nbhttp._core.jsonlines import parse_object
from nbhttp._core.ranges import Done, Span
from nbhttp._core.validators import Validators

__all__ = [
    "COMPACT_BYTES",
    "Sidecar",
    "boot_token",
    "find_by_url",
    "is_sidecar",
    "part_path",
    "read_sidecar",
    "spans_line",
]

_VERSION = 1
_BEGINNING = b'{"nbhttp":'
COMPACT_BYTES = 256 * 1024
"""A sidecar that has grown beyond this is written anew."""
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOFOLLOW"):  # where the system has them
    _READ_FLAGS |= getattr(os, _name, 0)
_MOST_PART_BYTES = 240  # of a name, so that the part's own and its lock's fit into 255


def part_path(target: Path) -> str:
    """Return where the unfinished `target` is kept; a name near the system's limit is cut."""
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


def read_sidecar(path: str) -> tuple[dict[str, Any], list[Span]] | None:
    """Return head and spans; None when there is no sidecar of ours.

    After the machine was restarted only what had been synced counts: a power cut may have lost
    the rest, whatever the sidecar says.
    """
    lines = _read_regular(path).decode("utf-8", "replace").split("\n")
    head = parse_object(lines[0])
    if head is None or head.get("nbhttp") != _VERSION:
        return None
    kinds = ("done", "synced") if head.get("boot") == boot_token() else ("synced",)
    for line in reversed(lines[1:-1]):  # what follows the last newline may be torn
        record = parse_object(line) or {}
        for kind in kinds:
            spans = _spans(record.get(kind))
            if spans is not None:
                return head, spans
    return head, []


def is_sidecar(path: str) -> bool:
    """Whether a sidecar of ours is there, be it damaged or of another version."""
    return _read_regular(path).startswith(_BEGINNING)


def _read_regular(path: str) -> bytes:
    """Return what is in a file that we may have written; b"" when it is none, or too large."""
    try:
        fd = os.open(path, _READ_FLAGS)
    except OSError:
        return b""
    try:
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)  # a fifo would have us wait
        return os.read(fd, 2 * COMPACT_BYTES) if is_regular else b""
    except OSError:
        return b""
    finally:
        os.close(fd)


def boot_token() -> str:
    """Return what differs after the machine was restarted."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return str(round((time.time() - time.monotonic()) / 60))


def spans_line(kind: str, done: Done) -> bytes:
    return _line(**{kind: [list(span) for span in done.spans]}).encode()


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


def find_by_url(directory: Path, identity: Identity) -> str | None:
    """Return the target's name of an unfinished download of this URL in `directory`."""
    try:
        names = sorted(p.name for p in directory.iterdir() if p.name.endswith(".part.json"))
    except OSError:
        return None
    for name in names[:1000]:
        found = read_sidecar(os.fspath(directory / name))
        if found is None or not identity.is_kept_as(found[0].get("id"), found[0].get("salt")):
            continue
        target = found[0].get("target")
        if not isinstance(target, str) or Path(target).name != target:
            continue
        if part_path(directory / target) + ".json" == os.fspath(directory / name):
            return target
    return None
