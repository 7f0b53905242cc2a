"""A long run against a server that misbehaves: `python -m benchmarks.soak --minutes 30`.

Clients over each engine, async on one loop, sync from threads and under `asyncio.run` again and
again, send a seeded mix of every fault that tests/servers/faultserver.py knows, in every way that a
client can ask, and are cancelled at random moments. What comes back must be a result or an
`NbhttpError`; everything else is recorded. Each minute all come to rest, and are measured: nothing
may be held, queued or in flight then. The verdict is about growth after the first five minutes.
"""

import argparse
import asyncio
import collections
import contextlib
import datetime
import gc
import json
import logging
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path

import nbhttp
from nbhttp._core.events import RequestFinished, RequestStarted

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "tests" / "servers" / "faultserver.py"
RESULTS = Path(__file__).parent / "RESULTS-soak.md"
ENGINES = ("httpx", "direct", "auto")
WARM_UP_MINUTES = 5
MOST_GROWTH = 0.05  # of the resident memory, over the time that is judged
MOST_FDS = 3  # more than at the end of the warm-up, after all connections were closed
HANG_S = 60

TARGETS = """
/echo?a=1
/auth/basic/u/p
/bomb?size=300000&enc=gzip
/bomb?size=4000000&enc=gzip
/bomb?size=4000000&enc=deflate&layers=2
/cache?cc=max-age%3D60&etag=x
/charset?declared=utf-8&actual=latin-1
/charset?declared=&actual=utf-16
/chunked/badsize
/chunked/negative
/chunked/huge
/chunked/noterm
/chunked/badcrlf
/chunked/ext
/chunked/trailer
/chunked/lf
/chunked/both
/conn/empty
/conn/reset
/conn/half
/conn/stall?s=1.5
/conn/dripheaders?ms=5
/conn/die
/conn/garbage
/conn/interim?n=3
/conn/interim?n=300
/conn/extra
/cookies?set1=a%3D1&set2=b%3D2%3B%20Max-Age%3D0
/disposition/x?value=attachment%3B%20filename%3D%22..%2F..%2Fe.txt%22
/file/s/50000
/file/s/50000?truncate=20000&fail=1
/file/s/50000?reset=20000&fail=1
/file/s/50000?truncate=20000
/file/s/50000?stall=20000&stall_s=1
/file/s/50000?chunked=1
/file/s/50000?cl=%2B10
/file/s/50000?cl=-10
/file/s/50000?cl=none
/file/s/50000?norange=1
/file/s/50000?badrange=total
/file/s/50000?badrange=short
/file/s/50000?change_after=1&truncate=20000
/file/s/50000?gzip=1
/file/s/50000?wrongdigest=1
/file/s/50000?headstatus=405
/file/s/300000
/gzip/ok
/gzip/truncated
/gzip/crc
/gzip/garbage
/gzip/header
/gzip/trailing
/gzip/empty
/gzip/plain
/gzip/multi
/gzip/unknown
/headers/huge?size=100000
/headers/many?n=100
/headers/many?n=300
/headers/inject
/headers/dup
/headers/obsfold
/headers/nul
/headers/nocolon
/headers/space
/headers/reason?value=%E9
/headers/status?value=HTTP/1.1%20999
/headers/status?value=HTTP/9.9%20200%20OK
/json/trunc
/json/nan
/json/bom
/json/html
/json/utf16
/json/latin1
/json/empty
/json/bigint
/json/deep
/json/dup
/json/surrogate
/json/204
/json/problem?status=422
/json/scalar
/limit/3?ms=20
/ndjson?n=50
/ndjson?n=20&drop=7
/ndjson?n=20&drop=7&reset=1
/ndjson?n=20&bad=5&blank=1&crlf=1
/ndjson?n=10&nofinal=1&byte=1
/ndjson?n=20&delay=30
/oauth/resource
/page/link?page=2
/page/cursor
/ratelimit?rps=20&burst=2
/redirect/loop
/redirect/n/3
/redirect/to?url=/echo
/redirect/other?path=/echo
/redirect/host?path=/echo
/redirect/userinfo?path=/echo
/redirect/scheme
/redirect/missing
/redirect/relative?status=307&cookie=1
/sse?n=10&end=done
/sse?n=12&drop=5&retry=10
/sse?n=12&drop=5&retry=10&reset=1&eol=cr
/sse?n=5&byte=1&comment=1&eol=crlf
/sse?n=10&delay=30&status=200
/sse?n=5&status=500
/status/200
/status/204
/status/304
/status/404
/status/429?retry_after=1
/status/500
/status/503?retry_after=date%2B1
/status/200?reset=1&times=1
/upload
/upload?early=1
/xss?where=header
/xss?where=reason
/xss?where=html
""".split()


