"""The private event loop of the sync face: one daemon thread that serves all sync clients."""

import asyncio
import atexit
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from nbhttp._core.callers import CallingThread

__all__ = ["LoopThread"]

_GRACE_S = 0.3  # for a cancelled call to close its connection before KeyboardInterrupt goes on


class LoopThread:
    """Runs coroutines for threads that wait for them.

    A call costs one wake-up of the loop and one of the thread: the thread sleeps on a lock of its
    own, which the loop releases. While it sleeps, the loop may have it run the user's code.
    """

    _current: "LoopThread | None" = None
    _lock = threading.Lock()
    _of_parents: "list[LoopThread]" = []  # kept, so that a fork never closes its parent's loop

    @classmethod
    def get(cls) -> "LoopThread":
        """Return this process's loop thread, started when it is first needed."""
        current = cls._current
        if current is not None and current._thread.is_alive():
            return current
        with cls._lock:
            if cls._current is None or not cls._current._thread.is_alive():
                if cls._current is None and not cls._of_parents:
                    os.register_at_fork(after_in_child=cls._after_fork)
                    atexit.register(cls._at_exit)
                cls._current = cls()
            return cls._current

    @classmethod
    def _after_fork(cls) -> None:
        cls._lock = threading.Lock()
        if cls._current is not None:
            cls._of_parents.append(cls._current)
            cls._current = None

    @classmethod
    def _at_exit(cls) -> None:
        current = cls._current
        if current is not None:
            current.stop()

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="nbhttp-loop", daemon=True)
        self._thread.start()
        self._ready.wait()

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            self.loop = runner.get_loop()
            self._stopped = asyncio.Event()
            self._ready.set()
            runner.run(self._serve())

    async def _serve(self) -> None:
        await self._stopped.wait()

    def stop(self) -> None:
        """End the loop: what is in flight is cancelled, every connection closed."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(timeout=2)

    @property
    def is_here(self) -> bool:
        """Whether the running thread is this one."""
        return threading.get_ident() == self._thread.ident

    def call(self, function: Callable[[CallingThread], Coroutine[Any, Any, Any]]) -> Any:
        """Run `await function(caller)` on the loop and return what it returns.

        Args:
            function: Takes the caller, with which the loop runs the user's code in this thread.

        Raises:
            RuntimeError: It is called on the loop itself, which would wait for itself.
            KeyboardInterrupt: A signal came; the coroutine was cancelled first.
        """
        if self.is_here:
            raise RuntimeError(
                "a sync nbhttp call was made on nbhttp's own event loop; "
                "use the async client there: await client.get(…)"
            )
        call = _Call(self.loop)
        return call.run(function)


class _Call:
    """One crossing: what the waiting thread and the loop tell each other.

    `_turn` is released by the loop when the thread has something to do: run `_job`, or return.
    """

    __slots__ = ("_error", "_is_done", "_job", "_loop", "_task", "_turn", "_value")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turn = threading.Lock()
        self._turn.acquire()
        self._job: Callable[[], None] | None = None
        self._is_done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self, function: Callable[[CallingThread], Coroutine[Any, Any, Any]]) -> Any:
        context = contextvars.copy_context()
        self._loop.call_soon_threadsafe(self._start, function, context, context=context)
        try:
            self._serve_until_done()
        except BaseException:
            self._loop.call_soon_threadsafe(self._cancel)
            self._wait_for_end()
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # breaks the cycle with this frame
        return self._value

    def _serve_until_done(self) -> None:
        while True:
            _acquire(self._turn)
            job, self._job = self._job, None
            if job is not None:
                job()
            if self._is_done:
                return

    def _wait_for_end(self) -> None:
        """Let the cancelled coroutine close its connection; it is not waited for longer."""
        while not self._is_done and self._turn.acquire(timeout=_GRACE_S):
            self._job = None

    # On the loop

    def _start(
        self,
        function: Callable[[CallingThread], Coroutine[Any, Any, Any]],
        context: contextvars.Context,
    ) -> None:
        caller = CallingThread(self._post)
        self._task = self._loop.create_task(function(caller), context=context)
        self._task.add_done_callback(self._finish)

    def _finish(self, task: "asyncio.Task[Any]") -> None:
        if task.cancelled():
            self._error = asyncio.CancelledError("cancelled by cancel_all()")
        else:
            self._error = task.exception()
            if self._error is None:
                self._value = task.result()
        self._task = None
        self._is_done = True
        self._release()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _release(self) -> None:
        if self._turn.locked():
            self._turn.release()

    async def _post(self, function: Callable[[], Any]) -> Any:
        """Have the waiting thread call `function`; return its value or raise its exception."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(method: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                method(value)

        def job() -> None:
            try:
                value = function()
            except Exception as exc:  # noqa: BLE001 - crosses to the loop and is raised there
                self._loop.call_soon_threadsafe(settle, future.set_exception, exc)
            else:
                self._loop.call_soon_threadsafe(settle, future.set_result, value)

        self._job = job
        self._release()
        return await future


def _acquire(lock: Any) -> None:
    """Wait for a lock such that a signal can interrupt it."""
    if sys.platform != "win32":
        lock.acquire()
        return
    while not lock.acquire(timeout=0.1):
        pass


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop  # type: ignore[no-any-return] # uvloop is not typed
