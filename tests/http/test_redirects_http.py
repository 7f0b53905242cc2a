"""Redirections over real connections: methods, limits, where they may lead, what goes along."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from servers import FaultServer

import nbhttp
from nbhttp.redaction import is_credential_name

pytestmark = pytest.mark.anyio

NAMES = json.loads(
    (Path(__file__).parents[1] / "corpora" / "secrets" / "names.json").read_text("utf-8")
)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_methods_change_as_in_httpx(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, status: int
) -> None:
    """POST becomes GET where it does in browsers; 307 and 308 keep method and body."""
    url = f"{fault.url}/redirect/n/1?status={status}"
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as plain:
        for method in METHODS:
            body = b"data" if method in {"POST", "PUT", "PATCH"} else None
            theirs = await plain.request(method, url, content=body)
            ours = await client.request(method, url, content=body)
            assert ours.method == theirs.request.method
            assert ours.status_code == 200
            if method != "HEAD":
                assert ours.json()["method"] == theirs.json()["method"]
                assert ours.json()["body"] == theirs.json()["body"]
            row = ours.redirects[0]
            assert (row.status_code, row.method, row.url) == (status, method, url)
            assert row.location == ours.url == fault.url + "/echo"


async def test_history_and_the_final_answer(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """The result tells each step, and so does its response."""
    r = await client.get(fault.url + "/redirect/n/3")
    assert r.success
    assert [row.status_code for row in r.redirects] == [302, 302, 302]
    assert isinstance(r.redirects, tuple)
    assert r.url == fault.url + "/echo"
    assert r.response is not None
    assert [h.status_code for h in r.response.history] == [302, 302, 302]
    assert r.response.history[0].json() == {"to": "/redirect/n/2"}
    assert str(r.response.url) == r.url


async def test_redirects_are_not_followed_when_told_so(make_client, fault: FaultServer) -> None:
    """The redirecting answer itself is the result: for one call, or for the client."""
    client = make_client(follow_redirects=False)
    url = fault.url + "/redirect/n/1"
    r = await client.get(url)
    assert r.success
    assert r.status_code == 302
    assert r.headers["location"] == "/echo"
    assert r.redirects == ()
    assert (await client.get(url, follow_redirects=True)).status_code == 200
    assert (await make_client().get(url, follow_redirects=False)).status_code == 302


@pytest.mark.parametrize("most", [0, 1, 4])
async def test_max_redirects_counts_as_in_httpx(make_client, fault: FaultServer, most: int) -> None:
    """`max_redirects` are followed, one more is an error."""
    client = make_client(max_redirects=most)
    if most:
        assert (await client.get(f"{fault.url}/redirect/n/{most}")).success
    r = await client.get(f"{fault.url}/redirect/n/{most + 1}")
    assert type(r.exception) is nbhttp.TooManyRedirectsError
    assert f"more than {most} redirects" in (r.error or "")
    assert len(r.redirects) == most


@pytest.mark.parametrize(
    "location",
    [
        "/echo",
        "../echo",
        "../a/../echo?x=1",
        "//127.0.0.1:{port}/echo",
        "http:/echo",
        "?again=1&loc=%2Fecho",
        "/echo#part",
        "/e%63ho",
        "/echo?q=ü",
        "/echo?q=a b",
        "",
    ],
)
async def test_relative_locations_lead_where_httpx_goes(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, location: str
) -> None:
    """Relative references resolve against the URL that was asked (RFC 3986 section 5)."""
    location = location.format(port=fault.ports["port"])
    url = f"{fault.url}/redirect/relative?loc={quote(location)}"
    async with httpx.AsyncClient(trust_env=False) as plain:
        answer = await plain.get(url)
        following = answer.next_request
    assert following is not None
    r = await client.get(url, follow_redirects=False)
    assert r.headers["location"] == answer.headers["location"]
    await client.get(url)
    asked = [row["target"] for row in fault.log()]
    assert following.url.raw_path.decode("ascii") in asked


@pytest.mark.parametrize("status", [301, 303, 308])
@pytest.mark.parametrize("path", ["/redirect/other", "/redirect/host", "/redirect/userinfo"])
async def test_credentials_stay_on_their_origin(
    make_client, fault: FaultServer, path: str, status: int
) -> None:
    """No field with a credential's name, no auth and no cookie follows to another origin."""
    names = [n for n in NAMES["headers_must_redact"] if n.lower() != "authorization"]
    assert all(map(is_credential_name, names))
    for auth in (("user", "pass-word"), httpx.DigestAuth("user", "pass-word"), None):
        fault.reset()
        headers = {name: f"canary-{i:03}" for i, name in enumerate(names)}
        headers |= {"X-Kept": "kept", "Accept": "text/x-kept"}
        if auth is None:
            headers["Authorization"] = "Bearer canary-token"
        client = make_client(headers=headers, auth=auth, cookies={"sid": "canary-client"})
        r = await client.get(f"{fault.url}{path}?status={status}", cookies={"own": "canary-call"})
        assert r.success
        first, second = fault.log()
        sent = {name.lower(): value for name, value in second["headers"]}
        assert "canary" not in json.dumps(second)
        assert "authorization" not in sent
        assert sent["x-kept"] == "kept"
        assert sent["accept"] == "text/x-kept"
        assert sent["host"] == r.url.split("/")[2]
        assert "sid=canary-client" in json.dumps(first)


