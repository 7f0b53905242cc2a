"""Bodies that are read while they come: their pieces, their failures, their end."""

import asyncio
import contextlib
import gc
import gzip
import hashlib
import threading
import tracemalloc
from typing import Any

import anyio
import pytest
from conftest import MakeClient
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import FaultServer
from servers.counting import CountingServer
from servers.scripted import END, HEAD, ScriptedServer, chunk

import nbhttp
from nbhttp import AsyncHttpClient
from nbhttp._core.stream import _Pieces

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=["asyncio-httpx", "asyncio-direct", "trio-httpx"],
)
def backend_and_engine(request: pytest.FixtureRequest) -> tuple[str, str]:
    backend, _, engine = request.param.partition("-")
    return backend, engine


@pytest.fixture
def anyio_backend(backend_and_engine: tuple[str, str]) -> str:
    """The event loop."""
    return backend_and_engine[0]


@pytest.fixture
def engine(backend_and_engine: tuple[str, str]) -> str:
    """The engine."""
    return backend_and_engine[1]


async def read_into(items: list[Any], stream: Any) -> None:
    """Read a stream to its end, keeping what came before it failed."""
    async for item in stream:
        items.append(item)  # noqa: PERF401 - a comprehension would lose all of them


async def sees_the_end(server: CountingServer, client: AsyncHttpClient) -> None:
    """The server sees the connection closed, and the client holds nothing."""
    await anyio.to_thread.run_sync(server.wait_for, lambda s: s.in_flight == 0)
    state = client._state
    with anyio.fail_after(30):
        while state.gate.held or state.lives or state.engines.connections:
            await anyio.sleep(0.001)


# Pieces


@pytest.mark.parametrize("chunk_size", [1, 1000, 4096, 65536, 100_000, 10_000_000, None])
async def test_pieces_have_the_size_asked_for(
    client: AsyncHttpClient, fault: FaultServer, chunk_size: int | None
) -> None:
    """Every piece but the last has exactly `chunk_size` bytes, and together they are the body."""
    size = 300_000 if chunk_size != 1 else 3000
    stream = client.stream_request("GET", f"{fault.url}/file/a/{size}", chunk_size)
    pieces = [piece async for piece in stream]
    assert hashlib.sha256(b"".join(pieces)).hexdigest() == fault.sha256("a", size)
    if chunk_size is not None:
        assert {len(piece) for piece in pieces[:-1]} <= {chunk_size}
        assert 0 < len(pieces[-1]) <= chunk_size
    assert stream.received == size
    assert stream.error is None


@given(st.lists(st.binary(max_size=40)), st.one_of(st.none(), st.integers(1, 30)))
@settings(deadline=None)
def test_pieces_are_cut_alike_however_they_come(parts: list[bytes], size: int | None) -> None:
    """Any split of the same bytes gives the same pieces."""
    cutter = _Pieces(size)
    pieces = [piece for part in parts if part for piece in cutter.feed(part)] + cutter.close()
    whole = b"".join(parts)
    assert b"".join(pieces) == whole
    if size is not None:
        assert pieces == [whole[at : at + size] for at in range(0, len(whole), size)]


async def test_a_coding_is_undone_or_left(client: AsyncHttpClient, scripted: ScriptedServer):
    """The body comes decoded; with `raw=True` as it was sent."""
    text = b"all work and no play " * 10_000
    coded = gzip.compress(text)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(coded)
    url = scripted.play([head, coded])
    assert b"".join([p async for p in client.stream_request("GET", url)]) == text
    assert b"".join([p async for p in client.stream_request("GET", url, raw=True)]) == coded


