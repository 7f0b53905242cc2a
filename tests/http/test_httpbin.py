"""httpx's own behaviours against a real httpbin: parameters, forms, files, JSON, auth, codings."""

import dataclasses
import datetime as dt
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio


# Parameters and base_url


async def test_params_of_client_call_and_url_are_merged(make_client, httpbin: str) -> None:
    """The call's replace the client's, and both replace those of the URL with the same name."""
    client = make_client(httpbin, params={"a": "client", "b": "client"})
    r = await client.get("/get?a=url&c=url&c=2", params={"b": "call", "d": [1, 2]})
    assert r.json()["args"] == {"a": "client", "b": "call", "c": ["url", "2"], "d": ["1", "2"]}


@pytest.mark.parametrize(
    "params",
    [
        {"a": "1", "b": 2, "c": 2.5, "d": True, "e": None, "f": ["x", "y"], "g": ()},
        [("a", "1"), ("a", "2"), ("b", "ü & = +/?#%")],
        "a=1&b=%20x",
        b"a=1",
        httpx.QueryParams({"a": "1"}),
        {"a b": "c d"},
        {},
    ],
    ids=repr,
)
async def test_params_are_encoded_as_in_httpx(make_client, httpbin: str, params) -> None:
    """Each form that httpx takes gives the same URL."""
    client = make_client()
    r = await client.get(httpbin + "/get", params=params)
    assert r.success
    assert r.url == str(httpx.Request("GET", httpbin + "/get", params=params).url)


async def test_a_url_is_sent_as_it_is(make_client, fault: FaultServer) -> None:
    """Without params of the same name, what the user wrote stays byte for byte."""
    client = make_client()
    for query in ("a=b;c&flag&x=%2F+%20", "sig=a%2Bb%3D&&=", "q=%e4"):
        r = await client.get(f"{fault.url}/echo?{query}")
        assert r.json()["target"] == f"/echo?{query}"
        r = await client.get(f"{fault.url}/echo?{query}", params={"new": "1"})
        assert r.json()["target"] == f"/echo?{query}&new=1"


# Bodies


async def test_a_form_arrives(make_client, httpbin: str) -> None:
    """`data=` is a form, of one value or several a name."""
    client = make_client(httpbin)
    r = await client.post("/post", data={"a": "1", "b": ["x", "y"], "c": "ü&="})
    assert r.json()["form"] == {"a": "1", "b": ["x", "y"], "c": "ü&="}
    assert r.json()["headers"]["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("data", "files"),
    [
        (None, {"f": b"bytes"}),
        (None, {"f": ("name.txt", b"bytes")}),
        (None, {"f": ('ü ".txt', b"bytes", "text/x-own")}),
        ({"a": "1", "b": ["2", "3"]}, {"f": ("n", b"bytes"), "g": ("m", b"\x00\xff")}),
        (None, [("f", ("1", b"one")), ("f", ("2", b"two"))]),
        (None, {"f": (None, b"a field")}),
        (None, {"f": ("n", "text")}),
        (None, {"f": ("n", b"x", "text/plain", {"X-Part": "1"})}),
    ],
)
async def test_multipart_has_httpxs_bytes(make_client, fault: FaultServer, data, files) -> None:
    """The body is byte for byte what httpx sends, with its length."""
    headers = {"Content-Type": "multipart/form-data; boundary=fixed"}
    expected = httpx.Request("POST", fault.url, data=data, files=files, headers=headers)
    r = await make_client().post(fault.url + "/echo", data=data, files=files, headers=headers)
    sent = {name.lower(): value for name, value in r.json()["headers"]}
    assert r.json()["body"].encode("latin-1") == expected.read()
    assert sent["content-length"] == expected.headers["content-length"]
    assert sent["content-type"] == expected.headers["content-type"]


