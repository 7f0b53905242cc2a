"""One client on many loops: one after the other, side by side, asyncio, uvloop and trio."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import anyio
import httpx
import pytest
from servers.counting import CountingServer

import nbhttp

pytestmark = pytest.mark.anyio


def make(counting: CountingServer, engine: str, **options: object) -> nbhttp.AsyncHttpClient:
    return nbhttp.AsyncHttpClient(counting.url, engine=engine, trust_env=False, **options)  # type: ignore[arg-type] # options of the test


SCRIPTS = {
    "several asyncio.run": """
client = make()
for _ in range(4):
    assert asyncio.run(client.get("/ok"))
    gc.collect()
""",
    "several asyncio.run, closed in the last": """
client = make()
assert asyncio.run(client.get("/ok"))
async def last():
    async with client:
        return await client.get("/ok")
assert asyncio.run(last())
assert asyncio.run(client.get("/ok"))
""",
    "a runner": """
client = make()
with asyncio.Runner() as runner:
    for _ in range(3):
        assert runner.run(client.get("/ok"))
    del client
    gc.collect()
""",
    "collected on a running loop": """
async def main():
    client = make()
    assert await client.get("/ok")
    del client
    gc.collect()
    await asyncio.sleep(0.01)
asyncio.run(main())
""",
    "collected after its loop": """
client = make()
asyncio.run(client.get("/ok"))
del client
gc.collect()
""",
    "a loop closed by hand": """
client = make()
for _ in range(3):
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(client.get("/ok"))
    loop.close()
    del loop
    gc.collect()
""",
    "a loop closed by hand, client collected first": """
client = make()
loop = asyncio.new_event_loop()
assert loop.run_until_complete(client.get("/ok"))
del client
gc.collect()
loop.run_until_complete(asyncio.sleep(0))
loop.close()
""",
    "a loop closed by hand, client collected last": """
client = make()
loop = asyncio.new_event_loop()
assert loop.run_until_complete(client.get("/ok"))
loop.close()
del client
gc.collect()
""",
    "closed from another loop": """
client = make()
loop = asyncio.new_event_loop()
assert loop.run_until_complete(client.get("/ok"))
asyncio.run(client.aclose())
loop.run_until_complete(asyncio.sleep(0.01))
assert client._state.engines.connections == 0
assert loop.run_until_complete(client.get("/ok"))
loop.close()
""",
    "uvloop": """
import uvloop
client = make()
for _ in range(3):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(client.get("/ok"))
    gc.collect()
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    assert runner.run(client.get("/ok"))
    del client
    gc.collect()
""",
    "a stream left open": """
client = make()
async def main():
    manager = client.stream("GET", "/drip")
    response = await manager.__aenter__()
    assert response.status_code == 200
    return manager
kept = asyncio.run(main())
assert asyncio.run(client.get("/ok"))
""",
    "tasks left behind": """
client = make()
async def main():
    tasks = [asyncio.create_task(client.get("/stall")) for _ in range(5)]
    while client._state.gate.held < 5:
        await asyncio.sleep(0)
    return await client.get("/ok")
assert asyncio.run(main())
assert client._state.gate.held == 0
assert asyncio.run(client.get("/ok"))
""",
    "trio twice": """
import trio
client = nbhttp.AsyncHttpClient(url)
for _ in range(2):
    assert trio.run(client.get, "/ok")
    gc.collect()
assert asyncio.run(client.get("/ok"))
assert trio.run(client.get, "/ok")
async def main():
    async with client:
        assert await client.get("/ok")
    async with client.stream("GET", "/drip") as response:
        assert response.status_code == 200
trio.run(main)
""",
    "loops and the sync face": """
client = nbhttp.HttpClient(url, engine=engine)
assert client.get("/ok")
assert asyncio.run(client.aio.get("/ok"))
assert client.get("/ok")
import trio
if engine == "httpx":
    assert trio.run(client.aio.get, "/ok")
