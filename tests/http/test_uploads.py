"""The progress of a request's body, over both engines and both faces."""

import contextlib
import hashlib
import io
import logging
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import FaultServer

import nbhttp
from nbhttp import AsyncHttpClient, ConfigError, HttpClient
from nbhttp._core.events import UploadProgress

ENGINES = ["httpx", "direct"]
SIZE = 700_000
BODY = bytes(range(256)) * (SIZE // 256 + 1)
BODY = BODY[:SIZE]


def pieces() -> Iterator[bytes]:
    for start in range(0, SIZE, 100_000):
        yield BODY[start : start + 100_000]


async def async_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece


def calls_of(told: list[tuple[int, int | None]]) -> list[int]:
    """Return the sent bytes, checked to rise."""
    sent = [number for number, _ in told]
    assert sent == sorted(sent)
    return sent


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["bytes", "file", "iterator", "json", "files"])
def test_sent_bytes_are_told_up_to_the_whole(fault: FaultServer, engine: Any, kind: str) -> None:
    """The callback begins at 0, ends at the whole, and the body arrives as it is."""
    options: dict[str, Any] = {
        "bytes": {"content": BODY},
        "file": {"content": io.BytesIO(BODY)},
        "iterator": {"content": pieces()},
        "json": {"json": ["x" * 1000]},
        "files": {"files": {"f": ("a.bin", io.BytesIO(BODY))}},
    }[kind]
    told: list[tuple[int, int | None]] = []
    with HttpClient(fault.url, engine=engine) as client:
        result = client.post(
            "/upload",
            on_upload_progress=lambda sent, total: told.append((sent, total)),
            **options,
        )
    assert result.success, result.error
    length = result.json()["length"]
    sent = calls_of(told)
    assert sent[0] == 0
    assert told[-1] == (length, length)
    assert told[0] == (0, None if kind == "iterator" else length)
    assert length == {"json": 1004, "files": length}.get(kind, SIZE)


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ENGINES)
async def test_an_async_body_is_counted(fault: FaultServer, engine: Any) -> None:
    """Async iterables are counted too, over the async client."""
    told: list[tuple[int, int | None]] = []
    async with AsyncHttpClient(fault.url, engine=engine) as client:
        result = await client.put(
            "/upload",
            content=async_pieces(),
            on_upload_progress=lambda sent, total: told.append((sent, total)),
        )
    assert result.json()["length"] == SIZE
    assert told[-1] == (SIZE, SIZE)


