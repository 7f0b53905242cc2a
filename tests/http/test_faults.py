"""Whatever a server does wrong becomes a result with a readable error, over every engine."""

import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio

REFUSED = [
    ("/conn/empty", nbhttp.ConnectError, "closed the connection before answering"),
    ("/conn/reset", nbhttp.ConnectError, "reset the connection before answering"),
    ("/conn/half", nbhttp.ProtocolError, "in the middle of the answer"),
    ("/conn/garbage", nbhttp.ProtocolError, "answer"),
    ("/conn/interim?n=200", nbhttp.ProtocolError, "over 100 interim answers"),
    ("/headers/huge", nbhttp.ProtocolError, ""),
    ("/headers/many", nbhttp.ProtocolError, ""),
    ("/headers/nul", nbhttp.ProtocolError, "answer"),
    ("/headers/nocolon", nbhttp.ProtocolError, "answer"),
    ("/headers/space", nbhttp.ProtocolError, "answer"),
    ("/headers/reason?value=a%01b", nbhttp.ProtocolError, "status line"),
    ("/headers/inject?value=a%01b", nbhttp.ProtocolError, "near 'X-Value'"),
    ("/headers/status?value=HTTP/2.0%20200%20OK", nbhttp.ProtocolError, "status line"),
    ("/headers/status?value=HTTP/0.9%20200%20OK", nbhttp.ProtocolError, "status line"),
    ("/headers/status?value=HTTP/1.1%2099%20X", nbhttp.ProtocolError, "answer"),
    ("/headers/status?value=ICY%20200%20OK", nbhttp.ProtocolError, "answer"),
    ("/chunked/badsize", nbhttp.ProtocolError, "answer"),
    ("/chunked/negative", nbhttp.ProtocolError, "answer"),
    ("/chunked/huge", nbhttp.ProtocolError, "answer"),
    ("/chunked/noterm", nbhttp.ProtocolError, "after 10 bytes of the body"),
    ("/chunked/badcrlf", nbhttp.ProtocolError, "answer"),
    ("/chunked/lf", nbhttp.ProtocolError, "answer"),
    ("/chunked/both", nbhttp.ProtocolError, "both Content-Length and Transfer-Encoding"),
    ("/gzip/truncated", nbhttp.ProtocolError, "ended early"),
    ("/gzip/crc", nbhttp.ProtocolError, "damaged"),
    ("/gzip/garbage", nbhttp.ProtocolError, "damaged"),
    ("/gzip/header", nbhttp.ProtocolError, "damaged"),
    ("/gzip/trailing", nbhttp.ProtocolError, "other bytes follow"),
    ("/gzip/plain", nbhttp.ProtocolError, "damaged"),
    ("/gzip/unknown", nbhttp.ProtocolError, "'foo' is unknown"),
    ("/redirect/loop", nbhttp.TooManyRedirectsError, "more than 20 redirects"),
    ("/redirect/n/30", nbhttp.TooManyRedirectsError, "more than 20 redirects"),
    ("/redirect/scheme", nbhttp.ProtocolError, "'file:///etc/passwd', which cannot be followed"),
    ("/redirect/scheme?loc=http://%5bx", nbhttp.ProtocolError, "redirects to"),
    ("/redirect/scheme?loc=ftp://h/", nbhttp.ProtocolError, "redirects to"),
    ("/redirect/scheme?loc=//", nbhttp.TooManyRedirectsError, ""),
    ("/redirect/scheme?loc=http://0x7f.1/", nbhttp.ProtocolError, "redirects to"),
    ("/file/a/1000?truncate=500", nbhttp.ProtocolError, "after 500 bytes of the body"),
    ("/file/a/1000?reset=500", nbhttp.ProtocolError, "reset"),
    ("/file/a/1000?chunked=1&truncate=500", nbhttp.ProtocolError, "after 500 bytes"),
    ("/file/a/1000?cl=%2b100", nbhttp.ProtocolError, "after 1,000 bytes"),
    ("/status/503?reset=1", nbhttp.ConnectError, "reset"),
]

ACCEPTED = [
    ("/conn/die", b'{"ok": true}'),
    ("/conn/interim", b'{"ok": true}'),
    ("/conn/extra", b"ok"),
    ("/headers/huge?size=30000", b'{"ok":true}'),
    ("/headers/many?n=190", b'{"ok":true}'),
    ("/headers/inject", b'{"ok":true}'),
    ("/headers/dup", b'{"ok":true}'),
    ("/headers/obsfold", b'{"ok":true}'),
    ("/headers/reason?value=%e9t%e9", b'{"ok":true}'),
    ("/headers/reason?value=", b'{"ok":true}'),
    ("/headers/status?value=HTTP/1.1%20200", b'{"ok":true}'),
    ("/headers/status?value=HTTP/1.0%20200%20OK", b'{"ok":true}'),
    ("/headers/status?value=HTTP/1.7%20200%20OK", b'{"ok":true}'),
    ("/chunked/ext", b"helloworld"),
    ("/chunked/trailer", b"hello"),
    ("/gzip/empty", b""),
    ("/gzip/multi", b'{"ok": true}'),
    ("/json/204", b""),
    ("/file/a/0?cl=none", b""),
]


