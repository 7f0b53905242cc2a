# ruff: noqa: B006, B007, B904, C408, D415, E731, N806, N818, RET503, RUF005, SIM105, UP031 - one terse file that breaks HTTP on purpose
"""Fault-injection HTTP/1.1 server for client tests. Pure asyncio, no dependencies, binds 127.0.0.1 only.

    python faultserver.py --port 0            # first stdout line: {"port":..,"other_port":..,"blackhole_port":..,"refuse_port":..,"tls_port":..}
    python faultserver.py --list               # every endpoint with its parameters

`other_port` is a second origin (same server, log field "server" tells which one was hit), `blackhole_port` accepts and never
answers, `refuse_port` is closed. With --tls CERT KEY a TLS origin is added; --tls-delay S delays its handshake.
File bytes: block i (65536 bytes) of file SEED is shake_256(f"{SEED}:{i}").digest(65536); /_hash gives the digest.
Every counter is kept per `key` (query parameter) or else per path+query; POST /_reset clears log, counters and statistics.
"""

import argparse
import asyncio
import base64
import email.utils
import gzip
import hashlib
import json
import os
import socket
import ssl
import struct
import time
import zlib
from urllib.parse import parse_qsl, quote, unquote, urlsplit

BLK = 65536
HANDLERS = {}
STATIC_LM = "Wed, 01 Jan 2020 00:00:00 GMT"


class Drop(Exception):
    """Close the connection now; Drop(True) sends a TCP reset."""


class State:
    def __init__(self):
        self.ports = {}
        self.raw = {}
        self.tokens = {}
        self.tls = self.started = None
        self.reset()

    def reset(self):
        self.log, self.count, self.conns_total, self.requests = [], {}, 0, 0
        self.max_conns, self.max_inflight, self.path_inflight, self.path_max = (
            getattr(self, "conns", 0),
            0,
            {},
            {},
        )
        self.conns, self.inflight = getattr(self, "conns", 0), getattr(self, "inflight", 0)
        self.token_serial, self.bucket = 0, {}
        self.tokens.clear()


S = State()


def block(seed, i, _cache={}):
    k = (seed, i)
    if k not in _cache:
        if len(_cache) > 64:
            _cache.clear()
        _cache[k] = hashlib.shake_256(f"{seed}:{i}".encode()).digest(BLK)
    return _cache[k]


def file_iter(seed, start, stop):
    while start < stop:
        i, off = divmod(start, BLK)
        n = min(BLK - off, stop - start)
        yield block(seed, i)[off : off + n]
        start += n


def file_sha256(seed, size):
    h = hashlib.sha256()
    for b in file_iter(seed, 0, size):
        h.update(b)
    return h.hexdigest()


def route(path, doc):
    def deco(fn):
        HANDLERS[path] = (fn, doc)
        return fn

    return deco


class Req:
    def __init__(self, method, target, version, headers, body, server, conn, w):
        self.method, self.target, self.version, self.headers, self.body = (
            method,
            target,
            version,
            headers,
            body,
        )
        self.server, self.conn, self.w = server, conn, w
        u = urlsplit(target)
        self.path, self.q = (
            unquote(u.path),
            dict(parse_qsl(u.query, keep_blank_values=True, encoding="latin-1")),
        )
        self.h = {}
        for k, v in headers:
            self.h[k.lower()] = v if k.lower() not in self.h else self.h[k.lower()] + ", " + v

    def int(self, name, default=0):
        try:
            return int(self.q.get(name, default))
        except ValueError:
            return default

    def n(self, name="key"):
        """how often this key was asked for, counted from 1"""
        k = self.q.get(name) or self.path + "?" + urlsplit(self.target).query
        S.count[k] = S.count.get(k, 0) + 1
        return S.count[k]

    def base(self, other=False):
        port = (
            S.ports["other_port" if other else "port"]
            if self.server != "tls" or other
            else S.ports["tls_port"]
        )
        return f"{'https' if self.server == 'tls' and not other else 'http'}://127.0.0.1:{port}"

    async def send(self, data):
        self.w.write(data)
        await self.w.drain()

    async def head(self, status=200, headers=(), reason=None, length=None):
        out = [f"HTTP/1.1 {status} {reason if reason is not None else REASONS.get(status, 'X')}"]
        hs = list(headers)
        if length is not None:
            hs.append(("Content-Length", str(length)))
        out += [f"{k}: {v}" for k, v in hs]
        await self.send(("\r\n".join(out) + "\r\n\r\n").encode("latin-1", "replace"))

    async def reply(self, body=b"", status=200, ctype="application/json", headers=(), reason=None):
        if not isinstance(body, (bytes, bytearray)):
            body = (json.dumps(body) if ctype == "application/json" else body).encode("utf-8")
        no = status in (204, 304) or 100 <= status < 200
        await self.head(
            status, [("Content-Type", ctype), *headers], reason, None if no else len(body)
        )
        if self.method != "HEAD" and not no:
            await self.send(body)

    async def chunk(self, data):
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))


REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Content Too Large",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def http_date(spec):
    """'5' -> 5; 'date+5', 'date850+5', 'asctime+5' -> HTTP date that many seconds from now"""
    for p in ("date850", "asctime", "date"):
        if spec.startswith(p) and spec[len(p) : len(p) + 1] in "+-":
            e = int(time.time()) + int(spec[len(p) :])
            t = time.gmtime(e)
            return {
                "date850": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", t),
                "asctime": time.asctime(t),
                "date": email.utils.formatdate(e, usegmt=True),
            }[p]
    return spec


# ---------------------------------------------------------------- control
@route(
    "/_log",
    "GET: requests received, whether the answer went out whole (answered) and the connection has ended (closed). since=N, path=PREFIX, server=main|other|tls",
)
async def _log(r):
    rows = [
        e
        for e in S.log
        if e["n"] > r.int("since")
        and e["path"].startswith(r.q.get("path", ""))
        and r.q.get("server", e["server"]) == e["server"]
    ]
    await r.reply(rows)


@route("/_stats", "GET: connection and in-flight maxima, request counts")
async def _stats(r):
    await r.reply(
        dict(
            connections_now=S.conns,
            max_connections=S.max_conns,
            connections_total=S.conns_total,
            requests=S.requests,
            max_inflight=S.max_inflight,
            max_inflight_by_path=S.path_max,
            counters=S.count,
        )
    )


@route("/_reset", "POST: clear log, counters, statistics, tokens, raw answers")
async def _reset(r):
    S.reset()
    S.raw.clear()
    S.conns_total, S.max_conns, S.max_inflight, S.inflight = 1, S.conns, 1, 1
    await r.reply({"ok": True})


@route("/_hash", "GET seed, size: sha256 of a /file")
async def _hash(r):
    await r.reply(dict(sha256=file_sha256(r.q.get("seed", "a"), r.int("size")), size=r.int("size")))


@route(
    "/_raw",
    "POST path=/x: register the body as the exact bytes sent for that path. keep=1 leaves the connection open, step=N delay=MS sends in pieces, reset=1",
)
async def _raw_put(r):
    S.raw[r.q["path"]] = (r.body, r.q)
    await r.reply({"ok": True})


@route("/_ports", "GET: the start-up JSON line again")
async def _ports(r):
    await r.reply(S.ports)


# ---------------------------------------------------------------- files
@route(
    "/file/",
    "GET/HEAD /file/SEED/SIZE; Range, If-Range, ETag. Faults: truncate=N reset=N stall=N(stall_s) drip=MS(step) fail=K(only first K GETs) cl=+N|-N|none chunked=1 norange=1 badrange=start|total|missing|short|status206 range416=1 change_after=K etag=weak|none lm=0 gzip=1 cenc=X ctype=X disp=RAW headstatus=X headcl=N wrongdigest=1 delay=MS",
)
async def file_(r):
    _, _, seed, size = r.path.split("/")[:4]
    size, q, n = int(size), r.q, r.n() if r.method != "HEAD" else 0
    if r.method == "HEAD" and "headstatus" in q:
        return await r.reply({}, int(q["headstatus"]))
    if "change_after" in q and S.count.get(
        q.get("key") or r.path + "?" + urlsplit(r.target).query, 0
    ) > r.int("change_after"):
        seed += "~2"
    fault = n <= r.int("fail", 10**9)
    etag = (
        None
        if q.get("etag") == "none"
        else ("W/" if q.get("etag") == "weak" else "")
        + '"%s-%d"' % (hashlib.md5(seed.encode()).hexdigest()[:12], size)
    )
    hs = [("Content-Type", q.get("ctype", "application/octet-stream"))]
    if "norange" not in q:
        hs.append(("Accept-Ranges", "bytes"))
    if etag:
        hs.append(("ETag", etag))
    if q.get("lm") != "0":
        hs.append(
            (
                "Last-Modified",
                STATIC_LM if not seed.endswith("~2") else "Thu, 02 Jan 2020 00:00:00 GMT",
            )
        )
    if "disp" in q:
        hs.append(("Content-Disposition", q["disp"]))
    if "wrongdigest" in q:
        hs.append(("Repr-Digest", "sha-256=:" + base64.b64encode(b"\0" * 32).decode() + ":"))
    inm = r.h.get("if-none-match")
    if inm and etag and etag in inm:
        return await r.head(304, hs)
    start, stop, status = 0, size, 200
    rng = r.h.get("range", "")
    ir = r.h.get("if-range")
    if ir and ir not in (
        etag if etag and not etag.startswith("W/") else None,
        STATIC_LM if not seed.endswith("~2") else None,
    ):
        rng = ""
    if r.method == "GET" and rng.startswith("bytes=") and "," not in rng and "norange" not in q:
        a, _, b = rng[6:].partition("-")
        try:
            start, stop = (size - int(b), size) if not a else (int(a), int(b) + 1 if b else size)
        except ValueError:
            start, stop = 0, size
        start, stop = max(start, 0), min(stop, size)
        if start >= size or start >= stop or "range416" in q:
            return await r.reply(b"", 416, headers=[("Content-Range", f"bytes */{size}")])
        bad = q.get("badrange") if fault else None
        cr = {
            "start": f"bytes {start + 1}-{stop}/{size}",
            "total": f"bytes {start}-{stop - 1}/{size + 7}",
            "missing": None,
            "short": f"bytes {start}-{stop - 2}/{size}",
        }.get(bad, f"bytes {start}-{stop - 1}/{size}")
        status = 206
        if cr:
            hs.append(("Content-Range", cr))
    elif q.get("badrange") == "status206":
        status = 206
    parts, total = file_iter(seed, start, stop), stop - start
    if "gzip" in q:
        data = gzip.compress(b"".join(parts), 6, mtime=0)
        parts, total = (data[i : i + BLK] for i in range(0, len(data), BLK)), len(data)
        hs.append(("Content-Encoding", "gzip"))
    elif "cenc" in q:
        hs.append(("Content-Encoding", q["cenc"]))
    cl, chunked = q.get("cl", "") if fault else "", "chunked" in q
    length = None if cl == "none" or chunked else total + (int(cl) if cl and cl != "none" else 0)
    if chunked:
        hs.append(("Transfer-Encoding", "chunked"))
    elif length is None:
        hs.append(("Connection", "close"))
    if r.method == "HEAD":
        return await r.head(200, hs, None, r.int("headcl", length or size))
    await r.head(status, hs, None, length)
    cut = {k: r.int(k) for k in ("truncate", "reset", "stall") if k in q and fault}
    sent, step = 0, r.int("step", BLK if "drip" not in q else 16)
    for p in parts:
        for i in range(0, len(p), step):
            d = p[i : i + step]
            stop_at = min(cut.values()) if cut else None
            if stop_at is not None and sent + len(d) >= stop_at:
                d = d[: stop_at - sent]
                await (r.chunk(d) if chunked and d else r.send(d))
                if "stall" in cut:
                    await asyncio.sleep(min(float(q.get("stall_s", 60)), 120))
                raise Drop("reset" in cut)
            await (r.chunk(d) if chunked else r.send(d))
            sent += len(d)
            if "drip" in q:
                await asyncio.sleep(r.int("drip") / 1000)
    if chunked:
        await r.send(b"0\r\n\r\n")
    if (length is None and not chunked) or cl not in ("", "none"):
        raise Drop


