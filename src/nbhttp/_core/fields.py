"""The header fields of a request: from what users give to what may be sent."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nbhttp._core.urls import ParsedUrl
from nbhttp._core.values import revealed, split_pair
from nbhttp._credentials import remember
from nbhttp.errors import ConfigError
from nbhttp.redaction import is_credential_name

__all__ = [
    "RawHeaders",
    "check_headers",
    "is_chunked",
    "merge_fields",
    "raw_field",
    "raw_headers",
    "remember_credentials",
]

RawHeaders = list[tuple[bytes, bytes]]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5


def raw_headers(headers: Any) -> RawHeaders:
    """Turn what a user gives as headers into bytes; a `Secret` gives its value.

    Raises:
        TypeError: A name or value is neither text, bytes nor a `Secret`.
        ConfigError: A name or value cannot be sent (CR, LF, NUL, not a token).
    """
    if not headers:
        return []
    if hasattr(headers, "raw"):
        raw = list(headers.raw)
    else:
        if isinstance(headers, str | bytes) or not isinstance(headers, Iterable):
            raise TypeError(f"headers takes a mapping or pairs, not {type(headers).__name__}")
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        raw = [raw_field(*split_pair("headers", pair)) for pair in pairs]
    check_headers(raw)
    remember_credentials(raw)
    return raw


def check_headers(headers: RawHeaders) -> None:
    """Refuse what would break the framing of a request (RFC 9110 sections 5.1 and 5.5).

    Raises:
        ConfigError: A name is no token, or a value holds a control character.
    """
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ConfigError(f"{name.decode('utf-8', 'replace')!r} is not a header name")
        bad = _BAD_VALUE.search(value)
        if bad is not None:
            raise ConfigError(
                f"the value of header {name.decode('ascii')!r} holds the control character "
                f"{bad[0].decode('latin-1')!r}; a header is one line"
            )


def is_chunked(headers: RawHeaders) -> bool:
    """Whether the fields say that the body is chunked."""
    for name, _ in headers:  # noqa: SIM110 - a generator takes three times as long
        if len(name) == 17 and name.lower() == b"transfer-encoding":
            return True
    return False


def raw_field(name: Any, value: Any) -> tuple[bytes, bytes]:
    """Turn one field into bytes; raises as `raw_headers`."""
    value = revealed(value)
    if not isinstance(name, str | bytes) or not isinstance(value, str | bytes):
        raise TypeError(
            f"header {name!r} takes str, bytes or a Secret as its value, not {type(value).__name__}"
        )
    key = name.encode("utf-8") if isinstance(name, str) else name
    text = value.encode("utf-8") if isinstance(value, str) else value
    return key, text.strip(b" \t")


def remember_credentials(headers: RawHeaders) -> None:
    """Have the values of fields with a credential's name masked in texts."""
    for name, raw in headers:
        if not is_credential_name(name.decode("ascii")):
            continue
        value = raw.decode("utf-8", "replace")
        remember(value)
        if name.lower() in {b"authorization", b"proxy-authorization"}:
            remember(value.partition(" ")[2])  # without the scheme
            remember(value.rpartition(" ")[2])  # the last of several parameters


def merge_fields(
    base: RawHeaders, own: RawHeaders, framing: RawHeaders, parsed: ParsedUrl
) -> RawHeaders:
    """Put Host first, then the client's fields, the call's in their place, and the framing."""
    names = {name.lower() for name, _ in own}
    merged = [field for field in base if field[0].lower() not in names] if own else list(base)
    merged += own
    present = {name.lower() for name, _ in merged}
    is_framed = bool(present & {b"content-length", b"transfer-encoding"})
    for field in framing:
        key = field[0].lower()
        if key in {b"content-length", b"transfer-encoding"}:
            if not is_framed:
                merged.append(field)
        elif key not in present:
            merged.append(field)
    if b"host" not in present:
        merged.insert(0, (b"Host", parsed.host_field))
    return merged