class Ledger:
    """What happened, counted; what should not have, with its traceback. Used by many threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done = collections.Counter()
        self.kinds = collections.Counter()
        self.wrong = {}
        self.wrong_count = 0
        self.events = collections.Counter()
        self.unfinished = {}

    def count(self, way, kind):
        with self.lock:
            self.done[way] += 1
            self.kinds[kind] += 1

    def note_wrong(self, what, detail):
        with self.lock:
            self.wrong_count += 1
            if what not in self.wrong:
                self.wrong[what] = detail
                print(f"WRONG: {what}\n{detail}", flush=True)

    def note_exception(self, way, target, exc):
        detail = "".join(traceback.format_exception(exc))[-6000:]
        self.note_wrong(f"{type(exc).__name__} from {way} {target.partition('?')[0]}", detail)

    def on_event(self, event):
        with self.lock:
            self.events[type(event).__name__] += 1
            if isinstance(event, RequestStarted):
                self.unfinished[event.request_id] = f"{event.client} {event.method} {event.url}"
            elif isinstance(event, RequestFinished) and not self.unfinished.pop(
                event.request_id, None
            ):
                self.events["finished without a start"] += 1
        text = str(event)
        if not text.startswith(type(event).__name__):
            self.note_wrong("an event without a repr", text)


def outcome(value):
    """Name what a call gave: the error's type, or ok; anything else is a TypeError."""
    if isinstance(value, nbhttp.RequestResult | nbhttp.DownloadResult):
        exc = value.exception
        if exc is not None and not isinstance(exc, nbhttp.NbhttpError):
            raise TypeError(f"a result holds {exc!r}")
        if bool(value) != (exc is None):
            raise TypeError(f"a result is {bool(value)} with {exc!r}")
        repr(value)
        return "ok" if exc is None else type(exc).__name__
    raise TypeError(f"not a result: {value!r}")