@pytest.mark.parametrize("engine", ENGINES)
def test_events_tell_more_and_end_once(fault: FaultServer, engine: Any) -> None:
    """A function given as progress gets events; the last one says how the call ended."""
    events: list[UploadProgress] = []
    with HttpClient(fault.url, engine=engine) as client:
        client.post("/upload?api_key=hunter22", content=BODY, progress=events.append)
        assert [event.is_over for event in events].count(True) == 1
        last = events[-1]
        assert (last.is_over, last.success, last.sent, last.total) == (True, True, SIZE, SIZE)
        assert last.elapsed > 0
        assert "hunter22" not in last.url
        assert len({event.request_id for event in events}) == 1
        events.clear()
        client.post("/status/500", content=b"x", progress=events.append)
    assert (events[-1].success, events[-1].is_over) == (False, True)
    assert "500" in (events[-1].error or "")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_upload_names_its_files(fault: FaultServer, tmp_path: Path, engine: Any) -> None:
    """A file that is sent, or the files of a form, are named without their folders."""
    path = tmp_path / "harbour.bin"
    path.write_bytes(BODY)
    form = {"a": ("one.png", b"1"), "b": ("two.png", io.BytesIO(b"2"))}
    with HttpClient(fault.url, engine=engine) as client, path.open("rb") as file:
        for options, names in [
            ({"content": file}, ("harbour.bin",)),
            ({"files": form, "data": {"text": "x"}}, ("one.png", "two.png")),
            ({"json": [1]}, ()),
            ({"content": pieces()}, ()),
        ]:
            events: list[UploadProgress] = []
            client.post("/upload", progress=events.append, **options)
            assert {event.files for event in events} == {names}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failing_callback_harms_nothing_and_is_reported_once(
    fault: FaultServer, engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The request goes on, the callback is not called again, the log has one line."""
    calls = []

    def broken(sent: int, total: int | None) -> None:
        calls.append(sent)
        raise RuntimeError("token=hunter22")

    with caplog.at_level(logging.ERROR, "nbhttp"), HttpClient(fault.url, engine=engine) as client:
        result = client.post("/upload", content=BODY, on_upload_progress=broken)
    assert result.json()["length"] == SIZE
    assert calls == [0]
    (record,) = caplog.records
    assert "is not called again" in record.getMessage()
    assert "hunter22" not in record.getMessage()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_body_that_is_sent_again_is_counted_again(fault: FaultServer, engine: Any) -> None:
    """After a 307 the count starts over and ends at the whole once more."""
    told: list[tuple[int, int | None]] = []
    with HttpClient(fault.url, engine=engine) as client:
        result = client.post(
            "/redirect/to?url=/upload&status=307",
            content=BODY,
            on_upload_progress=lambda sent, total: told.append((sent, total)),
        )
    assert result.redirects, result
    zeros = [index for index, (sent, _) in enumerate(told) if sent == 0]
    assert len(zeros) == 2
    assert told[-1] == (SIZE, SIZE)


def test_no_body_is_no_progress(fault: FaultServer) -> None:
    """A GET tells its end alone."""
    events: list[UploadProgress] = []
    with HttpClient(fault.url) as client:
        client.get("/status/200", progress=events.append, on_upload_progress=lambda *_: 1 / 0)
    assert [event.is_over for event in events] == [True]


def test_wrong_values_are_refused_before_anything_is_sent(fault: FaultServer) -> None:
    """What cannot be called or is no style is named in the error."""
    with HttpClient(fault.url) as client:
        with pytest.raises(TypeError, match="on_upload_progress takes a function"):
            client.post("/upload", content=b"x", on_upload_progress=3)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="progress takes True"):
            client.post("/upload", content=b"x", progress="fancy")  # type: ignore[arg-type]
    assert fault.log(path="/upload") == []


@pytest.mark.anyio
@pytest.mark.parametrize("engine", ENGINES)
async def test_the_files_of_a_form_are_read_in_a_thread(fault: FaultServer, engine: Any) -> None:
    """The loop stays free; what is sent is the form as httpx has it."""
    threads: list[int] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            threads.append(threading.get_ident())
            return super().read(size)

    content = os.urandom(3_000_000)
    form: Any = {"data": {"a": "1"}, "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    sent: list[tuple[int, int | None]] = []
    async with AsyncHttpClient(engine=engine, trust_env=False) as client:
        answer = await client.post(
            f"{fault.url}/upload", files={"f": ("f.bin", Slow(content))}, **form,
            on_upload_progress=lambda *numbers: sent.append(numbers),
        )  # fmt: skip
    assert answer.success, answer.error
    files = {"f": ("f.bin", content)}
    whole = httpx.Request("POST", "http://h/", files=files, **form).read()
    assert answer.json()["sha256"] == hashlib.sha256(whole).hexdigest()
    assert sent[-1] == (len(whole), len(whole))
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.parametrize("piece_size", [1000, 100_000, 5_000_000])
async def test_a_refusal_is_read_though_the_connection_was_reset(
    fault: FaultServer, anyio_backend: str, piece_size: int
) -> None:
    """The server answers and closes; what is still sent then meets a reset."""
    closed: list[bool] = []

    async def long() -> AsyncIterator[bytes]:
        try:
            for _ in range(5_000_000 // piece_size):
                yield bytes(piece_size)
        finally:
            closed.append(True)

    async with AsyncHttpClient(fault.url, engine="httpx") as client:
        for turn in range(1, 4):
            result = await client.post("/upload?early=1", content=long())
            assert result.status_code == 413, result.error
            assert len(closed) == turn
        assert (await client.get("/echo")).success


def test_an_upload_that_is_given_up_ends_its_connection() -> None:
    """Nothing keeps it open for the server."""
    ended: list[bool] = []

    def listen(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            is_given_up.wait(20)
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(2**20):
                    pass
            ended.append(True)

    is_given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen, args=(listener,))
        thread.start()
        with HttpClient(engine="httpx", timeout=0.2) as client:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            result = client.post(url, content=bytes(20_000_000))
            assert isinstance(result.exception, nbhttp.TimeoutError)
            is_given_up.set()
            thread.join()
    assert ended == [True]
