"""Pages that describe the API, made from the table of endpoints, and one page to look at."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree as ET

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nbhttp._demo.data import NETWORK
from nbhttp._demo.markup import element, page, rendered
from nbhttp._demo.replies import json_reply
from nbhttp._demo.state import state_of
from nbhttp._demo.table import Endpoint, Group

__all__ = ["group", "server_html"]

group = Group("About", "What this server offers.")


def groups_of(request: Request) -> Sequence[Group]:
    """Return the table that the server routes by."""
    groups: Sequence[Group] = request.app.state.groups
    return groups


def css() -> str:
    """Return the pages' style sheet."""
    return files("nbhttp._demo").joinpath("static/demo.css").read_text("utf-8")


def prefers_html(accept: str) -> bool:
    """Say whether an Accept field names HTML before JSON, as browsers do."""
    html = accept.find("text/html")
    json = accept.find("json")
    return html >= 0 and (json < 0 or html < json)


@group.answers("GET /", "This list: HTML for browsers, JSON for clients.")
async def index(request: Request) -> Response:
    """Answer every endpoint, in the form that the client prefers."""
    base = str(request.base_url).rstrip("/")
    if prefers_html(request.headers.get("accept", "")):
        reply: Response = HTMLResponse(index_html(groups_of(request), base))
    else:
        reply = json_reply(index_json(groups_of(request), base))
    reply.headers["Vary"] = "Accept"
    return reply


def index_json(groups: Sequence[Group], base: str) -> dict[str, Any]:
    """Return the table as data."""
    endpoints = [
        {
            "method": endpoint.method,
            "path": endpoint.shown_path,
            "group": endpoint.group,
            "summary": endpoint.summary,
            "query": dict(endpoint.query),
            "example": base + endpoint.sample,
        }
        for group in groups
        for endpoint in group.endpoints
    ]
    return {
        "name": NETWORK["name"],
        "about": "A made-up bike share: nbhttp's demo API.",
        "openapi": f"{base}/openapi.json",
        "groups": {group.title: group.about for group in groups},
        "endpoints": endpoints,
    }


def index_html(groups: Sequence[Group], base: str) -> str:
    """Return the table as a page."""
    count = sum(len(group.endpoints) for group in groups)
    header = element(
        "header",
        element("h1", "Harbour Bikes"),
        element(
            "p",
            "The bike share of Port Elara, a town that does not exist: ",
            element("strong", f"{count} endpoints"),
            " to try nbhttp on, without a network. It runs at ",
            element("code", base),
            " and forgets everything when it stops.",
        ),
    )
    jumps = [element("a", group.title, href=f"#{anchor(group)}") for group in groups]
    sections = [section(group) for group in groups]
    return page("Harbour Bikes: demo API", css(), header, element("nav", *jumps), *sections)


def anchor(group: Group) -> str:
    """Return the fragment that leads to a group."""
    return re.sub(r"\W+", "-", group.title.lower())


def section(group: Group) -> ET.Element:
    """Return one group's heading and rows."""
    rows = element("div", *(row(endpoint) for endpoint in group.endpoints), class_="rows")
    heading = element("h2", group.title)
    return element("section", heading, element("p", group.about), rows, id=anchor(group))


def row(endpoint: Endpoint) -> ET.Element:
    """Return one endpoint's line."""
    path: ET.Element = element("code", endpoint.shown_path)
    if endpoint.method in ("GET", "ANY"):
        path = element("a", path, href=endpoint.sample)
    method = element("span", endpoint.method, class_=f"method {endpoint.method.lower()}")
    about = element("div", *prose(endpoint.summary))
    if endpoint.query:
        about.append(parameters(endpoint))
    return element("div", method, element("div", path, class_="path"), about, class_="row")


def prose(text: str) -> list[ET.Element | str]:
    """Return text with what stands between backticks as code."""
    pieces = text.split("`")
    return [element("code", p) if index % 2 else p for index, p in enumerate(pieces) if p]


