"""A connection that is used again carries nothing over from the answer before."""

import pytest
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio


def answer(fault: FaultServer, text: str, kind: str = "text/plain") -> str:
    """Have the server send head and body in one piece and keep the connection; return the URL."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
    return fault.raw(f"/raw/{text}", (head + text).encode(), keep=1)


async def test_an_unread_body_does_not_reach_the_next_answer(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """A stream that is left before its body is read, though it has come, is forgotten."""
    first, second, third = (answer(fault, text) for text in ("first", "second", "third"))
    async with client.stream("GET", first) as response:
        assert response.status_code == 200
    async with client.stream("GET", second) as response:
        assert await response.aread() == b"second"
    async with client.stream("GET", first):
        pass
    assert (await client.get(third)).text == "third"


async def test_a_refused_stream_does_not_reach_the_next_one(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """The page that came instead of events is not taken for the next stream's body."""
    page, lines = answer(fault, "page", "text/html"), answer(fault, "lines")
    with pytest.raises(nbhttp.UnexpectedContentTypeError):
        [event async for event in client.sse(page)]
    assert [line async for line in client.lines(lines)] == ["lines"]
