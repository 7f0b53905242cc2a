"""Cancelling: in every phase, from anywhere, at once, and without a trace."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers import FaultServer
from servers.counting import CountingServer
from servers.gated import GatedServer

import nbhttp

pytestmark = pytest.mark.anyio

BODY = b"x" * 100_000_000


def make(counting: CountingServer, engine: str, **options: Any) -> nbhttp.AsyncHttpClient:
    options = {"timeout": None} | options
    return nbhttp.AsyncHttpClient(counting.url, engine=engine, trust_env=False, **options)


async def left_nothing(client: nbhttp.AsyncHttpClient, counting: CountingServer) -> None:
    """Nothing is in flight anywhere, and the client works."""
    state = client._state
    assert (state.gate.held, state.gate.queued) == (0, 0)
    assert not state._in_flight
    assert not state.lives
    await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.in_flight == 0)
    assert (await client.get("/ok")).text == "ok"
    await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.open == 1)
    assert state.engines.connections == 1
    await client.aclose()
    await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.open == 0)


Start = Callable[[nbhttp.AsyncHttpClient], Awaitable[Any]]


async def read_stream(client: nbhttp.AsyncHttpClient, path: str) -> None:
    async with client.stream("GET", path) as response:
        async for _ in response.aiter_bytes():
            pass


PHASES: dict[str, tuple[str, Start]] = {
    "waiting": ("/stall", lambda c: c.get("/stall")),
    "receiving": ("/half", lambda c: c.get("/half")),
    "receiving pieces": ("/drip", lambda c: c.get("/drip")),
    "sending": ("/sink", lambda c: c.post("/sink", content=BODY)),
    "streaming": ("/drip", lambda c: read_stream(c, "/drip")),
    "streaming, stalled": ("/half", lambda c: read_stream(c, "/half")),
    "streaming, waiting": ("/stall", lambda c: read_stream(c, "/stall")),
    "a map": ("/stall", lambda c: c.map(["/stall"])),
}


async def cancelled(task: "asyncio.Future[Any]", cancel: Callable[[], object]) -> None:
    """Cancel, and wait until the task has ended, which nothing but that does."""
    cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, timeout=30)


@pytest.mark.parametrize("how", ["task.cancel", "cancel_all"])
@pytest.mark.parametrize("phase", PHASES)
async def test_a_call_is_cancelled_in_any_phase(
    counting: CountingServer, engine: str, phase: str, how: str
) -> None:
    """The call ends at once, its connection is closed, its slot is free, no task is left."""
    client = make(counting, engine)
    path, start = PHASES[phase]
    tasks_before = asyncio.all_tasks()
    task = asyncio.ensure_future(start(client))
    await asyncio.to_thread(counting.wait_for, lambda s: s.requests == [path])
    await cancelled(task, task.cancel if how == "task.cancel" else client.cancel_all)
    assert asyncio.all_tasks() == tasks_before
    await left_nothing(client, counting)


async def test_a_connect_is_cancelled(
    counting: CountingServer, engine: str, fault: FaultServer
) -> None:
    """A call that is still connecting ends at once and leaves no socket behind."""
    client = make(counting, engine)
    tasks_before = asyncio.all_tasks()
    task = asyncio.ensure_future(client.get(fault.blackhole_url))
    while not client._state.gate.held:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # let it send its SYN; there is nothing to wait for
    await cancelled(task, client.cancel_all)
    assert asyncio.all_tasks() == tasks_before
    assert client._state.engines.connections == 0
    await left_nothing(client, counting)


async def test_a_queued_call_is_cancelled_unsent(counting: CountingServer, engine: str) -> None:
    """A call that waits for a slot ends at once; it is never sent and takes no slot."""
    client = make(counting, engine, max_connections=1)
    first = asyncio.ensure_future(client.get("/held"))
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 1)
    second = asyncio.ensure_future(client.post("/ok", content=b"never"))
    while not client._state.gate.queued:
        await asyncio.sleep(0)
    await cancelled(second, second.cancel)
    counting.release()
    assert (await first).success
    assert counting.requests == ["/held"]
    await left_nothing(client, counting)


async def test_a_queued_call_is_unqueued_by_cancel_all(
    counting: CountingServer, engine: str
) -> None:
    """`cancel_all` ends those in flight and those in the queue, and says how many."""
    client = make(counting, engine, max_connections=2)
    tasks = [asyncio.ensure_future(client.get("/stall")) for _ in range(10)]
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 2)
    assert client.cancel_all() == 10
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert counting.requests == ["/stall"] * 2
    await left_nothing(client, counting)


@pytest.mark.parametrize("kind", ["segments", "files", "a map", "a stream"])
async def test_cancel_all_counts_calls(engine: str, kind: str, tmp_path: Path) -> None:
    """A call is one, however many connections it has open and files it fetches."""
    with GatedServer().running() as gated:
        client = nbhttp.AsyncHttpClient(gated.url, engine=engine, trust_env=False)
        urls = [f"/{name}" for name in "abcd"]
        start: dict[str, Callable[[], Awaitable[Any]]] = {
            "segments": lambda: client.download_file("/f", tmp_path / "f", segments=4),
            "files": lambda: client.download_many(urls, tmp_path, progress=False),
            "a map": lambda: client.map(urls),
            "a stream": lambda: anext(client.stream_request("GET", "/f", chunk_size=10**9)),
        }
        call = asyncio.ensure_future(start[kind]())
        while client._state.gate.held < (1 if kind == "a stream" else 4):
            await asyncio.sleep(0.001)
        assert client.cancel_all() == 1
        with pytest.raises(asyncio.CancelledError):
            await call
        assert client.cancel_all() == 0


async def test_cancel_all_in_a_hook_of_a_stream_counts_it_once(
    counting: CountingServer, engine: str
) -> None:
    """Its answer is there and its call still opening: both are one."""
    counts: list[int] = []
    hooks = {"response": [lambda _: counts.append(client.cancel_all())]}
    client = make(counting, engine, event_hooks=hooks)
    with pytest.raises(asyncio.CancelledError):
        await anext(client.stream_request("GET", "/drip"))
    assert counts == [1]


async def test_cancel_all_from_another_thread(counting: CountingServer, engine: str) -> None:
    """From a thread it ends the calls on a loop."""
    client = make(counting, engine)
    tasks = [asyncio.ensure_future(client.get("/stall")) for _ in range(3)]
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 3)
    assert await asyncio.to_thread(client.cancel_all) == 3
    await asyncio.wait(tasks, timeout=30)
    assert all(task.cancelled() for task in tasks)
    await left_nothing(client, counting)


async def test_cancel_all_from_another_loop(counting: CountingServer, engine: str) -> None:
    """A callback on another loop, like a widget's, ends calls of any loop."""
    client = make(counting, engine)
    ended: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(client.get("/stall"))  # type: ignore[arg-type] # a coroutine
        except asyncio.CancelledError as exc:
            ended.append(exc)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 1)
    asyncio.get_running_loop().call_soon(client.cancel_all)
    await asyncio.to_thread(thread.join, 30)
    assert len(ended) == 1
    await left_nothing(client, counting)


