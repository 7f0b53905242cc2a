"""Calls in other processes: values, errors, functions by value, and that a stopped one is gone."""

import asyncio
import functools
import json
import os
import subprocess
import sys
import threading
import time
import xml
import xml.etree.ElementTree  # noqa: ICN001 - reached through its package, as below
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from nbhttp._tasks.loops import Loop
from nbhttp._tasks.shipping import dumps
from nbhttp.errors import TaskError
from nbhttp.tasks import AnyioTaskManager

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]

LIMIT = 7


class PlainError(Exception):
    """Survives pickling."""


class AwkwardError(Exception):
    """Pickles, but cannot be built from what it kept."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def sleep_and_tell(path: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(path + ".part").write_text(json.dumps([os.getpid(), child.pid]))
    Path(path + ".part").rename(path)
    time.sleep(60)


def fail(kind: type[BaseException], *args: Any) -> None:
    raise kind(*args)


def printing() -> str:
    print("to standard output, which carries the answers")
    return "answer"


def make_lambda() -> Any:
    return lambda: 1


async def pids_of(path: Path) -> list[int]:
    with anyio.fail_after(30):
        while not path.exists():
            await anyio.sleep(0.01)
    return list(json.loads(path.read_text()))


async def assert_gone(pids: list[int]) -> None:
    """The first is our child, and reaped; the second its child, which init reaps in its time."""
    assert not psutil.pid_exists(pids[0])
    with anyio.fail_after(30):
        while psutil.pid_exists(pids[1]) and psutil.Process(pids[1]).status() != "zombie":
            await anyio.sleep(0.01)


async def test_a_value_comes_back_from_another_process() -> None:
    """The function runs in a new process, with arguments and keyword arguments."""
    manager = AnyioTaskManager()
    assert await manager.run_in_process(os.getpid) != os.getpid()
    assert await manager.run_in_process(int, "ff", base=16) == 255
    assert await manager.run_in_process(functools.partial(divmod, 7), 2) == (3, 1)
    big = os.urandom(3_000_000)
    assert await manager.run_in_process(bytes.__add__, big, b"x") == big + b"x"


async def test_processes_are_kept_while_started_and_gone_after_shutdown() -> None:
    """A started manager uses a process again; after shutdown none is left."""
    async with AnyioTaskManager(max_processes=1) as manager:
        pid = await manager.run_in_process(os.getpid)
        assert await manager.run_in_process(os.getpid) == pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("way", ["timeout", "cancelled call", "cancelled task", "shutdown"])
async def test_a_stopped_process_is_gone(way: str, tmp_path: Path) -> None:
    """However a call is stopped: when that returns the process is killed and reaped."""
    path = tmp_path / "pids"
    async with AnyioTaskManager() as manager:
        if way == "timeout":
            with pytest.raises(TimeoutError, match="its process was killed"):
                await manager.run_in_process(sleep_and_tell, str(path), timeout=3)
        elif way == "cancelled call":
            async with anyio.create_task_group() as group:
                group.start_soon(manager.run_in_process, sleep_and_tell, str(path))
                await pids_of(path)
                group.cancel_scope.cancel()
        else:
            manager.add_task("a", manager.run_in_process, sleep_and_tell, str(path))
            await pids_of(path)
            if way == "cancelled task":
                manager.cancel_task("a")
                assert (await manager.wait("a")).state == "cancelled"
            else:
                await manager.shutdown()
                assert manager.status()["a"].state == "cancelled"
    await assert_gone(await pids_of(path))


async def test_errors_come_back_with_their_traceback() -> None:
    """The exception is the function's own; its cause shows the lines over there, redacted."""
    secret = "ghp_" + "a1B2" * 9
    with pytest.raises(PlainError) as caught:
        await AnyioTaskManager().run_in_process(fail, PlainError, f"bad {secret}")
    shown = str(caught.value.__cause__)
    assert "in fail" in shown
    assert "raise kind(*args)" in shown
    assert "process_worker" not in shown
    assert secret not in shown


@pytest.mark.parametrize(
    ("func", "args", "message"),
    [
        (fail, (AwkwardError, 1, 2), "AwkwardError: 1 and 2"),
        (fail, (SystemExit, 3), "SystemExit: 3"),
        (fail, (KeyboardInterrupt,), "KeyboardInterrupt"),
        (os._exit, (3,), "ended with exit code 3 before it answered"),
        (os.kill, (0, 9), "was killed by SIGKILL"),
        (open, (os.devnull,), "the result .TextIOWrapper. cannot be sent back"),
        (len, (threading.Lock(),), "len cannot be sent to a process"),
    ],
)
async def test_what_cannot_come_back_is_a_task_error(
    func: Any, args: tuple[Any, ...], message: str
) -> None:
    """An end that is no ordinary exception is a TaskError that says what happened."""
    manager = AnyioTaskManager()
    with pytest.raises(TaskError, match=message):
        await manager.run_in_process(func, *args)
    assert await manager.run_in_process(int, "1") == 1


