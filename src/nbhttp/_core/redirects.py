"""Where a redirection leads, and what may go along (pure decisions)."""

from dataclasses import replace
from typing import NamedTuple

from nbhttp._core import urls
from nbhttp._core.request import Prepared
from nbhttp._engines.base import Head, Origin, RawHeaders
from nbhttp.errors import ConfigError, ProtocolError
from nbhttp.redaction import is_credential_name, redact_url

__all__ = ["Following", "next_request"]

_STATUSES = frozenset({301, 302, 303, 307, 308})
# RFC 9110 section 15.4: when the method changes to GET, so do the fields that describe a body.
_BODY_FIELDS = frozenset(
    {
        b"content-encoding",
        b"content-language",
        b"content-length",
        b"content-location",
        b"content-type",
        b"transfer-encoding",
    }
)


class Following(NamedTuple):
    """The request that a redirection asks for.

    Attributes:
        is_stripped: Whether credentials were left behind, because the origin changed.
    """

    request: Prepared
    is_stripped: bool


def next_request(request: Prepared, head: Head, first_origin: Origin) -> Following | None:
    """Return the request to follow with; None when the answer is no redirection.

    Credentials stay on the origin (scheme, host, port) that they were meant for: header fields
    with a credential's name, `auth`, and cookies given without a domain do not cross to another
    one, nor from https to http. Cookies of the jar go by their own rules (RFC 6265).

    Raises:
        ProtocolError: It points to something that cannot be followed, or its body is an iterator
            that has been consumed.
    """
    if head.status not in _STATUSES:
        return None
    location = _location(head)
    if location is None:
        return None
    target = _resolve(request, location)
    method = _method(request.method, head.status)
    headers = request.headers
    body = request.body
    if method != request.method:
        headers = [f for f in headers if f[0].lower() not in _BODY_FIELDS]
        body = b""
    else:
        request.rewind(str(head.status))
    is_crossing = target.origin != request.url.origin
    kept = _without_credentials(headers, target) if is_crossing else headers
    is_stripped = is_crossing and (
        len(kept) < len(headers) or request.auth is not None or bool(request.cookies)
    )
    follow = replace(
        request,
        method=method,
        url=target,
        headers=kept,
        body=body,
        auth=None if is_crossing else request.auth,
        cookies=() if target.origin != first_origin else request.cookies,
        extensions=_extensions(request, is_crossing=is_crossing),
    )
    return Following(follow, is_stripped)


def _location(head: Head) -> str | None:
    for name, value in head.headers:
        if name.lower() == b"location":
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                return value.decode("latin-1")
    return None


def _resolve(request: Prepared, location: str) -> urls.ParsedUrl:
    import httpx

    try:
        if location.partition(":")[0].lower() in {"http", "https"} and "://" not in location:
            # "http:path": absolute in form, without a host; httpx takes the request's.
            location = location.partition(":")[2]
        joined = request.url.url.join(location)
        return urls.parse(str(joined))._replace(userinfo=None)
    except (httpx.InvalidURL, ConfigError, ValueError):
        raise ProtocolError(
            f"the server redirects to {redact_url(location)[:200]!r}, which cannot be followed",
            hint="pass follow_redirects=False to look at the redirecting answer itself",
        ) from None


def _method(method: str, status: int) -> str:
    """As browsers do it, and httpx (RFC 9110 sections 15.4.2 to 15.4.4)."""
    if status == 303 and method != "HEAD":
        return "GET"
    if status == 302 and method != "HEAD":
        return "GET"
    if status == 301 and method == "POST":
        return "GET"
    return method


def _without_credentials(headers: RawHeaders, target: urls.ParsedUrl) -> RawHeaders:
    """Return the fields that may go to another origin, with its Host."""
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in {b"host", b"cookie"}
        and not is_credential_name(name.decode("latin-1"))
    ]
    return [(b"Host", target.host_field), *kept]


def _extensions(request: Prepared, *, is_crossing: bool) -> dict[str, object] | None:
    """Leave the other host's TLS name behind."""
    if request.extensions is None:
        return None
    return {
        k: v for k, v in request.extensions.items() if not (is_crossing and k == "sni_hostname")
    }
