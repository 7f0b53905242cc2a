"""curl's and llhttp's own test answers, played byte by byte."""

import asyncio
import base64
import contextlib
import io
import json
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from servers import FaultServer

import nbhttp
from nbhttp import HttpClient

pytestmark = pytest.mark.anyio

CORPUS = Path(__file__).parents[1] / "corpora" / "http_responses"


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (CORPUS / name).read_text("utf-8").split("\n") if line]


CURL = rows("curl_cases.jsonl")
LLHTTP = rows("llhttp_cases.jsonl")


@contextlib.asynccontextmanager
async def playing(row: dict) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve the case's replies in turn, one a connection; give the URL and what was asked."""
    replies = [base64.b64decode(text) for text in row["replies_b64"].values()]
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        reply = replies[min(len(asked), len(replies) - 1)]
        asked.append(head.split(b" ")[1].decode("ascii"))
        port = b":%d/" % server.sockets[0].getsockname()[1]
        with contextlib.suppress(ConnectionError):
            writer.write(reply.replace(b":47990/", port))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.mark.parametrize("row", CURL, ids=[row["id"] for row in CURL])
async def test_curls_answers(make_client, row: dict) -> None:
    """Curl's redirections and body, or a typed error where curl fails too."""
    client = make_client(follow_redirects=row["follow_redirects"], timeout=5.0)
    expected = row["expected"]
    async with playing(row) as (url, asked):
        r = await client.get(url + row["requests"][0])
        await client.aclose()
    assert r.exception is None or isinstance(r.exception, nbhttp.NbhttpError)
    if expected["rule"].startswith("must raise"):
        assert isinstance(r.exception, nbhttp.RequestError), r
        return
    if row["follow_redirects"]:
        assert asked == [target.partition("#")[0] for target in row["requests"]]
    elif r.status_code is None:
        assert not expected["rule"].startswith("same body or redirect chain"), r.error
    if row["body_confirmed"] and expected["body_b64"] is not None and r.status_code is not None:
        body = base64.b64decode(expected["body_b64"])
        assert r.content.replace(b"\r\n", b"\n") == body.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("row", LLHTTP, ids=[row["id"] for row in LLHTTP])
async def test_llhttps_answers(make_client, fault: FaultServer, row: dict) -> None:
    """An answer or a typed error within the limit, whole or in small pieces."""
    client = make_client(timeout=5.0)
    raw = base64.b64decode(row["raw_b64"])
    for step in (len(raw) or 1, max(len(raw) // 7, 1)):
        with anyio.fail_after(20):
            r = await client.get(fault.raw("/case", raw, step=step))
        assert r.exception is None or isinstance(r.exception, nbhttp.NbhttpError)
        if row["expected"]["strict_error"] is None and row["expected"]["message_complete"]:
            continue
        assert r.status_code is not None or r.error


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 \x9b31mred\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 \x9b31mred\r\nContent-Length: 0\r\nContent-Type: text/\x9b31m\r\n\r\n",
        b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: \x9b31m\r\n\r\n",
        b"HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n"
        + json.dumps({"error": {"message": "\x1b[2J\u202e"}}).encode().ljust(40),
    ],
)
def test_what_a_server_writes_moves_no_cursor(engine: str, fault: FaultServer, answer: bytes):
    """Neither in a repr nor in an error, its hint or a traceback: such characters show as marks."""
    url = fault.raw("/unseen", answer)
    with HttpClient(engine=engine, trust_env=False) as client:
        result = client.get(url)
        download = client.download_file(url, io.BytesIO(), max_attempts=1, progress=False)
    errors = [e for e in (result.exception, download.exception) if e is not None]
    texts = [repr(result), repr(download), *map(str, errors), *(e.hint or "" for e in errors)]
    texts += ["".join(traceback.format_exception(e)) for e in errors]
    assert not [text for text in texts if set(text) & set("\x1b\u202e\x9b")]
