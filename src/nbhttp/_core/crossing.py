"""From one event loop to another: bulk work goes to the private loop, the user's code back."""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from sniffio import current_async_library_cvar

from nbhttp._core.callers import AuthFlow, Caller, Here, here
from nbhttp._core.runtime import call_threadsafe, current_loop, is_asyncio, sleeper
from nbhttp._core.ticker import ticking

if TYPE_CHECKING:
    import httpx

__all__ = ["CallersLoop", "cross", "on_private_loop"]

T = TypeVar("T")

_GRACE_S = 1.0  # for the other side to end what was cancelled here
_END = object()


async def on_private_loop(function: Callable[[Caller], Awaitable[T]]) -> T:
    """Run `await function(caller)` on nbhttp's own loop; the running one stays free meanwhile.

    The user's code (hooks, auth schemes, iterables) is run on the running loop, by the caller that
    `function` gets. Cancelling this cancels it there.

    Raises:
        BaseException: What `function` or the user's code raises.
    """
    from nbhttp._core.loopthread import LoopThread

    thread = LoopThread.get()
    if thread.is_here:
        return await function(here)
    caller = CallersLoop(current_loop())
    try:
        return await cross(thread.loop, lambda: caller.serve(function))
    except asyncio.CancelledError:
        if caller.exit is not None:
            raise caller.exit from None
        raise


async def cross(loop: Any, function: Callable[[], Awaitable[T]]) -> T:
    """Run `await function()` on another running loop and return its value.

    Raises:
        RuntimeError: That loop has ended.
        BaseException: What the function raises; cancellation here is cancellation there.
    """
    here_again = sleeper()
    there = _There(loop, function, here_again.wake)
    call_threadsafe(loop, there.start)
    try:
        with ticking(current_loop()):
            await here_again.wait()
    except BaseException:
        await _end(there)
        raise
    value: T = there.outcome()
    return value


async def _end(there: "_There") -> None:
    """Cancel the other side, and give it a moment to end."""
    import anyio

    here_again = sleeper()
    there.wake = here_again.wake
    with contextlib.suppress(RuntimeError):  # its loop has ended
        call_threadsafe(there.loop, there.cancel)
        with anyio.CancelScope(shield=True), contextlib.suppress(TimeoutError):
            await here_again.wait(_GRACE_S)


class _There:
    """What runs on the other loop, and its outcome."""

    def __init__(
        self, loop: Any, function: Callable[[], Awaitable[Any]], wake: Callable[[], None]
    ) -> None:
        self.loop = loop
        self.wake = wake
        self._function = function
        self._context = contextvars.copy_context()
        # What anyio and sniffio look at first: it must name the loop that it runs on.
        library = "asyncio" if is_asyncio(loop) else "trio"
        self._context.run(current_async_library_cvar.set, library)
        self._cancel: Callable[[], object] | None = None
        self._is_done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def start(self) -> None:
        if is_asyncio(self.loop):
            task = self.loop.create_task(self._run(), context=self._context)
            self._cancel = task.cancel
            task.add_done_callback(self._end_unbegun)
            return
        import trio

        scope = trio.CancelScope()
        self._cancel = scope.cancel

        async def scoped() -> None:
            with scope:
                await self._run()

        trio.lowlevel.spawn_system_task(scoped, context=self._context)

    async def _run(self) -> None:
        try:
            self._value = await self._function()
        except BaseException as exc:
            self._error = exc
            if not isinstance(exc, Exception) and not is_asyncio(self.loop):
                raise  # trio must see its own cancellation
        finally:
            self._finish()

    def _end_unbegun(self, _: object) -> None:
        """End a task that was cancelled before its first step: nothing of `_run` has run then."""
        if not self._is_done:
            self._error = asyncio.CancelledError()
            self._finish()

    def _finish(self) -> None:
        self._is_done = True
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            self.wake()

    def cancel(self) -> None:
        if self._is_done:
            self.wake()
        elif self._cancel is not None:
            self._cancel()

    def outcome(self) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value


class CallersLoop:
    """Runs the user's code on the loop that awaits the call, from the private one.

    Where the user's code raises `KeyboardInterrupt` or `SystemExit` the call is cancelled, as by a
    signal: within a task either would end the private loop, and all who wait for it.

    Args:
        loop: Where the call was made.

    Attributes:
        exit: What the user's code raised to end the call; None as long as it did not.
    """

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._here = Here()
        self._call: asyncio.Task[Any] | None = None
        self.exit: BaseException | None = None

    async def serve(self, function: Callable[[Caller], Awaitable[T]]) -> T:
        """Run `await function(self)`, the call, on this loop."""
        self._call = asyncio.current_task()
        return await function(self)

    async def cross(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run `await function()` on the caller's loop; see `cross`."""
        try:
            return await cross(self._loop, function)
        except (KeyboardInterrupt, SystemExit) as exc:
            self.exit = self.exit or exc
            if self._call is not None and self._call is not asyncio.current_task():
                self._call.cancel()
            raise asyncio.CancelledError from None

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on the caller's loop, and await it there."""
        return await self.cross(lambda: self._here.run(function, *args))

    async def block(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` in a worker thread: neither loop waits for it."""
        return await self._here.block(function, *args)

    def iterate(self, source: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Pull one piece after the other on the caller's loop."""
        return self._pull(self._here.iterate(source))

    async def _pull(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            piece: Any = await self.cross(lambda: anext(pieces, _END))
            if piece is _END:
                return
            yield piece

    def auth_flow(self, auth: "httpx.Auth", request: "httpx.Request") -> AuthFlow:
        """Start the async form of the flow, to be advanced on the caller's loop."""
        return _FlowThere(self.cross, self._here.auth_flow(auth, request))


class _FlowThere:
    def __init__(self, cross: Callable[..., Awaitable[Any]], flow: AuthFlow) -> None:
        self._cross = cross
        self._flow = flow

    async def advance(self, response: "httpx.Response | None") -> "httpx.Request | None":
        request: httpx.Request | None = await self._cross(lambda: self._flow.advance(response))
        return request

    async def close(self) -> None:
        await self._cross(self._flow.close)
