"""One HTTP/1.1 connection: an asyncio protocol that carries one exchange after another."""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from time import perf_counter
from typing import Any, NamedTuple, cast

from nbhttp._core import translate
from nbhttp._core.runtime import discard_transport
from nbhttp._engines.base import BodySink, EngineRequest, Head, PhaseLimits, Phases
from nbhttp._engines.direct.answer import AnswerReader, ReadLimits
from nbhttp._engines.direct.deadlines import Deadlines
from nbhttp._engines.direct.upload import HeadWriter, framed_body
from nbhttp.errors import RequestError

__all__ = ["Connection", "Outbox", "Surroundings"]

_ONE_WRITE_BYTES = 64 * 1024
_PAUSE_ABOVE_BYTES = 1024 * 1024
_NO_LIMITS = PhaseLimits()


class Outbox:
    """Writes what is sent in one turn of the loop back to back, at its end.

    Each write may wake the peer: when it sits on the same machine it would run in between, time
    and again (10 % of the CPU that a request takes).

    Args:
        loop: The loop that the transports belong to.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: list[tuple[asyncio.Transport, bytes]] = []

    def post(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` soon, unless the transport is closed first."""
        if not self._letters:
            self._loop.call_soon(self._write_all)
        self._letters.append((transport, data))

    def _write_all(self) -> None:
        letters, self._letters = self._letters, []
        for transport, data in letters:
            if not transport.is_closing():
                transport.write(data)


class Surroundings(NamedTuple):
    """What all connections of an engine have in common.

    Attributes:
        loop: The running loop.
        limits: Largest answer head accepted.
        deadlines: The clock for time limits.
        memory: What is read into. A transport asks for it, reads and reports that in one go, so
            no two uses overlap.
        outbox: Writes what they send.
    """

    loop: asyncio.AbstractEventLoop
    limits: ReadLimits
    deadlines: Deadlines
    memory: memoryview
    outbox: Outbox


