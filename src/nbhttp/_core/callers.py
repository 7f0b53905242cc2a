"""Where the user's own code runs: hooks, auth flows and the iterables of a request body.

They run where the call was made, never on nbhttp's private loop: on the caller's event loop, or in
the calling thread of the sync face. That way a hook may use the client again, a generator may hold
thread-bound things, and a blocking one blocks nobody else.
"""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

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

    def iterate(self, source: Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """Yield the pieces; a file is read in a worker thread, so that the loop stays free."""
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
    from anyio import to_thread

    while piece := await to_thread.run_sync(file.read, _READ_SIZE):
        yield piece


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
