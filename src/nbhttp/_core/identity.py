"""A URL that is recognised later, on disk, without being written down."""

import hashlib
import re
from typing import Any
from urllib.parse import unquote_plus

from nbhttp.redaction import redact_url

__all__ = ["Identity"]

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
