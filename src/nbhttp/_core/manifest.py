"""What a `download_many` has fetched: JSON lines beside the files, so that a rerun knows.

The first line holds a salt; URLs are kept as salted hashes and, for people, redacted. The last
line about a URL counts.
"""

import contextlib
import json
import logging
import os
import re
import secrets
import time
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbhttp._core.filenames import safe_name
from nbhttp._core.identity import Identity
from nbhttp._core.jsonlines import parse_object
from nbhttp._core.pathlock import PathLock, held
from nbhttp.downloads import DownloadResult
from nbhttp.errors import ConfigError

__all__ = ["DEFAULT_NAME", "Manifest"]

DEFAULT_NAME = ".nbhttp-manifest.jsonl"
_VERSION = 1
_ENCODER = json.JSONEncoder(separators=(",", ":"))
_log = logging.getLogger("nbhttp")


class Manifest:
    """The manifest of one directory; blocking I/O, but for `note`.

    Args:
        path: The file; it is made when the first line is written.

    Raises:
        ConfigError: Something else is in it, or it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._salt = ""
        self._entries: dict[str, dict[str, Any]] = {}
        self._notes: deque[dict[str, Any]] = deque()
        self._fd: int | None = None
        self._is_reported = False
        self._load()

    def _load(self) -> None:
        self._check_place()
        try:
            lines = self.path.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as exc:
            raise ConfigError(f"cannot read the manifest {str(self.path)!r}: {exc}") from exc
        records = [record for record in map(parse_object, lines) if record is not None]
        if lines and (not records or not _is_head(records[0])):
            raise ConfigError(
                f"{str(self.path)!r} is no manifest of nbhttp",
                hint="pass another path as manifest=, or move the file away",
            )
        self._salt = _salt_of(records[0]) if records else secrets.token_hex(16)
        for record in records[1:]:
            if isinstance(record.get("id"), str):
                self._entries[record["id"]] = record
        if len(records) > 2 * len(self._entries) + 100:
            with contextlib.suppress(OSError):  # it is only longer than it need be
                self._compact()

    def _check_place(self) -> None:
        """Refuse now what could not be written once the files have come."""
        folder = self.path.parent
        if not folder.is_dir():
            problem = f"{str(folder)!r} is no folder"
        elif self.path.exists() and not self.path.is_file():
            problem = "it is no file"
        elif not os.access(self.path if self.path.exists() else folder, os.W_OK):
            problem = "there is no permission to"
        else:
            return
        raise ConfigError(
            f"cannot write the manifest {str(self.path)!r}: {problem}",
            hint="pass another path as manifest=, or False for none",
        )

    def _compact(self) -> None:
        fresh = self.path.with_name(self.path.name + ".new")
        lines = [self._head(), *map(_line, self._entries.values())]
        fresh.write_text("".join(lines), "utf-8")
        fresh.replace(self.path)

    def _head(self) -> str:
        return _line({"nbhttp_manifest": _VERSION, "salt": self._salt})

    def name_of(self, identity: Identity) -> str | None:
        """Return the name that this URL's file got; None when it is new."""
        if not self._entries:
            return None
        name = self._entries.get(identity.hashed(self._salt), {}).get("name")
        return name if isinstance(name, str) and safe_name(name) == name else None

    def names(self) -> set[str]:
        """Return the names that files of this directory got."""
        found = {entry.get("name") for entry in self._entries.values()}
        return {name for name in found if isinstance(name, str)}

    def finished(self, identity: Identity, directory: Path, name: str) -> dict[str, Any] | None:
        """Return the entry of a file that an earlier run fetched, unless it changed since."""
        entry = self._entries.get(identity.hashed(self._salt)) if self._entries else None
        if entry is None or entry.get("status") != "ok" or entry.get("name") != name:
            return None
        try:
            stat = (directory / name).stat()
        except OSError:
            return None
        is_same = (entry.get("size"), entry.get("mtime")) == (stat.st_size, stat.st_mtime_ns)
        return entry if is_same else None

    def note(self, identity: Identity, name: str, result: DownloadResult) -> None:
        """Take down how a file's download ended; `flush` writes it. The hash is to be known."""
        note: dict[str, Any] = {"identity": identity, "name": name, "at": time.time()}
        if result.success:
            note |= {
                "status": "ok",
                "size": result.size,
                "mtime": result._mtime_ns,  # noqa: SLF001 - as it was when the file got its name
                "sha256": result.sha256,
            }
        else:
            note |= {"status": "failed", "error": result.error}
        self._notes.append(note)

    def flush(self) -> None:
        """Append what was noted; in any thread, one at a time.

        What cannot be written is logged once and given up: the files are worth more than notes
        of them.
        """
        if not self._notes:
            return
        try:
            fd = self._open() if self._fd is None else self._fd
            data = b""
            while self._notes:
                data += _line(self._entry(**self._notes.popleft())).encode()
            while data:
                data = data[os.write(fd, data) :]
        except OSError as exc:
            self._notes.clear()
            self._report(exc)

    def _report(self, exc: OSError) -> None:
        if not self._is_reported:
            self._is_reported = True
            _log.error(
                "the manifest %r cannot be written (%s): the next run asks about these files again",
                str(self.path),
                exc.strerror or exc,
            )

    def _entry(self, identity: Identity, at: float, **facts: Any) -> dict[str, Any]:
        return {
            "id": identity.hashed(self._salt),
            "url": identity.shown,
            **facts,
            "at": _utc(int(at)),
        }

    def _open(self) -> int:
        """Open it behind its last whole line; another run may have made it meanwhile."""
        with held(PathLock(f"{self.path}.lock")):
            fd = self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
            size = os.fstat(fd).st_size
            if size == 0:
                os.write(fd, self._head().encode())
                return fd
            with self.path.open("rb") as file:
                record = parse_object(file.readline().decode("utf-8", "replace"))
                if record is not None and _is_head(record):
                    self._salt = _salt_of(record)
                file.seek(size - 1)
                if file.read(1) != b"\n":  # a run was killed in the middle of a line
                    os.write(fd, b"\n")
            return fd

    def close(self) -> None:
        """Have all of it on disk."""
        self.flush()
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.fsync(fd)
            os.close(fd)


def _is_head(record: dict[str, Any]) -> bool:
    is_ours = record.get("nbhttp_manifest") == _VERSION
    return is_ours and re.fullmatch("[0-9a-f]{32}", _salt_of(record)) is not None


def _salt_of(record: dict[str, Any]) -> str:
    return str(record.get("salt"))


@lru_cache(maxsize=4)  # many files are done within one second
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def _line(members: dict[str, Any]) -> str:
    return _ENCODER.encode(members) + "\n"
