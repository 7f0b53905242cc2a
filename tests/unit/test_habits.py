"""What is said to someone who writes what requests, httpx or aiohttp would take."""

import asyncio
import copy
import inspect
import pickle
import re
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pandas as pd
import pytest

import nbhttp
from nbhttp.config import SETTING_NAMES
from nbhttp.result import RequestResult
from nbhttp.types import RequestOptions


@pytest.fixture
def result() -> RequestResult:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="ok")

    with nbhttp.HttpClient(transport=httpx.MockTransport(answer)) as client:
        return client.get("http://h/")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ok", "write `if r:`, or r.success"),
        ("is_success", "write `if r:`, or r.success"),
        ("status", "it is called status_code"),
        ("iter_lines", "to read a body while it comes: stream_request(), lines()"),
        ("iter_text", "to read a body while it comes: stream_request(), lines()"),
        ("get", "a result is the answer, not its data: r.json()"),
        ("getheader", "write r.headers[name]"),
        ("cookies", "r.response.cookies"),
        ("haeders", "did you mean 'headers'?"),
    ],
)
def test_a_result_says_how_an_attribute_is_called_here(
    result: RequestResult, name: str, said: str
) -> None:
    """A name from elsewhere, or a misspelled one, stays an error, which says what to write."""
    with pytest.raises(AttributeError) as caught:
        getattr(result, name)
    assert said in str(caught.value)
    assert caught.value.name == name
    assert not hasattr(result, name)


def test_protocols_that_a_result_has_not_stay_silent(result: RequestResult) -> None:
    """What looks for methods such as `__array__` gets a plain error; copies and pickles work."""
    with pytest.raises(AttributeError, match=r"no attribute '_repr_png_'$"):
        result._repr_png_  # type: ignore[attr-defined] # noqa: B018 - as IPython asks
    assert copy.copy(result).text == "ok"
    assert pickle.loads(pickle.dumps(result)).text == "ok"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Session", "it is called HttpClient"),
        ("AsyncClient", "it is called AsyncHttpClient"),
        ("HTTPStatusError", "it is called StatusError"),
        ("AsyncHTTPClient", "did you mean 'AsyncHttpClient'?"),
        ("gett", "did you mean 'get'?"),
        ("fetch", "it is called get"),
        ("Timeout", "timeout=30"),
        ("ReadTimeout", "it is a TimeoutError, which says what was going on"),
        ("Retry", "sse() has reconnect=)"),
        ("wget", "it is called download_file"),
        ("download_files", "it is called download_many"),
        ("DemoServer", "it is nbhttp.testing.DemoServer"),
        ("no_such_thing", "no attribute 'no_such_thing'"),
    ],
)
def test_the_module_says_how_a_name_is_called_here(name: str, said: str) -> None:
    """`nbhttp.Session` is no name of ours, but the error says which one is."""
    with pytest.raises(AttributeError) as caught:
        getattr(nbhttp, name)
    assert str(caught.value).endswith(said) if "=" not in said else said in str(caught.value)


def test_a_module_that_was_not_imported_is_named() -> None:
    """In a process of its own: once anything has imported it, the attribute is there."""
    code = "import nbhttp; nbhttp.formats"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=60
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("AttributeError: module 'nbhttp' has no attribute 'formats'")
    assert last.endswith("it is a module of its own: import nbhttp.formats")


def test_importing_our_own_modules_looks_for_no_similar_name() -> None:
    """`from nbhttp import config` asks for an attribute first; that must stay cheap."""
    code = "import sys; from nbhttp import config, formats; assert 'difflib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [nbhttp.HttpClient, nbhttp.AsyncHttpClient])
def test_a_setting_cannot_be_changed_afterwards(kind: type) -> None:
    """`client.timeout = 3` would do nothing, so it is refused and says where it belongs."""
    client = kind()
    with pytest.raises(AttributeError, match=rf"{kind.__name__}\(timeout=….*get\(url, timeout=…"):
        client.timeout = 3
    with pytest.raises(AttributeError, match=rf"made: {kind.__name__}\(verify=…\)$"):
        client.verify = False
    with pytest.raises(AttributeError, match=r"client\.headers\.update"):
        client.headers = {"A": "b"}
    with pytest.raises(AttributeError, match=r"\(timeout=…\), or for one call"):
        client.timeout  # noqa: B018 - reading it, as with httpx
    with pytest.raises(AttributeError, match="it is called download_file"):
        client.download  # noqa: B018
    client.note = "a user's own attribute"
    assert client.note == "a user's own attribute"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timout": 3}, "unknown request option 'timout'; did you mean 'timeout'?"),
        ({"allow_redirects": False}, "it is called follow_redirects"),
        ({"stream": True}, "stream_request()"),
        ({"proxies": {}}, "HttpClient(proxy=…)"),
        ({"token": "x"}, "auth=nbhttp.bearer(token)"),
        ({"zzz": 1}, "there are: auth, content, cookies"),
    ],
)
def test_an_unknown_option_says_what_to_write(options: dict[str, object], said: str) -> None:
    """Nothing is sent, and the message names the option that was meant."""
    with pytest.raises(TypeError) as caught:
        nbhttp.get("http://127.0.0.1:9/", **options)  # type: ignore[arg-type] # wrong on purpose
    assert said in str(caught.value)


