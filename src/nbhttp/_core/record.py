"""What a finished file is: where it came from travels with it as an extended attribute."""

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nbhttp._core.identity import Identity
from nbhttp._core.jsonlines import parse_object
from nbhttp._core.validators import Validators, kept_validators

__all__ = ["Record", "read_record", "write_record"]

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
        is_same_request: Whether it is what was asked about: the URL, and how it was asked for.
        is_untouched: Whether the file is still as it was fetched.
    """

    validators: Validators
    is_same_request: bool
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
        members = parse_object(os.getxattr(path, _ATTRIBUTE).decode("utf-8", "replace"))
        now = path.stat()
    except (OSError, ValueError):
        return None
    if members is None:
        return None
    was = (members.get("size"), members.get("mtime"))
    return Record(
        kept_validators(members),
        identity.is_kept_as(members.get("id"), members.get("salt")),
        was == (now.st_size, now.st_mtime_ns),
    )
