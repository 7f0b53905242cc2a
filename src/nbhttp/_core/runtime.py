"""The few places where asyncio and trio differ."""

import asyncio
import contextlib
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

__all__ = [
    "Ending",
    "Sleeper",
    "at_end_of",
    "call_threadsafe",
    "current_loop",
    "discard_transport",
    "is_asyncio",
    "sleeper",
    "spawn",
    "time_limit",
    "wait_for_end_of",
]


def current_loop() -> Any:
    """Return the running asyncio loop or trio's token; both stand for one event loop.

    Raises:
        RuntimeError: No event loop runs in this thread.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        trio = sys.modules.get("trio")
        if trio is None:
            raise
        return trio.lowlevel.current_trio_token()


def is_asyncio(loop: Any) -> bool:
    """Whether `current_loop()` gave an asyncio loop."""
    return isinstance(loop, asyncio.AbstractEventLoop)


def call_threadsafe(loop: Any, function: Callable[..., object], *args: object) -> None:
    """Have `loop` call `function` soon, from any thread.

    Raises:
        RuntimeError: The loop has ended.
    """
    if is_asyncio(loop):
        loop.call_soon_threadsafe(function, *args)
        return
    import trio

    try:
        loop.run_sync_soon(function, *args)
    except trio.RunFinishedError as exc:
        raise RuntimeError("the event loop has ended") from exc


_tasks: set[Any] = set()  # asyncio keeps only weak references to running tasks


def spawn(loop: Any, function: Callable[[], Awaitable[None]]) -> None:
    """Run an async function on `loop`, which is the running one, without waiting for it."""
    if is_asyncio(loop):
        task = loop.create_task(function())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return
    import trio

    with contextlib.suppress(RuntimeError):  # the run is ending, and with it what it opened
        trio.lowlevel.spawn_system_task(function)


class Ending(Protocol):
    """What wants to know that its loop ends."""

    async def end(self) -> None:
        """Take note; runs on the loop."""


class _End:
    """Waits for the end of one event loop.

    asyncio.run and trio.run close the async generators that are still open at their end. That is
    the one hook that both have, so a generator waits for it.
    """

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        # Weak: what waits for a loop's end must not live as long as the loop.
        self.members: weakref.WeakSet[Ending] = weakref.WeakSet()
        self._keeper = self._keep()
        with contextlib.suppress(StopIteration):  # it has come to its `yield`
            self._keeper.__anext__().send(None)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if _ends.get(id(self.loop)) is self:
                del _ends[id(self.loop)]
            for member in list(self.members):
                await member.end()


_ends: dict[int, _End] = {}


def wait_for_end_of(loop: Any, member: Ending) -> None:
    """Have `await member.end()` run on `loop`, the running one, when it ends.

    A loop that is closed by hand, without `shutdown_asyncgens()`, ends without it.
    """
    end = _ends.get(id(loop))
    if end is None or end.loop is not loop:
        for key, other in list(_ends.items()):
            if is_asyncio(other.loop) and other.loop.is_closed():
                _ends.pop(key, None)
        end = _ends[id(loop)] = _End(loop)
    end.members.add(member)


def at_end_of(loop: Any) -> object:
    """Return what waits for the end of `loop`, to be kept from being freed."""
    end = _ends.get(id(loop))
    return end, list(end.members) if end is not None else []


def discard_transport(transport: Any) -> None:
    """Close an asyncio transport now, also when its loop has ended and cannot do it.

    asyncio leaves the sockets of a closed loop open and warns when they are collected.
    """
    tls = getattr(transport, "_ssl_protocol", None)
    inner = getattr(tls, "_transport", None)
    with contextlib.suppress(RuntimeError):  # "Event loop is closed", after it let go of the socket
        transport.abort()
    loop = getattr(inner or transport, "_loop", None)
    lose = getattr(inner or transport, "_call_connection_lost", None)
    if lose is not None and loop is not None and loop.is_closed():
        with contextlib.suppress(RuntimeError):  # a protocol that tells its loop
            lose(None)


class Sleeper(Protocol):
    """One wait on one loop, ended from any thread."""

    def wake(self) -> None:
        """End the wait, from any thread.

        Raises:
            RuntimeError: The loop has ended.
        """

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for `wake`.

        Raises:
            TimeoutError: The built-in one: it did not come in time.
        """


def sleeper() -> Sleeper:
    """Return a sleeper for the running loop."""
    loop = current_loop()
    return _AsyncioSleeper(loop) if is_asyncio(loop) else _TrioSleeper(loop)


class _AsyncioSleeper:
    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()

    def wake(self) -> None:
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - documented for event loop authors; None instead of an exception
            self._finish()
        else:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float | None = None) -> None:
        if seconds is None:
            await self._future
            return
        async with time_limit(seconds):
            await self._future


class _TrioSleeper:
    __slots__ = ("_event", "_token")

    def __init__(self, token: Any) -> None:
        import trio

        self._token = token
        self._event = trio.Event()

    def wake(self) -> None:
        call_threadsafe(self._token, self._event.set)

    async def wait(self, seconds: float | None = None) -> None:
        async with time_limit(seconds):
            await self._event.wait()


class time_limit:  # noqa: N801 - used like a function, as asyncio.timeout is
    """Bound a block on either kind of loop; raises the built-in TimeoutError when it passes.

    Never hold one across a `yield` of a generator: it would cancel the consumer's code.

    Args:
        seconds: None is no limit.
    """

    __slots__ = ("_scope", "_seconds", "is_passed")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._scope: Any = None
        self.is_passed = False

    async def __aenter__(self) -> "time_limit":
        if self._seconds is None:
            return self
        if is_asyncio(current_loop()):
            self._scope = asyncio.timeout(self._seconds)
            await self._scope.__aenter__()
        else:
            import trio

            self._scope = trio.move_on_after(self._seconds)
            self._scope.__enter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        if self._scope is None:
            return None
        if isinstance(self._scope, asyncio.Timeout):
            try:
                await self._scope.__aexit__(*exc_info)
            finally:
                self.is_passed = self._scope.expired()
            return None
        swallowed: bool = self._scope.__exit__(*exc_info)
        if self._scope.cancelled_caught:
            self.is_passed = True
            raise TimeoutError
        return swallowed