async def test_files_are_read_from_disk(make_client, httpbin: str, tmp_path: Path) -> None:
    """Open files are uploaded, whole, with their names."""
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n1,2\n" * 1000)
    with path.open("rb") as file:
        r = await make_client(httpbin).post("/post", files={"f": file})
    assert r.json()["files"]["f"] == path.read_text()
    assert r.success


def blocks(count: int, size: int) -> Iterator[bytes]:
    for index in range(count):
        yield bytes([65 + index % 26]) * size


async def async_blocks(count: int, size: int) -> AsyncIterator[bytes]:
    for block in blocks(count, size):
        yield block


@pytest.mark.parametrize("size", [0, 1, 70_000])
async def test_streamed_bodies_arrive(make_client, fault: FaultServer, size: int) -> None:
    """Files have a length; iterators of either kind are sent in chunks; empty pieces end nothing."""
    client = make_client(fault.url)
    whole = b"".join(blocks(5, size))
    expected = await client.post("/upload", content=whole)
    for content in (
        io.BytesIO(whole),
        blocks(5, size),
        async_blocks(5, size),
        list(blocks(5, size)),
    ):
        r = await client.post("/upload", content=content)
        assert r.json()["sha256"] == expected.json()["sha256"]
        sent = {name.lower(): value for name, value in r.json()["headers"]}
        if isinstance(content, io.BytesIO):
            assert sent["content-length"] == str(len(whole))
        else:
            assert sent["transfer-encoding"] == "chunked"
    r = await client.post("/upload", content=whole, headers={"Transfer-Encoding": "chunked"})
    assert r.json()["sha256"] == expected.json()["sha256"]
    assert "content-length" not in {name.lower() for name, _ in r.json()["headers"]}


async def test_what_an_iterator_raises_reaches_the_caller(make_client, fault: FaultServer) -> None:
    """The user's own exception is the user's: it is raised, and the client goes on."""

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("mine")

    client = make_client(fault.url)
    with pytest.raises(LookupError, match="mine"):
        await client.post("/upload", content=broken())
    assert (await client.get("/echo")).success


@dataclasses.dataclass
class Point:
    x: int
    when: dt.datetime


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'),
        (Point(1, dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)), None),
        ({"n": np.float64(1.5), "a": np.arange(3)}, '{"n":1.5,"a":[0,1,2]}'),
        (2**70, "1180591620717411303424"),
        ({1: 2}, '{"1":2}'),
        ("text", '"text"'),
        (0, "0"),
        (False, "false"),
        ([], "[]"),
    ],
    ids=repr,
)
async def test_json_bodies(make_client, fault: FaultServer, value, text: str | None) -> None:
    """Dataclasses, times, NumPy, large integers and NaN go out as JSON."""
    r = await make_client(fault.url).post("/echo", json=value)
    body = r.json()["body"].encode("latin-1").decode("utf-8")
    assert ["Content-Type", "application/json"] in r.json()["headers"]
    if text is None:
        assert json.loads(body) == {"x": 1, "when": "2024-05-01T12:00:00+00:00"}
    else:
        assert body == text


async def test_text_and_bytes(make_client, fault: FaultServer) -> None:
    """`content=` takes either; a method without a body says so where servers want it."""
    client = make_client(fault.url)
    r = await client.post("/echo", content="ü")
    assert r.json()["body"].encode("latin-1").decode("utf-8") == "ü"
    assert not any(name == "Content-Type" for name, _ in r.json()["headers"])
    r = await client.post("/echo", content=b"\x00\xff")
    assert r.json()["body"] == "\x00\xff"
    assert not any(name == "Content-Type" for name, _ in r.json()["headers"])
    for method, length in (("POST", "0"), ("PUT", "0"), ("GET", None), ("DELETE", None)):
        r = await client.request(method, "/echo")
        assert dict(map(tuple, r.json()["headers"])).get("Content-Length") == length


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "head", "options"])
async def test_each_verb_is_its_method(make_client, fault: FaultServer, method: str) -> None:
    """The verbs send what they are called."""
    r = await getattr(make_client(fault.url), method)("/echo")
    assert r.success
    assert r.method == fault.log()[-1]["method"] == method.upper()