def parameters(endpoint: Endpoint) -> ET.Element:
    """Return the list of query parameters."""
    terms = [
        element("li", element("code", f"?{name}"), f" {meaning}")
        for name, meaning in endpoint.query.items()
    ]
    return element("ul", *terms)


@group.answers("GET /openapi.json", "An OpenAPI 3.1 description of all endpoints.")
async def openapi(request: Request) -> Response:
    """Answer the table as OpenAPI."""
    base = str(request.base_url).rstrip("/")
    paths: dict[str, dict[str, Any]] = {}
    for group in groups_of(request):
        for endpoint in group.endpoints:
            for method in endpoint.methods:
                operations = paths.setdefault(endpoint.shown_path, {})
                operations[method.lower()] = operation(endpoint, method)
    body = {
        "openapi": "3.1.0",
        "info": {"title": NETWORK["name"], "version": "1.0.0", "summary": NETWORK["motto"]},
        "servers": [{"url": base}],
        "tags": [{"name": g.title, "description": g.about} for g in groups_of(request)],
        "paths": paths,
    }
    return json_reply(body)


def operation(endpoint: Endpoint, method: str) -> dict[str, Any]:
    """Return one endpoint as an OpenAPI operation."""
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if kind == ":int" else "string"},
        }
        for name, kind in re.findall(r"\{(\w+)(:\w+)?\}", endpoint.path)
    ]
    in_query = [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in endpoint.query.items()
    ]
    words = re.sub(r"\W+", "_", endpoint.shown_path).strip("_") or "index"
    return {
        "operationId": f"{method.lower()}_{words}",
        "summary": endpoint.summary,
        "tags": [endpoint.group],
        "parameters": in_path + in_query,
        "responses": {"default": {"description": endpoint.summary}},
    }


@group.answers("GET /about.html", "A page of HTML, with a picture and a table.")
async def about(request: Request) -> Response:
    """Answer a page as a small town's bike share would have it."""
    records = state_of(request).all("stations")
    largest = sorted(records, key=lambda record: -record["capacity"])[:8]
    cells = [
        element(
            "tr",
            element("td", record["name"]),
            element("td", record.get("district", "")),
            element("td", str(record["capacity"])),
        )
        for record in largest
    ]
    head = element("tr", *(element("th", name) for name in ("Station", "District", "Docks")))
    html = page(
        "About Harbour Bikes",
        css(),
        element(
            "header",
            element("h1", "About Harbour Bikes"),
            element("p", f"{len(records)} stations from Railway Yards to Île aux Mouettes."),
        ),
        element(
            "section",
            element("h2", "Where they are"),
            element("img", src="/pictures/map.svg", alt="Map of the stations"),
        ),
        element(
            "section",
            element("h2", "The largest"),
            element("table", element("thead", head), element("tbody", *cells)),
        ),
        meta={"description": "The bike share of Port Elara"},
    )
    return HTMLResponse(html)


@group.answers("POST /reset", "Puts all records back and forgets counters and sessions.")
async def reset(request: Request) -> Response:
    """Start over."""
    state_of(request).reset()
    return Response(status_code=204)


def server_html(groups: Sequence[Group], url: str | None) -> str:
    """Return what a notebook shows for a server; `url` is None for a stopped one."""
    if url is None:
        return rendered(element("p", "Demo API server, stopped: call ", element("code", "start()")))
    link = element("a", url, href=url)
    endpoints = [endpoint for group in groups for endpoint in group.endpoints]
    rows = [
        element(
            "tr",
            element("td", element("code", f"{endpoint.method} {endpoint.shown_path}")),
            element("td", *prose(endpoint.summary), style="text-align: left"),
        )
        for endpoint in endpoints
    ]
    summary = element("summary", f"{len(endpoints)} endpoints")
    table = element("details", summary, element("table", element("tbody", *rows)))
    return rendered(element("div", element("p", "Demo API server at ", link), table))
