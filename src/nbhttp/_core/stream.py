"""Bodies that are read while they come: bytes, lines and NDJSON records.

A stream takes one batch after the other: what the next piece of the body completes. Items are
handed out from the batch at hand, so nothing is awaited between them, no time limit and no cancel
scope is open while the consumer's code runs, and no more is held than one piece. (The connection
itself reads ahead, up to a mebibyte.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Never, Self, TypeVar

from anyio.lowlevel import checkpoint

from nbhttp._charset import choose
from nbhttp._core.callers import Caller, here
from nbhttp._core.live import ERROR_BODY_S, Live, checked_size, content_codings
from nbhttp._core.request import Prepared, build
from nbhttp._core.runtime import current_loop, time_limit
from nbhttp._core.send import Conversation, announce
from nbhttp._engines import decoding
from nbhttp._habits import OnlyAsync, SaysHow, of_async_stream
from nbhttp.errors import (
    DecodeError,
    NbhttpError,
    RequestError,
    StatusError,
    StreamError,
    UnexpectedContentTypeError,
)
from nbhttp.result import RequestResult
from nbhttp.streaming import Decoder, LineDecoder, NdjsonDecoder

if TYPE_CHECKING:
    import httpx

    from nbhttp._core.state import ClientState
    from nbhttp._engines.base import Head

__all__ = ["ByteStream", "Iteration", "LineStream", "NdjsonStream", "Stream", "StreamCall"]

T = TypeVar("T")

_END = object()
_PIECE = 128 * 1024  # decoded at once: a few bytes may make a large object
_BREATH = 1024 * 1024  # taken without waiting before others get a turn
_MOST_OF_ERROR = 64 * 1024
_SMALL_CHUNK = 4096
_NO_BODY = frozenset({204, 304})


class StreamCall:
    """One request whose answer is read piece by piece, from its first byte to its last event.

    Args:
        state: The client's.
        request: What to send.
        caller: Where the user's code runs.

    Attributes:
        head: The answer's; None until it has come.
        received: Bytes of the body read so far, content codings undone.
        request_id: That of its events; "" when nobody listened as it began.
        started: When the call began, by `time.perf_counter()`.
    """

    def __init__(self, state: ClientState, request: Prepared, caller: Caller = here) -> None:
        self._state = state
        self._request = request
        self._caller = caller
        self._finish: Any = None
        self.started = time.perf_counter()
        self._conversation: Conversation | None = None
        self._decoder: decoding.Decoder | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._slice = 0
        self._breath = 0
        self.head: Head | None = None
        self.received = 0
        self.request_id = ""

    async def open(self, *, raw: bool = False, piece_size: int = 0) -> Head:
        """Send the request and return when the answer's head has come.

        Args:
            raw: Read the body as sent.
            piece_size: Bytes of the largest piece that `read` gives; 0 leaves them as they come.

        Raises:
            RequestError: No answer came.
        """
        state = self._state
        running_id = state.request_id.get()
        if state.events.is_heard:
            self._finish = announce(state, self._request, is_stream=True)
            self.request_id = state.request_id.get()
        try:
            self._conversation = Conversation(
                state, self._request, self._caller, "stream", stream_of=self
            )
            with state.in_flight(self._request, self):
                self.head, _, _ = await self._conversation.run()
        except BaseException as exc:
            self.locate(exc)
            await self.aclose(exc)
            raise
        finally:
            state.request_id.set(running_id)
        if self._conversation.live is not None:
            self._conversation.live.is_closed_by(self.aclose)
        codings = [] if raw or self.head.status in _NO_BODY else content_codings(self.head)
        self._decoder = decoding.make_decoder(codings) if codings else None
        self._slice = piece_size
        return self.head

    @property
    def live(self) -> Live:
        """The exchange under way."""
        if self._conversation is None or self._conversation.live is None:
            raise RuntimeError("the stream is not open")
        return self._conversation.live

    @property
    def conversation(self) -> Conversation:
        """What was asked and answered so far."""
        if self._conversation is None:
            raise RuntimeError("the stream is not open")
        return self._conversation

    async def read(self) -> bytes:
        """Return the next piece of the body; b"" at its end.

        Raises:
            RequestError: The connection broke, nothing came in time, or a coding is damaged.
        """
        while True:
            for piece in self._pieces:
                self.received += len(piece)
                self._breath += len(piece)
                if self._breath > _BREATH:
                    self._breath = 0
                    await checkpoint()
                return piece
            coded = await self.live.read()
            if not coded:
                if self._decoder is not None:
                    self._decoder.flush()
                return b""
            self._pieces = self._cut(coded)

    def _cut(self, coded: bytes) -> Iterator[bytes]:
        if self._decoder is not None:
            return self._decoder.feed(coded)
        size = self._slice
        if not size or len(coded) <= size:
            return iter((coded,))
        return (coded[at : at + size] for at in range(0, len(coded), size))

    async def refusal(self) -> NbhttpError | None:
        """Return the error of an answer with 4xx or 5xx; its body, bounded, explains it."""
        head = self.head
        if head is None or head.status < 400:
            return None
        body = bytearray()
        try:
            async with time_limit(ERROR_BODY_S):
                while len(body) < _MOST_OF_ERROR and (piece := await self.read()):
                    body += piece
        except (RequestError, TimeoutError):
            pass  # the status is the news
        self.received = 0  # none of it is the stream's
        return self._result(bytes(body[:_MOST_OF_ERROR])).exception

    def locate(self, error: BaseException) -> None:
        """Complete an error with the request that it belongs to."""
        if isinstance(error, NbhttpError) and self._conversation is not None:
            self._conversation.result(self.started, self.head, error=error)

    def _result(self, body: bytes = b"") -> RequestResult:
        return self.conversation.result(self.started, self.head, body)

    async def aclose(self, exc: BaseException | None = None) -> None:
        """Close the connection, or give it back at the body's end, and report; once.

        Args:
            exc: What ended it; None when it ended well or was no longer wanted.
        """
        conversation = self._conversation
        try:
            if conversation is not None and conversation.live is not None:
                await conversation.live.aclose()
        finally:
            self._report(exc)

    def _report(self, exc: BaseException | None) -> None:
        finish, self._finish = self._finish, None
        if finish is None:
            return
        live = None if self._conversation is None else self._conversation.live
        if exc is None and live is not None and live.is_cancelled:
            exc = asyncio.CancelledError()
        is_left = exc is None or isinstance(exc, GeneratorExit)  # by the consumer
        is_ours = isinstance(exc, NbhttpError) or not (is_left or isinstance(exc, Exception))
        result = None if self.head is None else self._result()
        received = self.received or (0 if live is None else live.received)
        finish(result, exc if is_ours else None, received)

    def close_soon(self) -> None:
        """Close it from any thread, without waiting."""
        live = None if self._conversation is None else self._conversation.live
        # One that broke is closed, but not told of while the consumer takes what had come.
        if live is not None and (live.is_open or self._finish is not None):
            live.close_soon(self.aclose)


class Stream(OnlyAsync, SaysHow, Generic[T]):
    """An answer that is read while it comes: an async iterator, opened when it is first read.

    Leaving the loop (by `break`, an exception or cancellation) closes the connection. As
    `async with`, the end of the block does that, so that the items can be read in several loops.

    Args:
        state: The client's.
        request: What to send.
        raise_exception: Whether a failure before the first byte is raised; else it stands in
            `error` and the stream is empty.
    """

    _habits = of_async_stream
    _piece_size = _PIECE
    _raw = False

    def __init__(self, state: ClientState, request: Prepared, *, raise_exception: bool) -> None:
        self.caller: Caller = here
        self._state = state
        self._request = request
        self._raises = raise_exception
        self._call: StreamCall | None = None
        self._loop: Any = None
        self._decoder: Decoder[T] | None = None
        self._ready: Iterator[T] = iter(())
        self._exception: NbhttpError | None = None
        self._received_before = 0  # on earlier connections
        self._pending: BaseException | None = None
        self._is_held = False  # by a `with` block
        self._is_busy = False
        self._is_over = False
        self._is_closed = False

    # What came

    @property
    def method(self) -> str:
        """The request's method."""
        return self._request.method

    @property
    def url(self) -> str:
        """The URL asked; a credential in its query is still there."""
        return self._request.url.text

    @property
    def status_code(self) -> int | None:
        """The answer's status; None until its head has come."""
        head = None if self._call is None else self._call.head
        return None if head is None else head.status

    @property
    def headers(self) -> httpx.Headers:
        """The answer's fields; empty until its head has come."""
        import httpx

        head = None if self._call is None else self._call.head
        return httpx.Headers([] if head is None else head.headers)

    @property
    def received(self) -> int:
        """Bytes of the body that have come, content codings undone."""
        return self._received_before + (0 if self._call is None else self._call.received)

    @property
    def exception(self) -> NbhttpError | None:
        """What ended the stream early; None when nothing did."""
        return self._exception

    @property
    def error(self) -> str | None:
        """What ended the stream early, in one line; None when nothing did."""
        return None if self._exception is None else str(self._exception)

    def __repr__(self) -> str:
        from nbhttp.redaction import redact_url

        return f"<{type(self).__name__} {self.method} {redact_url(self.url)}: {self._progress()}>"

    def _progress(self) -> str:
        if self._call is None:
            return "closed before it was opened" if self._is_closed else "not opened yet"
        status = self.status_code
        how = "open" if not self._is_closed else "ended" if self._is_over else "closed"
        how = "failed" if self._exception is not None else how
        return f"{how}, {'no answer' if status is None else status}, {self.received:,} bytes"

    # Opening and closing

    async def open(self) -> Self:
        """Send the request and return when the answer's head has come; once.

        Raises:
            RequestError: No answer came.
            StatusError: It has status 4xx or 5xx.
        """
        if self._call is None and not self._is_closed:
            self._loop = current_loop()
            try:
                await self._connect()
            except BaseException as exc:
                await self._end(self._explained(exc))
                if self._is_excused(exc):
                    return self
                raise
        return self

    async def _connect(self) -> None:
        """Open a connection and judge the answer's head."""
        self._received_before = self.received
        call = self._call = StreamCall(self._state, self._request, self.caller)
        await call.open(raw=self._raw, piece_size=self._piece_size)
        refusal = await call.refusal()
        if refusal is not None:
            raise refusal
        self._decoder = self._make_decoder()

    def _make_decoder(self) -> Decoder[T]:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the connection; doing it again does nothing."""
        self._ready = iter(())
        self._is_over |= self._is_busy  # whoever reads it comes to its end
        await self._end(None)

    async def _end(self, exc: BaseException | None) -> None:
        self._is_closed = True
        if self._exception is None and isinstance(exc, NbhttpError):
            self._exception = exc
        if self._call is not None:
            await self._call.aclose(exc)

    async def __aenter__(self) -> Self:
        self.hold()
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def hold(self) -> None:
        """Note that a `with` block has begun, which will close it."""
        self._is_held = True

    def release(self) -> None:
        """Note that a loop over the items has ended: close, unless a `with` block holds it."""
        if not self._is_held:
            self._drop()

    def _drop(self) -> None:
        call = self._call
        if call is not None and not self._is_closed:
            self._is_closed = True
            self._ready = iter(())
            call.close_soon()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:  # __init__ may have failed
            self._drop()

    # Reading

    def __aiter__(self) -> Iteration[T]:
        return Iteration(self)

    if not TYPE_CHECKING:

        def __iter__(self) -> Never:
            """Say to `for` and `list` what to write."""
            raise TypeError(
                f"{type(self).__name__} is async: write `async for`; without await the same "
                "methods of nbhttp.HttpClient give plain iterators"
            )

    async def __anext__(self) -> T:
        while True:
            item = next(self._ready, _END)
            if item is not _END:
                return item  # type: ignore[return-value] # not the mark of the end
            batch = await self.next_batch()
            if not batch:
                raise StopAsyncIteration
            self._ready = iter(batch)

    async def next_batch(self) -> list[T]:
        """Return what the next piece of the body completes; empty at the end.

        Raises:
            RequestError: It failed before the first byte came.
            StatusError: Likewise: the answer has status 4xx or 5xx.
            StreamError: It broke later; `received` says how much had come. Or it was closed.
            DecodeError: What came is not what was asked for.
        """
        if self._is_busy:
            raise RuntimeError("the stream is being read by another task")
        self._is_busy = True
        try:
            await self.open()
            if self._is_closed:
                return self._nothing_more()
            if current_loop() is not self._loop:
                raise RuntimeError("the stream was opened on another event loop; read it there")
            return await self._next()
        finally:
            self._is_busy = False

    async def _next(self) -> list[T]:
        try:
            batch = await self._pull()
        except BaseException as exc:
            if self._is_over and isinstance(exc, Exception):  # by `aclose()` in another task
                return []
            error = self._explained(exc)
            await self._end(error)
            if self._is_excused(error):
                return []
            if error is exc:
                raise
            raise error from exc
        if self._is_over:
            return []
        if not batch:
            self._is_over = True
            await self._end(None)
        return batch

    def _nothing_more(self) -> list[T]:
        if self._is_over or self._exception is not None:
            return []
        raise StreamError(
            f"this stream was closed after {self.received:,} bytes",
            received=self.received,
            hint="Call the client's method again for a new one, or read it inside `with` to leave "
            "a loop and come back.",
        )

    async def _pull(self) -> list[T]:
        """Read until something is complete; return nothing at the end of the body."""
        call, decoder = self._call, self._decoder
        assert call is not None  # noqa: S101 - `open` made both
        assert decoder is not None  # noqa: S101
        if self._pending is not None:
            raise self._pending
        while True:
            if decoder.failure is not None:
                raise decoder.failure
            piece = await call.read()
            batch = decoder.feed(piece) if piece else self._at_end(decoder)
            if batch or not piece:
                return batch

    def _at_end(self, decoder: Decoder[T]) -> list[T]:
        return decoder.close()

    def _is_excused(self, exc: BaseException) -> bool:
        """Whether `exc` is to stand in `error` only."""
        is_kind = isinstance(exc, RequestError | StatusError | UnexpectedContentTypeError)
        return is_kind and not self._raises and not self.received

    def _explained(self, exc: BaseException) -> BaseException:
        """Return the error to raise: a break after the first byte is a StreamError."""
        if self._call is None or not isinstance(exc, NbhttpError):
            return exc
        error = exc
        if isinstance(exc, RequestError) and self.received:
            hint = "What came before is good; ask again, from there on if the server can."
            if isinstance(exc, TimeoutError):
                hint = "timeout= bounds the time between two reads: raise it; None waits forever."
            error = StreamError(
                f"the stream broke after {self.received:,} bytes: {exc.message}",
                received=self.received,
                method=exc.method,
                url=exc.url,
                hint=hint,
            )
        self._call.locate(error)
        return error


class Iteration(Generic[T]):
    """One loop over a stream; when it is dropped, the loop has ended."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream

    def __aiter__(self) -> Iteration[T]:
        return self

    async def __anext__(self) -> T:
        item = next(self._stream._ready, _END)  # noqa: SLF001 - saves a call for each item
        if item is not _END:
            return item  # type: ignore[return-value] # not the mark of the end
        return await self._stream.__anext__()

    async def aclose(self) -> None:
        """End the loop: close the stream."""
        await self._stream.aclose()

    def __del__(self) -> None:
        self._stream.release()


