"""The sync face over a real server: anywhere, from any thread, and quiet at the end."""

import asyncio
import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import anyio
import httpx
import pytest
from servers.counting import CountingServer

import nbhttp
from nbhttp import AsyncHttpClient, HttpClient

VERBS = ["get", "post", "put", "patch", "delete", "head", "options"]


@pytest.fixture
def client(counting: CountingServer) -> Iterator[HttpClient]:
    """A sync client."""
    with HttpClient(counting.url, trust_env=False) as client:
        yield client


def run_script(
    script: str, *arguments: str, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run a script with every warning an error; it must say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if check:
        # On a busy machine asyncio's debug mode reports what took over 0.1 s.
        said = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]
        assert (done.returncode, said) == (0, []), done.stdout
    return done


# The same face


@pytest.mark.parametrize("name", [*VERBS, "request", "map", "stream", "subscribe", "cancel_all"])
def test_both_clients_have_the_same_signatures(name: str) -> None:
    """A method takes the same parameters on both clients, with the same defaults."""
    ours = inspect.signature(getattr(HttpClient, name))
    theirs = inspect.signature(getattr(AsyncHttpClient, name))
    assert list(ours.parameters.values()) == list(theirs.parameters.values())


@pytest.mark.parametrize("name", [*VERBS, "request"])
def test_the_module_has_the_same_verbs(name: str) -> None:
    """`nbhttp.get` and its kin take what the client's methods take."""
    function = inspect.signature(getattr(nbhttp, name))
    method = inspect.signature(getattr(HttpClient, name))
    assert list(function.parameters.values()) == list(method.parameters.values())[1:]
    assert function.return_annotation == method.return_annotation


def test_the_constructors_are_the_same() -> None:
    """Both clients are made with the same options, all of them by name in the signature."""
    parameters = inspect.signature(HttpClient).parameters
    assert list(parameters.values()) == list(inspect.signature(AsyncHttpClient).parameters.values())
    assert list(parameters)[:4] == ["base_url", "timeout", "headers", "verify"]
    kinds = {p.kind for p in list(parameters.values())[4:]}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_both_clients_have_the_same_members() -> None:
    """Nothing public is on one side only, but for what closes and what crosses."""

    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(HttpClient) ^ public(AsyncHttpClient) == {"aio", "close", "aclose"}


def test_a_typo_is_refused() -> None:
    """An unknown option of the constructor is a TypeError."""
    with pytest.raises(TypeError, match="max_conections"):
        HttpClient(max_conections=3)  # type: ignore[call-arg] # the point of the test


def test_aio_is_the_same_client() -> None:
    """`.aio` shares the name, cookies and headers, and is always the same object."""
    client = HttpClient(cookies={"a": "b"}, name="mine")
    assert client.aio is client.aio
    assert client.aio.name == "mine"
    assert client.aio.cookies is client.cookies
    assert client.aio.headers is client.headers
    assert repr(client).startswith("<HttpClient mine")


# Anywhere


def test_a_get_in_plain_code(client: HttpClient, counting: CountingServer) -> None:
    """It works without a loop, with each verb, and connections are reused."""
    for verb in VERBS[:5]:
        assert getattr(client, verb)("/ok").text == "ok"
    assert client.request("GET", "/ok").success
    assert nbhttp.get(counting.url + "/ok").success
    assert counting.opened == 2  # one for the client, one for the module


def test_a_get_inside_a_running_loop(client: HttpClient) -> None:
    """It works in a coroutine, as in a notebook cell, beside awaits of the same client."""

    async def main() -> list[str]:
        return [client.get("/ok").text, (await client.aio.get("/ok")).text, client.get("/ok").text]

    assert asyncio.run(main()) == ["ok"] * 3


