"""nbhttp in a real kernel: sync and awaited calls, stopped and gone on with."""

import contextlib
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel
from nbclient import NotebookClient
from servers.counting import CountingServer, running_counting_server

TIMEOUT_S = 60


@dataclass
class Outcome:
    """What a cell put out."""

    text: str = ""
    error: str = ""
    traceback: str = ""


class Kernel:
    """Runs cells in a kernel, and stops them."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager = manager
        self._client = client

    def start(self, code: str) -> str:
        """Start a cell and return its id."""
        cell: str = self._client.execute(code)
        return cell

    def finish(self, cell: str) -> Outcome:
        """Wait for the end of a cell."""
        outcome = Outcome()
        while True:
            message = self._message()
            if message["parent_header"].get("msg_id") != cell:
                continue
            content, kind = message["content"], message["msg_type"]
            if kind == "stream":
                outcome.text += content["text"]
            elif kind == "execute_result":
                outcome.text += content["data"]["text/plain"]
            elif kind == "error":
                outcome.error = content["ename"]
                outcome.traceback = "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                return outcome

    def run(self, code: str) -> str:
        """Run a cell that must succeed; return what it put out."""
        outcome = self.finish(self.start(code))
        assert not outcome.error, outcome.traceback
        return outcome.text

    def stop(self) -> None:
        """Press the stop button."""
        self._manager.interrupt_kernel()

    def is_alive(self) -> bool:
        """Whether the kernel's process runs."""
        return self._manager.is_alive()

    def _message(self) -> dict[str, Any]:
        try:
            message: dict[str, Any] = self._client.get_iopub_msg(timeout=TIMEOUT_S)
        except queue.Empty:
            pytest.fail(f"the kernel said nothing for {TIMEOUT_S} s")
        return message


@contextlib.contextmanager
def running_kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel()
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    """A server that counts."""
    with running_counting_server() as server:
        yield server


@pytest.fixture
def kernel(server: CountingServer) -> Iterator[Kernel]:
    """A kernel with a client for the server."""
    server.reset()
    with running_kernel() as kernel:
        kernel.run(
            f"import asyncio, nbhttp; client = nbhttp.HttpClient({server.url!r}, timeout=None)"
        )
        yield kernel


