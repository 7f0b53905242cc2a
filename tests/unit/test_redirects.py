"""Redirections as pure decisions."""

import pytest

from nbhttp._core.redirects import next_request
from nbhttp._core.request import Defaults, Prepared, build
from nbhttp._engines.base import Head, Origin
from nbhttp.config import ClientConfig
from nbhttp.errors import ProtocolError

HERE = Origin("https", "here.example", 443)


def asked(method: str = "GET", **options) -> Prepared:
    return build(Defaults(ClientConfig(), None), method, "https://here.example/a/b?q=1", options)


def follow(location: str | bytes | None, status: int = 302, request: Prepared | None = None):
    value = location.encode("utf-8") if isinstance(location, str) else location
    fields = [] if value is None else [(b"LOCATION", value)]
    return next_request(request or asked(), Head(status, b"", "HTTP/1.1", fields), HERE)


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 404])
def test_other_statuses_are_no_redirection(status: int) -> None:
    """Only 301, 302, 303, 307 and 308 are followed."""
    assert follow("/x", status) is None


def test_without_a_location_there_is_nowhere_to_go() -> None:
    """The answer stands."""
    assert follow(None) is None


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "https://here.example/x"),
        ("x", "https://here.example/a/x"),
        ("../x", "https://here.example/x"),
        ("?z", "https://here.example/a/b?z"),
        ("//there.example/x", "https://there.example/x"),
        ("http://there.example", "http://there.example"),
        ("https:/x", "https://here.example/x"),
        ("/x#part", "https://here.example/x"),
        ("/ü x", "https://here.example/%C3%BC%20x"),
        (b"/\xfc", "https://here.example/%C3%BC"),
        ("https://user:pass@here.example/x", "https://here.example/x"),
    ],
)
def test_locations_are_resolved(location: str | bytes, url: str) -> None:
    """Against the URL asked, without userinfo and fragment."""
    following = follow(location)
    assert following is not None
    assert following.request.url.text == url
    assert following.request.url.userinfo is None


@pytest.mark.parametrize(
    "location",
    ["ftp://h/", "javascript:x", "http://[", "http://a:b/", "https://0x7f.1/", "data:,x"],
)
def test_what_cannot_be_asked_is_an_error(location: str) -> None:
    """Another scheme or a malformed URL ends the call with a hint."""
    with pytest.raises(ProtocolError, match="cannot be followed") as caught:
        follow(location)
    assert "follow_redirects=False" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "location",
    ["http://here.example/", "https://here.example:8443/", "https://www.here.example/", "//x/"],
)
def test_credentials_do_not_cross(location: str) -> None:
    """Scheme, host and port have to be the same."""
    request = asked(auth=("u", "p"), headers={"X-Api-Key": "k"}, cookies={"a": "b"})
    following = follow(location, request=request)
    assert following is not None
    assert following.is_stripped
    assert following.request.auth is None
    assert following.request.cookies == ()
    assert not any(name == b"X-Api-Key" for name, _ in following.request.headers)


@pytest.mark.parametrize("location", ["/x", "https://here.example:443/x", "https://HERE.example/x"])
def test_credentials_stay_within_an_origin(location: str) -> None:
    """The default port and the case of a host make no other origin."""
    request = asked(auth=("u", "p"), headers={"X-Api-Key": "k"}, cookies={"a": "b"})
    following = follow(location, request=request)
    assert following is not None
    assert not following.is_stripped
    assert following.request.auth is request.auth
    assert following.request.cookies == (("a", "b"),)


def test_another_hosts_tls_name_is_left_behind() -> None:
    """`sni_hostname` belongs to the origin that it was given for."""
    request = asked(extensions={"sni_hostname": "x", "other": 1})
    crossed = follow("https://there.example/", request=request)
    stayed = follow("/x", request=request)
    assert crossed is not None
    assert stayed is not None
    assert crossed.request.extensions == {"other": 1}
    assert stayed.request.extensions == {"sni_hostname": "x", "other": 1}
