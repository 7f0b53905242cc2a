"""Downloads from a server that breaks: the file under its name is right, or is not there."""

import errno
import hashlib
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import FaultServer

import nbhttp
from nbhttp import HttpClient
from nbhttp._core.events import DownloadProgress

SIZE = 3_000_000
CORPUS = Path(__file__).parent.parent / "corpora/download_resume/sequences.jsonl"


@pytest.fixture
def client(engine: str) -> HttpClient:
    return HttpClient(engine=engine, trust_env=False, timeout=5.0)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# fault, whether the file comes in the end
FAULTS = [
    ("truncate=1000000&fail=2", True),
    ("truncate=0&fail=2", True),
    ("truncate=1&fail=1", True),
    ("truncate=2999999&fail=1", True),
    ("truncate=1500000", True),  # every answer breaks, and each brings something
    ("truncate=0", False),
    ("reset=1000000&fail=2", True),
    ("reset=0", False),
    ("reset=1000000&norange=1", False),
    ("truncate=1000000&fail=2&norange=1", True),
    ("truncate=1000000&fail=2&etag=none", True),
    ("truncate=1000000&fail=2&etag=weak", True),
    ("truncate=1000000&fail=2&etag=none&lm=0", True),
    ("truncate=1000000&fail=2&chunked=1", True),
    ("reset=1000000&fail=2&chunked=1", True),
    ("chunked=1", True),
    ("cl=none", True),
    ("cl=%2B1000&fail=1", True),
    ("cl=%2B1000", False),
    ("drip=1&step=65536", True),
    ("delay=100", True),
    ("stall=1000000&stall_s=30&fail=1", True),
    ("badrange=start&truncate=1000000&fail=3", True),
    ("badrange=total&truncate=1000000&fail=3", True),
    ("badrange=missing&truncate=1000000&fail=3", True),
    ("badrange=short&truncate=1000000&fail=3", True),
    ("badrange=start&truncate=1000000", False),
    ("badrange=status206", False),
    ("range416=1&truncate=1000000&fail=1", True),
    ("change_after=1&truncate=1000000&fail=1", True),
    ("change_after=1&truncate=1000000&fail=1&etag=none", True),
    ("change_after=1&truncate=1000000&fail=1&norange=1", True),
    ("gzip=1", True),
    ("gzip=1&truncate=1000000&fail=1", True),
    ("gzip=1&reset=1000000", False),
    ("cenc=br", False),
    ("cenc=unheard-of", False),
    ("headstatus=500", True),
    ("headcl=7", True),
    ("wrongdigest=1", False),
]


@pytest.mark.parametrize("segments", ["auto", 4])
@pytest.mark.parametrize(("fault_query", "comes"), FAULTS, ids=[f[0] for f in FAULTS])
def test_the_file_is_right_or_absent(
    client: HttpClient,
    fault: FaultServer,
    tmp_path: Path,
    fault_query: str,
    comes: bool,
    segments: Any,
):
    """For each fault, over each engine, in one stream and in several."""
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?{fault_query}",
        tmp_path / "f",
        segments=segments,
        timeout=1.0,
        max_attempts=4 if comes else 2,
        progress=False,
    )
    assert result.success is comes, result
    assert (tmp_path / "f").exists() is comes
    if comes:
        right = {fault.sha256("a", SIZE), fault.sha256("a~2", SIZE)}
        assert sha256(tmp_path / "f") in right
        assert names(tmp_path) == ["f"]
    else:
        assert result.error
        assert set(names(tmp_path)) <= {"f.part", "f.part.json"}


@pytest.mark.parametrize("query", ["truncate=1000000&fail=1", "reset=2000000&fail=1"])
def test_a_break_costs_what_was_in_flight(
    client: HttpClient, fault: FaultServer, tmp_path: Path, query: str
):
    """The rest is asked for from where it broke."""
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?{query}", tmp_path / "f", progress=False
    )
    assert result.success, result.error
    assert result.received == SIZE
    assert (len(result.attempts), result.restarts) == (2, ())


