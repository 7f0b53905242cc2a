"""A download whose process is killed: run again, it ends whole, and little is fetched twice."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from servers import FaultServer

MIB = 1024 * 1024
SIZE = 48 * MIB
KILLS = int(os.environ.get("NBHTTP_KILLS", "6"))
MOST_REFETCHED = 4 * MIB
"""Of one kill and one connection: what was written since the last note."""

CHILD = """
import sys
import nbhttp
url, path, engine, segments = sys.argv[1:5]
def tell(received, total):
    print(received, flush=True)
result = nbhttp.HttpClient(engine=engine).download_file(
    url, path, segments=int(segments), progress=False, on_progress=tell
)
assert result.success, result.error
print("done", result.resumed_from, result.received, flush=True)
"""


def child(url: str, path: Path, engine: str, segments: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, url, str(path), engine, str(segments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed_at(process: subprocess.Popen[str], point: int) -> int:
    """Kill it once it has told of `point` bytes; return what it had told."""
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        if line.startswith("done"):
            break
        told = int(line)
        if told >= point:
            break
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait(timeout=30)
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("segments", [1, 4])
def test_a_killed_download_goes_on_where_it_was(
    engine: str, fault: FaultServer, tmp_path: Path, segments: int
):
    """Killed at random points, again and again: the file is right, little came twice."""
    points = sorted(random.Random(segments).sample(range(MIB, SIZE - MIB), KILLS))
    path = tmp_path / "f"
    url = f"{fault.url}/file/k/{SIZE}?drip=4&step=131072"
    for point in points:
        told = killed_at(child(url, path, engine, segments), point)
        assert not path.exists()
        assert told >= point
    last = child(url, path, engine, segments)
    out, _ = last.communicate(timeout=60)
    assert last.returncode == 0
    resumed, received = map(int, out.splitlines()[-1].split()[1:])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == fault.sha256("k", SIZE)
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert resumed + received <= SIZE + MOST_REFETCHED * segments
    assert resumed >= points[-1] - MOST_REFETCHED * segments


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_two_processes_download_to_one_path(engine: str, fault: FaultServer, tmp_path: Path):
    """One waits for the other; the file is right, and it was fetched once."""
    path = tmp_path / "f"
    url = f"{fault.url}/file/k/{4 * MIB}?drip=4&step=65536"
    processes = [child(url, path, engine, 1) for _ in range(2)]
    outs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(int(out.splitlines()[-1].split()[2]) for out in outs) == [0, 4 * MIB]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == fault.sha256("k", 4 * MIB)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_no_lock(engine: str, fault: FaultServer, tmp_path: Path):
    """The lock dies with its process, though its file stays."""
    path = tmp_path / "f"
    url = f"{fault.url}/file/k/{8 * MIB}?drip=4&step=65536"
    killed_at(child(url, path, engine, 1), MIB)
    assert (tmp_path / "f.part.lock").exists()
    process = child(url, path, engine, 1)
    timer = threading.Timer(60, process.kill)
    timer.start()
    out, _ = process.communicate()
    timer.cancel()
    assert out.splitlines()[-1].startswith("done")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


MANY = """
import sys
import nbhttp
url, folder, engine, number, concurrency = sys.argv[1:6]
def tell(event):
    if isinstance(event, nbhttp._core.events.BatchProgress):
        print(event.finished, flush=True)
items = [(url.format(n), f"f{n}") for n in range(int(number))]
result = nbhttp.HttpClient(engine=engine).download_many(
    items, folder, concurrency=int(concurrency), progress=tell
)
assert result.success, result.failed[0].error
print("done", sum(r.received for r in result), flush=True)
"""


def many(url: str, folder: Path, engine: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MANY, url, str(folder), engine, str(number), "4"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_batches_leave_whole_files_only(engine: str, fault: FaultServer, tmp_path: Path):
    """Whatever has a final name is right at each kill; run again, the rest comes and no more."""
    number, size = 120, 200_000
    url = f"{fault.url}/file/s{{}}/{size}?delay=20"
    for point in (1, number // 3, number // 2):
        killed_at(many(url, tmp_path, engine, number), point)
        there = [path for path in tmp_path.iterdir() if not path.suffix and path.name[0] == "f"]
        for path in there:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert digest == fault.sha256(f"s{path.name[1:]}", size)
        assert len(there) >= point
    last = many(url, tmp_path, engine, number)
    out, _ = last.communicate(timeout=60)
    assert last.returncode == 0
    assert int(out.splitlines()[-1].split()[1]) <= (number - len(there)) * size
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {f"f{n}" for n in range(number)} | {".nbhttp-manifest.jsonl"}
    for n in range(number):
        digest = hashlib.sha256((tmp_path / f"f{n}").read_bytes()).hexdigest()
        assert digest == fault.sha256(f"s{n}", size)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_batch_and_a_single_download_to_one_path(engine: str, fault: FaultServer, tmp_path: Path):
    """One waits for the other, also where the file is small; it was fetched once."""
    size = 200_000
    url = f"{fault.url}/file/s0/{size}?drip=20&step=4096"
    processes = [
        many(url, tmp_path, engine, 1),
        child(url, tmp_path / "f0", engine, 1),
        many(url, tmp_path, engine, 1),
    ]
    outs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(int(out.splitlines()[-1].split()[-1]) for out in outs) == [0, 0, size]
    assert hashlib.sha256((tmp_path / "f0").read_bytes()).hexdigest() == fault.sha256("s0", size)
