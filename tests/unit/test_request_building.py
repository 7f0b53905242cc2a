"""From options to one checked request: what is merged, framed, refused and remembered."""

import asyncio
import enum
import io

import httpx
import pandas as pd
import pytest

from nbhttp import redaction
from nbhttp._core.request import Defaults, Prepared, build, bulk_items
from nbhttp.config import ClientConfig, Limits, PhaseLimits
from nbhttp.errors import ConfigError, ProtocolError


def built(method: str = "GET", url: str = "http://h/p", **options) -> Prepared:
    client = {
        name: options.pop(name) for name in ("client_headers", "client_auth") if name in options
    }
    config = ClientConfig(headers=client.get("client_headers"), auth=client.get("client_auth"))
    return build(Defaults(config, None), method, url, options)


def sent(request: Prepared, name: str) -> list[str]:
    return [v.decode("latin-1") for k, v in request.headers if k.lower() == name.encode()]


def test_the_plain_request() -> None:
    """Host first, then httpx's defaults with nbhttp's name; no body, nothing about one."""
    request = built()
    assert request.headers[0] == (b"Host", b"h")
    assert [k for k, _ in request.headers] == [
        b"Host", b"Accept", b"Accept-Encoding", b"Connection", b"User-Agent",
    ]  # fmt: skip
    assert request.is_replayable
    assert not built("POST").is_replayable


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://h/", "h"),
        ("http://h:80/", "h"),
        ("http://h:81/", "h:81"),
        ("https://h:443/", "h"),
        ("http://[::1]:8/", "[::1]:8"),
        ("http://BÜCHER.example/", "xn--bcher-kva.example"),
    ],
)
def test_the_host_field(url: str, host: str) -> None:
    """As httpx has it: without the default port, IPv6 in brackets, in punycode."""
    assert sent(built(url=url), "host") == [host]
    assert httpx.Request("GET", url).headers["host"].lower() == host


@pytest.mark.parametrize(
    ("options", "length", "kind"),
    [
        ({"content": b"abc"}, "3", None),
        ({"content": bytearray(b"abc")}, "3", None),
        ({"content": "ü"}, "2", None),
        ({"json": {"a": 1}}, "7", "application/json"),
        ({"data": {"a": "b"}}, "3", "application/x-www-form-urlencoded"),
        ({"data": "raw"}, "3", None),
        ({"data": b"raw"}, "3", None),
        ({"content": io.BytesIO(b"abc")}, "3", None),
        ({}, "0", None),
    ],
    ids=["bytes", "bytearray", "str", "json", "form", "data-str", "data-bytes", "file", "none"],
)
def test_a_body_is_framed_and_named(options: dict, length: str, kind: str | None) -> None:
    """Content-Length and Content-Type follow from the body."""
    request = built("POST", **options)
    assert sent(request, "content-length") == [length]
    assert sent(request, "content-type") == ([] if kind is None else [kind])


def test_the_users_content_type_stands() -> None:
    """A field of the user's own replaces the one that the body would set."""
    request = built("POST", json=1, headers={"content-type": "application/x-own"})
    assert sent(request, "content-type") == ["application/x-own"]


def test_auth_is_chosen() -> None:
    """The call's, else the client's, else the URL's; None is none."""
    url = "http://user:pass-word@h/"
    assert built(url=url).auth is not None
    assert built(url=url, auth=None).auth is None
    mine = httpx.BasicAuth("a", "b")
    assert built(url=url, auth=mine).auth is mine
    assert built(url=url, client_auth=mine).auth is mine
    assert built(client_auth=mine, auth=None).auth is None


def test_what_was_given_as_a_credential_is_masked_everywhere() -> None:
    """Passwords, tokens and cookies are known to the redactor; everyday words are not."""
    built(auth=("user", "correct-horse"))
    built(headers={"Authorization": "Bearer staple-battery"})
    built(headers={"X-Api-Key": "two words-here"})
    built(cookies={"sid": "cookie-of-twelve", "theme": "dark"})
    for secret in ("correct-horse", "staple-battery", "two words-here", "cookie-of-twelve"):
        assert secret not in redaction.redact_text(f"the server said {secret} back")
    assert redaction.redact_text("a dark theme") == "a dark theme"


def test_a_mask_is_refused_with_what_to_write() -> None:
    """The advice is not taken for a secret itself."""
    with pytest.raises(ConfigError) as caught:
        built(headers={"Authorization": f"Bearer {redaction.MASK}"})
    assert "give nbhttp.bearer(secret) as auth" in str(caught.value)


