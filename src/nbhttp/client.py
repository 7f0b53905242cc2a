"""`AsyncHttpClient`: everything that nbhttp does, to be awaited."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from nbhttp import config as defaults
from nbhttp._core.callers import Caller, here
from nbhttp._core.crossing import on_private_loop
from nbhttp._core.request import Prepared, build, build_item, bulk_items
from nbhttp._core.send import fetch
from nbhttp._core.signatures import explains_misuse, spells_out
from nbhttp._core.state import ClientState
from nbhttp._core.streamface import AsyncStreams
from nbhttp._habits import OnlyAsync
from nbhttp.bulk import BulkResult, Collected, map_bounded
from nbhttp.download_batch import AsyncDownloadManyResult
from nbhttp.downloads import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_DOWNLOADS,
    DOWNLOAD_DEFAULTS,
    DownloadOptions,
    DownloadResult,
    OnProgress,
    SavePath,
)
from nbhttp.result import RequestResult
from nbhttp.types import (
    UNSET,
    HeaderTypes,
    MapItem,
    ParamTypes,
    RequestOptions,
    StreamOptions,
    TimeoutTypes,
    Unset,
    UrlTypes,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from nbhttp._core.download_job import Job
    from nbhttp._core.live import LiveResponse
    from nbhttp._core.uploading import UploadWatcher
    from nbhttp.download_batch import Plan

__all__ = ["AsyncHttpClient"]

T = TypeVar("T")


def _watcher(request: Prepared) -> UploadWatcher | None:
    """Return what shows how the request's body is sent; None for silence."""
    if request.progress is False:
        return None
    from nbhttp._core.reporting import as_display
    from nbhttp.progress import for_upload

    return as_display(request.progress, for_upload)


