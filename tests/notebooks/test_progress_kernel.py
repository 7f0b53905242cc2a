"""Progress in notebooks that nobody watches, and in kernels of each kind of front end."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from servers.gated import GatedServer

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIMEOUT_S = 60


@pytest.fixture
def gated() -> Iterator[GatedServer]:
    """A server that stops half-way until it is released."""
    with GatedServer().running() as server:
        yield server


def executed(folder: Path, *sources: str) -> Any:
    """Run a notebook by nbclient and return it; an error in a cell stays in its outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT_S,
        resources={"metadata": {"path": str(folder)}},
        allow_errors=True,
        coalesce_streams=True,
    )
    client.execute()
    return notebook


class _Killer(NotebookClient):
    """Kills its kernel as soon as something is displayed."""

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        taken = super().process_message(msg, cell, cell_index)
        if msg["msg_type"] == "display_data":
            os.kill(self.km.provisioner.pid, signal.SIGKILL)
        return taken


def test_an_executed_notebook_keeps_a_sentence(gated: GatedServer, tmp_path: Path) -> None:
    """Sync, async and upload: each cell has one static output, and no widget was ever there."""
    gated.release()
    notebook = executed(
        tmp_path,
        f"import nbhttp\nurl = '{gated.url}'",
        "d = nbhttp.download_file(url + '/a.bin', 'a/')",
        "async with nbhttp.AsyncHttpClient() as c:\n"
        "    d = await c.download_file(url + '/b.bin', 'b/')",
        "r = nbhttp.post(url + '/up', content=b'x' * 2_000_000, progress=True)",
        "d = nbhttp.download_file(url + '/a.bin', 'a/')",
    )
    sentences = []
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert output.output_type == "display_data"
        assert sorted(output.data) == ["text/html", "text/plain"]
        assert "<script" not in output.data["text/html"]
        assert len(output.data["text/html"]) < 3000
        sentences.append(output.data["text/plain"])
    first, second, third, fourth = sentences
    assert re.fullmatch(r"a\.bin: 12 MB in .* s, complete", first)
    assert re.fullmatch(r"b\.bin: 12 MB in .* s, complete", second)
    assert re.fullmatch(r"POST 127\.0\.0\.1:\d+/up: 2\.0 MB in .* s, sent", third)
    assert fourth == "a.bin: 12 MB, already there"
    assert "widgets" not in notebook.metadata


def test_a_kernel_that_dies_leaves_the_truth(gated: GatedServer, tmp_path: Path) -> None:
    """What was displayed half-way says that it is not complete, and what to do."""
    source = f"import nbhttp\nnbhttp.download_file('{gated.url}/a.bin', 'a/')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = _Killer(notebook, resources={"metadata": {"path": str(tmp_path)}})
    with pytest.raises(DeadKernelError):
        client.execute()
    (output,) = notebook.cells[0].outputs
    text = output.data["text/plain"]
    assert re.search(r"Not complete, as of .*\. If it stands still, run again to resume\.", text)
    assert WIDGET_VIEW not in output.data


def test_silence_and_functions_display_nothing(gated: GatedServer, tmp_path: Path) -> None:
    """progress=False is silent; a function gets events and may display what it likes."""
    gated.release()
    notebook = executed(
        tmp_path,
        f"import nbhttp\nurl = '{gated.url}'\nseen = []",
        "d = nbhttp.download_file(url + '/a.bin', 'a/', progress=False)",
        "d = nbhttp.download_file(url + '/b.bin', 'b/', progress=seen.append)",
        "print(type(seen[-1]).__name__, seen[-1].success)",
    )
    assert notebook.cells[1].outputs == notebook.cells[2].outputs == []
    assert notebook.cells[3].outputs[0].text == "DownloadFinished True\n"


LOOK = "from nbhttp.progress.auto import surroundings\nprint(surroundings())"


@pytest.mark.parametrize("is_watched", [True, False])
def test_a_front_end_that_can_ask_is_watched(is_watched: bool) -> None:
    """JupyterLab, VS Code and qtconsole set allow_stdin in what they ask; nbclient does not."""
    manager, client = start_new_kernel()
    try:
        cell = client.execute(LOOK, allow_stdin=is_watched)
        text = ""
        while True:
            message = client.get_iopub_msg(timeout=TIMEOUT_S)
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] == "stream":
                text += message["content"]["text"]
            if message["content"].get("execution_state") == "idle":
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
    assert "has_kernel=True" in text
    assert f"is_watched={is_watched}" in text


