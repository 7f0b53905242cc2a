"""curl's and llhttp's own test answers, played byte by byte."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from servers import FaultServer

import nbhttp

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
