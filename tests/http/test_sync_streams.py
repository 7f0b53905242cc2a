"""Streams from sync code: the same items, few crossings, and an end however they are left."""

import contextlib
import gc
import inspect
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from servers import FaultServer
from servers.counting import CountingServer
from servers.scripted import ScriptedServer, events_head

import nbhttp
from nbhttp import AsyncHttpClient, HttpClient
from nbhttp._core.loopthread import LoopThread

METHODS = ["stream_request", "lines", "ndjson", "sse"]


@pytest.fixture(params=["httpx", "direct"])
def client(request: pytest.FixtureRequest) -> Iterator[HttpClient]:
    """A sync client over an engine."""
    with HttpClient(engine=request.param, trust_env=False, timeout=10.0) as client:
        yield client


# The same as the async side


@pytest.mark.parametrize("name", METHODS)
def test_the_faces_have_the_same_arguments(name: str) -> None:
    """Async, sync and module take the same names, kinds and defaults."""
    mine = inspect.signature(getattr(HttpClient, name))
    theirs = inspect.signature(getattr(AsyncHttpClient, name))
    assert str(mine).partition(" -> ")[0] == str(theirs).partition(" -> ")[0]
    function = getattr(nbhttp, name)
    assert (
        list(inspect.signature(function).parameters.values()) == list(mine.parameters.values())[1:]
    )
    assert function.__module__ == "nbhttp.sync"


@pytest.mark.parametrize("name", ["Byte", "Line", "Ndjson", "Event"])
def test_the_objects_tell_the_same(name: str) -> None:
    """A sync stream has every public name of its async twin, but for how it is read."""
    from nbhttp._core import eventstream, stream, syncstream

    home = eventstream if name == "Event" else stream
    theirs = {n for n in dir(getattr(home, f"{name}Stream")) if not n.startswith("_")}
    mine = {n for n in dir(getattr(syncstream, f"Sync{name}Stream")) if not n.startswith("_")}
    assert mine - {"close"} == theirs - {"aclose", "next_batch", "hold", "release", "take"}


def test_all_four_give_their_items(client: HttpClient, fault: FaultServer) -> None:
    """Bytes, lines, records and events, with what the object tells."""
    with client.stream_request("GET", fault.url + "/file/a/300000", 70_000) as pieces:
        assert pieces.status_code == 200
        assert pieces.headers["content-length"] == "300000"
        assert [len(piece) for piece in pieces] == [70_000] * 4 + [20_000]
    assert pieces.received == 300_000
    assert repr(pieces).startswith("<SyncByteStream GET http://")
    lines = client.lines(fault.url + "/ndjson?n=3")
    assert len(list(lines)) == 3
    assert (lines.encoding, lines.replaced) == ("utf-8", 0)
    records = client.ndjson(fault.url + "/ndjson?n=5&bad=2", on_error="collect")
    assert [r["i"] for r in records] == [1, 3, 4, 5]
    assert (len(records.errors), records.skipped, records.line_number) == (1, 1, 5)
    events = client.sse(fault.url + "/sse?n=7&drop=3&end=204&retry=1")
    assert [e.id for e in events] == [str(i) for i in range(1, 8)]
    assert (events.reconnects, events.retry, events.last_event_id) == (2, 1, "7")
    assert next(events, None) is None


def test_the_module_has_them_too(fault: FaultServer, scripted: ScriptedServer) -> None:
    """`nbhttp.lines(url)` needs no client, and keeps no cookies."""
    assert sum(map(len, nbhttp.stream_request("GET", fault.url + "/file/a/3000"))) == 3000
    assert len(list(nbhttp.ndjson(fault.url + "/ndjson?n=3"))) == 3
    assert len(list(nbhttp.sse(fault.url + "/sse?n=3", max_events=3))) == 3
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi"
    url = scripted.play([answer], [answer])
    assert list(nbhttp.lines(url)) == list(nbhttp.lines(url)) == ["hi"]
    assert scripted.field(1, "cookie") is None


def test_one_by_one(client: HttpClient, scripted: ScriptedServer) -> None:
    """`next` and a loop share the items; the place is that of the last one taken."""
    body = b"".join(b"id: %d\ndata: %d\n\n" % (n, n) for n in range(1, 9))
    events = client.sse(scripted.play([events_head(), body, "hold"]))
    assert next(events).data == "1"
    assert events.last_event_id == "1"
    with events:
        assert [e.data for e in itertools.islice(events, 3)] == ["2", "3", "4"]
        assert events.last_event_id == "4"
        assert next(events).data == "5"
    scripted.wait_until_left()


def test_errors_are_those_of_the_async_side(client: HttpClient, fault: FaultServer) -> None:
    """Refusals, breaks and what stands on the object."""
    with pytest.raises(nbhttp.StatusError):
        next(client.stream_request("GET", fault.url + "/status/404"))
    quiet = client.lines(fault.url + "/status/404", raise_exception=False)
    assert list(quiet) == []
    assert quiet.status_code == 404
    assert isinstance(quiet.exception, nbhttp.StatusError)
    assert quiet.error
    with pytest.raises(nbhttp.StreamError, match="after 5,000 bytes") as caught:
        sum(map(len, client.stream_request("GET", fault.url + "/file/a/9000?truncate=5000")))
    assert caught.value.received == 5000
    with pytest.raises(nbhttp.ConfigError):
        client.stream_request("GET", fault.url, chunk_size=0)


