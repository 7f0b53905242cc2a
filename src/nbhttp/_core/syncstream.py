"""Streams for code without `await`: they cross to the private loop once for each batch.

While the calling thread works on one batch, the connection reads the next, up to a mebibyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from nbhttp._core.loopthread import outlet
from nbhttp._habits import OnlySync, SaysHow, of_stream

if TYPE_CHECKING:
    import httpx

    from nbhttp._core.callers import Caller
    from nbhttp._core.eventstream import EventStream
    from nbhttp._core.stream import ByteStream, LineStream, NdjsonStream, Stream
    from nbhttp.errors import DecodeError, NbhttpError
    from nbhttp.streaming import ServerSentEvent

__all__ = ["SyncByteStream", "SyncEventStream", "SyncLineStream", "SyncNdjsonStream", "SyncStream"]

T = TypeVar("T")

_END = object()


class SyncStream(OnlySync, SaysHow, Generic[T]):
    """An answer that is read while it comes: an iterator, opened when it is first read.

    Leaving the loop (by `break`, an exception or an interrupt) closes the connection. As `with`,
    the end of the block does that, so that the items can be read in several loops.

    Args:
        source: The stream itself; it lives on the private loop.
    """

    _habits = of_stream

    def __init__(self, source: Stream[T]) -> None:
        self._source = source
        self._ready: Iterator[T] = iter(())

    # What came

    @property
    def method(self) -> str:
        """The request's method."""
        return self._source.method

    @property
    def url(self) -> str:
        """The URL asked; a credential in its query is still there."""
        return self._source.url

    @property
    def status_code(self) -> int | None:
        """The answer's status; None until its head has come."""
        return self._source.status_code

    @property
    def headers(self) -> httpx.Headers:
        """The answer's fields; empty until its head has come."""
        return self._source.headers

    @property
    def received(self) -> int:
        """Bytes of the body that have come, content codings undone."""
        return self._source.received

    @property
    def exception(self) -> NbhttpError | None:
        """What ended the stream early; None when nothing did."""
        return self._source.exception

    @property
    def error(self) -> str | None:
        """What ended the stream early, in one line; None when nothing did."""
        return self._source.error

    def __repr__(self) -> str:
        return repr(self._source).replace("<", "<Sync", 1)

    # Opening and closing

    def open(self) -> Self:
        """Send the request and return when the answer's head has come; once.

        Raises:
            RequestError: No answer came.
            StatusError: It has status 4xx or 5xx.
        """

        async def step(caller: Caller) -> None:
            self._source.caller = caller
            await self._source.open()

        outlet().call(step)
        return self

    def close(self) -> None:
        """Close the connection; doing it again does nothing."""
        self._ready = iter(())
        outlet().call(lambda _: self._source.aclose())

    def __enter__(self) -> Self:
        self._source.hold()
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Reading

    def __iter__(self) -> Iterator[T]:
        try:
            while True:
                yield from self._ready
                if not self._fetch():
                    return
        finally:  # also when the garbage collector ends it, on any thread: it must not wait
            self._source.release()

    def __next__(self) -> T:
        while True:
            item = next(self._ready, _END)
            if item is not _END:
                return item  # type: ignore[return-value] # not the mark of the end
            if not self._fetch():
                raise StopIteration

    def _fetch(self) -> bool:
        """Get the next batch; False at the end."""

        async def step(caller: Caller) -> list[T]:
            self._source.caller = caller
            return await self._source.next_batch()

        batch = outlet().call(step)
        self._ready = iter(batch)
        return bool(batch)


class SyncByteStream(SyncStream[bytes]):
    """The bytes of a body; see `HttpClient.stream_request`."""

    _source: ByteStream


class SyncLineStream(SyncStream[str]):
    """The lines of a body; see `HttpClient.lines`."""

    _source: LineStream

    @property
    def encoding(self) -> str | None:
        """The character encoding: given, or declared by the answer; None until that has come."""
        return self._source.encoding

    @property
    def replaced(self) -> int:
        """How many U+FFFD stand for bytes that are no text."""
        return self._source.replaced


class SyncNdjsonStream(SyncStream[Any]):
    """The records of an NDJSON body; see `HttpClient.ndjson`."""

    _source: NdjsonStream

    @property
    def errors(self) -> list[DecodeError]:
        """The errors of bad lines, with `on_error="collect"`: the first 1,000."""
        return self._source.errors

    @property
    def skipped(self) -> int:
        """Bad lines left out so far."""
        return self._source.skipped

    @property
    def line_number(self) -> int:
        """Lines decoded so far, blank ones counted; may be ahead of the record at hand."""
        return self._source.line_number


class SyncEventStream(SyncStream["ServerSentEvent"]):
    """The events of an event stream; see `HttpClient.sse`."""

    _source: EventStream

    @property
    def last_event_id(self) -> str:
        """The ID of the last event taken: pass it on to continue there; "" when there is none."""
        return self._source.last_event_id

    @property
    def retry(self) -> int | None:
        """The server's reconnection time in milliseconds; None when it sent none."""
        return self._source.retry

    @property
    def reconnects(self) -> int:
        """How often it was opened again."""
        return self._source.reconnects

    def __iter__(self) -> Iterator[ServerSentEvent]:
        for event in super().__iter__():
            self._source.take(event)
            yield event

    def __next__(self) -> ServerSentEvent:
        event = super().__next__()
        self._source.take(event)
        return event
