"""Server-Sent Events over as many connections as it takes; WHATWG HTML section 9.2."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbhttp._checks import check_count
from nbhttp._core import events
from nbhttp._core import reconnect as reconnecting
from nbhttp._core.fields import raw_headers
from nbhttp._core.request import Prepared
from nbhttp._core.retry import retry_after_s
from nbhttp._core.runtime import Sleeper, sleeper
from nbhttp._core.stream import Iteration, Stream, StreamCall, stream_request
from nbhttp._json import JsonError, loads
from nbhttp.errors import (
    DecodeError,
    NbhttpError,
    RequestError,
    StatusError,
    UnexpectedContentTypeError,
)
from nbhttp.redaction import redact_url
from nbhttp.streaming import Decoder, ServerSentEvent, SseDecoder

if TYPE_CHECKING:
    from nbhttp._core.state import ClientState

__all__ = ["EventStream", "event_stream"]

_DONE = "[DONE]"  # what the APIs of language models end with
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class EventStream(Stream[ServerSentEvent]):
    """The events of an event stream, over as many connections as it takes.

    See `AsyncHttpClient.sse`.
    """

    def __init__(
        self,
        state: ClientState,
        request: Prepared,
        *,
        reconnect: bool | int,
        last_event_id: str | None,
        max_events: int | None,
        decodes_json: bool,
        max_event: int,
        raise_exception: bool,
    ) -> None:
        super().__init__(state, request, raise_exception=raise_exception)
        SseDecoder(max_event=max_event)  # refuses what is wrong
        self._most_failures = reconnecting.checked_reconnect(
            reconnect, is_replayable=request.is_replayable
        )
        most = None if max_events is None else check_count("max_events", max_events)
        self._left = float("inf") if most is None else most
        self._decodes_json = decodes_json
        self._max_event = max_event
        self._events: SseDecoder | None = None
        self._given_id = self._known_id = last_event_id or ""
        self._retry: int | None = None
        self._failures = 0
        self._number = 0
        self._is_within_event = False
        self._verdict = "read"
        self._opened = 0
        self._attempts = 0
        self._sleeper: Sleeper | None = None  # the pause under way, or the last one

    @property
    def last_event_id(self) -> str:
        """The ID of the last event taken: pass it on to continue there; "" when there is none."""
        return self._given_id

    @property
    def retry(self) -> int | None:
        """The server's reconnection time in milliseconds; None when it sent none."""
        return self._retry

    @property
    def reconnects(self) -> int:
        """How often it was opened again."""
        return max(0, self._opened - 1)

    def __aiter__(self) -> Iteration[ServerSentEvent]:
        return _Events(self)

    async def __anext__(self) -> ServerSentEvent:
        event = await super().__anext__()
        self.take(event)
        return event

    def take(self, event: ServerSentEvent) -> None:
        """Note that the consumer has this event."""
        self._given_id = event.id

    async def aclose(self) -> None:
        """Close the connection, and end a pause before the next; again does nothing."""
        await super().aclose()
        if self._sleeper is not None:
            with contextlib.suppress(RuntimeError):  # its loop has ended, and the pause with it
                self._sleeper.wake()

    async def _connect(self) -> None:
        self._received_before = self.received
        self._attempts += 1
        call = StreamCall(self._state, self._continued(), self.caller)
        self._call = call
        head = await call.open(piece_size=self._piece_size)
        content_type = self.headers.get("content-type", "")
        self._verdict = reconnecting.judge(head.status, content_type, is_first=not self._opened)
        self._decoder = self._make_decoder()
        if self._verdict == "end":
            self._left = 0
            return
        if self._verdict == "type":
            raise _unexpected_type(content_type, head.status)
        if self._verdict != "read":
            refusal = await call.refusal()
            assert refusal is not None  # noqa: S101 - its status is 4xx or 5xx
            raise refusal
        self._opened += 1

    def _make_decoder(self) -> SseDecoder:
        self._events = SseDecoder(self._known_id, max_event=self._max_event)
        return self._events

    def _continued(self) -> Prepared:
        """Return the request with the last event ID that has come whole."""
        if self._call is None:
            return self._request
        headers = [f for f in self._request.headers if f[0].lower() != b"last-event-id"]
        value = self._known_id.encode()
        if value and not _CONTROL.search(value):  # else no field can hold it
            headers.append((b"Last-Event-ID", value))
        return replace(self._request, headers=headers)

    async def _pull(self) -> list[ServerSentEvent]:
        while self._left:
            error: RequestError | None = None
            batch: list[ServerSentEvent] = []
            try:
                batch = await super()._pull()
            except RequestError as exc:
                error = exc
            self._keep_place()
            if batch:
                self._failures = 0
                return await self._counted(batch)
            if not await self._reconnected(error):
                if error is not None and self._left:
                    raise error
                break
        return []

    def _at_end(self, decoder: Decoder[ServerSentEvent]) -> list[ServerSentEvent]:
        if self._events is not None:
            self._is_within_event = self._events.is_within_event
        return decoder.close()

    def _keep_place(self) -> None:
        decoder = self._events
        if decoder is not None:
            self._known_id = decoder.last_event_id
            self._retry = self._retry if decoder.retry is None else decoder.retry

    async def _counted(self, batch: list[ServerSentEvent]) -> list[ServerSentEvent]:
        """Return the events to give; what follows the last of them is not read."""
        given: list[ServerSentEvent] = []
        for event in batch[: int(min(self._left, len(batch)))]:
            self._number += 1
            if self._decodes_json and event.data == _DONE:
                self._left = 0
                break
            try:
                given.append(_with_json(event, self._number) if self._decodes_json else event)
            except DecodeError as exc:
                if not given:
                    raise
                self._pending = exc
                break
        self._left = max(0, self._left - len(given))
        if not self._left and self._call is not None:
            await self._call.aclose()
        return given

    async def _reconnected(self, error: NbhttpError | None) -> bool:
        """Open the next connection; False when there is to be none.

        Raises:
            NbhttpError: The last attempt's failure.
        """
        ending = reconnecting.Ending(
            error is not None, self._is_within_event, bool(self._known_id), self._retry is not None
        )
        if not self._most_failures or not reconnecting.wants_client_back(ending):
            return False
        while self._failures < self._most_failures:
            assert self._call is not None  # noqa: S101 - a stream that ended was open
            await self._call.aclose(error)
            await self._pause(error)
            self._failures += 1
            if self._is_closed:
                return False
            try:
                await self._connect()
            except (RequestError, StatusError) as exc:
                if isinstance(exc, StatusError) and self._verdict != "again":
                    raise
                error = exc
            else:
                self._is_within_event = False
                return True
        if error is not None:
            raise error
        return False

    async def _pause(self, error: NbhttpError | None) -> None:
        seconds = reconnecting.delay_s(
            self._retry,
            self._failures,
            random.random(),  # noqa: S311 - spreads clients, guards nothing
            retry_after_s(self.headers) or 0.0,
        )
        self._announce_retry(error, seconds)
        self._sleeper = sleeper()
        with self._state.in_flight(self._request), contextlib.suppress(TimeoutError):
            await self._sleeper.wait(seconds)

    def _announce_retry(self, error: NbhttpError | None, delay: float) -> None:
        """Tell who listens that this connection has ended and that another one follows."""
        hub = self._state.events
        if self._call is None or not hub.is_heard:
            return
        head = self._call.head
        hub.emit(
            events.RequestRetried(
                request_id=self._call.request_id,
                client=self._state.name,
                method=self._request.method,
                url=redact_url(self._request.url.text),
                attempt=self._attempts,
                status_code=None if head is None else head.status,
                error="the server ended the stream" if error is None else str(error),
                delay=delay,
            )
        )


