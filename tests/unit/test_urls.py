"""URLs: the short way gives what httpx gives."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbhttp._core import urls
from nbhttp.errors import ConfigError

PIECES = st.sampled_from(
    [*"abzAZ09-._~!$&'()*+,;=:@/?%# \"<>[]{}|\\^`", "%2F", "%7e", "%zz", "..", "/.", "é", "//"]
)
RESTS = st.lists(PIECES, max_size=12).map("".join)
ROOTS = st.sampled_from(
    ["http://h", "https://Ex.org:443", "http://127.0.0.1:8080", "http://[::1]:1", "http://h:99999",
     "http://bücher.example", "http://u:p@h", "http://h:80", "HTTP://h", "http://a b", "http://1.2"]
)  # fmt: skip


def outcome(function, *args):
    try:
        return function(*args)
    except ConfigError as exc:
        return str(exc)


@given(ROOTS, RESTS)
def test_a_plain_url_is_parsed_as_httpx_parses_it(root, rest):
    """The pattern for the common case never changes what comes out."""
    text = f"{root}/{rest}"
    assert outcome(urls.parse, text) == outcome(urls._parse, text)


@given(ROOTS, RESTS, RESTS)
def test_a_plain_relative_url_is_appended_as_httpx_appends_it(root, path, rest):
    """Neither does the one for a path below a base URL."""
    base = f"{root}/{path}"
    assume(not isinstance(outcome(urls.parse, base), str))  # a client refuses it when it is made
    text = rest.strip(" ")
    assert outcome(urls.join, base, text) == outcome(urls._append, base, text)


@pytest.mark.parametrize(
    "url",
    ["http://h/", "https://h:8443/a/b.json?q=1&r=%20x", "http://[::1]/x", "http://h/a%2Fb"],
)
def test_common_urls_are_plain(url):
    """Ten thousand different ones do not take a second to parse."""
    assert urls._parse_plain(url) is not None


def test_what_a_url_asks_for():
    """Origin, target and Host, and the same URL for httpx."""
    parsed = urls.parse("http://h:8080/a/b?c=d")
    assert parsed.origin == ("http", "h", 8080)
    assert parsed.target == b"/a/b?c=d"
    assert parsed.host_field == b"h:8080"
    assert str(parsed.url) == parsed.text == "http://h:8080/a/b?c=d"
    assert re.fullmatch(r"[\x21-\x7e]+", parsed.text)
