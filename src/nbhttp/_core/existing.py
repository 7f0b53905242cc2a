"""The file that is there already: is it the one that the server has?"""

from pathlib import Path
from typing import NamedTuple

from nbhttp._core.answers import Facts
from nbhttp._core.digests import Checksum, stated_digests
from nbhttp._core.hashing import hash_file
from nbhttp._core.identity import Identity
from nbhttp._core.record import Record, read_record
from nbhttp._core.retry import http_date
from nbhttp._core.validators import Validators
from nbhttp.errors import DownloadError

__all__ = ["Comparison", "Existing"]


class Comparison(NamedTuple):
    """Whether a file is the one that the server has.

    Attributes:
        is_same: None when only its bytes can tell.
        difference: What differs, to follow the file's name in a message; of no meaning otherwise.
    """

    is_same: bool | None
    difference: str = ""


_UNKNOWN = Comparison(None)


class Existing:
    """A complete file under the target's name.

    All methods do blocking I/O.

    Args:
        path: The file.
        identity: The URL that is asked for.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self._is_broken_link = not path.exists()
        self.stat = path.lstat() if self._is_broken_link else path.stat()
        self._record: Record | None = read_record(path, identity)
        self.is_verified = False

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.stat.st_size

    def conditions(self) -> list[tuple[bytes, str]]:
        """Return the fields that let the server say that it is current (RFC 9110 section 13.1)."""
        record = self._record
        if record is None or not record.is_same_request or not record.is_untouched:
            return []
        if record.validators.etag is not None:
            return [(b"If-None-Match", record.validators.etag)]
        if record.validators.last_modified is not None:
            return [(b"If-Modified-Since", record.validators.last_modified)]
        return []

    def matches(self, checksum: Checksum) -> bool:
        """Whether it has this digest.

        Raises:
            DownloadError: It cannot be read.
        """
        if not self.path.is_file():
            return False
        try:
            digests = hash_file(self.path, checksum.algorithm)
        except OSError as exc:
            raise DownloadError(
                f"{str(self.path)!r} exists and cannot be read: {(exc.strerror or str(exc)).lower()}",
                hint="make it readable, or remove it",
            ) from exc
        self.is_verified = checksum.matches(digests[checksum.algorithm])
        return self.is_verified

    def compare(self, facts: Facts, trusts_dates: bool) -> Comparison:
        """Compare it with what an answer brings, as far as that is known before it comes.

        Size first; then a digest that the server states; then the version it was fetched as; and
        where nothing of that is known, the dates: what the server changed before the file was
        written here is in it.

        Args:
            facts: The answer's head.
            trusts_dates: Whether dates alone can prove that it is the same.
        """
        if self._is_broken_link:
            return Comparison(False, "is a link that leads nowhere")
        if not facts.codings and facts.length not in {None, self.size}:
            return Comparison(
                False, f"has {self.size:,} bytes where the server's file has {facts.length:,}"
            )
        stated = None if facts.codings else stated_digests(facts.headers).representation
        if stated is not None:
            return Comparison(self.matches(stated), f"does not have the server's {stated.origin}")
        record = self._record
        if record is not None and not record.is_same_request:
            return Comparison(False, "came from another URL, or was asked for with other headers")
        if record is not None and not record.is_untouched:
            return _UNKNOWN
        if record is not None and record.validators != Validators():
            return _compare_versions(record.validators, facts.validators)
        return self._compare_dates(facts, trusts_dates)

    def _compare_dates(self, facts: Facts, trusts_dates: bool) -> Comparison:
        modified = http_date(facts.headers.get("last-modified"))
        if facts.codings or facts.length is None or modified is None or not trusts_dates:
            return _UNKNOWN
        is_older = modified.timestamp() > self.stat.st_mtime
        return Comparison(not is_older, "is older than the server's file")


def _compare_versions(ours: Validators, theirs: Validators) -> Comparison:
    if theirs == Validators():
        return _UNKNOWN
    return Comparison(not ours.contradicts(theirs), "is another version than the server's file")
