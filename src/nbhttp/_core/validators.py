"""What tells one version of a file from another, in answers and on disk."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Validators", "kept_validators"]

_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{1,1000}")


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

    def are_proven_by(self, other: "Validators") -> bool:
        """Whether `other` states the very version that If-Range asked for.

        An answer to If-Range must repeat the ETag (RFC 9110 section 15.3.7). It may leave out
        Last-Modified, which no known server does; one that ignores If-Range looks just like that.
        """
        if self.is_strong:
            return self.etag == other.etag
        return self.last_modified is not None and self.last_modified == other.last_modified

    def contradicts(self, other: "Validators") -> bool:
        """Whether both are of different versions, as far as both say."""
        if self.etag is not None and other.etag is not None:
            return self.etag != other.etag
        if self.last_modified is not None and other.last_modified is not None:
            return self.last_modified != other.last_modified
        return False


def kept_validators(members: Mapping[str, Any]) -> Validators:
    """Read what was kept; what could not stand in a field again counts as absent."""
    etag, date = members.get("etag"), members.get("last_modified")
    return Validators(
        etag if isinstance(etag, str) and _FIELD_VALUE.fullmatch(etag) else None,
        date if isinstance(date, str) and _FIELD_VALUE.fullmatch(date) else None,
    )
