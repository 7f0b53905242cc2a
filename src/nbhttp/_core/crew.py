"""The connections that fetch one file's parts at once."""

import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from nbhttp._core.answers import Ruling, StartOverError, Verdict, rule
from nbhttp._core.asking import Answer
from nbhttp._core.ranges import Range, Span
from nbhttp._core.segments import Stream, Streams
from nbhttp._core.validators import Validators
from nbhttp.errors import NbhttpError

if TYPE_CHECKING:
    from nbhttp._core.live import Live

__all__ = ["Crew"]

_STEPS = (4, 8)
"""How many connections are tried unasked, one after the other.

A step that multiplies them shows in half a second, on a jittery line too, whether they help.
"""
LEAST_BYTES = 16 * 1024 * 1024
"""What must be left for further connections to be tried."""
_LEAST_S = 3.0  # and it must take this long
_WINDOW_S = 0.5
_SETTLING_S = 0.3
_GAIN = 1.2
_FAILURES = 3
_DELAY_S = 0.25


class Crew:
    """Workers that fetch spans until nothing is missing.

    One that fails gives back what it had not fetched, and the others take it; only the failure of
    the last one ends the attempt.

    Args:
        streams: What is fetched by whom.
        version: Of the file; an answer of another one ends the attempt.
        ask: Asks for a part.
        make_stream: Makes the stream for a span.
        wanted: How many workers; None finds out whether more are faster.
    """

    def __init__(
        self,
        streams: Streams,
        version: Validators,
        ask: Callable[[Range], Awaitable[Answer]],
        make_stream: Callable[[int, int | None], Stream],
        wanted: int | None,
    ) -> None:
        self._streams = streams
        self._version = version
        self._ask = ask
        self._make_stream = make_stream
        self._wanted = wanted
        self._workers = 0
        self._most: float = math.inf  # more workers than this end as soon as they can
        self._failure: Exception | None = None
        self._last_error: Exception | None = None

    async def run(self, live: "Live", first: Stream) -> None:
        """Fetch all that is missing, starting with an answer that is there.

        Raises:
            NbhttpError: The last worker failed.
            StartOverError: The server's file is not the one that is here.
            OSError: The file cannot be written.
        """
        async with anyio.create_task_group() as group:
            self._group = group
            self._spawn(live, first)
            if self._wanted is None:
                group.start_soon(self._grow)
            else:
                self._add(self._wanted - 1)
        failure = self._failure
        if failure is None and self._streams.is_incomplete:
            failure = self._last_error
        if failure is not None:
            raise failure

    def _add(self, number: int) -> None:
        for _ in range(number):
            self._spawn(None, None)

    def _spawn(self, live: "Live | None", stream: Stream | None) -> None:
        self._workers += 1
        self._group.start_soon(self._work, live, stream)

    async def _work(self, live: "Live | None", stream: Stream | None) -> None:
        failures = 0
        try:
            while failures < _FAILURES:
                try:
                    if await self._fetch_one(live, stream):
                        return
                    failures = 0
                except NbhttpError as exc:
                    if self._workers == 1:
                        raise
                    self._last_error = exc
                    failures += 1
                    longest = _DELAY_S * 2**failures
                    await anyio.sleep(random.uniform(0, longest))  # noqa: S311 - spreads clients
                live = stream = None
        except Exception as exc:  # noqa: BLE001 - raised by `run`, outside the group
            self._failure = self._failure or exc
            self._group.cancel_scope.cancel()
        finally:
            self._workers -= 1
            if self._workers == 0:
                self._group.cancel_scope.cancel()

    async def _fetch_one(self, live: "Live | None", stream: Stream | None) -> bool:
        """Fetch one span; whether this worker has no more to do."""
        if live is None or stream is None:
            span = None if self._is_superfluous else self._streams.take()
            if span is None:
                return True
            opened = await self._open(span)
            if opened is None:
                return True
            live, stream = opened
        await self._streams.drain(live, stream)
        return self._is_superfluous

    @property
    def _is_superfluous(self) -> bool:
        return self._workers > self._most

    async def _open(self, span: Span) -> "tuple[Live, Stream] | None":
        """Ask for a span; None when the server does not serve parts after all."""
        left = span
        answer = None
        try:
            answer = await self._ask(span)
            ruling = rule(answer.facts, span, self._version, self._streams.total)
            if ruling.verdict in {Verdict.RETRY, Verdict.REFUSED}:
                raise await answer.error(ruling)
            if ruling.verdict is not Verdict.PART:
                self._go_on_without_ranges(answer, ruling)
                return None
            stop = ruling.stop or span[1]
            stream = self._make_stream(span[0], stop)
            live, answer, left = answer.live, None, (stop, span[1])
            return live, stream
        finally:
            if left[0] < left[1]:
                self._streams.give_back(left)
            if answer is not None:
                await answer.live.aclose()

    def _go_on_without_ranges(self, answer: Answer, ruling: Ruling) -> None:
        """Leave all to the streams that there are, if the file is still the same."""
        if ruling.verdict is Verdict.CHANGED or self._version.contradicts(answer.facts.validators):
            raise StartOverError(ruling.reason, may_resume=True)
        if ruling.verdict is not Verdict.WHOLE or not self._streams.active:
            raise StartOverError(ruling.reason)

    # Finding out how many are fastest

    async def _grow(self) -> None:
        """Add workers as long as all together get faster by it."""
        rate = await self._rate()
        for step in _STEPS:
            while LEAST_BYTES <= self._left < rate * _LEAST_S:
                rate = await self._rate()  # many servers let the first bytes pass faster
            if self._left < LEAST_BYTES:
                return
            before = self._workers  # one may be between two parts
            self._add(step - self._workers)
            await anyio.sleep(_SETTLING_S)
            faster = await self._rate()
            if faster < rate * _GAIN:
                self._most = before
                self._streams.keep(before)
                return
            rate = faster

    @property
    def _left(self) -> int:
        return (self._streams.total or 0) - self._streams.received

    async def _rate(self) -> float:
        """Return bytes a second, of all workers, over the next half second."""
        before, began = self._streams.received, time.monotonic()
        await anyio.sleep(_WINDOW_S)
        return (self._streams.received - before) / (time.monotonic() - began)