client.close()
assert client.get("/ok")
""",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_client_survives_its_loops(counting: CountingServer, engine: str, script: str) -> None:
    """Each loop's end closes its connections; no warning, no "Event loop is closed"."""
    head = (
        "import asyncio, gc, sys, nbhttp\n"
        "url, engine = sys.argv[1:]\n"
        "make = lambda: nbhttp.AsyncHttpClient(url, engine=engine)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-c",
            head + SCRIPTS[script],
            counting.url,
            engine,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # On a busy machine asyncio's debug mode reports what took over 0.1 s.
    said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
    assert (done.returncode, said) == (0, [])
    counting.wait_for(lambda s: s.open == 0)


async def test_connections_close_with_their_loop(counting: CountingServer, engine: str) -> None:
    """When a loop in a thread ends, the server sees its connections closed at once."""
    client = make(counting, engine)
    await asyncio.to_thread(lambda: asyncio.run(client.get("/ok")))
    counting.wait_for(lambda s: s.opened == 1 and s.open == 0)
    assert (await client.get("/ok")).success
    assert client._state.engines.connections == 1
    await client.aclose()


def in_threads(*functions: Callable[[], object]) -> None:
    """Run functions in a thread each; fail when one of them does."""
    errors: list[BaseException] = []

    def guard(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=guard, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not errors, errors


def test_max_connections_bounds_all_loops(counting: CountingServer, engine: str) -> None:
    """Two loops in threads, the sync face and a map together never exceed `max_connections`."""
    client = nbhttp.HttpClient(counting.url, engine=engine, max_connections=4, trust_env=False)
    results: list[nbhttp.RequestResult] = []

    async def many() -> None:
        got = await asyncio.gather(*(client.aio.get("/slow?ms=5") for _ in range(40)))
        results.extend(got)

    def some() -> None:
        results.extend(client.get("/slow?ms=5") for _ in range(10))

    def mapped() -> None:
        results.extend(client.map(["/slow?ms=5"] * 40))

    in_threads(lambda: asyncio.run(many()), lambda: asyncio.run(many()), some, some, mapped)
    assert [r.error for r in results if not r] == []
    assert len(results) == 140
    assert counting.max_in_flight <= 4
    assert client.aio._state.gate.held == 0
    client.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_the_queue_is_fair_over_loops(counting: CountingServer, kind: str) -> None:
    """Requests of two loops that wait for one slot are served in the order in which they came."""
    client = make(counting, "httpx", max_connections=1)
    gate = client._state.gate
    new_loop = asyncio.new_event_loop
    if kind == "uvloop":
        new_loop = pytest.importorskip("uvloop").new_event_loop

    async def ask(numbers: range) -> None:
        tasks = []
        for number in numbers:
            while gate.queued != number:  # the other loop's turn
                await asyncio.sleep(0.001)
            tasks.append(asyncio.ensure_future(client.get(f"/ok?{number}")))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    def run(numbers: range) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(ask(numbers), timeout=30))

    async def main() -> None:
        # A stalled request holds the only slot until all are in line, odd and even by turns.
        blocker = asyncio.ensure_future(client.get("/stall"))
        await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 1)
        asking = asyncio.gather(
            asyncio.to_thread(run, range(0, 20, 2)), asyncio.to_thread(run, range(1, 20, 2))
        )
        async with asyncio.timeout(30):
            while gate.queued < 20:
                await asyncio.sleep(0.001)
        blocker.cancel()
        await asking

    asyncio.run(main())
    assert counting.requests == ["/stall", *(f"/ok?{number}" for number in range(20))]


async def test_ten_thousand_requests_may_wait(counting: CountingServer) -> None:
    """A long queue is only a queue: no request fails for its length."""
    client = make(counting, "httpx", max_connections=8, timeout=30.0)
    results = await asyncio.gather(*(client.get("/ok") for _ in range(10_000)))
    assert [r.error for r in results if not r] == []
    assert counting.max_in_flight <= 8
    assert counting.opened <= 8
    await client.aclose()