async def test_status_and_headers_are_there_with_the_head(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """Before a byte of the body has come, the object tells what the head says."""
    url = scripted.play([HEAD + b"X-Kind: long\r\n\r\n", "hold"])
    stream = client.stream_request("GET", url)
    assert stream.status_code is None
    assert "not opened yet" in repr(stream)
    async with stream:
        assert stream.status_code == 200
        assert stream.headers["x-kind"] == "long"
        assert stream.received == 0
    await anyio.to_thread.run_sync(scripted.wait_until_left)


async def test_everything_of_a_request_is_sent(client: AsyncHttpClient, fault: FaultServer):
    """Parameters, headers, authentication and a JSON body go out as with `request`."""
    stream = client.stream_request(
        "POST",
        fault.url + "/echo",
        None,
        {"q": "x y"},
        {"X-A": "1"},
        5.0,
        json={"n": 1},
        auth=("user", "word"),
    )
    echo = b"".join([piece async for piece in stream]).decode()
    assert "x%20y" in echo or "x+y" in echo
    assert "Basic dXNlcjp3b3Jk" in echo
    assert '{\\"n\\":1}' in echo or '{"n":1}' in echo


@pytest.mark.parametrize("size", [0, -1])
async def test_a_chunk_size_under_one_is_refused(client: AsyncHttpClient, size: int) -> None:
    """Nothing is sent, and the message says the value."""
    with pytest.raises(nbhttp.ConfigError, match=f"chunk_size must be at least 1, not {size}"):
        client.stream_request("GET", "http://127.0.0.1:9/", size)


async def test_misuse_is_refused_at_the_call(client: AsyncHttpClient) -> None:
    """Wrong arguments raise before anything is awaited."""
    calls: list[Any] = [
        (TypeError, lambda: client.stream_request("GET", "http://h/", 1.5)),  # type: ignore[arg-type]
        (TypeError, lambda: client.stream_request("GET", "http://h/", nonsense=1)),  # type: ignore[call-arg]
        (nbhttp.ConfigError, lambda: client.stream_request("GET", "h")),
        (nbhttp.ConfigError, lambda: client.lines("http://h/", errors="ignore")),  # type: ignore[arg-type]
        (nbhttp.ConfigError, lambda: client.lines("http://h/", encoding="klingon")),
        (nbhttp.ConfigError, lambda: client.ndjson("http://h/", on_error="no")),  # type: ignore[arg-type]
        (nbhttp.ConfigError, lambda: client.ndjson("http://h/", max_line=0)),
    ]
    for kind, call in calls:
        with pytest.raises(kind):
            call()


# Failures


async def test_a_bad_status_raises_what_raise_for_status_raises(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """The error has the answer's explanation, and the connection is free again."""
    url = fault.url + "/json/problem?status=422&ctype=application/problem%2Bjson"
    with pytest.raises(nbhttp.StatusError) as wanted:
        (await client.get(url)).raise_for_status()
    with pytest.raises(nbhttp.StatusError) as got:
        await read_into([], client.stream_request("GET", url))
    assert str(got.value) == str(wanted.value)
    assert got.value.result is not None
    assert client._state.gate.held == 0


async def test_a_bad_status_can_stand_on_the_object(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """With `raise_exception=False` it gives nothing, and says why."""
    stream = client.stream_request("GET", fault.url + "/status/503", raise_exception=False)
    assert [piece async for piece in stream] == []
    assert stream.status_code == 503
    assert isinstance(stream.exception, nbhttp.StatusError)
    assert stream.error is not None
    assert stream.error.startswith("503 Service Unavailable")
    assert stream.received == 0


async def test_an_endless_error_body_is_bounded(client: AsyncHttpClient, scripted: ScriptedServer):
    """A refusal whose body does not end is reported all the same."""
    url = scripted.play([b"HTTP/1.1 500 Oh\r\n\r\n" + b"x" * 200_000, "hold"])
    with pytest.raises(nbhttp.StatusError, match="500 Oh"):
        async for _ in client.stream_request("GET", url):
            pass
    await anyio.to_thread.run_sync(scripted.wait_until_left)


@pytest.mark.parametrize("raises", [True, False])
async def test_no_answer_is_a_request_error(
    client: AsyncHttpClient, fault: FaultServer, raises: bool
) -> None:
    """A failure before the first byte is raised as it is, or stands on the object."""
    stream = client.stream_request("GET", fault.refuse_url, raise_exception=raises)
    if raises:
        with pytest.raises(nbhttp.ConnectError, match="refused"):
            await anext(stream)
    else:
        assert [piece async for piece in stream] == []
        assert stream.status_code is None
    assert isinstance(stream.exception, nbhttp.ConnectError)


async def test_a_failure_before_the_first_byte_is_no_break(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """A head with nothing behind it is a ProtocolError; not raised where that was not wanted."""
    url = scripted.play([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"])
    with pytest.raises(nbhttp.ProtocolError):
        await anext(client.stream_request("GET", url))
    stream = client.stream_request("GET", url, raise_exception=False)
    assert [piece async for piece in stream] == []
    assert "closed the connection" in str(stream.error)


@pytest.mark.parametrize("fault_name", ["truncate", "reset"])
@pytest.mark.parametrize("raises", [True, False])
async def test_a_break_always_raises_and_says_how_far_it_came(
    client: AsyncHttpClient, fault: FaultServer, fault_name: str, raises: bool
) -> None:
    """What came is given first; then a StreamError with the count and its cause."""
    url = f"{fault.url}/file/a/300000?{fault_name}=150000"
    stream = client.stream_request("GET", url, 40_000, raise_exception=raises)
    got: list[bytes] = []
    with pytest.raises(nbhttp.StreamError, match=r"the stream broke after [\d,]+ bytes") as caught:
        await read_into(got, stream)
    error = caught.value
    assert sum(map(len, got)) == error.received == stream.received > 0
    if fault_name == "truncate":
        assert error.received == 150_000
    assert isinstance(error.__cause__, nbhttp.RequestError)
    assert error.method == "GET"
    assert error.url == url
    assert stream.exception is error
    assert [piece async for piece in stream] == []


async def test_the_timeout_is_per_read(make_client: MakeClient, fault: FaultServer) -> None:
    """A stream may take longer than the limit, and none of its reads may."""
    client = make_client(timeout=1.0)
    url = f"{fault.url}/file/a/640"
    dripping = client.stream_request("GET", url + "?drip=40", 16)  # 1.6 s in all
    assert sum([len(piece) async for piece in dripping]) == 640
    stalling = client.stream_request("GET", url + "?stall=320&stall_s=30", 16)
    with pytest.raises(nbhttp.StreamError, match="the limit of 1 s passed") as caught:
        async for _ in stalling:
            pass
    assert caught.value.received == 320
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert "timeout=" in str(caught.value.hint)


async def test_the_consumer_may_take_its_time(make_client: MakeClient, fault: FaultServer):
    """No limit runs, and no cancel scope is open, while the loop's body does its work."""
    client = make_client(timeout=0.6)
    total = 0
    async for piece in client.stream_request("GET", f"{fault.url}/file/a/3000000", 1_000_000):
        if not total:
            await anyio.sleep(0.8)
        total += len(piece)
    assert total == 3_000_000


async def test_damaged_gzip_is_a_break(client: AsyncHttpClient, fault: FaultServer) -> None:
    """Decoding that fails half-way says how much was good."""
    text = hashlib.sha256(b"").digest() * 20_000
    coded = gzip.compress(text)
    url = fault.raw(
        "/damaged",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(coded)
        + coded[:-4]
        + b"oops",
    )
    got: list[bytes] = []
    with pytest.raises(nbhttp.StreamError, match="gzip coding is damaged") as caught:
        await read_into(got, client.stream_request("GET", url, 1000))
    assert sum(map(len, got)) == caught.value.received > 0


# The end


async def _break(client: AsyncHttpClient, url: str) -> None:
    async for _ in client.stream_request("GET", url, 1):
        break


async def _break_with_the_stream_at_hand(client: AsyncHttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 1)
    async for _ in stream:
        break
    await anyio.lowlevel.checkpoint()
    assert "closed" in repr(stream)
    with pytest.raises(nbhttp.StreamError, match="was closed after"):
        await anext(stream)


async def _raise(client: AsyncHttpClient, url: str) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async for _ in client.stream_request("GET", url, 1):
            1 / 0  # noqa: B018


async def waited_for(client: AsyncHttpClient) -> None:
    """A stream is open, and its body is on the way."""
    while not client._state.engines.connections:
        await anyio.sleep(0.001)
    await anyio.sleep(0.05)  # for some pieces


async def _cancel_the_wait(client: AsyncHttpClient, url: str) -> None:
    async def read() -> None:
        async for _ in client.stream_request("GET", url, 10**9):
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await waited_for(client)
        group.cancel_scope.cancel()


async def _cancel_the_body(client: AsyncHttpClient, url: str) -> None:
    inside = anyio.Event()

    async def read() -> None:
        async for _ in client.stream_request("GET", url, 1):
            inside.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await inside.wait()
        group.cancel_scope.cancel()


async def _cancel_all(client: AsyncHttpClient, url: str) -> None:
    async def stop() -> None:
        await waited_for(client)
        assert client.cancel_all() == 1

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        with pytest.raises(asyncio.CancelledError):
            async for _ in client.stream_request("GET", url, 10**9):
                pass


async def _drop(client: AsyncHttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 1)
    await anext(stream)
    del stream


async def _drop_in_another_thread(client: AsyncHttpClient, url: str) -> None:
    held = [client.stream_request("GET", url, 1)]
    await anext(held[0])
    thread = threading.Thread(target=held.clear)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)


async def _drop_in_a_cycle(client: AsyncHttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 1)
    await anext(stream)
    stream.itself = stream  # type: ignore[attr-defined]
    del stream
    gc.collect()


async def _leave_the_block(client: AsyncHttpClient, url: str) -> None:
    async with client.stream_request("GET", url, 1) as stream:
        async for _ in stream:
            break
        assert await anext(stream) == b"r"  # the block holds it, not the loop
        async for _ in stream:
            break


async def _close_while_it_is_read(client: AsyncHttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 10**9)

    async def close() -> None:
        await waited_for(client)
        await stream.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        assert [piece async for piece in stream] == []


async def _time_limit_around(client: AsyncHttpClient, url: str) -> None:
    with anyio.move_on_after(0.05) as scope:
        async for _ in client.stream_request("GET", url, 1):
            pass
    assert scope.cancelled_caught


LEAVING = [
    _break, _break_with_the_stream_at_hand, _raise, _cancel_the_wait, _cancel_the_body,
    _cancel_all, _drop, _drop_in_another_thread, _drop_in_a_cycle, _leave_the_block,
    _close_while_it_is_read, _time_limit_around,
]  # fmt: skip


@pytest.mark.parametrize("leave", LEAVING, ids=[f.__name__.strip("_") for f in LEAVING])
async def test_leaving_closes_the_connection(
    client: AsyncHttpClient, counting: CountingServer, leave: Any
) -> None:
    """However a stream is left: the server sees the end, no slot and no connection is kept."""
    await leave(client, counting.url + "/drip")
    await sees_the_end(counting, client)


async def test_a_body_read_to_its_end_gives_the_connection_back(
    client: AsyncHttpClient, counting: CountingServer
) -> None:
    """The next request goes over the same connection."""
    for _ in range(3):
        assert [p async for p in client.stream_request("GET", counting.url + "/ok")] == [b"ok"]
    assert counting.opened == 1
    assert client._state.engines.connections == 1


async def test_one_reader_at_a_time(client: AsyncHttpClient, counting: CountingServer) -> None:
    """A second task that reads the same stream is told so."""
    stream = client.stream_request("GET", counting.url + "/drip", 10**9)
    async with stream, anyio.create_task_group() as group:
        group.start_soon(anext, stream)
        await waited_for(client)
        with pytest.raises(RuntimeError, match="read by another task"):
            await anext(stream)
        group.cancel_scope.cancel()


async def test_the_end_is_reported(client: AsyncHttpClient, fault: FaultServer) -> None:
    """Listeners hear the status, what came, and whether it was all."""
    heard: list[Any] = []
    client.subscribe(heard.append)
    async for _ in client.stream_request("GET", fault.url + "/file/a/300000"):
        pass
    with pytest.raises(nbhttp.StreamError):
        async for _ in client.stream_request("GET", fault.url + "/file/a/300000?truncate=1000"):
            pass
    async for _ in client.stream_request("GET", fault.url + "/file/a/9000000", 1):
        break
    with pytest.raises(nbhttp.StatusError):
        await anext(client.stream_request("GET", fault.url + "/status/404"))
    async with client.stream("GET", fault.url + "/file/a/300000") as response:
        await response.aread()
    with anyio.fail_after(30):
        while len(heard) < 10:
            await anyio.sleep(0.001)
    ends = [event for event in heard if type(event).__name__ == "RequestFinished"]
    got = {(e.status_code, e.success, e.received if e.received < 10**6 else "…") for e in ends}
    assert {(200, True, 300_000), (200, False, 1000)} <= got
    assert len([e for e in ends if e.status_code == 404 and not e.success]) == 1
    assert "the stream broke after 1,000 bytes" in next(e.error for e in ends if e.received == 1000)
    assert all(e.result is None and e.timing is not None and e.engine for e in ends)
    assert nbhttp._core.events.current_request_id.get() == ""


async def test_a_live_response_counts_and_clocks(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """It says at any time how much has come, as sent; how long it took once it has ended."""
    body = gzip.compress(bytes(100_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    url = scripted.play([head.encode(), body])
    async with client.stream("GET", url) as response:
        assert response.num_bytes_downloaded == 0
        with pytest.raises(RuntimeError, match="read or closed"):
            _ = response.elapsed
        assert sum([len(piece) async for piece in response.aiter_bytes(1000)]) == 100_000
        assert response.num_bytes_downloaded == len(body)
        elapsed = response.elapsed
    assert 0 < elapsed.total_seconds() == response.elapsed.total_seconds()


async def test_a_live_response_refuses_a_wrong_size(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """Each of its iterators does, when it is called; what comes after works."""
    async with client.stream("GET", fault.url + "/file/a/1000") as response:
        for pieces in (response.aiter_bytes, response.aiter_text, response.aiter_raw):
            with pytest.raises(nbhttp.ConfigError, match="chunk_size must be at least 1, not 0"):
                pieces(0)
            with pytest.raises(TypeError, match="chunk_size takes a whole number"):
                pieces(2.5)  # type: ignore[arg-type]
        assert len(await response.aread()) == 1000
        with pytest.raises(nbhttp.ConfigError):
            response.aiter_bytes(0)


@pytest.mark.parametrize("name", ["raise_exception", "caller"])
async def test_a_live_response_takes_the_options_that_it_shows(
    client: AsyncHttpClient, fault: FaultServer, name: str
) -> None:
    """What is no option of a request is refused."""
    with pytest.raises(TypeError, match=f"unknown request option '{name}'"):
        async with client.stream("GET", fault.url + "/ok", **{name: True}):  # type: ignore[arg-type]
            pass


async def test_redirections_are_followed(client: AsyncHttpClient, fault: FaultServer) -> None:
    """A stream of what the last answer says."""
    stream = client.stream_request("GET", fault.url + "/redirect/n/3")
    assert b"".join([piece async for piece in stream])
    assert stream.status_code == 200


async def test_memory_stays_flat(
    client: AsyncHttpClient, engine: str, scripted: ScriptedServer
) -> None:
    """Over many mebibytes no more than a few pieces are held."""
    mebibytes = 256 if engine == "direct" else 64  # tracing slows the other down
    block = chunk(bytes(1 << 20))
    url = scripted.play([HEAD + b"\r\n", *[block] * mebibytes, END])
    tracemalloc.start()
    try:
        total = 0
        async for piece in client.stream_request("GET", url):
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == mebibytes << 20
    assert peak < 8 << 20


async def test_a_compression_bomb_comes_in_bounded_pieces(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """A body that swells a thousandfold is read flat, and can be left at any time."""
    tracemalloc.start()
    try:
        total = 0
        async for piece in client.stream_request("GET", f"{fault.url}/bomb?size={1 << 26}", None):
            assert len(piece) <= 128 * 1024
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 1 << 26
    assert peak < 8 << 20


async def test_a_fast_stream_lets_others_run(client: AsyncHttpClient, fault: FaultServer) -> None:
    """Decoding a large body gives other tasks their turn."""
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        async for _ in client.stream_request("GET", f"{fault.url}/bomb?size={1 << 25}"):
            pass
        group.cancel_scope.cancel()
    assert turns > 16


# Lines and records


async def test_lines_end_at_line_ends_alone(client: AsyncHttpClient, scripted: ScriptedServer):
    """LF, CRLF and CR end a line; U+2028 and the like do not."""
    text = "one\r\ntwo\u2028still two\x85\rthree\n\nlast"
    url = scripted.play([HEAD + b"\r\n", *[chunk(bytes([b])) for b in text.encode()], END])
    stream = client.lines(url)
    assert [line async for line in stream] == ["one", "two\u2028still two\x85", "three", "", "last"]
    assert stream.encoding == "utf-8"
    assert stream.replaced == 0


async def test_lines_are_in_the_declared_character_set(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """Content-Type's charset counts; `encoding` overrules it; what is no text is counted."""
    url = f"{fault.url}/charset?declared=latin-1&actual=latin-1&text=caf%C3%A9"
    stream = client.lines(url)
    assert [line async for line in stream] == ["café"]
    stream = client.lines(url, encoding="utf-8")
    assert [line async for line in stream] == ["caf\ufffd"]
    assert stream.replaced == 1
    with pytest.raises(nbhttp.DecodeError, match="line 1 is not utf-8 text"):
        await anext(client.lines(url, encoding="utf-8", errors="strict"))


async def test_an_endless_line_is_refused(client: AsyncHttpClient, scripted: ScriptedServer):
    """A line that does not end is an error at `max_line`, and the connection is closed."""
    url = scripted.play([HEAD + b"\r\n", chunk(b"good\n" + b"x" * 5000), "hold"])
    stream = client.lines(url, max_line=1000)
    assert await anext(stream) == "good"
    with pytest.raises(nbhttp.StreamError, match="line 2 is longer than the 1,000 bytes allowed"):
        await anext(stream)
    await anyio.to_thread.run_sync(scripted.wait_until_left)
    assert client._state.gate.held == 0


async def test_a_bomb_of_one_line_is_refused(client: AsyncHttpClient, fault: FaultServer) -> None:
    """A gibibyte without a line end, sent as a mebibyte, is an error at the limit."""
    url = f"{fault.url}/bomb?size={1 << 30}"
    for make in (client.lines, client.ndjson):
        stream = make(url, max_line=1 << 20)
        with pytest.raises((nbhttp.StreamError, nbhttp.DecodeError), match="1,048,576 bytes"):
            await anext(stream)
        assert stream.received < 2 << 20
    assert client._state.gate.held == 0


async def test_a_broken_line_is_not_given(client: AsyncHttpClient, scripted: ScriptedServer):
    """What the break cut off is no line."""
    url = scripted.play([HEAD + b"\r\n", chunk(b"whole\nhal")])
    lines: list[str] = []
    with pytest.raises(nbhttp.StreamError, match="after 9 bytes"):
        await read_into(lines, client.lines(url))
    assert lines == ["whole"]


@pytest.mark.parametrize("query", ["", "&byte=1", "&blank=1&crlf=1", "&nofinal=1"])
async def test_records_however_they_come(client: AsyncHttpClient, fault: FaultServer, query: str):
    """Blank lines, CRLF, a missing last end and bytes one by one give the same records."""
    stream = client.ndjson(f"{fault.url}/ndjson?n=20{query}")
    assert [r["i"] async for r in stream] == list(range(1, 21))
    assert stream.errors == []


async def test_bad_records_are_raised_skipped_or_collected(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """A bad line is named by its number; or left out; or kept as an error."""
    url = f"{fault.url}/ndjson?n=5&bad=3&blank=1"
    records: list[Any] = []
    with pytest.raises(nbhttp.DecodeError, match="line 5 is no JSON record") as caught:
        await read_into(records, client.ndjson(url))
    assert [r["i"] for r in records] == [1, 2]
    assert caught.value.url == url
    stream = client.ndjson(url, on_error="skip")
    assert [r["i"] async for r in stream] == [1, 2, 4, 5]
    assert (stream.skipped, stream.errors) == (1, [])
    stream = client.ndjson(url, on_error="collect")
    assert [r["i"] async for r in stream] == [1, 2, 4, 5]
    assert [str(e)[:6] for e in stream.errors] == ["line 5"]


async def test_numbers_are_exact(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """Integers of any size stay integers, as in `RequestResult.json()`."""
    big = 12345678901234567890123456789
    url = scripted.play([HEAD + b"\r\n", chunk(b'{"n": %d}\n' % big), END])
    assert [r async for r in client.ndjson(url)] == [{"n": big}]


async def test_a_broken_record_is_not_given(client: AsyncHttpClient, fault: FaultServer) -> None:
    """Records that came whole are given, then the break is raised."""
    for how in ("", "&reset=1&delay=1"):
        records: list[Any] = []
        with pytest.raises(nbhttp.StreamError, match="the stream broke after"):
            await read_into(records, client.ndjson(f"{fault.url}/ndjson?n=9&drop=4{how}"))
        assert [r["i"] for r in records] == [1, 2, 3, 4]


async def test_a_body_is_posted(client: AsyncHttpClient, fault: FaultServer) -> None:
    """With a body to send the method is POST, unless another is named."""
    url = fault.url + "/echo"
    assert '"POST"' in "".join([line async for line in client.lines(url, json={"a": 1})])
    assert '"GET"' in "".join([line async for line in client.lines(url)])
    put = client.lines(url, content=b"x", method="PUT")
    assert '"PUT"' in "".join([line async for line in put])


async def test_an_ended_loop_leaves_no_slot(make_client: MakeClient, counting: CountingServer):
    """A stream that is dropped after its loop has ended gives its slot back."""
    client = make_client(max_connections=1, engine="auto")
    held: list[Any] = []

    def other_loop() -> None:
        async def main() -> None:
            held.append(client.stream_request("GET", counting.url + "/drip", None))
            await anext(held[0])

        asyncio.run(main())

    await anyio.to_thread.run_sync(other_loop)
    with pytest.raises((RuntimeError, nbhttp.NbhttpError)):
        await anext(held[0])
    held.clear()
    await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.in_flight == 0)
    assert client._state.gate.held == 0
    assert (await client.get(counting.url + "/ok")).success


async def test_a_stream_that_broke_and_was_left_before_that_was_seen_is_reported(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """What had come is given first; a loop that ends with it loses no event."""
    heard: list[str] = []
    client.subscribe(lambda event: heard.append(type(event).__name__))
    url = scripted.play([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabcd"])
    async for piece in client.stream_request("GET", url, chunk_size=6):
        assert piece == b"abcd"
        break
    for _ in range(100):  # it is told of on the loop
        await anyio.lowlevel.checkpoint()
    assert heard == ["RequestStarted", "RequestFinished"]
