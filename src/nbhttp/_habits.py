"""What people who know requests, httpx or aiohttp write, and how it is written here.

Only messages are made of it: a name that does not exist stays an error, which says what to write.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Never

__all__ = [
    "CALLS",
    "OnlyAsync",
    "OnlySync",
    "SaysHow",
    "advice",
    "missing_name",
    "of_async_stream",
    "of_bulk",
    "of_call",
    "of_client",
    "of_download",
    "of_event",
    "of_file",
    "of_map",
    "of_module",
    "of_option",
    "of_result",
    "of_setting",
    "of_stream",
    "of_tasks",
    "unknown_option",
]

# How a call is written; a method's own name is `__call__` where the object is what is called.
CALLS: Mapping[str, str] = {
    "request": 'request("GET", url, params=…)',
    "get": "get(url, params=…)",
    "head": "head(url, params=…)",
    "delete": "delete(url, params=…)",
    "options": "options(url, params=…)",
    "__call__": "options(url, params=…)",
    "post": "post(url, json=…), or data=… for a form",
    "put": "put(url, json=…), or data=… for a form",
    "patch": "patch(url, json=…), or data=… for a form",
    "stream": 'stream("GET", url, params=…)',
    "stream_request": 'stream_request("GET", url, params=…)',
    "lines": 'lines(url, params=…), and method="POST" for another than GET',
    "ndjson": 'ndjson(url, params=…), and method="POST" for another than GET',
    "sse": 'sse(url, params=…), and method="POST" for another than GET',
    "map": "map(requests, concurrency=…)",
    "download_file": 'download_file(url, "folder/", params=…), or "folder/name.csv"',
    "download_many": 'download_many(urls, "folder/", concurrency=…)',
}


def _each(names: str, said: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), said)


_JUDGE = "write `if r:`, or r.success"
_BODY = "the whole body is here: r.content, r.text, r.json()"
_STREAM = "to read a body while it comes: stream_request(), lines(), ndjson(), sse()"

_OF_JSON = "a result is the answer, not its data: r.json()"
of_result: Mapping[str, str] = {
    **_each("get keys values items", _OF_JSON),
    **_each("body data raw read aread", _BODY),
    **_each(
        "iter_content iter_bytes iter_text iter_lines iter_raw aiter_bytes aiter_text aiter_lines aiter_raw",
        f"{_BODY}; {_STREAM}",
    ),
    "ok": _JUDGE,
    "is_success": _JUDGE,
    "is_error": _JUDGE,
    "is_client_error": "look at r.status_code",
    "is_server_error": "look at r.status_code",
    "status": "it is called status_code",
    "code": "it is called status_code",
    "reason": "it is called reason_phrase",
    "message": "it is called error",
    "close": "there is nothing to close",
    "aclose": "there is nothing to close",
    "history": "it is called redirects",
    "apparent_encoding": "it is called encoding",
    "getcode": "it is called status_code",
    "geturl": "it is called url",
    "info": "it is called headers",
    "getheader": "write r.headers[name]",
}

_FILE = "it is a file now: d.path, d.path.read_bytes(), open(d)"
of_file: Mapping[str, str] = {
    **_each(
        "text content json body data file read readline readlines iter_content iter_bytes iter_lines",
        _FILE,
    ),
    **_each("filename file_name", "it is d.path.name"),
    **_each("filepath file_path save_path destination", "it is called path"),
    **_each("ok is_success", "write `if d:`, or d.success"),
    **_each("status code", "it is called status_code"),
    "save": "it is saved: d.path",
    "close": "there is nothing to close",
    "hash": "it is called sha256",
    "checksum": "it is called sha256",
}

_OPENED = "4xx and 5xx are raised as it is opened; with raise_exception=False look at stream.error"


def _of_stream(loop: str, close: str) -> Mapping[str, str]:
    pieces = f"write `{loop} piece in stream`; its size is chunk_size= of stream_request()"
    raw = f"write `{loop} piece in client.stream_request(method, url, raw=True)`"
    lines = f"write `{loop} line in client.lines(url)`"
    events = f"write `{loop} event in client.sse(url)`"
    whole = f"it is read while it comes: `{loop} item in stream`; get(url) reads a whole body"
    return {
        **_each(
            "iter_content iter_bytes aiter_bytes iter_chunked iter_chunks iter_any stream", pieces
        ),
        **_each("iter_raw aiter_raw raw", raw),
        **_each("iter_lines aiter_lines iter_text aiter_text lines readline readlines", lines),
        **_each("iter_sse aiter_sse events", events),
        **_each("content text json body data read aread readany", whole),
        **_each("ok is_success success raise_for_status", _OPENED),
        **_each("status code", "it is called status_code"),
        **_each("close aclose release release_conn", close),
        "num_bytes_downloaded": "it is called received",
        "response": "status_code and headers are its own; client.stream() gives an httpx.Response",
    }


of_stream = _of_stream("for", "write stream.close()")
of_async_stream = _of_stream("async for", "write await stream.aclose()")

_DATA = "it is event.data, a str; sse(url, decode_json=True) decodes it"
of_event: Mapping[str, str] = {
    **_each("json text content body payload", _DATA),
    **_each("type name event_type", "it is called event"),
    **_each("last_event_id lastEventId event_id", "it is called id"),
}

of_bulk: Mapping[str, str] = {
    "results": "it is a sequence itself: results[0], for r in results",
    "errors": "write [r.error for r in results.failed]",
    "exceptions": "write [r.exception for r in results.failed]",
    "status": "write [r.status_code for r in results]",
    **_each("failures errored", "it is called failed"),
    **_each("successes succeeded successful", "it is called ok"),
    **_each("paths files", "write [d.path for d in results.ok]"),
}

_ADD = "write add_task(id, func, …), and wait(id).result for what it returns"
_MAP = "write map(func, items), or imap(func, items) for results as they come"
_END = "write shutdown(), or leave its `with` block"
of_tasks: Mapping[str, str] = {
    **_each("submit create_task ensure_future start_soon spawn apply_async delay add", _ADD),
    **_each("starmap imap_unordered map_async map_unordered as_completed", _MAP),
    **_each("run_in_executor to_thread run_sync", "write run_in_thread(func, …)"),
    **_each("result get get_result get_task task", "write wait(id).result"),
    **_each("join wait_all wait_for", "write wait(id), for each id in status()"),
    **_each("tasks get_status list_tasks", "it is status(): the tasks by id"),
    **_each("cancel cancel_all", "write cancel_task(id)"),
    **_each("close aclose stop terminate", _END),
}

_RETRY = (
    "nothing is sent again by itself; write waits = [25, 5, 1], then "
    "`while not (r := nbhttp.get(url)) and waits: time.sleep(waits.pop())` "
    "(downloads have max_attempts=, sse() has reconnect=)"
)
_VERIFY = "a client takes verify=: HttpClient(verify=…)"
_RAISE = "each result has it, and gives itself back: nbhttp.get(url).raise_for_status()"
_ERRORS = "nbhttp.NbhttpError is the root of all errors; calls return a result that is false"
of_module: Mapping[str, str] = {
    "Session": "it is called HttpClient",
    "session": "it is called HttpClient",
    "Client": "it is called HttpClient",
    "AsyncClient": "it is called AsyncHttpClient",
    "ClientSession": "it is called AsyncHttpClient",
    "Response": "it is called RequestResult",
    "stream": _STREAM + "; for an httpx.Response, HttpClient().stream()",
    "map": "it is a client's: nbhttp.HttpClient().map(urls)",
    "download": "it is called download_file",
    "exceptions": _ERRORS,
    "RequestException": _ERRORS,
    "HTTPError": _ERRORS,
    "HTTPStatusError": "it is called StatusError",
    "TransportError": "it is called RequestError",
    "ConnectionError": "it is called ConnectError",
    "TimeoutException": "it is called TimeoutError",
    "JSONDecodeError": "it is called DecodeError",
    "TooManyRedirects": "it is called TooManyRedirectsError",
    "Timeout": "pass seconds, timeout=30, or an httpx.Timeout",
    "BasicAuth": "pass auth=(user, password), or nbhttp.basic(user, password)",
    "HTTPBasicAuth": "pass auth=(user, password), or nbhttp.basic(user, password)",
    "fetch": "it is called get",
    "Auth": "pass auth=(user, password), nbhttp.bearer(token), or an httpx.Auth",
    "display": "it is nbhttp.options.display",
    "paginate": "read page after page with get(); r.response.links has a Link field's URLs",
    "Retry": _RETRY,
    "retry": _RETRY,
    "ConnectTimeout": "it is a TimeoutError, which says what was going on",
    "ReadTimeout": "it is a TimeoutError, which says what was going on",
    "SSLError": "it is a ConnectError, which says what was going on",
    "ProxyError": "it is a ConnectError, which says what was going on",
    "Limits": "a client takes max_connections= and keepalive_expiry=",
    "Headers": "write a dict; what a result has is an httpx.Headers",
    "get_many": "it is a client's: nbhttp.HttpClient().map(urls)",
    "wget": "it is called download_file",
    "urlretrieve": "it is called download_file",
    "retrieve": "it is called download_file",
    "download_files": "it is called download_many",
    "BearerAuth": "it is called bearer: nbhttp.bearer(token)",
    "DemoServer": "it is nbhttp.testing.DemoServer",
    "codes": "the numbers are in Python's http.HTTPStatus",
}

of_client: Mapping[str, str] = {
    "close": "write await client.aclose()",
    "aclose": "write client.close(), or await client.aio.aclose()",
    "download": "it is called download_file",
    "send": "write client.request(method, url)",
    "build_request": "write client.request(method, url)",
    "mount": "pass mounts= when the client is made",
    "proxies": "pass proxy= when the client is made",
    "is_closed": "a client opens connections when they are needed, also after it was closed",
}

_TOKEN = "write auth=nbhttp.bearer(token)"  # noqa: S105 - what to write
_PASSWORD = "write auth=(user, password)"  # noqa: S105 - what to write
_POOL = "write max_connections= and keepalive_expiry="
of_setting: Mapping[str, str] = {
    "limits": _POOL,
    "pool_size": _POOL,
    "connector": _POOL,
    "proxies": "write proxy=, or mounts= for one a scheme",
    "allow_redirects": "it is called follow_redirects",
    "token": _TOKEN,
    "bearer": _TOKEN,
    "api_key": 'write headers={"X-Api-Key": …} or params={…}, as the API has it',
    "user_agent": 'write headers={"User-Agent": …}',
    "username": _PASSWORD,
    "password": _PASSWORD,
    "hooks": "it is called event_hooks",
    "app": "write transport=httpx.ASGITransport(app)",
    "url": "it is called base_url",
    "host": "it is called base_url",
    "ssl": "it is called verify",
    "concurrency": "it is an option of map(); max_connections= bounds a client",
    "retry": _RETRY,
    "retries": _RETRY,
    "max_retries": _RETRY,
    "backoff": _RETRY,
    "backoff_factor": _RETRY,
    "raise_for_status": _RAISE,
}

_PROXY = "a client takes proxy=: HttpClient(proxy=…)"
of_option: Mapping[str, str] = {
    "allow_redirects": "it is called follow_redirects",
    "stream": _STREAM,
    "body": "it is called content (bytes or text), json or data (a form)",
    "query": "it is called params",
    "args": "it is called params",
    "proxies": _PROXY,
    "hooks": "a client takes event_hooks=: HttpClient(event_hooks=…)",
    "token": _TOKEN,
    "bearer": _TOKEN,
    "username": _PASSWORD,
    "user": _PASSWORD,
    "password": _PASSWORD,
    "user_agent": 'write headers={"User-Agent": …}',
    "concurrency": "it is an option of map()",
    "save_path": "it is an option of download_file()",
    "ssl": _VERIFY,
    "raise_for_status": _RAISE,
    "retry": _RETRY,
    "retries": _RETRY,
    "max_retries": _RETRY,
    "backoff": _RETRY,
}

_CONCURRENCY = "it is called concurrency"
_AGAIN = "nothing is sent again by itself; write client.map([r.url for r in results.failed])"
of_map: Mapping[str, str] = {
    "limit": _CONCURRENCY,
    "max_concurrency": _CONCURRENCY,
    "max_workers": _CONCURRENCY,
    "workers": _CONCURRENCY,
    "n_jobs": _CONCURRENCY,
    "threads": _CONCURRENCY,
    "retry": _AGAIN,
    "retries": _AGAIN,
    "max_retries": _AGAIN,
    "progress": "nothing shows how far a map is; client.subscribe(f) tells of each request",
} | dict.fromkeys(
    ("params", "headers", "timeout", "json", "method", "auth"),
    "it belongs to each request: map([(method, url, {…})]), or to the client",
)

_CHECKSUM = 'write checksum="sha256:…"'
_WHERE = "it is called save_path; of download_many directory"
_ATTEMPTS = "it is called max_attempts"
_AT_ONCE = "segments= are the connections of one file, concurrency= the files of download_many"
of_download: Mapping[str, str] = {
    **of_option,
    "known_hash": _CHECKSUM,
    "expected_hash": _CHECKSUM,
    "hash": _CHECKSUM,
    "sha256": _CHECKSUM,
    "md5": 'write checksum="md5:…"',
    "resume": "it resumes by itself: run it again",
    "force": "it is called overwrite",
    "connections": _AT_ONCE,
    "max_workers": _AT_ONCE,
    "workers": _AT_ONCE,
    "threads": _AT_ONCE,
    "num_threads": _AT_ONCE,
    "path": _WHERE,
    "dest": _WHERE,
    "destination": _WHERE,
    "fname": _WHERE,
    "filename": _WHERE,
    "out": _WHERE,
    "output": _WHERE,
    "folder": _WHERE,
    "retry": _ATTEMPTS,
    "retries": _ATTEMPTS,
    "max_retries": _ATTEMPTS,
    "progressbar": "it is called progress",
}
of_call: Mapping[str, Mapping[str, str]] = {
    "map": of_map,
    "download_file": of_download,
    "download_many": of_download,
}


class SaysHow:
    """Has an attribute that does not exist say how it is written here.

    A type checker knows without. What looks for protocols (copy, pickle, numpy, IPython) learns of
    none: the error is an AttributeError, and no method is there that was not before.
    """

    __slots__ = ()
    _habits: ClassVar[Mapping[str, str]] = {}

    def _habits_of(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 - for those that look
        """Return what is said of `name`, and of names that it may be a misspelling of."""
        return self._habits

    if not TYPE_CHECKING:  # it would make every name an attribute

        def __getattr__(self, name: str) -> Any:
            habits = {} if name.startswith("_") else self._habits_of(name)
            owner = f"{type(self).__name__!r} object"
            raise _attribute_error(owner, name, habits, dir(type(self)))


class OnlyAsync:
    """Has `with` say that this is async; a type checker knows without."""

    if not TYPE_CHECKING:

        def __enter__(self) -> Never:
            raise TypeError(
                f"{type(self).__name__} is async: write `async with`; "
                "without await there is nbhttp.HttpClient"
            )

        def __exit__(self, *_: object) -> Never:
            raise TypeError("write `async with`")


class OnlySync:
    """Has `async with` say that this needs no await; a type checker knows without."""

    if not TYPE_CHECKING:

        async def __aenter__(self) -> Never:
            raise TypeError(
                f"{type(self).__name__} needs no await: write `with`; "
                "the async client is nbhttp.AsyncHttpClient"
            )

        async def __aexit__(self, *_: object) -> Never:
            raise TypeError("write `with`")


def advice(name: str, habits: Mapping[str, str], known: Collection[str]) -> str:
    """Say what to write instead of a name that does not exist; "" when nothing is near."""
    if name in habits:
        return habits[name]
    if not known:
        return ""
    from difflib import get_close_matches

    lower = {one.lower(): one for one in known if not one.startswith("_")}
    near = get_close_matches(name.lower(), lower, n=1, cutoff=0.8)
    return f"did you mean {lower[near[0]]!r}?" if near else ""


def unknown_option(
    names: Collection[str],
    known: Collection[str],
    what: str,
    habits: Mapping[str, str] | None = None,
) -> TypeError:
    """Make the error of options that do not exist.

    Args:
        names: The options.
        known: Those that there are.
        what: What they were given to, as in "request".
        habits: What to say of names from elsewhere; None for those of a request.
    """
    from nbhttp.config import SETTING_NAMES

    habits = of_option if habits is None else habits
    of_client = sorted((set(names) & SETTING_NAMES) - habits.keys())
    if of_client:
        name = of_client[0]
        return TypeError(
            f"{name}= belongs to a client, not to one {what}: "
            f"HttpClient({name}=…) or AsyncHttpClient({name}=…)"
        )
    given, there_are = sorted(names), sorted(known)
    listed = ", ".join(map(repr, given))
    said = [text for name in given if (text := advice(name, habits, there_are))]
    more = "; ".join(said) or f"there are: {', '.join(there_are)}"
    return TypeError(f"unknown {what} option {listed}; {more}")


def _attribute_error(
    owner: str, name: str, habits: Mapping[str, str], known: Collection[str]
) -> AttributeError:
    """Make the error of an attribute that does not exist.

    Args:
        owner: What does not have it.
        name: The attribute.
        habits: What to say of names from elsewhere.
        known: The attributes that there are.
    """
    # What looks for protocols (pickle, numpy, IPython) asks for many of these.
    said = "" if name.startswith("_") else advice(name, habits, known)
    message = f"{owner} has no attribute {name!r}"
    # Python itself would add a guess of its own, had the error the object.
    return AttributeError(f"{message}; {said}" if said else message, name=name, obj=None)


def missing_name(name: str, known: Collection[str]) -> AttributeError:
    """Make the error of a name that nbhttp does not have."""
    package = Path(__file__).parent
    # `from nbhttp import config` asks for an attribute before it imports the module.
    is_module = (package / f"{name}.py").exists() or (package / name).exists()
    habits = {name: f"it is a module of its own: import nbhttp.{name}"} if is_module else of_module
    return _attribute_error("module 'nbhttp'", name, habits, () if is_module else known)