async def test_only_a_pool_timeout_bounds_the_queue(counting: CountingServer, engine: str) -> None:
    """Waiting in the queue does not count for `timeout`; `httpx.Timeout(pool=…)` bounds it."""
    client = make(counting, engine, max_connections=1)
    blocker = asyncio.ensure_future(client.get("/held"))
    await asyncio.to_thread(counting.wait_for, lambda s: s.in_flight == 1)
    patient = asyncio.ensure_future(client.get("/ok", timeout=0.5))
    while not client._state.gate.queued:
        await asyncio.sleep(0)
    impatient = await client.get("/ok", timeout=httpx.Timeout(30, pool=0.6))
    assert isinstance(impatient.exception, nbhttp.TimeoutError)
    assert "connection" in str(impatient.error)
    counting.release()
    assert (await patient).success
    assert (await patient).timing.queue > 0.5
    assert (await blocker).success
    assert client._state.gate.held == client._state.gate.queued == 0
    await client.aclose()


async def test_await_and_the_sync_face_at_once(counting: CountingServer, engine: str) -> None:
    """While a loop awaits, threads use the sync face of the same client; both are served."""
    client = nbhttp.HttpClient(counting.url, engine=engine, trust_env=False)
    results = await asyncio.gather(
        *(client.aio.get("/slow?ms=5") for _ in range(20)),
        *(asyncio.to_thread(client.get, "/slow?ms=5") for _ in range(20)),
    )
    assert all(results)
    await client.aio.aclose()


async def test_the_users_code_runs_on_the_callers_loop(counting: CountingServer) -> None:
    """Hooks, auth flows and async iterables run on the loop that awaits, also for `map`."""
    loops: set[object] = set()

    async def hook(_: object) -> None:
        loops.add(asyncio.get_running_loop())

    class Signed(httpx.Auth):
        async def async_auth_flow(self, request: httpx.Request):  # type: ignore[no-untyped-def] # httpx's generator
            loops.add(asyncio.get_running_loop())
            yield request

    async def body():  # type: ignore[no-untyped-def] # an async generator
        loops.add(asyncio.get_running_loop())
        yield b"piece"

    hooks = {"request": [hook], "response": [hook]}
    client = nbhttp.AsyncHttpClient(counting.url, event_hooks=hooks, auth=Signed())
    assert (await client.post("/ok", content=body())).success
    assert (await client.map([("POST", "/ok", {"content": body()})])).ok
    assert loops == {asyncio.get_running_loop()}
    await client.aclose()


def test_many_loops_leave_nothing_behind(counting: CountingServer, engine: str) -> None:
    """A client that was used on 30 loops holds nothing of them: neither loops nor sockets."""
    import weakref

    client = make(counting, engine)
    loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    async def main() -> None:
        loops.add(asyncio.get_running_loop())
        assert (await client.get("/ok")).success

    for _ in range(30):
        asyncio.run(main())
    gc.collect()
    assert len(client._state.engines._sets) <= 1
    assert len(loops) <= 2  # the client remembers the last one
    counting.wait_for(lambda s: s.open == 0)


async def test_many_clients_leave_nothing_on_a_loop(counting: CountingServer, engine: str) -> None:
    """Clients that come and go on a long-lived loop leave no engine, connection or waiter."""
    from nbhttp._core import runtime

    for _ in range(20):
        client = make(counting, engine)
        assert (await client.get("/ok")).success
        del client
    gc.collect()
    end = runtime._ends[id(asyncio.get_running_loop())]
    give_up_at = time.monotonic() + 20
    while end.members and time.monotonic() < give_up_at:
        await asyncio.sleep(0.01)
        gc.collect()
    assert len(end.members) == 0
    await asyncio.to_thread(counting.wait_for, lambda s: s.open == 0)


@pytest.mark.parametrize(
    ("engine", "run"), [("httpx", "asyncio"), ("direct", "asyncio"), ("httpx", "trio")]
)
def test_a_stream_left_at_the_end_of_its_loop_gives_its_slot_back(
    counting: CountingServer, engine: str, run: str
) -> None:
    """Leaving it is the last that the loop does: what closes it may be cancelled unbegun."""
    client = make(counting, engine, max_connections=2)
    ends: list[object] = []
    client.subscribe(lambda e: ends.append(e) if type(e).__name__ == "RequestFinished" else None)

    async def leave() -> None:
        async for _ in client.stream_request("GET", "/drip", chunk_size=None):
            break

    for number in range(3):
        anyio.run(leave, backend=run)
        assert client.cancel_all() == 0
        assert len(ends) == number + 1
    counting.wait_for(lambda s: s.in_flight == 0)
