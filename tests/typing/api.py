"""The public API as type checkers see it; mypy and pyright read this file, nothing runs it."""

from typing import assert_type

import nbhttp


async def use_async(client: nbhttp.AsyncHttpClient) -> None:
    result = await client.get("/items", params={"page": 1}, timeout=5)
    assert_type(result, nbhttp.RequestResult)
    assert_type(result.success, bool)
    assert_type(result.status_code, int | None)
    assert_type(result.error, str | None)
    assert_type(result.content, bytes)
    assert_type(result.raise_for_status(), nbhttp.RequestResult)
    await client.post("/items", json={"name": "x"}, headers={"X-A": "1"}, auth=None)
    async with client.stream("GET", "/big") as response:
        async for piece in response.aiter_bytes(65536):
            assert_type(piece, bytes)
    async for chunk in client.stream_request("GET", "/big", 65536, timeout=5, json={"a": 1}):
        assert_type(chunk, bytes)
    async with client.lines("/log", errors="strict") as lines:
        assert_type(lines.status_code, int | None)
        assert_type(await anext(lines), str)
    events = client.sse("/changes", last_event_id="7", max_events=3, json=True)
    async for event in events:
        assert_type(event, nbhttp.ServerSentEvent)
    assert_type(events.last_event_id, str)
    seen = await nbhttp.live(client.ndjson("/export", on_error="collect"), "table", last=5)
    assert_type(seen.text, str)
    file = await client.download_file("/big", "data/", checksum="sha256:00", segments=4)
    assert_type(file, nbhttp.DownloadResult)
    assert_type(file.sha256, str | None)
    files = await client.download_many(["/a", ("/b", "b.csv")], "data/", concurrency=4)
    assert_type(files, nbhttp.AsyncDownloadManyResult)
    assert_type(await files.retry_failed(), nbhttp.AsyncDownloadManyResult)
    many = await client.map(["/a", {"url": "/b", "params": {"page": 2}}], concurrency=8)
    assert_type(many[0], nbhttp.RequestResult)
    assert_type(many[0].engine_reason, str)
    assert_type(many.success, bool)
    assert_type(many.failed[1:], nbhttp.BulkResult[nbhttp.RequestResult])


def use_sync(client: nbhttp.HttpClient) -> None:
    assert_type(client.get("/items", follow_redirects=False), nbhttp.RequestResult)
    assert_type(nbhttp.get("https://example.org"), nbhttp.RequestResult)
    assert_type(client.aio, nbhttp.AsyncHttpClient)
    with client.stream("GET", "/big") as response:
        for piece in response.iter_bytes():
            assert_type(piece, bytes)
    with client.stream_request("GET", "/big", None, raw=True) as pieces:
        for chunk in pieces:
            assert_type(chunk, bytes)
    for line in nbhttp.lines("https://example.org", encoding="latin-1"):
        assert_type(line, str)
    assert_type(next(client.sse("/changes")), nbhttp.ServerSentEvent)
    assert_type(nbhttp.live(nbhttp.ndjson("https://example.org")).number, int)
    assert_type(client.download_file("/big", "data/"), nbhttp.DownloadResult)
    assert_type(nbhttp.download_file("https://example.org", "page.html"), nbhttp.DownloadResult)
    files = client.download_many(["/a"], "data/")
    assert_type(files, nbhttp.DownloadManyResult)
    assert_type(files.failed, nbhttp.DownloadManyResult)
    assert_type(files[:1], nbhttp.DownloadManyResult)
    stop = client.subscribe(lambda event: isinstance(event, nbhttp.events.RequestFinished))
    assert_type(stop(), None)


async def answer() -> int:
    return 42


assert_type(nbhttp.run(answer()), int)