async def test_stop_iteration_becomes_a_runtime_error() -> None:
    """A coroutine cannot raise StopIteration; it must not hang either."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await AnyioTaskManager().run_in_process(fail, StopIteration)


async def test_prints_do_not_disturb_the_answer() -> None:
    """What the function prints goes elsewhere than its result."""
    assert await AnyioTaskManager().run_in_process(printing) == "answer"


async def test_functions_that_cannot_be_imported_are_sent_by_value() -> None:
    """Lambdas and nested functions take their globals, defaults and closures along."""
    factor = 3

    def inner(number: int, *, plus: int = 1) -> int:
        return number * factor + plus

    def outer(number: int, step: int = 2) -> tuple[Any, ...]:
        tree = xml.etree.ElementTree.fromstring("<a/>")
        return inner(number) + step, LIMIT, tree.tag, os.sep, [inner(n) for n in range(2)]

    def factorial(number: int) -> int:
        return number * factorial(number - 1) if number else 1

    manager = AnyioTaskManager()
    assert await manager.run_in_process(outer, 5) == (18, 7, "a", os.sep, [1, 4])
    assert await manager.run_in_process(lambda: factorial(5)) == 120
    assert (await manager.run_in_process(make_lambda))() == 1


async def test_functions_of_main_are_sent_and_its_classes_refused(tmp_path: Path) -> None:
    """A script's functions work without an import guard; a class of it is refused clearly."""
    script = tmp_path / "script.py"
    script.write_text(
        """\
import anyio
from nbhttp.tasks import AnyioTaskManager

class Row:
    pass

def helper(number):
    global calls
    calls = number
    return number + 1

def work(number):
    return helper(number) + calls

async def main():
    manager = AnyioTaskManager()
    print(await manager.run_in_process(work, 20))
    try:
        await manager.run_in_process(id, Row())
    except Exception as error:
        print(type(error).__name__, error)

anyio.run(main)
"""
    )
    done = await anyio.run_process([sys.executable, str(script)])
    first, second = done.stdout.decode().splitlines()
    assert first == "41"
    assert second.startswith(
        "TaskError id cannot be sent to a process: PicklingError: the class Row"
    )


async def test_a_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Killing the caller leaves no orphan: the pipe to it is the lifeline."""
    path = tmp_path / "pid"
    script = (
        "import anyio, os, pathlib, sys, time\n"
        "from nbhttp.tasks import AnyioTaskManager\n"
        "def work(path):\n"
        "    pathlib.Path(path + '.part').write_text(str(os.getpid()))\n"
        "    os.rename(path + '.part', path)\n"
        "    time.sleep(60)\n"
        "anyio.run(AnyioTaskManager().run_in_process, work, sys.argv[1])\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)]) as parent:
        with anyio.fail_after(30):
            while not path.exists():
                await anyio.sleep(0.01)
        parent.kill()
    pid = int(path.read_text())
    with anyio.fail_after(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie":
            await anyio.sleep(0.01)


async def test_only_the_globals_a_function_reads_are_sent() -> None:
    """An attribute's name does not drag along a global of the same name."""
    code = "def work(record): return record.client"
    namespace: dict[str, Any] = {"__name__": "__main__", "client": threading.Lock()}
    exec(code, namespace)
    assert b"work" in dumps(namespace["work"])


async def test_max_processes_run_at_once() -> None:
    """A call over the limit waits for a slot; its timeout counts from then."""
    async with AnyioTaskManager(max_processes=1) as manager:
        pids = await manager.gather(lambda _: manager.run_in_process(os.getpid), range(4))
    assert len(set(pids)) == 1


async def test_a_process_that_cannot_start_is_a_task_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing interpreter is reported as what it is."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(TaskError, match="no process could be started: FileNotFoundError"):
        await AnyioTaskManager().run_in_process(os.getpid)


async def test_a_call_cancelled_while_its_process_starts_ends_with_it(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by the `cancel()` of an asyncio task, which no shield of anyio holds off."""
    is_there, go_on = anyio.Event(), threading.Event()
    started: list[subprocess.Popen[bytes]] = []
    loop, popen = Loop.current(), subprocess.Popen

    def start_slowly(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        loop.call_soon(is_there.set)
        go_on.wait(60)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start_slowly)
    cancel: list[Any] = []
    has_returned: list[bool] = []

    async def call() -> None:
        with anyio.CancelScope() as scope:
            task = asyncio.current_task() if anyio_backend == "asyncio" else None
            cancel.append(scope.cancel if task is None else task.cancel)
            try:
                await AnyioTaskManager().run_in_process(os.getpid)
            finally:
                has_returned.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await is_there.wait()
        for _ in range(2):
            cancel[0]()
            await anyio.wait_all_tasks_blocked()
        assert not has_returned
        go_on.set()
    assert has_returned
    assert started[0].returncode is not None  # killed, and its exit status collected
