"""The task manager for plain code: the same names, from any thread."""

import ast
import asyncio
import inspect
import math
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import anyio
import pytest

import nbhttp.errors
from nbhttp.errors import DuplicateTaskError, TaskError
from nbhttp.sync_tasks import TaskManager
from nbhttp.tasks import AnyioTaskManager


async def double(number: int) -> int:
    await anyio.sleep(0)
    return number * 2


def test_tasks_by_id() -> None:
    """Add, wait, cancel, status and repr work without await."""
    with TaskManager() as manager:
        manager.add_task("a", double, 21)
        assert manager.wait("a").result == 42
        manager.add_task("b", anyio.sleep, math.inf)
        with pytest.raises(DuplicateTaskError):
            manager.add_task("b", double, 1)
        assert repr(manager) == "TaskManager: 1 running, 1 completed"
        assert manager.cancel_task("b")
        assert manager.wait("b").state == "cancelled"
        manager.add_task("c", anyio.sleep, math.inf)
    assert [info.state for info in manager.status().values()] == [
        "completed",
        "cancelled",
        "cancelled",
    ]
    with pytest.raises(TaskError, match="not started") as caught:
        manager.add_task("late", double, 1)
    assert "await manager" not in str(caught.value.hint)  # this manager needs none


def test_fan_out_in_order_and_as_they_finish() -> None:
    """gather, map and imap take plain and async functions; generators run off the loop."""
    threads: set[int] = set()

    def numbers() -> Iterator[int]:
        for number in range(5):
            threads.add(threading.get_ident())
            yield number

    manager = TaskManager()
    assert manager.map(double, numbers(), 2) == [0, 2, 4, 6, 8]
    assert threads == {threading.get_ident()}
    assert manager.gather(lambda number: 6 // number, [1, 2, 3]) == [6, 3, 2]
    assert isinstance(manager.gather(lambda number: 6 // number, [0])[0], ZeroDivisionError)
    assert sorted(manager.imap(double, numbers(), 2)) == [0, 2, 4, 6, 8]
    for _ in manager.imap(double, range(1000), 2):
        break
    with manager.imap(double, range(1000), 2) as results:
        assert next(results) in {0, 2}
    assert list(results) == []


def test_iterables_with_a_length_run_off_the_loop_too() -> None:
    """A lazy data set may block, and keeps its length: what has not begun is a TimeoutError."""
    threads: set[int] = set()

    class Lazy:
        def __len__(self) -> int:
            return 5

        def __iter__(self) -> Iterator[int]:
            for number in range(5):
                threads.add(threading.get_ident())
                yield number

    async def work(number: int) -> int:
        await anyio.sleep(0 if number == 0 else math.inf)
        return number

    manager = TaskManager()
    assert manager.map(double, Lazy()) == [0, 2, 4, 6, 8]
    assert threads == {threading.get_ident()}
    results = manager.gather(work, Lazy(), concurrency=2, total_timeout=0.5)
    assert results[0] == 0
    assert [type(result) for result in results[1:]] == [nbhttp.errors.TimeoutError] * 4


def test_threads_and_processes() -> None:
    """A call in a thread or a process returns its result or a TimeoutError."""
    manager = TaskManager()
    assert manager.run_in_thread(threading.get_ident) != threading.get_ident()
    assert manager.run_in_process(os.getpid) != os.getpid()
    with pytest.raises(TimeoutError):
        manager.run_in_thread(threading.Event().wait, 0.2, timeout=0.01)


def test_the_same_names_as_the_async_manager() -> None:
    """Whatever the async manager offers, the sync one does."""
    names = {name for name in dir(AnyioTaskManager) if not name.startswith("_")}
    assert names <= set(dir(TaskManager))


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Each block of docs/tasks.md runs and prints what its comments say."""
    page = Path(__file__).parents[2].joinpath("docs/tasks.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        code = compile(block, "tasks.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        run = FunctionType(code, {"__name__": "__main__"})
        result = run()
        if inspect.iscoroutine(result):
            asyncio.run(result)
        printed = capsys.readouterr().out
        for line in re.findall(r"print\(.*# (.*)", block):
            if "prints as" not in line:
                assert line.split("(…")[0] in printed