@pytest.mark.parametrize(("path", "kind", "text"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_a_fault_is_a_result_with_a_readable_error(
    client: nbhttp.AsyncHttpClient,
    fault: FaultServer,
    path: str,
    kind: type[nbhttp.NbhttpError],
    text: str,
) -> None:
    """A broken answer fails the call: one typed error, its text, and no half of an answer."""
    r = await client.get(fault.url + path)
    assert type(r.exception) is kind
    assert not r.success
    assert r.status_code is None
    assert r.response is None
    assert r.content == b""
    assert r.error
    assert text in r.error
    assert r.error.count("\n") == 0
    assert "bytearray" not in r.error
    assert "GET http://127.0.0.1" in r.error
    assert r.exception.method == "GET"
    assert r.exception.attempts == r.attempts
    assert repr(r).startswith("<RequestResult GET http")
    assert len(repr(r).splitlines()) == 1


@pytest.mark.parametrize(("path", "body"), ACCEPTED, ids=[row[0] for row in ACCEPTED])
async def test_an_odd_but_whole_answer_arrives(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, path: str, body: bytes
) -> None:
    """What is only unusual is no error."""
    r = await client.get(fault.url + path)
    assert r.success, r.error
    assert r.content == body
    assert r.error is None
    assert r.hint is None


async def test_header_bytes_are_kept(client: nbhttp.AsyncHttpClient, fault: FaultServer) -> None:
    """Repeated fields stay apart, a folded one becomes one line, injected ones are what they are."""
    r = await client.get(fault.url + "/headers/dup")
    assert r.headers.get_list("x-a") == ["1", "2"]
    assert r.headers.get_list("set-cookie") == ["a=1", "b=2"]
    r = await client.get(fault.url + "/headers/obsfold")
    assert r.headers["x-fold"] == "one two three"
    r = await client.get(fault.url + "/chunked/trailer")
    assert "x-trailer" not in r.headers
    assert "from" not in client.cookies


async def test_no_answer_at_all_says_what_to_do(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """Refused, unknown host and the wrong scheme each have a hint of their own."""
    refused = await client.get(fault.refuse_url)
    assert type(refused.exception) is nbhttp.ConnectError
    assert "connection refused by 127.0.0.1" in (refused.error or "")
    assert "nothing listens there" in (refused.hint or "")
    unknown = await client.get("http://nohost.invalid/")
    assert type(unknown.exception) is nbhttp.ConnectError
    assert "unknown host 'nohost.invalid'" in (unknown.error or "")
    assert "spelling" in (unknown.hint or "")
    plain = await client.get(fault.tls_url.replace("https", "http"))
    assert type(plain.exception) in {nbhttp.ConnectError, nbhttp.ProtocolError}
    assert "scheme" in (plain.hint or "")


@pytest.mark.parametrize("port", [1, 65535])
async def test_a_closed_port_is_refused(client: nbhttp.AsyncHttpClient, port: int) -> None:
    """Ports at the edges are ports."""
    r = await client.get(f"http://127.0.0.1:{port}/")
    assert type(r.exception) is nbhttp.ConnectError


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/json/problem?status=400", "400 Bad Request: Nope: why (GET"),
        ("/status/404", "404 Not Found: injected (GET"),
        ("/json/html?status=502&ctype=text/html", "502 Bad Gateway (GET"),
        ("/headers/status?value=HTTP/1.1%20999%20X", "999 X (GET"),
        ("/status/503?retry_after=7", "503 Service Unavailable: injected (GET"),
    ],
)
async def test_an_error_status_carries_the_servers_explanation(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, path: str, words: str
) -> None:
    """4xx and 5xx are failures with the response at hand."""
    r = await client.get(fault.url + path)
    assert not r
    assert isinstance(r.exception, nbhttp.StatusError)
    assert (r.error or "").startswith(words)
    assert r.response is not None
    assert r.response.status_code == r.status_code == r.exception.status_code
    assert r.exception.result is r
    with pytest.raises(nbhttp.StatusError):
        r.raise_for_status()


async def test_an_upload_that_is_refused_early_gives_the_answer(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """A 413 sent before the body was read is the answer, also when the connection is reset."""
    for size in (1, 4_000_000):
        r = await client.post(fault.url + "/upload?early=1", content=b"x" * size)
        assert (r.status_code, r.success) == (413, False), r.error
    assert (await client.get(fault.url + "/echo")).success


async def test_the_client_goes_on_after_every_fault(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """No fault spoils the next request, and each was sent once."""
    for path, _, _ in REFUSED[:20]:
        await client.get(fault.url + path)
        assert (await client.get(fault.url + "/echo")).success
    echoes = fault.log(path="/echo")
    assert len(echoes) == 20


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_faults_are_the_same_on_trio(fault: FaultServer, anyio_backend: str) -> None:
    """Each fault is the same error there, and leaves the client usable."""
    async with nbhttp.AsyncHttpClient(trust_env=False, timeout=10.0) as client:
        for path, kind, text in REFUSED:
            r = await client.get(fault.url + path)
            assert type(r.exception) is kind, path
            assert text in (r.error or "")
        for path, body in ACCEPTED:
            assert (await client.get(fault.url + path)).content == body
        slow = await client.get(fault.url + "/conn/stall", timeout=0.3)
        assert type(slow.exception) is nbhttp.TimeoutError
        refused = await client.get(fault.refuse_url)
        assert "connection refused by" in (refused.error or "")
        unknown = await client.get("http://nohost.invalid/")
        assert "unknown host" in (unknown.error or "")
        untrusted = await client.get(fault.tls_url)
        assert "is not trusted" in (untrusted.error or "")
