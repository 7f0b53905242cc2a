"""The demo API: what it lists is what it serves, and it starts and stops without a trace."""

import asyncio
import base64
import csv
import gc
import gzip
import hashlib
import io
import json
import re
import socket
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest
from starlette.routing import Route

from nbhttp._demo.app import make_app
from nbhttp._demo.data import COUNTS, make_records
from nbhttp._demo.exchange import multipart
from nbhttp._demo.state import DemoState
from nbhttp.errors import MissingExtraError
from nbhttp.integrations._require import require
from nbhttp.testing import DemoServer

pytestmark = pytest.mark.usefixtures("demo")


@pytest.fixture
def client(demo: DemoServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, timeout=20) as client:
        yield client


def demo_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "nbhttp demo" in thread.name]


# --- the index


def test_the_index_lists_exactly_the_routes(client: httpx.Client) -> None:
    """Every route is listed with its methods, and nothing else is."""
    listed = {
        (method, entry["path"])
        for entry in client.get("/").json()["endpoints"]
        for method in methods(entry["method"])
    }
    routed = {
        (method, re.sub(r":\w+\}", "}", route.path))
        for route in make_app(DemoState()).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert listed == routed
    assert len(listed) > 60


def methods(shown: str) -> list[str]:
    return ["DELETE", "GET", "PATCH", "POST", "PUT"] if shown == "ANY" else [shown]


def test_every_example_of_the_index_answers(client: httpx.Client) -> None:
    """The examples work as they stand: none is unknown, none is refused as invalid."""
    entries = client.get("/").json()["endpoints"]
    for entry in entries:
        if entry["method"] in ("GET", "ANY"):
            answer = client.get(entry["example"])
            wanted = {"/status/{code}": 404, "/problem": 422, "/broken": 500, "/busy": 503}
            is_guarded = entry["group"] == "Access"
            expected = 401 if is_guarded else wanted.get(entry["path"])
            assert answer.status_code == (expected or answer.status_code), entry
            assert expected or answer.status_code < 400, entry


def test_the_index_is_html_for_a_browser(client: httpx.Client) -> None:
    """A browser gets a page that names every path, without script or outside reference."""
    answer = client.get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["vary"] == "Accept"
    for entry in client.get("/").json()["endpoints"]:
        assert f"<code>{entry['path']}</code>" in answer.text
    assert "<script" not in answer.text
    assert not re.findall(r'(?:href|src)="(?:https?:)?//', answer.text)


def test_openapi_describes_the_same_paths(client: httpx.Client) -> None:
    """The OpenAPI description has each endpoint, with its parameters and a unique id."""
    described = client.get("/openapi.json").json()
    paths = {entry["path"] for entry in client.get("/").json()["endpoints"]}
    assert set(described["paths"]) == paths
    operations = [op for path in described["paths"].values() for op in path.values()]
    assert len({op["operationId"] for op in operations}) == len(operations)
    parameters = described["paths"]["/files/{name}"]["get"]["parameters"]
    assert [(p["name"], p["in"]) for p in parameters] == [
        ("name", "path"),
        ("size", "query"),
        ("rate", "query"),
    ]


def test_an_unknown_path_and_method_are_problems(client: httpx.Client) -> None:
    """404 says where the list is; 405 names all methods of the path."""
    missing = client.get("/nowhere")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert "/nowhere" in missing.json()["detail"]
    refused = client.delete("/stations")
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


# --- collections


def pages_by_link(client: httpx.Client) -> Iterator[list[Any]]:
    url: str | None = "/stations?per_page=33"
    while url:
        answer = client.get(url)
        assert answer.headers["x-total-count"] == "240"
        yield answer.json()
        url = answer.links.get("next", {}).get("url")


def pages_by_number(client: httpx.Client) -> Iterator[list[Any]]:
    page, pages = 1, 1
    while page <= pages:
        body = client.get("/trips", params={"page": page, "per_page": 90}).json()
        yield body["items"]
        page, pages = page + 1, body["pages"]


def pages_by_offset(client: httpx.Client) -> Iterator[list[Any]]:
    offset, total = 0, 1
    while offset < total:
        body = client.get("/bikes", params={"offset": offset, "limit": 70}).json()
        yield body["data"]
        offset, total = offset + body["limit"], body["total"]


def pages_by_cursor(client: httpx.Client) -> Iterator[list[Any]]:
    cursor: str | None = ""
    while cursor is not None:
        body = client.get("/repairs", params={"cursor": cursor, "limit": 64}).json()
        assert body["has_more"] == (body["next_cursor"] is not None)
        yield body["data"]
        cursor = body["next_cursor"]


def pages_by_url(client: httpx.Client) -> Iterator[list[Any]]:
    url = "/riders?per_page=100"
    while url:
        body = client.get(url).json()
        yield body["results"]
        url = body["next"]


@pytest.mark.parametrize(
    ("walk", "name"),
    [
        (pages_by_link, "stations"),
        (pages_by_number, "trips"),
        (pages_by_offset, "bikes"),
        (pages_by_cursor, "repairs"),
        (pages_by_url, "riders"),
    ],
)
def test_pages_hold_every_record_once(client: httpx.Client, walk: Any, name: str) -> None:
    """Each style of pagination walks the whole collection, each record once and in order."""
    pages = list(walk(client))
    records = [record for page in pages for record in page]
    assert records == list(make_records(name))
    assert len(records) == COUNTS[name]
    assert len(pages) > 2


def test_a_page_past_the_end_is_empty(client: httpx.Client) -> None:
    """The last page has no next; the one after it has no records."""
    assert client.get("/stations?page=99").json() == []
    assert "next" not in client.get("/stations?page=5").links


@pytest.mark.parametrize(
    "target",
    [
        "/trips?page=0",
        "/trips?per_page=101",
        "/bikes?offset=x",
        "/repairs?cursor=zzz",
        "/slow?seconds=nan",
    ],
)
def test_bad_query_parameters_are_named(client: httpx.Client, target: str) -> None:
    """A 422 says which parameter is wrong and what would be right."""
    answer = client.get(target)
    assert answer.status_code == 422
    name = re.search(r"\?(\w+)=", target)
    assert name is not None
    assert [error["field"] for error in answer.json()["errors"]] == [name[1]]


def test_a_station_is_created_changed_and_removed(client: httpx.Client, demo: DemoServer) -> None:
    """201 with Location, 409, 422, PATCH, PUT, 204 and 404 follow each other; reset undoes it."""
    new = {"name": "Pier 7", "capacity": 12}
    created = client.post("/stations", json=new)
    where = created.headers["location"]
    assert (created.status_code, where) == (201, "/stations/241")
    assert client.post("/stations", json=new).status_code == 409
    assert client.post("/stations", json={"name": "", "capacity": True}).status_code == 422
    assert client.patch(where, json={"capacity": 20}).json() == {"id": 241, **new, "capacity": 20}
    assert client.put(where, json={"name": "Pier 8", "capacity": 1}).json()["name"] == "Pier 8"
    assert client.delete(where).status_code == 204
    assert client.get(where).status_code == 404
    client.delete("/stations/1")
    demo.reset()
    assert client.get("/stations/1").json() == make_records("stations")[0]


def test_wrong_bodies_are_told_apart(client: httpx.Client) -> None:
    """Not JSON is 400, another type 415, JSON that is no object 422."""
    headers = {"Content-Type": "application/json"}
    assert client.post("/stations", content=b"{", headers=headers).status_code == 400
    assert client.post("/stations", content=b"[]", headers=headers).status_code == 422
    assert client.post("/stations", content=b"{}").status_code == 415


def test_validators_guard_a_record(client: httpx.Client) -> None:
    """If-None-Match answers 304 without a body, a stale If-Match 412."""
    first = client.get("/stations/5")
    etag = first.headers["etag"]
    again = client.get("/stations/5", headers={"If-None-Match": f'"x", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    change = client.patch("/stations/5", json={"capacity": 3}, headers={"If-Match": etag})
    assert change.status_code == 200
    assert change.headers["etag"] != etag
    stale = client.delete("/stations/5", headers={"If-Match": etag})
    assert stale.status_code == 412


def test_exports_hold_all_trips(client: httpx.Client) -> None:
    """CSV, NDJSON and ZIP have the same records as the collection."""
    trips = list(make_records("trips"))
    rows = list(csv.DictReader(io.StringIO(client.get("/exports/trips.csv").text, newline="")))
    assert [int(row["id"]) for row in rows] == [trip["id"] for trip in trips]
    lines = client.get("/exports/trips.ndjson").text.splitlines()
    assert [json.loads(line) for line in lines] == trips
    archive = zipfile.ZipFile(io.BytesIO(client.get("/documents/records.zip").content))
    assert json.loads(archive.read("trips.json")) == trips
    assert sum(d["stations"] for d in client.get("/network").json()["districts"]) == 240


def test_the_data_is_the_same_in_another_process() -> None:
    """The records depend on no hash seed and no clock."""
    code = (
        "import json, hashlib; from nbhttp._demo.data import COUNTS, make_records;"
        "print(hashlib.sha256(json.dumps([make_records(n) for n in COUNTS]).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            text=True,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    here = json.dumps([make_records(name) for name in COUNTS]).encode()
    assert digests == {hashlib.sha256(here).hexdigest() + "\n"}


# --- downloads


@pytest.mark.parametrize(
    ("field", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=65530-65545", 65530, 65546),
        ("bytes=100000-", 100000, 200000),
        ("bytes=-7", 199993, 200000),
        ("bytes=199999-300000", 199999, 200000),
        ("bytes=-999999", 0, 200000),
    ],
)
def test_a_range_is_that_part_of_the_file(
    client: httpx.Client, field: str, start: int, stop: int
) -> None:
    """A 206 has exactly the bytes asked for and says which they are."""
    whole = client.get("/files/a.bin?size=200000").content
    part = client.get("/files/a.bin?size=200000", headers={"Range": field})
    assert part.status_code == 206
    assert part.content == whole[start:stop]
    assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/200000"


@pytest.mark.parametrize("field", ["bytes=0-1,4-5", "lines=1-2", "bytes=9-3", "bytes=-"])
def test_a_range_that_is_not_understood_is_ignored(client: httpx.Client, field: str) -> None:
    """The whole file comes with 200."""
    answer = client.get("/files/a.bin?size=100", headers={"Range": field})
    assert (answer.status_code, len(answer.content)) == (200, 100)


@pytest.mark.parametrize("field", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_outside_the_file_is_416(client: httpx.Client, field: str) -> None:
    """The answer tells the file's size."""
    answer = client.get("/files/a.bin?size=100", headers={"Range": field})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100")


def test_if_range_decides_between_part_and_whole(client: httpx.Client) -> None:
    """The range is served for the same validator, the whole file for another."""
    head = client.head("/files/a.bin?size=100")
    assert head.headers["content-length"] == "100"
    for validator in (head.headers["etag"], head.headers["last-modified"]):
        fields = {"Range": "bytes=50-", "If-Range": validator}
        assert client.get("/files/a.bin?size=100", headers=fields).status_code == 206
    fields = {"Range": "bytes=50-", "If-Range": head.headers["etag"]}
    assert client.get("/files/a.bin?size=101", headers=fields).status_code == 200


def test_digests_are_those_of_the_bytes(client: httpx.Client) -> None:
    """Repr-Digest and the digest endpoint agree with the content, also on a part."""
    whole = client.get("/files/b.bin?size=300000")
    sha256 = hashlib.sha256(whole.content)
    assert client.get("/digests/b.bin?size=300000").json()["sha256"] == sha256.hexdigest()
    wanted = f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:"
    part = client.get("/files/b.bin?size=300000", headers={"Range": "bytes=5-9"})
    assert whole.headers["repr-digest"] == part.headers["repr-digest"] == wanted
    assert client.get("/files/empty?size=0").content == b""
    known = {"If-None-Match": whole.headers["etag"]}
    assert client.get("/files/b.bin?size=300000", headers=known).status_code == 304


def test_pictures_and_documents_are_well_formed(client: httpx.Client) -> None:
    """The PNG has valid chunks, the SVG parses, the PDF's table points at its objects."""
    png = client.get("/pictures/hours.png").content
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    length = int.from_bytes(png[33:37], "big")
    assert len(zlib.decompress(png[41 : 41 + length])) == height * (1 + 3 * width)
    assert zlib.crc32(png[37 : 41 + length]) == int.from_bytes(
        png[41 + length : 45 + length], "big"
    )
    svg = ET.fromstring(client.get("/pictures/map.svg").text)
    assert len(svg.findall(".//{http://www.w3.org/2000/svg}circle")) == 240
    pdf = client.get("/documents/report.pdf").content
    start = int(pdf.split(b"startxref\n")[1].split()[0])
    offsets = [int(line[:10]) for line in pdf[start:].splitlines()[3:8]]
    assert [pdf[o : o + 7] for o in offsets] == [b"%d 0 obj" % n for n in range(1, 6)]


# --- streams


def events_of(text: str) -> list[str]:
    return [line[4:] for line in text.splitlines() if line.startswith("id: ")]


def test_the_ticker_resumes_after_the_last_event(client: httpx.Client) -> None:
    """Broken off every three events and resumed, all ten come once; then 204 ends it."""
    seen: list[str] = []
    target = "/streams/ticker?events=10&interval=0&drop=3"
    while (answer := client.get(target, headers={"Last-Event-ID": seen[-1]} if seen else {})).text:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen += events_of(answer.text)
    assert answer.status_code == 204
    assert seen == [str(number) for number in range(1, 11)]


def test_the_assistant_answers_in_tokens(client: httpx.Client) -> None:
    """The tokens put together are a sentence, and [DONE] closes the stream."""
    lines = client.post("/streams/assistant?interval=0", json={"prompt": "?"}).text.split("\n\n")
    data = [line.removeprefix("data: ") for line in lines if line]
    deltas = [json.loads(item)["choices"][0]["delta"] for item in data[:-1]]
    text = "".join(delta.get("content", "") for delta in deltas)
    assert text.startswith("Most trips")
    assert text.endswith("ride!")
    assert data[-1] == "[DONE]"


# --- echo, uploads, encodings


def test_echo_tells_what_it_received(client: httpx.Client) -> None:
    """Query, JSON, form and files come back as they were sent."""
    plain = client.put("/echo?a=1&a=2&b=%C3%A9", json={"x": [1]}).json()
    assert (plain["method"], plain["query"]) == ("PUT", {"a": ["1", "2"], "b": "é"})
    assert plain["json"] == {"x": [1]}
    assert client.post("/echo", data={"f": "ü", "g": ""}).json()["form"] == {"f": "ü", "g": ""}
    content = b"\r\n--not-the-boundary\r\n\x00\xff"
    sent = client.post("/echo", files={"up": ("é.bin", content, "image/x")}, data={"k": "v"}).json()
    assert sent["form"] == {"k": "v"}
    assert sent["files"] == [
        {
            "field": "up",
            "filename": "é.bin",
            "content_type": "image/x",
            "length": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    ]
    assert client.post("/echo", content=b"\xff").json()["body"]["text"] is None


def test_multipart_without_a_boundary_has_no_parts() -> None:
    """What is not multipart has no parts."""
    assert multipart("text/plain", b"--x\r\n\r\n") == []
    assert multipart("multipart/form-data; boundary=x", b"nothing") == []


def test_uploads_are_hashed(client: httpx.Client) -> None:
    """Length and digest are those of the body, sent whole or in chunks."""
    body = bytes(range(256)) * 1000
    for content in (body, iter([body[:1000], body[1000:]])):
        answer = client.post("/uploads", content=content)
        assert answer.status_code == 201
        assert answer.json()["length"] == len(body)
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
        assert answer.json()["was_chunked"] is not isinstance(content, bytes)


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "br", "zstd"])
def test_codings_hold_the_same_trips(client: httpx.Client, coding: str) -> None:
    """Each coding decodes to the trips."""
    answer = client.get(f"/encoded/{coding}")
    assert answer.headers.get("content-encoding", "identity") == coding
    assert answer.json() == {"coding": coding, "items": list(make_records("trips"))}
    if coding == "gzip":
        with client.stream("GET", "/encoded/gzip") as raw:
            assert gzip.decompress(b"".join(raw.iter_raw()))


def test_charsets_are_those_declared(client: httpx.Client) -> None:
    """The text decodes under the charset of its Content-Type."""
    assert client.get("/text/shift_jis").text == "港からこんにちは"
    assert "señor" in client.get("/text/iso-8859-1").text
    assert client.get("/text/utf-16").text == client.get("/text/utf-8").text
    assert client.get("/text/klingon").status_code == 404


# --- access


@pytest.mark.parametrize(
    ("path", "options", "scheme"),
    [
        ("/auth/basic", {"auth": ("demo", "harbour")}, "Basic"),
        ("/auth/bearer", {"headers": {"Authorization": "Bearer demo-token"}}, "Bearer"),
        ("/auth/key", {"headers": {"X-API-Key": "demo-key"}}, ""),
    ],
)
def test_credentials_open_the_door(
    client: httpx.Client, path: str, options: dict[str, Any], scheme: str
) -> None:
    """Without them 401 with the scheme's challenge, with them 200."""
    refused = client.get(path)
    assert refused.status_code == 401
    assert refused.headers.get("www-authenticate", "").startswith(scheme)
    assert client.get(path, headers={"Authorization": "Basic %%%"}).status_code == 401
    assert client.get(path, **options).json()["authenticated"] is True


@pytest.mark.parametrize("kind", ["data", "json"])
def test_a_login_lasts_until_logout(client: httpx.Client, kind: str) -> None:
    """The cookie of the login opens /me; logging out deletes it and ends the session."""
    assert client.get("/me").status_code == 401
    assert client.post("/login", **{kind: {"user": "demo", "password": "no"}}).status_code == 401
    client.post("/login", **{kind: {"user": "demo", "password": "harbour"}})
    session = client.cookies["session"]
    assert client.get("/me").json() == {"user": "demo", "cookies": ["greeting", "session"]}
    client.post("/logout")
    assert not dict(client.cookies)
    assert client.get("/me", headers={"Cookie": f"session={session}"}).status_code == 401


# --- trouble


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_busy_answers_after_some_failures(client: httpx.Client, method: str) -> None:
    """Each key fails as often as asked, with Retry-After, and then succeeds."""
    target = "/busy?failures=2&status=429&retry_after=3&key="
    answers = [client.request(method, target + key) for key in "aabab"]
    assert [answer.status_code for answer in answers] == [429, 429, 429, 200, 429]
    assert answers[0].headers["retry-after"] == "3"
    assert answers[3].json() == {"attempt": 3, "key": "a"}


def test_the_rate_limit_refuses_what_is_over_it(client: httpx.Client) -> None:
    """The burst is served, the next one is 429 and says when to come back."""
    answers = [client.get("/limited?rate=0.1&burst=3&key=t") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 10


@pytest.mark.parametrize("code", [200, 204, 304, 404, 418, 503, 599])
def test_status_is_the_one_asked_for(client: httpx.Client, code: int) -> None:
    """The status comes as asked; errors are problem+json."""
    answer = client.post(f"/status/{code}")
    assert answer.status_code == code
    if code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == code
    assert client.get("/status/700").status_code == 422


def test_redirects_lead_where_they_say(client: httpx.Client) -> None:
    """A chain has its length; 303 turns POST into GET, 307 and 308 keep method and body."""
    assert len(client.get("/redirects/3", follow_redirects=True).history) == 3
    for kind, method in (("see-other", "GET"), ("temporary", "POST"), ("permanent", "POST")):
        answer = client.post(f"/redirects/{kind}", content=b"body", follow_redirects=True).json()
        assert answer["method"] == method
        assert answer["body"]["text"] == ("" if method == "GET" else "body")
    with pytest.raises(httpx.TooManyRedirects):
        client.get("/redirects/loop", follow_redirects=True)


def test_slow_answers_do_not_hold_up_others(client: httpx.Client, demo: DemoServer) -> None:
    """While one answer waits, another is served."""
    with client.stream("GET", "/drip?seconds=30&size=3"):
        assert httpx.get(f"{demo.url}/slow?seconds=0").json() == {"waited_s": 0.0}


# --- life


def test_it_listens_on_loopback_alone_and_repeats() -> None:
    """Its address is 127.0.0.1; stopping frees the port, and starting again works."""
    server = DemoServer()
    assert repr(server) == "<DemoServer (stopped)>"
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    for _ in range(2):
        with server:
            assert server.start() is server
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
            assert repr(server) == f"<DemoServer at {server.url}>"
            port = int(server.url.rpartition(":")[2])
            assert httpx.get(f"{server.url}/nothing").status_code == 204
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    server.stop()


def test_several_run_at_once_with_their_own_data() -> None:
    """What one changes the other does not see."""
    with DemoServer() as one, DemoServer() as two:
        assert one.url != two.url
        httpx.delete(f"{one.url}/stations/1")
        assert httpx.get(f"{one.url}/stations/1").status_code == 404
        assert httpx.get(f"{two.url}/stations/1").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/drip?seconds=60&size=60", "/streams/ticker?interval=60", "/files/x?size=9000000&rate=99999"],
)
def test_stopping_breaks_off_open_streams(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An answer under way ends with an error, not with the server waiting; no thread is left."""
    before = demo_threads()
    server = DemoServer().start()
    with httpx.Client() as client, client.stream("GET", server.url + path, timeout=30) as answer:
        content = answer.iter_raw(1)
        if "drip" not in path:
            next(content)
        server.stop()
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            list(content)
    assert demo_threads() == before
    gc.collect()
    assert capfd.readouterr().err == ""


def test_stopping_breaks_off_an_answer_not_begun(
    capfd: pytest.CaptureFixture[str], demo: DemoServer
) -> None:
    """A request that waits for its answer is cut off too."""
    server = DemoServer().start()
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /slow?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        httpx.get(f"{server.url}/nothing")  # one loop serves in order: the first has arrived
        server.stop()
        try:
            received = connection.recv(1000)
        except ConnectionResetError:
            received = b""
    assert received == b""
    assert capfd.readouterr().err == ""


def test_it_works_inside_a_running_loop() -> None:
    """A cell of a notebook runs on a loop; the server has its own."""

    async def cell() -> int:
        with DemoServer() as server:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{server.url}/trips")).json()["total"]

    assert asyncio.run(cell()) == 600


def test_a_forgotten_server_stops() -> None:
    """When the last name for it is gone, so is its thread."""
    before = demo_threads()
    server = DemoServer().start()
    assert demo_threads() != before
    del server
    gc.collect()
    assert demo_threads() == before


def test_a_server_left_running_lets_python_exit_quietly() -> None:
    """A script that ends without stop() ends without a word."""
    code = (
        "import urllib.request; from nbhttp.testing import DemoServer; s = DemoServer().start();"
        "urllib.request.urlopen(s.url).close()"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_it_leaves_the_programs_logging_alone(caplog: pytest.LogCaptureFixture) -> None:
    """No access is logged, and uvicorn's loggers keep their handlers and levels."""
    import logging

    logger = logging.getLogger("uvicorn.access")
    before = (list(logger.handlers), logger.propagate, logger.level)
    with caplog.at_level("INFO"), DemoServer() as server:
        httpx.get(f"{server.url}/trips")
    assert (list(logger.handlers), logger.propagate, logger.level) == before
    assert not [record for record in caplog.records if record.name == "uvicorn.access"]


def test_a_notebook_shows_the_endpoints(demo: DemoServer) -> None:
    """The rich form links to the index and lists the endpoints, escaped, without script."""
    shown = demo._repr_html_()
    assert f'<a href="{demo.url}">' in shown
    assert "<code>GET /stations/{id}</code>" in shown
    assert "<script" not in shown
    assert "stopped" in DemoServer()._repr_html_()


def test_a_wrong_port_is_refused() -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match="70000"):
        DemoServer(port=70000)


def test_a_taken_port_is_an_error_at_start(demo: DemoServer) -> None:
    """Starting says so, and leaves the server stopped."""
    other = DemoServer(port=int(demo.url.rpartition(":")[2]))
    with pytest.raises(OSError, match="in use"):
        other.start()
    assert not other.is_running


def test_a_missing_extra_says_how_to_install_it() -> None:
    """The error names the package, the feature and the command."""
    with pytest.raises(MissingExtraError) as caught:
        require("nbhttp_no_such_package.part", extra="pandas", feature="to_pandas()")
    assert str(caught.value) == (
        "nbhttp_no_such_package.part is needed for to_pandas(); "
        "install it with: pip install 'nbhttp[pandas]'"
    )
    assert require("json", extra="x", feature="y") is json


def test_the_pytest_plugin_serves_the_demo_and_loads_nothing_else(tmp_path: Any) -> None:
    """The fixture `nbhttp_demo` works in a user's tests, and costs nothing where it is not used."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # a project of its own, wherever it lies
    (tmp_path / "test_user.py").write_text(
        "import sys, urllib.request\n"
        "def test_nothing_is_loaded():\n"
        "    assert not {'httpx', 'starlette', 'uvicorn', 'nbhttp.testing'} & set(sys.modules)\n"
        "def test_demo(nbhttp_demo):\n"
        "    urllib.request.urlopen(nbhttp_demo.url + '/stations').close()\n"
    )
    plugins = ["-p", "nbhttp._pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:anyio"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert "2 passed" in ended.stdout, ended.stdout + ended.stderr