# Headers


async def test_headers_of_client_and_call(make_client, fault: FaultServer) -> None:
    """The call's replace the client's; several values a name and any case are kept."""
    client = make_client(fault.url, headers={"X-A": "client", "X-B": "client"})
    r = await client.get("/echo", headers=[("x-a", "1"), ("x-a", "2"), ("X-C", "ü")])
    sent = [tuple(row) for row in r.json()["headers"]]
    assert [value for name, value in sent if name.lower() == "x-a"] == ["1", "2"]
    assert ("X-B", "client") in sent
    assert ("X-C", "ü".encode().decode("latin-1")) in sent
    assert sent[0][0] == "Host"
    client.headers["X-B"] = "changed"
    r = await client.get("/echo")
    assert ["X-B", "changed"] in r.json()["headers"]
    assert any(n == "User-Agent" and v.startswith("nbhttp/") for n, v in r.json()["headers"])
    assert any(n == "Accept-Encoding" and "gzip" in v for n, v in r.json()["headers"])


# Authentication


@pytest.mark.parametrize("path", ["basic-auth/user/pass-word", "hidden-basic-auth/user/pass-word"])
async def test_basic_auth(make_client, httpbin: str, path: str) -> None:
    """A pair, an httpx.BasicAuth, the URL's userinfo: each signs in; None does not."""
    client = make_client()
    url = f"{httpbin}/{path}"
    assert (await client.get(url)).status_code in {401, 404}
    assert (await client.get(url, auth=("user", "pass-word"))).success
    assert (await client.get(url, auth=(b"user", b"pass-word"))).success
    assert (await client.get(url, auth=httpx.BasicAuth("user", "pass-word"))).success
    assert (await client.get(url.replace("://", "://user:pass-word@"))).success
    assert (await client.get(url, auth=("user", "wrong"))).status_code in {401, 404}
    signed = make_client(auth=("user", "pass-word"))
    assert (await signed.get(url)).success
    assert (await signed.get(url, auth=None)).status_code in {401, 404}


async def test_userinfo_is_decoded_and_never_shown(make_client, httpbin: str) -> None:
    """A percent-encoded password counts decoded; the result's URL has none."""
    client = make_client()
    url = f"{httpbin}/basic-auth/us@er/p%C3%A4ss%2Fword"
    r = await client.get(
        url.replace("://", "://us%40er:p%C3%A4ss%2Fword@").replace("%2Fword", "%2Fword")
    )
    assert "@127" not in r.url
    assert "p%C3%A4ss%2Fword@" not in repr(r)
    assert r.response is not None
    assert "@127" not in str(r.response.request.url)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("qop", ["auth", "undefined"])
async def test_digest_auth(make_client, httpbin: str, qop: str, algorithm: str) -> None:
    """httpx.DigestAuth answers the challenge; the body goes along again."""
    url = f"{httpbin}/digest-auth/{qop}/user/pass-word/{algorithm}"
    client = make_client(auth=httpx.DigestAuth("user", "pass-word"))
    assert (await client.get(url)).success
    assert (await client.get(url)).success
    wrong = await make_client().get(url, auth=httpx.DigestAuth("user", "wrong"))
    assert wrong.status_code == 401


async def test_bearer_token(make_client, httpbin: str) -> None:
    """A header is enough for a token."""
    client = make_client(httpbin, headers={"Authorization": "Bearer token-123456"})
    assert (await client.get("/bearer")).json()["token"] == "token-123456"
    assert (await client.get("/bearer", headers={"Authorization": ""})).status_code == 401