class AsyncHttpClient(AsyncStreams, OnlyAsync):
    """Sends HTTP requests and gives back what happened as values.

    One client may be used from any number of event loops (asyncio and trio), threads and cells at
    once: its connections belong to the loop that opened them, everything else to the client.
    Closing it is good manners, not a duty: one that is left open is cleaned up silently.

    Args:
        base_url: Relative URLs are appended to it.
        timeout: Seconds for one attempt of a buffered call, connect to last byte, besides the
            limits of its phases; for a stream, seconds between two reads. An `httpx.Timeout` sets
            the limits of the phases alone. None waits forever. Waiting for one of the
            `max_connections` does not count; only `httpx.Timeout(pool=…)` bounds that.
        headers: Sent with every request; a `nbhttp.secret()` may be a value.
        verify: True trusts what the operating system trusts, company CAs included; False trusts
            anybody; else a CA file or folder, or an `ssl.SSLContext`.
        params: Query parameters of every request.
        cookies: Cookies of every request. Without a domain they stay on the origin that is asked.
        auth: `(user, password)`, an `httpx.Auth`, or a function of the `httpx.Request`.
        follow_redirects: Whether redirections are followed. Credentials do not follow to another
            origin (scheme, host, port).
        max_redirects: Redirections followed before the call fails.
        http2: Offer HTTP/2 over TLS.
        proxy: The proxy for every request; None takes the environment's, if `trust_env`.
        mounts: Transports for URL patterns, as httpx has them.
        transport: An `httpx.AsyncBaseTransport` that takes every request (tests, ASGI apps).
        cert: A client certificate: a PEM file, or (certificate, key[, password]).
        trust_env: Whether `HTTP_PROXY` and its kin count.
        event_hooks: {"request": [f, …], "response": [f, …]}, as httpx has them; they run where
            the call was made.
        max_connections: Exchanges under way at once, over all loops and threads; the others wait,
            first come first served.
        max_body: Bytes of a decoded response body above which a call fails; None is no bound.
        max_header_bytes: Largest head of an answer accepted.
        max_header_fields: Most fields in it.
        keepalive_expiry: Seconds after which an idle connection is closed.
        engine: "auto" sends single calls over httpx and bulk, downloads and streams over the
            direct engine where it can; or "httpx", or "direct".
        name: What logs and events call this client; None numbers it.

    Raises:
        ConfigError: A value is wrong, a file cannot be read, or two options exclude each other.
        TypeError: An option has the wrong type.

    Examples:
        >>> import anyio, nbhttp
        >>> from nbhttp.testing import DemoServer
        >>> async def main(url):
        ...     async with nbhttp.AsyncHttpClient(base_url=url) as client:
        ...         return await client.get("/stations", params={"per_page": 2})
        >>> with DemoServer() as server:
        ...     anyio.run(main, server.url).status_code
        200
    """

    # Requests

    @spells_out(RequestOptions)
    async def request(
        self, method: str, url: UrlTypes, **options: Unpack[RequestOptions]
    ) -> RequestResult:
        """Send a request and return what happened.

        Args:
            method: Any HTTP method.
            url: Absolute; of a client with a `base_url` also what is appended to that.
            **options: `params` (merged into the client's and the URL's), one of `json`, `data`,
                `files`, `content`, and `headers`, `cookies`, `auth` (None: no authentication),
                `timeout` (seconds from connecting to the last byte; None waits forever),
                `follow_redirects`, `max_body`, `extensions`: httpx's names.
                `on_upload_progress` is called with the bytes of the body sent so far and all of
                them (None when unknown); `progress` shows them (True a bar where somebody watches,
                "bar" a bar in any case) or is a function of each `UploadProgress`. Both are called
                at most ten times a second, where the call was made.

        Returns:
            A result, also when the host is unknown, time ran out or the status is 4xx or 5xx.

        Raises:
            ConfigError: The URL, a header, the timeout … is wrong; nothing was sent.
            TypeError: An option is unknown or has the wrong type; nothing was sent.
        """
        return await self._send(build(self._state.defaults, method, url, options))

    @spells_out(RequestOptions, request)
    async def get(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a GET request; see `request`."""
        return await self._send(build(self._state.defaults, "GET", url, options))

    @spells_out(RequestOptions, request)
    async def post(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a POST request; see `request`."""
        return await self._send(build(self._state.defaults, "POST", url, options))

    @spells_out(RequestOptions, request)
    async def put(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a PUT request; see `request`."""
        return await self._send(build(self._state.defaults, "PUT", url, options))

    @spells_out(RequestOptions, request)
    async def patch(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a PATCH request; see `request`."""
        return await self._send(build(self._state.defaults, "PATCH", url, options))

    @spells_out(RequestOptions, request)
    async def delete(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a DELETE request; see `request`."""
        return await self._send(build(self._state.defaults, "DELETE", url, options))

    @spells_out(RequestOptions, request)
    async def head(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a HEAD request; see `request`."""
        return await self._send(build(self._state.defaults, "HEAD", url, options))

    @spells_out(RequestOptions, request)
    async def options(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send an OPTIONS request; see `request`."""
        return await self._send(build(self._state.defaults, "OPTIONS", url, options))

    @explains_misuse
    async def map(
        self,
        requests: Iterable[MapItem] | AsyncIterable[MapItem],
        *,
        concurrency: int = defaults.DEFAULT_CONCURRENCY,
    ) -> BulkResult[RequestResult]:
        """Send many requests, `concurrency` at a time, and return their results in input order.

        It runs on nbhttp's own loop, over the direct engine where it can; the loop that awaits it
        stays free. Hooks, auth schemes and iterables are still run where the call was made.

        Args:
            requests: URLs, `(method, url)` or `(method, url, options)` tuples, or mappings with
                `url` and, as wanted, `method` and the options of `request`. A list is checked as
                a whole before anything is sent; from any other iterable workers pull.
            concurrency: Requests under way at once; `max_connections` bounds it too.

        Returns:
            One result for each request, the failed ones included: `.ok`, `.failed`.

        Raises:
            ConfigError: A request is wrong.
            TypeError: As `request`; or `requests` is one URL.
            BaseException: Cancellation, and what the user's own code raises. Whatever is raised,
                its attribute `results` is a `BulkResult` of what had come by then.
        """
        items = bulk_items(self._state.defaults, requests, concurrency)
        collected: Collected[RequestResult] = Collected()
        with collected.kept():
            if self._state.config.transport is not None or self._state.config.mounts:
                # The user's own transports belong to the user's own loop.
                return await self._map(items, concurrency, collected, here)
            return await on_private_loop(
                lambda caller: self._map(items, concurrency, collected, caller)
            )

    @spells_out(StreamOptions)
    def stream(
        self, method: str, url: UrlTypes, **options: Unpack[StreamOptions]
    ) -> contextlib.AbstractAsyncContextManager[LiveResponse]:
        """Open a response whose body is still on the wire.

        Args:
            method: Any HTTP method.
            url: As `request`.
            **options: As `request`; `timeout` is per read.

        Returns:
            A context manager that gives an `httpx.Response`: `aiter_bytes()`, `aiter_text()`,
            `aiter_lines()`, `aread()`. The status is not judged. Leaving the block closes it.
            `num_bytes_downloaded` tells how much has come, `elapsed` how long it took in the end.

        Raises:
            RequestError: No response came, or it broke while it was read.
            ConfigError: As `request`.
        """
        return self._stream_context(method, url, options)

    # Downloads

    @spells_out(DownloadOptions, defaults=DOWNLOAD_DEFAULTS)
    async def download_file(
        self,
        url: UrlTypes,
        save_path: SavePath,
        *,
        params: ParamTypes | None = None,
        headers: HeaderTypes | None = None,
        timeout: TimeoutTypes | Unset = UNSET,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        on_progress: OnProgress | None = None,
        **options: Unpack[DownloadOptions],
    ) -> DownloadResult:
        """Fetch a file, however often the connection breaks; running it again resumes.

        Nothing gets its final name before it is whole and has passed every check; until then it
        is kept beside it as `NAME.part`. A file that is there and current is not fetched again.

        Args:
            url: Absolute; of a client with a `base_url` also what is appended to that.
            save_path: A file; a directory (one that exists, or a name that ends in "/", which is
                created), where the server's name for the file is used, made safe; or a writable
                binary file object.
            params: As `request`.
            headers: As `request`; the download sets Range and conditions itself.
            timeout: Seconds without a byte after which an attempt fails; see `stream`.
            chunk_size: Bytes of one write to a file object; files on disk are written as it comes.
            on_progress: Called with the bytes there and the total (None when unknown), at most ten
                times a second, where the call was made.
            **options: `progress` (True shows a bar where somebody watches; False none; "bar" text;
                or a function of the download's events), `checksum` ("sha256:…"; also sha512,
                sha384, sha224, blake2b, sha1, md5), `overwrite` (replace an existing, different
                file), `mkdir` (create missing parents), `segments` ("auto", or 1 to 32
                connections), `max_attempts` (5: failures in a row that bring nothing new),
                `lock_timeout` (60: seconds to wait while another process writes the file; None
                waits forever), `keep_mtime` (set the file's time to Last-Modified), and `cookies`,
                `auth`, `follow_redirects`, `extensions`.

        Returns:
            A result; also when it failed, with `success` False and the reason in `error`.

        Raises:
            ConfigError: An option or the destination is wrong; nothing was sent.
            TypeError: An option has the wrong type; nothing was sent.
        """
        job = self._download_job(
            url,
            save_path,
            params=params,
            headers=headers,
            timeout=timeout,
            chunk_size=chunk_size,
            on_progress=on_progress,
            **options,
        )
        return await self._on_bulk_loop(lambda caller: self._download(job, caller))

    @spells_out(DownloadOptions, defaults=DOWNLOAD_DEFAULTS)
    async def download_many(
        self,
        items: Any,
        directory: str | os.PathLike[str],
        *,
        concurrency: int = DEFAULT_DOWNLOADS,
        manifest: bool | str | os.PathLike[str] = True,
        headers: HeaderTypes | None = None,
        timeout: TimeoutTypes | Unset = UNSET,
        **options: Unpack[DownloadOptions],
    ) -> AsyncDownloadManyResult:
        """Fetch many files into one directory; running it again fetches what is missing or failed.

        Args:
            items: URLs, `(url, name)` pairs, mappings with `url` and, as wanted, `name`,
                `checksum` and `headers`, or a DataFrame with such columns. The same URL twice is
                fetched once. Without a name the URL's path gives it, made safe; a number is added
                where two would be the same.
            directory: Made when it does not exist.
            concurrency: Downloads under way at once; `max_connections` bounds it too.
            manifest: Where it is kept what was fetched, from where, with which SHA-256: True is
                `.nbhttp-manifest.jsonl` in the directory, False keeps none. A file that the
                manifest vouches for is not asked for again.
            headers: Of every request; see `request`.
            timeout: As `download_file`.
            **options: As `download_file`.

        Returns:
            A result for each item, in order, the failed ones included: `.failed`,
            `await result.retry_failed()`, `.to_pandas()`.

        Raises:
            ConfigError: An item, an option or the directory is wrong, two items ask for one name, or
                differ in their credentials alone; nothing was sent.
            TypeError: `items` is one URL, or an option has the wrong type; nothing was sent.
        """
        plan = self._batch_plan(
            items, directory, concurrency, manifest, headers, {"timeout": timeout, **options}
        )

        async def run(before: Sequence[DownloadResult] = ()) -> AsyncDownloadManyResult:
            results, elapsed = await self._on_bulk_loop(
                lambda caller: self._download_batch(plan, caller, before)
            )
            return AsyncDownloadManyResult(results, elapsed, manifest=plan.manifest_path, retry=run)

        return await run()

    # Life

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._state.engines.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # Private

    async def _on_bulk_loop(self, function: Callable[[Caller], Awaitable[T]]) -> T:
        """Run long work on nbhttp's own loop, so that the running one stays free."""
        if self._state.config.transport is not None or self._state.config.mounts:
            # The user's own transports belong to the user's own loop.
            return await function(here)
        return await on_private_loop(function)

    def _download_job(
        self, url: UrlTypes, save_path: SavePath, *, progress: Any = True, **options: Any
    ) -> Job:
        from nbhttp._core.download_job import make_job
        from nbhttp._core.reporting import as_display
        from nbhttp.progress import for_download

        display = as_display(progress, for_download)
        return make_job(self._state.defaults, url, save_path, options, display)

    def _batch_plan(
        self,
        items: Any,
        directory: str | os.PathLike[str],
        concurrency: int,
        manifest: bool | str | os.PathLike[str],
        headers: HeaderTypes | None,
        options: dict[str, Any],
    ) -> Plan:
        from functools import partial

        from nbhttp._core.reporting import as_display
        from nbhttp.download_batch import make_plan
        from nbhttp.progress import for_downloads

        progress = options.pop("progress", True)
        as_display(progress, for_downloads)  # refuses what is wrong
        return make_plan(
            self._state.defaults,
            items,
            directory,
            concurrency=concurrency,
            manifest=manifest,
            make_display=partial(as_display, progress, for_downloads),
            headers=headers,
            options=options,
        )

    async def _download_batch(
        self,
        plan: Plan,
        caller: Caller,
        before: Sequence[DownloadResult],
        *,
        keeps_cookies: bool = True,
    ) -> tuple[list[DownloadResult], float]:
        from nbhttp._core.download import download
        from nbhttp.download_batch import Batch

        state = self._state if keeps_cookies else self._state.with_fresh_cookies()
        flight = state.in_flight("download_many")
        batch = Batch(
            plan,
            lambda job, setting: download(state, job, caller, setting, flight),
            caller=caller,
            hub=state.events,
            client=state.name,
        )
        with flight:
            return await batch.run(before)

    async def _download(
        self, job: Job, caller: Caller, *, keeps_cookies: bool = True
    ) -> DownloadResult:
        from nbhttp._core.download import download

        state = self._state if keeps_cookies else self._state.with_fresh_cookies()
        return await download(state, job, caller)

    @classmethod
    def _over(cls, state: ClientState) -> Self:
        """Return a client over the state of another one: the same cookies, limits, connections."""
        client = cls.__new__(cls)
        client._state = state  # noqa: SLF001 - a constructor
        return client

    async def _send(
        self, request: Prepared, caller: Caller = here, *, keeps_cookies: bool = True
    ) -> RequestResult:
        state = self._state if keeps_cookies else self._state.with_fresh_cookies()
        with state.in_flight(request):
            return await fetch(state, request, caller, watcher=_watcher(request))

    async def _map(
        self, items: Any, concurrency: int, collected: Collected[RequestResult], caller: Caller
    ) -> BulkResult[RequestResult]:
        state = self._state

        def send(item: Any) -> Awaitable[RequestResult]:
            request = item if isinstance(item, Prepared) else build_item(state.defaults, item)
            return fetch(state, request, caller, "bulk", _watcher(request))

        pull = None if caller is here else caller.run
        with state.in_flight("the map"):
            return await map_bounded(
                items, send, concurrency=concurrency, pull=pull, collected=collected
            )

    @contextlib.asynccontextmanager
    async def _stream_context(
        self, method: str, url: UrlTypes, options: Mapping[str, Any], caller: Caller = here
    ) -> AsyncIterator[LiveResponse]:
        """Open a live response: `stream`, for either face."""
        from nbhttp._core.live import LiveResponse
        from nbhttp._core.stream import StreamCall

        call = StreamCall(self._state, build(self._state.defaults, method, url, options), caller)
        await call.open()
        conversation = call.conversation
        history = [r.response for r in conversation.history if r.response is not None]
        request = conversation.request.to_httpx()
        response = LiveResponse(call.live, request, history, call.started)
        try:
            yield response
        except BaseException as exc:
            await call.aclose(exc)
            raise
        finally:
            try:
                await response.aclose()
            finally:
                await call.aclose()  # also when that is cancelled: it reports the end
