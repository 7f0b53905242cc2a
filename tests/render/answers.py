"""Answers of every kind, made by hand so that they are the same everywhere."""

import datetime as dt
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nbhttp._engines.base import Head
from nbhttp._tasks.records import StatusTable, TaskInfo, TaskState
from nbhttp.bulk import BulkResult
from nbhttp.download_batch import DownloadManyResult
from nbhttp.downloads import DownloadResult
from nbhttp.errors import (
    BodyTooLargeError,
    ConnectError,
    NbhttpError,
    ProtocolError,
    TimeoutError,
    TooManyRedirectsError,
    TruncatedError,
)
from nbhttp.result import Attempt, Redirect, RequestResult, RequestSent, Timing

SENT = ((b"Host", b"api.example"), (b"Accept", b"*/*"), (b"User-Agent", b"nbhttp"))
TIMING = Timing(queue=0.0002, connect=0.0031, tls=0.0124, send=0.0001, wait=0.0612, receive=0.0074)


def answer(
    body: bytes = b"",
    content_type: str | None = "application/json",
    *,
    status: int = 200,
    reason: bytes = b"OK",
    method: str = "GET",
    url: str = "https://api.example/v1/things",
    headers: Sequence[tuple[bytes, bytes]] = (),
    sent: bytes | None = b"",
    sent_headers: Sequence[tuple[bytes, bytes]] = SENT,
    **more: Any,
) -> RequestResult:
    """Return a result as if it had come over the wire."""
    declared = [] if content_type is None else [(b"Content-Type", content_type.encode("latin-1"))]
    return RequestResult(
        request=RequestSent(method, url, list(sent_headers), sent),
        head=Head(status, reason, "HTTP/1.1", [*declared, *headers]),
        body=body,
        **{"elapsed": 0.0844, "timing": TIMING, "engine": "httpx", **more},
    )


def failure(exception: NbhttpError, **more: Any) -> RequestResult:
    """Return a result without an answer."""
    return RequestResult(
        request=RequestSent("GET", "https://api.example/v1/slow", list(SENT), b""),
        exception=exception,
        **{"elapsed": 0.5, **more},
    )


