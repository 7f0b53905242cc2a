"""Nothing secret is ever printed: secrets of one run, put everywhere, are sought in all output.

What is data and asked for by its name shows what the server said, on purpose, and is not searched:
`r.url`, `r.text`, `r.content`, `r.json()`, `r.headers`, `r.response` with its `request`,
`redirect.url` and `redirect.location`, the data of stream pieces and events, `client.headers`,
`client.cookies`, the downloaded file, `Secret.reveal()`. A traceback also quotes lines of the
user's own code; here no secret stands in a line of code, as none should.

That a configure cell run five times gives one line an event, and that fifty concurrent requests
write fifty whole lines, is tested with the log, in `unit/test_logs.py`.
"""

import asyncio
import base64
import csv
import html
import io
import json
import logging
import socket
import socketserver
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from canaries import Canaries, Outputs
from servers import FaultServer

import nbhttp
from nbhttp import LoggerManager

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NAMES = json.loads(
    (Path(__file__).parents[1] / "corpora" / "secrets" / "names.json").read_text("utf-8")
)
HEADERS = [
    name
    for name in NAMES["headers_must_redact"]
    if name not in {"Cookie", "Set-Cookie", "Proxy-Authorization", "Proxy-Authenticate"}
]
QUERY = NAMES["query_must_redact"]
JSON_KEYS = NAMES["json_fields_must_redact"]


# --- a proxy ---------------------------------------------------------------------------------


