"""The cookie jar: what servers set, and what of it a request may carry (RFC 6265)."""

import re
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING

from nbhttp._engines.base import Head

if TYPE_CHECKING:
    import httpx

__all__ = ["fields_for", "keep", "make_jar", "without_domain"]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
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
