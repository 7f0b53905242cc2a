"""Server-Sent Events over real connections that end, break, refuse and come back."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import FaultServer
from servers.scripted import ScriptedServer, events_head

import nbhttp
from nbhttp import AsyncHttpClient, LoggerManager, ServerSentEvent
from nbhttp._core.events import RequestFinished, RequestRetried
from nbhttp._core.reconnect import Ending, delay_s, judge, wants_client_back
from nbhttp.testing import DemoServer

pytestmark = pytest.mark.anyio

GONE = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=["asyncio-httpx", "asyncio-direct", "trio-httpx"])
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


def event(number: int) -> bytes:
    return f"id: {number}\ndata: event {number}\n\n".encode()


async def data(stream: Any) -> list[Any]:
    return [event.data async for event in stream]


# Connections


async def test_an_event_stream_is_asked_for(client: AsyncHttpClient, scripted: ScriptedServer):
    """The request says what it wants; the caller's own headers win."""
    url = scripted.play([events_head(), b"data: x\n\n"])
    stream = client.sse(url)
    assert [e async for e in stream] == [ServerSentEvent("message", "x")]
    assert scripted.field(0, "accept") == "text/event-stream"
    assert scripted.field(0, "cache-control") == "no-store"
    assert scripted.field(0, "last-event-id") is None
    assert (stream.status_code, stream.reconnects, stream.last_event_id) == (200, 0, "")
    fields = {"accept": "text/x", "X-A": "b"}
    await data(client.sse(url, headers=fields, last_event_id="7", reconnect=False))
    assert scripted.field(1, "accept") == "text/x"
    assert scripted.field(1, "x-a") == "b"
    assert scripted.field(1, "last-event-id") == "7"


@pytest.mark.parametrize("eol", ["lf", "crlf", "cr"])
@pytest.mark.parametrize("query", ["", "&byte=1", "&comment=1"])
async def test_a_dropped_stream_goes_on_where_it_was(
    client: AsyncHttpClient, fault: FaultServer, eol: str, query: str
) -> None:
    """Every event once, in order, however often the connection ends."""
    url = f"{fault.url}/sse?n=7&drop=3&end=204&retry=1&eol={eol}{query}"
    stream = client.sse(url)
    assert [e.id async for e in stream] == [str(i) for i in range(1, 8)]
    assert stream.reconnects == 2
    assert stream.retry == 1
    assert stream.last_event_id == "7"
    assert stream.error is None


@pytest.mark.parametrize("ending", [[], ["reset"]], ids=["closed", "reset"])
@pytest.mark.parametrize("cut", [0, 1, 5, 6, 12, 19, 20, 21])
async def test_no_event_is_lost_or_doubled_by_a_drop_within_one(
    client: AsyncHttpClient, scripted: ScriptedServer, cut: int, ending: list[str]
) -> None:
    """An event that came half is asked for again; one that came whole is not."""

    def rest(head: str) -> list[bytes]:
        """Send what follows the last event that the client has."""
        last = re.search(r"(?i)last-event-id: (\d+)", head)
        first = int(last[1]) + 1 if last else 1
        return [events_head(), *map(event, range(first, 4))] if first < 4 else [GONE]

    start = b"retry: 1\n\n" + event(1)
    url = scripted.play([events_head(), start, event(2)[:cut], *ending], rest)
    assert await data(client.sse(url)) == ["event 1", "event 2", "event 3"]
    if not ending:  # what a reset leaves of the bytes before it is the network's choice
        assert scripted.field(1, "last-event-id") == ("2" if cut == len(event(2)) else "1")


async def test_a_broken_chunked_stream_goes_on(client: AsyncHttpClient, scripted: ScriptedServer):
    """A body without its last chunk is a break; the IDs continue it."""
    head = events_head("Transfer-Encoding: chunked")
    piece = b"retry: 1\n\n" + event(1) + b"id: 2\ndata: ha"
    url = scripted.play([head, b"%x\r\n%s\r\n" % (len(piece), piece)], [head, b"5\r\n"], [GONE])
    assert await data(client.sse(url)) == ["event 1"]
    assert [scripted.field(n, "last-event-id") for n in range(3)] == [None, "1", "1"]


