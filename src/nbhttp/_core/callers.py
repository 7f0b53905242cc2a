"""Where the user's own code runs: hooks, auth flows and the iterables of a request body.

They run where the call was made, never on nbhttp's private loop: on the caller's event loop, or in
the calling thread of the sync face. That way a hook may use the client again, a generator may hold
thread-bound things, and a blocking one blocks nobody else. Only files, which block, are read and
written in a worker thread where the call was awaited.
"""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from nbhttp._core.bodies import is_multipart

if TYPE_CHECKING:
    import httpx

__all__ = ["Caller", "Here", "here"]

_END = object()
_READ_SIZE = 1024 * 1024


class AuthFlow(Protocol):
    """An authentication scheme at work on one request (httpx's generator, either colour)."""

    async def advance(self, response: "httpx.Response | None") -> "httpx.Request | None":
        """Return the next request to send; None when the last response is the answer."""

    async def close(self) -> None:
        """End the flow."""


class Caller(Protocol):
    """Runs the user's code where it belongs."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function`, and await what it returns when that is awaitable."""

    async def block(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function`, which may block, as the user's file objects do."""

    def iterate(self, source: "Iterable[bytes] | AsyncIterable[bytes]") -> AsyncIterator[bytes]:
        """Yield the pieces of a request body."""
        ...

    def auth_flow(self, auth: "httpx.Auth", request: "httpx.Request") -> AuthFlow:
        """Start `auth` on `request`."""
        ...


class Here:
    """The call was awaited on the loop that runs it: the user's code runs right here."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` on this loop."""
        value = function(*args)
        return await value if inspect.isawaitable(value) else value

    async def block(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` in a worker thread, so that the loop stays free."""
        return await _in_thread(function, *args)

    def iterate(self, source: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces; files are read in a worker thread, so that the loop stays free."""
        if is_multipart(source):  # it reads the files in it
            return _collect_in_thread(iter(source))  # type: ignore[arg-type] # it is iterable both ways
        if isinstance(source, AsyncIterable):
            return aiter(source)
        if hasattr(source, "read"):
            return _read_in_thread(source)
        return _each(source)

    def auth_flow(self, auth: "httpx.Auth", request: "httpx.Request") -> AuthFlow:
        """Start the async form of the flow."""
        return _AsyncFlow(auth.async_auth_flow(request))


here = Here()


async def _each(source: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in source:
        yield piece


async def _read_in_thread(file: Any) -> AsyncIterator[bytes]:
    while piece := await _in_thread(file.read, _READ_SIZE):
        yield piece


async def _collect_in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield large pieces made of small ones: one hop to a thread brings a small form."""
    while piece := await _in_thread(_collect, pieces):
        yield piece


def _collect(pieces: Iterator[bytes]) -> bytes:
    collected = bytearray()
    for piece in pieces:
        collected += piece
        if len(collected) >= _READ_SIZE:
            break
    return bytes(collected)


async def _in_thread(function: Callable[..., Any], *args: Any) -> Any:
    from anyio import to_thread

    return await to_thread.run_sync(function, *args)


class _AsyncFlow:
    def __init__(self, generator: Any) -> None:
        self._generator = generator

    async def advance(self, response: "httpx.Response | None") -> "httpx.Request | None":
        try:
            request: httpx.Request = await self._generator.asend(response)
        except StopAsyncIteration:
            return None
        return request

    async def close(self) -> None:
        await self._generator.aclose()


class CallingThread:
    """The sync face: the user's code runs in the thread that waits for the call.

    Args:
        post: Hands a function to that thread and awaits its value; see `loopthread`.
    """

    def __init__(self, post: Callable[[Callable[[], Any]], Any]) -> None:
        self._post = post

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` in the calling thread; await what it returns on this loop."""
        value = await self._post(lambda: function(*args))
        return await value if inspect.isawaitable(value) else value

    async def block(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function` in the calling thread, which waits anyway."""
        return await self._post(lambda: function(*args))

    def iterate(self, source: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Pull one piece after the other in the calling thread."""
        if isinstance(source, AsyncIterable):
            return aiter(source)
        read = getattr(source, "read", None)
        if read is not None:
            return self._pull(iter(lambda: read(_READ_SIZE), b""))
        return self._pull(iter(source))

    async def _pull(self, iterator: Any) -> AsyncIterator[bytes]:
        while (piece := await self._post(lambda: next(iterator, _END))) is not _END:
            yield piece

    def auth_flow(self, auth: "httpx.Auth", request: "httpx.Request") -> AuthFlow:
        """Start the sync form of the flow."""
        return _SyncFlow(auth.sync_auth_flow(request), self._post)


class _SyncFlow:
    def __init__(self, generator: Any, post: Callable[[Callable[[], Any]], Any]) -> None:
        self._generator = generator
        self._post = post

    async def advance(self, response: "httpx.Response | None") -> "httpx.Request | None":
        def step() -> Any:
            try:
                return self._generator.send(response)
            except StopIteration:
                return None

        request: httpx.Request | None = await self._post(step)
        return request

    async def close(self) -> None:
        await self._post(self._generator.close)
