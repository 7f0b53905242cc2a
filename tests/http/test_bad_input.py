"""What the user gets wrong is refused at the call, before anything is sent."""

import base64
import io
import json
import math
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio

CORPORA = Path(__file__).parents[1] / "corpora"
CRLF = json.loads((CORPORA / "header_injection" / "crlf_payloads.json").read_text("utf-8"))

BAD_URLS = [
    "htp://127.0.0.1/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "http://",
    "http:///path",
    "https://?q",
    "example.com/path",
    "localhost:8000/path",
    "/relative",
    "",
    "http://[::1",
    "http://host:port/",
    "http://host:99999/",
    "http://host:0/",
    "http://host:-1/",
    "http://a b/",
    "http://a\tb/",
    "http://a\nb/",
    "http://host/\r\nX: y",
    "http://host\\@evil/",
    "http://host/\x00",
    "http://%31%32%37.0.0.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://127.1/",
    "http://a..b/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a" * 70_000,
    "javascript:alert(1)",
    "mailto:a@b.c",
]

BAD_OPTIONS = [
    ({"headers": {"X-A": "a\r\nX-B: b"}}, ValueError, "control character"),
    ({"headers": {"X-A": "a\nb"}}, ValueError, "control character"),
    ({"headers": {"X-A": "a\x00b"}}, ValueError, "control character"),
    ({"headers": {"X A": "a"}}, ValueError, "not a header name"),
    ({"headers": {"X-A\r\n": "a"}}, ValueError, "not a header name"),
    ({"headers": {"X-A:": "a"}}, ValueError, "not a header name"),
    ({"headers": {"": "a"}}, ValueError, "not a header name"),
    ({"headers": {"X-A": 1}}, TypeError, "X-A"),
    ({"headers": {"X-A": None}}, TypeError, "X-A"),
    ({"headers": "X-A: a"}, TypeError, "mapping"),
    ({"headers": {"Content-Length": "3"}, "content": b"four"}, ValueError, "Content-Length is 3"),
    ({"headers": {"Content-Length": "x"}, "content": b"four"}, ValueError, "Content-Length"),
    ({"headers": {"Transfer-Encoding": "gzip"}, "content": b"f"}, ValueError, "chunked"),
    ({"headers": {"Transfer-Encoding": "chunked", "Content-Length": "1"}, "content": b"f"},
     ValueError, "chunked"),
    ({"timeout": -1}, ValueError, "-1"),
    ({"timeout": 0}, ValueError, "0"),
    ({"timeout": math.nan}, ValueError, "nan"),
    ({"timeout": "5"}, TypeError, "'5'"),
    ({"timeout": True}, TypeError, "True"),
    ({"timeout": (1, -1, 1, 1)}, ValueError, "-1"),
    ({"timeout": httpx.Timeout(-3.0)}, ValueError, "-3"),
    ({"json": {"a": object()}}, TypeError, r"\$\.a"),
    ({"json": {1, 2}}, TypeError, "set"),
    ({"json": 1, "content": b"x"}, ValueError, "content and json"),
    ({"json": 1, "data": {"a": "b"}}, ValueError, "data and json"),
    ({"content": b"x", "files": {"f": b"x"}}, ValueError, "content and files"),
    ({"content": 3}, TypeError, "int"),
    ({"content": {"a": 1}}, TypeError, "dict"),
    ({"content": io.StringIO("text")}, TypeError, "'rb'"),
    ({"files": {"f": io.StringIO("text")}}, TypeError, "'rb'"),
    ({"files": b"x"}, TypeError, "files"),
    ({"data": 3}, TypeError, "int"),
    ({"data": [("a", "b")]}, TypeError, "list"),
    ({"params": 3}, TypeError, "int"),
    ({"auth": "user"}, TypeError, "str"),
    ({"auth": ("user",)}, TypeError, "tuple"),
    ({"auth": (1, 2)}, TypeError, "int"),
    ({"max_body": -1}, ValueError, "-1"),
    ({"max_body": 1.5}, TypeError, "1.5"),
    ({"follow_redirects": "no"}, TypeError, "'no'"),
    ({"verify": False}, TypeError, r"verify= belongs to a client"),
    ({"proxy": "http://p"}, TypeError, r"proxy= belongs to a client"),
    ({"parms": {"a": 1}}, TypeError, "'parms'"),
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS, ids=[repr(u)[:40] for u in BAD_URLS])
async def test_a_malformed_url_is_refused(client: nbhttp.AsyncHttpClient, url: str) -> None:
    """No scheme, another scheme, no host, two readings of the host: an error that shows the URL."""
    with pytest.raises(nbhttp.ConfigError, match="cannot use the URL") as caught:
        await client.get(url)
    assert len(str(caught.value)) < 500
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", [None, 3, b"http://h/", Path("/x"), ["http://h/"]])
async def test_a_url_is_text(client: nbhttp.AsyncHttpClient, url) -> None:
    """Other types are refused."""
    with pytest.raises(TypeError, match="a URL is a str"):
        await client.get(url)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    BAD_OPTIONS,
    ids=[f"{i}-{'-'.join(o[0])}" for i, o in enumerate(BAD_OPTIONS)],
)
async def test_bad_options_are_refused_before_sending(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, options: dict, kind: type, text: str
) -> None:
    """A wrong option says which value is wrong, and the server sees nothing."""
    with pytest.raises(kind, match=text):
        await client.post(fault.url + "/echo", **options)
    assert fault.log() == []
    assert client._state.gate.held == 0