def test_sync_and_await_in_one_notebook(server: CountingServer) -> None:
    """A sync get in a cell, `await` in the next with the same client, and both in one."""
    cells = [
        f"import nbhttp\nclient = nbhttp.HttpClient({server.url!r})\nprint(client.get('/ok').text)",
        "print((await client.aio.get('/ok')).text)",
        "print(client.get('/ok').text, (await client.aio.get('/ok')).text)",
        "print([r.text for r in await client.aio.map(['/ok'] * 3)], client.map(['/ok']).ok[0].text)",
        "with client.stream('GET', '/ok') as r: print(r.read())",
        "async with client.aio.stream('GET', '/ok') as r: print(await r.aread())",
        "print(nbhttp.run(client.aio.get('/ok')).text)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=TIMEOUT_S).execute()
    texts = ["".join(o["text"] for o in c["outputs"]).strip() for c in notebook["cells"]]
    assert texts == [
        "ok", "ok", "ok ok", "['ok', 'ok', 'ok'] ok", "b'ok'", "b'ok'", "ok"
    ]  # fmt: skip


@dataclass
class Stop:
    """A cell to be stopped, what its user sees, and the path that is asked for."""

    code: str
    error: str
    path: str = "/stall"
    number: int = 1


STOPS = {
    "a sync get": Stop("client.get('/stall')", "KeyboardInterrupt"),
    "a sync get, receiving": Stop("client.get('/half')", "KeyboardInterrupt", "/half"),
    "an awaited get": Stop("await client.aio.get('/stall')", "CancelledError"),
    "an awaited get, receiving": Stop("await client.aio.get('/half')", "CancelledError", "/half"),
    "awaited gets, gathered": Stop(
        "await asyncio.gather(*(client.aio.get('/stall') for _ in range(5)))",
        "CancelledError",
        number=5,
    ),
    "awaited gets, in a task group": Stop(
        "async with asyncio.TaskGroup() as group:\n"
        "    for _ in range(5):\n"
        "        group.create_task(client.aio.get('/stall'))",
        "CancelledError",
        number=5,
    ),
    "nbhttp.run": Stop("nbhttp.run(client.aio.get('/stall'))", "KeyboardInterrupt"),
    "a sync stream": Stop(
        "with client.stream('GET', '/drip') as r:\n    for piece in r.iter_bytes(): pass",
        "KeyboardInterrupt",
        "/drip",
    ),
    "an awaited stream": Stop(
        "async with client.aio.stream('GET', '/drip') as r:\n"
        "    async for piece in r.aiter_bytes(): pass",
        "CancelledError",
        "/drip",
    ),
    "an awaited stream that stalls": Stop(
        "async with client.aio.stream('GET', '/half') as r:\n"
        "    async for piece in r.aiter_bytes(): pass",
        "CancelledError",
        "/half",
    ),
    "a sync map": Stop("client.map(['/stall'] * 5)", "KeyboardInterrupt", number=5),
    "an awaited map": Stop("await client.aio.map(['/stall'] * 5)", "CancelledError", number=5),
}


@pytest.mark.slow
def test_a_stopped_cell_leaves_a_working_client(kernel: Kernel, server: CountingServer) -> None:
    """The stop button ends each kind of call at once, closes its connections, and all goes on."""
    for name, stop in STOPS.items():
        server.reset()
        cell = kernel.start(stop.code)
        server.wait_for(lambda s, stop=stop: s.requests.count(stop.path) == stop.number)
        kernel.stop()
        outcome = kernel.finish(cell)
        assert outcome.error == stop.error, (name, outcome.traceback)
        server.wait_for(lambda s: s.in_flight == 0)
        assert kernel.run("client.aio._state.gate.held, client.aio._state.gate.queued") == "(0, 0)"
        assert kernel.run("print(client.get('/ok').text, (await client.aio.get('/ok')).text)") == (
            "ok ok\n"
        ), name
    assert kernel.is_alive()


def test_a_stopped_await_says_what_was_stopped(kernel: Kernel, server: CountingServer) -> None:
    """The bare CancelledError of a stopped cell names the request and says that all is well."""
    cell = kernel.start("await client.aio.get('/stall?token=hunter2hunter2')")
    server.wait_for(lambda s: s.in_flight == 1)
    kernel.stop()
    outcome = kernel.finish(cell)
    assert "/stall" in outcome.traceback
    assert "its connection is closed and the client usable" in outcome.traceback
    assert "token=hunter2hunter2 was" not in outcome.traceback


def test_run_ends_the_coroutine_before_the_interrupt_leaves(
    kernel: Kernel, server: CountingServer
) -> None:
    """A stopped `nbhttp.run` has cancelled and awaited its coroutine when it raises."""
    kernel.run(
        "ended = []\n"
        "async def main():\n"
        "    try:\n"
        "        await client.aio.get('/stall')\n"
        "    finally:\n"
        "        await asyncio.sleep(0.01)\n"
        "        ended.append('cleaned up')\n"
    )
    cell = kernel.start("try:\n    nbhttp.run(main())\nexcept KeyboardInterrupt:\n    print(ended)")
    server.wait_for(lambda s: s.in_flight == 1)
    kernel.stop()
    assert kernel.finish(cell).text == "['cleaned up']\n"


def test_cancel_all_from_a_thread_ends_a_cell(kernel: Kernel, server: CountingServer) -> None:
    """Where no signal comes, `cancel_all()` ends what a cell waits for."""
    kernel.run(
        "import threading\n"
        "def soon():\n"
        "    while not client.aio._state.gate.held: pass\n"
        "    print(client.cancel_all())\n"
    )
    for call in ("client.get('/stall')", "await client.aio.get('/stall')"):
        cell = kernel.start(f"t = threading.Thread(target=soon); t.start()\n{call}")
        outcome = kernel.finish(cell)
        assert outcome.error == "CancelledError"
        assert "cancelled by cancel_all()" in outcome.traceback
        kernel.run("t.join()")
    server.wait_for(lambda s: s.in_flight == 0)