def test_an_unknown_option_of_a_download_lists_a_downloads_options() -> None:
    """They are others than a request's."""
    with pytest.raises(TypeError, match=r"download option 'progres'; did you mean 'progress'"):
        nbhttp.download_file("http://h/f", "f", progres=False)  # type: ignore[call-arg] # wrong on purpose
    with pytest.raises(TypeError, match=r"there are: auth, checksum"):
        nbhttp.download_file("http://h/f", "f", zzz=1)  # type: ignore[call-arg] # wrong on purpose


CLIENT = nbhttp.HttpClient("http://127.0.0.1:9")
URL = "http://127.0.0.1:9/"
BY_NAME = "by position, the rest by name: "


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nbhttp.get(URL, {"a": 1}), f"get() takes url {BY_NAME}get(url, params=…)"),
        (lambda: CLIENT.head(URL, {}), f"head() takes url {BY_NAME}head(url, params=…)"),
        (lambda: nbhttp.options(URL, {}), f"options() takes url {BY_NAME}options(url, params=…)"),
        (lambda: nbhttp.post(URL, {}), "post(url, json=…), or data=… for a form"),
        (lambda: CLIENT.put(URL, {}), "put(url, json=…), or data=… for a form"),
        (lambda: CLIENT.aio.map([URL], 3).send(None), f"{BY_NAME}map(requests, concurrency=…)"),
        (lambda: CLIENT.aio.patch(URL, {}).send(None), "patch(url, json=…)"),
        (nbhttp.get, "get() needs url: get(url"),
        (lambda: nbhttp.request(URL), 'request() needs url: request("GET", url'),
        (lambda: nbhttp.stream_request(URL), 'stream_request() needs url: stream_request("GET"'),
        (lambda: CLIENT.stream(URL), 'stream() needs url: stream("GET", url'),
        (lambda: nbhttp.lines("GET", URL), f"lines() takes url {BY_NAME}lines(url, params=…)"),
        (lambda: nbhttp.sse("POST", URL), 'and method="POST" for another than GET'),
        (lambda: nbhttp.download_file(URL), 'needs save_path: download_file(url, "folder/"'),
        (lambda: nbhttp.download_file(URL, path="x"), "option 'path'; it is called save_path"),
        (lambda: nbhttp.download_file(URL, "x", 1), "takes url and save_path by position"),
        (lambda: nbhttp.download_many([URL]), 'needs directory: download_many(urls, "folder/"'),
        (lambda: CLIENT.map([URL], max_workers=3), "option 'max_workers'; it is called concurrenc"),
        (lambda: CLIENT.map([URL], progress=True), "client.subscribe(f)"),
        (lambda: CLIENT.map([URL], params={}), "it belongs to each request: map([(method, url"),
        (lambda: CLIENT.map([URL], retries=1), "[r.url for r in results.failed]"),
        (lambda: CLIENT.map([URL], verify=False), "verify= belongs to a client, not to one map"),
        (lambda: nbhttp.get(URL, url=URL), "multiple values for argument 'url'"),
    ],
)
def test_a_call_that_does_not_fit_says_how_it_is_written(call: Any, said: str) -> None:
    """As requests has it, or a method first where none is wanted: Python's error says too little."""
    with pytest.raises(TypeError) as caught:
        call()
    assert said in str(caught.value)


