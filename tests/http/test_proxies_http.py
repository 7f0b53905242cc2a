"""Proxies, mounts, custom transports and hooks."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio


class Proxy:
    """A small forward proxy: CONNECT, and requests in absolute form; notes what it saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fields: list[dict[str, str]] = []
        self.password: str | None = None
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = head.strip().split("\r\n")
            method, target, _ = line.split(" ")
            self.seen.append(f"{method} {target}")
            self.fields.append(dict(f.lower().split(": ", 1) for f in fields))
            given = dict(f.split(": ", 1) for f in fields).get("Proxy-Authorization", "")
            if self.password and base64.b64encode(self.password.encode()).decode() not in given:
                writer.write(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
                )
            elif method == "CONNECT":
                await self.tunnel(target, b"", reader, writer, b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                url = httpx.URL(target)
                start = head.replace(target, url.raw_path.decode(), 1).encode("latin-1")
                start = start.replace(b"Connection: keep-alive", b"Connection: close")
                await self.tunnel(f"{url.host}:{url.port}", start, reader, writer, b"")
        writer.close()

    async def tunnel(
        self,
        target: str,
        start: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        greeting: bytes,
    ) -> None:
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(greeting)
        back.write(start)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, back), copy(there, writer))


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(made.handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def client_with(**options) -> nbhttp.AsyncHttpClient:
    return nbhttp.AsyncHttpClient(**{"trust_env": False, "timeout": 10.0} | options)


@pytest.mark.parametrize("form", [str, httpx.URL, httpx.Proxy])
async def test_a_proxy_carries_both_schemes(proxy: Proxy, fault: FaultServer, form) -> None:
    """Http in absolute form, https through a tunnel."""
    async with client_with(proxy=form(proxy.url), verify=str(fault.ca_file)) as client:
        assert (await client.get(fault.url + "/echo?a=1")).success
        assert (await client.get(fault.tls_url + "/echo")).success
    port = fault.ports["tls_port"]
    assert proxy.seen == [f"GET {fault.url}/echo?a=1", f"CONNECT 127.0.0.1:{port}"]


async def test_a_proxys_password(proxy: Proxy, fault: FaultServer) -> None:
    """It goes to the proxy alone; a wrong one is an error that does not show it."""
    proxy.password = "user:pass-word"
    good = proxy.url.replace("://", "://user:pass-word@")
    async with client_with(proxy=good, verify=str(fault.ca_file)) as client:
        r = await client.get(fault.tls_url + "/echo")
        assert r.success, r.error
        assert "proxy-authorization" not in {n.lower() for n, _ in r.json()["headers"]}
    bad = proxy.url.replace("://", "://user:wrong-word@")
    async with client_with(proxy=bad, verify=str(fault.ca_file)) as client:
        r = await client.get(fault.tls_url + "/echo")
        assert type(r.exception) is nbhttp.ConnectError
        assert "proxy refused" in (r.error or "")
        assert "407" in (r.error or "")
        assert "credentials" in (r.hint or "")
        assert "wrong-word" not in f"{r.error}{r.hint}{r!r}"
        assert (await client.get(fault.url + "/echo")).status_code == 407


def over(how: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Return the options of a client that goes over `proxy`, which is named in one of the ways."""
    if how == "environment":
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        return {"trust_env": True}
    if how == "mounts":
        return {"mounts": {"all://": httpx.AsyncHTTPTransport(proxy=proxy, trust_env=False)}}
    return {"proxy": proxy}


@pytest.mark.parametrize("how", ["proxy", "environment", "mounts"])
@pytest.mark.parametrize("target", ["http://api.test.invalid/", "https://api.test.invalid/"])
async def test_a_dead_proxy_is_blamed_itself(
    fault: FaultServer, how: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens where the proxy should be, or no host has its name."""
    for proxy, said in (
        (fault.refuse_url, "connection refused by the proxy 127.0.0.1:"),
        ("http://noproxy.invalid:9", "unknown proxy 'noproxy.invalid'"),
    ):
        secret = proxy.replace("://", "://user:pass-word@")
        async with client_with(**over(how, secret, monkeypatch)) as client:
            r = await client.get(target)
            assert type(r.exception) is nbhttp.ConnectError
            assert said in (r.error or "")
            assert "HTTPS_PROXY" in (r.hint or "")
            assert "pass-word" not in f"{r.error}{r.hint}{r!r}"
    assert fault.log() == []


async def test_a_dead_proxy_of_downloads_and_streams(fault: FaultServer, tmp_path) -> None:
    """They are told the same."""
    said = "connection refused by the proxy 127.0.0.1:"
    async with client_with(proxy=fault.refuse_url) as client:
        got = await client.download_file(fault.url + "/echo", tmp_path / "x", max_attempts=1)
        assert said in (got.error or "")
        with pytest.raises(nbhttp.ConnectError, match=said):
            await anext(aiter(client.lines(fault.url + "/echo")))


@pytest.mark.parametrize("how", ["proxy", "mounts"])
async def test_a_proxy_that_does_not_answer_is_named(
    fault: FaultServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit passed while it was asked for a tunnel; nothing had reached the target."""
    options = over(how, fault.blackhole_url, monkeypatch)
    async with client_with(**options, timeout=0.5) as client:
        r = await client.get("https://api.test.invalid/")
        assert type(r.exception) is nbhttp.TimeoutError
        assert "passed while waiting for an answer of the proxy 127.0.0.1:" in (r.error or "")
        # Over http a proxy and its target cannot be told apart.
        r = await client.get("http://api.test.invalid/")
        assert "passed while waiting for the first byte" in (r.error or "")


@contextlib.asynccontextmanager
async def answering(what: bytes) -> AsyncIterator[str]:
    """A server that answers whatever comes with these bytes, and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(what)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_proxys_scheme_is_put_right(fault: FaultServer) -> None:
    """HTTPS_PROXY=https://… for a proxy that is spoken to in plain: it answers so, or waits."""
    silent = fault.blackhole_url.removeprefix("http://")
    async with answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as plain:
        for proxy, said in (
            (plain, f"TLS with the proxy {plain} failed"),
            (silent, f"in the TLS handshake with the proxy {silent}"),
        ):
            async with client_with(proxy=f"https://{proxy}", timeout=2) as client:
                r = await client.get("https://api.test.invalid/")
                assert said in (r.error or "")
                assert "write its address with http://" in (r.hint or "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection before answering"),
        (b"SSH-2.0-x\r\n\r\n", "does not answer as a proxy"),
    ],
)
async def test_what_is_no_proxy_is_told(answer: bytes, said: str) -> None:
    """A server that closes at once, and one that speaks something else than HTTP."""
    async with answering(answer) as where, client_with(proxy=f"http://{where}") as client:
        r = await client.get("https://api.test.invalid/")
        assert isinstance(r.exception, nbhttp.RequestError)
        assert f"the proxy {where} {said}" in (r.error or "")
        assert "HTTPS_PROXY" in (r.hint or "")


@pytest.mark.parametrize("how", ["proxy", "mounts"])
async def test_a_target_behind_a_proxy_is_blamed_itself(
    proxy: Proxy, fault: FaultServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS goes through the tunnel, and so does the request."""
    async with client_with(**over(how, proxy.url, monkeypatch)) as client:
        r = await client.get(fault.tls_url + "/echo")
        assert "the TLS certificate of 127.0.0.1:" in (r.error or "")
        r = await client.get(fault.blackhole_url, timeout=0.5)
        assert "passed while waiting for the first byte of the answer" in (r.error or "")


async def test_the_environments_proxies(
    proxy: Proxy, fault: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`trust_env` reads HTTP_PROXY and its kin when the client is made; NO_PROXY excepts."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    async with client_with(trust_env=True) as client:
        r = await client.get(fault.url + "/echo")
        assert r.success
        assert r.engine_reason == "proxies are spoken by httpx only"
        assert r.engine_reason in client.engine_report()
    assert len(proxy.seen) == 1
    for value, number in (
        ("127.0.0.1", 0),
        ("other.example", 1),
        (f"127.0.0.1:{fault.ports['port']}", 0),
        ("*", 0),
    ):
        proxy.seen.clear()
        monkeypatch.setenv("no_proxy", value)
        async with client_with(trust_env=True) as client:
            assert (await client.get(fault.url + "/echo")).success
        assert len(proxy.seen) == number, value
    proxy.seen.clear()
    monkeypatch.delenv("no_proxy")
    async with client_with(trust_env=False) as client:
        assert (await client.get(fault.url + "/echo")).success
    monkeypatch.setenv("http_proxy", proxy.url.removeprefix("http://"))
    async with client_with(trust_env=True) as client:
        assert (await client.get(fault.url + "/echo")).success
    assert len(proxy.seen) == 1


async def test_the_direct_engine_says_what_it_cannot(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy from the environment and `engine="direct"` exclude each other."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    async with client_with(trust_env=True, engine="direct") as client:
        with pytest.raises(nbhttp.ConfigError, match="proxies are spoken by httpx only"):
            await client.get("http://127.0.0.1:1/")


# Transports and mounts


def app(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/redirect":
        return httpx.Response(302, headers={"Location": "/json"})
    if request.url.path == "/boom":
        raise httpx.ConnectError("boom", request=request)
    if request.url.path == "/slow":
        raise httpx.ReadTimeout("slow", request=request)
    if request.url.path == "/bug":
        raise LookupError("a bug in the mock")
    body = {"path": request.url.path, "method": request.method, "host": request.url.host}
    return httpx.Response(200, json=body, headers={"Set-Cookie": "a=1"})


async def test_a_mock_transport_takes_every_request() -> None:
    """Redirects, cookies and errors mean the same there."""
    async with client_with(transport=httpx.MockTransport(app)) as client:
        r = await client.get("https://mock.example/redirect")
        assert r.json() == {"path": "/json", "method": "GET", "host": "mock.example"}
        assert client.cookies["a"] == "1"
        r = await client.get("https://mock.example/boom")
        assert type(r.exception) is nbhttp.ConnectError
        assert "boom" in (r.error or "")
        r = await client.get("https://mock.example/slow")
        assert type(r.exception) is nbhttp.TimeoutError
        with pytest.raises(LookupError, match="a bug"):
            await client.get("https://mock.example/bug")
        r = await client.post("https://mock.example/json", content=[b"a"])
        assert r.json()["method"] == "POST"
        assert (r.engine, r.engine_reason) == ("transport", "a custom transport serves it")


async def test_an_asgi_app() -> None:
    """An app is asked without a socket, body and query included."""

    async def asgi(scope, receive, send) -> None:
        message = await receive()
        body = scope["query_string"] + b" " + message["body"]
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with client_with(transport=httpx.ASGITransport(asgi)) as client:
        r = await client.post("http://app/x?q=1", content=b"body")
        assert (r.status_code, r.content) == (201, b"q=1 body")


async def test_mounts_choose_by_the_most_specific_pattern(fault: FaultServer) -> None:
    """As httpx has it; None there means the plain connection."""

    def named(name: str) -> httpx.MockTransport:
        return httpx.MockTransport(lambda _: httpx.Response(200, text=name))

    mounts = {
        "all://": named("all"),
        "https://": named("https"),
        "all://*.example.org": named("sub"),
        "http://a.example.org": named("a"),
        "http://a.example.org:81": named("port"),
        "all://*b.example": named("both"),
        fault.url: None,
    }
    expected = {
        "http://x/": "all",
        "https://x/": "https",
        "http://y.example.org/": "sub",
        "http://example.org/": "all",
        "http://a.example.org/": "a",
        "http://a.example.org:81/": "port",
        "http://b.example/": "both",
        "http://c.b.example/": "both",
    }
    async with client_with(mounts=mounts) as client:
        for url, name in expected.items():
            assert (await client.get(url)).text == name, url
        assert (await client.get(fault.url + "/echo")).json()["target"] == "/echo"
    plain = httpx.AsyncClient(mounts=mounts, trust_env=False)
    async with plain:
        for url, name in expected.items():
            assert (await plain.get(url)).text == name, url


# Hooks


async def test_event_hooks_see_requests_and_responses(fault: FaultServer) -> None:
    """They may be plain or async, change the request, and are told of redirects too."""
    seen: list[str] = []

    async def on_request(request: httpx.Request) -> None:
        seen.append(f"> {request.url.path}")
        request.headers["X-Hook"] = "was here"

    def on_response(response: httpx.Response) -> None:
        seen.append(f"< {response.status_code} {response.request.url.path}")

    for engine in ("httpx", "direct"):
        seen.clear()
        hooks = {"request": [on_request], "response": [on_response]}
        async with client_with(event_hooks=hooks, engine=engine) as client:
            r = await client.get(fault.url + "/redirect/n/1")
        assert seen == ["> /redirect/n/1", "< 302 /redirect/n/1", "> /echo", "< 200 /echo"]
        assert ["X-Hook", "was here"] in r.json()["headers"]


async def test_what_a_hook_raises_reaches_the_caller(fault: FaultServer) -> None:
    """It is the user's own exception."""

    def strict(response: httpx.Response) -> None:
        response.raise_for_status()

    for engine in ("httpx", "direct"):
        async with client_with(event_hooks={"response": [strict]}, engine=engine) as client:
            with pytest.raises(httpx.HTTPStatusError):
                await client.get(fault.url + "/status/404")
            assert (await client.get(fault.url + "/echo")).success
            assert client._state.gate.held == 0


async def test_the_trace_extension(make_client_over_httpx, fault: FaultServer) -> None:
    """Httpcore's trace callback of the user's is called besides ours."""
    names: list[str] = []

    async def trace(name: str, info: dict) -> None:
        names.append(name)

    r = await make_client_over_httpx().get(fault.url + "/echo", extensions={"trace": trace})
    assert r.success
    assert "connection.connect_tcp.started" in names
    assert r.timing.wait > 0


@pytest.fixture
def make_client_over_httpx():
    return lambda: client_with(engine="httpx")
