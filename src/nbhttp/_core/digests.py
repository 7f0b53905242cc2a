"""Checksums that users state and digests that servers send. Pure but for hashing."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

__all__ = ["Checksum", "Digests", "Hashes", "new_hash", "parse_checksum", "stated_digests"]

ALGORITHMS = {
    "sha256": 32, "sha512": 64, "sha384": 48, "sha224": 28, "blake2b": 64, "sha1": 20, "md5": 16,
}  # fmt: skip
"""Accepted algorithms and their digests' sizes in bytes."""


class Checksum(NamedTuple):
    """An expected digest.

    Attributes:
        algorithm: As `hashlib` names it.
        digest: The expected value.
        origin: Who stated it, for messages: "checksum" or the field's name.
    """

    algorithm: str
    digest: bytes
    origin: str = "checksum"

    def new(self) -> Any:
        """Return a fresh `hashlib` object."""
        return new_hash(self.algorithm)

    def matches(self, digest: bytes) -> bool:
        """Whether `digest` is the expected one."""
        return hmac.compare_digest(self.digest, digest)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest.hex()}"


def new_hash(algorithm: str) -> Any:
    """Return a `hashlib` object that is used for integrity, not for secrecy."""
    return hashlib.new(algorithm, usedforsecurity=False)


def parse_checksum(text: str | None) -> Checksum | None:
    """Read "algorithm:hex digits", such as "sha256:9f86d0…".

    Raises:
        ConfigError: The algorithm is unknown, or the digits are not a digest of its size.
        TypeError: It is not text.
    """
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"checksum takes text like 'sha256:9f86d0…', not {redact_repr(text)}")
    name, colon, digits = text.strip().partition(":")
    algorithm = name.strip().lower().replace("-", "")
    size = ALGORITHMS.get(algorithm)
    if not colon or size is None:
        raise ConfigError(
            f"checksum={text!r}: write algorithm:hex, with one of {', '.join(ALGORITHMS)}"
        )
    try:
        digest = bytes.fromhex(digits.strip())
    except ValueError:
        digest = b""
    if len(digest) != size:
        raise ConfigError(f"checksum={text!r}: {algorithm} has {2 * size} hex digits")
    return Checksum(algorithm, digest)


# What the fields call the algorithms; the order is the order of preference.
_FIELD_ALGORITHMS = {"sha-512": "sha512", "sha-256": "sha256", "md5": "md5", "sha": "sha1"}
_MEMBER = re.compile(r"\s*([A-Za-z0-9*_.-]+)\s*=\s*(?::([A-Za-z0-9+/=]*):|([A-Za-z0-9+/=]*))[^,]*")


class Digests(NamedTuple):
    """What an answer's fields state; None where they state nothing usable.

    Attributes:
        representation: Of the whole file as coded: Repr-Digest (RFC 9530) or Digest (RFC 3230).
        content: Of this answer's content alone: Content-Digest (RFC 9530).
    """

    representation: Checksum | None
    content: Checksum | None


def stated_digests(headers: Mapping[str, str]) -> Digests:
    """Read the digest fields of an answer; what is malformed or unknown counts as absent.

    Args:
        headers: Lower-case names.
    """
    representation = _strongest(headers.get("repr-digest"), "Repr-Digest")
    if representation is None:
        representation = _strongest(headers.get("digest"), "Digest")
    return Digests(representation, _strongest(headers.get("content-digest"), "Content-Digest"))


def _strongest(value: str | None, origin: str) -> Checksum | None:
    if value is None:
        return None
    found: dict[str, bytes] = {}
    for match in _MEMBER.finditer(value):
        algorithm = _FIELD_ALGORITHMS.get(match[1].lower())
        if algorithm is None:
            continue
        try:
            digest = base64.b64decode(match[2] or match[3] or "", validate=True)
        except binascii.Error:
            continue
        if len(digest) == ALGORITHMS[algorithm]:
            found[algorithm] = digest
    for algorithm in _FIELD_ALGORITHMS.values():
        if algorithm in found:
            return Checksum(algorithm, found[algorithm], origin)
    return None


class Hashes:
    """Digests of bytes that pass by.

    Args:
        algorithms: As `hashlib` names them.
    """

    __slots__ = ("_hashers",)

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._hashers = {name: new_hash(name) for name in algorithms}

    def update(self, data: bytes | bytearray) -> None:
        """Hash the next bytes."""
        for hasher in self._hashers.values():
            hasher.update(data)

    def digests(self) -> dict[str, bytes]:
        """Return the digests by algorithm."""
        return {name: hasher.digest() for name, hasher in self._hashers.items()}
