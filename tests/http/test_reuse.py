"""A connection carries one answer after the other, and never a forged one."""

import anyio
import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FORGED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


def connections_of(fault: FaultServer) -> list[int]:
    return [row["conn"] for row in fault.log()]


async def until(fault: FaultServer, path: str, claim: str) -> None:
    """Let the loop go on until the server says it of all requests for `path`."""
    await anyio.to_thread.run_sync(
        lambda: fault.wait_for(lambda rows: all(row[claim] for row in rows), path=path)
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_is_reused(make_client, fault: FaultServer, scheme: str) -> None:
    """Requests one after the other share a connection."""
    client = make_client(verify=str(fault.ca_file))
    url = fault.url if scheme == "http" else fault.tls_url
    for method in ("GET", "HEAD", "POST", "GET"):
        assert (await client.request(method, url + "/echo")).success
    assert len(set(connections_of(fault))) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("path", ["/conn/extra", "/conn/extra?method=HEAD"])
async def test_bytes_after_the_body_are_no_answer(
    make_client, fault: FaultServer, scheme: str, path: str
) -> None:
    """What follows a complete body is never read as the answer to the next request."""
    client = make_client(verify=str(fault.ca_file))
    url = fault.url if scheme == "http" else fault.tls_url
    for _ in range(3):
        first = await client.get(url + path)
        assert first.content == b"ok"
        second = await client.get(url + "/echo")
        assert second.success
        assert second.json()["method"] == "GET"


async def test_bytes_after_a_head_answer_are_no_answer(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """The answer to HEAD has no body: what follows it belongs to nobody."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
    url = fault.raw("/case", head + FORGED, keep=1)
    for _ in range(3):
        assert (await client.head(url)).success
        echo = await client.get(fault.url + "/echo")
        assert echo.json()["target"] == "/echo"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_bytes_after_an_answer_without_body_are_no_answer(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, status: bytes
) -> None:
    """204 and 304 end with their head, whatever Content-Length says."""
    url = fault.raw(
        "/case", b"HTTP/1.1 " + status + b"\r\nContent-Length: 6\r\n\r\n" + FORGED, keep=1
    )
    for _ in range(3):
        r = await client.get(url)
        assert r.status_code == int(status[:3])
        assert r.content == b""
        assert (await client.get(fault.url + "/echo")).json()["target"] == "/echo"


async def test_late_bytes_are_no_answer(client: nbhttp.AsyncHttpClient, fault: FaultServer) -> None:
    """Bytes that come while the connection is idle end it."""
    url = fault.raw("/case", PLAIN + FORGED, keep=1, step=len(PLAIN), delay=50)
    for _ in range(3):
        assert (await client.get(url)).content == b"ok"
        await until(fault, "/case", "answered")  # the forged one has gone out as well
        assert (await client.get(fault.url + "/echo")).json()["target"] == "/echo"


async def test_a_connection_that_died_while_idle_is_replaced(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """A server may close an idle connection; the next request goes over a new one, once."""
    for method in ("GET", "PUT", "GET"):
        assert (await client.get(fault.url + "/conn/die")).success
        await until(fault, "/conn/die", "closed")
        assert (await client.request(method, fault.url + "/echo")).success
    assert len(fault.log(path="/echo")) == 3


async def test_a_post_is_never_sent_twice(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """When the connection breaks under a POST, nobody knows whether it was done."""
    assert (await client.get(fault.url + "/echo")).success
    r = await client.post(fault.url + "/conn/empty", content=b"once")
    assert isinstance(r.exception, nbhttp.ConnectError)
    assert len(fault.log(path="/conn/empty")) == 1


async def test_a_connection_expires(make_client, fault: FaultServer) -> None:
    """After `keepalive_expiry` seconds of idleness another connection is opened."""
    client = make_client(keepalive_expiry=0.05)
    await client.get(fault.url + "/echo")
    await anyio.sleep(0.2)  # four times as long
    await client.get(fault.url + "/echo")
    assert len(set(connections_of(fault))) == 2


async def test_close_in_the_answer_is_obeyed(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """`Connection: close` means that this was the last answer there."""
    url = fault.raw("/case", PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), keep=1)
    for _ in range(3):
        assert (await client.get(url)).content == b"ok"
    assert len(set(connections_of(fault))) == 3


async def test_a_client_is_usable_after_it_was_closed(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """Closing ends connections, not the client."""
    await client.get(fault.url + "/echo")
    await client.aclose()
    assert (await client.get(fault.url + "/echo")).success
    assert len(set(connections_of(fault))) == 2
