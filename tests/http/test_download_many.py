"""Many downloads into one directory: names, the manifest, failures, progress."""

import asyncio
import copy
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from servers import FaultServer

import nbhttp
from nbhttp import AsyncHttpClient, ConfigError, HttpClient
from nbhttp._core import events

SIZE = 20_000
MANIFEST = ".nbhttp-manifest.jsonl"


@pytest.fixture
def client(engine: str) -> HttpClient:
    return HttpClient(engine=engine, trust_env=False, timeout=10.0)


def urls(fault: FaultServer, number: int, **query: Any) -> list[str]:
    tail = "&".join(f"{k}={v}" for k, v in query.items())
    return [f"{fault.url}/file/s{n}/{SIZE}?{tail}" for n in range(number)]


def pairs(fault: FaultServer, number: int, **query: Any) -> list[tuple[str, str]]:
    return [(url, f"f{n}.bin") for n, url in enumerate(urls(fault, number, **query))]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / MANIFEST).read_text().splitlines()
    return {entry["name"]: entry for entry in map(json.loads, lines[1:])}


def gets(fault: FaultServer) -> int:
    return len([row for row in fault.log(path="/file/") if row["method"] == "GET"])


def test_all_files_come(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """In order, whole, with a manifest that says what they are."""
    result = client.download_many(pairs(fault, 40), tmp_path / "new", progress=False)
    assert result.success, [r.error for r in result.failed]
    assert [r.path for r in result] == [tmp_path / "new" / f"f{n}.bin" for n in range(40)]
    noted = entries(tmp_path / "new")
    for n, file in enumerate(result):
        assert file.path is not None
        digest = hashlib.sha256(file.path.read_bytes()).hexdigest()
        assert digest == fault.sha256(f"s{n}", SIZE)
        assert noted[f"f{n}.bin"]["sha256"] == file.sha256 == digest
    assert "40 files, 800,000 bytes" in repr(result)
    assert result.manifest == tmp_path / "new" / MANIFEST


def test_every_face_has_it(fault: FaultServer, tmp_path: Path):
    """At module level and awaited."""
    assert nbhttp.download_many(pairs(fault, 3), tmp_path / "a", progress=False).success

    async def fetch() -> nbhttp.AsyncDownloadManyResult:
        async with AsyncHttpClient() as client:
            result = await client.download_many(
                pairs(fault, 3, fail=1, truncate=0), tmp_path / "b", max_attempts=1, progress=False
            )
            assert len(result.failed) == 3
            assert "await retry_failed() of this result" in result._repr_html_()
            return await result.retry_failed()

    assert asyncio.run(fetch()).success
    assert names(tmp_path / "a") == names(tmp_path / "b") == ["f0.bin", "f1.bin", "f2.bin"]


def test_running_it_again_asks_for_nothing(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """What the manifest vouches for is there; what is missing or was changed is fetched."""
    client.download_many(pairs(fault, 10), tmp_path, progress=False)
    fault.reset()
    again = client.download_many(pairs(fault, 10), tmp_path, progress=False)
    assert again.success
    assert all(r.skipped for r in again)
    assert gets(fault) == 0
    (tmp_path / "f3.bin").unlink()
    (tmp_path / "f4.bin").write_bytes(b"mine")
    third = client.download_many(pairs(fault, 10), tmp_path, overwrite=True, progress=False)
    assert third.success
    assert [n for n, r in enumerate(third) if not r.skipped] == [3, 4]
    fourth = client.download_many(pairs(fault, 10), tmp_path, progress=False)
    assert all(r.skipped for r in fourth)


def test_failures_are_collected_and_retried(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """One bad file does not harm the others; trying again fetches it alone."""
    items: list[Any] = pairs(fault, 5)
    items[2] = (f"{fault.url}/status/404", "missing.bin")
    items[3] = (urls(fault, 9, truncate=0, fail=1)[8], "late.bin")
    result = client.download_many(items, tmp_path, max_attempts=1, progress=False)
    assert not result.success
    assert [r.status_code for r in result.failed] == [404, 200]
    assert len(result.ok) == 3
    assert "call retry_failed() of this result" in result._repr_html_()
    assert "retry_failed" not in result.failed._repr_html_()
    assert entries(tmp_path)["missing.bin"]["status"] == "failed"
    asked = len(fault.log())
    again = result.retry_failed()
    assert [bool(r) for r in again] == [True, True, False, True, True]
    assert {row["path"] for row in fault.log()[asked:]} == {"/status/404", f"/file/s8/{SIZE}"}
    assert [again[n] is result[n] for n in (0, 1, 4)] == [True] * 3
    with pytest.raises(ConfigError):
        result.failed.retry_failed()


def test_a_batch_can_be_pickled(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """As its results can; trying again stays where the client is."""
    wanted = [fault.url + "/file/s0/10", fault.url + "/status/404"]
    batch = client.download_many(wanted, tmp_path, progress=False)
    for copied in (pickle.loads(pickle.dumps(batch)), copy.copy(batch)):
        assert type(copied) is type(batch)
        assert [r.success for r in copied] == [True, False]
        assert (copied.manifest, copied.elapsed) == (batch.manifest, batch.elapsed)
        with pytest.raises(ConfigError, match="not to a part or a copy of it"):
            copied.retry_failed()
    assert len(batch.retry_failed()) == 2


def test_the_same_url_twice_is_one_file(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """Both items have its result."""
    one = urls(fault, 1)[0]
    result = client.download_many([one, one, (one, "copy.bin")], tmp_path, progress=False)
    assert result.success
    assert result[0] is result[1]
    assert names(tmp_path) == [str(SIZE), "copy.bin"]
    assert gets(fault) == 2


def test_names_that_collide_are_numbered(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """In the order of what was asked, and the same at the next run in another order."""
    asked = urls(fault, 3)
    result = client.download_many(asked, tmp_path, progress=False)
    assert [Path(r).name for r in result] == [f"{SIZE}", f"{SIZE}-2", f"{SIZE}-3"]
    again = client.download_many(asked[::-1], tmp_path, progress=False)
    assert [r.path for r in again] == [r.path for r in result][::-1]
    assert all(r.skipped for r in again)


def test_names_that_were_asked_for_may_not_collide(client: HttpClient, tmp_path: Path):
    """Also not on a system that ignores case."""
    with pytest.raises(ConfigError, match=r"two files would be named 'A\.bin'"):
        client.download_many(
            [("http://127.0.0.1:9/1", "a.bin"), ("http://127.0.0.1:9/2", "A.bin")], tmp_path
        )


def test_hostile_names_stay_in_the_directory(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """A name is one file in the directory, whatever it says."""
    hostile = ["../../etc/passwd", "C:\\x", "CON", "a\x00b", "..", "~root", "é" * 300]
    items = list(zip(urls(fault, len(hostile)), hostile, strict=True))
    result = client.download_many(items, tmp_path / "d", progress=False)
    assert result.success
    assert names(tmp_path) == ["d"]
    for file in result:
        assert Path(file).resolve().parent == tmp_path / "d"
    assert {"passwd", "x", "_CON", "a_b"} <= set(names(tmp_path / "d"))


def test_mappings_and_tables(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """A mapping may have a checksum and headers; a DataFrame has them in columns."""
    good = f"sha256:{fault.sha256('s0', SIZE)}"
    first, second = urls(fault, 2)
    result = client.download_many(
        [
            {"url": first, "name": "a", "checksum": good, "headers": {"X-One": "1"}},
            {"url": second, "checksum": good},
        ],
        tmp_path,
        headers={"X-All": "2"},
        progress=False,
    )
    assert [bool(r) for r in result] == [True, False]
    assert result[0].verified
    assert isinstance(result[1].exception, nbhttp.ChecksumError)
    row = next(r for r in fault.log(path="/file/s0"))
    assert {"x-one", "x-all"} <= {name.lower() for name, _ in row["headers"]}
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"url": [first, second], "name": ["p", None], "other": [1, 2]})
    assert client.download_many(table, tmp_path / "t", progress=False).success
    assert names(tmp_path / "t") == [str(SIZE), "p"]
    assert client.download_many(table["url"], tmp_path / "u", progress=False).success
    facts = result.to_pandas()
    assert list(facts["success"]) == [True, False]


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ("http://h/one", TypeError),
        (3, TypeError),
        ([3], TypeError),
        ([("http://h/", "a", "b")], ConfigError),
        ([{"name": "a"}], ConfigError),
        ([{"url": "http://h/", "sha": "1"}], ConfigError),
        ([{"url": "http://h/", "checksum": "1"}], ConfigError),
        (["ftp://h/x"], ConfigError),
    ],
)
def test_wrong_items_are_refused(client: HttpClient, tmp_path: Path, items: Any, error: type):
    """Before anything is sent."""
    with pytest.raises(error):
        client.download_many(items, tmp_path, progress=False)
    assert names(tmp_path) == []


def test_a_file_that_is_no_manifest_is_left_alone(client: HttpClient, tmp_path: Path):
    """Something else under the manifest's name is not overwritten."""
    (tmp_path / "m").write_text("my notes\n")
    with pytest.raises(ConfigError, match="no manifest"):
        client.download_many([], tmp_path, manifest=tmp_path / "m")
    assert (tmp_path / "m").read_text() == "my notes\n"


@pytest.mark.parametrize("place", ["missing/m", "file/m", ".", "pipe"])
def test_a_manifest_that_cannot_be_written_is_refused(
    client: HttpClient, fault: FaultServer, tmp_path: Path, place: str
):
    """Before anything is sent: what had come would be lost with the notes of it."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot write the manifest"):
        client.download_many(
            pairs(fault, 2), tmp_path / "files", manifest=tmp_path / place, progress=False
        )
    assert fault.log() == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
def test_a_full_disk_under_the_manifest_costs_no_file(
    client: HttpClient, fault: FaultServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """It is logged once, and the result is as it would be."""
    path = tmp_path / "m"

    def fill(event: object) -> None:
        if isinstance(event, events.DownloadStarted) and not path.is_symlink():
            path.symlink_to("/dev/full")

    stop = client.subscribe(fill)
    slow = [(f"{fault.url}/file/slow/{SIZE}?drip=40&step={SIZE // 20}", "slow")]
    result = client.download_many(
        [*slow, *pairs(fault, 20)], tmp_path / "files", manifest=path, progress=False
    )
    stop()
    assert path.is_symlink()
    assert result.success
    assert len(names(tmp_path / "files")) == 21
    (said,) = [r.message for r in caplog.records if "manifest" in r.message]
    assert said.startswith(f"the manifest {str(path)!r} cannot be written (No space left")


def test_no_secret_is_in_the_manifest(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """URLs are redacted, and recognised all the same."""
    asked = [f"{fault.url}/file/s/{SIZE}?api_key=s3cr3t-value"]
    client.download_many(asked, tmp_path, progress=False)
    assert "s3cr3t-value" not in (tmp_path / MANIFEST).read_text()
    assert client.download_many(asked, tmp_path, progress=False)[0].skipped


def test_a_torn_manifest_costs_one_question(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """A kill in the middle of a line: that file is asked about again, and is there."""
    client.download_many(pairs(fault, 4), tmp_path, progress=False)
    path = tmp_path / MANIFEST
    path.write_bytes(path.read_bytes()[:-30])
    result = client.download_many(pairs(fault, 4), tmp_path, progress=False)
    assert all(r.skipped for r in result)
    assert all(r.skipped for r in client.download_many(pairs(fault, 4), tmp_path, progress=False))


def test_progress_counts_files(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """It begins, and its last event says how it ended."""
    told: list[Any] = []
    items = [*pairs(fault, 20), (f"{fault.url}/status/404", "x")]
    result = client.download_many(items, tmp_path, progress=told.append)
    last = told[-1]
    assert isinstance(last, events.BatchProgress)
    assert (last.finished, last.failed, last.files, last.is_over) == (20, 1, 21, True)
    assert last.received == sum(r.received for r in result)
    assert not any(e.is_over for e in told[:-1] if isinstance(e, events.BatchProgress))


def test_concurrency_is_bounded(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """No more than `concurrency` files are under way."""
    client.download_many(pairs(fault, 30, delay=20), tmp_path, concurrency=3, progress=False)
    assert fault.stats()["max_inflight"] <= 4  # the question itself is one
    with pytest.raises(ConfigError):
        client.download_many([], tmp_path, concurrency=0)


@pytest.mark.anyio
async def test_stopping_keeps_what_had_come(engine: str, fault: FaultServer, tmp_path: Path):
    """The exception has the results; the next run fetches the rest."""
    enough = asyncio.Event()

    def watch(event: Any) -> None:
        if isinstance(event, events.BatchProgress) and event.finished >= 10:
            enough.set()

    async with AsyncHttpClient(engine=engine) as client:
        items = pairs(fault, 200, delay=20)
        task = asyncio.create_task(
            client.download_many(items, tmp_path, concurrency=4, progress=watch)
        )
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        there = [name for name in names(tmp_path) if name.endswith(".bin")]
        assert 10 <= len(there) < 200
        assert not [name for name in names(tmp_path) if name.endswith(".lock")]
        result = await client.download_many(
            pairs(fault, 200, delay=0), tmp_path, concurrency=16, progress=False
        )
    assert len(result) == 200
    assert os.listdir(tmp_path)  # noqa: PTH208 - there is something


@pytest.mark.anyio
@pytest.mark.parametrize("exit", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("face", ["one", "one, shown", "many", "map"])
async def test_a_callback_may_end_the_program(
    fault: FaultServer, tmp_path: Path, engine: str, face: str, exit: type
):
    """What it raises is raised by the call, as it is, and the client stays usable."""

    def leave(*_: Any) -> None:
        raise exit

    url = f"{fault.url}/file/a/{SIZE}"
    async with AsyncHttpClient(engine=engine, trust_env=False, timeout=10.0) as client:
        calls = {
            "one": lambda: client.download_file(url, tmp_path / "f", on_progress=leave),
            "one, shown": lambda: client.download_file(url, tmp_path / "f", progress=leave),
            "many": lambda: client.download_many([url], tmp_path, progress=leave),
            "map": lambda: client.map([{"url": url, "auth": leave}]),
        }
        with pytest.raises(exit):
            await calls[face]()
        assert (await client.download_file(url, tmp_path / "g", progress=False)).success