def test_a_type_error_of_the_users_own_code_passes() -> None:
    """Only calls that do not fit are explained."""

    async def transport(_: httpx.Request) -> httpx.Response:
        raise TypeError("of the user's own")

    with (
        nbhttp.HttpClient(transport=httpx.MockTransport(transport)) as client,
        pytest.raises(TypeError, match="of the user's own"),
    ):
        client.get("http://h/")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("retry", "nothing is sent again by itself; write waits = "),
        ("max_retries", "nothing is sent again by itself; write waits = "),
        ("ssl", "a client takes verify="),
        ("raise_for_status", "nbhttp.get(url).raise_for_status()"),
        ("cert", "cert= belongs to a client, not to one request: HttpClient(cert=…)"),
    ],
)
def test_an_option_from_elsewhere_says_what_to_write(option: str, said: str) -> None:
    """Of a call, and of a client where it may be one."""
    with pytest.raises(TypeError, match=re.escape(said)):
        nbhttp.get(URL, **{option: 3})  # type: ignore[arg-type] # wrong on purpose
    if option not in {"ssl", "cert"}:
        with pytest.raises(TypeError, match=re.escape(said)):
            nbhttp.HttpClient(**{option: 3})  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("known_hash", 'write checksum="sha256:…"'),
        ("resume", "it resumes by itself"),
        ("force", "it is called overwrite"),
        ("threads", "segments= are the connections of one file"),
        ("retries", "it is called max_attempts"),
        ("filename", "it is called save_path"),
        ("verify", "verify= belongs to a client, not to one download"),
    ],
)
def test_an_option_of_another_downloader_says_what_to_write(option: str, said: str) -> None:
    """Of pooch, urllib, wget and their kin; the same for many files."""
    for call in (
        lambda: nbhttp.download_file(URL, "x", **{option: 3}),  # type: ignore[arg-type] # wrong on purpose
        lambda: nbhttp.download_many([URL], "x", **{option: 3}),  # type: ignore[arg-type] # wrong on purpose
    ):
        with pytest.raises(TypeError, match=re.escape(said)):
            call()


def test_the_advice_for_trying_again_holds() -> None:
    """What is to be written is Python that does it."""
    statuses = iter([503, 503, 200])

    async def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(next(statuses))

    with pytest.raises(TypeError) as caught:
        nbhttp.get(URL, retry=3)  # type: ignore[call-arg] # wrong on purpose
    code = str(caught.value).partition("`")[2].partition("`")[0]
    assert code.startswith("while not (r := nbhttp.get(url))")
    waited: list[int] = []
    with nbhttp.HttpClient(transport=httpx.MockTransport(answer)) as client:
        names: dict[str, Any] = {
            "nbhttp": client,
            "time": SimpleNamespace(sleep=waited.append),
            "waits": [25, 5, 1],
            "url": "http://h/",
        }
        exec(code, names)
    assert names["r"].success
    assert waited == [1, 5]


@pytest.mark.parametrize("value", [{"b": 1}, {1, 2}, iter([1]), range(2)])
def test_what_is_no_parameter_is_refused(value: object) -> None:
    """Its `str()` would be sent, which no server expects."""
    with pytest.raises(TypeError, match=f"a list of them for 'a', not {type(value).__name__}"):
        nbhttp.get("http://127.0.0.1:9/", params={"a": value})  # type: ignore[dict-item] # wrong on purpose


def test_a_column_as_params_says_what_to_write() -> None:
    """Whether it is true cannot be asked."""
    row = pd.Series({"a": 1})
    with pytest.raises(TypeError, match=r"not Series; write params=…\.to_dict\(\)"):
        nbhttp.get(URL, params=row)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ok", "or d.success"),
        ("filename", "it is d.path.name"),
        ("json", "open(d)"),
        ("save_path", "it is called path"),
        ("checksum", "it is called sha256"),
        ("name", "it is d.path.name"),
        ("read_text", "it is d.path.read_text"),
        ("exists", "it is d.path.exists"),
        ("text", "d.path.read_bytes()"),
        ("pth", "did you mean 'path'?"),
    ],
)
def test_a_download_says_how_an_attribute_is_called_here(name: str, said: str) -> None:
    """It is a file, and no answer with a body."""
    result = nbhttp.DownloadResult(url=URL, path=Path("x"))
    with pytest.raises(AttributeError, match=re.escape(said)):
        getattr(result, name)
    assert pickle.loads(pickle.dumps(result)).path == Path("x")
    assert copy.copy(result).url == URL


@pytest.mark.parametrize("base_url", [None, 3, b"http://h"])
def test_a_base_url_is_text(base_url: object) -> None:
    """Not `https://None`."""
    with pytest.raises(TypeError, match="base_url takes a str"):
        nbhttp.HttpClient(base_url)  # type: ignore[arg-type] # wrong on purpose


