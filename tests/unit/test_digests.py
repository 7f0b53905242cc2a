"""Checksums that users state and digests that servers send."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp import ConfigError
from nbhttp._core.digests import ALGORITHMS, parse_checksum, stated_digests


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(st.binary(max_size=50))
def test_a_checksum_matches_its_bytes_only(algorithm: str, data: bytes):
    """Each algorithm is `hashlib`'s, written in hex of any case."""
    digest = hashlib.new(algorithm, data)
    checksum = parse_checksum(f" {algorithm.upper()}: {digest.hexdigest().upper()} ")
    assert checksum is not None
    assert checksum.matches(digest.digest())
    assert not checksum.matches(hashlib.new(algorithm, data + b"x").digest())
    assert str(checksum) == f"{algorithm}:{digest.hexdigest()}"


@pytest.mark.parametrize(
    "text", ["", "sha256", "sha256:", "sha256:12", "crc32:00000000", "sha256:" + "g" * 64, "a" * 64]
)
def test_a_wrong_checksum_is_refused(text: str):
    """The message says the value and what is accepted."""
    with pytest.raises(ConfigError, match="checksum="):
        parse_checksum(text)


def test_a_checksum_is_text():
    """A digest in bytes is a mistake, not another spelling."""
    with pytest.raises(TypeError):
        parse_checksum(b"sha256:00")  # type: ignore[arg-type]


def field(name: str, data: bytes = b"x") -> str:
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


def test_digest_fields_are_read():
    """RFC 9530's structured fields and RFC 3230's older form."""
    sha = hashlib.sha256(b"x").digest()
    for headers in (
        {"repr-digest": f"sha-256=:{field('sha256')}:"},
        {"digest": f"SHA-256={field('sha256')},MD5={field('md5')}"},
        {"repr-digest": f"md5=:{field('md5')}:, sha-256=:{field('sha256')}:;a=1, x=:AA==:"},
        {"repr-digest": "sha-256=broken", "digest": f"sha-256={field('sha256')}"},
    ):
        found = stated_digests(headers).representation
        assert found is not None, headers
        assert (found.algorithm, found.digest) == ("sha256", sha)
    assert stated_digests({"content-digest": f"sha-512=:{field('sha512')}:"}).content is not None


def test_the_strongest_algorithm_is_taken():
    """SHA-512 before SHA-256 before MD5 before SHA-1."""
    value = ", ".join(
        f"{name}=:{field(hashname)}:"
        for name, hashname in (("sha", "sha1"), ("md5", "md5"), ("sha-512", "sha512"))
    )
    found = stated_digests({"repr-digest": value}).representation
    assert found is not None
    assert found.algorithm == "sha512"


@given(st.text(max_size=60))
def test_no_digest_field_raises(value: str):
    """What is malformed counts as absent."""
    found = stated_digests({"repr-digest": value, "digest": value}).representation
    assert found is None or len(found.digest) == ALGORITHMS[found.algorithm]