def test_the_users_own_code_runs_in_the_calling_thread(
    client: HttpClient, fault: FaultServer
) -> None:
    """The auth scheme and the iterator of a body are run by the thread that reads."""
    ran: list[int] = []

    def auth(request: Any) -> Any:
        ran.append(threading.get_ident())
        return request

    def body() -> Iterator[bytes]:
        ran.append(threading.get_ident())
        yield b"x"

    url = fault.url + "/upload"
    assert list(client.lines(url, method="POST", content=body(), auth=auth))
    assert set(ran) == {threading.get_ident()}


# Batches


def test_it_crosses_once_for_each_batch(
    client: HttpClient, fault: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand lines cost some ten crossings, not ten thousand."""
    crossings = 0
    call = LoopThread.call

    def counted(self: LoopThread, function: Any) -> Any:
        nonlocal crossings
        crossings += 1
        return call(self, function)

    body = b'{"n": 1}\n' * 100_000
    url = fault.raw("/many", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    monkeypatch.setattr(LoopThread, "call", counted)
    assert sum(1 for _ in client.ndjson(url)) == 100_000
    assert crossings < 100


def test_what_is_read_ahead_is_bounded(client: HttpClient, fault: FaultServer) -> None:
    """A consumer that does not consume holds a few mebibytes at most."""
    stream = client.stream_request("GET", f"{fault.url}/file/a/{1 << 28}")
    next(stream)
    assert stream.received <= 4 << 20
    stream.close()


# The end


def _break(client: HttpClient, url: str) -> None:
    for _ in client.stream_request("GET", url, 1):
        break


def _break_with_the_stream_at_hand(client: HttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 1)
    for _ in stream:
        break
    with pytest.raises(nbhttp.StreamError, match="was closed after"):
        list(stream)


def _raise(client: HttpClient, url: str) -> None:
    with contextlib.suppress(ZeroDivisionError):
        for _ in client.stream_request("GET", url, 1):
            1 / 0  # noqa: B018


def _drop(client: HttpClient, url: str) -> None:
    next(client.stream_request("GET", url, 1))


def _drop_a_generator_half_way(client: HttpClient, url: str) -> None:
    iterator = iter(client.lines(url.replace("/drip", "/half")))
    del iterator
    iterator = iter(client.stream_request("GET", url, 1))
    next(iterator)
    del iterator


def _drop_on_the_loops_own_thread(client: HttpClient, url: str) -> None:
    held = [client.stream_request("GET", url, 1)]
    next(held[0])
    done = threading.Event()
    LoopThread.get().loop.call_soon_threadsafe(lambda: (held.clear(), done.set()))
    assert done.wait(20)


def _drop_in_a_cycle(client: HttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 1)
    next(stream)
    stream.itself = stream  # type: ignore[attr-defined]
    del stream
    gc.collect()


def _leave_the_block(client: HttpClient, url: str) -> None:
    with client.stream_request("GET", url, 1) as stream:
        for _ in stream:
            break
        assert next(stream) == b"r"  # the block holds it, not the loop


def _close(client: HttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 1)
    next(stream)
    stream.close()
    stream.close()


def _close_from_another_thread(client: HttpClient, url: str) -> None:
    stream = client.stream_request("GET", url, 10**9)
    thread = threading.Timer(0.05, stream.close)
    thread.start()
    assert list(stream) == []
    thread.join()


LEAVING = [
    _break, _break_with_the_stream_at_hand, _raise, _drop, _drop_a_generator_half_way,
    _drop_on_the_loops_own_thread, _drop_in_a_cycle, _leave_the_block, _close,
    _close_from_another_thread,
]  # fmt: skip


@pytest.mark.parametrize("leave", LEAVING, ids=[f.__name__.strip("_") for f in LEAVING])
def test_leaving_closes_the_connection(
    client: HttpClient, counting: CountingServer, leave: Any
) -> None:
    """However a stream is left: the server sees the end, and no slot is kept."""
    leave(client, counting.url + "/drip")
    counting.wait_for(lambda s: s.in_flight == 0 and s.open == 0)
    assert client._state.gate.held == 0
    assert not client._state.lives
    assert client.get(counting.url + "/ok").success


INTERRUPTED = """
import sys, time
import nbhttp
client = nbhttp.HttpClient(timeout=None)
url, where = sys.argv[1:]
try:
    if where == "waiting":
        for _ in client.stream_request("GET", url + "/half"):
            pass
    elif where == "opening":
        next(client.lines(url + "/stall"))
    else:
        for _ in client.stream_request("GET", url + "/drip", 1):
            if where == "body":
                time.sleep(0.001)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
print(client.get(url + "/ok").status_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent by kill()")
@pytest.mark.parametrize("where", ["waiting", "opening", "between", "body"])
def test_an_interrupt_ends_it_at_once(counting: CountingServer, where: str) -> None:
    """Between items, in the loop's body and while it waits; the client stays usable."""
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", INTERRUPTED, counting.url, where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        counting.wait_for(lambda s: s.drops > 20 if "/drip" in s.requests else s.in_flight == 1)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n", process.stderr.read()
        counting.wait_for(lambda s: s.in_flight == 0)
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stdout.read() == "200\n"
        assert process.stderr.read() == ""


def test_a_stream_left_open_at_exit_is_silent(counting: CountingServer) -> None:
    """Nothing is printed and nothing hangs when the process ends with a stream open."""
    script = (
        "import nbhttp, sys\n"
        "s = nbhttp.stream_request('GET', sys.argv[1] + '/drip', 1)\n"
        "next(s)\n"
        "i = iter(nbhttp.lines(sys.argv[1] + '/drip'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, counting.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    counting.wait_for(lambda s: s.open == 0)