async def test_cancel_all_ends_a_sync_call(counting: CountingServer, engine: str) -> None:
    """A sync call in a thread raises CancelledError, with a note that says why."""
    client = nbhttp.HttpClient(counting.url, engine=engine, trust_env=False)
    call = asyncio.ensure_future(asyncio.to_thread(_outcome, client, "/stall"))
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 1)
    assert client.cancel_all() == 1
    exc = await asyncio.wait_for(call, timeout=30)
    assert isinstance(exc, asyncio.CancelledError)
    assert "cancelled by cancel_all()" in exc.__notes__[0]
    assert client.aio._state.gate.held == 0
    client.close()
    await asyncio.to_thread(counting.wait_for, lambda s: s.open == 0)


def _outcome(client: nbhttp.HttpClient, path: str) -> BaseException | None:
    try:
        client.get(path)
    except BaseException as exc:
        return exc
    return None


async def test_cancel_all_between_two_reads(counting: CountingServer, engine: str) -> None:
    """A stream whose consumer is busy with a piece ends at its next read."""
    client = make(counting, engine)

    async def read() -> None:
        async with client.stream("GET", "/drip") as response:
            async for _ in response.aiter_bytes():
                assert client.cancel_all() == 1
                await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 0)

    with pytest.raises(asyncio.CancelledError):
        await read()
    await left_nothing(client, counting)