# ---------------------------------------------------------------- status, retry, redirect, echo
@route(
    "/status/",
    "/status/CODE times=K (then 200) key retry_after=SECONDS|date+N|date850+N|asctime+N|RAW body reset=1 (drop instead of answering)",
)
async def status(r):
    code, n = int(r.path.split("/")[2]), r.n()
    if n <= r.int("times", 10**9):
        if "reset" in r.q:
            raise Drop(True)
        hs = [("Retry-After", http_date(r.q["retry_after"]))] if "retry_after" in r.q else []
        return await r.reply({"error": "injected", "attempt": n}, code, headers=hs)
    await r.reply({"ok": True, "attempt": n})


@route(
    "/redirect/",
    "/redirect/loop | n/K | to?url= | other?path= (other origin) | host?path= (localhost instead of 127.0.0.1) | userinfo?path= | scheme?loc=file:///etc/passwd | missing | relative?loc= ; status=302; cookie=1 sets a cookie",
)
async def redirect(r):
    kind, st, p = r.path.split("/")[2], r.int("status", 302), r.q.get("path", "/echo")
    loc = {
        "loop": r.target,
        "to": r.q.get("url", ""),
        "other": r.base(True) + p,
        "host": f"http://localhost:{S.ports['port']}{p}",
        "userinfo": f"http://evil:pw@127.0.0.1:{S.ports['other_port']}{p}",
        "scheme": r.q.get("loc", "file:///etc/passwd"),
        "relative": r.q.get("loc", "../echo"),
        "missing": None,
    }.get(kind)
    if kind == "n":
        k = int(r.path.split("/")[3])
        loc = f"/redirect/n/{k - 1}" if k > 1 else p
    hs = [("Location", loc)] if loc is not None else []
    if "cookie" in r.q:
        hs.append(("Set-Cookie", "redir=secret; Path=/"))
    await r.reply({"to": loc}, st, headers=hs)


@route("/echo", "any method: what was received")
async def echo(r):
    await r.reply(
        dict(
            method=r.method,
            target=r.target,
            headers=r.headers,
            body=r.body.decode("latin-1"),
            server=r.server,
        )
    )


@route("/upload", "any method with body: length and sha256. early=1 answers 413 at once and closes")
async def upload(r):
    await r.reply(
        dict(length=len(r.body), sha256=hashlib.sha256(r.body).hexdigest(), headers=r.headers)
    )


