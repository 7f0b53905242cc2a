"""A request that is recognised later, on disk, without being written down."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_plus

from nbhttp.redaction import is_credential_name, redact_url

__all__ = ["Identity", "selecting"]

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


# Fields that say who asks, when and over what: the answer is the same file whatever they hold.
_OF_THE_ASKER = frozenset(
    b"""
    host user-agent from referer origin cookie dnt sec-gpc date priority idempotency-key
    connection keep-alive te trailer transfer-encoding content-length upgrade via forwarded
    accept-encoding cache-control pragma range if-range if-match if-none-match
    if-modified-since if-unmodified-since traceparent tracestate baggage b3 x-request-id
    x-correlation-id x-cloud-trace-context x-request-start sentry-trace uber-trace-id
    """.split()
)
_OF_EACH_CALL = re.compile(rb"x-(?:b3|amzn|amz|goog|ms|datadog|forwarded)-|.*(?:nonce|timestamp)$")


def selecting(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the fields of a request on which it may depend what comes, one a line.

    Credentials are none of them, as they change; nor are a request's number and the like. Where
    nothing is left it is "": the usual case.

    Args:
        headers: Names in any case, and values.
    """
    lines = []
    for name, value in headers:
        key = name.lower()
        if key in _OF_THE_ASKER or (key == b"accept" and value == b"*/*"):
            continue
        if not _OF_EACH_CALL.match(key) and not is_credential_name(key.decode("latin-1")):
            lines.append(f"{key.decode('latin-1')}:{value.decode('latin-1')}\n")
    return "".join(sorted(lines))


class Identity:
    """A URL, and how it was asked for, to be recognised later without writing it down.

    The signature of a signed URL, which differs each time, does not count, and neither do user and
    password. Every other parameter does, whatever it is called: `key=` may name another file.

    Args:
        url: As the user gave it, parameters included.
        fields: What `selecting` gives.
    """

    __slots__ = ("_fields", "_url")

    def __init__(self, url: str, fields: str = "") -> None:
        self._url = url
        self._fields = fields

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return redact_url(self._url)

    def hashed(self, salt: str) -> str:
        """Return the keyed hash under which it is kept."""
        key = bytes.fromhex(salt)[:64]
        counts = _canonical(self._url).encode()
        if self._fields:  # no URL has a line's end in it
            counts += b"\n" + self._fields.encode()
        return hashlib.blake2b(counts, key=key, digest_size=20).hexdigest()

    def is_kept_as(self, kept: Any, salt: Any) -> bool:
        """Whether `kept` and `salt` were made of the same."""
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