async def test_cancel_all_spares_what_comes_after(counting: CountingServer, engine: str) -> None:
    """A task whose call has ended meanwhile is not cancelled in what it does next."""
    client = make(counting, engine)

    async def call_and_go_on() -> str:
        await client.get("/ok")
        client.cancel_all()
        await asyncio.sleep(0.01)
        return "went on"

    assert await call_and_go_on() == "went on"

    async def cancel_at_the_end() -> str:
        unsubscribe = client.subscribe(lambda _: client.cancel_all())
        try:
            assert (await client.get("/ok")).success
        except asyncio.CancelledError:
            return "cancelled in the call"
        finally:
            unsubscribe()
        await asyncio.sleep(0.01)
        return "went on"

    # RequestStarted comes early enough to cancel the call itself.
    assert await cancel_at_the_end() == "cancelled in the call"
    assert (await client.get("/ok")).success
    await client.aclose()


async def test_cancel_all_twice(counting: CountingServer, engine: str) -> None:
    """A second `cancel_all` while the first takes effect does no harm."""
    client = make(counting, engine)
    task = asyncio.ensure_future(client.get("/stall"))
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 1)
    client.cancel_all()
    await cancelled(task, client.cancel_all)
    await left_nothing(client, counting)


async def test_a_timeout_around_a_call_is_the_callers(
    counting: CountingServer, engine: str
) -> None:
    """`asyncio.timeout` and anyio's scopes around a call work as around any await."""
    client = make(counting, engine)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.get("/stall")
    with anyio.move_on_after(0.1) as scope:
        await client.get("/half")
    assert scope.cancelled_caught
    await left_nothing(client, counting)


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.parametrize(
    "phase", ["waiting", "receiving", "receiving pieces", "sending", "streaming"]
)
async def test_cancel_on_trio(counting: CountingServer, anyio_backend: str, phase: str) -> None:
    """On trio a cancel scope ends a call in any phase, and leaves nothing."""
    import trio

    client = make(counting, "httpx")
    path, start = PHASES[phase]
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start, client)
            await trio.to_thread.run_sync(counting.wait_for, lambda s: s.requests == [path])
            scope.cancel()
    assert scope.cancelled_caught
    await left_nothing(client, counting)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_cancel_all_on_trio(counting: CountingServer, anyio_backend: str) -> None:
    """On trio, too, `cancel_all` raises CancelledError in the calls: queued, waiting, reading."""
    import trio

    client = make(counting, "httpx", max_connections=2)
    ended: list[str] = []

    async def expect(path: str, start: Start) -> None:
        with pytest.raises(asyncio.CancelledError):
            await start(client)
        ended.append(path)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, "/stall", lambda c: c.get("/stall"))
        nursery.start_soon(expect, "/drip", lambda c: read_stream(c, "/drip"))
        await trio.to_thread.run_sync(counting.wait_for, lambda s: s.in_flight == 2)
        nursery.start_soon(expect, "queued", lambda c: c.get("/ok"))
        while not client._state.gate.queued:
            await trio.sleep(0)
        assert await trio.to_thread.run_sync(client.cancel_all) == 3
    assert sorted(ended) == ["/drip", "/stall", "queued"]
    await left_nothing(client, counting)


