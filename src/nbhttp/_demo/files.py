"""Files to download: ranges, validators and digests; pictures and documents."""

import base64
import functools
import hashlib
import random
import re
from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nbhttp._demo.drawing import heatmap_png, one_page_pdf, station_map_svg, zip_of
from nbhttp._demo.replies import ProblemError, integer, json_reply, matches, number, with_etag
from nbhttp._demo.state import state_of
from nbhttp._demo.table import Group

__all__ = ["documents", "group"]

group = Group("Downloads", "Files of any size, the same bytes each time.")
documents = Group("Pictures and documents", "Content that a notebook shows or offers.")

BLOCK = 1 << 16
DEFAULT_SIZE = 1 << 20
MOST = 1 << 32
LAST_MODIFIED = "Sun, 01 Jun 2025 05:00:00 GMT"
FILE_SIZE = "bytes, 0 to 4294967296; 1048576 when left out"


@functools.lru_cache(maxsize=16)
def pattern(name: str) -> bytes:
    """Return the block that a file of this name repeats."""
    return random.Random(f"nbhttp demo file {name}").randbytes(BLOCK)  # noqa: S311 - reproducible


def blocks(name: str, start: int, stop: int) -> Iterator[bytes]:
    """Return the bytes from `start` up to `stop`; each block begins with its number."""
    while start < stop:
        index, offset = divmod(start, BLOCK)
        block = index.to_bytes(8, "big") + pattern(name)[8:]
        piece = block[offset : offset + stop - start]
        yield piece
        start += len(piece)


async def digest_of(request: Request, name: str, size: int) -> bytes:
    """Return the SHA-256 of a whole file, letting other requests in while it is computed."""
    known = state_of(request).digests
    if (name, size) not in known:
        digest = hashlib.sha256()
        for index, block in enumerate(blocks(name, 0, size)):
            digest.update(block)
            if index % 64 == 0:
                await anyio.lowlevel.checkpoint()
        known[name, size] = digest.digest()
    return known[name, size]


def byte_range(field: str, size: int) -> tuple[int, int] | None:
    """Return the one range that a Range field asks for, as start and stop.

    None means the whole file: no field, another unit, several ranges or a malformed one (a server
    may ignore those, RFC 9110 section 14.2).

    Raises:
        ProblemError: 416, when the range lies outside the file.
    """
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", field.replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
        if last and int(last) < start:
            return None
    if start < stop:
        return start, stop
    raise ProblemError(
        416,
        "Range not satisfiable",
        f"The file has {size} bytes.",
        headers={"Content-Range": f"bytes */{size}"},
    )


def wanted_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Return the range to send; None for the whole file, also when If-Range names another one."""
    guard = request.headers.get("if-range")
    if guard is not None and guard not in (etag, LAST_MODIFIED):
        return None
    return byte_range(request.headers.get("range", ""), size)


def is_known(request: Request, etag: str) -> bool:
    """Say whether the client has the file already (RFC 9110 section 13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return matches(tags, etag, weakly=True)
    return request.headers.get("if-modified-since") == LAST_MODIFIED


@group.answers(
    "GET /files/{name}",
    "A file of a chosen size: ranges, If-Range, strong ETag, Last-Modified, Repr-Digest.",
    sample="/files/harbour.bin?size=1000",
    size=FILE_SIZE,
    rate="bytes a second at most; unlimited when left out",
)
async def file(request: Request) -> Response:
    """Stream a file or a range of it."""
    name = request.path_params["name"]
    size = integer(request, "size", DEFAULT_SIZE, least=0, most=MOST)
    rate = number(request, "rate", 0, most=MOST)
    digest = await digest_of(request, name, size)
    etag = f'"{digest.hex()[:20]}"'
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{re.sub(r"[^ -!#-~]", "_", name)}"',
        "ETag": etag,
        "Last-Modified": LAST_MODIFIED,
        # RFC 9530: the digest of the whole file, also on a 206.
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
    }
    if is_known(request, etag):
        return Response(None, 304, headers)
    chosen = wanted_range(request, etag, size)
    start, stop = chosen or (0, size)
    if chosen is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)

    async def content() -> AsyncIterator[bytes]:
        for block in () if request.method == "HEAD" else blocks(name, start, stop):
            yield block
            if rate:
                await anyio.sleep(len(block) / rate)

    status = 200 if chosen is None else 206
    return StreamingResponse(content(), status, headers, "application/octet-stream")


@group.answers(
    "GET /digests/{name}",
    "The SHA-256 of a file.",
    sample="/digests/harbour.bin?size=1000",
    size=FILE_SIZE,
)
async def digest(request: Request) -> Response:
    """Answer name, size and digest."""
    name = request.path_params["name"]
    size = integer(request, "size", DEFAULT_SIZE, least=0, most=MOST)
    sha256 = (await digest_of(request, name, size)).hex()
    return json_reply({"name": name, "size": size, "sha256": sha256})


@documents.answers("GET /pictures/map.svg", "A map of the stations, as SVG.")
async def station_map(request: Request) -> Response:
    """Answer a drawing."""
    drawing = station_map_svg(state_of(request).all("stations"))
    return with_etag(request, Response(drawing, media_type="image/svg+xml"))


@documents.answers("GET /pictures/hours.png", "A heat map, as PNG: trips in each hour of each day.")
async def hours(request: Request) -> Response:
    """Answer a picture."""
    picture = heatmap_png(state_of(request).all("trips"))
    return with_etag(request, Response(picture, media_type="image/png"))


@documents.answers("GET /documents/report.pdf", "A report of one page, as PDF.")
async def report(request: Request) -> Response:
    """Answer a document to be shown in place."""
    state = state_of(request)
    metres = sum(trip["distance_m"] for trip in state.all("trips"))
    lines = (
        "Harbour Bikes, Port Elara: report for June 2025",
        f"{len(state.records['stations'])} stations, {len(state.records['bikes'])} bikes",
        f"{len(state.records['trips'])} trips, {metres / 1000:.0f} km in all",
    )
    headers = {"Content-Disposition": 'inline; filename="report.pdf"'}
    return with_etag(request, Response(one_page_pdf(lines), 200, headers, "application/pdf"))


@documents.answers("GET /documents/records.zip", "All collections as JSON files, in a ZIP.")
async def records_zip(request: Request) -> Response:
    """Answer an archive."""
    records = state_of(request).records
    files = {f"{name}.json": orjson.dumps(list(rows.values())) for name, rows in records.items()}
    headers = {"Content-Disposition": 'attachment; filename="records.zip"'}
    return Response(zip_of(files), 200, headers, "application/zip")