async def test_netrc_auth(make_client, httpbin: str, tmp_path: Path) -> None:
    """httpx.NetRCAuth signs in on the host of the file, and nowhere else."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password pass-word\n")
    client = make_client(auth=httpx.NetRCAuth(str(netrc)))
    assert (await client.get(f"{httpbin}/basic-auth/user/pass-word")).success
    elsewhere = httpbin.replace("127.0.0.1", "localhost")
    assert (await client.get(f"{elsewhere}/basic-auth/user/pass-word")).status_code == 401


async def test_auth_functions_and_own_schemes(
    make_client, httpbin: str, fault: FaultServer
) -> None:
    """A function of the request, and a scheme that reads the answer, work."""

    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["X-Signature"] = f"{request.method} {request.url.path}"
        return request

    r = await make_client(httpbin, auth=sign).get("/headers")
    assert r.json()["headers"]["X-Signature"] == "GET /headers"

    class Handshake(httpx.Auth):
        requires_request_body = True
        requires_response_body = True

        def auth_flow(self, request: httpx.Request):
            seen = len(request.content)
            response = yield httpx.Request("GET", httpbin + "/uuid")
            request.headers["X-Token"] = f"{seen} {len(response.json()['uuid'])}"
            yield request

    for body in (b"12345", [b"123", b"45"], blocks(5, 1)):
        r = await make_client(fault.url, auth=Handshake()).post("/echo", content=body)
        assert ["X-Token", "5 36"] in r.json()["headers"]
        assert len(r.json()["body"]) == 5

    def forgetful(request: httpx.Request) -> None:
        request.headers["X-Signature"] = "1"

    with pytest.raises(TypeError, match="returns the request"):
        await make_client(httpbin, auth=forgetful).get("/headers")


async def test_an_iterator_cannot_answer_a_challenge(make_client, fault: FaultServer) -> None:
    """The second request of a digest needs the body once more: bytes have it, an iterator not."""
    challenge = (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n"
        b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n\r\n'
    )
    url = fault.raw("/case", challenge, keep=1)
    auth = httpx.DigestAuth("user", "pass-word")
    r = await make_client().post(url, content=blocks(2, 10), auth=auth)
    assert type(r.exception) is nbhttp.ProtocolError
    assert "iterator" in (r.error or "")
    assert len(fault.log()) == 1
    r = await make_client().post(url, content=io.BytesIO(b"abc"), auth=auth)
    assert r.status_code == 401
    assert [row["body_len"] for row in fault.log()] == [20, 3, 3]


# Codings and the rest


@pytest.mark.parametrize("path", ["gzip", "deflate", "brotli"])
async def test_httpbins_codings(make_client, httpbin: str, path: str) -> None:
    """What httpbin compresses arrives as JSON; headers tell what was sent."""
    r = await make_client(httpbin).get(f"/{path}")
    assert r.success, r.error
    assert r.json()[{"gzip": "gzipped", "deflate": "deflated"}.get(path, path)] is True
    assert r.headers["content-encoding"] == {"brotli": "br"}.get(path, path)
    assert r.response is not None
    assert r.response.json() == r.json()
    assert r.response.headers["content-encoding"] == r.headers["content-encoding"]


async def test_httpbins_texts(make_client, httpbin: str) -> None:
    """UTF-8, HTML, an image and chunks are what they are."""
    client = make_client(httpbin)
    assert "∮ E⋅da = Q" in (await client.get("/encoding/utf8")).text
    assert (await client.get("/html")).content_type == "text/html"
    assert (await client.get("/image/png")).content.startswith(b"\x89PNG")
    assert len((await client.get("/stream-bytes/100000?seed=1")).content) == 100_000
    assert len((await client.get("/stream/3")).text.splitlines()) == 3
    assert (await client.get("/redirect/3")).url == httpbin + "/get"
    assert (await client.get("/status/418")).status_code == 418
    assert (await client.get("/cookies/set?a=1")).json() == {"cookies": {"a": "1"}}
    assert (await client.get("/cookies/delete?a=")).json() == {"cookies": {}}
