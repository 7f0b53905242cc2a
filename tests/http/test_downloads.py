"""Downloads from a server that behaves: names, resuming, verifying, progress, stopping."""

import asyncio
import hashlib
import io
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from servers import FaultServer, Nginx
from servers.link import Link

import nbhttp
from nbhttp import AsyncHttpClient, ConfigError, DownloadResult, HttpClient
from nbhttp._core import events

SIZE = 3_000_000
MIB = 1024 * 1024


@pytest.fixture
def client(engine: str) -> HttpClient:
    """A sync client over the engine: its downloads run where the async ones do."""
    return HttpClient(engine=engine, trust_env=False, timeout=10.0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def check(result: DownloadResult, fault: FaultServer, seed: str = "a", size: int = SIZE) -> None:
    """The result is a success, the file right, and nothing is left beside it."""
    assert result.success, result.error
    assert result.path is not None
    assert hashlib.sha256(result.path.read_bytes()).hexdigest() == fault.sha256(seed, size)
    assert (result.size, result.sha256) == (size, fault.sha256(seed, size))
    assert names(result.path.parent) == [result.path.name]


def gets(fault: FaultServer) -> list[dict[str, str]]:
    """The header fields of the GETs of files, oldest first."""
    rows = [row for row in fault.log(path="/file/") if row["method"] == "GET"]
    return [{k.lower(): v for k, v in row["headers"]} for row in rows]


def test_a_file_is_fetched(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """The bytes are right, and the result says what happened."""
    result = client.download_file(f"{fault.url}/file/a/{SIZE}", tmp_path / "f", progress=False)
    check(result, fault)
    assert result.path == tmp_path / "f"
    assert (result.received, result.resumed_from, result.segments) == (SIZE, 0, 1)
    assert not result.skipped
    assert not result.verified
    assert (result.status_code, len(result.attempts)) == (200, 1)
    assert result.engine == client.get(fault.url).engine
    assert result.engine_reason
    assert result.headers["etag"]
    assert result.elapsed > 0
    assert result.speed > 0
    assert gets(fault)[0]["accept-encoding"] == "identity"
    assert Path(result).stat().st_size == SIZE


def test_every_face_has_it(fault: FaultServer, tmp_path: Path):
    """At module level, on the sync client, and awaited on asyncio's loop."""
    url = f"{fault.url}/file/a/{SIZE}"
    check(nbhttp.download_file(url, f"{tmp_path}/1/", progress=False), fault)
    check(HttpClient().download_file(url, f"{tmp_path}/2/", progress=False), fault)

    async def fetch() -> DownloadResult:
        async with AsyncHttpClient() as client:
            return await client.download_file(url, f"{tmp_path}/3/", progress=False)

    check(asyncio.run(fetch()), fault)


def test_trio_has_it(fault: FaultServer, tmp_path: Path):
    """Awaited on trio's loop, the loop stays free."""

    async def fetch() -> DownloadResult:
        async with AsyncHttpClient() as client:
            return await client.download_file(
                f"{fault.url}/file/a/{SIZE}", tmp_path / "f", progress=False
            )

    check(anyio.run(fetch, backend="trio"), fault)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "1000"),
        ("disp=attachment;filename=report.csv", "report.csv"),
        ("disp=attachment;filename%3d%22..%2f..%2fevil.sh%22", "evil.sh"),
        ("disp=attachment;filename*%3dUTF-8%27%27%25e2%2582%25ac.txt", "€.txt"),
        ("disp=attachment;filename*%3dUTF-8%27%27%25e2;filename%3dplain.txt", "plain.txt"),
        ("disp=attachment;filename%3dCON", "_CON"),
    ],
)
def test_in_a_directory_the_server_names_the_file(
    client: HttpClient, fault: FaultServer, tmp_path: Path, query: str, name: str
):
    """Content-Disposition counts, then the URL; what is unsafe is not taken."""
    result = client.download_file(f"{fault.url}/file/a/1000?{query}", tmp_path, progress=False)
    assert result.success, result.error
    assert names(tmp_path) == [name]