def dumped(value: Any) -> bytes:
    """Return JSON as a server writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def png(width: int = 24, height: int = 16) -> bytes:
    """Return a small picture: a gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in (x * 9 % 256, y * 15 % 256, 140))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    # Stored, not compressed: zlib's output may differ between its versions.
    data = zlib.compress(rows, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def archive() -> bytes:
    """Return a ZIP of two files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in ("stations.json", "trips.csv"):
            file.writestr(zipfile.ZipInfo(name, (2025, 6, 1, 0, 0, 0)), b"[]")
    return out.getvalue()


def wav() -> bytes:
    """Return a tenth of a second of silence."""
    data = bytes(1600)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
    return (
        head
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
        + b"data"
        + struct.pack("<I", 1600)
        + data
    )


def stations(number: int) -> list[dict[str, Any]]:
    """Return records as the demo API has them."""
    return [
        {
            "id": at,
            "name": f"Harbour {at}",
            "capacity": 4 * at,
            "load": at / 8,
            "location": {"lat": 54.3 + at / 100, "lon": 10.13},
            "tags": ["covered", "lit"][: at % 3],
            "open": at % 2 == 0,
            "closed_since": None if at else "2025-06-01",
        }
        for at in range(number)
    ]


NETWORK = {
    "network": {"name": "Harbour Bikes", "centre": {"lat": 54.3213, "lon": 10.1349}},
    "fleet": {"bikes": 450, "models": {"Gull 3": 170, "Heron e": 90}},
    "first key with spaces": True,
    "a.dotted.key": [1, "two", 3.5, None, False, {"deep": [[["here"]]]}],
    "client_secret": "hunter2hunter2",
    "districts": [{"name": f"District {n}", "stations": list(range(n))} for n in range(12)],
    "motto": "Made up, but it answers like a real one. " * 20,
}
PAGE = """<!doctype html>
<html lang="en"><head><title>Harbour Bikes &amp; friends</title><style>p { color: red }</style>
<script>alert("no")</script></head><body class="home">
<h1>Harbour Bikes</h1><p>Bikes for <b>everyone</b>, since&nbsp;2019.<!-- really --></p>
<ul><li>Old Harbour<li>Garden Hill</ul>
<table><tr><th>Station</th><th>Bikes</th></tr><tr><td>North</td><td>12</td></tr></table>
<img src="/map.svg" alt="A map"></body></html>"""
FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><!-- made by hand --><title>News</title>
<entry id="1"><title>New station</title><link href="https://api.example/news/1"/>
<content type="text"><![CDATA[<b>Open</b> now]]></content></entry></feed>"""
DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><script>alert(1)</script>'
    '<circle cx="10" cy="10" r="8" fill="teal"/></svg>'
)
PROBLEM = {
    "type": "https://api.example/problems/invalid",
    "title": "Your request is not valid.",
    "status": 422,
    "detail": "Two fields are wrong.",
    "errors": [
        {"field": "name", "message": "is required"},
        {"field": "capacity", "message": "must be from 1 to 100"},
    ],
}
TRIPS = "id,bike,from,minutes,started\n" + "".join(
    f'{n},{n % 7},"Harbour, {n}",{n * 1.5},2025-06-01T05:{n % 60:02}:00Z\n' for n in range(600)
)
HOSTILE = {
    "<script>alert(1)</script>": '"><img src=x onerror=alert(1)>',
    "bidi\u202eoverride": "\u202egnp.exe\u202c",
    "escape": "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "nul": "a\x00b",
    "zalgo": "Z" + "\u0335" * 40,
    "\ud800": "lone \udfff",
}
FIELDS = (
    (b"Date", b"Sun, 01 Jun 2025 05:00:00 GMT"),
    (b"Cache-Control", b"no-cache"),
    (b"ETag", b'"33a64df5"'),
    (b"Link", b'<https://api.example/v1/things?page=2>; rel="next"'),
    (b"Set-Cookie", b"session=abcdef0123456789; Path=/; HttpOnly"),
    (b"X-Request-Id", b"7f3c"),
)
TRIED = (
    Attempt(1, 503, "503 Service Unavailable", 0.12),
    Attempt(2, None, "no connection within 5 s", 5.0, 0.5),
    Attempt(3, None, "no answer within 10 s", 10.0, 2.25),
)
MOVED = (
    Redirect(301, "GET", "http://api.example/old?token=s3cr3ts3cr3t", "https://api.example/old"),
    Redirect(302, "GET", "https://api.example/old", "https://api.example/v1/things"),
)


def many() -> list[RequestResult]:
    """Return the results of a map in which a part failed."""
    good = [
        answer(dumped(stations(n + 1)), url=f"https://api.example/v1/stations?page={n}")
        for n in range(30)
    ]
    bad = [
        answer(
            dumped({"error": {"message": f"no page {n} for key s3cr3ts3cr3t"}}),
            status=404,
            reason=b"Not Found",
            url=f"https://api.example/v1/stations?page={n}&api_key=s3cr3ts3cr3t",
        )
        for n in range(30, 45)
    ]
    return [*good, *bad, failure(ConnectError("nobody listens at api.example:443"))]


def download(number: int = 1, **more: Any) -> DownloadResult:
    """Return the result of a download."""
    name = f"trips-{number}.csv"
    return DownloadResult(
        url=f"https://files.example/{name}?sig=s3cr3ts3cr3t",
        **{
            "path": Path("data") / name,
            "size": 12_400_000,
            "received": 12_400_000,
            "elapsed": 2.5,
            "status_code": 200,
            "verified": True,
            **more,
        },
    )


def cut_download() -> DownloadResult:
    """Return the result of a download that broke off."""
    error = TruncatedError(
        "expected 12,400,000 bytes from GET https://files.example/trips-1.csv but the server "
        "closed after 4,100,000",
        hint="run the cell again to resume",
    )
    return download(size=None, received=4_100_000, verified=False, exception=error, attempts=TRIED)