def test_a_url_without_host_says_what_is_missing() -> None:
    """A path wants a base_url, not another scheme."""
    with pytest.raises(nbhttp.ConfigError, match="it is only a path; give the client a base_url"):
        nbhttp.get("/stations")
    with pytest.raises(nbhttp.ConfigError, match="it is empty"):
        nbhttp.get("")
    with pytest.raises(nbhttp.ConfigError, match="the method comes first"):
        nbhttp.request("/stations", "GET")
    with pytest.raises(TypeError, match=r"headers takes a mapping or \(name, value\) pairs"):
        nbhttp.get("http://h/", headers=["A: b"])  # type: ignore[arg-type] # wrong on purpose


def test_help_and_completion_name_every_option() -> None:
    """Shift-Tab shows what there is, and an editor's completion offers it; types are unchanged."""
    of_get = inspect.signature(nbhttp.get).parameters
    assert list(of_get)[:4] == ["url", "params", "json", "data"]
    assert {*of_get} == {"url", *RequestOptions.__optional_keys__}
    assert "**" not in str(inspect.signature(nbhttp.AsyncHttpClient.stream))
    of_download = inspect.signature(nbhttp.HttpClient.download_file).parameters
    assert {"save_path", "chunk_size", "checksum", "overwrite", "auth"} <= {*of_download}
    assert inspect.iscoroutinefunction(nbhttp.AsyncHttpClient.get)


def test_json_of_a_dead_host_raises_one_error_not_a_chain() -> None:
    """What the transport raised stays in `exception`, and out of the cell's traceback."""

    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("all is lost", request=request)

    with nbhttp.HttpClient(transport=httpx.MockTransport(refuse)) as client:
        dead = client.get("http://h/")
    with pytest.raises(nbhttp.DecodeError, match=r"no answer to decode: .*all is lost") as caught:
        dead.json()
    assert "httpx.ConnectError" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(dead.exception, nbhttp.ConnectError)


async def _ok(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="ok")


def test_many_results_say_how_each_is_asked() -> None:
    """`results.json()` and `results.status_code` are of one result."""
    with nbhttp.HttpClient("http://h", transport=httpx.MockTransport(_ok)) as client:
        results = client.map(["/1", "/2"])
    with pytest.raises(AttributeError, match=r"\[r\.json\(\) for r in results\.ok\]"):
        results.json()  # type: ignore[attr-defined] # wrong on purpose
    with pytest.raises(AttributeError, match=r"\[r\.status_code for r in results\]"):
        results.status_code  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(AttributeError, match=r"it: for r in results: r\.raise_for_status\(\)$"):
        results.raise_for_status()  # type: ignore[attr-defined] # wrong on purpose
    with pytest.raises(AttributeError, match=r"results\[0\]"):
        results.results  # type: ignore[attr-defined] # noqa: B018
    assert len(pickle.loads(pickle.dumps(results))) == 2
    assert len(copy.copy(results)) == 2


@pytest.mark.parametrize("name", ["follow_redirects", "http2", "trust_env"])
@pytest.mark.parametrize("value", ["false", 0, None])
def test_a_switch_is_true_or_false(name: str, value: object) -> None:
    """`"false"`, as it comes from the environment, would be true."""
    with pytest.raises(TypeError, match=f"{name} takes True or False"):
        nbhttp.HttpClient(**{name: value})  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"auth": "abc"}, r"auth=nbhttp\.bearer\(token\)"),
        ({"auth": nbhttp.Secret("a-token-of-mine")}, r"auth=nbhttp\.bearer\(token\)"),
        ({"timeout": (3, 5)}, r"httpx\.Timeout\(read, connect=connect\)"),
        ({"proxy": {"http": "http://p"}}, "use mounts="),
    ],
)
def test_a_value_as_requests_takes_it_says_what_to_write(
    options: dict[str, Any], said: str
) -> None:
    """A token as `auth`, a pair of limits, a mapping of proxies."""
    with pytest.raises(TypeError, match=said):
        nbhttp.HttpClient(**options)


@pytest.mark.parametrize("content", [Path("a.csv"), 3, ["a"]])
def test_what_is_no_file_is_refused_before_anything_is_sent(content: object) -> None:
    """A path is not opened on its own; half an upload is no place to notice."""
    with pytest.raises(TypeError, match=f"opened with mode 'rb', not {type(content).__name__}"):
        nbhttp.post("http://127.0.0.1:9/", files={"f": content})  # type: ignore[dict-item] # wrong on purpose