class Proxy(socketserver.ThreadingTCPServer):
    """A forward proxy; with a password it refuses everybody else, and says what was given."""

    daemon_threads = True
    password: str | None = None

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class ProxyHandler(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if self.server.password is not None and not self._is_let_in(head):
            self._refuse(head)
        elif method == "CONNECT":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._relay(target, b"")
        else:
            url = httpx.URL(target)
            start = head.replace(target.encode(), url.raw_path, 1)
            start = start.replace(b"Connection: keep-alive", b"Connection: close")
            self._relay(f"{url.host}:{url.port}", start)

    def _is_let_in(self, head: bytes) -> bool:
        return base64.b64encode(str(self.server.password).encode()) in head

    def _refuse(self, head: bytes) -> None:
        body = json.dumps({"error": {"message": "you sent " + head.decode("latin-1")}}).encode()
        self.wfile.write(
            b"HTTP/1.1 407 Proxy Authentication Required\r\n"
            b'Proxy-Authenticate: Basic realm="proxy"\r\nConnection: close\r\n'
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    def _relay(self, target: str, start: bytes) -> None:
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            there.sendall(start)
            thread = threading.Thread(target=_copy, args=(self.connection, there), daemon=True)
            thread.start()
            _copy(there, self.connection)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", 0), ProxyHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# --- one face over both ----------------------------------------------------------------------


class Face:
    """Calls the async or the sync client, in the same words."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.is_sync = isinstance(client, nbhttp.HttpClient)

    async def call(self, name: str, *args: Any, **options: Any) -> Any:
        made = getattr(self.client, name)(*args, **options)
        return made if self.is_sync else await made

    async def drain(self, name: str, *args: Any, **options: Any) -> list[Any]:
        stream = getattr(self.client, name)(*args, **options)
        return list(stream) if self.is_sync else [piece async for piece in stream]

    async def close(self) -> None:
        await (asyncio.to_thread(self.client.close) if self.is_sync else self.client.aclose())


class Drive:
    """Sends secrets to every place, with every outcome, and keeps what was put out."""

    def __init__(
        self, make: Callable[..., Any], fault: FaultServer, proxy: Proxy, tmp_path: Path
    ) -> None:
        self.make = make
        self.fault = fault
        self.proxy = proxy
        self.folder = tmp_path
        self.canaries = Canaries()
        self.outputs = Outputs()
        self.raw_number = 0

    # What is sent

    def secret_headers(self) -> dict[str, str]:
        return {name: self.canaries.new(f"header {name}") for name in HEADERS}

    def secret_query(self) -> dict[str, str]:
        return {name: self.canaries.new(f"query {name}", awkward=True) for name in QUERY}

    def secret_json(self) -> dict[str, Any]:
        flat = {name: self.canaries.new(f"JSON {name}", awkward=True) for name in JSON_KEYS}
        return {**flat, "deep": [{"auth_token": self.canaries.new("nested JSON", awkward=True)}]}

    def secret_form(self) -> dict[str, str]:
        return {
            name: self.canaries.new(f"form {name}", awkward=True)
            for name in ("password", "client_secret", "refresh_token", "code")
        }

    def secret_cookies(self, where: str) -> dict[str, str]:
        return {
            name: self.canaries.new(f"{where} cookie {name}")
            for name in ("session", "sid", "remember", "csrftoken")
        }

    def client(self, **options: Any) -> Face:
        """A client whose every request carries secrets of the client's own."""
        options = {
            "trust_env": False,
            "timeout": 10.0,
            "headers": self.secret_headers(),
            "cookies": self.secret_cookies("client"),
            "params": {"api_key": self.canaries.new("client's query", awkward=True)},
        } | options
        face = Face(self.make(**options))
        face.client.subscribe(lambda event: self.outputs.add("an event", repr(event)))
        return face

    # What comes back

    def answer(
        self,
        body: bytes | str,
        *,
        status: str = "200 OK",
        kind: str = "application/json",
        fields: tuple[str, ...] = (),
        cut: int = 0,
    ) -> str:
        """Have the server answer with exactly this; return the URL."""
        self.raw_number += 1
        data = body.encode() if isinstance(body, str) else body
        lines = (
            f"HTTP/1.1 {status}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(data)}",
            *fields,
        )
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return self.fault.raw(f"/raw/{self.raw_number}", (head + data)[: -cut or None])

    def result(self, label: str, result: Any, *, success: bool | None = None) -> Any:
        """Keep every way in which a result shows itself."""
        out = self.outputs
        if success is not None:
            assert result.success is success, f"{label}: {result!r}"
        out.add_shown(label, result)
        for name in ("error", "hint", "attempts", "redirects", "timing", "peer", "restarts"):
            out.add(f"{name} of {label}", repr(getattr(result, name, None)))
        if isinstance(result, nbhttp.DownloadResult):
            out.add(f"to_dict of {label}", result.to_dict())
        for view in ("tree", "table"):
            try:
                shown = getattr(result, view)()
            except (nbhttp.NbhttpError, AttributeError) as exc:
                out.add_error(f"{view} of {label}", exc)
            else:
                out.add_shown(f"{view} of {label}", shown)
        if not result.success:
            with out.expected(f"raise_for_status of {label}", nbhttp.NbhttpError):
                result.raise_for_status()
        return result

    # The scenes

    async def all(self) -> None:
        for scene in (
            self.success,
            self.echoes,
            self.auth,
            self.redirects,
            self.failures,
            self.bodies,
            self.streams,
            self.downloads,
            self.proxies,
            self.misuse,
            self.hooks,
            self.bulk,
            self.tasks,
            self.registered,
        ):
            await scene()

    def userinfo(self, url: str) -> str:
        user = self.canaries.new("user in the URL", awkward=True)
        password = self.canaries.new("password in the URL", awkward=True)
        return url.replace("://", f"://{quote(user, safe='')}:{quote(password, safe='')}@")

    async def success(self) -> None:
        """All that a request can carry, to a server that tells it back."""
        face = self.client(base_url=self.fault.url)
        self.outputs.add_shown("the client", face.client)
        echo = self.userinfo(self.fault.url) + "/echo"
        r = await face.call("get", echo, params=self.secret_query())
        self.result("get", r, success=True)
        r = await face.call("get", echo + "?" + urlencode(self.secret_query()) + "#access_token=x")
        self.result("get with a query in its URL", r, success=True)
        options = {"headers": self.secret_headers(), "cookies": self.secret_cookies("call")}
        r = await face.call("post", "/echo", json=self.secret_json(), **options)
        self.result("post of JSON", r, success=True)
        r = await face.call("post", "/echo", data=self.secret_form(), **options)
        self.result("post of a form", r, success=True)
        file = self.canaries.new("multipart field")
        r = await face.call(
            "post", "/echo", data={"password": file}, files={"upload": ("a.txt", b"hi")}, **options
        )
        self.result("post of a multipart form", r, success=True)
        field = f"Set-Cookie: sid={self.canaries.new('Set-Cookie')}; Path=/; HttpOnly"
        r = await face.call("get", self.answer("{}", fields=(field,)))
        self.result("a cookie that is set", r, success=True)
        r = await face.call("get", "/cookies")
        self.result("the cookie sent back", r, success=True)
        self.outputs.add("engine_report", face.client.engine_report())
        self.outputs.add_shown("the client at its end", face.client)
        await face.close()

    async def echoes(self) -> None:
        """A server that complains in prose, with the secret in the middle of it."""
        face = self.client()
        for how, secret, put in (
            ("query", self.canaries.new("query", awkward=True), _in_query),
            ("header", self.canaries.new("header"), _in_header),
            ("bearer", self.canaries.new("bearer"), _in_bearer),
            ("cookie", self.canaries.new("cookie"), _in_cookie),
            ("JSON", self.canaries.new("JSON", awkward=True), _in_json),
            ("form", self.canaries.new("form", awkward=True), _in_form),
            ("multipart", self.canaries.new("multipart", awkward=True), _in_multipart),
            ("auth", self.canaries.new("basic", awkward=True), _in_auth),
        ):
            options = put(secret)
            said = f"the credential {secret} is not known here"
            for status in ("200 OK", "401 Unauthorized"):
                for kind, body in (
                    (
                        "application/json",
                        json.dumps({"error": {"message": said}, "list": [secret]}),
                    ),
                    ("application/problem+json", json.dumps({"title": "No", "detail": said})),
                    ("text/plain", said),
                    ("text/html", f"<h1>No</h1><p>{said}</p>"),
                    ("text/csv", _csv_row(secret)),
                ):
                    url = self.answer(body, status=status, kind=kind)
                    r = await face.call("post", url, **options)
                    self.result(f"an echo of {how} as {kind}, {status}", r)
                    try:
                        r.json()
                    except nbhttp.DecodeError as exc:
                        self.outputs.add_error(f"json() of an echo of {how} as {kind}", exc)
        await face.close()

    async def auth(self) -> None:
        """Every kind of auth object, accepted and refused."""
        sent = self.canaries.new("signature of a function")

        def sign(request: httpx.Request) -> httpx.Request:
            request.headers["X-Auth-Token"] = sent
            return request

        challenge = (
            "WWW-Authenticate: Digest "
            f'realm="{self.canaries.new("realm")}", nonce="{self.canaries.new("nonce")}", '
            'qop="auth", algorithm=MD5'
        )
        for label, auth in (
            ("a pair", ("ada", self.canaries.new("pair", awkward=True))),
            ("basic", nbhttp.basic("ada", self.canaries.new("basic()", awkward=True))),
            ("bearer", nbhttp.bearer(self.canaries.new("bearer()"))),
            ("httpx basic", httpx.BasicAuth("ada", self.canaries.new("httpx.BasicAuth"))),
            ("digest", httpx.DigestAuth("ada", self.canaries.new("digest", awkward=True))),
            ("a function", sign),
        ):
            face = self.client(auth=auth, base_url=self.fault.url)
            self.outputs.add_shown(f"auth as {label}", auth) if label in {
                "basic",
                "bearer",
            } else None
            self.result(f"auth as {label}", await face.call("get", "/echo"), success=True)
            url = self.answer('{"error": "no"}', status="401 Unauthorized", fields=(challenge,))
            self.result(f"auth refused as {label}", await face.call("get", url), success=False)
            r = await face.call("get", self.fault.refuse_url, auth=auth)
            self.result(f"auth as {label} to nobody", r, success=False)
            await face.close()

    async def redirects(self) -> None:
        """Tokens in Location, on this origin and across; too many; to what cannot be followed."""
        face = self.client(base_url=self.fault.url)
        for label, target in (
            ("here", f"{self.fault.url}/echo?{urlencode(self.secret_query())}"),
            ("across", f"{self.fault.other_url}/echo?{urlencode(self.secret_query())}"),
            ("with userinfo", self.userinfo(f"{self.fault.other_url}/echo")),
            ("to a fragment", f"/echo#access_token={self.canaries.new('fragment')}"),
            ("to a status", f"{self.fault.other_url}/status/401?token={self.canaries.new('401')}"),
        ):
            for method in ("get", "post"):
                r = await face.call(method, "/redirect/to", params={"url": target, "status": 307})
                self.result(f"redirect {label}", r)
        for target in ("ftp://h/p", "http://h:99999999/p", "http://[bad/p", self.fault.refuse_url):
            location = f"{target}?access_token={self.canaries.new('unfollowable')}"
            r = await face.call("get", "/redirect/to", params={"url": location})
            self.result("redirect to nowhere", r, success=False)
            self.outputs.add("nowhere", repr(r.exception))
        loop = {"access_token": self.canaries.new("redirect loop")}
        self.result("redirect loop", await face.call("get", "/redirect/loop", params=loop))
        await face.close()

    async def failures(self) -> None:
        """All that can go wrong with a request that carries secrets everywhere."""
        fault = self.fault
        face = self.client(verify=True)
        for label, url, more in (
            ("dead host", "http://no-such-host.invalid/p", {}),
            ("refused", fault.refuse_url, {}),
            ("refused with userinfo", self.userinfo(fault.refuse_url), {}),
            ("timeout", fault.url + "/conn/stall", {"timeout": 0.3}),
            ("no answer at all", fault.blackhole_url, {"timeout": 0.3}),
            ("TLS not trusted", fault.tls_url + "/echo", {}),
            ("TLS to a plain port", fault.url.replace("http:", "https:") + "/echo", {}),
            ("plain to a TLS port", fault.tls_url.replace("https:", "http:") + "/echo", {}),
            ("404", fault.url + "/status/404", {}),
            ("503", fault.url + "/status/503?retry_after=7", {}),
            ("closed", fault.url + "/conn/empty", {}),
            ("reset", fault.url + "/conn/reset", {}),
            ("half an answer", fault.url + "/conn/half", {}),
            ("not HTTP", fault.url + "/conn/garbage", {}),
            ("bad chunk", fault.url + "/chunked/badsize", {}),
            ("body broken off", fault.url + "/file/a/100000?truncate=5000", {}),
            ("body too large", fault.url + "/file/a/100000", {"max_body": 100}),
            ("bad gzip", fault.url + "/gzip/garbage", {}),
            ("gzip cut", fault.url + "/gzip/truncated", {}),
            ("bad gzip checksum", fault.url + "/gzip/crc", {}),
            ("head too large", fault.url + "/headers/huge?size=200000", {}),
            ("bad header", fault.url + "/headers/nocolon", {}),
            ("broken JSON", fault.url + "/json/trunc", {}),
            ("HTML for JSON", fault.url + "/json/html", {}),
        ):
            r = await face.call(
                "post",
                url,
                params=self.secret_query(),
                headers=self.secret_headers(),
                cookies=self.secret_cookies("call"),
                json=self.secret_json(),
                **more,
            )
            self.result(label, r)
            try:
                r.json()
            except nbhttp.DecodeError as exc:
                self.outputs.add_error(f"json() of {label}", exc)
        await face.close()

    async def bodies(self) -> None:
        """Secrets that the server makes, in answers of every shape."""
        face = self.client()
        new = self.canaries.new
        pairs = {name: new(f"answer's {name}", awkward=True) for name in JSON_KEYS}
        records = [{"id": n, "api_key": new("a record's"), "name": "x"} for n in range(4)]
        cut = json.dumps({"ok": 1, "access_token": new("cut JSON")})[:-4]
        for label, kind, body in (
            ("an object", "application/json", json.dumps(pairs)),
            ("records", "application/json", json.dumps(records)),
            ("an envelope", "application/json", json.dumps({"items": records, "token": new("t")})),
            ("NDJSON", "application/x-ndjson", "\n".join(map(json.dumps, records))),
            ("broken JSON", "application/json", cut),
            ("JSON as text", "text/plain", json.dumps(pairs)),
            ("a form", "application/x-www-form-urlencoded", urlencode(pairs)),
            ("CSV", "text/csv", f"name,password\nada,{new('CSV')}\nbob,{new('CSV')}\n"),
            ("a page", "text/html", f"<p>Go to <a href='/x?token={new('HTML')}'>x</a></p>"),
            ("text", "text/plain", f"export API_KEY={new('text')}\npassword: {new('text')}\n"),
            ("bytes", "application/octet-stream", f"\0\1access_token={new('bytes')}\0"),
        ):
            for status in ("200 OK", "400 Bad Request"):
                fields = tuple(f"{name}: {new(f'answer header {name}')}" for name in HEADERS)
                fields += (f"Set-Cookie: sid={new('Set-Cookie')}; Path=/elsewhere",)
                url = self.answer(body, status=status, kind=kind, fields=fields)
                r = self.result(f"{label}, {status}", await face.call("get", url))
                try:
                    r.json()
                except nbhttp.DecodeError as exc:
                    self.outputs.add_error(f"json() of {label}", exc)
        await face.close()

    async def streams(self) -> None:
        """Streams that are read, refused, broken off and not what was asked for."""
        face = self.client()
        new = self.canaries.new
        secrets = {"params": self.secret_query(), "headers": self.secret_headers()}
        url = self.fault.url
        await face.drain("stream_request", "GET", url + "/file/a/100000", **secrets)
        await face.drain("ndjson", url + "/ndjson", **secrets)
        bad = self.answer(
            f'{{"a": 1}}\n{{"token": "{new("bad line")}\n', kind="application/x-ndjson"
        )
        echo = json.dumps({"error": "unknown key " + secrets["params"]["api_key"]})
        for label, name, args, more in (
            ("broken off", "stream_request", ("GET", url + "/file/a/100000?truncate=5000"), {}),
            ("refused", "stream_request", ("GET", self.fault.refuse_url), {}),
            ("404", "stream_request", ("GET", url + "/status/404"), {}),
            ("401", "lines", (self.answer(echo, status="401 Unauthorized"),), {}),
            ("a bad line", "ndjson", (bad,), {}),
            ("a line too long", "lines", (bad,), {"max_line": 3}),
            ("no event stream", "sse", (url + "/json/html",), {}),
            ("bad event", "sse", (self._events(new("event")),), {"decode_json": True}),
            ("bad chunk", "lines", (url + "/chunked/badsize",), {}),
        ):
            with self.outputs.expected(f"stream {label}", nbhttp.NbhttpError):
                await face.drain(name, *args, **secrets, **more)
        stream = face.client.stream_request("GET", url + "/echo", **secrets)
        self.outputs.add_shown("a stream", stream)
        for event in await face.drain("sse", url + "/sse?n=2", reconnect=False, **secrets):
            self.outputs.add_shown("an event of a stream", event)
        await face.close()

    def _events(self, secret: str) -> str:
        return self.answer(f'data: {{"token": "{secret}\n\n', kind="text/event-stream")

    async def downloads(self) -> None:
        """Files that arrive and files that do not; what is left beside them."""
        face = self.client()
        url = self.fault.url + "/file/a/3000000"
        key = self.canaries.new("download's key", awkward=True)
        echo = json.dumps({"error": {"message": f"no such key: {key}"}})
        refused = self.answer(echo, status="403 Forbidden")
        for label, source, more in (
            ("whole", url, {}),
            ("again", url, {}),
            ("truncated", url + "?truncate=70000", {"max_attempts": 1}),
            ("resumed", url + "?truncate=170000", {"max_attempts": 1}),
            ("wrong checksum", url + "?x=1", {"checksum": "sha256:" + "0" * 64}),
            ("404", self.fault.url + "/status/404", {}),
            ("refused", self.fault.refuse_url + "/x", {"max_attempts": 1}),
            ("403", refused, {}),
            ("changed", url + "?change_after=1&truncate=70000", {"max_attempts": 1}),
        ):
            for progress in (
                (True, "bar", self._see) if label in {"whole", "truncated"} else (True,)
            ):
                r = await face.call(
                    "download_file",
                    source,
                    self.folder / "files" / f"{label}.bin",
                    params={**self.secret_query(), "api_key": key, "for": label},
                    headers=self.secret_headers(),
                    cookies=self.secret_cookies("download"),
                    progress=progress,
                    mkdir=True,
                    overwrite=True,
                    **more,
                )
                self.result(f"download {label}", r)
        many = await face.call(
            "download_many",
            [
                (f"{url}?api_key={self.canaries.new('many')}", "first.bin"),
                {"url": refused, "headers": self.secret_headers()},
                self.userinfo(self.fault.refuse_url) + f"/y?token={self.canaries.new('many')}",
            ],
            self.folder / "files",
            max_attempts=1,
        )
        self.outputs.add_shown("many downloads", many)
        for r in many:
            self.result("one of many", r)
        await face.close()
        for path in (self.folder / "files").iterdir():
            self.outputs.add("a file's name", path.name)
            if path.suffix != ".bin":
                self.outputs.add(path.name, path.read_bytes().decode("latin-1"))

    def _see(self, event: object) -> None:
        self.outputs.add("progress", repr(event))

    async def proxies(self) -> None:
        """A proxy that lets in and one that does not, over http and https."""
        user, right = self.canaries.new("proxy user"), self.canaries.new("proxy", awkward=True)
        self.proxy.password = f"{user}:{right}"
        for label, password in (("right", right), ("wrong", self.canaries.new("wrong proxy"))):
            address = f"http://{user}:{quote(password, safe='')}@127.0.0.1:{self.proxy.port}"
            face = self.client(proxy=address, verify=str(self.fault.ca_file), engine="auto")
            self.outputs.add_shown("a client with a proxy", face.client)
            for url in (self.fault.url, self.fault.tls_url):
                r = await face.call("get", url + "/echo", params=self.secret_query())
                self.result(f"proxy with the {label} password", r, success=label == "right")
            self.outputs.add("engine_report", face.client.engine_report())
            await face.close()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        address = f"http://{user}:{quote(right, safe='')}@127.0.0.1:{port}"
        face = self.client(proxy=address, engine="auto")
        self.result("a dead proxy", await face.call("get", self.fault.url), success=False)
        await face.close()
        for bad in ("ftp://{}@h:1", "http://{}@h:bad", "http://{}@h:99999999", "http://{}@@@h"):
            with self.outputs.whatever(f"a bad proxy {bad}", ValueError):
                address = bad.format(f"u:{self.canaries.new('bad proxy')}")
                face = self.client(proxy=address, engine="auto")
                self.result("a bad proxy", await face.call("get", self.fault.refuse_url))
                await face.close()

    async def misuse(self) -> None:
        """Calls that are refused before anything is sent."""
        face = self.client()
        new = self.canaries.new
        x = self.fault.url + "/x"

        def url(form: str) -> str:
            return form.format(new(f"URL like {form}"))

        for args, options in (
            ((url("http://u:{}@h:bad/"),), {}),
            ((url("http://u:{}@h:99999999/"),), {}),
            ((url("ftp://u:{}@h/"),), {}),
            ((url("http://u:{}@/x"),), {}),
            ((url("u:{}@h/x"),), {}),
            ((url("http://u:{}@[h/x"),), {}),
            ((url("http://u:{}@ex ample/x"),), {}),
            ((url("http://u:{}@h\\x"),), {}),
            ((url("http://u:{}@1.2.3/x"),), {}),
            ((x,), {"headers": {"Authorization": new("CR") + "\r\nX: y"}}),
            ((x,), {"headers": {"X-Api-Key": [new("a list")]}}),
            ((x,), {"headers": [("X-Api-Key", new("three")), ("a", "b", "c")]}),
            ((x,), {"headers": f"Authorization: Bearer {new('text')}"}),
            ((x,), {"cookies": f"sid={new('cookie text')}"}),
            ((x,), {"cookies": {"sid": new("cookie") + ";x"}}),
            ((x,), {"cookies": {"sid": [new("cookie list")]}}),
            ((x,), {"cookies": {"sid": new("cookie") + "\r\n"}}),
            ((x,), {"auth": new("auth text")}),
            ((x,), {"auth": ("u", new("auth triple"), "x")}),
            ((x,), {"auth": ("u", [new("auth list")])}),
            ((x,), {"timeout": f"password={new('timeout')}"}),
            ((x,), {"params": 5, "headers": {"X-Api-Key": new("params")}}),
            ((x,), {"json": {"password": new("JSON"), "x": object()}}),
            ((x,), {"json": {"password": new("two")}, "data": {"password": new("bodies")}}),
            ((x,), {"data": [("password", new("pairs"))]}),
            ((x,), {"follow_redirects": f"token={new('follow')}"}),
            ((x,), {"max_body": f"token={new('max_body')}"}),
            ((x,), {"extensions": {"x": new("extension")}, "nonsense": 1}),
            ((x,), {"headers": {"Authorization": f"Bearer {nbhttp.Secret(new('Secret'))}"}}),
        ):
            with self.outputs.whatever(f"misuse {sorted(options)}", ValueError, TypeError):
                r = await face.call("post", *args, **options)
                assert not options, f"{options} was accepted"
                self.result("a URL that may not be", r)
        secret = new("map item")
        odd = ("GET", f"https://u:{secret}@h/", {"headers": {"X-Api-Key": secret}}, "more")
        for requests in ([odd], [{"headers": {"X-Api-Key": secret}}], [("GET",)], secret, [5]):
            with self.outputs.expected("misuse of map", ValueError, TypeError):
                await face.call("map", requests)
        with self.outputs.expected("misuse of concurrency", ValueError, TypeError):
            await face.call("map", [x], concurrency=f"token={new('many')}")
        for items in (url("https://u:{}@h/"), [5, url("https://u:{}@h/")], [{"headers": secret}]):
            with self.outputs.expected("misuse of download_many", ValueError, TypeError):
                await face.call("download_many", items, self.folder / "none")
        target = self.folder / "x.bin"
        for options in (
            {"checksum": f"token={new('checksum')}"},
            {"progress": f"token={new('progress')}"},
            {"headers": {"X-Api-Key": [new("list")]}},
        ):
            with self.outputs.expected("misuse of a download", ValueError, TypeError):
                await face.call("download_file", x, target, **options)
        for options in (
            {"auth": new("client auth")},
            {"headers": {"X-Api-Key": [new("client header")]}},
            {"cookies": f"sid={new('client cookie')}"},
            {"base_url": url("ftp://u:{}@h")},
            {"verify": f"/nowhere/token={new('verify')}"},
            {"cert": ("/nowhere.pem", "/nowhere.key", new("cert password"))},
            {"engine": f"token={new('engine')}"},
            {"transport": f"token={new('transport')}"},
            {"mounts": {url("all://u:{}@h"): 5}},
            {"event_hooks": {"request": [f"token={new('hook')}"]}},
            {"max_connections": f"token={new('max_connections')}"},
        ):
            with self.outputs.expected(f"misuse of a client {sorted(options)}", Exception):
                client = self.make(**{"trust_env": False} | options)
                await Face(client).call("get", self.fault.tls_url + "/echo")
        await face.close()

    async def hooks(self) -> None:
        """Hooks that raise, and one whose request cannot be sent."""
        secret = self.canaries.new("a hook's header")

        def fail(_: Any) -> None:
            raise RuntimeError("the hook failed")

        def spoil(request: httpx.Request) -> None:
            request.headers["Authorization"] = f"Bearer {secret}\r\n"

        def sign(request: httpx.Request) -> None:
            request.headers["Authorization"] = f"Bearer {secret}"

        for side, hook, fine in (
            ("request", fail, False),
            ("response", fail, False),
            ("request", spoil, False),
            ("request", sign, True),
        ):
            hooked = hook
            if not hasattr(self.make, "is_sync"):
                hooked = _as_async(hook)
            face = self.client(event_hooks={side: [hooked]})
            call = face.call("get", self.fault.url + "/echo", params=self.secret_query())
            if fine:
                self.result("a request that a hook signed", await call, success=True)
            else:
                with self.outputs.expected(f"{side} hook", Exception):
                    await call
            await face.close()

    async def bulk(self) -> None:
        """Many at once, some of which fail; one that ends the map."""
        face = self.client(base_url=self.fault.url)
        requests: list[Any] = [
            ("GET", "/echo", {"params": self.secret_query()}),
            {"url": self.userinfo(self.fault.url) + "/status/404"},
            self.userinfo(self.fault.refuse_url) + "/x?api_key=" + self.canaries.new("map"),
            ("POST", "/status/500", {"json": self.secret_json()}),
        ]
        results = await face.call("map", requests)
        for name in ("the map", "its ok", "its failed"):
            shown = {"the map": results, "its ok": results.ok, "its failed": results.failed}[name]
            self.outputs.add_shown(name, shown)
        for r in results:
            self.result("a result of map", r)
        spoiled = iter([*requests, f"ftp://u:{self.canaries.new('spoiled')}@h/"])
        with self.outputs.expected("a map that ends", nbhttp.NbhttpError):
            await face.call("map", spoiled)
        await face.close()

    async def tasks(self) -> None:
        """Tasks that fail with our errors, and ids that are URLs."""
        secret = self.canaries.new("task id")

        async def fail() -> None:
            async with nbhttp.AsyncHttpClient(trust_env=False) as client:
                r = await client.get(self.userinfo(self.fault.url) + "/status/401", params=query)
                r.raise_for_status()

        async def raise_it(url: str) -> None:
            raise RuntimeError(f"could not read {url}")

        query = self.secret_query()
        url = f"https://h/x?access_token={secret}"
        async with nbhttp.AnyioTaskManager() as manager:
            manager.add_task("fails", fail)
            manager.add_task(url, raise_it, url)
            manager.add_task("slow", asyncio.sleep, 60, timeout=0.01)
            for task in ("fails", url, "slow"):
                info = await manager.wait(task)
                self.outputs.add_shown("a task", info)
                self.outputs.add("error of a task", info.error)
            assert info.exception is not None
            self.outputs.add_error("a task that took too long", info.exception)
            failed = manager.status()["fails"].exception
            assert failed is not None
            self.outputs.add_error("a task that failed", failed)
            self.outputs.add_shown("the tasks", manager.status())
            self.outputs.add_shown("the manager", manager)
            with self.outputs.expected("no such task", nbhttp.NbhttpError):
                await manager.wait(f"https://h/y?access_token={self.canaries.new('no task')}")
            manager.add_task(url, asyncio.sleep, 60)
            with self.outputs.expected("a task twice", nbhttp.NbhttpError):
                manager.add_task(url, asyncio.sleep, 60)

    async def registered(self) -> None:
        """A `Secret` wherever it may be used and wherever it comes back."""
        secret = nbhttp.Secret(self.canaries.new("Secret", awkward=True).replace("é", ""), name="S")
        plain = nbhttp.Secret(self.canaries.new("header Secret"), name="H")
        self.outputs.add_shown("a Secret", secret)
        with self.outputs.expected("json.dumps of a Secret", TypeError):
            json.dumps({"x": secret})
        face = self.client(base_url=self.fault.url, headers={"X-Anything": "Key " + plain})
        options = {"params": {"anything": secret}, "cookies": {"c": plain}}
        body = {"anything": secret.reveal()}
        self.result("a Secret", await face.call("post", "/echo", json=body, **options))
        self.result("a Secret", await face.call("post", "/echo", data=body, **options))
        text = f"{secret.reveal()} and {plain.reveal()}"
        self.result("a Secret", await face.call("post", "/echo", content=text, **options))
        encoded = base64.b64encode(f"ada:{secret.reveal()}".encode()).decode()
        for kind in ("text/plain", "text/html", "application/json", "text/csv"):
            body_text = json.dumps({"message": text, "again": encoded}) if "json" in kind else text
            url = self.answer(body_text, status="400 Bad Request", kind=kind)
            self.result(f"a Secret as {kind}", await face.call("get", url, **options))
        url = f"{self.fault.url}/{quote(secret.reveal(), safe='')}/hook"
        self.result("a Secret in a path", await face.call("get", url))
        await face.close()


def _in_query(secret: str) -> dict[str, Any]:
    return {"params": {"access_token": secret}}


def _in_header(secret: str) -> dict[str, Any]:
    return {"headers": {"X-Api-Key": secret}}


def _in_bearer(secret: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {secret}"}}


def _in_cookie(secret: str) -> dict[str, Any]:
    return {"cookies": {"sid": secret}}


def _in_json(secret: str) -> dict[str, Any]:
    return {"json": {"user": "ada", "login": [{"password": secret}]}}


def _in_form(secret: str) -> dict[str, Any]:
    return {"data": {"user": "ada", "password": secret}}


def _in_multipart(secret: str) -> dict[str, Any]:
    return {"data": {"password": secret}, "files": {"upload": ("a.txt", b"hi")}}


def _in_auth(secret: str) -> dict[str, Any]:
    return {"auth": ("ada", secret)}


def _csv_row(secret: str) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([["a", "b"], [1, secret]])
    return text.getvalue()


def _as_async(hook: Callable[[Any], None]) -> Callable[[Any], Awaitable[None]]:
    async def run(thing: Any) -> None:
        hook(thing)

    return run


def test_every_form_of_a_secret_is_found() -> None:
    """The search itself: it sees what it is there to see, and nothing else."""
    canaries = Canaries()
    secret = canaries.new("here", awkward=True)
    for text in (
        secret,
        quote(secret),
        json.dumps({"x": json.dumps(secret)}),
        html.escape(secret),
        secret[3:11],
        secret[-8:],
        *(base64.b64encode(f"{'u' * n}:{secret}".encode()).decode() for n in range(1, 4)),
    ):
        (found,) = canaries.find({"there": f"some {text} text"})
        assert found.startswith("here in there: ")
    assert canaries.find({"there": "some other text", "short": secret[:7]}) == []


# --- the test --------------------------------------------------------------------------------


@pytest.fixture
def _clean_log() -> Iterator[None]:
    yield
    LoggerManager.shutdown()
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_clean_log")
@pytest.mark.parametrize("face", ["async", "sync"])
async def test_no_secret_is_in_any_output(
    face: str,
    engine: str,
    fault: FaultServer,
    proxy: Proxy,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Success and every failure, with all logging on, over each engine and face."""
    console, log = io.StringIO(), tmp_path / "log.jsonl"
    LoggerManager.configure(level="TRACE", console=console, file=log, bodies=2000)
    LoggerManager.intercept("httpx", "httpcore")
    caplog.set_level(logging.DEBUG)
    kind: Any = nbhttp.HttpClient if face == "sync" else nbhttp.AsyncHttpClient

    def make(**options: Any) -> Any:
        return kind(**{"engine": engine} | options)

    drive = Drive(make, fault, proxy, tmp_path)
    with warnings.catch_warnings(record=True) as caught, LoggerManager.context(job="canary"):
        warnings.simplefilter("always")
        await drive.all()
    LoggerManager.shutdown()

    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert {"request.started", "request.finished", "request.redirected"} <= {
        row.get("event") for row in rows
    }
    for number, row in enumerate(rows):
        drive.outputs.add(f"log line {number}", json.dumps(row, ensure_ascii=False))
    drive.outputs.add("log file", log.read_text("utf-8"))
    drive.outputs.add("console", console.getvalue())
    for number, record in enumerate(caplog.records):
        drive.outputs.add(f"logging {number} {record.name}", record.getMessage())
    for warning in caught:
        drive.outputs.add("a warning", str(warning.message))
    printed = capfd.readouterr()
    drive.outputs.add("stdout", printed.out)
    drive.outputs.add("stderr", printed.err)
    leaks = drive.canaries.find(drive.outputs.texts)
    assert not leaks, f"{len(leaks)} leaks:\n" + "\n".join(leaks)
