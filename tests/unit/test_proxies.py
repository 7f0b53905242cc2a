"""Which proxy or mounted transport serves a URL."""

import sys

import httpx
import pytest

from nbhttp import redaction
from nbhttp._core.proxies import EnvironmentProxies, MountTable, make_proxy
from nbhttp._engines.base import Origin
from nbhttp.errors import ConfigError, MissingExtraError


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "is_direct"),
    [
        ("", "a.example", 80, False),
        ("a.example", "a.example", 80, True),
        ("a.example", "b.a.example", 80, True),
        (".a.example", "b.a.example", 80, True),
        ("a.example", "xa.example", 80, False),
        ("a.example:81", "a.example", 81, True),
        ("a.example:81", "a.example", 80, False),
        ("x, A.Example ,y", "a.example", 80, True),
        ("*", "a.example", 80, True),
        ("::1", "::1", 80, True),
        ("10.0.0.1", "10.0.0.1", 80, True),
    ],
)
def test_no_proxy(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, port: int, is_direct: bool
) -> None:
    """Hosts, their subdomains, ports and the star."""
    monkeypatch.setenv("http_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", no_proxy)
    found = EnvironmentProxies().find(Origin("http", host, port))
    assert found == (None if is_direct else "http://p:1")


def test_the_scheme_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY for https, ALL_PROXY for the rest; without a scheme it is http."""
    monkeypatch.setenv("https_proxy", "s:1")
    monkeypatch.setenv("all_proxy", "socks5://a:1")
    proxies = EnvironmentProxies()
    assert proxies.find(Origin("https", "h", 443)) == "http://s:1"
    assert proxies.find(Origin("http", "h", 80)) == "socks5://a:1"


def test_a_proxys_password_is_a_secret() -> None:
    """It is masked in texts from then on; a bad proxy's is not shown either."""
    made = make_proxy("http://user:proxy-pass-word@p:1")
    assert made is not None
    assert made.raw_auth == (b"user", b"proxy-pass-word")
    assert "proxy-pass-word" not in redaction.redact_text("it said proxy-pass-word")
    with pytest.raises(ConfigError) as caught:
        make_proxy("ftp://user:other-pass-word@p:1")
    assert "other-pass-word" not in str(caught.value)
    assert make_proxy(None) is None


@pytest.mark.parametrize("pattern", ["", "x", "http", "http://a/b", "http://h:x", "://h"])
def test_a_malformed_mount_is_refused(pattern: str) -> None:
    """A pattern is a scheme and perhaps a host and a port."""
    with pytest.raises(ConfigError, match="mounts"):
        MountTable({pattern: None})


def test_none_unmounts() -> None:
    """A pattern with None is a hit: the plain connection."""
    mock = httpx.MockTransport(lambda _: httpx.Response(200))
    table = MountTable({"all://": mock, "http://plain": None})
    assert table.find(Origin("http", "plain", 80)) == (True, None)
    assert table.find(Origin("http", "other", 80)) == (True, mock)
    assert MountTable({}).find(Origin("http", "other", 80)) == (False, None)


def test_a_socks_proxy_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing socksio is told when the client is made, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'nbhttp\[socks\]'"):
        make_proxy("socks5://127.0.0.1:1080")


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("localhost:8080", "the proxy 'localhost:8080' cannot be used; did you mean 'http://local"),
        ("me:pass-word@p:1", "did you mean 'http://‹redacted›@p:1'?"),
        ("ftp://p:1", "the proxy 'ftp://p:1' cannot be used; write it as http://host:port"),
    ],
)
def test_a_proxy_that_is_none_says_what_to_write(proxy: str, said: str) -> None:
    """Most often its scheme is missing."""
    with pytest.raises(ConfigError) as caught:
        make_proxy(proxy)
    assert said in str(caught.value)
    assert "pass-word" not in str(caught.value)
    with pytest.raises(TypeError, match="not int"):
        make_proxy(8080)
