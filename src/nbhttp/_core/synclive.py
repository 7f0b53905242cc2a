"""A live response for code without `await`: each read crosses to the private loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from nbhttp._core.callers import Caller
from nbhttp._core.live import checked_size
from nbhttp._core.loopthread import outlet

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

    @property
    def num_bytes_downloaded(self) -> int:
        """Bytes of the body that have come, as sent."""
        return self._live.num_bytes_downloaded

    @property  # type: ignore[misc] # httpx's own can be set
    def elapsed(self) -> timedelta:  # pyright: ignore[reportIncompatibleMethodOverride]
        """From the call to the end of the body; RuntimeError before, as httpx has it."""
        return self._live.elapsed

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the body, decoded; of exactly `chunk_size` bytes but the last.

        Raises:
            ConfigError: `chunk_size` is under 1; likewise of the other iterators.
        """
        return self._iter_bytes(checked_size(chunk_size))

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Yield the body as text; of exactly `chunk_size` characters but the last."""
        return super().iter_text(checked_size(chunk_size))

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the body as sent; of exactly `chunk_size` bytes but the last."""
        return super().iter_raw(checked_size(chunk_size))

    def _iter_bytes(self, chunk_size: int | None) -> Iterator[bytes]:
        if hasattr(self, "_content"):
            yield from super().iter_bytes(chunk_size)
            return
        if self.is_stream_consumed:
            raise httpx.StreamConsumed
        if self.is_closed:
            raise httpx.StreamClosed
        self.is_stream_consumed = True
        yield from pulled(self._live.aiter_bytes(chunk_size))
        self.close()


class _SyncStream(httpx.SyncByteStream):
    def __init__(self, live: LiveResponse) -> None:
        self._live = live

    def __iter__(self) -> Iterator[bytes]:
        yield from pulled(self._live.aiter_raw())

    def close(self) -> None:
        outlet().call(lambda _: self._live.aclose())


def pulled(source: AsyncIterator[bytes]) -> Iterator[bytes]:
    """Yield what an async iterator on the private loop gives.

    Nothing is closed when it is dropped half-way (perhaps by the garbage collector, on any
    thread, where one must not wait): that is for the `with` block around it.
    """
    thread = outlet()

    async def step(_: Caller) -> bytes | None:
        return await anext(source, None)

    while (piece := thread.call(step)) is not None:
        yield piece


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
    thread = outlet()
    entered: contextlib.AbstractAsyncContextManager[LiveResponse] | None = None

    async def enter(caller: Caller) -> LiveResponse:
        nonlocal entered
        context = open_stream(method, url, options, caller)
        live = await context.__aenter__()
        entered = context  # also when an interrupt keeps the calling thread from knowing it
        return live

    async def leave(exc: BaseException | None = None) -> None:
        if entered is not None:
            details = (None, None, None) if exc is None else (type(exc), exc, exc.__traceback__)
            with contextlib.suppress(BaseException):  # `exc` itself, raised in its own thread
                await entered.__aexit__(*details)

    try:
        live = thread.call(enter)
        yield SyncLiveResponse(live)
    except GeneratorExit:  # dropped, perhaps by the garbage collector: nobody may wait here
        thread.post(leave)
        raise
    except BaseException as exc:
        error = exc
        thread.call(lambda _: leave(error))
        raise
    else:
        thread.call(lambda _: leave())
