"""Endpoints that tell what they received, and ones that answer in many encodings."""

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from nbhttp._demo.replies import ProblemError, integer, json_reply
from nbhttp._demo.state import state_of
from nbhttp._demo.table import Group

__all__ = ["encodings", "form_fields", "group"]

group = Group("Echo and upload", "What arrived, as the server saw it.")
encodings = Group("Encodings", "The same content in other codings, and content of other kinds.")

GREETINGS = {
    "utf-8": "Grüße aus Port Elara: ⚓ ahoj, γειά, привет, こんにちは",
    "utf-16": "Grüße aus Port Elara: ⚓ ahoj, γειά, привет, こんにちは",
    "iso-8859-1": "Grüße aus Port Elara: ça va, señor, år",
    "windows-1251": "Привет из порта",
    "shift_jis": "港からこんにちは",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body."""

    name: str
    filename: str | None
    media_type: str
    content: bytes


def multipart(content_type: str, body: bytes) -> list[Part]:
    """Split a multipart body (RFC 7578); an empty list when it is none."""
    found = re.search(r'^multipart/form-data\b.*\bboundary="?([^";]+)', content_type, re.IGNORECASE)
    if found is None:
        return []
    pieces = (b"\r\n" + body).split(b"\r\n--" + found[1].encode())
    return [part_of(piece) for piece in pieces[1:] if piece.startswith(b"\r\n")]


def part_of(piece: bytes) -> Part:
    """Read one part: its fields, an empty line, its content."""
    head, _, content = piece.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    fields = {name.lower(): value for name, value in fields.items()}
    disposition = fields.get("content-disposition", "")
    names = dict(re.findall(r'\b(name|filename)="([^"]*)"', disposition))
    media_type = fields.get("content-type", "text/plain")
    return Part(names.get("name", ""), names.get("filename"), media_type, content)


async def form_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form, urlencoded or multipart; files are left out."""
    content_type = request.headers.get("content-type", "")
    body = await request.body()
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    parts = multipart(content_type, body)
    return {part.name: part.content.decode() for part in parts if part.filename is None}


def described(content: bytes) -> dict[str, Any]:
    """Return the length and the digest of some bytes."""
    return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@group.answers("ANY /echo", "Method, URL, query, fields, cookies, body, form and files.")
async def echo(request: Request) -> Response:
    """Answer what came, as data."""
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    try:
        text: str | None = body.decode()
    except UnicodeDecodeError:
        text = None
    try:
        decoded = orjson.loads(body) if "json" in content_type else None
    except orjson.JSONDecodeError:
        decoded = None
    query: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, []).append(value)
    files = [part for part in multipart(content_type, body) if part.filename is not None]
    answer = {
        "method": request.method,
        "url": str(request.url),
        "query": {
            name: values[0] if len(values) == 1 else values for name, values in query.items()
        },
        "headers": dict(request.headers),
        "cookies": request.cookies,
        "body": {**described(body), "text": text},
        "json": decoded,
        "form": await form_fields(request),
        "files": [
            {
                "field": part.name,
                "filename": part.filename,
                "content_type": part.media_type,
                **described(part.content),
            }
            for part in files
        ],
    }
    return json_reply(answer)


@group.answers("POST /uploads", "Takes any body; answers 201 with its length and SHA-256.")
async def upload(request: Request) -> Response:
    """Hash the body as it comes, without keeping it."""
    digest, length = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        length += len(chunk)
    answer = {
        "length": length,
        "sha256": digest.hexdigest(),
        "content_type": request.headers.get("content-type"),
        "was_chunked": request.headers.get("transfer-encoding") == "chunked",
    }
    return json_reply(answer, 201)


def compress_br(data: bytes) -> bytes:
    """Return data under the `br` coding (RFC 7932)."""
    try:
        import brotli
    except ImportError:
        import brotlicffi as brotli
    compressed = brotli.compress(data)
    assert isinstance(compressed, bytes)  # noqa: S101 - the package has no types
    return compressed


def compress_zstd(data: bytes) -> bytes:
    """Return data under the `zstd` coding (RFC 8878)."""
    import zstandard

    return zstandard.compress(data)


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": compress_br,
    "zstd": compress_zstd,
}


@encodings.answers(
    "GET /encoded/{coding}",
    "The trips under a content coding: gzip, deflate, br, zstd or identity.",
    sample="/encoded/gzip",
)
async def encoded(request: Request) -> Response:
    """Answer compressed JSON, whatever the client said that it accepts."""
    coding = request.path_params["coding"]
    compress = CODINGS.get(coding)
    if compress is None:
        raise ProblemError(404, "No such coding", f"{coding!r} is none of {', '.join(CODINGS)}.")
    body = orjson.dumps({"coding": coding, "items": state_of(request).all("trips")})
    headers = {} if coding == "identity" else {"Content-Encoding": coding}
    return Response(compress(body), 200, headers, "application/json")


@encodings.answers(
    "GET /text/{charset}",
    f"A greeting in a charset: {', '.join(GREETINGS)}.",
    sample="/text/shift_jis",
)
async def charset(request: Request) -> Response:
    """Answer text in the charset that its Content-Type declares."""
    name = request.path_params["charset"].lower()
    text = GREETINGS.get(name)
    if text is None:
        raise ProblemError(404, "No such charset", f"{name!r} is none of {', '.join(GREETINGS)}.")
    headers = {"Content-Type": f"text/plain; charset={name}"}
    return Response(text.encode(name), 200, headers)


@encodings.answers(
    "GET /big",
    "A big JSON array of readings.",
    sample="/big?records=1000",
    records="how many, 1 to 1000000; 10000 when left out (some 0.6 MB)",
)
async def big(request: Request) -> Response:
    """Answer as much JSON as asked."""
    count = integer(request, "records", 10_000, most=1_000_000)
    return json_reply(
        [
            {"id": n, "bike_id": n * 7919 % 450 + 1, "speed": n * 31 % 97 / 4, "ok": n % 13 != 0}
            for n in range(1, count + 1)
        ]
    )


@encodings.answers("ANY /nothing", "204, no body.")
async def nothing(_request: Request) -> Response:
    """Answer without content."""
    return Response(status_code=204)