async def test_events_before_a_break_are_given_first(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """Without reconnecting, a break is raised after what came whole."""
    head = events_head("Transfer-Encoding: chunked")
    piece = event(1) + b"data: ha"
    url = scripted.play([head, b"%x\r\n%s\r\n" % (len(piece), piece)])
    stream = client.sse(url, reconnect=False)
    assert (await anext(stream)).data == "event 1"
    with pytest.raises(nbhttp.StreamError, match="the stream broke after") as caught:
        await anext(stream)
    assert caught.value.received == len(piece)
    assert len(scripted.heads) == 1


async def test_without_reconnecting_the_end_is_the_end(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """A stream that ends is over, with IDs or without."""
    url = scripted.play([events_head(), event(1)])
    assert await data(client.sse(url, reconnect=False)) == ["event 1"]
    assert len(scripted.heads) == 1


async def test_a_clean_end_without_any_sign_is_the_end(
    client: AsyncHttpClient, scripted: ScriptedServer, demo: DemoServer
) -> None:
    """An answer that has no IDs, as language models' have none, is not asked for twice."""
    url = scripted.play([events_head(), b"data: a\n\ndata: b\n\n"])
    assert await data(client.sse(url)) == ["a", "b"]
    assert len(scripted.heads) == 1
    words = await data(client.sse(demo.url + "/streams/assistant?interval=0"))
    assert words[-1] == "[DONE]"
    assert len(words) == 41


async def test_a_server_that_is_away_is_asked_again(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """A 503, an empty connection and a silent end are failures in a row, not the end."""
    url = scripted.play(
        [events_head(), b"retry: 0\n\n" + event(1)],
        [BUSY],
        [],
        [events_head()],
        [events_head(), event(2)],
        [GONE],
    )
    stream = client.sse(url)
    assert await data(stream) == ["event 1", "event 2"]
    assert len(scripted.heads) == 6


async def test_each_reconnection_is_told(
    client: AsyncHttpClient, scripted: ScriptedServer, tmp_path: Path
) -> None:
    """As an event and in the log, after the end of the connection that failed."""
    url = scripted.play(
        [events_head(), b"retry: 0\n\n" + event(1)], [BUSY], [events_head(), event(2)], [GONE]
    )
    url += "?api_key=not-for-the-log-9Xq2"
    heard: list[Any] = []
    client.subscribe(heard.append)
    log = tmp_path / "log.jsonl"
    LoggerManager.configure(console=False, file=log)
    try:
        assert await data(client.sse(url)) == ["event 1", "event 2"]
    finally:
        LoggerManager.shutdown()
    retried = [e for e in heard if isinstance(e, RequestRetried)]
    assert [(e.attempt, e.status_code) for e in retried] == [(1, 200), (2, 503), (3, 200)]
    assert retried[0].error == "the server ended the stream"
    assert "503" in str(retried[1].error)
    assert all(e.method == "GET" and e.delay >= 0 for e in retried)
    for e in retried:
        before = heard[heard.index(e) - 1]
        assert isinstance(before, RequestFinished)
        assert before.request_id == e.request_id
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    told = [row for row in rows if row["event"] == "request.retried"]
    assert [row["attempt"] for row in told] == [1, 2, 3]
    assert {row["level"] for row in told} == {"WARNING"}
    assert "not-for-the-log-9Xq2" not in log.read_text("utf-8") + repr(heard)


async def test_the_number_of_failures_in_a_row_is_bounded(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """After so many connections that brought nothing, the last failure is raised."""
    url = scripted.play([events_head(), b"retry: 0\n\n" + event(1)], [BUSY])
    stream = client.sse(url, reconnect=2)
    assert (await anext(stream)).data == "event 1"
    with pytest.raises(nbhttp.StatusError, match="503"):
        await anext(stream)
    assert len(scripted.heads) == 3
    url = scripted.play([events_head(), b"retry: 0\n\n" + event(1)], [])
    stream = client.sse(url, reconnect=1)
    assert (await anext(stream)).data == "event 1"
    with pytest.raises(nbhttp.StreamError, match="the stream broke after 31 bytes") as caught:
        await anext(stream)
    assert str(caught.value).count(url) == 1


async def test_a_refusal_on_the_way_is_raised(client: AsyncHttpClient, scripted: ScriptedServer):
    """A 404, or something that is no event stream, ends it with an error."""
    missing = b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
    kinds: list[tuple[bytes, Any]] = [
        (missing, nbhttp.StatusError),
        (page, nbhttp.UnexpectedContentTypeError),
    ]
    for answer, kind in kinds:
        url = scripted.play([events_head(), b"retry: 0\n\n" + event(1)], [answer])
        stream = client.sse(url)
        assert (await anext(stream)).data == "event 1"
        with pytest.raises(kind):
            await anext(stream)
        assert isinstance(stream.exception, kind)
        assert client._state.gate.held == 0


async def test_the_first_answer_must_be_an_event_stream(
    client: AsyncHttpClient, fault: FaultServer
) -> None:
    """A JSON page is refused with its type named; with `raise_exception=False` it stands there."""
    url = fault.url + "/json/scalar"
    with pytest.raises(nbhttp.UnexpectedContentTypeError, match="application/json") as caught:
        await anext(client.sse(url))
    assert caught.value.url == url
    stream = client.sse(url, raise_exception=False)
    assert await data(stream) == []
    assert isinstance(stream.exception, nbhttp.UnexpectedContentTypeError)
    with pytest.raises(nbhttp.StatusError, match="503"):
        await anext(client.sse(fault.url + "/status/503"))
    with pytest.raises(nbhttp.ConnectError):
        await anext(client.sse(fault.refuse_url))


async def test_204_at_once_is_an_empty_stream(client: AsyncHttpClient, scripted: ScriptedServer):
    """A server with nothing to say ends the stream, and that is no error."""
    stream = client.sse(scripted.play([GONE]))
    assert await data(stream) == []
    assert (stream.status_code, stream.error) == (204, None)


async def test_max_events_closes_the_connection(client: AsyncHttpClient, scripted: ScriptedServer):
    """After so many events it is over at once, though the server goes on."""
    url = scripted.play([events_head(), b"".join(map(event, range(1, 9))), "hold"])
    stream = client.sse(url, max_events=3)
    assert await data(stream) == ["event 1", "event 2", "event 3"]
    await anyio.to_thread.run_sync(scripted.wait_until_left)
    assert stream.last_event_id == "3"


async def test_the_place_is_that_of_the_event_taken(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """A loop that is left can be continued elsewhere, behind the last event it had."""
    url = scripted.play([events_head(), b"".join(map(event, range(1, 9))), "hold"])
    stream = client.sse(url)
    async for one in stream:
        if one.id == "4":
            break
    assert stream.last_event_id == "4"
    await anext(client.sse(url, last_event_id=stream.last_event_id))
    assert scripted.field(1, "last-event-id") == "4"


async def test_a_post_is_sent_once(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """A request that may not be repeated is not, whatever the server sends."""
    url = scripted.play([events_head(), b"retry: 0\n\n" + event(1)])
    assert await data(client.sse(url, json={"prompt": "hi"})) == ["event 1"]
    assert len(scripted.heads) == 1
    assert scripted.heads[0].startswith("POST ")
    assert scripted.field(0, "content-type") == "application/json"


async def test_a_wait_can_be_ended(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """Cancelling and `cancel_all` end the pause before a reconnect, too."""
    url = scripted.play([events_head(), b"retry: 3600000\n\n" + event(1)])
    with anyio.move_on_after(0.1) as scope:
        await data(client.sse(url))
    assert scope.cancelled_caught
    assert client._state.gate.held == 0


async def test_closing_ends_a_wait(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """A task that waits to reconnect comes to its end when the stream is closed elsewhere."""
    url = scripted.play([events_head(), b"retry: 3600000\n\n" + event(1)])
    stream = client.sse(url)
    assert (await anext(stream)).data == "event 1"

    async def close() -> None:
        await anyio.sleep(0.1)
        await stream.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(close)
        assert await data(stream) == []


async def test_retry_after_may_be_a_date(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """A server that refuses until some time is left alone until then, by its own clock."""
    times = [
        "Date: Mon, 02 Mar 2026 10:00:00 GMT",
        "Retry-After: Mon, 02 Mar 2026 10:20:00 GMT",
        "Content-Length: 0",
    ]
    busy = ("\r\n".join(["HTTP/1.1 503 Busy", *times]) + "\r\n\r\n").encode()
    url = scripted.play([events_head(), b"retry: 0\n\n" + event(1)], [busy, "hold"])
    heard: list[Any] = []
    client.subscribe(heard.append)
    stream = client.sse(url)

    async def close_in_second_pause() -> None:
        while len([e for e in heard if isinstance(e, RequestRetried)]) < 2:
            await anyio.sleep(0.001)
        await stream.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(close_in_second_pause)
        assert await data(stream) == ["event 1"]
    delays = [e.delay for e in heard if isinstance(e, RequestRetried)]
    assert delays[0] < 1
    assert 1200 <= delays[1] <= 1200 * 1.25


def test_closing_after_its_loop_does_nothing(
    anyio_backend: str, engine: str, scripted: ScriptedServer
) -> None:
    """A stream that was left in its pause can be closed from the next loop, as often as wanted."""
    url = scripted.play([events_head(), b"retry: 3600000\n\n" + event(1)])
    with nbhttp.HttpClient(engine=engine, trust_env=False) as client:
        stream = client.aio.sse(url)

        async def read() -> None:
            assert (await anext(stream)).data == "event 1"
            with anyio.move_on_after(0.1):
                await anext(stream)

        async def close() -> None:
            await stream.aclose()
            await stream.aclose()

        anyio.run(read, backend=anyio_backend)
        anyio.run(close, backend=anyio_backend)


async def test_an_id_can_be_taken_back(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """An empty ID resets the place: the next connection names none, not the first one again."""
    url = scripted.play([events_head(), b"retry: 0\n\nid\ndata: x\n\n"], [GONE])
    assert await data(client.sse(url, last_event_id="5")) == ["x"]
    assert scripted.field(0, "last-event-id") == "5"
    assert scripted.field(1, "last-event-id") is None


async def test_an_id_that_no_field_can_hold_is_not_sent(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """Control characters from the server never reach a request's head."""
    url = scripted.play(
        [events_head(), b"retry: 0\n\nid: a\x01b\ndata: x\n\n"],
        [events_head(), "id: é ✓\ndata: y\n\n".encode()],
        [GONE],
    )
    assert await data(client.sse(url)) == ["x", "y"]
    assert scripted.field(1, "last-event-id") is None
    sent = scripted.field(2, "last-event-id")
    assert sent is not None
    assert sent.encode("latin-1").decode() == "é ✓"


async def test_events_can_be_json(client: AsyncHttpClient, scripted: ScriptedServer) -> None:
    """Data is decoded, no data is None, and [DONE] is the end; the repr stays short."""
    big = 2**70
    body = f'data: {{"n": {big}}}\n\ndata:\n\nevent: t\ndata: [1,\ndata: 2]\n\ndata: [DONE]\n\n'
    url = scripted.play([events_head(), body.encode(), "hold"])
    stream = client.sse(url, json=True)
    events = [e async for e in stream]
    assert [e.data for e in events] == [{"n": big}, None, [1, 2]]
    assert events[2].event == "t"
    assert str(big)[:5] in repr(events[0])
    await anyio.to_thread.run_sync(scripted.wait_until_left)
    assert await data(client.sse(url, decode_json=True, json={"q": 1})) == [
        {"n": big},
        None,
        [1, 2],
    ]


async def test_an_event_that_is_not_json_is_named(
    client: AsyncHttpClient, scripted: ScriptedServer
) -> None:
    """Those before it are given first."""
    url = scripted.play([events_head(), b"data: 1\n\ndata: oops\n\n", "hold"])
    stream = client.sse(url, json=True)
    assert (await anext(stream)).data == 1
    with pytest.raises(nbhttp.DecodeError, match=r"the data of event 2 .* is not JSON"):
        await anext(stream)
    await anyio.to_thread.run_sync(scripted.wait_until_left)


async def test_an_endless_event_is_refused(client: AsyncHttpClient, scripted: ScriptedServer):
    """What does not end is an error at `max_event`, not memory."""
    url = scripted.play([events_head(), b"data: " + b"x" * 5000, "hold"])
    with pytest.raises(nbhttp.StreamError, match="longer than the 1,000 bytes allowed"):
        await anext(client.sse(url, max_event=1000))
    await anyio.to_thread.run_sync(scripted.wait_until_left)


async def test_wrong_arguments_are_refused_at_the_call(client: AsyncHttpClient) -> None:
    """Nothing is sent."""
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (nbhttp.ConfigError, {"max_events": 0}),
        (nbhttp.ConfigError, {"reconnect": -1}),
        (TypeError, {"reconnect": "yes"}),
        (nbhttp.ConfigError, {"last_event_id": "a\nb"}),
        (nbhttp.ConfigError, {"max_event": 0}),
    ]
    for kind, options in wrong:
        with pytest.raises(kind):
            client.sse("http://127.0.0.1:9/", **options)


async def test_leaving_closes_the_connection(client: AsyncHttpClient, scripted: ScriptedServer):
    """A break ends the stream for the server."""
    url = scripted.play([events_head(), event(1), "hold"])
    async for _ in client.sse(url):
        break
    await anyio.to_thread.run_sync(scripted.wait_until_left)
    with contextlib.suppress(ZeroDivisionError):
        async for _ in client.sse(url):
            1 / 0  # noqa: B018
    await anyio.to_thread.run_sync(scripted.wait_until_left, 2)


# Decisions


@pytest.mark.parametrize(
    ("status", "content_type", "is_first", "verdict"),
    [
        (200, "text/event-stream", True, "read"),
        (200, "Text/Event-Stream; charset=utf-8", False, "read"),
        (200, "", True, "type"),
        (200, "text/event-streams", False, "type"),
        (302, "text/html", True, "type"),
        (204, "", True, "end"),
        (204, "text/event-stream", False, "end"),
        (503, "text/event-stream", True, "status"),
        (503, "", False, "again"),
        (429, "", False, "again"),
        (529, "", False, "again"),
        (401, "", False, "status"),
        (501, "", False, "status"),
    ],
)
def test_what_a_head_means(status: int, content_type: str, is_first: bool, verdict: str) -> None:
    """Status and content type decide, and whether the stream was open before."""
    assert judge(status, content_type, is_first=is_first) == verdict


def test_when_more_is_to_come() -> None:
    """A break, a cut event, an ID or a reconnection time; a clean end is none of these."""
    clean = Ending(False, False, False, False)
    assert not wants_client_back(clean)
    for name in Ending._fields:
        assert wants_client_back(clean._replace(**{name: True}))


@given(
    st.one_of(st.none(), st.integers(0, 10**15)),
    st.integers(0, 10**6),
    st.floats(0, 1),
    st.floats(0, 10**9),
)
def test_the_pause_is_bounded_and_never_shorter_than_asked(
    retry_ms: int | None, failures: int, chance: float, retry_after_s: float
) -> None:
    """The server's time is kept, the backoff grows and ends, and chance only adds."""
    pause = delay_s(retry_ms, failures, chance, retry_after_s)
    asked = 1.0 if retry_ms is None else min(retry_ms / 1000, 3600)
    assert pause >= max(asked, min(retry_after_s, 3600))
    assert pause <= max(asked, 30, min(retry_after_s, 3600)) * 1.25
    assert delay_s(retry_ms, failures + 1, chance) >= delay_s(retry_ms, failures, chance)