def some_tasks() -> StatusTable:
    """Return tasks in every state."""
    at = dt.datetime(2025, 6, 1, 5, 0).astimezone()  # shown in local time
    infos = (
        TaskInfo("users", TaskState.COMPLETED, at, 1.25, "1,200 users"),
        TaskInfo("orders", TaskState.RUNNING, at, 75.5),
        TaskInfo(
            "https://h/x?token=s3cr3ts3cr3t",
            TaskState.FAILED,
            at,
            0.5,
            exception=ValueError("a row has <b>no</b> id"),
        ),
        TaskInfo("slow", TaskState.TIMEOUT, at, 60.0, note="its thread still runs"),
        TaskInfo("later", TaskState.QUEUED),
        TaskInfo("dropped", TaskState.CANCELLED),
    )
    return StatusTable((info.id, info) for info in infos)


ANSWERS: dict[str, Callable[[], Any]] = {
    "json_object": lambda: answer(dumped(NETWORK), headers=FIELDS),
    "json_records": lambda: answer(dumped(stations(50)), headers=FIELDS),
    "json_envelope": lambda: answer(
        dumped({"data": stations(12), "page": 1, "pages": 21, "next": None})
    ),
    "json_scalar": lambda: answer(b'"pong"'),
    "json_empty_list": lambda: answer(b"[]"),
    "json_wide": lambda: answer(dumped({f"key {n}": n for n in range(1000)})),
    "json_deep": lambda: answer(b'{"a":' * 500 + b"1" + b"}" * 500),
    "json_too_deep": lambda: answer(b"[" * 20_000 + b"]" * 20_000),
    "json_long_text": lambda: answer(dumped({"text": "word " * 100_000, "n": 10**400})),
    "json_undeclared": lambda: answer(b'{"sniffed": true}', None),
    "json_broken": lambda: answer(b'{"a": 1,'),
    "json_uneven_rows": lambda: answer(dumped([{"a": 1}, {"a": "x", "b": None}, {"c": 1.5}] * 9)),
    "ndjson": lambda: answer(
        b"\n".join(dumped(row) for row in stations(40)), "application/x-ndjson"
    ),
    "ndjson_mixed": lambda: answer(b'{"a":1}\n[2]\nnot json\n', "application/jsonl"),
    "problem": lambda: answer(
        dumped(PROBLEM),
        "application/problem+json",
        status=422,
        reason=b"Unprocessable Content",
        method="POST",
        sent=dumped({"name": "it's", "password": "hunter2hunter2"}),
        sent_headers=(*SENT, (b"Content-Type", b"application/json")),
    ),
    "csv": lambda: answer(TRIPS.encode(), "text/csv; charset=utf-8"),
    "csv_semicolons": lambda: answer(
        "näme;größe\nä;1,5\nö;2\n".encode("cp1252"), "text/csv; charset=windows-1252"
    ),
    "tsv": lambda: answer(b"a\tb\n1\t2\n", "text/tab-separated-values"),
    "html": lambda: answer(PAGE.encode(), "text/html; charset=utf-8"),
    "html_error": lambda: answer(
        b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>",
        "text/html",
        status=502,
        reason=b"Bad Gateway",
        headers=((b"Retry-After", b"120"),),
    ),
    "xml": lambda: answer(FEED.encode(), "application/atom+xml"),
    "svg": lambda: answer(DRAWING.encode(), "image/svg+xml"),
    "png": lambda: answer(png(), "image/png"),
    "png_large": lambda: answer(png() + bytes(600_000), "image/png"),
    "gif_declared_as_text": lambda: answer(b"GIF89a\x02\x00\x01\x00" + bytes(20), "text/html"),
    "zip": lambda: answer(archive(), "application/zip"),
    "pdf": lambda: answer(b"%PDF-1.7\n1 0 obj<</Type /Page >>endobj\n%%EOF", "application/pdf"),
    "wav": lambda: answer(wav(), "audio/wav"),
    "binary": lambda: answer(bytes(range(256)) * 3, "application/octet-stream"),
    "text": lambda: answer(
        "Grüße,\n\n  eingerückt\n".encode("latin-1"), "text/plain; charset=iso-8859-1"
    ),
    "text_long": lambda: answer(b"All work and no play.\n" * 9000, "text/plain"),
    "text_terminal": lambda: answer(
        b"\x1b[2J\x1b[31mred\x1b[0m\rover\x08", "text/plain; charset=x-evil\x1b"
    ),
    "empty": lambda: answer(b"", None, status=204, reason=b"No Content", method="DELETE"),
    "head": lambda: answer(
        b"", "text/html", method="HEAD", headers=((b"Content-Length", b"1024"),)
    ),
    "not_modified": lambda: answer(b"", None, status=304, reason=b""),
    "compressed": lambda: answer(
        b'{"a":1}' + b" " * 5000,
        headers=((b"Content-Encoding", b"gzip"), (b"Content-Length", b"61")),
    ),
    "redirected": lambda: answer(b"{}", redirects=MOVED),
    "form_sent": lambda: answer(
        b"{}",
        method="PUT",
        sent=b"user=ada&password=hunter2hunter2",
        sent_headers=(*SENT, (b"Content-Type", b"application/x-www-form-urlencoded")),
    ),
    "upload_streamed": lambda: answer(
        b"{}", status=201, reason=b"Created", method="POST", sent=None
    ),
    "not_found": lambda: answer(b"", None, status=404, reason=b"Not Found"),
    "too_many": lambda: answer(
        dumped({"error": {"message": "slow down"}}),
        status=429,
        reason=b"Too Many Requests",
        headers=((b"Retry-After", b"7"),),
        attempts=(*TRIED, Attempt(4, 429, "429 Too Many Requests", 0.1, 4.0)),
    ),
    "refused": lambda: failure(
        ConnectError("nobody listens at api.example:443", hint="check host and port")
    ),
    "timed_out": lambda: failure(
        TimeoutError("no answer within 10 s", hint="raise timeout="),
        attempts=TRIED,
        elapsed=17.87,
        timing=Timing(connect=0.02, tls=0.03, wait=10.0),
    ),
    "redirect_loop": lambda: failure(TooManyRedirectsError("more than 20"), redirects=MOVED * 10),
    "too_large": lambda: answer(
        b"", exception=BodyTooLargeError("the body is over 1,000,000 bytes", hint="raise max_body=")
    ),
    "broken_answer": lambda: failure(ProtocolError("what came is not HTTP: '\\x16\\x03'")),
    "secrets": lambda: answer(
        dumped({"access_token": "s3cr3ts3cr3t", "nested": {"password": ["hunter2hunter2"]}}),
        url="https://user:hunter2hunter2@api.example/v1?api_key=s3cr3ts3cr3t&page=2",
        headers=((b"Set-Cookie", b"sid=s3cr3ts3cr3t; Path=/"),),
        sent_headers=(*SENT, (b"Authorization", b"Bearer s3cr3ts3cr3t")),
    ),
    "hostile": lambda: answer(
        json.dumps(HOSTILE).encode(),
        reason=b"<b>OK</b>\x1b[31m",
        method="G<E>T",
        url="https://api.example/<script>alert(1)</script>?q=\u202e\x00",
        headers=((b"X-<i>", b"\xff\x1b[0m<svg onload=alert(1)>"),),
    ),
    "part_tree": lambda: answer(dumped(NETWORK)).tree("districts[3]", depth=1),
    "part_table": lambda: answer(dumped({"data": stations(30)})).table("data", rows=3),
    "bulk": lambda: BulkResult(many(), 12.4),
    "bulk_ok": lambda: BulkResult(many()[:3], 0.42),
    "bulk_failed": lambda: BulkResult(many(), 12.4).failed,
    "bulk_empty": lambda: BulkResult([]),
    "bulk_downloads": lambda: DownloadManyResult(
        [download(1), cut_download(), download(2, skipped=True, received=0)], 4.2, retry=list
    ),
    "download": lambda: download(resumed_from=400_000, received=12_000_000, segments=4),
    "download_again": lambda: download(skipped=True, received=0, verified=False),
    "download_cut": cut_download,
    "download_refused": lambda: download(
        size=None,
        received=0,
        status_code=None,
        verified=False,
        exception=ConnectError("nobody listens at files.example:443", hint="check the port"),
    ),
    "tasks": some_tasks,
    "tasks_none": StatusTable,
}
