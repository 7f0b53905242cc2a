"""The cookie jar: what servers set, and what of it a request may carry (RFC 6265)."""

import copy
import re
from collections.abc import Iterable, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

from nbhttp._core.fields import check_headers
from nbhttp._core.values import revealed
from nbhttp._credentials import remember
from nbhttp._engines.base import Head
from nbhttp.errors import ConfigError
from nbhttp.redaction import is_credential_name

if TYPE_CHECKING:
    import httpx

__all__ = ["cookie_value", "fields_for", "keep", "make_jar", "split_cookies", "without_domain"]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_NAME = re.compile(r"[\x00-\x20\x7f=;,]")
_LEAST_SECRET = 12  # "en" or "dark" is no secret, and would mask ordinary words
_DOMAIN = re.compile(rb";[\t ]*domain[\t ]*=([^;]*)", re.IGNORECASE)


def make_jar() -> "httpx.Cookies":
    """Return an empty jar whose cookies without a domain go back to the very host that set them.

    The standard library's own choice would send them to its subdomains too.
    """
    import httpx

    jar = httpx.Cookies()
    strict = DefaultCookiePolicy.DomainStrictNonDomain
    jar.jar.set_policy(DefaultCookiePolicy(strict_ns_domain=strict))
    return jar


def fields_for(jar: "httpx.Cookies", url: "httpx.URL") -> list[str]:
    """Return "name=value" of the cookies that belong to `url` (RFC 6265 section 5.4).

    What a server set is not ours to trust: one with a control character is left out.
    """
    from urllib.request import Request

    probe = Request(str(url))  # noqa: S310 - asks the jar, not the network
    jar.jar.add_cookie_header(probe)
    pairs = (probe.get_header("Cookie") or "").split("; ")
    return [pair for pair in pairs if pair and not _CONTROL.search(pair)]


def without_domain(jar: "httpx.Cookies") -> dict[str, str]:
    """Return what `client.cookies.update({"a": "b"})` left: cookies of no host.

    The jar itself would send them nowhere.
    """
    of_no_host = jar.jar._cookies.get("")  # type: ignore[attr-defined] # noqa: SLF001 - iterating walks all
    if not of_no_host:
        return {}
    return {c.name: c.value or "" for by_name in of_no_host.values() for c in by_name.values()}


def keep(jar: "httpx.Cookies", head: Head, request: "httpx.Request") -> None:
    """Take what Set-Cookie says in an answer to `request`."""
    import httpx

    fields = [
        (name, _with_one_domain(value))
        for name, value in head.headers
        if name.lower() == b"set-cookie"
    ]
    jar.extract_cookies(httpx.Response(head.status, headers=fields, request=request))


def _with_one_domain(value: bytes) -> bytes:
    """Leave the Domain attribute that counts: the last that is not empty (RFC 6265 section 5.3)."""
    found = list(_DOMAIN.finditer(value))
    if len(found) < 2:
        return value
    kept = [match[0] for match in found if match[1].strip()][-1:]
    return _DOMAIN.sub(b"", value) + b"".join(kept)


# What users give


def split_cookies(cookies: Any, jar: "httpx.Cookies") -> dict[str, str]:
    """Put the user's cookies that have a domain into `jar`, and return the others.

    Raises:
        TypeError: A name or value is no text, or it is no mapping, pairs or jar.
        ConfigError: A name or value cannot be sent.
    """
    if cookies is None:
        return {}
    source = getattr(cookies, "jar", cookies)
    of_no_host: dict[str, str] = {}
    if hasattr(source, "set_cookie"):
        for cookie in source:
            if cookie.domain:
                jar.jar.set_cookie(copy.copy(cookie))
            else:
                of_no_host[cookie.name] = cookie_value(cookie.name, cookie.value or "")
        return of_no_host
    if isinstance(cookies, str | bytes) or not isinstance(cookies, Iterable):
        raise TypeError(
            "cookies takes a mapping, pairs or a cookie jar, "
            f"not {type(cookies).__name__}; a whole field is headers={{'Cookie': …}}"
        )
    for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
        of_no_host[name] = cookie_value(name, value)
    return of_no_host


def cookie_value(name: Any, value: Any) -> str:
    """Check a cookie that the user gave, and have its value masked in texts.

    Raises:
        TypeError: The name or value is no text.
        ConfigError: It cannot be sent.
    """
    value = revealed(value)
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"cookie {name!r} takes a str or a Secret, not {type(value).__name__}")
    if not name or _BAD_NAME.search(name):
        raise ConfigError(f"{name!r} is not a cookie name")
    if ";" in value:
        raise ConfigError(
            f"the value of cookie {name!r} holds a ';', which would begin another cookie"
        )
    check_headers([(b"Cookie", f"{name}={value}".encode())])
    if is_credential_name(name) or len(value) >= _LEAST_SECRET:
        remember(value)
    return value
