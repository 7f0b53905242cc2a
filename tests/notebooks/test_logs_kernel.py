"""The console log in a real kernel: each line in the output of the cell that asked for it."""

import queue
from collections.abc import Iterator

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

TIMEOUT_S = 60


class Kernel:
    """Runs cells and keeps what each of them has put out so far."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        self.outputs: dict[str, str] = {}
        self.streams: set[str] = set()

    def run(self, code: str) -> str:
        """Run a cell to its end and return its id."""
        cell = self._client.execute(code)
        self.outputs[cell] = ""
        while not self._take_message(cell):
            pass
        return cell

    def _take_message(self, cell: str) -> bool:
        """Take one message; whether it says that the cell has ended."""
        try:
            message = self._client.get_iopub_msg(timeout=TIMEOUT_S)
        except queue.Empty:
            pytest.fail(f"the kernel said nothing for {TIMEOUT_S} s; so far: {self.outputs}")
        parent = message["parent_header"].get("msg_id", "")
        content = message["content"]
        if message["msg_type"] == "stream":
            self.outputs[parent] = self.outputs.get(parent, "") + content["text"]
            self.streams.add(content["name"])
        elif message["msg_type"] == "error":
            pytest.fail("\n".join(content["traceback"]))
        return (
            parent == cell
            and message["msg_type"] == "status"
            and content["execution_state"] == "idle"
        )


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A fresh kernel."""
    manager, client = start_new_kernel()
    try:
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


SETUP = """
import asyncio, contextvars, threading
import nbhttp
from nbhttp.logs import LoggerManager

async def answer(reader, writer):
    line = await reader.readline()
    while (await reader.readline()).strip():
        pass
    if b"/later" in line:
        await release.wait()
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nhi")
    await writer.drain()
    writer.close()

release = asyncio.Event()
server = await asyncio.start_server(answer, "127.0.0.1", 0)
url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
client = nbhttp.AsyncHttpClient(url)
"""


def test_a_background_request_writes_into_the_cell_that_started_it(kernel: Kernel) -> None:
    """A task and a thread of cell 1 end while cell 2 runs; their lines are cell 1's."""
    kernel.run(SETUP)
    configured = kernel.run("LoggerManager.configure()\nLoggerManager.configure()")
    first = kernel.run("""
async def in_task():
    result = await client.get("/later?task")
    LoggerManager.logger().info("task done")
    return result
task = asyncio.create_task(in_task())
run = contextvars.copy_context().run
thread = threading.Thread(target=run, args=(nbhttp.get, url + "/later?thread"))
thread.start()
""")
    second = kernel.run("""
await client.get("/now")
release.set()
await task
await asyncio.to_thread(thread.join)
""")
    kernel.run("await client.aclose()\nLoggerManager.shutdown()")
    assert kernel.outputs[configured] == ""
    lines = sorted(line[9:] for line in kernel.outputs[first].splitlines())
    assert [line.split()[0] for line in lines] == ["INFO"] * 3
    assert [("/later?task" in text, "/later?thread" in text) for text in lines] == [
        *([(True, False), (False, True)]),
        (False, False),
    ]
    assert lines[2] == "INFO    task done"
    (only,) = kernel.outputs[second].splitlines()
    assert "/now 200, 2 bytes in" in only


def test_a_notebook_keeps_plain_lines(kernel: Kernel) -> None:
    """No colour codes are saved, and no red box of stderr, one line for each request."""
    kernel.run(SETUP)
    cell = kernel.run("""
LoggerManager.configure()
await client.get("/one")
await asyncio.to_thread(nbhttp.get, url + "/two")
print("after")
""")
    text = kernel.outputs[cell]
    one, two, after = text.splitlines()
    assert "/one 200, 2 bytes" in one
    assert "/two 200, 2 bytes" in two
    assert after == "after"
    assert "\x1b" not in text
    assert kernel.streams == {"stdout"}
