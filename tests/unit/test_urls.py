"""URLs: the short way gives what httpx gives."""

import re

import httpx
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


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("items:batch", "/v1/items:batch"),
        ("./items:batch", "/v1/items:batch"),
        ("/items:batch?x=a:b", "/v1/items:batch?x=a:b"),
        ("a:b:c/d", "/v1/a:b:c/d"),
        ("mailto:a@b", "/v1/mailto:a@b"),
        ("users:42", "/v1/users:42"),
        ("urn:isbn:123?full=1", "/v1/urn:isbn:123?full=1"),
        ("10:20", "/v1/10:20"),
    ],
)
def test_a_colon_in_the_first_segment_stays(url, target):
    """Below a base URL all that does not begin with `scheme://` is a path, whole."""
    assert urls.join("https://h/v1", url).target.decode() == target
    assert urls.join("https://h/v1", httpx.URL(url)).target.decode() == target


@pytest.mark.parametrize("url", ["http:/x", "https:x", "http:", "file:///etc/passwd", "//other/x"])
def test_what_begins_as_an_absolute_url_is_no_path(url):
    """It is refused: appending the rest of it would ask for something else."""
    with pytest.raises(ConfigError):
        urls.join("https://h/v1", url)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("example.com", "did you mean 'https://example.com'?"),
        ("http//example.com/x", "did you mean 'http://example.com/x'?"),
        ("http;//example.com", "did you mean 'http://example.com'?"),
        ("localhost:8000", "did you mean 'http://localhost:8000'?"),
        ("//example.com/x", "did you mean 'https://example.com/x', or a path with one slash?"),
        ("<http://example.com>", "begin with http:// or https://"),
        ("http://{host}/x", "an f before the string fills {…} in"),
        ("http://{host}:80/x", "an f before the string fills {…} in"),
    ],
)
def test_a_refused_url_says_what_to_write(url, hint):
    """The hint is the URL that was meant, or what is wrong with it."""
    with pytest.raises(ConfigError) as caught:
        urls.parse(url)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "url", ["example.com/?api_key=hunter2secret", "h:80/?api_key=hunter2secret"]
)
def test_a_refused_url_shows_no_credential(url):
    """Neither does the URL that was meant."""
    with pytest.raises(ConfigError) as caught:
        urls.parse(url)
    assert "hunter2secret" not in str(caught.value)
    assert "hunter2secret" not in str(caught.value.hint)


@pytest.mark.parametrize(
    ("base", "hint"),
    [
        ("/v1", 'write base_url="https://host/path"'),
        ("example.com", "did you mean 'https://example.com'?"),
        ("https://h/v1?key=abc", "give it as params={…}"),
    ],
)
def test_a_base_url_that_cannot_be_one_is_refused_at_once(base, hint):
    """A query of a base URL would be dropped without a word."""
    with pytest.raises(ConfigError) as caught:
        urls.check_base(base)
    assert caught.value.hint == hint


@pytest.mark.parametrize("port", ["8_0", "+80", "\uff18\uff10", "\u0668\u0660", " 80", "0x50"])
def test_a_port_is_written_in_digits(port: str) -> None:
    """RFC 3986 section 3.2.3, where Python's int() takes more."""
    for url in (f"http://h:{port}/", f"http://u:p@h:{port}", f"http://[::1]:{port}/x?y"):
        with pytest.raises(ConfigError):
            urls.parse(url)
    assert urls.parse("http://h:/").origin.port == 80


@pytest.mark.parametrize("character", " %<>[\\]^|\x7f\t")
def test_a_host_with_a_forbidden_character_is_refused(character: str) -> None:
    """WHATWG URL section 3.5; it is named. Others (`#/?@`) end the host, or what is before it."""
    for url in (f"http://a{character}b", f"https://u:p@a{character}b:8443/x"):
        with pytest.raises(ConfigError) as caught:
            urls.parse(url)
        assert f"its host holds the character {character!r}; check" in str(caught.value)


def test_encoding_a_forbidden_character_makes_no_host() -> None:
    """Neither is it allowed in the zone of an IPv6 address; elsewhere in a URL it is."""
    for url in ("http://a%7Cb/", "http://[fe80::1%25a|b]/"):
        with pytest.raises(ConfigError, match=r"its host holds the character '\|'"):
            urls.parse(url)
    assert urls.parse("http://u:p|w@h/a|b?c=|").origin.host == "h"
    with pytest.raises(ConfigError, match="it holds the character ' '; percent-encode it"):
        urls.parse("http://u:p w@h/")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://a_b/", "a_b"),
        ("http://[::1]:80/", "::1"),
        ("http://[fe80::1%eth0]/", "fe80::1%eth0"),
        ("http://[fe80::1%25eth0]/", "fe80::1%25eth0"),
        ("http://[fe80::1%25br-a.1]/", "fe80::1%25br-a.1"),
    ],
)
def test_hosts_beyond_plain_names(url: str, host: str) -> None:
    """Other alphabets, underscores, and IPv6 addresses with a zone."""
    assert urls.parse(url).origin.host == host
