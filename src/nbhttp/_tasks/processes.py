"""Calls in other processes, which can be stopped: a cancelled call's process is killed.

Each worker is a new interpreter (never a fork: forking a process that has threads, as every
notebook kernel has, can deadlock the child, and Python 3.12 warns of it). It leads its own
session, so that an interrupt of the kernel does not reach it, and a kill takes along whatever
the function had started.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

import anyio
import anyio.to_thread

from nbhttp._tasks.loops import Loop
from nbhttp._tasks.process_worker import Answer, read_frame, write_frame
from nbhttp._tasks.records import describe_error
from nbhttp._tasks.shipping import dumps, loads
from nbhttp.errors import TaskError
from nbhttp.redaction import redact_text

__all__ = ["ProcessPool", "RemoteTraceback"]

T = TypeVar("T")

_REAP_TIMEOUT_S = 5.0
_BOOT = (
    "import json, sys; "
    # Unbuffered: what follows the line stays in the pipe.
    "sys.path[:] = json.loads(open(0, 'rb', buffering=0, closefd=False).readline()); "
    "from nbhttp._tasks.process_worker import serve; serve()"
)


class RemoteTraceback(Exception):  # noqa: N818 - shown as the cause of the error, not raised
    """The traceback of an exception that was raised in another process, as redacted text."""

    def __str__(self) -> str:
        return f"\n\n{self.args[0]}"


class ProcessPool:
    """Worker processes, started when needed and kept for the next call while `keeps_idle`."""

    def __init__(self) -> None:
        self.keeps_idle = False
        self._idle: list[_Worker] = []

    async def call(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the call in a process; when cancelled, the process is gone before this returns.

        Raises:
            TaskError: When the call cannot be sent, no process can be started, it dies, or its
                answer cannot be read.
            Exception: What the function raised, with its traceback there as the cause.
        """
        request = await _in_thread(_pack, func, args, kwargs)
        worker = await self._take()
        is_reusable = False
        try:
            reply = await _in_thread(worker.exchange, request)
            is_reusable = reply is not None
        finally:
            await self._give_back(worker, is_reusable=is_reusable)
        if reply is None:
            raise TaskError(
                f"the process running {_name_of(func)} {worker.describe_end()} before it answered"
            )
        return await _in_thread(_unpack, reply)

    async def close(self) -> None:
        """End the idle processes."""
        self.keeps_idle = False
        while self._idle:
            await _end(self._idle.pop())

    async def _take(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            await _end(worker)
        started: list[_Worker] = []
        try:
            await _to_its_end(lambda: started.append(_Worker()))
        except OSError as error:
            raise TaskError(f"no process could be started: {describe_error(error)}") from error
        except BaseException:
            for worker in started:  # a process must not live on behind our back
                await _end(worker)
            raise
        return started[0]

    async def _give_back(self, worker: "_Worker", *, is_reusable: bool) -> None:
        if is_reusable and self.keeps_idle:
            self._idle.append(worker)
            return
        await _end(worker)


async def _end(worker: "_Worker") -> None:
    worker.kill()
    await _to_its_end(worker.reap)


async def _in_thread(func: Callable[..., T], *args: Any) -> T:
    unlimited = anyio.CapacityLimiter(math.inf)
    call = partial(func, *args)
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=unlimited)


async def _to_its_end(func: Callable[[], object]) -> None:
    """Run `func` in a thread and return when it has ended, also when cancelled meanwhile.

    anyio's shield alone holds off scopes, and not the `cancel()` of an asyncio task.

    Raises:
        Exception: What `func` raised.
        BaseException: The cancellation, afterwards.
    """
    loop, ended = Loop.current(), anyio.Event()
    cancelled: BaseException | None = None
    error: BaseException | None = None

    def run() -> None:
        nonlocal error
        try:
            func()
        except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
            error = exc
        loop.call_soon(ended.set)

    threading.Thread(target=run, name="nbhttp process", daemon=True).start()
    with anyio.CancelScope(shield=True):
        while not ended.is_set():
            try:
                await ended.wait()
            except anyio.get_cancelled_exc_class() as exc:
                cancelled = exc
    if cancelled is not None:
        raise cancelled
    if error is not None:
        raise error


class _Worker:
    """One process. Its methods block, except `kill` and `is_alive`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
            [sys.executable, "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._calls = cast("BinaryIO", self._process.stdin)
        self._answers = cast("BinaryIO", self._process.stdout)
        self._is_greeted = False
        self._is_exchanging = False
        self._is_reaped = False

    def exchange(self, request: bytes) -> bytes | None:
        """Send a call and wait for the answer; None when the process died instead."""
        self._is_exchanging = True
        try:
            reply = self._send_and_receive(request)
        except (OSError, ValueError):  # a broken pipe, or one that `reap` has closed
            reply = None
        if reply is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)  # the pipe ends a moment before the process does
        self._is_exchanging = False
        if self._is_reaped:
            self._close_pipes()
        return reply

    def _send_and_receive(self, request: bytes) -> bytes | None:
        if not self._is_greeted:
            self._calls.write(json.dumps([str(entry) for entry in sys.path]).encode() + b"\n")
            self._is_greeted = True
        write_frame(self._calls, request)
        return read_frame(self._answers)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process and, where there are sessions, all that it has started."""
        if not self.is_alive():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Collect the exit status, so that no zombie stays, and close the pipes."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_TIMEOUT_S)
        self._is_reaped = True
        # Closing waits for an abandoned `exchange`, which waits for the pipe's end, which a
        # daemon that the function has left behind can hold off: then that thread closes.
        if not self._is_exchanging:
            self._close_pipes()

    def _close_pipes(self) -> None:
        for stream in (self._calls, self._answers):
            with contextlib.suppress(OSError):
                stream.close()

    def describe_end(self) -> str:
        code = self._process.returncode
        if code is None:
            return f"(pid {self._process.pid}) closed its pipe"
        if code >= 0:
            return f"(pid {self._process.pid}) ended with exit code {code}"
        return f"(pid {self._process.pid}) was killed by {signal.Signals(-code).name}"


def _name_of(func: Callable[..., Any]) -> str:
    return getattr(func, "__qualname__", None) or repr(func)


def _pack(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return dumps((func, args, kwargs))
    except Exception as error:
        raise TaskError(
            f"{_name_of(func)} cannot be sent to a process: {describe_error(error)}",
            hint="Pass plain data, and define classes and open resources inside a module or "
            "inside the function.",
        ) from error


def _unpack(reply: bytes) -> Any:
    answer: Answer = loads(reply)
    if answer[0] == "value":
        try:
            return loads(answer[1])
        except Exception as error:
            raise TaskError(
                f"the result of the process cannot be read: {describe_error(error)}"
            ) from error
    _, pickled, message, text = answer
    cause = RemoteTraceback(redact_text(text))
    if pickled is None:
        raise TaskError(message) from cause
    try:
        remote_error: Exception = loads(pickled)
    except Exception:  # noqa: BLE001 - its class is importable there and not here
        raise TaskError(message) from cause
    raise remote_error from cause
