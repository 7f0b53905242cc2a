"""The sync face: `HttpClient` and the module-level verbs, a thin facade over `AsyncHttpClient`.

There is no second implementation: each method builds the request in the calling thread, so that
misuse is raised there, and has the private loop run the async client.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import signal
import threading
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from nbhttp._core.loopthread import outlet
from nbhttp._core.request import build, bulk_items
from nbhttp._core.signatures import explains_misuse, spells_out
from nbhttp._core.streamface import SyncStreams
from nbhttp._habits import OnlySync
from nbhttp.bulk import BulkResult, Collected
from nbhttp.client import AsyncHttpClient
from nbhttp.config import DEFAULT_CONCURRENCY
from nbhttp.download_batch import DownloadManyResult
from nbhttp.downloads import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_DOWNLOADS,
    DOWNLOAD_DEFAULTS,
    DownloadOptions,
    DownloadResult,
    OnProgress,
    SavePath,
)
from nbhttp.redaction import redact_repr
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
    from nbhttp._core.synclive import SyncLiveResponse
    from nbhttp._render.options import Display
    from nbhttp.download_batch import Plan

__all__ = [
    "HttpClient",
    "delete",
    "download_file",
    "download_many",
    "get",
    "head",
    "lines",
    "ndjson",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "run",
    "sse",
    "stream_request",
]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class HttpClient(SyncStreams, OnlySync):
    """`AsyncHttpClient` for code without `await`: the same arguments, names and results.

    Works in a notebook cell (inside a running loop), a REPL, a script and from several threads at
    once. Stopping the cell cancels the request in flight and leaves the client usable.

    Args:
        base_url: This and all others: see `AsyncHttpClient`.

    Examples:
        >>> from nbhttp import HttpClient
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server, HttpClient(server.url) as client:
        ...     client.get("/stations/1").status_code
        200
    """

    @functools.cached_property
    def aio(self) -> AsyncHttpClient:
        """The async client over the same state."""
        return AsyncHttpClient._over(self._state)  # noqa: SLF001 - the other half of one client

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def request(
        self, method: str, url: UrlTypes, **options: Unpack[RequestOptions]
    ) -> RequestResult:
        """Send a request and return what happened; see `AsyncHttpClient.request`."""
        return _send(self.aio, method, url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def get(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a GET request; see `request`."""
        return _send(self.aio, "GET", url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def post(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a POST request; see `request`."""
        return _send(self.aio, "POST", url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def put(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a PUT request; see `request`."""
        return _send(self.aio, "PUT", url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def patch(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a PATCH request; see `request`."""
        return _send(self.aio, "PATCH", url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def delete(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a DELETE request; see `request`."""
        return _send(self.aio, "DELETE", url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def head(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a HEAD request; see `request`."""
        return _send(self.aio, "HEAD", url, options)

    @spells_out(RequestOptions, AsyncHttpClient.request)
    def options(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send an OPTIONS request; see `request`."""
        return _send(self.aio, "OPTIONS", url, options)

    @explains_misuse
    def map(
        self,
        requests: Iterable[MapItem] | AsyncIterable[MapItem],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
    ) -> BulkResult[RequestResult]:
        """Send many requests, `concurrency` at a time; see `AsyncHttpClient.map`."""
        client = self.aio
        items = bulk_items(client._state.defaults, requests, concurrency)  # noqa: SLF001 - the other half of one client
        collected: Collected[RequestResult] = Collected()
        with collected.kept():
            results: BulkResult[RequestResult] = outlet().call(
                lambda caller: client._map(items, concurrency, collected, caller)  # noqa: SLF001
            )
        return results

    @spells_out(DownloadOptions, AsyncHttpClient.download_file, defaults=DOWNLOAD_DEFAULTS)
    def download_file(
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
        """Fetch a file, however often the connection breaks; see `AsyncHttpClient.download_file`.

        Callbacks run in the calling thread.
        """
        job = self.aio._download_job(  # noqa: SLF001 - the other half of one client
            url,
            save_path,
            params=params,
            headers=headers,
            timeout=timeout,
            chunk_size=chunk_size,
            on_progress=on_progress,
            **options,
        )
        return _download(self.aio, job)

    @spells_out(DownloadOptions, AsyncHttpClient.download_many, defaults=DOWNLOAD_DEFAULTS)
    def download_many(
        self,
        items: Any,
        directory: str | os.PathLike[str],
        *,
        concurrency: int = DEFAULT_DOWNLOADS,
        manifest: bool | str | os.PathLike[str] = True,
        headers: HeaderTypes | None = None,
        timeout: TimeoutTypes | Unset = UNSET,
        **options: Unpack[DownloadOptions],
    ) -> DownloadManyResult:
        """Fetch many files into one directory; see `AsyncHttpClient.download_many`."""
        given = {"timeout": timeout, **options}
        plan = self.aio._batch_plan(items, directory, concurrency, manifest, headers, given)  # noqa: SLF001 - the other half of one client
        return _download_batch(self.aio, plan)

    @contextlib.contextmanager
    @spells_out(StreamOptions, AsyncHttpClient.stream)
    def stream(
        self, method: str, url: UrlTypes, **options: Unpack[StreamOptions]
    ) -> Iterator[SyncLiveResponse]:
        """Open a response whose body is still on the wire; see `AsyncHttpClient.stream`.

        Yields:
            An `httpx.Response`: `iter_bytes()`, `iter_text()`, `iter_lines()`, `read()`.
        """
        from nbhttp._core.synclive import open_live

        with open_live(self.aio._stream_context, method, url, options) as response:  # noqa: SLF001 - the other half of one client
            yield response

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        outlet().call(lambda _: self.aio.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _send(
    client: AsyncHttpClient, method: str, url: UrlTypes, options: Any, *, keeps_cookies: bool = True
) -> RequestResult:
    request = build(client._state.defaults, method, url, options)  # noqa: SLF001 - the other half of one client
    send = client._send  # noqa: SLF001
    result: RequestResult = outlet().call(
        lambda caller: send(request, caller, keeps_cookies=keeps_cookies)
    )
    return result


def _download(client: AsyncHttpClient, job: Job, *, keeps_cookies: bool = True) -> DownloadResult:
    download = client._download  # noqa: SLF001 - the other half of one client
    result: DownloadResult = outlet().call(
        lambda caller: download(job, caller, keeps_cookies=keeps_cookies)
    )
    return result


def _download_batch(
    client: AsyncHttpClient, plan: Plan, *, keeps_cookies: bool = True
) -> DownloadManyResult:
    download = client._download_batch  # noqa: SLF001 - the other half of one client

    def run(before: Sequence[DownloadResult] = ()) -> DownloadManyResult:
        results, elapsed = outlet().call(
            lambda caller: download(plan, caller, before, keeps_cookies=keeps_cookies)
        )
        return DownloadManyResult(results, elapsed, manifest=plan.manifest_path, retry=run)

    return run()


# Module level: one client for the process; connections are shared, cookies are not kept.

_client: AsyncHttpClient | None = None


def _default_client() -> AsyncHttpClient:
    global _client  # noqa: PLW0603 - the one default client, made when first needed
    if _client is None:
        _client = AsyncHttpClient(name="nbhttp")
    return _client


@spells_out(RequestOptions, AsyncHttpClient.request)
def request(method: str, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a request and return what happened; see `AsyncHttpClient.request`.

    Connections are reused between calls; cookies are not kept (use an `HttpClient` for that).
    """
    return _send(_default_client(), method, url, options, keeps_cookies=False)


@spells_out(RequestOptions, AsyncHttpClient.request)
def get(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a GET request; see `request`.

    Examples:
        >>> import nbhttp
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server:
        ...     r = nbhttp.get(server.url + "/stations", params={"per_page": 2}, timeout=5)
        ...     r.status_code, [station["name"] for station in r.json()]
        (200, ['Rope Walk Steps', 'Orchard Street Park'])
    """
    return request("GET", url, **options)


@spells_out(RequestOptions, AsyncHttpClient.request)
def post(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a POST request; see `request`."""
    return request("POST", url, **options)


@spells_out(RequestOptions, AsyncHttpClient.request)
def put(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a PUT request; see `request`."""
    return request("PUT", url, **options)


@spells_out(RequestOptions, AsyncHttpClient.request)
def patch(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a PATCH request; see `request`."""
    return request("PATCH", url, **options)


@spells_out(RequestOptions, AsyncHttpClient.request)
def delete(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a DELETE request; see `request`."""
    return request("DELETE", url, **options)


@spells_out(RequestOptions, AsyncHttpClient.request)
def head(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a HEAD request; see `request`."""
    return request("HEAD", url, **options)


class Options:
    """`nbhttp.options(url)` sends an OPTIONS request; `nbhttp.options.display` is how results look.

    The verb and the settings share a name; both are `nbhttp.options`.
    """

    __slots__ = ()

    @spells_out(RequestOptions)
    def __call__(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send an OPTIONS request; see `request`."""
        return request("OPTIONS", url, **options)

    @property
    def display(self) -> Display:
        """How much of a result is shown: `depth`, `rows`, `characters`, `theme`."""
        from nbhttp._render import options

        return options.display

    def __repr__(self) -> str:
        return f"<nbhttp.options: {self.display!r}>"


options = Options()


@spells_out(DownloadOptions, AsyncHttpClient.download_file, defaults=DOWNLOAD_DEFAULTS)
def download_file(
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
    """Fetch a file, however often the connection breaks; see `AsyncHttpClient.download_file`.

    Examples:
        >>> import nbhttp, tempfile
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server, tempfile.TemporaryDirectory() as folder:
        ...     d = nbhttp.download_file(server.url + "/files/small.bin", folder + "/")
        ...     d.success, d.path.name
        (True, 'small.bin')
    """
    client = _default_client()
    job = client._download_job(  # noqa: SLF001 - the other half of one client
        url,
        save_path,
        params=params,
        headers=headers,
        timeout=timeout,
        chunk_size=chunk_size,
        on_progress=on_progress,
        **options,
    )
    return _download(client, job, keeps_cookies=False)


def _of_default_client(method: Callable[Concatenate[SyncStreams, P], R]) -> Callable[P, R]:
    """Make a stream method of the client a function of the module."""

    @functools.wraps(method)
    def function(*args: P.args, **kwargs: P.kwargs) -> R:
        streams = SyncStreams.__new__(SyncStreams)
        streams._state = _default_client()._state.with_fresh_cookies()  # noqa: SLF001 - a constructor
        return method(streams, *args, **kwargs)

    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())[1:]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined] # what `inspect` looks for
    function.__qualname__ = method.__name__
    function.__module__ = __name__
    return function


stream_request = _of_default_client(SyncStreams.stream_request)
lines = _of_default_client(SyncStreams.lines)
ndjson = _of_default_client(SyncStreams.ndjson)
sse = _of_default_client(SyncStreams.sse)


@spells_out(DownloadOptions, AsyncHttpClient.download_many, defaults=DOWNLOAD_DEFAULTS)
def download_many(
    items: Any,
    directory: str | os.PathLike[str],
    *,
    concurrency: int = DEFAULT_DOWNLOADS,
    manifest: bool | str | os.PathLike[str] = True,
    headers: HeaderTypes | None = None,
    timeout: TimeoutTypes | Unset = UNSET,
    **options: Unpack[DownloadOptions],
) -> DownloadManyResult:
    """Fetch many files into one directory; see `AsyncHttpClient.download_many`.

    Examples:
        >>> import nbhttp, tempfile
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server, tempfile.TemporaryDirectory() as folder:
        ...     urls = [f"{server.url}/files/{name}.bin" for name in ("a", "b")]
        ...     d = nbhttp.download_many(urls, folder, progress=False)
        ...     [file.path.name for file in d.ok]
        ['a.bin', 'b.bin']
    """
    client = _default_client()
    given = {"timeout": timeout, **options}
    plan = client._batch_plan(items, directory, concurrency, manifest, headers, given)  # noqa: SLF001 - the other half of one client
    return _download_batch(client, plan, keeps_cookies=False)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from sync code, wherever that is, and return its value.

    Without a running event loop it is run by `asyncio.run`. In a notebook, where one runs already,
    it is nested in that loop by nest-asyncio2, which is applied then and not before.

    Args:
        coroutine: As `main()` returns it; run to its end.

    Raises:
        RuntimeError: The running loop cannot be nested (uvloop, trio).
        KeyboardInterrupt: A signal came; the coroutine was cancelled and awaited first.
        TypeError: It is not a coroutine.
    """
    if not asyncio.iscoroutine(coroutine):
        raise TypeError(f"run takes a coroutine, like run(main()), not {redact_repr(coroutine)}")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    if loop is None and _is_trio_running():
        coroutine.close()
        raise RuntimeError("trio's event loop cannot be nested; await the coroutine instead")
    if loop is None:
        return asyncio.run(coroutine)
    return _run_nested(loop, coroutine)


def _run_nested(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    if not isinstance(loop, asyncio.BaseEventLoop):  # asked first: applying patches asyncio
        coroutine.close()
        raise RuntimeError(  # noqa: TRY004 - the loop is no argument
            f"{type(loop).__module__.partition('.')[0]}'s event loop cannot be nested; "
            "await the coroutine, or call the sync client, which needs no loop of its own"
        )
    import nest_asyncio2

    nest_asyncio2.apply(loop)
    task = loop.create_task(coroutine)
    with _keep_turns(loop), _Interrupt(loop, task) as interrupt:
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            if interrupt.has_come:
                raise KeyboardInterrupt from None
            raise
        except BaseException:
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    loop.run_until_complete(task)
            raise


@contextlib.contextmanager
def _keep_turns(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Leave the loop as many callbacks as it had.

    The turn of the loop that is under way has counted them, and asyncio's own takes so many out
    without looking, while the nested run has called them already.
    """
    ready = loop._ready  # type: ignore[attr-defined] # noqa: SLF001 - of every BaseEventLoop
    counted = len(ready)
    try:
        yield
    finally:
        for _ in range(counted - len(ready)):
            loop.call_soon(int)


class _Interrupt:
    """Turns SIGINT into the cancellation of a task, as `asyncio.run` does.

    KeyboardInterrupt would rise in whatever runs on the loop at that moment, such as a task of the
    notebook's kernel, which would not survive it. A second signal is for code that does not end
    when it is cancelled: it rises where that code is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        self._loop = loop
        self._task = task
        self._previous: Any = None
        self.has_come = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.has_come or self._task.done():
            raise KeyboardInterrupt
        self.has_come = True
        self._loop.call_soon_threadsafe(self._task.cancel)


def _is_trio_running() -> bool:
    import sys

    if "trio" not in sys.modules:
        return False
    import sniffio

    try:
        return sniffio.current_async_library() == "trio"
    except sniffio.AsyncLibraryNotFoundError:
        return False