class Connection(asyncio.BufferedProtocol):
    """A TCP or TLS connection to one origin.

    `perform` sends a request and returns when the answer's head (or, with `whole`, its body too)
    has come; `take`, `read` and `drain` give the body; `release` ends the exchange. Whatever goes
    wrong, cancellation included, aborts the transport and is raised by the call that waits.

    Invariants: `_reader` is None exactly between exchanges; what arrives then is an offence and
    closes. At most one coroutine waits, on `_waiter`, and only until that is done is the connection
    watched by `deadlines`. `_error` is set once and says why the exchange cannot go on.

    Args:
        key: What the pool files it under.
        shared: What it shares with the engine's other connections.
        on_lost: Called once when the transport is gone.

    Attributes:
        peer: Address and port at the other end; None before the connection is made.
        idle_since: When the last exchange ended, on `perf_counter`'s clock.
    """

    __slots__ = (
        "_buffered",
        "_deadlines",
        "_error",
        "_heads",
        "_is_lost",
        "_is_paused",
        "_is_sent",
        "_limits",
        "_loop",
        "_mark",
        "_memory",
        "_on_lost",
        "_outbox",
        "_phase_limits",
        "_phases",
        "_pieces",
        "_reader",
        "_since",
        "_sink",
        "_sink_wait",
        "_total",
        "_total_at",
        "_transport",
        "_upload",
        "_waiter",
        "_whole",
        "_writable",
        "idle_since",
        "key",
        "peer",
    )

    def __init__(
        self,
        key: object,
        shared: Surroundings,
        on_lost: "Callable[[Connection], None]",
    ) -> None:
        self.key = key
        self.peer: str | None = None
        self.idle_since = 0.0
        self._loop, self._limits, self._deadlines, self._memory, self._outbox = shared
        self._on_lost = on_lost
        self._heads = HeadWriter()
        self._transport: asyncio.Transport | None = None
        self._is_lost = False
        self._reader: AnswerReader | None = None
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self._is_sent = True
        self._is_paused = False
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._sink: BodySink | None = None
        self._sink_wait: Awaitable[None] | None = None
        self._phases = Phases()
        self._phase_limits = _NO_LIMITS
        self._total: float | None = None
        self._total_at = math.inf
        self._mark = self._since = 0.0
        self._whole = False

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and the peer's address."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = _peer_text(transport.get_extra_info("peername"))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        """Return the memory to read into: bytes made by a transport cost TLS 25 µs a piece."""
        return self._memory

    def buffer_updated(self, nbytes: int) -> None:
        """Take what arrived."""
        if self._sink is None:
            self._receive(self._memory[:nbytes])
        else:
            self._pour(self._memory[:nbytes], self._sink)

    def _receive(self, data: bytes | memoryview) -> None:
        content = self._feed(data)
        if content:
            self._pieces.append(bytes(content))
            self._buffered += len(content)
            if self._buffered > _PAUSE_ABOVE_BYTES and not self._whole:
                self._pause_reading()
            if not self._whole:
                self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange under way: with its answer when that ends with the connection."""
        self._is_lost = True
        if isinstance(exc, ConnectionError) and not self._is_sent:
            self._read_last_words()
        reader = self._reader
        if reader is not None and not reader.is_done and self._error is None:
            if exc is None and reader.end():
                self._phases.receive = perf_counter() - self._mark
            else:
                self._error = translate.read_error(exc, self._phases, reader.received)
        self._wake()
        self.resume_writing()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Hold the upload: the peer is slow."""
        if self._writable is None:
            self._writable = self._loop.create_future()
            self._restart_limit()

    def resume_writing(self) -> None:
        """Let the upload go on."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # What the engine calls

    @property
    def is_open(self) -> bool:
        """Whether the transport can carry anything."""
        return (
            not self._is_lost and self._transport is not None and not self._transport.is_closing()
        )

    @property
    def is_uploading(self) -> bool:
        """Whether a request's body is being sent, or was until it was stopped."""
        return self._upload is not None

    @property
    def has_answered(self) -> bool:
        """Whether any byte of the present answer has come."""
        return self._reader is not None and self._reader.has_begun

    def abort(self) -> None:
        """Close at once; what was not sent is dropped."""
        if self._upload is not None:
            self._upload.cancel()
        if self._transport is not None:
            self._transport.abort()

    def discard(self) -> None:
        """Close at once, also when the loop has ended."""
        if self._upload is not None:
            with suppress(RuntimeError):  # "Event loop is closed"
                self._upload.cancel()
        if self._transport is not None:
            discard_transport(self._transport)

    def release(self) -> bool:
        """End the exchange.

        Returns:
            Whether the connection can carry another; else it is closed.
        """
        reader, self._reader = self._reader, None
        self._pieces.clear()  # came whole but unread: not for the next exchange
        self._buffered = 0
        is_reusable = (
            reader is not None
            and reader.is_done
            and reader.is_reusable
            and self._is_sent
            and self._error is None
            and self.is_open
        )
        if not is_reusable:
            self.abort()
        elif self._is_paused:
            self._resume_reading()
        return is_reusable

    async def settle(self) -> None:
        """See the end of an upload that `release` or `abort` has stopped."""
        if self._upload is not None:
            await asyncio.wait({self._upload})

    async def perform(
        self,
        request: EngineRequest,
        phases: Phases,
        total_at: float,
        max_body: int | None,
        *,
        whole: bool,
    ) -> Head:
        """Send `request` and wait for the answer.

        Args:
            request: What to send.
            phases: Filled while it runs.
            total_at: When everything has to be over, on `perf_counter`'s clock.
            max_body: Most bytes of body; None is no bound.
            whole: Wait for the whole body, not just for the head.
        """
        self._begin(request, phases, total_at, max_body, whole=whole)
        try:
            self._send(request)
            while not self._is_answered():
                await self._news()
            self._check()
        except BaseException:
            await self._give_up()
            raise
        head = self._answer.head
        if head is None:
            raise AssertionError("answered without a head")
        return head

    def take(self) -> bytes:
        """Return what has come of the body and was not yet taken."""
        pieces = self._pieces
        if not pieces:
            return b""
        content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered = 0
        return content

    async def read(self) -> bytes:
        """Return the next piece of the body; b"" at its end."""
        try:
            while not self._pieces:
                if self._answer.is_done:
                    return b""
                self._resume_reading()
                await self._wait()
        except BaseException:
            await self._give_up()
            raise
        return self.take()

    async def drain(self, sink: BodySink) -> None:
        """Write the rest of the body to `sink`, straight from the transport's buffer."""
        try:
            while buffered := self.take():  # more may come while the sink is waited for
                if (waiting := sink.write(memoryview(buffered))) is not None:
                    await waiting
            if not self._answer.is_done:
                await self._drain_transport(sink)
        except BaseException:
            await self._give_up()
            raise

    # What `Deadlines` calls

    def due(self) -> float:
        """Return when the total or the present phase's limit passes."""
        if self._is_sent:
            limit = self._phase_limits.read
        else:  # the caller's iterable may take its time, the peer may not
            limit = self._phase_limits.write if self._writable is not None else None
        return self._total_at if limit is None else min(self._total_at, self._since + limit)

    def expire(self) -> None:
        """Fail: a limit has passed."""
        is_total = self._total_at <= perf_counter()
        phase_limit = self._phase_limits.read if self._is_sent else self._phase_limits.write
        limit = self._total if is_total else phase_limit
        self._fail(translate.time_limit_error(limit, self._phases.running))

    # Inside

    @property
    def _answer(self) -> AnswerReader:
        if self._reader is None:
            raise RuntimeError("the exchange is over")
        return self._reader

    def _begin(
        self,
        request: EngineRequest,
        phases: Phases,
        total_at: float,
        max_body: int | None,
        *,
        whole: bool,
    ) -> None:
        self._reader = AnswerReader(request.method, self._limits, max_body)
        self._phases = phases
        self._phase_limits = request.limits
        self._total = request.total
        self._total_at = total_at
        self._whole = whole
        self._is_sent = False
        phases.running = "send"
        self._mark = self._since = perf_counter()

    def _send(self, request: EngineRequest) -> None:
        transport = self._transport
        if transport is None or not self.is_open:
            raise translate.read_error(None, self._phases)
        body = request.body
        head = self._heads.write(request)
        if isinstance(body, bytes) and len(body) <= _ONE_WRITE_BYTES:
            self._outbox.post(transport, head + body if body else head)
            self._sent()
        else:
            self._upload = self._loop.create_task(self._send_body(transport, head, request))
            self._upload.add_done_callback(self._upload_done)

    async def _send_body(
        self, transport: asyncio.Transport, head: bytes, request: EngineRequest
    ) -> None:
        """Send head and body; stop when an error answer or the end of any answer has come."""
        transport.write(head)
        async with aclosing(framed_body(request)) as pieces:
            async for piece in pieces:
                if self._is_refused() or not self.is_open:
                    return
                transport.write(piece)
                if self._writable is not None:
                    await self._writable
                else:
                    await asyncio.sleep(0)  # look for an answer, and let others run
        self._sent()
        self._restart_limit()

    def _upload_done(self, task: "asyncio.Task[None]") -> None:
        self._upload = None
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._fail(exc)

    def _is_refused(self) -> bool:
        answer = self._reader
        if answer is None or answer.is_done:
            return True
        return answer.head is not None and answer.head.status >= 400

    def _sent(self) -> None:
        now = perf_counter()
        self._is_sent = True
        if self._phases.running == "send":
            self._phases.send = now - self._mark
            self._phases.running = "wait"
            self._mark = now
        self._since = now

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Pass what arrived through the reader; return the content in it."""
        reader = self._reader
        if reader is None:
            self.abort()  # an answer to no request, or bytes behind the last one
            return b""
        if self._error is not None:
            return b""
        now = self._since = perf_counter()
        if not reader.has_begun:
            self._first_byte(now)
        had_head = reader.head is not None
        try:
            content = reader.feed(data)
        except RequestError as error:
            self._fail(error)
            return b""
        if reader.is_done:
            self._phases.receive = now - self._mark
            self._wake()
        elif not had_head and reader.head is not None and not self._whole:
            self._wake()
        return content

    def _read_last_words(self) -> None:
        """Look for an answer that arrived before the write that failed.

        A server that refuses an upload answers and closes; the transport meets the broken pipe
        first, while the answer still lies in the socket. (Under TLS it stays unread.)
        """
        transport = self._transport
        if transport is None or transport.get_extra_info("sslcontext") is not None:
            return
        with suppress(OSError):
            handle = transport.get_extra_info("socket")
            with socket.fromfd(handle.fileno(), handle.family, handle.type) as twin:
                twin.setblocking(False)
                while data := twin.recv(_ONE_WRITE_BYTES):
                    self._receive(data)

    def _first_byte(self, now: float) -> None:
        phases = self._phases
        if phases.running == "send":
            phases.send = now - self._mark
        else:
            phases.wait = now - self._mark
        phases.running = "receive"
        self._mark = now

    def _is_answered(self) -> bool:
        answer = self._answer
        return answer.is_done or (not self._whole and answer.head is not None)

    async def _wait(self) -> None:
        """Wait until something happened; raise what went wrong."""
        await self._news()
        self._check()

    def _check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error

    def _news(self) -> "asyncio.Future[None]":
        """Return what is done when something has happened; raise what went wrong already."""
        self._check()
        self._since = perf_counter()
        waiter = self._waiter = self._loop.create_future()
        self._deadlines.watch(self, self.due())
        return waiter

    def _restart_limit(self) -> None:
        """Another phase's limit counts from now."""
        self._since = perf_counter()
        if self._waiter is not None:
            self._deadlines.watch(self, self.due())

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._deadlines.unwatch(self)
            if not waiter.done():
                waiter.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self.abort()
        self._wake()

    async def _give_up(self) -> None:
        """Close at once; nothing outlives the call."""
        phases = self._phases
        setattr(phases, phases.running, perf_counter() - self._mark)
        self._waiter = None
        self._deadlines.unwatch(self)
        self.abort()
        await self.settle()

    async def _drain_transport(self, sink: BodySink) -> None:
        if self._error is not None or self._is_lost:
            await self._wait()
            return
        self._sink = sink
        self._resume_reading()
        try:
            while not self._answer.is_done:
                await self._wait()
                if self._sink_wait is not None:
                    await self._sink_wait
                    self._sink_wait = None
                    self._resume_reading()
        finally:
            self._sink = None

    def _pour(self, data: memoryview, sink: BodySink) -> None:
        """Write what arrived to the sink."""
        content = self._feed(data)
        if not content:
            return
        try:
            waiting = sink.write(memoryview(content))
        except Exception as error:  # noqa: BLE001 - whatever the sink raises reaches drain's caller
            self._fail(error)
            return
        if waiting is not None:
            self._sink_wait = waiting
            self._pause_reading()
            self._wake()

    def _pause_reading(self) -> None:
        if not self._is_paused and self._transport is not None and self.is_open:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_paused and self._transport is not None and self.is_open:
            self._is_paused = False
            self._transport.resume_reading()


def _peer_text(address: Any) -> str | None:
    """Return "host:port"; None for what is no internet address."""
    if not isinstance(address, tuple) or len(address) < 2:
        return None
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