def test_a_redirect_names_the_file(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """The name is that of the URL that answered."""
    result = client.download_file(
        f"{fault.url}/redirect/to?url=/file/a/1000", f"{tmp_path}/", progress=False
    )
    assert result.success, result.error
    assert names(tmp_path) == ["1000"]
    assert len(result.redirects) == 1


# What is there already


def test_a_current_file_is_not_fetched_again(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """The server says 304, and the result says so at once."""
    url = f"{fault.url}/file/a/{SIZE}"
    client.download_file(url, tmp_path / "f", progress=False)
    result = client.download_file(url, tmp_path / "f", progress=False)
    check(result, fault)
    assert (result.skipped, result.received) == (True, 0)
    assert "already there" in repr(result)
    if hasattr(os, "setxattr"):
        assert result.status_code == 304


def test_a_copied_file_is_recognised_by_size_and_date(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """Without a record: as large as the server's, and written after that last changed."""
    url = f"{fault.url}/file/a/{SIZE}"
    data = client.download_file(url, tmp_path / "f", progress=False)
    assert data.path is not None
    (tmp_path / "g").write_bytes(data.path.read_bytes())
    assert client.download_file(url, tmp_path / "g", progress=False).skipped
    os.utime(tmp_path / "g", (1, 1))
    result = client.download_file(url, tmp_path / "g", progress=False)
    assert result.error is not None
    assert "is older than the server's file" in result.error


def test_a_file_in_a_directory_is_recognised(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """Its name is only known from the answer; the body is not fetched."""
    url = f"{fault.url}/file/a/{SIZE}?disp=attachment;filename=x.bin"
    client.download_file(url, tmp_path, progress=False)
    result = client.download_file(url, tmp_path, progress=False)
    check(result, fault)
    assert (result.skipped, result.received) == (True, 0)


@pytest.mark.parametrize("seed", ["a", "b"])
def test_another_file_is_not_overwritten(
    client: HttpClient, fault: FaultServer, tmp_path: Path, seed: str
):
    """What stands there is only replaced when asked for, then as a whole."""
    (tmp_path / "f").write_bytes(b"mine")
    url = f"{fault.url}/file/{seed}/{SIZE}"
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert not result.success
    assert result.error is not None
    assert "has 4 bytes" in result.error
    assert result.hint == "pass overwrite=True to replace it, or choose another name"
    assert (tmp_path / "f").read_bytes() == b"mine"
    check(client.download_file(url, tmp_path / "f", overwrite=True, progress=False), fault, seed)


def test_a_file_that_changed_upstream_is_not_current(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """As large as before, and another version."""
    url = f"{fault.url}/file/a/{SIZE}?change_after=1"
    check(client.download_file(url, tmp_path / "f", progress=False), fault)
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert not result.success
    result = client.download_file(url, tmp_path / "f", overwrite=True, progress=False)
    check(result, fault, "a~2")


def test_a_checksum_recognises_a_file_without_asking(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """Nothing is sent when the file has the checksum."""
    url, digest = f"{fault.url}/file/a/{SIZE}", f"sha256:{fault.sha256('a', SIZE)}"
    result = client.download_file(url, tmp_path / "f", checksum=digest, progress=False)
    check(result, fault)
    assert result.verified
    fault.reset()
    result = client.download_file(url, tmp_path / "f", checksum=digest, progress=False)
    assert (result.skipped, result.verified) == (True, True)
    assert gets(fault) == []
    (tmp_path / "f").write_bytes(b"mine")
    result = client.download_file(url, tmp_path / "f", checksum=digest, progress=False)
    assert not result.success
    assert gets(fault) == []


# Checksums


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512", "blake2b"])
def test_a_checksum_is_compared(
    client: HttpClient, fault: FaultServer, tmp_path: Path, algorithm: str
):
    """The right one lets the file through, a wrong one does not."""
    url = f"{fault.url}/file/a/{SIZE}"
    first = client.download_file(url, tmp_path / "f", progress=False)
    assert first.path is not None
    digest = hashlib.new(algorithm, first.path.read_bytes()).hexdigest()
    right = client.download_file(
        url, tmp_path / "g", checksum=f"{algorithm}:{digest}", progress=False
    )
    assert right.verified
    wrong = client.download_file(
        url, tmp_path / "h", checksum=f"{algorithm}:{digest[::-1]}", progress=False
    )
    assert isinstance(wrong.exception, nbhttp.ChecksumError)
    assert names(tmp_path) == ["f", "g"]


def test_without_a_checksum_nothing_is_hashed_until_asked(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """The SHA-256 is that of the file as it is when it is asked for."""
    result = client.download_file(f"{fault.url}/file/a/{SIZE}", tmp_path / "f", progress=False)
    (tmp_path / "f").write_bytes(b"changed")
    assert result.sha256 == hashlib.sha256(b"changed").hexdigest()


def test_the_date_is_kept_when_asked(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """The file's time is Last-Modified."""
    url = f"{fault.url}/file/a/1000"
    result = client.download_file(url, tmp_path / "f", keep_mtime=True, progress=False)
    from email.utils import parsedate_to_datetime

    expected = parsedate_to_datetime(result.headers["last-modified"]).timestamp()
    assert (tmp_path / "f").stat().st_mtime == expected


# Segments


def test_segments_make_one_file(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """Several connections fetch parts with If-Range; the sum is the file."""
    size = 20 * MIB + 12345
    result = client.download_file(
        f"{fault.url}/file/a/{size}?drip=1&step=262144",
        tmp_path / "f",
        segments=4,
        checksum=f"sha256:{fault.sha256('a', size)}",
        progress=False,
    )
    check(result, fault, size=size)
    assert result.segments == 4
    parts = [fields for fields in gets(fault) if "range" in fields]
    assert len(parts) >= 3
    assert all(fields["if-range"] == result.headers["etag"] for fields in parts)


def test_segments_without_ranges_are_one_stream(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """A server that ignores ranges serves the file all the same, once."""
    size = 8 * MIB
    result = client.download_file(
        f"{fault.url}/file/a/{size}?norange=1&drip=1&step=262144",
        tmp_path / "f",
        segments=4,
        progress=False,
    )
    check(result, fault, size=size)
    assert result.restarts == ()
    assert result.received == size


def test_a_slow_connection_gets_company(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """By itself, a download adds connections when one alone is slow and more are faster."""
    size = 48 * MIB
    result = client.download_file(
        f"{fault.url}/file/a/{size}?drip=20&step=65536", tmp_path / "f", progress=False
    )
    check(result, fault, size=size)
    assert result.segments > 1


def test_as_many_connections_as_the_server_lets_be_fast(
    client: HttpClient, nginx: Nginx, tmp_path: Path
):
    """Where each connection has its own limit more are used, and no more than are served."""
    content = os.urandom(56 * MIB)
    (nginx.root / "large").write_bytes(content)
    for place, expected in (("paced", 4), ("paced-twice", 2)):
        result = client.download_file(
            f"{nginx.url}/{place}/large", tmp_path / place, progress=False, timeout=30
        )
        assert result.success, result.error
        assert (tmp_path / place).read_bytes() == content
        assert (result.segments, result.restarts) == (expected, ())


def test_connections_that_are_of_no_use_are_taken_back(
    client: HttpClient, nginx: Nginx, tmp_path: Path
):
    """Where the line is the limit more are tried once, and the first goes on alone."""
    content = os.urandom(24 * MIB)
    (nginx.root / "large").write_bytes(content)
    at_end = 0
    with Link(int(nginx.url.rpartition(":")[2]), 4 * MIB).running() as link:

        def look(received: int, total: int | None) -> None:
            nonlocal at_end
            if total and received < total:
                at_end = link.open

        result = client.download_file(
            f"{link.url}/large", tmp_path / "f", progress=False, on_progress=look
        )
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == content
    assert (result.segments, link.most, at_end) == (4, 4, 1)


@pytest.mark.parametrize("segments", [0, 33, -1, 2.0, True, "many", None])
def test_wrong_segments_are_refused(client: HttpClient, tmp_path: Path, segments: Any):
    """Anything but "auto" and 1 to 32 is a ValueError that says the value."""
    with pytest.raises(ValueError, match="segments"):
        client.download_file("http://127.0.0.1/", tmp_path / "f", segments=segments)


# Misuse


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"checksum": "sha256:12"}, ConfigError),
        ({"max_attempts": 0}, ConfigError),
        ({"chunk_size": 0}, ConfigError),
        ({"lock_timeout": -1}, ConfigError),
        ({"headers": {"Range": "bytes=0-1"}}, ConfigError),
        ({"timeout": 0}, ConfigError),
        ({"progress": "loud"}, ConfigError),
        ({"on_progress": 3}, TypeError),
        ({"overwrite": "no"}, TypeError),
        ({"mkdir": 1}, TypeError),
        ({"keep_mtime": "false"}, TypeError),
        ({"nonsense": 1}, TypeError),
    ],
)
def test_misuse_is_refused_before_anything_is_sent(
    client: HttpClient, fault: FaultServer, tmp_path: Path, options: dict, error: type
):
    """Nothing is created and nothing sent."""
    with pytest.raises(error):
        client.download_file(f"{fault.url}/file/a/1", f"{tmp_path}/new/", **options)
    assert names(tmp_path) == []
    assert gets(fault) == []


def test_a_status_is_an_error(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """An error page is not a file; what it says is in the error."""
    result = client.download_file(f"{fault.url}/status/404", tmp_path / "f", progress=False)
    assert isinstance(result.exception, nbhttp.StatusError)
    assert result.status_code == 404
    assert result.error is not None
    assert "injected" in result.error
    assert names(tmp_path) == []
    with pytest.raises(nbhttp.StatusError):
        result.raise_for_status()
    with pytest.raises(nbhttp.StatusError):
        os.fspath(result)


def test_no_server_is_an_error(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """The result says why; nothing is left in the directory."""
    result = client.download_file(
        f"{fault.refuse_url}/f", tmp_path / "f", max_attempts=2, progress=False
    )
    assert isinstance(result.exception, nbhttp.ConnectError)
    assert len(result.attempts) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [5, 3 * MIB], ids=["small", "large"])
def test_a_name_is_given_to_what_is_on_the_disk(
    client: HttpClient,
    fault: FaultServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
):
    """First the bytes survive a power cut, then they get the name, then that survives too."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(fd: int) -> None:
        fsync(fd)
        steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "bytes")

    def noting_replace(source: str, target: Any) -> None:
        replace(source, target)
        steps.extend(["name"] if Path(target).name == "f" else [])

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    result = client.download_file(f"{fault.url}/file/a/{size}", tmp_path / "f", progress=False)
    assert result.success, result.error
    assert steps == ["bytes", "name", "folder"]


# File objects


def test_a_file_object_takes_the_bytes(client: HttpClient, fault: FaultServer):
    """In blocks of `chunk_size`, in the calling thread."""
    blocks: list[int] = []
    threads = set()

    class Sink(io.BytesIO):
        def write(self, data: Any) -> int:
            blocks.append(len(data))
            threads.add(threading.get_ident())
            return super().write(data)

    sink = Sink()
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}", sink, chunk_size=100_000, progress=False
    )
    assert result.success, result.error
    assert (result.path, result.size) == (None, SIZE)
    assert hashlib.sha256(sink.getvalue()).hexdigest() == fault.sha256("a", SIZE)
    assert threads == {threading.get_ident()}
    assert set(blocks[:-1]) == {100_000}
    assert sum(blocks) == SIZE


@pytest.mark.anyio
async def test_a_file_object_never_holds_up_the_loop(fault: FaultServer, engine: str):
    """Awaited, it is written in worker threads, one block after the other."""
    threads: list[int] = []

    class Sink(io.BytesIO):
        def write(self, data: Any) -> int:
            threads.append(threading.get_ident())
            return super().write(data)

    sink = Sink()
    async with AsyncHttpClient(engine=engine, trust_env=False, timeout=20.0) as client:
        url = f"{fault.url}/file/a/{SIZE}?reset=300000&fail=1"
        result = await client.download_file(url, sink, chunk_size=7_000, progress=False)
    assert result.success, result.error
    assert hashlib.sha256(sink.getvalue()).hexdigest() == fault.sha256("a", SIZE)
    assert threading.get_ident() not in threads


def test_a_file_object_is_resumed_within_the_call(client: HttpClient, fault: FaultServer):
    """A break in the middle costs nothing, and bytes written before are kept."""
    sink = io.BytesIO()
    sink.write(b"before")
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?truncate=2000000&fail=1",
        sink,
        checksum=f"sha256:{fault.sha256('a', SIZE)}",
        progress=False,
    )
    assert result.success, result.error
    assert result.verified
    assert sink.getvalue()[:6] == b"before"
    assert hashlib.sha256(sink.getvalue()[6:]).hexdigest() == fault.sha256("a", SIZE)
    assert gets(fault)[1]["range"].startswith("bytes=")


def test_a_file_object_goes_back_to_start_over(client: HttpClient, fault: FaultServer):
    """A server without ranges: one that seeks is rewound, one that cannot is an error."""
    url = f"{fault.url}/file/a/{SIZE}?truncate=2000000&fail=1&norange=1"
    sink = io.BytesIO()
    sink.write(b"before")
    assert client.download_file(url, sink, progress=False).success
    assert hashlib.sha256(sink.getvalue()[6:]).hexdigest() == fault.sha256("a", SIZE)

    class Pipe:
        def write(self, data: bytes) -> None:
            """Take everything, say nothing."""

    fault.reset()
    result = client.download_file(url, Pipe(), progress=False)  # type: ignore[arg-type]
    assert isinstance(result.exception, nbhttp.ChangedError)


# Progress


def watched(client: HttpClient, url: str, path: Path, **options: Any) -> list[tuple]:
    told: list[tuple] = []
    result = client.download_file(
        url, path, progress=False, on_progress=lambda *both: told.append(both), **options
    )
    assert result.success, result.error
    return told


def test_progress_begins_at_nothing_and_ends_at_all(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """Rising, never above the total, and both ends are told."""
    told = watched(client, f"{fault.url}/file/a/{SIZE}?drip=5&step=65536", tmp_path / "f")
    assert told[0] == (0, SIZE)
    assert told[-1] == (SIZE, SIZE)
    assert told == sorted(told)
    assert len(told) >= 3


def test_an_unknown_total_is_none_until_the_end(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """A chunked answer states no size; what came is counted."""
    told = watched(client, f"{fault.url}/file/a/{SIZE}?chunked=1", tmp_path / "f")
    assert told[0] == (0, None)
    assert told[-1] == (SIZE, SIZE)


def test_of_a_coded_body_the_bytes_on_the_wire_are_counted(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """A server that insists on gzip: the file is decoded, the count is right all the same."""
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?gzip=1", tmp_path / "f", progress=False
    )
    check(result, fault)
    assert result.received == int(result.headers["content-length"])


def test_a_callback_runs_in_the_calling_thread(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """Where the call was made, so that widgets and thread-bound things work."""
    threads = set()
    client.download_file(
        f"{fault.url}/file/a/{SIZE}",
        tmp_path / "f",
        progress=False,
        on_progress=lambda *_: threads.add(threading.get_ident()),
    )
    assert threads == {threading.get_ident()}


def test_a_failing_callback_is_reported_once(
    client: HttpClient, fault: FaultServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """The file is right all the same."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "nbhttp"):
        result = client.download_file(
            f"{fault.url}/file/a/{SIZE}?drip=5&step=65536",
            tmp_path / "f",
            progress=fail,
            on_progress=fail,
        )
    check(result, fault)
    assert len([r for r in caplog.records if "ZeroDivisionError" in r.message]) == 2


def test_a_function_gets_the_events(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """It starts, moves and ends; subscribers of the client hear the same."""
    told: list[Any] = []
    heard: list[Any] = []
    client.subscribe(heard.append)
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?truncate=1000000&fail=1",
        tmp_path / "f",
        progress=told.append,
    )
    assert isinstance(told[0], events.DownloadStarted)
    assert isinstance(told[-1], events.DownloadFinished)
    assert told[-1].result is result
    assert told[-1].success
    assert told[-1].received == told[-1].total == SIZE
    assert [e for e in heard if type(e).__name__.startswith("Download")] == told
    assert any(isinstance(e, events.RequestRetried) for e in heard)


# Stopping


def begun(path: Path) -> bool:
    """Whether a part has some MiB by now."""
    part = path.with_name(path.name + ".part")
    return part.exists() and part.stat().st_size > 4 * MIB


@pytest.mark.anyio
@pytest.mark.parametrize("segments", [1, 4])
async def test_a_stopped_download_is_resumed(
    engine: str, fault: FaultServer, tmp_path: Path, segments: int
):
    """Cancelling leaves a part and neither thread nor lock; the next call fetches the rest."""
    size = 24 * MIB
    url = f"{fault.url}/file/a/{size}?drip=10&step=262144"
    enough = asyncio.Event()

    def watch(received: int, total: int | None) -> None:
        assert total in {None, size}  # None as long as no answer is there
        if received > 6 * MIB:
            enough.set()

    async with AsyncHttpClient(engine=engine) as client:
        call = client.download_file(
            url, tmp_path / "f", segments=segments, progress=False, on_progress=watch
        )
        task = asyncio.create_task(call)
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert names(tmp_path) == ["f.part", "f.part.json"]
        assert not [t for t in threading.enumerate() if t.name in {"nbhttp-writer", "nbhttp-hash"}]
        result = await client.download_file(url, tmp_path / "f", segments=8, progress=False)
    check(result, fault, size=size)
    assert result.resumed_from > 6 * MIB
    assert result.received < size - 5 * MIB


def test_cancel_all_ends_downloads(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """From another thread; the call raises, the part stays."""
    url = f"{fault.url}/file/a/{24 * MIB}?drip=10&step=262144"

    def stop() -> None:
        while not begun(tmp_path / "f"):
            pass
        client.cancel_all()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(asyncio.CancelledError):
        client.download_file(url, tmp_path / "f", progress=False)
    thread.join()
    assert names(tmp_path) == ["f.part", "f.part.json"]


def test_a_stopped_download_tells_its_watchers(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """The last event says that it was stopped, and where."""
    told: list[Any] = []

    def watch(event: Any) -> None:
        told.append(event)
        if isinstance(event, events.DownloadProgress) and event.received > 4 * MIB:
            client.cancel_all()

    with pytest.raises(asyncio.CancelledError):
        client.download_file(
            f"{fault.url}/file/a/{24 * MIB}?drip=10&step=262144", tmp_path / "f", progress=watch
        )
    assert (told[-1].success, told[-1].error) == (False, "cancelled")
    assert told[-1].received > 4 * MIB


# Two at once


def test_two_downloads_to_one_path_are_one(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """The second waits, finds the file, and fetches nothing."""
    url = f"{fault.url}/file/a/{SIZE}?drip=10&step=65536"
    results: list[DownloadResult] = []
    run: Callable[[], None] = lambda: results.append(  # noqa: E731
        client.download_file(url, tmp_path / "f", progress=False)
    )
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(r.success for r in results), results
    assert sorted(r.skipped for r in results) == [False, True, True]
    check(results[0], fault)


def test_who_does_not_wait_is_told_who_holds_the_file(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """`lock_timeout=0` says at once which process writes the file."""
    from nbhttp._core.identity import Identity
    from nbhttp._core.partfile import Part
    from nbhttp._core.sidecar import Sidecar
    from nbhttp._core.validators import Validators

    part = Part(tmp_path / "f")
    assert part.try_lock()
    part.open(Sidecar(Identity("http://h/"), Validators(), 1, "f"), keep=False)
    result = client.download_file(
        f"{fault.url}/file/a/1", tmp_path / "f", lock_timeout=0, progress=False
    )
    part.unlock()
    assert isinstance(result.exception, nbhttp.LockedError)
    assert f"process {os.getpid()}" in str(result.error)


@pytest.mark.skipif(not Path("/proc/1").exists(), reason="needs a directory root cannot write")
def test_a_directory_that_cannot_be_written_is_told(client: HttpClient, fault: FaultServer):
    """Told before the transfer."""
    result = client.download_file(f"{fault.url}/file/a/1", "/proc/f", progress=False)
    assert isinstance(result.exception, ConfigError)
    assert "cannot write the lock" in str(result.error)
    assert gets(fault) == []
