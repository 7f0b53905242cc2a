"""The direct engine against servers that behave, misbehave and cut the wire."""

import asyncio
import contextlib
import gc
import hashlib
import os
import random
import ssl
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbhttp._core.filesink import FileSink
from nbhttp._engines.base import EngineRequest, EngineSettings, Origin, PhaseLimits
from nbhttp._engines.direct.engine import DirectEngine
from nbhttp.errors import (
    BodyTooLargeError,
    ConnectError,
    NbhttpError,
    ProtocolError,
    RequestError,
    TimeoutError,
)

pytestmark = pytest.mark.anyio

LOOPS = [pytest.param(("asyncio", {}), id="asyncio")]
if sys.platform != "win32":
    LOOPS.append(pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    """Both loops that the engine runs on."""
    return request.param


@pytest.fixture
async def engine(fault):
    """An engine that trusts the test authority; nothing may be left when it has closed."""
    async with made_engine(fault.tls.client_context()) as made:
        yield made


@contextlib.asynccontextmanager
async def made_engine(context=None, **options):
    made = DirectEngine(EngineSettings(ssl_context=lambda _alpn: context, **options))
    try:
        yield made
    finally:
        await made.aclose()
        assert made.connections == 0
        await asyncio.sleep(0)
        running = [str(task.get_coro()) for task in asyncio.all_tasks()]
        assert not [name for name in running if "Connection" in name or "start_conn" in name]


def ask(url, method="GET", body=b"", headers=(), **options):
    """Make a request for `url`, framing fields included."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, _, port = authority.rpartition(":")
    fields = [(b"Host", authority.encode()), *headers]
    if body and not any(name.lower() == b"transfer-encoding" for name, _ in headers):
        fields.append((b"Content-Length", str(len(body)).encode()))
    origin = Origin(scheme, host.strip("[]"), int(port))
    return EngineRequest(method, origin, f"/{path}".encode(), fields, body, **options)


class RawServer:
    """Counts connections and lets a coroutine play each of them.

    The script gets `reader`, `writer` and the connection's number, from 0.
    """

    def __init__(self, script, **options):
        self.script = script
        self.options = options
        self.opened = 0
        self.live = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.play, "127.0.0.1", 0, **self.options)
        port = self.server.sockets[0].getsockname()[1]
        scheme = "https" if "ssl" in self.options else "http"
        self.url = f"{scheme}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc):
        self.server.close()
        live = tuple(self.live)
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)

    async def play(self, reader, writer):
        task = asyncio.current_task()
        self.live.add(task)
        number, self.opened = self.opened, self.opened + 1
        try:
            await self.script(reader, writer, number)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except RuntimeError:
            # uvloop's word for a write after the client has gone; asyncio keeps silent there.
            if not writer.transport.is_closing():
                raise
        finally:
            self.live.discard(task)
            writer.transport.abort()

    async def all_gone(self):
        """Wait until the server has seen every connection end."""
        while self.live:
            await asyncio.wait(tuple(self.live))


async def head_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


def always(answer):
    """Answer every request with the same bytes, keeping the connection."""

    async def script(reader, writer, number):
        while True:
            await head_of(reader)
            writer.write(answer)

    return script


def once(answer):
    """Send `answer` for the first request, then close."""

    async def script(reader, writer, number):
        await head_of(reader)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return script


async def silent(reader, writer, number):
    """Read and never answer."""
    await reader.read()


async def pieces_of(*pieces):
    for piece in pieces:
        yield piece


# Answers


async def test_a_get_returns_head_body_phases_and_peer(engine, fault):
    """The plain case, twice, over one connection."""
    first = await engine.fetch(ask(fault.url + "/echo"), None)
    second = await engine.fetch(ask(fault.url + "/echo"), None)
    assert (first.head.status, first.head.reason) == (200, b"OK")
    assert b'"method": "GET"' in first.body
    assert first.peer == fault.url.removeprefix("http://")
    assert first.phases.connect > 0.0
    assert first.phases.wait > 0.0
    assert second.phases.connect == 0.0
    assert engine.connections == 1


@pytest.mark.parametrize("method", ["HEAD", "GET", "DELETE", "PURGE"])
async def test_methods_without_a_body(engine, fault, method):
    """An answer to HEAD has a length and no body, and the connection lives on."""
    for _ in range(2):
        answer = await engine.fetch(ask(fault.url + "/file/a/1000", method), None)
        assert len(answer.body) == (0 if method == "HEAD" else 1000)
    assert engine.connections == 1


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/file/a/300000", 300_000),
        ("/file/a/300000?chunked=1", 300_000),
        ("/file/a/300000?cl=none", 300_000),
        ("/file/a/0", 0),
        ("/chunked/ext", 10),
        ("/chunked/trailer", 5),
        ("/conn/interim?n=5", 12),
        ("/json/204", 0),
        ("/headers/dup", 11),
        ("/headers/obsfold", 11),
        ("/headers/reason?value=", 11),
        ("/conn/die", 12),
    ],
)
async def test_odd_but_valid_answers(engine, fault, path, size):
    """Each is read whole, by `fetch`, by `read` and by `drain`."""
    url = fault.url + path
    fetched = await engine.fetch(ask(url), None)
    assert len(fetched.body) == size
    exchange = await engine.open(ask(url))
    assert b"".join([piece async for piece in pieces(exchange)]) == fetched.body
    await exchange.aclose()
    sink = ListSink()
    exchange = await engine.open(ask(url))
    await exchange.drain(sink)
    await exchange.aclose()
    assert b"".join(sink.pieces) == fetched.body


async def pieces(exchange):
    while piece := await exchange.read():
        yield piece


class ListSink:
    """Keeps what comes, waiting once in a while."""

    def __init__(self, waits=False):
        self.pieces = []
        self.waits = waits

    def write(self, data):
        self.pieces.append(bytes(data))
        return asyncio.sleep(0) if self.waits and len(self.pieces) % 2 else None


@pytest.mark.parametrize(
    "path",
    [
        "/conn/half",
        "/conn/garbage",
        "/chunked/badsize",
        "/chunked/negative",
        "/chunked/huge",
        "/chunked/noterm",
        "/chunked/badcrlf",
        "/chunked/both",
        "/headers/huge",
        "/headers/many",
        "/headers/nul",
        "/headers/nocolon",
        "/headers/space",
        "/headers/status?value=HTTP/0.9%20200%20OK",
        "/headers/status?value=HTTP/1.1%20-1%20OK",
        "/file/a/300000?truncate=100000",
        "/file/a/300000?reset=100000",
        "/file/a/300000?chunked=1&truncate=100000",
        "/file/a/1000?cl=%2B5",
    ],
)
async def test_damaged_answers_are_protocol_errors(engine, fault, path):
    """However the body is taken, and the connection is gone after it."""
    url = fault.url + path
    with pytest.raises(ProtocolError) as caught:
        await engine.fetch(ask(url, total=20), None)
    assert caught.value.phases.wait > 0.0
    for take in (read_to_end, drain_to_list):
        with pytest.raises(ProtocolError):
            await take(await engine.open(ask(url)))
    while engine.connections:
        await asyncio.sleep(0)


async def read_to_end(exchange):
    return b"".join([piece async for piece in pieces(exchange)])


async def drain_to_list(exchange):
    sink = ListSink()
    await exchange.drain(sink)
    return b"".join(sink.pieces)


@pytest.mark.parametrize("path", ["/conn/empty", "/conn/reset"])
async def test_no_answer_at_all_is_a_connect_error(engine, fault, path):
    """Closed or reset before any byte: the server did not serve."""
    with pytest.raises(ConnectError, match="before answering"):
        await engine.fetch(ask(fault.url + path, is_replayable=False), None)


async def test_truncation_says_how_much_came(engine, fault):
    """The message counts the bytes of the body."""
    with pytest.raises(ProtocolError, match="5,000 bytes"):
        await engine.fetch(ask(fault.url + "/file/a/100000?truncate=5000"), None)


async def test_what_came_before_a_break_can_be_read(engine, fault):
    """`read` gives the bytes that arrived, then the error."""
    exchange = await engine.open(ask(fault.url + "/file/a/100000?truncate=5000"))
    sizes = []

    async def collect():
        async for piece in pieces(exchange):
            sizes.append(len(piece))  # noqa: PERF401 - it raises in between

    with pytest.raises(ProtocolError):
        await collect()
    assert sum(sizes) == 5000
    await exchange.aclose()


async def test_max_body_is_enforced(engine, fault):
    """By the announced length, and by counting when there is none."""
    for path in ("/file/a/1000", "/file/a/100000?chunked=1", "/file/a/100000?cl=none"):
        with pytest.raises(BodyTooLargeError) as caught:
            await engine.fetch(ask(fault.url + path), 999)
        assert "download_file" in caught.value.hint
    assert len((await engine.fetch(ask(fault.url + "/file/a/1000"), 1000)).body) == 1000


# Connections


async def test_the_latest_idle_connection_is_used_first(engine):
    """LIFO: the busiest stay warm, the others run out."""
    async with RawServer(always(OK)) as server:
        one, two = await asyncio.gather(*(engine.fetch(ask(server.url), None) for _ in "ab"))
        assert (one.body, two.body) == (b"ok", b"ok")
        assert server.opened == engine.connections == 2
        latest = engine._pool._idle[ask(server.url).origin][-1]
        await engine.fetch(ask(server.url), None)
        assert engine._pool._idle[ask(server.url).origin][-1] is latest
        assert server.opened == 2


async def test_bytes_behind_a_body_forbid_reuse(engine):
    """A forged second answer is never taken for the next request's."""
    async with RawServer(
        always(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
    ) as server:
        for _ in range(3):
            assert (await engine.fetch(ask(server.url), None)).body == b"ok"
        assert server.opened == 3


async def test_bytes_on_an_idle_connection_close_it(engine):
    """Whatever a server says unasked is not heard."""
    said = asyncio.Event()

    async def script(reader, writer, number):
        await head_of(reader)
        writer.write(OK)
        if number == 0:
            await said.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await reader.read()

    async with RawServer(script) as server:
        await engine.fetch(ask(server.url), None)
        said.set()
        while engine.connections:
            await asyncio.sleep(0)
        assert (await engine.fetch(ask(server.url), None)).body == b"ok"
        assert server.opened == 2


def dies_after_one(answer_later):
    """The first connection answers once and dies at the second request; others go on."""

    async def script(reader, writer, number):
        await head_of(reader)
        writer.write(OK)
        if number == 0:
            await head_of(reader)
            writer.write(answer_later)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        while True:
            await head_of(reader)
            writer.write(OK)

    return script


async def test_a_reused_connection_that_dies_unheard_is_replaced(engine):
    """The caller never sees it when the request is safe to repeat."""
    async with RawServer(dies_after_one(b"")) as server:
        for _ in range(2):
            assert (await engine.fetch(ask(server.url), None)).body == b"ok"
        assert server.opened == 2


async def test_what_is_not_replayable_is_not_sent_twice(engine):
    """The same death is an error for a POST."""
    async with RawServer(dies_after_one(b"")) as server:
        await engine.fetch(ask(server.url), None)
        with pytest.raises(ConnectError):
            await engine.fetch(ask(server.url, "POST", b"x", is_replayable=False), None)
        assert server.opened == 1


async def test_a_connection_that_dies_in_its_answer_is_not_replaced(engine):
    """One byte of the answer is enough: the server may have acted."""
    async with RawServer(dies_after_one(b"H")) as server:
        await engine.fetch(ask(server.url), None)
        with pytest.raises(ProtocolError):
            await engine.fetch(ask(server.url), None)
        assert server.opened == 1


async def test_idle_connections_expire_without_a_timer_each():
    """One timer closes what was idle too long."""
    async with RawServer(always(OK)) as server, made_engine(keepalive_expiry=0.05) as engine:
        await asyncio.gather(*(engine.fetch(ask(server.url), None) for _ in range(5)))
        assert engine.connections == 5
        await server.all_gone()
        assert engine.connections == 0
        assert engine._pool._timer is None


async def test_no_more_than_max_idle_connections_are_kept():
    """The oldest idle one goes first, to other origins too."""
    async with (
        RawServer(always(OK)) as one,
        RawServer(always(OK)) as two,
        made_engine(max_idle=2) as engine,
    ):
        await asyncio.gather(*(engine.fetch(ask(one.url), None) for _ in range(4)))
        while engine.connections > 2:
            await asyncio.sleep(0)
        await asyncio.gather(*(engine.fetch(ask(two.url), None) for _ in range(2)))
        while engine.connections > 2:
            await asyncio.sleep(0)
        await one.all_gone()


async def test_nobody_listening_is_a_connect_error(engine, fault):
    """With the address in the message."""
    with pytest.raises(ConnectError, match="refused") as caught:
        await engine.fetch(ask(fault.refuse_url), None)
    assert caught.value.phases.connect > 0.0
    assert engine.connections == 0


async def test_names_are_resolved(engine, fault):
    """`localhost` works, and an unknown name says so."""
    url = fault.url.replace("127.0.0.1", "localhost")
    assert (await engine.fetch(ask(url + "/echo"), None)).head.status == 200
    with pytest.raises(ConnectError, match="unknown host"):
        await engine.fetch(ask("http://no-such-host.invalid:80/"), None)


async def test_a_silent_family_does_not_hold_up_the_other(engine, fault, monkeypatch):
    """Happy eyeballs: an address that swallows packets is overtaken."""
    port = int(fault.url.rpartition(":")[2])

    async def two_addresses(host, port_, **kwargs):
        return [
            (2, 1, 6, "", ("127.0.0.1", fault.ports["refuse_port"])),
            (2, 1, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(engine._connector, "_addresses", two_addresses)
    assert (await engine.fetch(ask("http://two.example:80/echo"), None)).head.status == 200


async def test_closing_the_engine_fails_what_is_in_flight(anyio_backend):
    """Nothing hangs and nothing stays open."""
    async with RawServer(silent) as server:
        async with made_engine() as engine:
            task = asyncio.create_task(engine.fetch(ask(server.url), None))
            while not server.live:
                await asyncio.sleep(0)
            await engine.aclose()
            with pytest.raises(ConnectError):
                await task
        await server.all_gone()


# TLS


async def test_tls_is_spoken_and_timed(engine, fault):
    """Two requests, one handshake."""
    first = await engine.fetch(ask(fault.tls_url + "/echo"), None)
    second = await engine.fetch(ask(fault.tls_url + "/echo"), None)
    assert (first.phases.tls > 0.0, second.phases.tls) == (True, 0.0)
    assert engine.connections == 1


async def test_untrusted_certificates_are_refused(fault):
    """The reason is in the message."""
    async with made_engine(ssl.create_default_context()) as engine:
        with pytest.raises(ConnectError, match="not trusted"):
            await engine.fetch(ask(fault.tls_url + "/echo"), None)


async def test_sni_hostname_decides_the_certificates_name(fault):
    """The extension reaches TLS, and such a connection is not shared with others."""
    names = []
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(fault.tls.cert_file, fault.tls.key_file)
    server_context.sni_callback = lambda _sock, name, _context: names.append(name)
    async with (
        RawServer(always(OK), ssl=server_context) as server,
        made_engine(fault.tls.client_context()) as engine,
    ):
        for extensions in ({"sni_hostname": "localhost"}, None, {"sni_hostname": "localhost"}):
            await engine.fetch(ask(server.url, extensions=extensions), None)
        assert names == ["localhost", None]
        with pytest.raises(ConnectError, match="not trusted"):
            await engine.fetch(ask(server.url, extensions={"sni_hostname": "x.example"}), None)


async def test_plain_http_on_a_tls_port_is_an_error(engine, fault):
    """And TLS on a plain port: both typed, both at once."""
    with pytest.raises(RequestError):
        await engine.fetch(ask(fault.tls_url.replace("https", "http"), total=20), None)

    async def plain(reader, writer, number):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await writer.drain()

    async with RawServer(plain) as server:
        with pytest.raises(ConnectError, match="TLS"):
            await engine.fetch(ask(server.url.replace("http", "https"), total=20), None)


@pytest.mark.parametrize("take", [read_to_end, drain_to_list])
async def test_large_bodies_over_tls(engine, fault, take):
    """The same bytes, over the buffered path too."""
    body = await take(await engine.open(ask(fault.tls_url + "/file/a/3000000")))
    assert hashlib.sha256(body).hexdigest() == fault.sha256("a", 3_000_000)


# Time limits


@pytest.mark.parametrize(
    ("path", "phase"),
    [
        ("/conn/stall", "first byte"),
        ("/conn/dripheaders?ms=30&pad=9999", "receiving"),
        ("/file/a/100000?drip=30", "receiving"),
        ("/file/a/100000?stall=5000", "receiving"),
    ],
)
async def test_the_total_limit_holds(engine, fault, path, phase):
    """No drip can stretch it, and the message says what was going on."""
    await engine.fetch(ask(fault.url + "/echo"), None)  # to connect takes its time, too
    with pytest.raises(TimeoutError, match=phase) as caught:
        await engine.fetch(ask(fault.url + path, total=0.5), None)
    assert "0.5 s" in str(caught.value)
    phases = caught.value.phases
    spent = phases.connect + phases.send + phases.wait + phases.receive
    assert spent > 0.4
    while engine.connections:
        await asyncio.sleep(0)


async def test_the_read_limit_counts_from_the_last_byte(engine, fault):
    """A drip passes it, a stall does not."""
    limits = PhaseLimits(read=1)
    answer = await engine.fetch(ask(fault.url + "/file/a/448?drip=40", limits=limits), None)
    assert len(answer.body) == 448
    exchange = await engine.open(ask(fault.url + "/file/a/9000?stall=5000", limits=limits))
    with pytest.raises(TimeoutError, match="of 1 s"):
        await read_to_end(exchange)
    exchange = await engine.open(ask(fault.url + "/file/a/9000?stall=5000&x=1", limits=limits))
    with pytest.raises(TimeoutError, match="receiving"):
        await drain_to_list(exchange)


async def test_a_slow_reader_is_not_a_slow_server(engine, fault):
    """The read limit counts while somebody waits, not while the caller thinks."""
    exchange = await engine.open(ask(fault.url + "/file/a/5000000", limits=PhaseLimits(read=0.6)))
    await exchange.read()
    await asyncio.sleep(0.8)
    assert len(await read_to_end(exchange)) > 0


async def test_the_connect_limit_holds_in_tcp_and_in_tls(engine, fault):
    """A server that accepts and says nothing does not get past the handshake."""
    url = fault.blackhole_url.replace("http", "https")
    with pytest.raises(TimeoutError, match="TLS handshake") as caught:
        await engine.fetch(ask(url, limits=PhaseLimits(connect=0.5)), None)
    assert "0.5 s" in str(caught.value)
    assert caught.value.phases.tls > 0.1
    with pytest.raises(TimeoutError, match=r"0\.25 s"):
        await engine.fetch(ask(url, total=0.25, limits=PhaseLimits(connect=30)), None)
    assert engine.connections == 0


async def test_a_connect_into_the_void_is_timed(engine, monkeypatch):
    """An address that never answers ends with the limit, in the connect phase."""

    async def void(origin):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(engine._connector, "_tcp", void)
    with pytest.raises(TimeoutError, match="while connecting"):
        await engine.fetch(ask("http://192.0.2.1:80/", total=0.2), None)


async def test_the_write_limit_stops_a_stuck_upload(engine):
    """A server that reads nothing is given up after `write` seconds."""

    async def deaf(reader, writer, number):
        writer.transport.pause_reading()
        await asyncio.get_running_loop().create_future()

    async with RawServer(deaf) as server:
        with pytest.raises(TimeoutError, match="sending") as caught:
            await engine.fetch(
                ask(server.url, "POST", bytes(50_000_000), limits=PhaseLimits(write=0.3)), None
            )
        assert "0.3 s" in str(caught.value)


# Uploads


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 3_000_000])
async def test_bytes_are_uploaded(engine, fault, size):
    """Small ones with the head, large ones in pieces."""
    body = random.Random(size).randbytes(size)
    answer = await engine.fetch(ask(fault.url + "/upload", "POST", body), None)
    assert hashlib.sha256(body).hexdigest().encode() in answer.body
    assert (await engine.fetch(ask(fault.url + "/echo"), None)).head.status == 200
    assert engine.connections == 1


@pytest.mark.parametrize("framing", [b"chunked", b"length"])
async def test_iterables_are_uploaded(engine, fault, framing):
    """Framed as the fields say; empty pieces do not end the body."""
    data = [b"a" * 100_000, b"", b"b", b"c" * 300_000]
    total = b"".join(data)
    fields = (
        [(b"Transfer-Encoding", b"chunked")]
        if framing == b"chunked"
        else [(b"Content-Length", str(len(total)).encode())]
    )
    request = ask(fault.url + "/upload", "PUT", headers=fields)
    request.body = pieces_of(*data)
    answer = await engine.fetch(request, None)
    assert hashlib.sha256(total).hexdigest().encode() in answer.body
    assert answer.phases.send > 0.0
    assert engine.connections == 1


@pytest.mark.parametrize("length", [5, 20])
async def test_an_iterable_of_another_length_is_an_error(engine, fault, length):
    """Too few or too many bytes: said, and nothing reused."""
    request = ask(
        fault.url + "/upload", "POST", headers=[(b"Content-Length", str(length).encode())]
    )
    request.body = pieces_of(b"hello", b" world")
    with pytest.raises(ProtocolError, match="Content-Length"):
        await engine.fetch(request, None)
    while engine.connections:
        await asyncio.sleep(0)


async def test_what_the_iterable_raises_reaches_the_caller(engine, fault):
    """Unchanged, and the connection is closed."""

    async def broken():
        yield b"x"
        raise LookupError("my own")

    request = ask(fault.url + "/upload", "POST", headers=[(b"Transfer-Encoding", b"chunked")])
    request.body = broken()
    with pytest.raises(LookupError, match="my own"):
        await engine.fetch(request, None)
    while engine.connections:
        await asyncio.sleep(0)


async def test_an_early_refusal_is_read_and_the_rest_is_not_sent(engine):
    """413 comes back before the upload is over; the iterable is closed."""
    taken, closed = 0, False

    async def refuse(reader, writer, number):
        await head_of(reader)
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await reader.read()

    async def endless():
        nonlocal taken, closed
        try:
            while True:
                taken += 1
                yield bytes(10_000)
                if taken > 3:
                    await asyncio.sleep(0.01)
        finally:
            closed = True

    async with RawServer(refuse) as server:
        request = ask(server.url, "POST", headers=[(b"Transfer-Encoding", b"chunked")])
        request.body = endless()
        answer = await engine.fetch(request, None)
        assert (answer.head.status, answer.body) == (413, b"big")
        await server.all_gone()
    assert closed


async def test_an_early_refusal_with_a_close_is_read(engine, fault):
    """Even when the server hangs up right behind its answer."""
    answer = await engine.fetch(
        ask(fault.url + "/upload?early=1", "POST", bytes(5_000_000), is_replayable=False), None
    )
    assert answer.head.status == 413


async def test_an_answer_that_begins_early_does_not_cut_the_upload(engine):
    """A 200 may come while the server still reads: both go to their end."""
    received = 0

    async def echo(reader, writer, number):
        nonlocal received
        while True:
            await head_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            received = len(await reader.readexactly(1_000_000))
            writer.write(b"ok")

    async with RawServer(echo) as server:
        for call in ("fetch", "open"):
            request = ask(server.url, "POST", bytes(1_000_000))
            if call == "fetch":
                assert (await engine.fetch(request, None)).body == b"ok"
            else:
                exchange = await engine.open(request)
                assert await read_to_end(exchange) == b"ok"
                await exchange.aclose()
            assert received == 1_000_000


# Streams


async def test_memory_is_bounded_when_the_reader_is_slow(engine):
    """The server cannot push more than a few MiB ahead of the reader."""
    sent = 0

    async def flood(reader, writer, number):
        nonlocal sent
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        for _ in range(200):
            writer.write(bytes(1_000_000))
            await writer.drain()
            sent += 1_000_000

    async with RawServer(flood) as server:
        exchange = await engine.open(ask(server.url))
        await exchange.read()
        while not exchange._connection._is_paused:
            await asyncio.sleep(0)
        assert exchange._connection._buffered < 2_000_000
        received = len(await read_to_end(exchange))
        assert received > 190_000_000
        await exchange.aclose()


async def test_closing_early_closes_the_connection(engine, fault):
    """What is not read is not waited for."""
    exchange = await engine.open(ask(fault.url + "/file/a/50000000"))
    await exchange.read()
    await exchange.aclose()
    await exchange.aclose()
    while engine.connections:
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed"):
        await exchange.read()


async def test_reading_to_the_end_gives_the_connection_back(engine, fault):
    """By `read` and by `drain`; and `fetch` goes on with it."""
    for take in (read_to_end, drain_to_list, read_to_end):
        exchange = await engine.open(ask(fault.url + "/file/a/2000000"))
        assert len(await take(exchange)) == 2_000_000
        assert await exchange.read() == b""
        await exchange.aclose()
        assert len((await engine.fetch(ask(fault.url + "/file/a/10"), None)).body) == 10
    assert engine.connections == 1


@pytest.mark.parametrize("query", ["", "?chunked=1", "?cl=none"])
async def test_a_sink_that_waits_gets_everything(engine, fault, query):
    """Reading pauses until its awaitable is done."""
    exchange = await engine.open(ask(fault.url + f"/file/a/4000000{query}"))
    sink = ListSink(waits=True)
    await exchange.drain(sink)
    await exchange.aclose()
    body = b"".join(sink.pieces)
    assert hashlib.sha256(body).hexdigest() == fault.sha256("a", 4_000_000)


async def test_a_sink_that_fails_ends_the_exchange(engine, fault):
    """Its error reaches the caller of `drain` as it is."""

    class Full:
        calls = 0

        def write(self, data):
            self.calls += 1
            if self.calls > 3:
                raise OSError(28, "No space left on device")

    exchange = await engine.open(ask(fault.url + "/file/a/50000000"))
    with pytest.raises(OSError, match="No space"):
        await exchange.drain(Full())
    await exchange.aclose()
    while engine.connections:
        await asyncio.sleep(0)


@pytest.mark.parametrize("query", ["", "?chunked=1"])
async def test_a_body_goes_to_a_file(engine, fault, tmp_path, query):
    """Offset, digest and bytes on disk are right."""
    fd = os.open(tmp_path / "f", os.O_CREAT | os.O_RDWR)
    try:
        digest = hashlib.sha256()
        sink = FileSink(fd, 10, hasher=digest)
        exchange = await engine.open(ask(fault.url + "/file/a/3000000" + query))
        await exchange.drain(sink)
        await exchange.aclose()
        await sink.aclose()
        assert sink.written == 3_000_000
        body = os.pread(fd, 4_000_000, 10)
    finally:
        os.close(fd)
    assert digest.hexdigest() == hashlib.sha256(body).hexdigest() == fault.sha256("a", 3_000_000)


# Cancellation


@pytest.mark.parametrize("kind", ["fetch", "upload", "read", "drain", "tls"])
async def test_cancelling_closes_the_connection_at_once(engine, fault, kind):
    """The server sees the end, the next request works."""

    async def half(reader, writer, number):
        await head_of(reader)
        if kind in {"read", "drain"}:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await reader.read()

    async with RawServer(silent if kind == "tls" else half) as server:

        async def call():
            if kind == "fetch":
                await engine.fetch(ask(server.url), None)
            elif kind == "upload":
                request = ask(server.url, "POST", headers=[(b"Transfer-Encoding", b"chunked")])
                request.body = never()
                await engine.fetch(request, None)
            elif kind == "tls":
                await engine.fetch(ask(server.url.replace("http", "https")), None)
            else:
                exchange = await engine.open(ask(server.url))
                await (read_to_end if kind == "read" else drain_to_list)(exchange)

        async def never():
            yield b"x"
            await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(call())
        while not server.live:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.all_gone()
    assert engine.connections == 0
    assert (await engine.fetch(ask(fault.url + "/echo"), None)).head.status == 200


async def test_cancelling_a_thousand_requests_leaves_nothing(anyio_backend):
    """At random moments: no connection, task, timer or watched deadline stays."""
    chance = random.Random(7)

    async def script(reader, writer, number):
        while True:
            await head_of(reader)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            writer.write(b"body")

    async with RawServer(script, backlog=2000) as server, made_engine(max_idle=200) as engine:
        for _ in range(10):
            tasks = [
                asyncio.create_task(engine.fetch(ask(server.url, total=30), None))
                for _ in range(100)
            ]
            for task in chance.sample(tasks, 100):
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for result in results:
                assert isinstance(result, asyncio.CancelledError) or result.body == b"body"
        assert engine._shared.deadlines._watched == {}
        idle = engine._pool._idle_count
        while engine.connections > idle:
            await asyncio.sleep(0)
        assert (await engine.fetch(ask(server.url), None)).body == b"body"
        await engine.aclose()
        assert engine._pool._timer is None
        assert engine._shared.deadlines._timer is None
        await server.all_gone()


# Properties


@pytest.mark.filterwarnings("error")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_bytes_on_the_wire_are_an_answer_or_a_typed_error(data):
    """Valid answers cut, truncated and mutated, over a real socket: never a hang."""
    answer = bytearray(
        data.draw(
            st.sampled_from(
                [
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                    b"HTTP/1.0 200 OK\r\n\r\nhello",
                    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                ]
            )
        )
    )
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(answer) - 1)) if answer else 0
        answer[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(answer)), max_size=4)))

    async def script(reader, writer, number):
        await head_of(reader)
        for start, stop in zip([0, *cuts], [*cuts, len(answer)], strict=True):
            writer.write(bytes(answer[start:stop]))
            await asyncio.sleep(0)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async def run():
        async with RawServer(script) as server, made_engine() as engine:
            try:
                await engine.fetch(ask(server.url, total=20), None)
            except NbhttpError as error:
                assert not isinstance(error, TimeoutError)  # noqa: PT017 - either outcome is fine

    asyncio.run(run())


async def test_the_engine_closes_without_resource_warnings(fault):
    """Nothing is left for the garbage collector to complain about."""
    async with made_engine(fault.tls.client_context()) as engine:
        await engine.fetch(ask(fault.tls_url + "/echo"), None)
        await engine.fetch(ask(fault.url + "/echo"), None)
        exchange = await engine.open(ask(fault.url + "/file/a/5000000"))
        await exchange.read()
    del exchange, engine
    gc.collect()