def test_limits() -> None:
    """Seconds are a total, an httpx.Timeout are phases, None is no limit, infinity neither."""
    assert built(timeout=2).limits == Limits(total=2.0)
    assert built(timeout=httpx.Timeout(3, pool=4)).limits == Limits(
        phases=PhaseLimits(3.0, 3.0, 3.0), queue=4.0
    )
    assert built(timeout=None).limits == Limits()
    assert built(timeout=float("inf")).limits == Limits()
    assert built().limits == Limits(total=30.0)
    assert Limits(total=2.0).per_read == PhaseLimits(2.0, 2.0, 2.0)


def test_unknown_options_name_the_known() -> None:
    """A misspelled one says what was meant; a client's says where it belongs."""
    with pytest.raises(TypeError, match=r"'haeders'; did you mean 'headers'"):
        built(haeders={})
    with pytest.raises(TypeError, match=r"HttpClient\(http2=…\)"):
        built(http2=True)


def test_a_body_is_made_ready_to_be_sent_again() -> None:
    """A file goes back to where it stood; an iterator cannot."""
    file = io.BytesIO(b"skipped abc")
    file.seek(8)
    request = built("POST", content=file)
    assert file.read() == b"abc"
    request.rewind("307")
    assert file.read() == b"abc"
    built("POST", content=[b"a"]).rewind("307")
    with pytest.raises(ProtocolError, match="answered 307"):
        built("POST", content=iter([b"a"])).rewind("307")


def test_httpx_sees_the_same_request() -> None:
    """What hooks and schemes get is what is sent, and what they change is taken over."""
    request = built("POST", url="http://h/p?q=1", content=b"abc", headers={"X-A": "1"})
    made = request.to_httpx()
    assert (made.method, str(made.url), made.content) == ("POST", "http://h/p?q=1", b"abc")
    assert made.headers.raw == request.headers
    made.headers["X-B"] = "2"
    made.url = httpx.URL("http://h/other")
    after = request.with_httpx(made)
    assert sent(after, "x-b") == ["2"]
    assert after.url.text == "http://h/other"
    made.headers["X-B"] = "a\r\nb"
    with pytest.raises(ConfigError):
        request.with_httpx(made)


def test_an_opaque_body_passes_through_httpx_untouched() -> None:
    """An iterator is not consumed by making an httpx.Request of it."""
    source = iter([b"a", b"b"])
    request = built("POST", content=source)
    assert request.with_httpx(request.to_httpx()).body is source
    made = built("POST", content=iter([b"a", b"b"])).to_httpx()
    assert asyncio.run(made.aread()) == b"ab"


class Colour(enum.Enum):
    RED = "red"


class Size(str, enum.Enum):  # noqa: UP042 - what an enum of text was before StrEnum
    LARGE = "large"


@pytest.mark.parametrize(
    ("params", "target"),
    [
        ({"a": Colour.RED}, b"/p?a=red"),
        ({"a": [Size.LARGE, Colour.RED]}, b"/p?a=large&a=red"),
        ({"a": "ü".encode()}, b"/p?a=%C3%BC"),
        ([("a", b"x")], b"/p?a=x"),
        ("?a=1&b=2", b"/p?a=1&b=2"),
    ],
)
def test_what_a_parameter_means(params, target: bytes) -> None:
    """An enum is its value and bytes are text, in a query as in JSON; not what `str()` has."""
    assert built(params=params).url.target == target


def test_fields_of_a_form_that_are_bytes() -> None:
    """Text is sent as text; other bytes only where there is a place for them, beside files."""
    assert built("POST", data={"a": b"x", "b": Colour.RED}).body == b"a=x&b=red"
    assert b"\r\n\r\n\xff\r\n" in b"".join(
        built("POST", data={"a": b"\xff"}, files={"f": b"y"}).body
    )
    with pytest.raises(TypeError, match="data takes text for 'a', not bytes that are no UTF-8"):
        built("POST", data={"a": b"\xff"})
    with pytest.raises(TypeError, match="params takes text for 'a'"):
        built(params={"a": b"\xff"})


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        (pd.DataFrame({"url": ["http://h/"]}), 'not a DataFrame; write map(df["url"])'),
        ("http://h/", "not one str; use request()"),
        ([["GET", "http://h/"]], "requests[0], of 1; nothing was sent; write (method, url"),
    ],
)
def test_what_map_is_not_given(requests, said: str) -> None:
    """A table would be taken for the names of its columns; a list is no request."""
    with pytest.raises(TypeError) as caught:
        bulk_items(Defaults(ClientConfig(), None), requests, 1)
    assert said in "; ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def test_extensions_have_to_be_a_mapping() -> None:
    """Refused at the call, as every wrong argument is."""
    with pytest.raises(TypeError, match="extensions takes a mapping, not int"):
        built(extensions=5)