class Mix:
    """Chooses what to ask next; one for each worker, so that a seed means one sequence."""

    def __init__(self, seed, ports, folder):
        self.random = random.Random(seed)
        self.ports = ports
        self.folder = folder

    def target(self, *starts):
        choices = [t for t in TARGETS if t.startswith(starts)] if starts else TARGETS
        target = self.random.choice(choices)
        if "fail=1" in target or "times=1" in target or "change_after" in target:
            target += f"&key={self.random.getrandbits(40)}"
        return target

    def url(self, *starts):
        chance = self.random.random()
        if starts == () and chance < 0.01:
            return f"http://127.0.0.1:{self.ports['refuse_port']}/"
        if starts == () and chance < 0.02:
            return f"http://127.0.0.1:{self.ports['blackhole_port']}/"
        port = self.ports["other_port" if chance > 0.8 else "port"]
        return f"http://127.0.0.1:{port}{self.target(*starts)}"

    def options(self):
        r = self.random
        options = {"timeout": r.choice([0.05, 0.3, 0.8, 3.0])}
        if r.random() < 0.1:
            options["auth"] = ("u", r.choice("pq"))
        if r.random() < 0.1:
            options["max_body"] = 1000
        if r.random() < 0.2:
            options["headers"] = {"X-N": str(r.random())}
        return options

    def body(self, *, is_async):
        r = self.random
        size = r.choice([0, 10, 70_000, 400_000])

        def pieces():
            for _ in range(size // 10_000):
                yield b"x" * 10_000

        async def async_pieces():
            for piece in pieces():
                yield piece

        return r.choice(
            [
                {"json": {"n": size}},
                {"data": {"a": "1", "b": "x" * min(size, 1000)}},
                {"content": b"x" * size},
                {"content": async_pieces() if is_async else pieces()},
                {"files": {"f": ("n.bin", b"x" * size)}},
            ]
        )

    def verb(self):
        return self.random.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE"])

    def path(self):
        return self.folder / f"{self.random.randrange(8)}.bin"

    def many(self):
        count = self.random.choice([1, 20, 60])
        return [(self.random.choice(["GET", "GET", "HEAD"]), self.url()) for _ in range(count)]

    def download(self):
        r = self.random
        options = {
            "timeout": r.choice([0.3, 1.0]),
            "max_attempts": r.choice([1, 3]),
            "overwrite": True,
            "progress": False,
            "lock_timeout": 5.0,
            "segments": r.choice(["auto", 1, 3]),
        }
        if r.random() < 0.2:
            options["checksum"] = "sha256:" + "0" * 64
        return options


STREAMS = {"stream_request": (), "lines": (), "ndjson": ("/ndjson", "/json"), "sse": ("/sse",)}


def stream_options(mix, way):
    r = mix.random
    options = {"timeout": r.choice([0.05, 0.5, 1.0]), "raise_exception": r.random() < 0.8}
    if way == "stream_request":
        options["chunk_size"] = r.choice([None, 100, 65536])
        options["raw"] = r.random() < 0.2
    if way == "ndjson":
        options["on_error"] = r.choice(["raise", "skip", "collect"])
    if way == "sse":
        options["max_events"] = r.choice([3, 20])
        options["reconnect"] = r.choice([False, 2])
    return options


WAYS = ["request"] * 8 + ["map"] * 2 + [*STREAMS, "stream", "download_file", "download_file"]


async def ask(client, mix, way, url):
    """Ask once, the async way; return what it came to."""
    r = mix.random
    if way == "request":
        verb = mix.verb()
        body = mix.body(is_async=True) if verb in {"POST", "PUT"} else {}
        result = await client.request(verb, url, **mix.options(), **body)
        if r.random() < 0.3:
            use(result, r)
        return outcome(result)
    if way == "map":
        results = await client.map(mix.many(), concurrency=r.choice([2, 20]))
        return collections.Counter(map(outcome, results)).most_common(1)[0][0]
    if way == "download_file":
        return outcome(await client.download_file(url, mix.path(), **mix.download()))
    if way == "stream":
        async with client.stream("GET", url, timeout=0.8) as response:
            if r.random() < 0.5:
                await response.aread()
            return "ok"
    stop_after = r.choice([1, 5, 1000])
    stream = getattr(client, way)(*start(way, url), **stream_options(mix, way))
    async with stream if r.random() < 0.7 else contextlib.nullcontext():
        count = 0
        async for _ in stream:
            count += 1
            if count >= stop_after:
                break
    return "ok" if stream.error is None else "a stream's error"


def ask_sync(client, mix, way, url):
    """Ask once, the sync way; return what it came to."""
    r = mix.random
    if way == "request":
        verb = mix.verb()
        body = mix.body(is_async=False) if verb in {"POST", "PUT"} else {}
        result = client.request(verb, url, **mix.options(), **body)
        if r.random() < 0.3:
            use(result, r)
        return outcome(result)
    if way == "map":
        results = client.map(iter(mix.many()), concurrency=r.choice([2, 20]))
        return collections.Counter(map(outcome, results)).most_common(1)[0][0]
    if way == "download_file":
        return outcome(client.download_file(url, mix.path(), **mix.download()))
    if way == "stream":
        with client.stream("GET", url, timeout=0.8) as response:
            if r.random() < 0.5:
                response.read()
            return "ok"
    stop_after = r.choice([1, 5, 1000])
    stream = getattr(client, way)(*start(way, url), **stream_options(mix, way))
    with stream if r.random() < 0.7 else contextlib.nullcontext():
        for count, _ in enumerate(stream, 1):
            if count >= stop_after:
                break
    return "ok" if stream.error is None else "a stream's error"


def start(way, url):
    return ("GET", url) if way == "stream_request" else (url,)


def use(result, r):
    """Look at a result as a notebook does."""
    what = r.choice(["json", "text", "response", "html", "raise"])
    with contextlib.suppress(nbhttp.NbhttpError):
        if what == "json":
            result.json()
        elif what == "text":
            _ = result.text
        elif what == "response":
            _ = result.response
        elif what == "html":
            result._repr_mimebundle_()
        else:
            result.raise_for_status()


class Rest:
    """Has every worker pause between two calls, to be measured with nothing under way."""

    def __init__(self):
        self.is_wanted = False
        self.is_over = False
        self.busy = set()
        self.lock = threading.Lock()

    def begin(self, worker, what):
        with self.lock:
            self.busy.add((worker, what))

    def end(self, worker, what):
        with self.lock:
            self.busy.discard((worker, what))

    async def come(self):
        self.is_wanted = True
        deadline = time.monotonic() + HANG_S
        slow_at = time.monotonic() + 10
        while self.busy and time.monotonic() < deadline:
            if time.monotonic() > slow_at:
                slow_at = deadline
                print("    slow to end:", *self.busy, flush=True)
            await asyncio.sleep(0.05)
        return set(self.busy)


async def async_worker(name, client, mix, ledger, rest, pause_s):
    while not rest.is_over:
        if rest.is_wanted:
            await asyncio.sleep(0.05)
            continue
        way = mix.random.choice(WAYS)
        url = mix.url(*STREAMS.get(way, ("/file",) if way == "download_file" else ()))
        cancel_after = (
            mix.random.choice([0, 0.001, 0.02, 0.2]) if mix.random.random() < 0.1 else None
        )
        rest.begin(name, (way, url))
        call = asyncio.ensure_future(ask(client, mix, way, url))
        try:
            if cancel_after is not None:
                await asyncio.wait([call], timeout=cancel_after)
                call.cancel()
            done, _ = await asyncio.wait([call], timeout=HANG_S)
            if not done:
                ledger.note_wrong(f"{way} hangs", f"{url}\n{call!r}")
                call.cancel()
            ledger.count(way, await call)
        except nbhttp.NbhttpError as exc:
            ledger.count(way, type(exc).__name__)
        except asyncio.CancelledError:
            ledger.count(way, "CancelledError")
        except Exception as exc:
            ledger.note_exception(way, url, exc)
        finally:
            rest.end(name, (way, url))
        await asyncio.sleep(pause_s * mix.random.random() * 2)


def sync_worker(name, client, mix, ledger, rest, pause_s):
    while not rest.is_over:
        if rest.is_wanted:
            time.sleep(0.05)
            continue
        way = mix.random.choice(WAYS)
        url = mix.url(*STREAMS.get(way, ("/file",) if way == "download_file" else ()))
        rest.begin(name, (way, url))
        try:
            ledger.count(way + " (sync)", ask_sync(client, mix, way, url))
        except nbhttp.NbhttpError as exc:
            ledger.count(way + " (sync)", type(exc).__name__)
        except asyncio.CancelledError:
            ledger.count(way + " (sync)", "CancelledError")
        except Exception as exc:
            ledger.note_exception(way + " (sync)", url, exc)
        finally:
            rest.end(name, (way, url))
        time.sleep(pause_s * mix.random.random() * 2)


def loops_worker(name, client, mix, ledger, rest, pause_s):
    """Use one client under a new event loop each time."""

    async def few():
        for _ in range(3):
            way = mix.random.choice(WAYS)
            url = mix.url(*STREAMS.get(way, ("/file",) if way == "download_file" else ()))
            try:
                ledger.count(way + " (run)", await ask(client, mix, way, url))
            except nbhttp.NbhttpError as exc:
                ledger.count(way + " (run)", type(exc).__name__)
            except asyncio.CancelledError:
                ledger.count(way + " (run)", "CancelledError")

    while not rest.is_over:
        if rest.is_wanted:
            time.sleep(0.05)
            continue
        rest.begin(name, "asyncio.run")
        try:
            asyncio.run(few())
        except Exception as exc:
            ledger.note_exception("asyncio.run", "", exc)
        finally:
            rest.end(name, "asyncio.run")
        time.sleep(pause_s * 10 * mix.random.random())


async def cancel_now_and_then(clients, mix, rest, ledger):
    while not rest.is_over:
        await asyncio.sleep(mix.random.uniform(2, 12))
        if not rest.is_wanted:
            ledger.events["cancelled by cancel_all()"] += mix.random.choice(clients).cancel_all()


def open_fds():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def sample(clients, ledger, started):
    """Measure, at rest."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    states = [c._state for c in clients]
    return {
        "minute": (time.monotonic() - started) / 60,
        "rss_mib": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "objects": len(gc.get_objects()),
        "fds": open_fds(),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "held": sum(s.gate.held for s in states),
        "queued": sum(s.gate.queued for s in states),
        "in_flight": sum(len(s._in_flight) + len(s.lives) for s in states),
        "connections": sum(s.engines.connections for s in states),
        "loops": sum(len(s.engines._sets) for s in states),
        "done": sum(ledger.done.values()),
        "wrong": ledger.wrong_count,
    }


def at_rest_is_clean(row, clients, ledger):
    if ledger.unfinished or ledger.events["finished without a start"]:
        ledger.note_wrong("started and finished do not match", str(ledger.unfinished))
    for what in ("held", "queued", "in_flight"):
        if row[what]:
            flights = [f._what for c in clients for f in c._state._in_flight]
            lives = [vars(live) for c in clients for live in c._state.lives]
            ledger.note_wrong(f"{what} at rest", f"{row}\n{flights}\n{lives}")


async def close_all(clients):
    for client in clients:
        if isinstance(client, nbhttp.AsyncHttpClient):
            await client.aclose()
        else:
            await asyncio.to_thread(client.close)
    await asyncio.sleep(0.5)


async def post_reset(ports):
    """Have the server forget its log, which grows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ports["port"])
    writer.write(
        b"POST /_reset HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    await reader.read()
    writer.close()
    await writer.wait_closed()


COLUMNS = ("minute", "rss_mib", "objects", "fds", "fds_closed", "tasks", "threads", "held",
           "queued", "in_flight", "connections", "loops", "done", "wrong")  # fmt: skip


def show(row):
    return "  ".join(
        f"{c}={row[c]:.1f}" if isinstance(row[c], float) else f"{c}={row[c]}"
        for c in COLUMNS
        if c in row
    )


@contextlib.contextmanager
def all_ears(ledger):
    """Hear of what nobody awaits: warnings, lost exceptions, log records of asyncio and nbhttp."""

    class Handler(logging.Handler):
        def emit(self, record):
            text = logging.Formatter().format(record)
            ledger.note_wrong(f"log {record.name}: {record.getMessage()[:100]}", text)

    handler = Handler(logging.WARNING)
    for name in ("asyncio", "nbhttp", "httpx", "httpcore"):
        logging.getLogger(name).addHandler(handler)
    sys.unraisablehook = lambda u: ledger.note_wrong(
        f"unraisable {u.exc_type.__name__}: {u.exc_value}",
        "".join(traceback.format_exception(u.exc_value)) + f"\nin {u.object!r}",
    )
    threading.excepthook = lambda a: ledger.note_wrong(
        f"thread died of {a.exc_type.__name__}", "".join(traceback.format_exception(a.exc_value))
    )
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, category, filename, line, *_: ledger.note_wrong(
        f"{category.__name__}: {str(message)[:100]}", f"{message} ({filename}:{line})"
    )
    yield
    logging.getLogger("asyncio").removeHandler(handler)


async def soak(options, ports, folder, ledger):
    """Run it all; return the rows."""
    common = {"timeout": 2.0, "trust_env": False, "max_body": 2_000_000, "max_connections": 40}
    clients = [nbhttp.AsyncHttpClient(engine=e, **common) for e in ENGINES]
    sync_clients = [nbhttp.HttpClient(engine=e, **common) for e in ENGINES]
    looped = nbhttp.AsyncHttpClient(engine="auto", **common)
    every = [*clients, *sync_clients, looped]
    for client in every:
        client.subscribe(ledger.on_event)
    rest, rows, started = Rest(), [], time.monotonic()

    def mix(number):
        return Mix(options.seed * 1000 + number, ports, folder)

    tasks = [
        asyncio.ensure_future(
            async_worker(f"async {i}", clients[i % 3], mix(i), ledger, rest, options.pause)
        )
        for i in range(9)
    ]
    tasks.append(asyncio.ensure_future(cancel_now_and_then(every, mix(90), rest, ledger)))
    threads = [
        threading.Thread(
            target=sync_worker,
            args=(f"sync {i}", sync_clients[i % 3], mix(100 + i), ledger, rest, options.pause),
            daemon=True,
        )
        for i in range(3)
    ]
    threads.append(
        threading.Thread(
            target=loops_worker, args=("loops", looped, mix(200), ledger, rest, options.pause),
            daemon=True,
        )
    )  # fmt: skip
    for thread in threads:
        thread.start()
    for minute in range(1, options.minutes + 1):
        while time.monotonic() - started < minute * 60:
            await asyncio.sleep(0.2)
        stuck = await rest.come()
        if stuck:
            ledger.note_wrong("still busy a minute after the last call", repr(stuck))
        await asyncio.sleep(0.3)
        row = sample(every, ledger, started)
        at_rest_is_clean(row, every, ledger)
        await close_all(every)
        row["fds_closed"] = open_fds()
        rows.append(row)
        print(show(row), flush=True)
        print("   ", dict(ledger.kinds.most_common()), flush=True)
        await post_reset(ports)
        rest.is_wanted = False
    rest.is_over = True
    await asyncio.wait(tasks, timeout=HANG_S)
    for thread in threads:
        await asyncio.to_thread(thread.join, HANG_S)
    return rows


def slope(rows, key):
    """Least squares: growth a minute."""
    xs, ys = [r["minute"] for r in rows], [r[key] for r in rows]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mx) ** 2 for x in xs)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0