def test_eight_threads_at_once(client: HttpClient, counting: CountingServer) -> None:
    """Threads that call at the same moment each get their answer."""
    together = threading.Barrier(8)
    results: list[nbhttp.RequestResult] = []

    def work() -> None:
        together.wait()
        results.extend(client.get("/ok") for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [r.text for r in results] == ["ok"] * 160
    assert counting.opened <= 8


def test_a_thread_while_a_loop_awaits(client: HttpClient) -> None:
    """Sync calls in a thread and awaits on a loop may use one client at the same time."""

    async def main() -> list[nbhttp.RequestResult]:
        in_threads = [asyncio.to_thread(client.get, "/slow?ms=20") for _ in range(4)]
        awaited = [client.aio.get("/slow?ms=20") for _ in range(4)]
        return await asyncio.gather(*in_threads, *awaited)

    assert all(asyncio.run(main()))


def test_a_call_from_the_private_loop_is_refused(counting: CountingServer) -> None:
    """A sync call in an async hook of the sync client would wait for itself: a clear error."""

    async def hook(request: httpx.Request) -> None:
        nbhttp.get(counting.url + "/ok")

    client = HttpClient(counting.url, event_hooks={"request": [hook]})
    with pytest.raises(RuntimeError, match="use the async client there"):
        client.get("/ok")
    assert client.aio._state.gate.held == 0


# The user's code


class ThreadNotes:
    """Notes the thread and hands on."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    def note(self, *_: object) -> None:
        self.threads.add(threading.get_ident())


def test_hooks_auth_and_bodies_run_in_the_calling_thread(counting: CountingServer) -> None:
    """Hooks, an auth flow and a generator for the body run in the thread that calls."""
    notes = ThreadNotes()

    class Signed(httpx.Auth):
        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
            notes.note()
            yield request
            notes.note()

    def body() -> Iterator[bytes]:
        for _ in range(3):
            notes.note()
            yield b"piece"

    hooks = {"request": [notes.note], "response": [notes.note]}
    client = HttpClient(counting.url, event_hooks=hooks, auth=Signed())
    assert client.post("/ok", content=body()).success
    assert notes.threads == {threading.get_ident()}


def test_a_hook_may_call_the_client(counting: CountingServer) -> None:
    """A hook may use the same sync client for a call of its own."""
    inner = HttpClient(counting.url)
    answers: list[str] = []
    client = HttpClient(
        counting.url,
        max_connections=1,
        event_hooks={"request": [lambda _: answers.append(inner.get("/ok").text)]},
    )
    assert client.get("/ok").success
    assert answers == ["ok"]


@pytest.mark.parametrize("place", ["request", "response", "auth", "body"])
def test_what_the_users_code_raises_is_raised(counting: CountingServer, place: str) -> None:
    """An exception of the user's code leaves the call as the same object; no slot is lost."""
    error = LookupError("mine")

    def fail(*_: object) -> httpx.Request:
        raise error

    def body() -> Iterator[bytes]:
        yield b"first"
        raise error

    hooks = {place: [fail]} if place in {"request", "response"} else None
    client = HttpClient(counting.url, event_hooks=hooks, auth=fail if place == "auth" else None)
    content = body() if place == "body" else None
    with pytest.raises(LookupError) as caught:
        client.post("/ok", content=content)
    assert caught.value is error
    assert client.aio._state.gate.held == 0
    client.close()
    counting.wait_for(lambda s: s.in_flight == 0)


def test_events_are_emitted_in_the_callers_context(client: HttpClient) -> None:
    """A subscriber sees the context variables of the code that made the call."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []
    unsubscribe = client.subscribe(lambda _: seen.append(variable.get()))
    variable.set("the cell's")
    client.get("/ok")
    unsubscribe()
    client.get("/ok")
    assert seen == ["the cell's"] * 2


# Streams


def test_a_stream_is_read_piece_by_piece(client: HttpClient, counting: CountingServer) -> None:
    """`stream` gives pieces while the body is on the wire; leaving the block closes it."""
    with client.stream("GET", "/drip") as response:
        pieces = response.iter_bytes()
        assert next(pieces).startswith(b"drop")
        assert counting.in_flight == 1
    counting.wait_for(lambda s: s.in_flight == 0)
    assert client.aio._state.gate.held == 0


def test_a_live_response_counts_and_clocks(client: HttpClient) -> None:
    """It says how much has come, and how long it took once the block has ended."""
    with client.stream("GET", "/ok") as response:
        assert response.num_bytes_downloaded == 0
        with pytest.raises(RuntimeError, match="read or closed"):
            _ = response.elapsed
        size = len(next(response.iter_bytes()))
        assert response.num_bytes_downloaded == size > 0
    assert response.elapsed.total_seconds() > 0


def test_a_live_response_refuses_a_wrong_size(client: HttpClient) -> None:
    """Each of its iterators does, when it is called; what comes after works."""
    with client.stream("GET", "/ok") as response:
        for pieces in (response.iter_bytes, response.iter_text, response.iter_raw):
            with pytest.raises(nbhttp.ConfigError, match="chunk_size must be at least 1, not 0"):
                pieces(0)
        assert response.read()


def test_an_error_in_the_block_closes_the_stream(
    client: HttpClient, counting: CountingServer
) -> None:
    """What the block raises is raised, and the connection is closed."""
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught, client.stream("GET", "/drip"):
        raise error
    assert caught.value is error
    counting.wait_for(lambda s: s.in_flight == 0)
    assert client.aio._state.gate.held == 0


def test_a_dropped_stream_is_closed(client: HttpClient, counting: CountingServer) -> None:
    """A stream that nobody refers to any more is closed without a wait."""
    import gc

    manager = client.stream("GET", "/drip")
    response = manager.__enter__()
    assert response.status_code == 200
    del manager, response
    gc.collect()
    counting.wait_for(lambda s: s.in_flight == 0)


# Processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork(counting: CountingServer) -> None:
    """Parent and child go on with the same client object after a fork, and end quietly."""
    script = """
import os, sys, nbhttp
client = nbhttp.HttpClient(sys.argv[1])
assert client.get("/ok") and nbhttp.get(sys.argv[1] + "/ok")
child = os.fork()
for _ in range(3):
    assert client.get("/ok") and nbhttp.get(sys.argv[1] + "/ok")
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert client.get("/ok") and nbhttp.get(sys.argv[1] + "/ok")
    client.close()
"""
    before = counting.open
    run_script(script, counting.url)
    counting.wait_for(lambda s: s.open <= before)
    assert counting.opened == 4  # the parent kept its two


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_with_requests_in_flight(counting: CountingServer) -> None:
    """What the parent has in flight, and its slots, are not the child's."""
    script = """
import os, sys, threading, nbhttp
client = nbhttp.HttpClient(sys.argv[1], max_connections=1)
thread = threading.Thread(target=client.get, args=("/stall",), daemon=True)
thread.start()
while client.aio._state.gate.held == 0:
    pass
child = os.fork()
if not child:
    assert client.aio._state.gate.held == 0
    assert client.get("/ok")
    assert client.cancel_all() == 0
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert client.cancel_all() == 1
"""
    done = run_script(script, counting.url, check=False)
    assert done.returncode == 0, done.stderr


def get_status(url: str) -> int | None:
    return nbhttp.get(url + "/ok").status_code


@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]
)
def test_multiprocessing(counting: CountingServer, method: str) -> None:
    """Worker processes call as the parent does, however they are started."""
    assert nbhttp.get(counting.url + "/ok").success
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(get_status, [counting.url] * 4) == [200] * 4
    assert nbhttp.get(counting.url + "/ok").success


