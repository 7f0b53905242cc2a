"""The task manager in a real kernel, where each cell is a task of its own."""

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    """\
import anyio, asyncio
from nbhttp.tasks import AnyioTaskManager
manager = AnyioTaskManager()
await manager.start()""",
    """\
async def work(n):
    await anyio.sleep(0.001)
    return n + 1

factor = 2

def crunch(n):
    return n * factor

manager.add_task("short", work, 1)
manager.add_task("long", anyio.sleep, 600)
manager.add_task("process", manager.run_in_process, crunch, 21)""",
    """(await manager.wait("short")).result, (await manager.wait("process")).result""",
    """\
async for n in manager.imap(work, range(1000), 5):
    break
n > 0""",
    """\
await manager.shutdown()
manager""",
    "manager.status()",
    """[task for task in asyncio.all_tasks() if "nbhttp" in task.get_name()]""",
]


@pytest.mark.slow
def test_start_add_and_shutdown_in_three_cells() -> None:
    """A manager lives across cells, runs a cell's function in a process, and leaves no task."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    texts = [
        next((out["data"]["text/plain"] for out in cell.outputs if "data" in out), "")
        for cell in notebook.cells
    ]
    assert texts[0] == "AnyioTaskManager: nothing to do"
    assert texts[1].startswith("TaskInfo('process', running")
    assert texts[2] == "(2, 42)"
    assert texts[3] == "True"
    assert texts[4].splitlines()[0] == "AnyioTaskManager: not started; 2 completed, 1 cancelled"
    assert [line.split()[:2] for line in texts[5].splitlines()[1:]] == [
        ["long", "cancelled"],
        ["short", "completed"],
        ["process", "completed"],
    ]
    assert texts[6] == "[]"
