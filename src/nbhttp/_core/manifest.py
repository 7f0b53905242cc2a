"""What a `download_many` has fetched: JSON lines beside the files, so that a rerun knows.

The first line holds a salt; URLs are kept as salted hashes and, for people, redacted. The last
line about a URL counts.
"""

import contextlib
import json
import logging
import os
import secrets
import time
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

from nbhttp._core.partfile import Identity
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
        records = [record for record in map(_object, lines) if record is not None]
        if lines and (not records or records[0].get("nbhttp_manifest") != _VERSION):
            raise ConfigError(
                f"{str(self.path)!r} is no manifest of nbhttp",
                hint="pass another path as manifest=, or move the file away",
            )
        self._salt = str(records[0].get("salt")) if records else secrets.token_hex(16)
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
        return name if isinstance(name, str) and Path(name).name == name else None

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
        lines = []
        while self._notes:
            lines.append(_line(self._entry(**self._notes.popleft())))
        if not lines:
            return
        try:
            self._append("".join(lines).encode())
        except OSError as exc:
            self._report(exc)

    def _append(self, data: bytes) -> None:
        if self._fd is None:
            self._open()
        assert self._fd is not None  # noqa: S101 - opened just now
        while data:
            data = data[os.write(self._fd, data) :]

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

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._fd = os.open(self.path, flags, 0o666)
        if os.fstat(self._fd).st_size == 0:
            os.write(self._fd, self._head().encode())

    def close(self) -> None:
        """Have all of it on disk."""
        self.flush()
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.fsync(fd)
            os.close(fd)


@lru_cache(maxsize=4)  # many files are done within one second
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def _line(members: dict[str, Any]) -> str:
    return _ENCODER.encode(members) + "\n"


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