async def test_credentials_stay_off_plain_http(make_client, fault: FaultServer) -> None:
    """From https to http, nothing secret goes along, and the hint says why access is denied."""
    client = make_client(
        headers={"X-Api-Key": "canary-key"},
        auth=("user", "pass-word"),
        cookies={"sid": "canary-client"},
        verify=str(fault.ca_file),
    )
    for target in ("/echo", "/auth/basic/user/pass-word"):
        to = quote(fault.url + target)
        r = await client.get(f"{fault.tls_url}/redirect/to?url={to}")
        second = fault.log(server="main")[-1]
        assert "canary" not in json.dumps(second)
        assert "authorization" not in {name.lower() for name, _ in second["headers"]}
    assert r.status_code == 401
    assert "credentials do not follow" in (r.hint or "")


async def test_credentials_do_not_come_back(make_client, fault: FaultServer) -> None:
    """A way out and back again does not carry them either."""
    back = quote(f"/redirect/to?url={quote(fault.url + '/echo')}")
    client = make_client(headers={"X-Api-Key": "canary-key"}, auth=("u", "pass-word"))
    await client.get(f"{fault.url}/redirect/other?path={back}")
    rows = fault.log()
    assert len(rows) == 3
    assert "canary" in json.dumps(rows[0])
    assert "canary" not in json.dumps(rows[1:])


async def test_credentials_go_along_on_the_same_origin(make_client, fault: FaultServer) -> None:
    """Within an origin everything goes along, a Host of one's own too."""
    client = make_client(
        headers={"X-Api-Key": "k-123456", "Host": "virtual.example"},
        auth=("user", "pass-word"),
        cookies={"sid": "s-123456"},
    )
    r = await client.get(fault.url + "/redirect/n/2")
    sent = {name.lower(): value for name, value in r.json()["headers"]}
    assert sent["x-api-key"] == "k-123456"
    assert sent["authorization"].startswith("Basic ")
    assert sent["cookie"] == "sid=s-123456"
    assert sent["host"] == "virtual.example"


async def test_userinfo_in_a_location_is_dropped(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """A server cannot make the client sign in somewhere."""
    r = await client.get(fault.url + "/redirect/userinfo")
    assert r.success
    assert "evil" not in r.url
    assert "authorization" not in {n.lower() for n, _ in r.json()["headers"]}


@pytest.mark.parametrize("status", [307, 308])
async def test_bodies_are_sent_again(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, status: int, tmp_path: Path
) -> None:
    """Bytes, open files from where they stood, and lists go along; an iterator cannot."""
    url = f"{fault.url}/redirect/n/1?status={status}"
    assert (await client.post(url, content=b"abc")).json()["body"] == "abc"
    assert (await client.post(url, json={"a": 1})).json()["body"] == '{"a":1}'
    file = io.BytesIO(b"skipped abc")
    file.seek(8)
    assert (await client.post(url, content=file)).json()["body"] == "abc"
    path = tmp_path / "f"
    path.write_bytes(b"skipped abc")
    with path.open("rb") as opened:
        opened.seek(8)
        assert (await client.post(url, content=opened)).json()["body"] == "abc"
    assert (await client.post(url, content=[b"a", b"bc"])).json()["body"] == "abc"
    r = await client.post(url, files={"f": ("n", io.BytesIO(b"abc"))})
    assert "abc" in r.json()["body"]


def pieces() -> Iterator[bytes]:
    yield b"a"
    yield b"b"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


@pytest.mark.parametrize("make", [pieces, async_pieces])
async def test_an_iterator_is_not_sent_again(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, make
) -> None:
    """A consumed body is an error, never an empty request; a GET has none to send."""
    r = await client.post(f"{fault.url}/redirect/n/1?status=307", content=make())
    assert type(r.exception) is nbhttp.ProtocolError
    assert "iterator" in (r.error or "")
    assert "bytes or an open file" in (r.hint or "")
    assert len(fault.log()) == 1
    r = await client.post(f"{fault.url}/redirect/n/1?status=303", content=make())
    assert r.json()["method"] == "GET"
    sent = {name.lower() for name, _ in r.json()["headers"]}
    assert not sent & {"content-type", "content-length", "transfer-encoding"}


async def test_a_cookie_set_on_the_way_is_sent_on(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """Cookies that a redirecting answer sets count for the next request."""
    r = await client.get(fault.url + "/redirect/n/1?cookie=1&path=/cookies")
    assert "redir=secret" in json.dumps(fault.log()[-1]["headers"])
    assert r.success
