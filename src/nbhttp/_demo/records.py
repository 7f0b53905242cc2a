"""Collections of records: five styles of pagination, single records, changes and exports."""

import base64
import csv
import io
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nbhttp._demo.data import NETWORK, Record
from nbhttp._demo.replies import (
    ProblemError,
    etag_of,
    integer,
    invalid,
    json_body,
    json_reply,
    matches,
    number,
    with_etag,
)
from nbhttp._demo.state import state_of
from nbhttp._demo.table import Group

__all__ = ["exports", "group"]

group = Group("Collections", "Several hundred records each, every one with its style of pages.")
exports = Group("Nested and exported", "The same records as one tree, as CSV and as lines of JSON.")

PER_PAGE = "records on a page, 1 to 100; 50 when left out"


def per_page(request: Request, name: str = "per_page") -> int:
    """Return how many records a page holds."""
    return integer(request, name, 50, most=100)


def page_url(request: Request, **changes: Any) -> str:
    """Return this request's absolute URL with other query parameters."""
    return str(request.url.include_query_params(**changes))


@group.answers(
    "GET /stations",
    "Stations; the Link field points to the next page (RFC 8288).",
    page="page number from 1",
    per_page=PER_PAGE,
    district="only stations of this district",
)
async def stations(request: Request) -> Response:
    """Answer a bare array; first, prev, next and last page stand in the Link field."""
    records = state_of(request).all("stations")
    district = request.query_params.get("district")
    if district is not None:
        records = [record for record in records if record["district"] == district]
    size, page = per_page(request), integer(request, "page", 1)
    last = max(1, -(-len(records) // size))
    pages = {"first": 1, "prev": page - 1, "next": page + 1, "last": last}
    links = [
        f'<{page_url(request, page=number)}>; rel="{rel}"'
        for rel, number in pages.items()
        if 1 <= number <= last
    ]
    headers = {"Link": ", ".join(links), "X-Total-Count": str(len(records))}
    return json_reply(records[(page - 1) * size : page * size], headers=headers)


@group.answers(
    "GET /trips",
    "Trips; `page` and `pages` count pages.",
    page="page number from 1",
    per_page=PER_PAGE,
)
async def trips(request: Request) -> Response:
    """Answer an object with the records and the numbers of pages."""
    records = state_of(request).all("trips")
    size, page = per_page(request), integer(request, "page", 1)
    body = {
        "items": records[(page - 1) * size : page * size],
        "page": page,
        "per_page": size,
        "pages": -(-len(records) // size),
        "total": len(records),
    }
    return json_reply(body)


@group.answers(
    "GET /bikes",
    "Bikes; `offset` and `limit` cut them.",
    offset="records to skip, from 0",
    limit=PER_PAGE,
)
async def bikes(request: Request) -> Response:
    """Answer an object with the records and where they stand."""
    records = state_of(request).all("bikes")
    limit, offset = per_page(request, "limit"), integer(request, "offset", 0, least=0)
    body = {
        "data": records[offset : offset + limit],
        "offset": offset,
        "limit": limit,
        "total": len(records),
    }
    return json_reply(body)


@group.answers(
    "GET /repairs",
    "Repairs; `next_cursor` leads on, null at the end.",
    cursor="next_cursor of the page before",
    limit=PER_PAGE,
)
async def repairs(request: Request) -> Response:
    """Answer an object with the records after the cursor and an opaque cursor for the rest."""
    records = state_of(request).all("repairs")
    limit, after = per_page(request, "limit"), read_cursor(request.query_params.get("cursor"))
    rest = [record for record in records if record["id"] > after]
    page = rest[:limit]
    has_more = len(rest) > limit
    body = {
        "data": page,
        "has_more": has_more,
        "next_cursor": make_cursor(page[-1]["id"]) if has_more else None,
    }
    return json_reply(body)


def make_cursor(after: int) -> str:
    """Return the opaque text that means "after this id"."""
    return base64.urlsafe_b64encode(f"after:{after}".encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int:
    """Return the id that a cursor stands after; 0 without one."""
    if not cursor:
        return 0
    try:
        kind, _, after = base64.urlsafe_b64decode(cursor + "==").decode().partition(":")
    except ValueError:
        kind, after = "", ""
    if kind == "after" and after.isdecimal():
        return int(after)
    raise invalid({"cursor": f"{cursor!r} is not one that this server gave"})


@group.answers(
    "GET /riders",
    "Riders; `next` is the URL of the next page, null at the end.",
    page="page number from 1",
    per_page=PER_PAGE,
)
async def riders(request: Request) -> Response:
    """Answer an object with the records and absolute URLs of the pages around them."""
    records = state_of(request).all("riders")
    size, page = per_page(request), integer(request, "page", 1)
    more = page * size < len(records)
    body = {
        "count": len(records),
        "next": page_url(request, page=page + 1) if more else None,
        "previous": page_url(request, page=page - 1) if page > 1 else None,
        "results": records[(page - 1) * size : page * size],
    }
    return json_reply(body)


def find(request: Request) -> Record:
    """Return the station that the path names.

    Raises:
        ProblemError: 404, when there is none.
    """
    number = request.path_params["id"]
    record = state_of(request).records["stations"].get(number)
    if record is None:
        raise ProblemError(404, "No such station", f"There is no station {number}.")
    return record


@group.answers(
    "GET /stations/{id:int}",
    "One station, with an ETag; If-None-Match answers 304.",
    sample="/stations/1",
)
async def station(request: Request) -> Response:
    """Answer one record, 304 when the client has it, 404 when there is none."""
    reply = json_reply(find(request), headers={"Cache-Control": "no-cache"})
    return with_etag(request, reply)


@group.answers("POST /stations", "Adds a station: 201 with Location, 409 for a known name, or 422.")
async def create_station(request: Request) -> Response:
    """Store a station and answer 201 with it."""
    fields = checked(await json_body(request), partly=False)
    state = state_of(request)
    if any(record["name"] == fields["name"] for record in state.all("stations")):
        raise ProblemError(409, "Conflict", f"There is a station {fields['name']!r} already.")
    record = state.add("stations", fields)
    return json_reply(record, 201, {"Location": f"/stations/{record['id']}"})


@group.answers("PUT /stations/{id:int}", "Replaces a station; If-Match guards it (412).")
async def replace_station(request: Request) -> Response:
    """Store the record in place of the old one."""
    old = unchanged(request)
    fields = checked(await json_body(request), partly=False)
    record = state_of(request).records["stations"][old["id"]] = {"id": old["id"], **fields}
    return with_etag(request, json_reply(record))


@group.answers("PATCH /stations/{id:int}", "Changes some fields of a station; If-Match guards it.")
async def change_station(request: Request) -> Response:
    """Store the given fields (RFC 7396, one level deep)."""
    record = unchanged(request)
    record.update(checked(await json_body(request), partly=True))
    return with_etag(request, json_reply(record))


@group.answers("DELETE /stations/{id:int}", "Removes a station and answers 204.")
async def delete_station(request: Request) -> Response:
    """Forget the record."""
    del state_of(request).records["stations"][unchanged(request)["id"]]
    return Response(status_code=204)


def unchanged(request: Request) -> Record:
    """Return the station that the path names, unless If-Match names another version of it.

    Raises:
        ProblemError: 404 when there is none, 412 when it was changed (RFC 9110 section 13.1.1).
    """
    record = find(request)
    wanted = request.headers.get("if-match")
    if wanted is not None and not matches(wanted, etag_of(orjson.dumps(record)), weakly=False):
        raise ProblemError(412, "Precondition failed", "The station was changed in the meantime.")
    return record


RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("expected 1 to 80 characters", lambda v: isinstance(v, str) and 1 <= len(v) <= 80),
    "district": ("expected text", lambda v: isinstance(v, str)),
    "capacity": (
        "expected a whole number from 1 to 100",
        lambda v: type(v) is int and 1 <= v <= 100,
    ),
    "location": (
        "expected an object with lat and lon in degrees",
        lambda v: (
            isinstance(v, dict)
            and all(isinstance(v.get(key), (int, float)) for key in ("lat", "lon"))
        ),
    ),
    "tags": (
        "expected a list of texts",
        lambda v: isinstance(v, list) and all(isinstance(tag, str) for tag in v),
    ),
}
REQUIRED = ("name", "capacity")


def checked(fields: dict[str, Any], *, partly: bool) -> dict[str, Any]:
    """Return the fields of a station when they are right.

    Raises:
        ProblemError: 422, with one entry for each field that is not.
    """
    errors = {} if partly else {name: "is required" for name in REQUIRED if name not in fields}
    for name, (message, is_right) in RULES.items():
        if name in fields and not is_right(fields[name]):
            errors[name] = message
    if errors:
        raise invalid(errors)
    return {name: value for name, value in fields.items() if name != "id"}


@exports.answers("GET /network", "The whole network as one nested document.")
async def network(request: Request) -> Response:
    """Answer districts, their stations and the riders' plans in one tree."""
    state = state_of(request)
    districts: dict[str, list[Record]] = {}
    for record in state.all("stations"):
        districts.setdefault(record.get("district", ""), []).append(record)
    fleet: dict[str, int] = {}
    for record in state.all("bikes"):
        fleet[record["model"]] = fleet.get(record["model"], 0) + 1
    body = {
        "network": NETWORK,
        "fleet": {"bikes": sum(fleet.values()), "models": fleet},
        "districts": [
            {
                "name": name,
                "stations": len(records),
                "capacity": sum(record["capacity"] for record in records),
                "busiest": sorted(records, key=lambda record: -record["capacity"])[:3],
            }
            for name, records in sorted(districts.items())
        ],
    }
    return json_reply(body)


@exports.answers(
    "GET /exports/trips.csv",
    "All trips as CSV, offered as a file.",
)
async def trips_csv(request: Request) -> Response:
    """Answer a table with a header row (RFC 4180)."""
    records = state_of(request).all("trips")
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0].keys())
    writer.writeheader()
    writer.writerows(records)
    headers = {"Content-Disposition": 'attachment; filename="trips.csv"'}
    return with_etag(request, Response(text.getvalue(), 200, headers, "text/csv"))


@exports.answers(
    "GET /exports/trips.ndjson",
    "All trips, one JSON document on each line, as a stream.",
    sample="/exports/trips.ndjson?limit=5",
    limit="lines at most; all when left out",
    interval="seconds between lines; 0 when left out",
)
async def trips_ndjson(request: Request) -> Response:
    """Stream lines, as slowly as asked."""
    records = state_of(request).all("trips")
    records = records[: integer(request, "limit", len(records))]
    interval_s = number(request, "interval", 0)

    async def lines() -> AsyncIterator[bytes]:
        for record in records:
            yield orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
            await anyio.sleep(interval_s)

    return StreamingResponse(lines(), media_type="application/x-ndjson")
