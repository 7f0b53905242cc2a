"""The private event loop of the sync face: one daemon thread that serves all sync clients."""

import asyncio
import atexit
import contextlib
import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from sniffio import current_async_library_cvar

from nbhttp._core.callers import CallingThread
from nbhttp._core.runtime import at_end_of, spawn

__all__ = ["LoopThread", "Outlet", "outlet"]

_GRACE_S = 0.3  # for a cancelled call to close its connection before KeyboardInterrupt goes on

_LOOK_UP_S = 0.1  # at the latest, a waiting thread sees a signal

Function = Callable[[CallingThread], Coroutine[Any, Any, Any]]


class Outlet(Protocol):
    """Runs coroutines for a thread that waits for them."""

    def call(self, function: Function) -> Any:
        """Run `await function(caller)` and return what it returns; see `LoopThread.call`."""

    def post(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `await function()` soon, without waiting for it."""


class LoopThread:
    """Runs coroutines on a loop of its own for threads that wait for them.

    A call costs one wake-up of the loop and one of the thread: the thread sleeps on a lock of its
    own, which the loop releases. While it sleeps, the loop may have it run the user's code.

    The thread is never stopped: it ends with the process, and takes no part in its end. (Stopping
    it would wake daemon threads in the middle of a call with an exception that they would print.)
    So the frame of its `_main` is never left, and what it refers to is never freed: `_kept` is
    where connections are safe from the interpreter's last collection.
    """

    _current: "LoopThread | None" = None
    _lock = threading.Lock()
    _of_parents: "list[LoopThread] | None" = None  # kept: a fork never closes its parent's loop

    @classmethod
    def get(cls) -> "LoopThread":
        """Return this process's loop thread, started when it is first needed.

        Raises:
            RuntimeError: No thread can be started: the interpreter is ending.
        """
        current = cls._current
        if current is not None and current.is_alive:
            return current
        with cls._lock:
            if cls._of_parents is None:
                cls._of_parents = []
                atexit.register(cls._at_exit)
                if hasattr(os, "register_at_fork"):
                    os.register_at_fork(after_in_child=cls._after_fork)
            if cls._current is None or not cls._current.is_alive:
                cls._current = cls()
            return cls._current

    @classmethod
    def _after_fork(cls) -> None:
        cls._lock = threading.Lock()
        if cls._current is not None and cls._of_parents is not None:
            cls._current.keep()
            cls._of_parents.append(cls._current)
        cls._current = None

    @classmethod
    def _at_exit(cls) -> None:
        if cls._current is not None:
            cls._current.keep()

    def __init__(self) -> None:
        self._kept: object = None
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="nbhttp-loop", daemon=True)
        self._thread.start()
        self._is_ready.wait()

    def _main(self) -> None:
        self.loop = _new_loop()
        self.loop.set_debug(False)  # also with -X dev: nobody else's code is looked at here
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._is_ready.set)
        while True:
            # What a task raises to end the process ends only that task: others wait for the loop.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()

    def keep(self) -> None:
        """Keep what waits for the end of the loop from being freed before."""
        self._kept = at_end_of(self.loop)

    @property
    def is_alive(self) -> bool:
        """Whether calls are served."""
        return self._thread.is_alive()

    @property
    def is_here(self) -> bool:
        """Whether the running thread is this one."""
        return threading.get_ident() == self._thread.ident

    def call(self, function: Function) -> Any:
        """Run `await function(caller)` on the loop and return what it returns.

        Args:
            function: Takes the caller, with which the loop runs the user's code in this thread.

        Raises:
            RuntimeError: It is called on the loop itself, which would wait for itself.
            KeyboardInterrupt: A signal came; the coroutine was cancelled first.
        """
        if self.is_here:
            raise RuntimeError(
                "a sync nbhttp call was made on nbhttp's own event loop, which would wait for "
                "itself for ever; use the async client there: await client.get(…)"
            )
        return _Call(self.loop).run(function)

    def post(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `await function()` on the loop soon, from any thread, without waiting for it."""
        self.loop.call_soon_threadsafe(spawn, self.loop, function)


def outlet() -> Outlet:
    """Return what runs the calls of sync code: the loop thread, as long as one can run."""
    try:
        return LoopThread.get()
    except RuntimeError:  # Python 3.12 starts no thread once the interpreter ends
        return _NoThread()


class _Call:
    """One crossing: what the waiting thread and the loop tell each other.

    The thread waits for `_turn`. The loop alone releases it, after it has changed what the thread
    is to look at: a job in `_jobs`, or `_is_done`. So one release may stand for several changes,
    and the thread looks at all of them after each.
    """

    __slots__ = (
        "_awaited",
        "_error",
        "_is_begun",
        "_is_cancelled",
        "_is_done",
        "_is_left",
        "_jobs",
        "_loop",
        "_task",
        "_turn",
        "_value",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turn = threading.Lock()
        self._turn.acquire()
        self._jobs: deque[Callable[[], None]] = deque()
        self._awaited: asyncio.Future[Any] | None = None
        self._is_done = False
        self._is_left = False
        self._is_begun = False
        self._is_cancelled = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    # In the calling thread

    def run(self, function: Function) -> Any:
        context = contextvars.copy_context()
        if current_async_library_cvar.get() is not None:  # anyio.run sets it: trio's, perhaps
            context.run(current_async_library_cvar.set, "asyncio")
        try:
            self._loop.call_soon_threadsafe(self._start, function, context, context=context)
            while not self._is_done:
                _acquire(self._turn)
                self._work()
        except BaseException:
            self._leave()
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # breaks the cycle with this frame
        return self._value

    def _work(self) -> None:
        while self._jobs:
            self._jobs.popleft()()

    def _leave(self) -> None:
        """A signal ends the wait: cancel the coroutine, and see it close what it has open."""
        self._loop.call_soon_threadsafe(self._cancel)
        give_up_at = time.monotonic() + _GRACE_S
        try:
            while not self._is_done:
                left = give_up_at - time.monotonic()
                if left <= 0 or not self._turn.acquire(timeout=left):
                    return
                self._work()  # the user's generators are closed here
        finally:
            if not self._is_done:
                self._loop.call_soon_threadsafe(self._be_left)

    def _do(self, function: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        if future.done():  # its coroutine has given up meanwhile
            return
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = function(), None
        except Exception as exc:  # noqa: BLE001 - crosses to the loop and is raised there
            outcome = None, exc
        self._loop.call_soon_threadsafe(_settle, future, outcome)

    # On the loop

    def _start(self, function: Function, context: contextvars.Context) -> None:
        self._task = self._loop.create_task(self._run(function), context=context)

    async def _run(self, function: Function) -> None:
        self._is_begun = True
        try:
            if self._is_cancelled:
                raise asyncio.CancelledError  # noqa: TRY301 - ends like one that has begun
            self._value = await function(CallingThread(self._post))
        except BaseException as exc:  # noqa: BLE001 - all of it is the thread's; SystemExit would end the loop
            self._error = exc
        self._task = None
        self._is_done = True
        self._wake()

    def _cancel(self) -> None:
        self._is_cancelled = True
        if self._task is not None and self._is_begun:  # else it would end before it can say so
            self._task.cancel()

    def _be_left(self) -> None:
        self._is_left = True
        if self._awaited is not None:
            self._awaited.cancel()

    def _wake(self) -> None:
        if self._turn.locked():
            self._turn.release()

    async def _post(self, function: Callable[[], Any]) -> Any:
        """Have the waiting thread call `function`; return its value or raise its exception."""
        if self._is_left:
            raise asyncio.CancelledError("the calling thread was interrupted")
        future: asyncio.Future[tuple[Any, BaseException | None]] = self._loop.create_future()
        self._awaited = future
        self._jobs.append(partial(self._do, function, future))
        self._wake()
        value, error = await future
        if error is not None:
            raise error
        return value


class _NoThread:
    """Stands in at the interpreter's end: each call runs a loop of its own in its thread."""

    def call(self, function: Function) -> Any:
        """Run `await function(caller)` here, and close its connections."""
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            return runner.run(function(CallingThread(_post_here)))

    def post(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do nothing: the loop that it concerns has ended."""


async def _post_here(function: Callable[[], Any]) -> Any:
    return function()


def _settle(future: "asyncio.Future[Any]", outcome: object) -> None:
    if not future.done():
        future.set_result(outcome)


def _acquire(lock: Any) -> None:
    """Wait for a lock such that a signal can interrupt it.

    On Windows none can interrupt an unbounded wait; elsewhere one that comes in the very moment
    before the thread sleeps is only seen when it wakes.
    """
    while not lock.acquire(timeout=_LOOK_UP_S):
        pass


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make uvloop's loop, where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
