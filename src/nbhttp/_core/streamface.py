"""The stream methods of the two clients, and of the module."""

from __future__ import annotations

from typing import Literal, Unpack

from nbhttp._core.eventstream import EventStream, event_stream
from nbhttp._core.face import Client
from nbhttp._core.signatures import spells_out
from nbhttp._core.stream import (
    ByteStream,
    LineStream,
    NdjsonStream,
    byte_stream,
    line_stream,
    ndjson_stream,
)
from nbhttp._core.syncstream import (
    SyncByteStream,
    SyncEventStream,
    SyncLineStream,
    SyncNdjsonStream,
)
from nbhttp.config import STREAM_CHUNK_SIZE
from nbhttp.streaming import DEFAULT_MAX_LINE
from nbhttp.types import (
    UNSET,
    BodyOptions,
    HeaderTypes,
    ParamTypes,
    StreamOptions,
    TimeoutTypes,
    Unset,
    UrlTypes,
)

__all__ = ["AsyncStreams", "SyncStreams"]


class AsyncStreams(Client):
    """The part of `AsyncHttpClient` that reads bodies while they come."""

    @spells_out(BodyOptions)
    def stream_request(
        self,
        method: str,
        url: UrlTypes,
        chunk_size: int | None = STREAM_CHUNK_SIZE,
        params: ParamTypes | None = None,
        headers: HeaderTypes | None = None,
        timeout: TimeoutTypes | Unset = UNSET,
        *,
        raw: bool = False,
        raise_exception: bool = True,
        **options: Unpack[BodyOptions],
    ) -> ByteStream:
        """Read a body while it comes; nothing is sent before the first read.

        Memory stays flat however long it is. Leaving the loop closes the connection; so does the
        end of an `async with` block.

        Args:
            method: Any HTTP method.
            url: As `request`.
            chunk_size: Bytes in each piece but the last; None gives them as they arrive.
            params: As `request`.
            headers: As `request`.
            timeout: Seconds between two reads; None waits forever.
            raw: Give the body as sent, content codings not undone.
            raise_exception: False leaves a failure before the first byte in the stream's `error`
                and gives nothing; one that comes later always raises.
            **options: As `request`.

        Returns:
            An async iterator of bytes with `status_code`, `headers`, `received`, `error`.

        Raises:
            StatusError: (when read) The answer has status 4xx or 5xx.
            RequestError: (when read) No answer came, or it failed before its first byte.
            StreamError: (when read) It broke later; `received` says how many bytes had come.
            ConfigError: As `request`, or `chunk_size` is under 1.

        Examples:
            >>> import anyio, nbhttp
            >>> from nbhttp.testing import DemoServer
            >>> async def size(url):
            ...     client = nbhttp.AsyncHttpClient()
            ...     return sum([len(piece) async for piece in client.stream_request("GET", url)])
            >>> with DemoServer() as server:
            ...     anyio.run(size, server.url + "/exports/trips.ndjson") > 1000
            True
        """
        every = {**options, "params": params, "headers": headers, "timeout": timeout}
        return byte_stream(
            self._state,
            method,
            url,
            every,
            chunk_size=chunk_size,
            raw=raw,
            raise_exception=raise_exception,
        )

    @spells_out(StreamOptions)
    def lines(
        self,
        url: UrlTypes,
        *,
        method: str | None = None,
        encoding: str | None = None,
        errors: Literal["replace", "strict"] = "replace",
        max_line: int = DEFAULT_MAX_LINE,
        raise_exception: bool = True,
        **options: Unpack[StreamOptions],
    ) -> LineStream:
        """Read a body line by line while it comes; as `stream_request`.

        A line ends at LF, CRLF or CR and nothing else, and is given without its end.

        Args:
            url: As `request`.
            method: None: POST when there is a body to send, else GET.
            encoding: The text's character encoding; None takes what Content-Type declares, else
                UTF-8.
            errors: "replace" puts U+FFFD where bytes are no text and counts them in the stream's
                `replaced`; "strict" raises.
            max_line: Bytes to allow in one line.
            raise_exception: As `stream_request`.
            **options: As `request`; `timeout` is per read.

        Returns:
            An async iterator of `str`.

        Raises:
            DecodeError: (when read) With "strict": bytes are no text in this encoding.
            StreamError: (when read) It broke, or a line is longer than `max_line`.
            NbhttpError: (when read) As `stream_request`.
        """
        return line_stream(
            self._state,
            url,
            method,
            options,
            encoding=encoding,
            errors=errors,
            max_line=max_line,
            raise_exception=raise_exception,
        )

    @spells_out(StreamOptions)
    def ndjson(
        self,
        url: UrlTypes,
        *,
        method: str | None = None,
        on_error: Literal["raise", "skip", "collect"] = "raise",
        max_line: int = DEFAULT_MAX_LINE,
        raise_exception: bool = True,
        **options: Unpack[StreamOptions],
    ) -> NdjsonStream:
        """Read the records of NDJSON (JSON lines) while they come; as `stream_request`.

        Blank lines are skipped; numbers are as exact as `RequestResult.json()`'s.

        Args:
            url: As `request`.
            method: None: POST when there is a body to send, else GET.
            on_error: What a bad line does: "raise" with its number, "skip" it and count it in the
                stream's `skipped`, or "collect" its error in the stream's `errors`.
            max_line: Bytes to allow in one line; a longer one is a bad line.
            raise_exception: As `stream_request`.
            **options: As `request`; `timeout` is per read.

        Returns:
            An async iterator of decoded values.

        Raises:
            DecodeError: (when read) With "raise": a line is not JSON, or too long.
            NbhttpError: (when read) As `stream_request`.
        """
        return ndjson_stream(
            self._state,
            url,
            method,
            options,
            on_error=on_error,
            max_line=max_line,
            raise_exception=raise_exception,
        )

    @spells_out(StreamOptions)
    def sse(
        self,
        url: UrlTypes,
        *,
        reconnect: bool | int = True,
        last_event_id: str | None = None,
        max_events: int | None = None,
        decode_json: bool = False,
        method: str | None = None,
        max_event: int = DEFAULT_MAX_LINE,
        raise_exception: bool = True,
        **options: Unpack[StreamOptions],
    ) -> EventStream:
        """Read Server-Sent Events while they come, over as many connections as it takes.

        When the connection breaks, or the server ends it and has sent event IDs or a reconnection
        time, it is opened again with the last event ID, after the server's `retry` time or 1 s,
        longer from failure to failure. It ends at status 204, at `max_events`, and when the server
        ends it without any such sign. A request that may not be repeated (a POST) is sent once.

        Args:
            url: As `request`.
            reconnect: False: once only. A number: how many connections in a row may bring no event.
            last_event_id: Continue behind this event; None begins where the server does.
            max_events: End after so many; None goes on.
            decode_json: Decode each event's data from JSON (None for no data). The data `[DONE]`,
                with which language models' APIs end, ends the stream.
            method: None: POST when there is a body to send, else GET.
            max_event: Bytes to allow in one event.
            raise_exception: As `stream_request`.
            **options: As `request`; `timeout` is per read. `json=True` is short for
                `decode_json=True`; any other value is the body to send.

        Returns:
            An async iterator of `ServerSentEvent` with `last_event_id`, `retry`, `reconnects`.

        Raises:
            UnexpectedContentTypeError: (when read) The answer is no event stream.
            DecodeError: (when read) With JSON: an event's data is none.
            NbhttpError: (when read) As `stream_request`.
        """
        return event_stream(
            self._state,
            url,
            method,
            options,
            reconnect=reconnect,
            last_event_id=last_event_id,
            max_events=max_events,
            decode_json=decode_json,
            max_event=max_event,
            raise_exception=raise_exception,
        )