class _Pieces(Decoder[bytes]):
    """The decoder of `ByteStream`: pieces of one size, or as they come.

    Args:
        size: Bytes in each piece but the last; None leaves them.
    """

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self._size = size
        self._held: list[bytes] = []
        self._held_size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the whole pieces."""
        size = self._size
        if size is None:
            return [data]
        if self._held_size + len(data) < size:
            self._held.append(data)
            self._held_size += len(data)
            return []
        start = 0
        out = []
        if self._held:
            start = size - self._held_size
            out.append(b"".join((*self._held, memoryview(data)[:start])))
            self._held.clear()
        elif len(data) == size:
            return [data]
        stop = len(data) - (len(data) - start) % size
        out += [data[at : at + size] for at in range(start, stop, size)]
        if stop < len(data):
            self._held.append(data[stop:])
        self._held_size = len(data) - stop
        return out

    def close(self) -> list[bytes]:
        """Return what is left."""
        rest = b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        return [rest] if rest else []


class ByteStream(Stream[bytes]):
    """The bytes of a body; see `AsyncHttpClient.stream_request`."""

    def __init__(
        self,
        state: ClientState,
        request: Prepared,
        *,
        chunk_size: int | None,
        raw: bool,
        raise_exception: bool,
    ) -> None:
        super().__init__(state, request, raise_exception=raise_exception)
        self._chunk_size = checked_size(chunk_size)
        self._raw = raw
        if chunk_size is None or chunk_size >= _SMALL_CHUNK:
            self._piece_size = 0  # few objects come of it, however large it is

    def _make_decoder(self) -> _Pieces:
        return _Pieces(self._chunk_size)

    async def _pull(self) -> list[bytes]:
        try:
            return await super()._pull()
        except RequestError as exc:
            rest = self._decoder.close() if self._decoder is not None else []
            if not rest:
                raise
            self._pending = exc  # what came before it is good
            return rest


class LineStream(Stream[str]):
    """The lines of a body; see `AsyncHttpClient.lines`."""

    def __init__(
        self,
        state: ClientState,
        request: Prepared,
        *,
        encoding: str | None,
        errors: Literal["replace", "strict"],
        max_line: int,
        raise_exception: bool,
    ) -> None:
        super().__init__(state, request, raise_exception=raise_exception)
        LineDecoder(encoding or "utf-8", errors=errors, max_line=max_line)  # refuses what is wrong
        self._lines: LineDecoder | None = None
        self._encoding = encoding
        self._errors: Literal["replace", "strict"] = errors
        self._max_line = max_line

    @property
    def encoding(self) -> str | None:
        """The character encoding: given, or declared by the answer; None until that has come."""
        if self._encoding is None and self.status_code is not None:
            return choose(b"", self.headers.get("content-type", "")).encoding
        return self._encoding

    @property
    def replaced(self) -> int:
        """How many U+FFFD stand for bytes that are no text."""
        return 0 if self._lines is None else self._lines.replaced

    def _make_decoder(self) -> LineDecoder:
        encoding = self.encoding or "utf-8"
        self._lines = LineDecoder(encoding, errors=self._errors, max_line=self._max_line)
        return self._lines


class NdjsonStream(Stream[Any]):
    """The records of an NDJSON body; see `AsyncHttpClient.ndjson`."""

    def __init__(
        self,
        state: ClientState,
        request: Prepared,
        *,
        on_error: Literal["raise", "skip", "collect"],
        max_line: int,
        raise_exception: bool,
    ) -> None:
        super().__init__(state, request, raise_exception=raise_exception)
        self._records = NdjsonDecoder(on_error=on_error, max_line=max_line)

    @property
    def errors(self) -> list[DecodeError]:
        """The errors of bad lines, with `on_error="collect"`: the first 1,000."""
        return self._records.errors

    @property
    def skipped(self) -> int:
        """Bad lines left out so far."""
        return self._records.skipped

    @property
    def line_number(self) -> int:
        """Lines decoded so far, blank ones counted; may be ahead of the record at hand."""
        return self._records.line_number

    def _make_decoder(self) -> NdjsonDecoder:
        return self._records


# What the clients' methods make of their arguments


def byte_stream(
    state: ClientState,
    method: str,
    url: Any,
    options: Mapping[str, Any],
    *,
    chunk_size: int | None,
    raw: bool,
    raise_exception: bool,
) -> ByteStream:
    """Make the stream of `stream_request`, or refuse what is wrong with its arguments."""
    request = build(state.defaults, method, url, options)
    return ByteStream(
        state, request, chunk_size=chunk_size, raw=raw, raise_exception=raise_exception
    )


def line_stream(
    state: ClientState, url: Any, method: str | None, options: Mapping[str, Any], **settings: Any
) -> LineStream:
    """Make the stream of `lines`, or refuse what is wrong with its arguments."""
    return LineStream(state, stream_request(state, url, method, options), **settings)


def ndjson_stream(
    state: ClientState, url: Any, method: str | None, options: Mapping[str, Any], **settings: Any
) -> NdjsonStream:
    """Make the stream of `ndjson`, or refuse what is wrong with its arguments."""
    return NdjsonStream(state, stream_request(state, url, method, options), **settings)


def stream_request(
    state: ClientState, url: Any, method: str | None, options: Mapping[str, Any]
) -> Prepared:
    if method is None:
        has_body = any(
            options.get(name) is not None for name in ("json", "data", "content", "files")
        )
        method = "POST" if has_body else "GET"
    return build(state.defaults, method, url, options)
