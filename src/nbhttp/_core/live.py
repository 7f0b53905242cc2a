"""An answer whose body is still on the wire, and the `httpx.Response` that users see of it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from nbhttp._checks import check_count
from nbhttp._core.runtime import call_threadsafe, spawn, wait_for_end_of
from nbhttp._engines.base import Exchange, Head
from nbhttp._engines.decoding import make_decoder

if TYPE_CHECKING:
    from nbhttp._core.state import ClientState, Flight

__all__ = ["ERROR_BODY_S", "Live", "LiveResponse", "checked_size"]

ERROR_BODY_S = 5.0
"""How long the body of an error is read: the status is the news."""
_NO_BODY = frozenset({204, 304})


class Live:
    """An exchange under way and the slot that it holds.

    No cancel scope is open between two reads: what the consumer does there is its own.

    Args:
        exchange: The exchange.
        state: The client's.
        loop: Where it is.
        call: What all parts of the user's call have in common.

    Attributes:
        is_open: Whether it holds its slot.
        is_cancelled: Whether `cancel_all()` ended it.
    """

    def __init__(self, exchange: Exchange, state: "ClientState", loop: Any, call: object) -> None:
        self.exchange = exchange
        self.call = call
        self.received = 0
        self._state = state
        self._loop = loop
        self.is_open = True
        self.is_cancelled = False
        self.flight: Flight | None = None  # the read under way
        self._close: Callable[[], Awaitable[None]] | None = None
        state.lives.add(self)
        wait_for_end_of(loop, self)

    def is_closed_by(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have `close()` called where `aclose` would be: who owns it tells that it has ended."""
        self._close = close

    async def read(self) -> bytes:
        """Return the next piece as sent; b"" at the end.

        Raises:
            RequestError: The connection broke, or nothing came in time.
            CancelledError: `cancel_all()` was called.
        """
        if self.is_cancelled:
            raise asyncio.CancelledError("cancelled by cancel_all()")
        self.flight = self._state.in_flight("a read of the stream", self.call)
        try:
            with self.flight:
                piece = await self.exchange.read()
        except BaseException:
            await self.aclose()
            raise
        finally:
            self.flight = None
        self.received += len(piece)
        return piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as sent."""
        while piece := await self.read():
            yield piece

    async def decoded(self) -> AsyncIterator[bytes]:
        """Yield the body with its content codings undone, in bounded pieces."""
        head = self.exchange.head
        codings = content_codings(head)
        if not codings or head.status in _NO_BODY:
            async for piece in self.pieces():
                yield piece
            return
        decoder = make_decoder(codings)
        while piece := await self.read():
            for decoded in decoder.feed(piece):
                yield decoded
        decoder.flush()

    async def aclose(self) -> None:
        """Give connection and slot back; doing it again does nothing."""
        if not self.is_open:
            return
        self.is_open = False
        self._close = None
        self._state.lives.discard(self)
        try:
            await self.exchange.aclose()
        finally:
            self._state.gate.release()

    def close_soon(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have `close()` awaited on its loop, from any thread; the garbage collector's way."""
        try:
            call_threadsafe(self._loop, spawn, self._loop, close)
        except RuntimeError:  # its loop has ended, and its connection with it
            if not self.is_open:
                return
            self.is_open = False
            self._close = None
            self._state.lives.discard(self)
            self._state.gate.release()

    async def end(self) -> None:
        """Close it: the loop is ending, and may have cancelled the task that was to do it."""
        if self.is_open:
            await (self._close or self.aclose)()

    def cancel(self) -> None:
        """End it from any thread: the read under way, or the next one, raises CancelledError."""
        with contextlib.suppress(RuntimeError):  # its loop has ended
            call_threadsafe(self._loop, self._cancel)

    def _cancel(self) -> None:
        if not self.is_open:
            return
        self.is_cancelled = True
        if self.flight is not None:
            self.flight.cancel()
        else:
            spawn(self._loop, self._close or self.aclose)


def content_codings(head: Head) -> list[str]:
    """Return the values of Content-Encoding, in order."""
    return [value.decode("latin-1") for value in head.values(b"content-encoding")]


class LiveResponse(httpx.Response):
    """An `httpx.Response` on the wire whose failures are nbhttp's errors.

    It decodes with nbhttp's decoders: a truncated or damaged coding is an error, all members of a
    gzip file arrive, and pieces are bounded.

    Args:
        live: The exchange.
        request: What was sent.
        history: The redirections before it.
        started: When the call began, by `time.perf_counter()`.
    """

    def __init__(
        self, live: Live, request: httpx.Request, history: list[httpx.Response], started: float
    ) -> None:
        head = live.exchange.head
        super().__init__(
            head.status,
            headers=head.headers,
            request=request,
            stream=_Stream(live),
            extensions={
                "http_version": head.http_version.encode("ascii"),
                "reason_phrase": head.reason,
            },
            history=history,
        )
        self._live = live
        self._started = started

    @property
    def num_bytes_downloaded(self) -> int:
        """Bytes of the body that have come, as sent."""
        return self._live.received

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Yield the body, decoded; of exactly `chunk_size` bytes but the last.

        Raises:
            ConfigError: `chunk_size` is under 1; likewise of the other iterators.
        """
        return self._aiter_bytes(checked_size(chunk_size))

    def aiter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """Yield the body as text; of exactly `chunk_size` characters but the last."""
        return super().aiter_text(checked_size(chunk_size))

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Yield the body as sent; of exactly `chunk_size` bytes but the last."""
        return super().aiter_raw(checked_size(chunk_size))

    async def aclose(self) -> None:
        """Close it, which ends `elapsed`; again does nothing."""
        if not self.is_closed:
            self.elapsed = timedelta(seconds=time.perf_counter() - self._started)
        await super().aclose()

    async def _aiter_bytes(self, chunk_size: int | None) -> AsyncIterator[bytes]:
        if hasattr(self, "_content"):
            size = len(self._content) if chunk_size is None else chunk_size
            for start in range(0, len(self._content), max(size, 1)):
                yield self._content[start : start + size]
            return
        if self.is_stream_consumed:
            raise httpx.StreamConsumed
        if self.is_closed:
            raise httpx.StreamClosed
        self.is_stream_consumed = True
        try:
            async for piece in rechunked(self._live.decoded(), chunk_size):
                yield piece
        finally:
            await self.aclose()


class _Stream(httpx.AsyncByteStream):
    """The raw body, as httpx's own `aiter_raw` reads it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._live.pieces():
            yield piece

    async def aclose(self) -> None:
        await self._live.aclose()


def checked_size(chunk_size: int | None) -> int | None:
    """Return the size of the pieces to give; None gives them as they come.

    Raises:
        ConfigError: It is under 1.
        TypeError: It is no whole number.
    """
    return None if chunk_size is None else check_count("chunk_size", chunk_size)


async def rechunked(pieces: AsyncIterator[bytes], chunk_size: int | None) -> AsyncIterator[bytes]:
    """Yield the same bytes in pieces of exactly `chunk_size` but the last; None: as they come."""
    if chunk_size is None:
        async for piece in pieces:
            yield piece
        return
    held = bytearray()
    async for piece in pieces:
        held += piece
        whole = len(held) - len(held) % chunk_size
        if whole:
            view = bytes(held[:whole])
            del held[:whole]
            for start in range(0, whole, chunk_size):
                yield view[start : start + chunk_size]
    if held:
        yield bytes(held)
