"""Streams in a real kernel: shown while they run, stopped by an interrupt, static when saved."""

import re
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from servers.counting import CountingServer, running_counting_server

from nbhttp.testing import DemoServer

TIMEOUT_S = 60


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    """A server that knows what is open."""
    with running_counting_server() as server:
        yield server


class Front:
    """A front end with somebody before it."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    def start(self, code: str) -> str:
        """Ask for a cell."""
        message_id: str = self.client.execute(code, allow_stdin=True)
        return message_id

    def messages(self, message_id: str, until: str = "idle") -> Iterator[Any]:
        """Yield what the kernel says of a cell, until it is done or shows `until`."""
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT_S)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return
            yield message
            if until in str(content.get("data", {}).get("text/plain", "")):
                return

    def run(self, code: str) -> list[Any]:
        """Run a cell to its end."""
        return list(self.messages(self.start(code)))


@pytest.fixture
def front() -> Iterator[Front]:
    """A kernel, asked by a front end that can ask its user."""
    manager, client = start_new_kernel()
    try:
        yield Front(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def shown(messages: list[Any]) -> list[str]:
    """Return the texts displayed and updated, in order."""
    kinds = ("display_data", "update_display_data")
    return [m["content"]["data"]["text/plain"] for m in messages if m["msg_type"] in kinds]


@pytest.mark.slow
def test_one_output_is_brought_up_to_date(front: Front, demo: DemoServer) -> None:
    """A token stream: displayed once, updated at most ten times a second, static at the end."""
    front.run("import nbhttp\nclient = nbhttp.AsyncHttpClient()")
    code = f"seen = await nbhttp.live(client.sse('{demo.url}/streams/assistant?interval=0.05'))"
    messages = front.run(code)
    assert [m["msg_type"] for m in messages].count("display_data") == 1
    assert not [m for m in messages if m["msg_type"] in ("stream", "error", "execute_result")]
    texts = shown(messages)
    (seconds,) = (
        m["content"]["data"]["text/plain"]
        for m in front.run("seen.seconds")
        if m["msg_type"] == "execute_result"
    )
    assert 2 < len(texts) <= 2 + 10 * float(seconds)
    assert all("not complete, as of" in text for text in texts[:-1])
    lengths = [len(t) for t in texts[:-1]]
    assert lengths == sorted(lengths)
    assert texts[-1].startswith("ended  GET http://127.0.0.1")
    assert "Have a good ride!" in texts[-1]
    ids = {m["content"]["transient"]["display_id"] for m in messages if "transient" in m["content"]}
    assert len(ids - {None}) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "await nbhttp.live(aio.stream_request('GET', url, 1))",
        "nbhttp.live(client.lines(url))",
        "async for piece in aio.stream_request('GET', url, 1): await tick()",
        "async for piece in aio.stream_request('GET', url, 10**9): pass",
        "async for piece in aio.stream_request('GET', url, 1): pass",
        "for piece in client.stream_request('GET', url, 1): pass",
        "for piece in client.stream_request('GET', url, 10**9): pass",
        "s = client.stream_request('GET', url, 1)\nfor piece in s: time.sleep(0.001)",
    ],
)
def test_an_interrupt_stops_it_and_closes_the_connection(
    front: Front, server: CountingServer, code: str
) -> None:
    """However the stream is read, which has no end of its own; the next cell works."""
    server.reset()
    front.run(
        "import asyncio, time, nbhttp\n"
        "aio, client = nbhttp.AsyncHttpClient(), nbhttp.HttpClient()\n"
        f"url = '{server.url}/drip'\n"
        "async def tick(): await asyncio.sleep(0.001)"
    )
    message_id = front.start(code)
    server.wait_for(lambda s: s.drops > 30)  # into the loop
    front.manager.interrupt_kernel()
    server.wait_for(lambda s: s.in_flight == 0 and s.open == 0)
    messages = list(front.messages(message_id))
    errors = [m["content"]["ename"] for m in messages if m["msg_type"] == "error"]
    assert errors in (["KeyboardInterrupt"], ["CancelledError"])
    if "live" in code:
        assert shown(messages)[-1].startswith("stopped  GET http://127.0.0.1")
    answer = front.run("print(client.get(url.replace('drip', 'ok')).status_code)")
    assert [m["content"]["text"] for m in answer if m["msg_type"] == "stream"] == ["200\n"]


CELLS = [
    "import nbhttp\nclient = nbhttp.AsyncHttpClient(url)",
    "await nbhttp.live(client.sse('/streams/assistant?interval=0'))",
    "seen = await nbhttp.live(client.ndjson('/exports/trips.ndjson'), last=3)",
    "await nbhttp.live(client.sse('/streams/ticker?events=5&interval=0'))",
    "await nbhttp.live(client.lines('/streams/log?lines=5&interval=0'))",
    "nbhttp.live(nbhttp.stream_request('GET', url + '/exports/trips.ndjson'))",
    "seen.number, len(seen.records), seen.outcome",
]


@pytest.mark.slow
def test_what_is_saved_is_static_and_bounded(demo: DemoServer) -> None:
    """An executed notebook keeps one output a stream: text and HTML that say how it ended."""
    cells = [f"url = '{demo.url}'\n{CELLS[0]}", *CELLS[1:]]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    NotebookClient(notebook, timeout=TIMEOUT_S).execute()
    texts = []
    for cell in notebook.cells[1:-1]:
        (output,) = cell.outputs
        assert output.output_type == "display_data"
        assert sorted(output.data) == ["text/html", "text/plain"]
        assert "<script" not in output.data["text/html"]
        assert len(output.data["text/html"]) <= 48_000
        assert output.data["text/plain"].startswith("ended  GET http://127.0.0.1")
        texts.append(output.data["text/plain"])
    assert "Have a good ride!" in texts[0]
    assert "the last 3 of" in texts[1]
    assert "all 5 events" in texts[2]
    assert "WARNING" in texts[3]
    assert re.search(r"^\d+ pieces? · 122 KB · ", texts[4], re.MULTILINE)
    assert notebook.cells[-1].outputs[0].data["text/plain"].endswith("3, 'ended')")