def _with_json(event: ServerSentEvent, number: int) -> ServerSentEvent:
    """Return the event with its data decoded; None for no data, as heartbeats have it."""
    if not event.data:
        return replace(event, data=None)
    try:
        return replace(event, data=loads(event.data.encode("utf-8", "surrogatepass")))
    except JsonError as exc:
        raise DecodeError(
            f"the data of event {number:,} ({event.event}) is not JSON: {exc.reason}",
            hint="Read the events as they are, without json=True.",
        ) from exc


def _unexpected_type(content_type: str, status: int) -> UnexpectedContentTypeError:
    found = content_type[:100] or "no content type"
    return UnexpectedContentTypeError(
        f"expected an event stream (text/event-stream) but the answer, {status}, has {found}",
        hint="This URL may not stream events: look at it with client.get(), or read it with "
        "client.lines() or client.ndjson().",
    )


class _Events(Iteration[ServerSentEvent]):
    """One loop over the events, of which the stream notes each."""

    __slots__ = ()

    async def __anext__(self) -> ServerSentEvent:
        return await self._stream.__anext__()


def event_stream(
    state: ClientState,
    url: Any,
    method: str | None,
    options: Mapping[str, Any],
    *,
    decode_json: bool,
    last_event_id: str | None,
    **settings: Any,
) -> EventStream:
    """Make the stream of `sse`, or refuse what is wrong with its arguments.

    `json=True` asks for decoded data: no API takes a bare `true` as the body.
    """
    options = dict(options)
    if options.get("json") is True:
        decode_json = True
        del options["json"]
    wanted = [("Accept", reconnecting.MEDIA_TYPE), ("Cache-Control", "no-store")]
    if last_event_id:
        wanted.append(("Last-Event-ID", last_event_id))
    given = raw_headers(options.get("headers"))
    names = {name.lower() for name, _ in given}
    options["headers"] = [*given, *_raw(wanted, names)]
    request = stream_request(state, url, method, options)
    return EventStream(
        state, request, decodes_json=decode_json, last_event_id=last_event_id, **settings
    )


def _raw(fields: Iterable[tuple[str, str]], given: set[bytes]) -> list[tuple[bytes, bytes]]:
    pairs = ((name.encode(), value.encode()) for name, value in fields)
    return [(name, value) for name, value in pairs if name.lower() not in given]