def test_a_client_says_that_it_cannot_be_pickled() -> None:
    """As joblib and multiprocessing would; its results can."""
    for client in (nbhttp.HttpClient(), nbhttp.AsyncHttpClient()):
        for function in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="make one where it is used"):
                function(client)


def test_saving_says_which_folder_is_missing(result: RequestResult, tmp_path: Path) -> None:
    """Not the name of a temporary file."""
    with pytest.raises(FileNotFoundError, match=r"the folder does not exist: '.*none'$"):
        result.save(tmp_path / "none" / "x.json")
    with pytest.raises(IsADirectoryError, match="give the file a name"):
        result.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [nbhttp.HttpClient, nbhttp.AsyncHttpClient])
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("header", "did you mean 'headers'?"),
        ("max_conections", "did you mean 'max_connections'?"),
        ("limits", "write max_connections= and keepalive_expiry="),
        ("allow_redirects", "it is called follow_redirects"),
        ("api_key", "headers={"),
        ("whatever", "there are: auth, base_url, "),
    ],
)
def test_a_client_says_how_a_setting_is_written(kind: Any, setting: str, said: str) -> None:
    """A setting that does not exist is refused by the client's name, with what to write."""
    with pytest.raises(TypeError) as caught:
        kind("http://h", **{setting: 1})
    assert str(caught.value).startswith(f"unknown {kind.__name__} option {setting!r}; ")
    assert said in str(caught.value)


def test_settings_are_what_a_client_takes() -> None:
    """None is refused by mistake, help() shows them, and a subclass has its own."""
    shown = inspect.signature(nbhttp.HttpClient).parameters
    assert list(shown)[:4] == ["base_url", "timeout", "headers", "verify"]
    assert set(shown) == SETTING_NAMES

    class Ours(nbhttp.HttpClient):
        def __init__(self, *, token: str) -> None:
            super().__init__("http://h", headers={"X": token})

    assert Ours(token="abc").headers["x"] == "abc"


def test_with_and_for_say_what_is_async() -> None:
    """Where `async` or a plain client was meant, the error says which."""
    client, plain = nbhttp.AsyncHttpClient("http://h"), nbhttp.HttpClient("http://h")
    with pytest.raises(TypeError, match="AsyncHttpClient is async: write `async with`"):
        client.__enter__()
    with pytest.raises(TypeError, match="LineStream is async: write `async for`; without await"):
        list(client.lines("/x"))  # type: ignore[call-overload] # what is tested
    with pytest.raises(TypeError, match="ByteStream is async: write `async with`"):
        client.stream_request("GET", "/x").__enter__()

    async def main() -> None:
        with pytest.raises(TypeError, match="HttpClient needs no await: write `with`"):
            async with plain:
                pass
        with pytest.raises(TypeError, match="SyncLineStream needs no await: write `with`"):
            async with plain.lines("/x"):
                pass

    asyncio.run(main())


def test_a_stream_that_was_closed_unread_says_so() -> None:
    """Its repr does not promise that it may still be opened."""
    stream = nbhttp.lines("http://h/x")
    assert repr(stream).endswith("not opened yet>")
    stream.close()
    assert repr(stream).endswith("closed before it was opened>")


@pytest.mark.parametrize(
    "function",
    [nbhttp.get, nbhttp.HttpClient.post, nbhttp.AsyncHttpClient.get, nbhttp.download_file,
     nbhttp.HttpClient.lines, nbhttp.sse, nbhttp.HttpClient.stream],
)  # fmt: skip
def test_help_explains_the_options(function: Any) -> None:
    """What `help()` and `?` show is enough; it has each section once, and none of the async twin."""
    text = inspect.getdoc(function) or ""
    assert "\nArgs:\n    url: " in text or "\nArgs:\n    method: " in text
    assert "\nRaises:\n" in text
    assert all(text.count(f"\n{title}:\n") <= 1 for title in ("Args", "Returns", "Raises"))
    assert ("method" in inspect.signature(function).parameters) == ("    method: " in text)
    if (
        not hasattr(nbhttp.AsyncHttpClient, function.__name__)
        or function.__module__ == "nbhttp.sync"
    ):
        assert "async iterator" not in text