def judge(rows, ledger):
    """Say whether it is flat, and the figures that say so."""
    judged = [r for r in rows if r["minute"] > WARM_UP_MINUTES] or rows[len(rows) // 2 :]
    minutes = judged[-1]["minute"] - judged[0]["minute"]
    rss = slope(judged, "rss_mib")
    growth = rss * minutes / judged[0]["rss_mib"]
    objects = slope(judged, "objects")
    fds = max(r["fds_closed"] for r in judged) - judged[0]["fds_closed"]
    verdicts = [
        (growth <= MOST_GROWTH, f"resident memory: {rss:+.3f} MiB a minute, {growth:+.1%} over "
         f"{minutes:.0f} minutes"),
        (fds <= MOST_FDS, f"file descriptors with all connections closed: at most {fds:+d}"),
        (abs(objects) * minutes <= 0.05 * judged[0]["objects"],
         f"tracked objects: {objects:+.0f} a minute of {judged[0]['objects']:,}"),
        (not ledger.wrong, f"what should not happen: {ledger.wrong_count}"),
    ]  # fmt: skip
    return all(ok for ok, _ in verdicts), [f"{'✓' if ok else '✗'} {text}" for ok, text in verdicts]


def report(rows, ledger, lines, options, seconds):
    every_five = [r for i, r in enumerate(rows, 1) if i % 5 == 0 or i == len(rows)]
    heads = ["minute", "RSS MiB", "objects", "fds", "fds closed", "tasks", "threads", "held",
             "queued", "in flight", "connections", "loops", "calls", "wrong"]  # fmt: skip
    table = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in every_five:
        cells = [f"{row[c]:,.1f}" if isinstance(row[c], float) else f"{row[c]:,}" for c in COLUMNS]
        table.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "# Results of `python -m benchmarks.soak`",
            "",
            f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {platform.system()} "
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
            f"`python -m benchmarks.soak --minutes {options.minutes} --seed {options.seed}`, "
            f"{seconds / 60:.0f} minutes, other work on the machine.",
            "",
            *[f"- {line}" for line in lines],
            "",
            "Measured each minute with every call ended; `fds closed` after all clients were closed.",
            "",
            *table,
            "",
            "What the calls came to: "
            + ", ".join(f"{k} {n:,}" for k, n in ledger.kinds.most_common()) + ".",
            "",
            "Asked by: " + ", ".join(f"{k} {n:,}" for k, n in ledger.done.most_common()) + ".",
            "",
            "Events: " + ", ".join(f"{k} {n:,}" for k, n in ledger.events.most_common()) + ".",
            "",
            *[f"Should not happen: {what}" for what in ledger.wrong],
        ]
    ).rstrip() + "\n"  # fmt: skip


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two calls")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    ledger, began = Ledger(), time.monotonic()
    command = [sys.executable, SERVER, "--max-seconds", str(options.minutes * 60 + 600)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server,
        all_ears(ledger),
    ):
        try:
            ports = json.loads(server.stdout.readline())
            log = Path(folder) / "log" / "soak.jsonl"
            nbhttp.LoggerManager.configure("DEBUG", False, file=log, rotation="2 MB", retention=2)
            rows = asyncio.run(soak(options, ports, Path(folder), ledger))
            nbhttp.LoggerManager.shutdown()
            for line in log.read_text(encoding="utf-8").splitlines():
                json.loads(line)
        finally:
            server.terminate()
    is_flat, lines = judge(rows, ledger)
    print("\n".join(lines))
    text = report(rows, ledger, lines, options, time.monotonic() - began)
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")
        print(f"wrote {RESULTS}")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
