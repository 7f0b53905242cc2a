"""The sync face: `HttpClient` and the module-level verbs, a thin facade over `AsyncHttpClient`.

There is no second implementation: each method builds the request in the calling thread, so that
misuse is raised there, and has the private loop run the async client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from nbhttp._core.loopthread import LoopThread
from nbhttp._core.request import build, bulk_items
from nbhttp.bulk import BulkResult
from nbhttp.client import AsyncHttpClient
from nbhttp.config import DEFAULT_CONCURRENCY
from nbhttp.result import RequestResult
from nbhttp.types import (
    MapItem,
    RequestOptions,
    StreamOptions,
    Subscriber,
    Unsubscribe,
    UrlTypes,
)

if TYPE_CHECKING:
    import httpx

    from nbhttp._core.synclive import SyncLiveResponse

__all__ = [
    "HttpClient",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "run",
]

T = TypeVar("T")


class HttpClient:
    """`AsyncHttpClient` for code without `await`: the same arguments, names and results.

    Works in a notebook cell (inside a running loop), a REPL, a script and from several threads at
    once. Stopping the cell cancels the request in flight and leaves the client usable.

    Args:
        *args: As `AsyncHttpClient`.
        **kwargs: As `AsyncHttpClient`.

    Attributes:
        aio: The `AsyncHttpClient` underneath, with the same cookies and limits.

    Examples:
        >>> from nbhttp import HttpClient
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server, HttpClient(server.url) as client:
        ...     client.get("/stations/1").status_code
        200
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.aio = AsyncHttpClient(*args, **kwargs)

    def request(
        self, method: str, url: UrlTypes, **options: Unpack[RequestOptions]
    ) -> RequestResult:
        """Send a request and return what happened; see `AsyncHttpClient.request`."""
        return _send(self.aio, method, url, options)

    def get(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a GET request; see `request`."""
        return _send(self.aio, "GET", url, options)

    def post(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a POST request; see `request`."""
        return _send(self.aio, "POST", url, options)

    def put(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a PUT request; see `request`."""
        return _send(self.aio, "PUT", url, options)

    def patch(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a PATCH request; see `request`."""
        return _send(self.aio, "PATCH", url, options)

    def delete(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a DELETE request; see `request`."""
        return _send(self.aio, "DELETE", url, options)

    def head(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send a HEAD request; see `request`."""
        return _send(self.aio, "HEAD", url, options)

    def options(self, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
        """Send an OPTIONS request; see `request`."""
        return _send(self.aio, "OPTIONS", url, options)

    def map(
        self,
        requests: Iterable[MapItem] | AsyncIterable[MapItem],
        *,
        concurrency: int = DEFAULT_CONCURRENCY,
    ) -> BulkResult[RequestResult]:
        """Send many requests, `concurrency` at a time; see `AsyncHttpClient.map`."""
        client = self.aio
        items = bulk_items(client._state.defaults, requests, concurrency)  # noqa: SLF001 - the other half of one client
        results: BulkResult[RequestResult] = LoopThread.get().call(
            lambda caller: client._map(items, concurrency, caller)  # noqa: SLF001
        )
        return results

    @contextlib.contextmanager
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

    def subscribe(self, callback: Subscriber) -> Unsubscribe:
        """Have `callback(event)` called, on the private loop's thread; see `AsyncHttpClient`."""
        return self.aio.subscribe(callback)

    def cancel_all(self) -> int:
        """Cancel everything in flight or queued; see `AsyncHttpClient.cancel_all`."""
        return self.aio.cancel_all()

    def engine_report(self) -> str:
        """Say which engine served how many requests, and why."""
        return self.aio.engine_report()

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        LoopThread.get().call(lambda _: self.aio.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What logs and events call this client."""
        return self.aio.name

    @property
    def base_url(self) -> str:
        """What relative URLs are appended to; "" for none."""
        return self.aio.base_url

    @property
    def headers(self) -> httpx.Headers:
        """The fields sent with every request; changes count from the next one on."""
        return self.aio.headers

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookie jar: what servers have set and what was given with a domain."""
        return self.aio.cookies

    def __repr__(self) -> str:
        return repr(self.aio).replace("AsyncHttpClient", "HttpClient", 1)


def _send(
    client: AsyncHttpClient, method: str, url: UrlTypes, options: Any, *, keeps_cookies: bool = True
) -> RequestResult:
    request = build(client._state.defaults, method, url, options)  # noqa: SLF001 - the other half of one client
    send = client._send  # noqa: SLF001
    result: RequestResult = LoopThread.get().call(
        lambda caller: send(request, caller, keeps_cookies=keeps_cookies)
    )
    return result


# Module level: one client for the process; connections are shared, cookies are not kept.

_client: AsyncHttpClient | None = None


def _default_client() -> AsyncHttpClient:
    global _client  # noqa: PLW0603 - the one default client, made when first needed
    if _client is None:
        _client = AsyncHttpClient(name="nbhttp")
    return _client


def request(method: str, url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a request and return what happened; see `AsyncHttpClient.request`.

    Connections are reused between calls; cookies are not kept (use an `HttpClient` for that).
    """
    return _send(_default_client(), method, url, options, keeps_cookies=False)


def get(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a GET request; see `request`."""
    return request("GET", url, **options)


def post(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a POST request; see `request`."""
    return request("POST", url, **options)


def put(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a PUT request; see `request`."""
    return request("PUT", url, **options)


def patch(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a PATCH request; see `request`."""
    return request("PATCH", url, **options)


def delete(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a DELETE request; see `request`."""
    return request("DELETE", url, **options)


def head(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send a HEAD request; see `request`."""
    return request("HEAD", url, **options)


def options(url: UrlTypes, **options: Unpack[RequestOptions]) -> RequestResult:
    """Send an OPTIONS request; see `request`."""
    return request("OPTIONS", url, **options)


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
        raise TypeError(f"run takes a coroutine, like run(main()), not {coroutine!r}")
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
    import nest_asyncio2

    try:
        nest_asyncio2.apply(loop)
    except ValueError as exc:
        coroutine.close()
        raise RuntimeError(
            f"{type(loop).__module__.partition('.')[0]}'s event loop cannot be nested; "
            "await the coroutine, or call the sync client, which needs no loop of its own"
        ) from exc
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                loop.run_until_complete(task)
        raise


def _is_trio_running() -> bool:
    import sys

    if "trio" not in sys.modules:
        return False
    import sniffio

    try:
        return sniffio.current_async_library() == "trio"
    except sniffio.AsyncLibraryNotFoundError:
        return False