class SyncStreams(Client):
    """The part of `HttpClient` that reads bodies while they come."""

    @spells_out(BodyOptions, AsyncStreams.stream_request)
    def stream_request(
        self,
        method: str,
        url: UrlTypes,
        chunk_size: int | None = STREAM_CHUNK_SIZE,
        params: ParamTypes | None = None,
        headers: HeaderTypes | None = None,
        timeout: TimeoutTypes | Unset = UNSET,
        *,
        raw: bool = False,
        raise_exception: bool = True,
        **options: Unpack[BodyOptions],
    ) -> SyncByteStream:
        """Read a body while it comes; see `AsyncHttpClient.stream_request`.

        Examples:
            >>> import nbhttp
            >>> from nbhttp.testing import DemoServer
            >>> with DemoServer() as server, nbhttp.HttpClient(server.url) as client:
            ...     sum(map(len, client.stream_request("GET", "/exports/trips.ndjson"))) > 1000
            True
        """
        every = {**options, "params": params, "headers": headers, "timeout": timeout}
        return SyncByteStream(
            byte_stream(
                self._state,
                method,
                url,
                every,
                chunk_size=chunk_size,
                raw=raw,
                raise_exception=raise_exception,
            )
        )

    @spells_out(StreamOptions, AsyncStreams.lines)
    def lines(
        self,
        url: UrlTypes,
        *,
        method: str | None = None,
        encoding: str | None = None,
        errors: Literal["replace", "strict"] = "replace",
        max_line: int = DEFAULT_MAX_LINE,
        raise_exception: bool = True,
        **options: Unpack[StreamOptions],
    ) -> SyncLineStream:
        """Read a body line by line while it comes; see `AsyncHttpClient.lines`."""
        return SyncLineStream(
            line_stream(
                self._state,
                url,
                method,
                options,
                encoding=encoding,
                errors=errors,
                max_line=max_line,
                raise_exception=raise_exception,
            )
        )

    @spells_out(StreamOptions, AsyncStreams.ndjson)
    def ndjson(
        self,
        url: UrlTypes,
        *,
        method: str | None = None,
        on_error: Literal["raise", "skip", "collect"] = "raise",
        max_line: int = DEFAULT_MAX_LINE,
        raise_exception: bool = True,
        **options: Unpack[StreamOptions],
    ) -> SyncNdjsonStream:
        """Read the records of NDJSON while they come; see `AsyncHttpClient.ndjson`."""
        return SyncNdjsonStream(
            ndjson_stream(
                self._state,
                url,
                method,
                options,
                on_error=on_error,
                max_line=max_line,
                raise_exception=raise_exception,
            )
        )

    @spells_out(StreamOptions, AsyncStreams.sse)
    def sse(
        self,
        url: UrlTypes,
        *,
        reconnect: bool | int = True,
        last_event_id: str | None = None,
        max_events: int | None = None,
        decode_json: bool = False,
        method: str | None = None,
        max_event: int = DEFAULT_MAX_LINE,
        raise_exception: bool = True,
        **options: Unpack[StreamOptions],
    ) -> SyncEventStream:
        """Read Server-Sent Events while they come; see `AsyncHttpClient.sse`."""
        return SyncEventStream(
            event_stream(
                self._state,
                url,
                method,
                options,
                reconnect=reconnect,
                last_event_id=last_event_id,
                max_events=max_events,
                decode_json=decode_json,
                max_event=max_event,
                raise_exception=raise_exception,
            )
        )