SYNC, ASYNC = "`for ", "`async for "


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("iter_content", "{loop}piece in stream`; its size is chunk_size="),
        ("aiter_bytes", "{loop}piece in stream`"),
        ("raw", "{loop}piece in client.stream_request(method, url, raw=True)`"),
        ("iter_lines", "{loop}line in client.lines(url)`"),
        ("aiter_text", "{loop}line in client.lines(url)`"),
        ("iter_sse", "{loop}event in client.sse(url)`"),
        ("content", "get(url) reads a whole body"),
        ("json", "get(url) reads a whole body"),
        ("raise_for_status", "raised as it is opened"),
        ("status", "it is called status_code"),
        ("recieved", "did you mean 'received'?"),
    ],
)
def test_a_stream_says_how_an_attribute_is_called_here(name: str, said: str) -> None:
    """On both faces, each with the loop that it is read by; nothing is sent for it."""
    for client, loop in ((CLIENT, SYNC), (CLIENT.aio, ASYNC)):
        for stream in (client.stream_request("GET", "/"), client.lines("/"), client.sse("/")):
            with pytest.raises(AttributeError, match=re.escape(said.format(loop=loop))):
                getattr(stream, name)
            assert getattr(stream, name, None) is None
            assert repr(stream).endswith("not opened yet>")


def test_a_stream_says_how_it_is_closed() -> None:
    """Each face has one of the two names."""
    with pytest.raises(AttributeError, match=r"write await stream\.aclose\(\)"):
        CLIENT.aio.lines("/").close  # type: ignore[attr-defined] # noqa: B018 - what is tested
    with pytest.raises(AttributeError, match=r"write stream\.close\(\)"):
        CLIENT.lines("/").aclose  # type: ignore[attr-defined] # noqa: B018 - what is tested


def test_an_event_says_what_its_data_is() -> None:
    """It is text unless JSON was asked for, and has the names of the standard."""
    event = nbhttp.ServerSentEvent(data="{}")
    for name, said in {
        "json": "it is event.data, a str; sse(url, decode_json=True) decodes it",
        "type": "it is called event",
        "last_event_id": "it is called id",
    }.items():
        with pytest.raises(AttributeError, match=re.escape(said)):
            getattr(event, name)
    assert pickle.loads(pickle.dumps(event)) == copy.copy(event) == event


def test_many_results_say_where_one_is_asked() -> None:
    """What each result has, and what other libraries call their parts."""
    results = nbhttp.BulkResult([nbhttp.DownloadResult(url=URL, path=Path("x"))])
    for name, said in {
        "status_code": "each of its results has it: [r.status_code for r in results]",
        "raise_for_status": "for r in results: r.raise_for_status()",
        "errors": "write [r.error for r in results.failed]",
        "paths": "write [d.path for d in results.ok]",
        "succeeded": "it is called ok",
        "faild": "did you mean 'failed'?",
    }.items():
        with pytest.raises(AttributeError, match=re.escape(said)):
            getattr(results, name)
    assert list(pickle.loads(pickle.dumps(nbhttp.BulkResult([])))) == []


@pytest.mark.parametrize("kind", [nbhttp.TaskManager, nbhttp.AnyioTaskManager])
def test_a_task_manager_says_how_a_method_is_called_here(kind: Any) -> None:
    """As asyncio, anyio and concurrent.futures have them."""
    for name, said in {
        "submit": "write add_task(id, func, …), and wait(id).result",
        "create_task": "write add_task(id, func, …)",
        "start_soon": "write add_task(id, func, …)",
        "imap_unordered": "or imap(func, items)",
        "run_in_executor": "write run_in_thread(func, …)",
        "cancel": "write cancel_task(id)",
        "tasks": "it is status(): the tasks by id",
        "close": "write shutdown()",
        "ad_task": "did you mean 'add_task'?",
    }.items():
        with pytest.raises(AttributeError, match=re.escape(said)):
            getattr(kind(), name)


@pytest.mark.parametrize(
    "thing",
    [
        nbhttp.DownloadResult(url=URL),
        nbhttp.BulkResult([]),
        nbhttp.ServerSentEvent(),
        nbhttp.TaskManager(),
        CLIENT,
        CLIENT.lines("/"),
        CLIENT.aio.lines("/"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_looks_for_a_protocol_finds_none_and_no_advice(thing: Any) -> None:
    """So numpy, pandas, IPython and copy go on as they would, and completion lists no more."""
    for name in (
        "__array__",
        "__dataframe__",
        "_repr_png_",
        "_ipython_display_",
        "_ipython_canary",
    ):
        with pytest.raises(AttributeError, match=rf"object has no attribute '{name}'$"):
            getattr(thing, name)
    for name in ("shape", "dtype", "columns", "content", "submit"):
        assert not hasattr(thing, name)
        assert name not in dir(thing)
