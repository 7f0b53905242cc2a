"""Who fetches which bytes: streams that write into one file, and split what is left among them."""

import contextlib
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from nbhttp._core.filesink import FileSink
from nbhttp._core.ranges import Done, Span
from nbhttp.errors import ProtocolError

if TYPE_CHECKING:
    from nbhttp._core.live import Live

__all__ = ["SpanFullError", "Stream", "Streams"]

MIN_SPLIT_BYTES = 1024 * 1024
"""What is left of a stream is not halved below this: a new request costs more than it brings."""


class SpanFullError(Exception):
    """A stream has all that it shall fetch; its answer may go on."""


class Stream:
    """One answer's bytes on their way into the file, at [start, stop): a `BodySink`.

    Invariant: start <= position <= stop <= reach, where known.

    Args:
        fd: The file.
        start: Where the first byte goes.
        stop: One past the last byte wanted; None takes all that comes.
        on_bytes: Called with the size of each piece taken.

    Attributes:
        stop: May be lowered while bytes come: another stream takes over from there.
        reach: One past the last byte that the answer brings; None when unknown.
    """

    def __init__(
        self, fd: int, start: int, stop: int | None, on_bytes: Callable[[int], None]
    ) -> None:
        self.start = start
        self.stop = stop
        self.reach = stop
        self.position = start
        self.is_retiring = False
        self._sink = FileSink(fd, start)
        self._on_bytes = on_bytes

    @property
    def written(self) -> Span:
        """The span that is in the file."""
        return (self.start, self.start + self._sink.written)

    @property
    def left(self) -> int:
        """Bytes still to come; 0 when that is not known."""
        return 0 if self.stop is None else self.stop - self.position

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Take the next piece.

        Raises:
            SpanFullError: All that is wanted has come, and this is more.
            OSError: The file cannot be written.
        """
        size = len(data)
        room = size if self.stop is None else self.stop - self.position
        if self.is_retiring or room <= 0:
            raise SpanFullError
        waiting = self._sink.write(data if size <= room else data[:room])
        self.position += min(size, room)
        self._on_bytes(min(size, room))
        if size <= room:
            return waiting
        if waiting is None:
            raise SpanFullError
        return _ThenFull(waiting)

    async def aclose(self) -> None:
        """Have everything taken in the file."""
        await self._sink.aclose()


class _ThenFull:
    """Waits for room, once awaited, and then says that the span is full; may be dropped."""

    def __init__(self, waiting: Awaitable[None]) -> None:
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._waiting.__await__()
        raise SpanFullError


class Streams:
    """All streams into one file, and what nobody fetches yet.

    Args:
        done: What was there before.
        total: The file's size; None when unknown, and then there is one stream.
    """

    def __init__(self, done: Done, total: int | None) -> None:
        self.total = total
        self._done = done
        self._active: list[Stream] = []
        self._pending: list[Span] = [] if total is None else done.gaps(total)

    @property
    def active(self) -> int:
        """Streams at work."""
        return len(self._active)

    @property
    def is_incomplete(self) -> bool:
        """Whether some of the file is missing, as far as its size is known."""
        return self.total is not None and self.done.size < self.total

    @property
    def done(self) -> Done:
        """What is in the file now."""
        return self._done.plus(stream.written for stream in self._active)

    @property
    def received(self) -> int:
        """Bytes that are there or on their way into the file."""
        return self._done.size + sum(s.position - s.start for s in self._active)

    def begin(self, stream: Stream) -> None:
        """A stream starts; what it fetches is no longer pending."""
        self._active.append(stream)
        self._pending = list(_without(self._pending, stream.start, stream.stop))

    async def drain(self, live: "Live", stream: Stream) -> None:
        """Write an answer's body to the file; what came is accounted for, whatever happens.

        Raises:
            RequestError: The answer broke, or ended before its span did.
            OSError: The file cannot be written.
        """
        try:
            with contextlib.suppress(SpanFullError):
                await live.exchange.drain(stream)
                if stream.left and not stream.is_retiring:  # all came that will
                    raise ProtocolError("the connection closed early")
        finally:
            try:
                await live.aclose()
            finally:
                try:
                    await stream.aclose()
                finally:
                    self.end(stream)

    def end(self, stream: Stream) -> None:
        """A stream ended, done or not; what it has not fetched goes back."""
        self._active.remove(stream)
        self._done = self._done.plus([stream.written])
        if stream.stop is not None and stream.written[1] < stream.stop:
            self.give_back((stream.written[1], stream.stop))

    def take(self) -> Span | None:
        """Return bytes that nobody fetches, else half of what the slowest stream has left.

        None when there is nothing worth a request.
        """
        if self._pending:
            return self._pending.pop(0)
        if not self._active:
            return None
        slowest = max(self._active, key=lambda s: s.left)
        if slowest.stop is None or slowest.left < 2 * MIN_SPLIT_BYTES:
            return None
        middle, stop = slowest.position + slowest.left // 2, slowest.stop
        slowest.stop = middle
        return (middle, stop)

    def give_back(self, span: Span) -> None:
        """Nobody fetches `span` now: a stream before it goes on, or it waits for one."""
        self._pending = sorted([*self._pending, span])
        for stream in self._active:
            while not stream.is_retiring and (after := self._pending_at(stream)) is not None:
                self._pending.remove(after)
                stream.stop = after[1]

    def _pending_at(self, stream: Stream) -> Span | None:
        """Return the span behind a stream's that its answer would bring too."""
        for span in self._pending:
            if span[0] == stream.stop and stream.reach is not None and span[1] <= stream.reach:
                return span
        return None

    def keep(self, number: int) -> None:
        """Let all but the `number` oldest streams end with their next piece."""
        for stream in self._active[number:]:
            stream.is_retiring = True


def _without(spans: Iterable[Span], start: int, stop: int | None) -> Iterable[Span]:
    for span in spans:
        before = (span[0], min(span[1], start))
        after = (max(span[0], stop), span[1]) if stop is not None else (0, 0)
        yield from (s for s in (before, after) if s[0] < s[1])