@pytest.mark.skipif(sys.platform == "win32", reason="a kernel is interrupted by a signal")
@pytest.mark.parametrize(
    ("call", "options"),
    [
        ("nbhttp.download_file", ""),
        # ipykernel sees a signal in an `await` when its loop wakes next: at the next attempt.
        ("await nbhttp.AsyncHttpClient().download_file", ", timeout=1"),
    ],
)
def test_an_interrupt_ends_the_bar_and_its_widgets(
    call: str, options: str, gated: GatedServer, tmp_path: Path
) -> None:
    """The output of the bar becomes what to do, and every widget that was opened is closed."""
    manager, client = start_new_kernel(cwd=str(tmp_path))
    shown: dict[str, dict[str, str]] = {}
    is_open: set[str] = set()
    is_interrupted = False
    try:
        source = f"import nbhttp\nd = {call}('{gated.url}/a.bin', 'a/', segments=1{options})"
        cell = client.execute(source, allow_stdin=True)
        while True:
            message = client.get_iopub_msg(timeout=TIMEOUT_S)
            kind, content = message["msg_type"], message["content"]
            if kind in {"display_data", "update_display_data"}:
                assert message["parent_header"]["msg_id"] == cell
                shown[content["transient"]["display_id"]] = content["data"]
                if kind == "display_data":
                    assert WIDGET_VIEW in content["data"]
            elif kind == "comm_open":
                is_open.add(content["comm_id"])
            elif kind == "comm_close":
                is_open.remove(content["comm_id"])
            elif not is_interrupted and kind == "comm_msg" and "6.0" in str(content["data"]):
                is_interrupted = True
                manager.interrupt_kernel()
            is_idle = content.get("execution_state") == "idle"
            if is_idle and message["parent_header"].get("msg_id") == cell:
                break
        (data,) = shown.values()
        assert sorted(data) == ["text/html", "text/plain"]
        sentence = r"a\.bin: stopped at [\d.]+ MB of 12 MB; run again to resume"
        assert re.fullmatch(sentence, data["text/plain"])
        assert is_open == set()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_an_output_widget_keeps_the_sentence(gated: GatedServer, tmp_path: Path) -> None:
    """It drops updates of what was displayed: there the bar's widget becomes the sentence."""
    gated.release()
    shown, updates, html, closed = executed_with_widgets(
        tmp_path,
        "import ipywidgets, nbhttp\n"
        "with ipywidgets.Output():\n"
        f"    d = nbhttp.download_file('{gated.url}/a.bin', 'a/')\n"
        "    s = nbhttp.live(iter(['a ', 'stream']))\n"
        f"d = nbhttp.download_file('{gated.url}/b.bin', 'b/')",
    )
    file, stream, outside = shown
    assert sorted(file) == sorted(stream) == [WIDGET_VIEW, "text/plain"]
    assert file[WIDGET_VIEW]["model_id"] not in closed
    assert [text for text in html if "<strong>a.bin</strong>" in text and ", complete" in text]
    assert "a stream" in html[-1]
    assert outside[WIDGET_VIEW]["model_id"] in closed
    assert [re.sub("in .* s", "in 1 s", data["text/plain"]) for data in updates] == [
        "b.bin: 12 MB in 1 s, complete"
    ]


def executed_with_widgets(folder: Path, source: str) -> tuple[Any, Any, list[str], set[str]]:
    """Run a cell for a front end with widgets.

    Returns:
        What it displays, what updates that, the values of ipywidgets.HTML, and models closed.
    """
    manager, client = start_new_kernel(cwd=str(folder))
    shown: list[Any] = []
    updates: list[Any] = []
    html: list[str] = []
    closed: set[str] = set()
    try:
        cell = client.execute(source, allow_stdin=True)
        while True:
            message = client.get_iopub_msg(timeout=TIMEOUT_S)
            kind, content = message["msg_type"], message["content"]
            if kind == "display_data":
                shown.append(content["data"])
            elif kind == "update_display_data":
                updates.append(content["data"])
            elif kind in {"comm_open", "comm_msg"}:
                html.append(str(content["data"].get("state", {}).get("value", "")))
            elif kind == "comm_close":
                closed.add(content["comm_id"])
            is_idle = content.get("execution_state") == "idle"
            if is_idle and message["parent_header"].get("msg_id") == cell:
                return shown, updates, [text for text in html if "nbhttp-" in text], closed
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