def test_a_file_that_changed_says_so(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """It starts over with the new version and tells why."""
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?change_after=1&truncate=1000000&fail=1",
        tmp_path / "f",
        progress=False,
    )
    assert result.success, result.error
    assert result.restarts == ("the file changed upstream",)
    assert sha256(tmp_path / "f") == fault.sha256("a~2", SIZE)


def test_a_change_without_a_new_etag_is_caught_by_the_checksum(client: HttpClient, tmp_path: Path):
    """What was put together of two versions fails, is dropped, and the whole is fetched."""
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    half = {"etag": '"1"', "content-range": "bytes 1000000-1999999/2000000"}
    answers = [
        (200, {"etag": '"1"', "content-length": "2000000"}, old[:1_000_000]),
        (206, half, new[1_000_000:]),
        (200, {"etag": '"1"', "content-length": "2000000"}, new),
    ]
    digest = hashlib.sha256(new).hexdigest()
    with scripted(answers) as (url, asked):
        result = client.download_file(
            url, tmp_path / "f", checksum=f"sha256:{digest}", progress=False
        )
    assert result.success, result.error
    assert result.verified
    assert (tmp_path / "f").read_bytes() == new
    assert [fields.get("range") for fields in asked] == [None, "bytes=1000000-", None]
    assert result.restarts == ("the digest of what was put together is wrong",)


def test_a_truncated_file_says_how_far_it_came(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """The error has the numbers, and what to do."""
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?truncate=1000000&norange=1",
        tmp_path / "f",
        max_attempts=2,
        progress=False,
    )
    assert isinstance(result.exception, nbhttp.TruncatedError)
    assert "expected 3,000,000 bytes" in str(result.error)
    assert "after 1,000,000" in str(result.error)
    assert result.hint == "run it again to resume"