# ---------------------------------------------------------------- connection faults
@route(
    "/conn/",
    "/conn/empty (close, no answer) | reset | half (status line only) | stall (no answer, s=) | dripheaders ms= | die (answers keep-alive, then closes) | garbage | interim n= (1xx before 200) | extra (bytes after the body)",
)
async def conn(r):
    k = r.path.split("/")[2]
    if k == "half":
        await r.send(b"HTTP/1.1 200 OK\r\nContent-")
    elif k == "stall":
        await asyncio.sleep(min(float(r.q.get("s", 60)), 120))
    elif k == "dripheaders":
        for b in (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Pad: "
            + b"p" * r.int("pad", 200)
            + b"\r\nContent-Length: 2\r\n\r\nok"
        ):
            await r.send(bytes([b]))
            await asyncio.sleep(r.int("ms", 50) / 1000)
        return None
    elif k == "garbage":
        await r.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    elif k == "die":
        await r.reply({"ok": True})
        await asyncio.sleep(0.05)
    elif k == "interim":
        for i in range(r.int("n", 3)):
            await r.send(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n")
        return await r.reply({"ok": True})
    elif k == "extra":
        await r.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        )
        return await asyncio.sleep(0.05)
    raise Drop(k == "reset")


@route(
    "/chunked/",
    "/chunked/badsize | negative | huge | noterm | badcrlf | ext | trailer | lf | both (Content-Length and chunked)",
)
async def chunked(r):
    k = r.path.split("/")[2]
    await r.head(
        200,
        [("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked")]
        + ([("Content-Length", "3")] if k == "both" else []),
    )
    await r.send(b"5\r\nhello\r\n" if k != "lf" else b"5\nhello\n")
    await r.send(
        {
            "badsize": b"zz\r\nworld\r\n0\r\n\r\n",
            "negative": b"-5\r\nworld\r\n0\r\n\r\n",
            "huge": b"f" * 40 + b"\r\nworld\r\n",
            "noterm": b"5\r\nworld\r\n",
            "badcrlf": b"5\r\nworldXX0\r\n\r\n",
            "ext": b"5;a=b;" + b"c" * 5000 + b"\r\nworld\r\n0\r\n\r\n",
            "trailer": b"0\r\nX-Trailer: t\r\nSet-Cookie: from=trailer\r\n\r\n",
            "lf": b"0\n\n",
            "both": b"0\r\n\r\n",
        }[k]
    )
    if k not in ("ext", "trailer", "both"):
        raise Drop


@route(
    "/headers/",
    "/headers/huge size= | many n= | inject value=RAW(%0d%0a) | dup | obsfold | nul | nocolon | space | reason value= | status value=RAW status line",
)
async def headers_(r):
    k, v = (
        r.path.split("/")[2],
        r.q.get("value", "x\r\nSet-Cookie: injected=1\r\nX-Evil: 1").encode("latin-1"),
    )
    h = {
        "huge": b"X-Huge: " + b"h" * r.int("size", 1 << 20),
        "many": b"\r\n".join(b"X-N-%d: %d" % (i, i) for i in range(r.int("n", 5000))),
        "inject": b"X-Value: " + v,
        "dup": b"Content-Type: text/html\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2",
        "obsfold": b"X-Fold: one\r\n two\r\n\tthree",
        "nul": b"X-Nul: a\0b",
        "nocolon": b"this line has no colon",
        "space": b"X-Space : v",
    }.get(k, b"X-OK: 1")
    line = b"HTTP/1.1 200 " + (v if k == "reason" else b"OK") if k != "status" else v
    await r.send(
        line
        + b"\r\nContent-Type: application/json\r\nContent-Length: 11\r\n"
        + h
        + b"\r\n\r\n"
        + b'{"ok":true}'
    )


# ---------------------------------------------------------------- content faults
def bomb(size, enc):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    unit = min(size, 1 << 24)
    z = bytes(unit)
    piece = c.compress(z) + c.flush(zlib.Z_FULL_FLUSH)
    n = size // unit
    if enc == "deflate":
        return (
            b"\x78\x9c"
            + piece * n
            + b"\x03\x00"
            + struct.pack(">I", ((n * unit) % 65521) << 16 | 1)
        )
    crc = 0
    for _ in range(n):
        crc = zlib.crc32(z, crc)
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
        + piece * n
        + b"\x03\x00"
        + struct.pack("<II", crc, (n * unit) & 0xFFFFFFFF)
    )


@route("/bomb", "GET size=1073741824 enc=gzip|deflate layers=1: a small body that inflates to size")
async def bomb_(r):
    enc = r.q.get("enc", "gzip")
    body, layers = await asyncio.to_thread(bomb, r.int("size", 1 << 30), enc), r.int("layers", 1)
    for _ in range(layers - 1):
        body = gzip.compress(body, mtime=0)
    await r.reply(
        body,
        ctype=r.q.get("ctype", "application/json"),
        headers=[("Content-Encoding", ", ".join([enc] + ["gzip"] * (layers - 1)))],
    )