@pytest.mark.parametrize("method", ["", "GET /", "GET\r\nX: y", "GÉT", "G ET", None, 3])
async def test_a_bad_method_is_refused(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, method
) -> None:
    """A method is one token."""
    with pytest.raises((TypeError, ValueError), match="method"):
        await client.request(method, fault.url + "/echo")
    assert fault.log() == []


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"timeout": -1}, ValueError),
        ({"max_connections": 0}, ValueError),
        ({"max_connections": 1.5}, TypeError),
        ({"max_redirects": -1}, ValueError),
        ({"max_body": -1}, ValueError),
        ({"keepalive_expiry": -1}, ValueError),
        ({"keepalive_expiry": math.nan}, ValueError),
        ({"verify": "/no/such/file"}, ValueError),
        ({"verify": None}, TypeError),
        ({"cert": "/no/such/file"}, ValueError),
        ({"cert": 3}, TypeError),
        ({"headers": {"X": "a\r\nb"}}, ValueError),
        ({"base_url": "htp://h"}, ValueError),
        ({"base_url": "/relative"}, ValueError),
        ({"proxy": "ftp://h"}, ValueError),
        ({"proxy": "user:pass-word@h:80"}, ValueError),
        ({"engine": "warp"}, ValueError),
        ({"engine": "direct", "http2": True}, ValueError),
        ({"engine": "direct", "proxy": "http://h"}, ValueError),
        ({"event_hooks": {"respons": []}}, ValueError),
        ({"event_hooks": {"response": print}}, TypeError),
        ({"transport": httpx.HTTPTransport(trust_env=False)}, TypeError),
        ({"transport": 3}, TypeError),
        ({"mounts": {"nonsense": None}}, ValueError),
        ({"auth": 3}, TypeError),
        ({"retires": 3}, TypeError),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value.__name__,
)
def test_bad_client_options_are_refused(options: dict, kind: type) -> None:
    """A client is not made from what cannot work, and the message holds no password."""
    with pytest.raises(kind) as caught:
        nbhttp.AsyncHttpClient(**options)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize("payload", [*CRLF, *map(unquote, CRLF)], ids=repr)
async def test_nothing_injects_a_header(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, payload: str
) -> None:
    """Wherever the payload stands: one request without an extra field, or a refusal."""
    url = fault.url + "/echo"
    calls = [
        {"headers": {"X-A": payload}},
        {"headers": {payload: "x"}},
        {"params": {"q": payload}},
        {"params": {payload: "q"}},
        {"cookies": {"c": payload}},
        {"cookies": {payload: "c"}},
        {"files": {"f": (payload, b"x")}},
        {"files": {payload: ("n", b"x")}},
        {"files": {"f": ("n", b"x", payload)}},
        {"auth": (payload, payload)},
        {"data": {payload: payload}},
    ]
    requests = [(url, options) for options in calls] + [
        (url + payload, {}),
        (fault.url + payload, {}),
    ]
    for target, options in requests:
        before = len(fault.log())
        try:
            r = await client.post(target, **options)
        except (ValueError, TypeError):
            assert len(fault.log()) == before
            continue
        assert r.status_code is not None
        rows = fault.log()
        assert len(rows) == before + 1
        names = {name.lower() for name, _ in rows[-1]["headers"]}
        assert "set-cookie" not in names
        assert names <= {
            "host", "accept", "accept-encoding", "connection", "user-agent", "x-a", "cookie",
            "authorization", "content-type", "content-length",
        }  # fmt: skip
        body = base64.b64decode(rows[-1]["body_b64"])
        assert b"\r\nSet-Cookie:" not in body
        assert b"\nSet-Cookie:" not in body.partition(b"\r\n\r\n")[0]