PATHS = ["/ok", "/stall", "/half", "/drip", "/slow?ms=20", "/slow?ms=2"]


@pytest.mark.parametrize("how", ["tasks", "cancel_all", "map"])
async def test_a_thousand_cancelled_at_random(
    counting: CountingServer, engine: str, how: str
) -> None:
    """1,000 requests cancelled at random moments leave no connection, slot or task behind."""
    client = make(counting, engine, max_connections=50)
    chance = random.Random(7)
    tasks_before = asyncio.all_tasks()
    if how == "map":
        paths = [chance.choice(PATHS) for _ in range(1000)]
        tasks = [asyncio.ensure_future(client.map(paths[i::20])) for i in range(20)]
    else:
        tasks = [asyncio.ensure_future(_one(client, chance.choice(PATHS))) for _ in range(1000)]
    loop = asyncio.get_running_loop()
    if how == "cancel_all":
        while not all(task.done() for task in tasks):
            await asyncio.sleep(chance.uniform(0, 0.05))
            client.cancel_all()
    else:
        for task in tasks:
            loop.call_later(chance.uniform(0, 1.0), task.cancel)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=60)
    assert {type(o) for o in outcomes} <= {
        nbhttp.RequestResult,
        nbhttp.BulkResult,
        type(None),
        asyncio.CancelledError,
    }
    assert any(isinstance(o, asyncio.CancelledError) for o in outcomes)
    assert asyncio.all_tasks() == tasks_before
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 0)
    state = client._state
    assert (state.gate.held, state.gate.queued, len(state._in_flight)) == (0, 0, 0)
    await asyncio.to_thread(counting.wait_for, lambda s: s.open == state.engines.connections)
    assert all(await asyncio.gather(*(client.get("/ok") for _ in range(200))))
    await client.aclose()
    await asyncio.to_thread(counting.wait_for, lambda s: s.open == 0)


async def _one(client: nbhttp.AsyncHttpClient, path: str) -> nbhttp.RequestResult | None:
    if path == "/drip":
        await read_stream(client, path)
        return None
    return await client.get(path)


@pytest.mark.parametrize("how", ["loop", "dropped"])
async def test_a_stream_that_is_cancelled_between_two_reads_is_reported(
    counting: CountingServer, engine: str, how: str
) -> None:
    """`cancel_all()` closes it, and that it is never read again loses no event."""
    client = make(counting, engine)
    ends: list[Any] = []
    client.subscribe(lambda e: ends.append(e) if type(e).__name__ == "RequestFinished" else None)

    async def leave() -> None:
        stream = client.stream_request("GET", "/drip", chunk_size=None)
        if how == "dropped":
            await stream.__anext__()
            assert client.cancel_all() == 1
            await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.in_flight == 0)
            return
        async for _ in stream:
            assert client.cancel_all() == 1
            await anyio.to_thread.run_sync(counting.wait_for, lambda s: s.in_flight == 0)
            break

    await leave()
    assert [end.error for end in ends] == ["cancelled"]
    await left_nothing(client, counting)


async def test_a_block_that_is_cancelled_while_it_closes_is_reported(
    counting: CountingServer, engine: str
) -> None:
    """Leaving `stream()` before the body's end takes a moment; a cancellation may come then."""
    client = make(counting, engine)
    heard: list[str] = []
    client.subscribe(lambda e: heard.append(type(e).__name__))

    async def leave(after: asyncio.Event) -> None:
        async with client.stream("GET", "/drip"):
            after.set()

    for yields in range(12):
        after = asyncio.Event()
        task = asyncio.ensure_future(leave(after))
        await after.wait()
        for _ in range(yields):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert heard.count("RequestStarted") == heard.count("RequestFinished") == 12
    await left_nothing(client, counting)