@route(
    "/gzip/",
    "/gzip/ok | truncated | crc | garbage | header | trailing | empty | plain (claims gzip, is text) | multi (two members) | unknown (Content-Encoding: foo)",
)
async def gzip_(r):
    k, g = (
        r.path.split("/")[2],
        gzip.compress(b'{"ok": true, "pad": "' + b"x" * 5000 + b'"}', mtime=0),
    )
    b = {
        "truncated": g[: len(g) // 2],
        "crc": g[:-8] + b"\0\0\0\0" + g[-4:],
        "garbage": g[:20] + os.urandom(30),
        "header": b"\x1f\x8b\xff" + g[3:],
        "trailing": g + b"trailing junk",
        "empty": b"",
        "plain": b'{"ok": true}',
        "multi": gzip.compress(b'{"ok": ', mtime=0) + gzip.compress(b"true}", mtime=0),
    }.get(k, g)
    await r.reply(b, headers=[("Content-Encoding", "foo" if k == "unknown" else "gzip")])


@route(
    "/json/",
    "/json/trunc | nan | bom | html | utf16 | latin1 | empty | bigint | deep | dup | surrogate | 204 | problem | scalar ; ctype= status=",
)
async def json_(r):
    k = r.path.split("/")[2]
    b = {
        "trunc": b'{"a": [1, 2',
        "nan": b'{"a": NaN, "b": Infinity}',
        "bom": b'\xef\xbb\xbf{"a": 1}',
        "html": b"<!DOCTYPE html><h1>502 Bad Gateway</h1>",
        "utf16": '{"a": "\u00e9"}'.encode("utf-16"),
        "latin1": '{"a": "\u00e9"}'.encode("latin-1"),
        "empty": b"",
        "bigint": b'{"a": ' + b"9" * 6000 + b"}",
        "deep": b"[" * 100000 + b"]" * 100000,
        "dup": b'{"a": 1, "a": 2}',
        "surrogate": b'{"a": "\\ud800", "b": "\\u0000"}',
        "problem": b'{"type":"about:blank","title":"Nope","status":400,"detail":"why"}',
        "scalar": b"42",
    }.get(k, b"")
    await r.reply(
        b,
        r.int("status", 204 if k == "204" else 200),
        r.q.get("ctype", "application/problem+json" if k == "problem" else "application/json"),
    )


@route(
    "/charset",
    "GET declared=utf-8 actual=latin-1 text= meta=: body encoded as `actual` under Content-Type charset `declared` (empty: none)",
)
async def charset(r):
    d, a = r.q.get("declared", "utf-8"), r.q.get("actual", "latin-1")
    t = (
        r.q.get("text", "caf\u00e9 na\u00efve \u00fc")
        .encode("latin-1", "replace")
        .decode("utf-8", "ignore")
        if "text" in r.q
        else "caf\u00e9 na\u00efve \u00fc"
    )
    t = ('<meta charset="%s">' % r.q["meta"] if "meta" in r.q else "") + t
    await r.reply(
        t.encode(a, "replace"),
        ctype=r.q.get("ctype", "text/html") + (f"; charset={d}" if d else ""),
    )


@route(
    "/disposition", "GET value=RAW [fname in path]: Content-Disposition as given (bytes as latin-1)"
)
async def disposition(r):
    await r.reply(
        b"payload",
        ctype="application/octet-stream",
        headers=[
            (
                "Content-Disposition",
                r.q.get("value", 'attachment; filename="../../../../etc/evil.txt"'),
            )
        ],
    )


@route(
    "/xss",
    "GET p=PAYLOAD where=json|html|text|header|reason|key|ctype|filename|error: the payload in that place",
)
async def xss(r):
    p, w = (
        r.q.get("p", "<script>alert(1)</script>").encode("latin-1").decode("utf-8", "replace"),
        r.q.get("where", "json"),
    )
    clean = p.replace("\r", " ").replace("\n", " ").encode("utf-8").decode("latin-1")
    if w in ("json", "key"):
        return await r.reply({p: 1} if w == "key" else {"v": p, "list": [p]})
    if w in ("html", "text"):
        return await r.reply(p, ctype=f"text/{'html' if w == 'html' else 'plain'}; charset=utf-8")
    await r.reply(
        {"v": 1},
        500 if w == "error" else 200,
        ctype="application/json" if w != "ctype" else clean,
        reason=clean if w in ("reason", "error") else None,
        headers=[("X-P", clean)]
        if w == "header"
        else [("Content-Disposition", f'attachment; filename="{clean}"')]
        if w == "filename"
        else [],
    )


# ---------------------------------------------------------------- streams
@route(
    "/sse",
    "GET n=10 drop=K (break after K events on each connection) reset=1 retry=MS eol=lf|crlf|cr byte=1 (one byte a write) comment=1 delay=MS end=204|done status=; resumes after Last-Event-ID",
)
async def sse(r):
    n, last = r.int("n", 10), r.h.get("last-event-id", "")
    first = int(last) + 1 if last.isdigit() else 1
    if first > n and r.q.get("end") == "204":
        return await r.reply(b"", 204)
    eol = {"crlf": "\r\n", "cr": "\r"}.get(r.q.get("eol"), "\n")
    await r.head(
        r.int("status", 200),
        [
            ("Content-Type", r.q.get("ctype", "text/event-stream")),
            ("Cache-Control", "no-cache"),
            ("Connection", "close"),
        ],
    )
    out = f"retry: {r.q['retry']}{eol}{eol}" if "retry" in r.q else ""
    for i in range(first, n + 1):
        if "drop" in r.q and i - first >= r.int("drop"):
            raise Drop("reset" in r.q)
        out += (
            f": c{eol}" if "comment" in r.q else ""
        ) + f'id: {i}{eol}event: tick{eol}data: {{"i": {i},{eol}data: "s": "\u00e9"}}{eol}{eol}'
        for b in [bytes([x]) for x in out.encode()] if "byte" in r.q else [out.encode()]:
            await r.send(b)
        out = ""
        await asyncio.sleep(r.int("delay", 0) / 1000)
    if r.q.get("end") == "done":
        await r.send(f"event: done{eol}data: [DONE]{eol}{eol}".encode())
    raise Drop


@route(
    "/ndjson",
    "GET n=10 drop=K reset=1 bad=K (line K is invalid) blank=1 nofinal=1 crlf=1 byte=1 delay=MS from=I",
)
async def ndjson(r):
    n, e = r.int("n", 10), b"\r\n" if "crlf" in r.q else b"\n"
    await r.head(200, [("Content-Type", "application/x-ndjson"), ("Transfer-Encoding", "chunked")])
    for i in range(r.int("from", 1), n + 1):
        if "drop" in r.q and i > r.int("drop"):
            await r.chunk(b'{"i": %d, "par' % i)
            raise Drop("reset" in r.q)
        line = (
            (
                b'{"i": oops}'
                if r.int("bad") == i
                else json.dumps({"i": i, "s": "\u2028\u00e9"}, ensure_ascii=False).encode()
            )
            + (b"" if i == n and "nofinal" in r.q else e)
            + (e if "blank" in r.q else b"")
        )
        for b in [bytes([x]) for x in line] if "byte" in r.q else [line]:
            await r.chunk(b)
        await asyncio.sleep(r.int("delay", 0) / 1000)
    await r.send(b"0\r\n\r\n")


# ---------------------------------------------------------------- pagination
@route(
    "/page/",
    "/page/link | number | offset | cursor | nexturl ; total=95 per=10; relative=1 cross=1 (next on the other origin) loop=K (page K points to itself) empty=K (page K has no items) err=K (503 once at page K) lastnull=omit|null|empty",
)
async def page(r):
    style, total, per = (
        r.path.split("/")[2],
        r.int("total", 95),
        min(max(r.int("per", r.int("limit", r.int("per_page", 10))), 1), 100),
    )
    cur = r.q.get("cursor", "")
    start = {
        "offset": r.int("offset"),
        "cursor": int(base64.urlsafe_b64decode(cur + "==").decode().split(":")[1]) if cur else 0,
    }.get(style, (max(r.int("page", 1), 1) - 1) * per)
    k, pages = start // per + 1, -(-total // per)
    keep = {a: b for a, b in r.q.items() if a not in ("page", "offset", "cursor")}
    if r.int("err") == k and r.n("key") == 1:
        return await r.reply({"error": "injected"}, 503, headers=[("Retry-After", "0")])
    items = (
        []
        if r.int("empty") == k
        else [{"id": i, "name": f"item {i}"} for i in range(start, min(start + per, total))]
    )
    nk = k if r.int("loop") == k else k + 1
    more = nk <= pages
    ref = {
        "offset": {"offset": (nk - 1) * per},
        "cursor": {
            "cursor": base64.urlsafe_b64encode(b"c:%d" % ((nk - 1) * per)).decode().rstrip("=")
        },
    }.get(style, {"page": nk})
    qs = lambda d: "&".join(f"{quote(str(a))}={quote(str(b))}" for a, b in {**keep, **d}.items())
    root = ("" if "relative" in r.q else r.base("cross" in r.q)) + r.path
    if style == "link":
        links = [
            f'<{root}?{qs({"page": 1})}>; rel="first"',
            f'<{root}?{qs({"page": pages})}>; rel="last"',
        ] + ([f'<{root}?{qs(ref)}>; rel="next"; title="a, b; c"'] if more else [])
        return await r.reply(
            items, headers=[("Link", ", ".join(links)), ("X-Total-Count", str(total))]
        )
    body = {
        "number": {"items": items, "page": k, "pages": pages, "total": total},
        "offset": {"items": items, "offset": start, "limit": per, "total": total},
        "cursor": {"data": items, "has_more": more},
        "nexturl": {"results": items, "count": total},
    }[style]
    nxt = {
        "cursor": ("next_cursor", ref.get("cursor")),
        "nexturl": ("next", f"{root}?{qs(ref)}"),
    }.get(style)
    if nxt and (more or r.q.get("lastnull", "null") != "omit"):
        body[nxt[0]] = nxt[1] if more else ("" if r.q.get("lastnull") == "empty" else None)
    await r.reply(body)


# ---------------------------------------------------------------- auth, cookies, cache, limits
@route(
    "/oauth/",
    "POST /oauth/token (client id/secret 'id'/'sec' by Basic or body; client_credentials, refresh_token, password) expires_in= fail=K; GET /oauth/resource (Bearer); POST /oauth/revoke",
)
async def oauth(r):
    k = r.path.split("/")[2]
    if k == "revoke":
        S.tokens.clear()
        return await r.reply({"ok": True})
    if k == "token":
        f = dict(parse_qsl(r.body.decode("latin-1")))
        b = r.h.get("authorization", "")
        cid = (
            base64.b64decode(b[6:]).decode().split(":", 1)
            if b.startswith("Basic ")
            else [f.get("client_id"), f.get("client_secret")]
        )
        if r.n() <= r.int("fail"):
            return await r.reply({"error": "temporarily_unavailable"}, 503)
        if cid != ["id", "sec"] or r.method != "POST":
            return await r.reply({"error": "invalid_client"}, 401)
        if f.get("grant_type") not in ("client_credentials", "refresh_token", "password") or (
            f["grant_type"] == "refresh_token" and not f.get("refresh_token", "").startswith("ref-")
        ):
            return await r.reply({"error": "invalid_grant"}, 400)
        S.token_serial += 1
        exp = r.int("expires_in", 3600)
        S.tokens[f"tok-{S.token_serial}"] = time.time() + exp
        return await r.reply(
            {
                "access_token": f"tok-{S.token_serial}",
                "token_type": "Bearer",
                "expires_in": exp,
                "refresh_token": f"ref-{S.token_serial}",
            }
        )
    t = r.h.get("authorization", "")[7:]
    if S.tokens.get(t, 0) < time.time():
        return await r.reply(
            {"error": "invalid_token"},
            401,
            headers=[("WWW-Authenticate", 'Bearer error="invalid_token"')],
        )
    await r.reply({"ok": True, "token": t})


@route("/auth/basic/", "/auth/basic/USER/PASS: 401 with WWW-Authenticate unless right")
async def basic(r):
    _, _, _, u, p = r.path.split("/")[:5]
    ok = r.h.get("authorization") == "Basic " + base64.b64encode(f"{u}:{p}".encode()).decode()
    await r.reply(
        {"ok": ok},
        200 if ok else 401,
        headers=[] if ok else [("WWW-Authenticate", 'Basic realm="r"')],
    )


@route(
    "/cookies", "GET: cookies received. set=RAW (may repeat as set1,set2,...): Set-Cookie values"
)
async def cookies(r):
    await r.reply(
        {"cookie": r.h.get("cookie", "")},
        headers=[("Set-Cookie", v) for k, v in r.q.items() if k.startswith("set")],
    )


@route(
    "/cache",
    "GET cc=Cache-Control etag= vary= expires= status= key: body tells the server hit number; If-None-Match gives 304",
)
async def cache(r):
    n, hs = r.n(), []
    for a, b in (
        ("cc", "Cache-Control"),
        ("vary", "Vary"),
        ("expires", "Expires"),
        ("etag", "ETag"),
        ("age", "Age"),
    ):
        if a in r.q:
            hs.append((b, http_date(r.q[a])))
    if "etag" in r.q and r.h.get("if-none-match") == r.q["etag"]:
        return await r.reply(b"", 304, headers=hs)
    await r.reply(
        {"hit": n, "auth": r.h.get("authorization"), "lang": r.h.get("accept-language")},
        r.int("status", 200),
        headers=hs + [("Date", http_date("date+0"))],
    )


@route(
    "/limit/",
    "/limit/N ms=50: 429 when more than N requests of this path are in flight; _stats has the maxima",
)
async def limit(r):
    now = S.path_inflight.get(r.path, 0)
    await asyncio.sleep(r.int("ms", 50) / 1000)
    over = now > int(r.path.split("/")[2])
    await r.reply(
        {"inflight": now}, 429 if over else 200, headers=[("Retry-After", "0")] if over else []
    )


@route(
    "/ratelimit",
    "GET rps=10 burst=1 key: token bucket; 429 with Retry-After (whole seconds, at least 1) when empty",
)
async def ratelimit(r):
    k, rps, now = r.q.get("key", "-"), float(r.q.get("rps", 10)), time.monotonic()
    lvl, t = S.bucket.get(k, (float(r.q.get("burst", 1)), now))
    lvl = min(float(r.q.get("burst", 1)), lvl + (now - t) * rps)
    S.bucket[k] = (lvl - 1 if lvl >= 1 else lvl, now)
    await (
        r.reply({"ok": True})
        if lvl >= 1
        else r.reply(
            {"error": "slow down"},
            429,
            headers=[
                ("Retry-After", str(max(1, int((1 - lvl) / rps + 0.999)))),
                ("X-RateLimit-Remaining", "0"),
            ],
        )
    )


# ---------------------------------------------------------------- server
async def read_request(rd, w, server, cid):
    try:
        head = await asyncio.wait_for(rd.readuntil(b"\r\n\r\n"), 300)
    except asyncio.LimitOverrunError:
        w.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        raise Drop
    lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = (lines[0].split(" ") + ["", ""])[:3]
    hs = [[k, v.strip()] for k, _, v in (x.partition(":") for x in lines[1:])]
    low = {k.lower(): v for k, v in hs}
    if "early=1" in target:
        w.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        raise Drop
    if low.get("expect", "").lower() == "100-continue":
        w.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if "chunked" in low.get("transfer-encoding", "").lower():
        while n := int((await rd.readline()).split(b";")[0], 16):
            body += (await rd.readexactly(n + 2))[:-2]
        await rd.readline()
    elif low.get("content-length", "0").isdigit():
        body = await rd.readexactly(int(low["content-length"])) if "content-length" in low else b""
    return Req(method, target, version, hs, body, server, cid, w)


async def handle(rd, w, server):
    S.conns += 1
    S.conns_total += 1
    S.max_conns = max(S.max_conns, S.conns)
    cid = S.conns_total
    rows = []
    try:
        while True:
            r = await read_request(rd, w, server, cid)
            row = {}
            if not r.path.startswith("/_"):
                S.requests += 1
                row.update(
                    dict(
                        n=len(S.log) + 1,
                        t=round(time.monotonic() - S.started, 4),
                        conn=cid,
                        server=server,
                        method=r.method,
                        target=r.target,
                        path=r.path,
                        query=r.q,
                        version=r.version,
                        headers=r.headers,
                        body_len=len(r.body),
                        body_sha256=hashlib.sha256(r.body).hexdigest(),
                        body_b64=base64.b64encode(r.body[:8192]).decode(),
                        answered=False,
                        closed=False,
                    )
                )
                S.log.append(row)
                rows.append(row)
            S.inflight += 1
            S.path_inflight[r.path] = S.path_inflight.get(r.path, 0) + 1
            S.max_inflight, S.path_max[r.path] = (
                max(S.max_inflight, S.inflight),
                max(S.path_max.get(r.path, 0), S.path_inflight[r.path]),
            )
            try:
                if "delay" in r.q and not r.path.startswith(("/sse", "/ndjson")):
                    await asyncio.sleep(r.int("delay") / 1000)
                if r.path in S.raw:
                    data, opt = S.raw[r.path]
                    step = int(opt.get("step", len(data) or 1))
                    for i in range(0, len(data), step):
                        await r.send(data[i : i + step])
                        await asyncio.sleep(int(opt.get("delay", 0)) / 1000)
                    if "keep" not in opt:
                        raise Drop("reset" in opt)
                    row["answered"] = True
                    continue
                hit = max(
                    (
                        p
                        for p in HANDLERS
                        if r.path == p or (p.endswith("/") and r.path.startswith(p))
                    ),
                    key=len,
                    default=None,
                )
                await (
                    HANDLERS[hit][0](r)
                    if hit
                    else r.reply({"error": "no such endpoint", "endpoints": sorted(HANDLERS)}, 404)
                )
                row["answered"] = True
            finally:
                S.inflight -= 1
                S.path_inflight[r.path] = S.path_inflight.get(r.path, 1) - 1
            if r.h.get("connection", "").lower() == "close" or r.version == "HTTP/1.0":
                break
    except Drop as e:
        if e.args and e.args[0]:
            sk = w.get_extra_info("socket")
            await asyncio.sleep(0.02)
            sk and sk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            w.transport.abort()
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    except Exception as e:  # a bug in a handler must show, not hang the client
        try:
            w.write(
                b"HTTP/1.1 599 Faultserver bug\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
                + repr(e).encode()
            )
        except Exception:
            pass
    finally:
        S.conns -= 1
        try:
            w.close()
            await w.wait_closed()
        except Exception:
            pass
        for row in rows:
            row["closed"] = True


async def start(port=0, tls=None, tls_delay=0.0):
    S.started = time.monotonic()
    mk = lambda name: lambda rd, w: handle(rd, w, name)

    async def hole(rd, w):
        await asyncio.sleep(600)

    async def slow_tls(
        rd, w
    ):  # a pipe to the real TLS listener that opens late, so the handshake is slow
        await asyncio.sleep(tls_delay)
        r2, w2 = await asyncio.open_connection("127.0.0.1", inner.sockets[0].getsockname()[1])

        async def pipe(a, b):
            try:
                while d := await a.read(BLK):
                    b.write(d)
                    await b.drain()
            except OSError:
                pass
            finally:
                b.close()

        await asyncio.gather(pipe(rd, w2), pipe(r2, w))

    listen = lambda cb, port=0, **k: asyncio.start_server(
        cb, "127.0.0.1", port, limit=1 << 20, backlog=512, **k
    )
    srv = [await listen(mk("main"), port), await listen(mk("other")), await listen(hole)]
    if tls:
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(*tls)
        inner = await listen(mk("tls"), ssl=ctx)
        srv.append(await listen(slow_tls))
    s = socket.socket()
    s.bind(
        ("127.0.0.1", 0)
    )  # bound, never listening: connections are refused, and nobody else gets the port
    P = [x.sockets[0].getsockname()[1] for x in srv]
    S.keep = srv, s, inner if tls else None
    S.ports = dict(
        port=P[0],
        other_port=P[1],
        blackhole_port=P[2],
        refuse_port=s.getsockname()[1],
        tls_port=P[3] if tls else None,
        pid=os.getpid(),
    )


async def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--port", type=int, default=0)
    a.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    a.add_argument("--tls-delay", type=float, default=0.0)
    a.add_argument(
        "--max-seconds", type=float, default=3600, help="the server ends by itself after this time"
    )
    a.add_argument("--list", action="store_true")
    a = a.parse_args()
    if a.list:
        return print("\n".join(f"{p:16} {d}" for p, (_, d) in sorted(HANDLERS.items())))
    await start(a.port, a.tls, a.tls_delay)
    print(json.dumps(S.ports), flush=True)
    await asyncio.sleep(a.max_seconds)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
