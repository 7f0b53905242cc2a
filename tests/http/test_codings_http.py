"""Content codings over the wire: whole or an error, bounded memory, no bomb."""

import gzip
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from servers import FaultServer

import nbhttp

pytestmark = pytest.mark.anyio

TEXT = b'{"rows": [' + b"1," * 20_000 + b"1]}"
CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "GZIP": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstandard.compress(TEXT),
    "gzip, br": brotli.compress(gzip.compress(TEXT)),
    "identity": TEXT,
}


def answer(coding: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("coding", CODED)
async def test_each_coding_is_undone(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, coding: str
) -> None:
    """The content is the original; the response says so too, and keeps the field."""
    r = await client.get(fault.raw("/case", answer(coding, CODED[coding])))
    assert r.success, r.error
    assert r.content == TEXT
    assert r.response is not None
    assert r.response.content == TEXT
    assert r.response.json() == r.json()
    assert r.headers["content-encoding"] == coding
    async with client.stream("GET", fault.url + "/case") as live:
        assert b"".join([piece async for piece in live.aiter_bytes()]) == TEXT


async def test_bare_deflate_is_undone(client: nbhttp.AsyncHttpClient, fault: FaultServer) -> None:
    """Some servers send deflate without its wrapper."""
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(TEXT) + deflate.flush()
    assert (await client.get(fault.raw("/case", answer("deflate", body)))).content == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_half_a_coding_is_an_error(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, coding: str
) -> None:
    """A body that ends before its coding does is no success with less data."""
    body = CODED[coding]
    for cut in (1, len(body) // 2, len(body) - 1):
        r = await client.get(fault.raw("/case", answer(coding, body[:cut])))
        assert type(r.exception) is nbhttp.ProtocolError
        assert r.content == b""


async def test_an_answer_without_a_body_needs_no_coding(
    client: nbhttp.AsyncHttpClient, fault: FaultServer
) -> None:
    """HEAD and 304 carry the field and nothing to decode."""
    url = fault.raw("/case", answer("gzip", b""))
    assert (await client.head(url)).success
    assert (await client.get(url)).content == b""


@pytest.mark.parametrize("query", ["", "&enc=deflate", "&layers=2"])
async def test_a_bomb_is_stopped_early(make_client, fault: FaultServer, query: str) -> None:
    """What inflates past `max_body` fails before it fills memory."""
    client = make_client(max_body=1_000_000)
    tracemalloc.start()
    try:
        r = await client.get(f"{fault.url}/bomb?size=268435456{query}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(r.exception) is nbhttp.BodyTooLargeError
    assert r.content == b""
    assert peak < 16_000_000
    assert "download_file" in (r.hint or "")
    assert "stream_request" in (r.hint or "")


async def test_max_body_bounds_a_body(make_client, fault: FaultServer) -> None:
    """Counted as soon as it is announced or reached; the call's value replaces the client's."""
    client = make_client(max_body=1000)
    for query in ("", "?chunked=1", "?cl=none"):
        assert (await client.get(f"{fault.url}/file/a/1000{query}")).success
        r = await client.get(f"{fault.url}/file/a/1001{query}")
        assert type(r.exception) is nbhttp.BodyTooLargeError
        assert "1,000" in (r.error or "")
        assert (await client.get(f"{fault.url}/file/a/1001{query}", max_body=None)).success
        assert (await client.get(f"{fault.url}/file/a/1001{query}", max_body=1001)).success
    assert (await client.get(fault.url + "/file/a/0", max_body=0)).success
    assert (await client.head(fault.url + "/file/a/100000")).success
    assert client._state.gate.held == 0


@pytest.mark.parametrize("name", ["trunc", "html", "latin1", "empty", "bigint", "deep", "204"])
async def test_json_fails_in_one_way(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, name: str
) -> None:
    """Whatever the body is, `json()` raises DecodeError or gives the default."""
    r = await client.get(f"{fault.url}/json/{name}")
    with pytest.raises(nbhttp.DecodeError) as caught:
        r.json()
    assert isinstance(caught.value, ValueError)
    assert str(r.status_code) in str(caught.value)
    assert "not JSON" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert r.json(default=[]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bom", {"a": 1}),
        ("utf16", {"a": "é"}),
        ("dup", {"a": 2}),
        ("scalar", 42),
        ("surrogate", {"a": "\ud800", "b": "\0"}),
        ("problem", {"type": "about:blank", "title": "Nope", "status": 400, "detail": "why"}),
    ],
)
async def test_json_reads_what_is_json(
    client: nbhttp.AsyncHttpClient, fault: FaultServer, name: str, value: object
) -> None:
    """Marks, UTF-16, doubled keys and lone surrogates are read as the standard library does."""
    r = await client.get(f"{fault.url}/json/{name}")
    assert r.json() == value
    assert r.json() is r.json()