QUIET_ENDS = {
    "unclosed": "client = nbhttp.HttpClient(url); client.get('/ok'); nbhttp.get(url + '/ok')",
    "closed": "with nbhttp.HttpClient(url) as client: client.get('/ok')",
    "collected": """
import gc
client = nbhttp.HttpClient(url)
client.get('/ok')
del client
gc.collect()
""",
    "in flight in a daemon thread": """
client = nbhttp.HttpClient(url)
def work():
    client.get('/stall').raise_for_status()
import threading
threading.Thread(target=work, daemon=True).start()
while not client.aio._state.gate.held:
    pass
""",
    "a stream left open": """
client = nbhttp.HttpClient(url)
manager = client.stream('GET', '/drip')
next(manager.__enter__().iter_bytes())
""",
    "a map in flight in a daemon thread": """
client = nbhttp.HttpClient(url)
import threading
threading.Thread(target=client.map, args=([url + '/stall'] * 4,), daemon=True).start()
while client.aio._state.gate.held < 4:
    pass
""",
    "used at exit, registered before": """
import atexit
client = nbhttp.HttpClient(url)
atexit.register(lambda: print(client.get('/ok').text))
client.get('/ok')
""",
    "used at exit, registered after": """
import atexit
client = nbhttp.HttpClient(url)
client.get('/ok')
atexit.register(lambda: print(client.get('/ok').text))
""",
    "used at exit only": """
import atexit
atexit.register(lambda: print(nbhttp.get(url + '/ok').text))
""",
    "sys.exit in a thread": """
import threading, sys
def work():
    nbhttp.get(url + '/ok')
    sys.exit(3)
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "a debug loop": """
import asyncio
client = nbhttp.AsyncHttpClient(url)
async def main():
    return await client.get('/ok')
asyncio.run(main(), debug=True)
asyncio.run(main(), debug=True)
""",
}


@pytest.mark.parametrize("end", QUIET_ENDS)
def test_the_interpreter_ends_quietly(counting: CountingServer, end: str) -> None:
    """However a script ends, nothing is written to stderr, and every connection closes."""
    before = counting.open
    done = run_script("import sys, nbhttp\nurl = sys.argv[1]\n" + QUIET_ENDS[end], counting.url)
    if "used at exit" in end:
        assert done.stdout.split() == ["ok"]
    counting.wait_for(lambda s: s.open <= before)


# Interrupts


INTERRUPTED = """
import sys, nbhttp
client = nbhttp.HttpClient(sys.argv[1], timeout=None)
assert client.get("/ok")
try:
    {call}
except KeyboardInterrupt:
    print("interrupted")
else:
    sys.exit("it was not interrupted")
state = client.aio._state
assert state.gate.held == state.gate.queued == 0, state.gate.held
assert client.get("/ok")
"""
CALLS = {
    "waiting": "client.get('/stall')",
    "receiving": "client.get('/half')",
    "sending": "client.post('/sink', content=b'x' * 100_000_000)",
    "streaming": "[None for _ in client.stream('GET', '/drip').__enter__().iter_bytes()]",
    "mapping": "client.map(['/stall'] * 8)",
    "module": "nbhttp.get(sys.argv[1] + '/stall', timeout=None)",
    "running": "nbhttp.run(client.aio.get('/stall'))",
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("call", CALLS)
def test_an_interrupt_ends_a_sync_call(counting: CountingServer, call: str) -> None:
    """SIGINT raises KeyboardInterrupt, closes the connection and spares the client.

    The calls have no limit and would never end by themselves.
    """
    script = INTERRUPTED.format(call=CALLS[call])
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, counting.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        path = {"receiving": "/half", "sending": "/sink", "streaming": "/drip"}.get(call, "/stall")
        number = 8 if call == "mapping" else 1
        counting.wait_for(lambda s: s.requests.count(path) == number)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "interrupted\n", "")
    counting.wait_for(lambda s: s.in_flight == 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_sync_call_within_anyio(counting: CountingServer, backend: str) -> None:
    """The name of the caller's library does not go along to nbhttp's own loop."""

    async def main() -> list[bool]:
        with HttpClient(counting.url, trust_env=False) as client:
            lines = list(client.lines("/ok"))
            return [client.get("/ok").success, len(lines) == 1, len(client.map(["/ok"]).ok) == 1]

    assert anyio.run(main, backend=backend) == [True] * 3


# nbhttp.run


async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


def test_run_without_a_loop() -> None:
    """With no loop running, a coroutine is simply run."""
    assert nbhttp.run(add(1, 2)) == 3


def test_run_takes_a_coroutine() -> None:
    """Anything else is refused."""
    with pytest.raises(TypeError, match=r"like run\(main\(\)\)"):
        nbhttp.run(add)  # type: ignore[arg-type] # the point of the test


NESTED = """
import asyncio, sys
original = asyncio.run
import nbhttp
client = nbhttp.HttpClient(sys.argv[1])
client.get("/ok")
async def inner():
    await asyncio.sleep(0)
    return (await client.aio.get("/ok")).text
async def main():
    other = asyncio.create_task(inner())
    assert asyncio.run is original
    assert not hasattr(asyncio, "_nest_patched")
    print(nbhttp.run(inner()), await other, nbhttp.run(inner()))
    try:
        nbhttp.run(fail())
    except LookupError as exc:
        print(exc.args[0])
async def fail():
    raise LookupError("mine")
asyncio.run(main())
"""


def test_run_nests_in_a_running_loop(counting: CountingServer) -> None:
    """In a running loop it nests there; nothing is patched before that."""
    done = run_script(NESTED, counting.url, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ok", "ok", "ok", "mine"]


TURN = """
import asyncio
import nbhttp
async def main():
    loop = asyncio.get_running_loop()
    called, over = [], asyncio.Event()
    def cell():
        nbhttp.run(asyncio.sleep(0))
        over.set()
    for callback in (cell, lambda: called.append(1), lambda: called.append(2)):
        loop.call_soon(callback)
    await over.wait()
    print(called)
asyncio.run(main())
"""


def test_run_leaves_the_turn_of_the_loop_that_is_under_way() -> None:
    """Callbacks of that turn that the nested run has called are not missed by asyncio."""
    done = run_script(TURN, "", check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[1,", "2]"]


UVLOOP = """
import asyncio, trio, uvloop
import nbhttp.sync
async def main():
    try:
        nbhttp.run(asyncio.sleep(0))
    except RuntimeError as exc:
        print(exc)
    assert not hasattr(asyncio, "_nest_patched")
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
async def main():
    try:
        nbhttp.run(asyncio.sleep(0))
    except RuntimeError as exc:
        print(exc)
trio.run(main)
"""


def test_run_refuses_what_cannot_be_nested() -> None:
    """On uvloop and trio it says so and names the alternative, and nothing is patched."""
    pytest.importorskip("uvloop")
    lines = run_script(UVLOOP).stdout.splitlines()
    assert lines[0].startswith("uvloop's event loop cannot be nested; await the coroutine")
    assert lines[1].startswith("trio's event loop cannot be nested; await the coroutine")


def test_nothing_is_patched(counting: CountingServer) -> None:
    """Importing nbhttp and using it leaves asyncio as it was, and loads no nest-asyncio."""
    script = """
import asyncio, sys
before = dict(vars(asyncio)), asyncio.get_event_loop_policy()
import nbhttp
assert nbhttp.get(sys.argv[1] + "/ok")
after = {k: v for k, v in vars(asyncio).items() if k in before[0]}
assert after == before[0]
assert asyncio.get_event_loop_policy() is before[1]
assert "nest_asyncio2" not in sys.modules
"""
    run_script(script, counting.url)