def test_retry_after_is_kept(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """503 with a wait the server names, then the file."""
    result = client.download_file(
        f"{fault.url}/status/503?times=2&retry_after=0", tmp_path / "f", progress=False
    )
    assert result.success, result.error
    assert [attempt.status_code for attempt in result.attempts] == [503, 503, 200]
    fault.reset()
    result = client.download_file(
        f"{fault.url}/status/503?retry_after=86400", tmp_path / "g", progress=False
    )
    assert not result.success
    assert len(result.attempts) == 1


def test_waiting_has_a_reason(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """Before an answer there is none; before another attempt it is said which, when and why."""
    told: list[Any] = []
    client.download_file(f"{fault.url}/file/a/9?delay=500", tmp_path / "f", progress=told.append)
    reasons = [event.waiting_because for event in told if isinstance(event, DownloadProgress)]
    assert reasons[0] == "no answer yet"
    assert reasons[-1] is None
    told.clear()
    client.download_file(
        f"{fault.url}/status/503?times=1&retry_after=1", tmp_path / "g", progress=told.append
    )
    reasons = [event.waiting_because for event in told if isinstance(event, DownloadProgress)]
    (pause,) = {reason for reason in reasons if reason is not None and "in 1 s" in reason}
    assert pause.startswith("attempt 2 of 5 in 1 s, after 503 Service Unavailable")


def test_a_permanent_refusal_is_not_retried(client: HttpClient, fault: FaultServer, tmp_path: Path):
    """403 and 404 do not pass by waiting."""
    for status in (401, 403, 404, 410):
        result = client.download_file(
            f"{fault.url}/status/{status}", tmp_path / "f", progress=False
        )
        assert len(result.attempts) == 1
        assert result.status_code == status


def test_max_attempts_counts_attempts_without_progress(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """As long as something comes it goes on; when nothing does it gives up."""
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?truncate=400000",
        tmp_path / "f",
        max_attempts=2,
        progress=False,
    )
    assert result.success, result.error
    assert len(result.attempts) == 8
    fault.reset()
    result = client.download_file(
        f"{fault.url}/file/a/{SIZE}?truncate=0", tmp_path / "g", max_attempts=3, progress=False
    )
    assert len(result.attempts) == 3


# The sequences of another project


@contextmanager
def scripted(
    answers: list[tuple[int, dict[str, str], bytes]],
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Run a server that gives these answers in turn and closes; give its URL and its log."""
    left, asked = list(answers), []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            fields = {}
            while line := self.rfile.readline().strip():
                name, _, value = line.decode("latin-1").partition(":")
                fields[name.strip().lower()] = value.strip()
            asked.append(fields)
            status, headers, body = left.pop(0) if left else (500, {}, b"")
            head = f"HTTP/1.1 {status} X\r\nConnection: close\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.wfile.write(head.encode() + b"\r\n" + body)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/f", asked
        finally:
            server.shutdown()
            thread.join()


SEQUENCES = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", SEQUENCES, ids=[case["id"] for case in SEQUENCES])
def test_sequences_of_answers(client: HttpClient, tmp_path: Path, case: dict):
    """Whatever a server answers in turn: the expected bytes, or an error and no file."""
    answers = [
        (answer["status"], answer["headers"], answer["body"].encode())
        for answer in case["responses"]
    ]
    with scripted(answers) as (url, _):
        result = client.download_file(
            url, tmp_path / "f", max_attempts=case["max_resume"] + 1, progress=False
        )
    if result.success:
        assert (tmp_path / "f").read_text() == case["expected_bytes"]
    else:
        assert not (tmp_path / "f").exists()
    if case["expected_bytes"] is None:
        assert not result.success


# Full disks


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a small file system; skip where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_that_cannot_fit_is_refused_at_once(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """The error has the numbers; no byte is fetched in vain."""
    with small_disk(tmp_path / "disk", 1024 * 1024) as disk:
        result = client.download_file(f"{fault.url}/file/a/{SIZE}", disk / "f", progress=False)
        assert isinstance(result.exception, nbhttp.DownloadError)
        assert "the disk is full: 3,000,000 bytes are to come" in str(result.error)
        assert result.received == 0
        assert names(disk) == []


def test_a_disk_that_fills_up_is_an_error_that_can_be_resumed(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """What was written stays; with room again the rest is fetched."""
    url = f"{fault.url}/file/a/{SIZE}?chunked=1"  # no size: it is not known to be too large
    with small_disk(tmp_path / "disk", 2 * 1024 * 1024) as disk:
        result = client.download_file(url, disk / "f", progress=False)
        assert "the disk is full: no space left" in str(result.error)
        assert "free some space" in str(result.hint)
        assert isinstance(result.exception.__cause__, OSError)
        assert result.exception.__cause__.errno == errno.ENOSPC
        assert len(result.attempts) == 0
        assert names(disk) == ["f.part", "f.part.json"]
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        result = client.download_file(url, disk / "f", progress=False)
        assert result.success, result.error
        assert result.resumed_from > 0
        assert sha256(disk / "f") == fault.sha256("a", SIZE)


LIMITED = """
import resource, signal, sys
import nbhttp
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
result = nbhttp.HttpClient(engine=sys.argv[3]).download_file(
    sys.argv[1], sys.argv[2], progress=False
)
print(result.error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_limit_on_file_sizes_is_an_error(
    engine: str, client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """A quota stops the write in the middle: clear, and resumable without the limit."""
    url = f"{fault.url}/file/a/{SIZE}"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, url, str(tmp_path / "f"), engine],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "the disk is full: file too large" in done.stdout, done
    assert not (tmp_path / "f").exists()
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.success, result.error
    assert result.resumed_from > 500_000
    assert sha256(tmp_path / "f") == fault.sha256("a", SIZE)
