"""A live response for code without `await`: each read crosses to the private loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from nbhttp._core.callers import Caller
from nbhttp._core.loopthread import LoopThread

if TYPE_CHECKING:
    from nbhttp._core.live import LiveResponse

__all__ = ["SyncLiveResponse", "open_live"]


class SyncLiveResponse(httpx.Response):
    """The sync face of a `LiveResponse`."""

    def __init__(self, live: LiveResponse) -> None:
        super().__init__(
            live.status_code,
            headers=live.headers,
            request=live.request,
            stream=_SyncStream(live),
            extensions=live.extensions,
            history=live.history,
        )
        self._live = live

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the body, decoded; of exactly `chunk_size` bytes but the last."""
        if hasattr(self, "_content"):
            yield from super().iter_bytes(chunk_size)
            return
        if self.is_stream_consumed:
            raise httpx.StreamConsumed
        self.is_stream_consumed = True
        yield from pulled(self._live.aiter_bytes(chunk_size))


class _SyncStream(httpx.SyncByteStream):
    def __init__(self, live: LiveResponse) -> None:
        self._live = live

    def __iter__(self) -> Iterator[bytes]:
        yield from pulled(self._live.aiter_raw())

    def close(self) -> None:
        LoopThread.get().call(lambda _: self._live.aclose())


def pulled(source: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Yield what an async iterator on the private loop gives."""
    thread = LoopThread.get()

    async def step(_: Caller) -> bytes | None:
        return await anext(source, None)

    try:
        while (piece := thread.call(step)) is not None:
            yield piece
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            thread.call(lambda _: close())


@contextlib.contextmanager
def open_live(
    open_stream: Callable[..., contextlib.AbstractAsyncContextManager[LiveResponse]],
    method: str,
    url: Any,
    options: Mapping[str, Any],
) -> Iterator[SyncLiveResponse]:
    """Open a stream of the async client for the calling thread.

    Args:
        open_stream: The client's `_stream_context`.
        method: The request's method.
        url: Its URL.
        options: Its options.
    """
    thread = LoopThread.get()
    context: contextlib.AbstractAsyncContextManager[LiveResponse] | None = None

    async def enter(caller: Caller) -> LiveResponse:
        nonlocal context
        context = open_stream(method, url, caller=caller, **options)
        return await context.__aenter__()

    live = thread.call(enter)
    try:
        yield SyncLiveResponse(live)
    finally:
        entered = context
        if entered is not None:
            thread.call(lambda _: entered.__aexit__(None, None, None))
