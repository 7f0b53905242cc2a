"""The words of progress: sizes, durations, sentences, speeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp._core.events import BatchProgress, DownloadFinished, UploadProgress
from nbhttp.downloads import DownloadResult
from nbhttp.progress.summary import (
    Meter,
    batch_outcome,
    download_outcome,
    facts,
    label_of,
    of_total,
    percent,
    shortened,
    size_text,
    time_text,
    upload_label,
    upload_outcome,
)

GB = 1_000_000_000
MB = 1_000_000


def download(**changes: object) -> DownloadFinished:
    facts: dict[str, object] = {
        "download_id": "d1", "client": "c", "url": "https://h/big.bin", "path": "data/big.bin",
        "received": 1_200 * MB, "total": 1_200 * MB, "success": True, "skipped": False,
        "error": None, "elapsed": 38.2, "resumed_from": 0,
    }  # fmt: skip
    return DownloadFinished(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "1.2 GB in 38 s, complete"),
        ({"total": None}, "1.2 GB in 38 s, complete"),
        ({"resumed_from": 412 * MB}, "1.2 GB in 38 s, complete (412 MB were there already)"),
        (
            {"result": DownloadResult(url="", restarts=["first", "the file changed upstream"])},
            "1.2 GB in 38 s, complete (started over: the file changed upstream)",
        ),
        ({"skipped": True, "elapsed": 0.1}, "1.2 GB, already there"),
        ({"total": 0, "received": 0, "elapsed": 0.01}, "0 bytes in 0.1 s, complete"),
    ],
)
def test_a_whole_file_is_one_sentence(changes: dict[str, object], sentence: str) -> None:
    """Size, time and what was there before."""
    assert download_outcome(download(**changes)) == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"error": "cancelled"}, "stopped at 412 MB of 1.2 GB; run again to resume"),
        ({"error": "cancelled", "path": None}, "stopped at 412 MB of 1.2 GB"),
        ({"error": "cancelled", "total": None}, "stopped at 412 MB; run again to resume"),
        ({"error": "cancelled", "received": 0}, "stopped before anything came"),
        ({"error": "no route", "received": 0}, "failed: no route"),
        ({"error": "reset\nby peer"}, "stopped at 412 MB of 1.2 GB: reset by peer; run again to resume"),
        (
            {"error": "the server closed; run the cell again to resume"},
            "stopped at 412 MB of 1.2 GB: the server closed; run the cell again to resume",
        ),
        ({"error": "bad checksum", "received": 1_200 * MB}, "failed after 1.2 GB: bad checksum"),
    ],
)  # fmt: skip
def test_a_part_says_where_and_what_to_do(changes: dict[str, object], sentence: str) -> None:
    """Where it stands, why, and that running it again resumes, where that is true."""
    event = download(**({"success": False, "received": 412 * MB} | changes))
    assert download_outcome(event) == sentence


def test_an_endless_error_is_cut() -> None:
    """A sentence stays one."""
    event = download(success=False, received=1, error="x" * 10_000)
    assert len(download_outcome(event)) < 400


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"finished": 500}, "500 files, 100 MB in 12 s, complete"),
        ({"finished": 500, "skipped": 480}, "500 files, 100 MB in 12 s, complete (480 already there)"),
        ({"finished": 1, "files": 1}, "1 file, 100 MB in 12 s, complete"),
        ({"finished": 500, "skipped": 500}, "500 files, already there"),
        ({"finished": 0, "files": 0}, "nothing to fetch"),
        (
            {"finished": 497, "failed": 3, "skipped": 1, "resumed_from": 5 * MB},
            "497 of 500 files, 100 MB in 12 s (1 already there, 5.0 MB resumed), 3 failed; .retry_failed() tries those again",
        ),
        (
            {"failed": 1, "files": 1},
            "0 of 1 file, 100 MB in 12 s, 1 failed; .retry_failed() tries that again",
        ),
        ({"finished": 212}, "stopped at 212 of 500 files, 100 MB in 12 s; run again to fetch the rest"),
        (
            {"finished": 212, "failed": 2},
            "stopped at 212 of 500 files, 100 MB in 12 s, 2 failed; run again to fetch the rest",
        ),
    ],
)  # fmt: skip
def test_a_batch_is_one_sentence(changes: dict[str, int], sentence: str) -> None:
    """Files, bytes, time, and what failed or is missing."""
    numbers = {"finished": 0, "skipped": 0, "failed": 0, "files": 500} | changes
    event = BatchProgress("b", "c", **numbers, received=100 * MB, is_over=True, elapsed=12.0)
    assert batch_outcome(event) == sentence


def test_uploads_are_sent_or_stopped() -> None:
    """An upload cannot be resumed, and does not say so."""
    sent = UploadProgress("1", "c", "POST", "https://h/", GB, GB, True, True, None, 38.0)
    assert upload_outcome(sent) == "1.0 GB in 38 s, sent"
    stopped = UploadProgress("1", "c", "POST", "https://h/", MB, GB, True, False, "cancelled", 3.0)
    assert upload_outcome(stopped) == "stopped at 1.0 MB of 1.0 GB"


@pytest.mark.parametrize(
    ("url", "files", "label"),
    [
        ("https://h.example:8443/put/x?key=1", (), "POST h.example:8443/put/x"),
        ("https://h.example/", (), "POST h.example/"),
        ("https://me:pw@h.example/put", ("scan.png",), "scan.png to h.example"),
        ("https://h.example/put", ("a.png", "b.png", "c.png"), "a.png and 2 more to h.example"),
    ],
)
def test_an_upload_is_called_by_its_file_and_host(
    url: str, files: tuple[str, ...], label: str
) -> None:
    """Without a file, by its method and where it goes; a query says nothing here."""
    event = UploadProgress("1", "c", "POST", url, 0, None, files=files)
    assert upload_label(event) == label


def test_running_facts_say_only_what_is_known() -> None:
    """No speed before there is one, no time left without a total."""
    assert facts(412 * MB, 1_200 * MB, 31e6) == "412 MB of 1.2 GB, 31 MB/s, 25 s left"
    assert facts(412 * MB, None, 31e6) == "412 MB, 31 MB/s"
    assert facts(0, 10, None) == "0 bytes of 10 bytes"
    assert facts(5, 10, 0.0) == "5 bytes of 10 bytes"
    waiting = facts(412 * MB, 1_200 * MB, 31e6, "another process writes the file")
    assert waiting == "412 MB of 1.2 GB, waiting: another process writes the file"


@given(st.integers(0, 10**18))
def test_sizes_are_short(size: int) -> None:
    """At most five digits and a unit."""
    text = size_text(size)
    assert len(text) <= 9
    assert text.split()[1] in {"byte", "bytes", "KB", "MB", "GB", "TB", "PB"}


@given(st.floats(0, 10**9))
def test_durations_are_short(seconds: float) -> None:
    """No minute has sixty seconds."""
    text = time_text(seconds)
    assert len(text) <= 13
    assert "60 s" not in text.replace("160 s", "")


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_a_hundred_percent_is_the_whole(done: int, total: int) -> None:
    """Never 100 before the end, never more."""
    share = percent(min(done, total), total)
    assert share is not None
    assert (share == 100) == (done >= total)
    assert percent(done, total) in range(101)


def test_more_than_the_total_is_not_said() -> None:
    """A total that was passed was wrong."""
    assert of_total(20, 10) == "20 bytes"


@given(st.text(), st.integers(3, 60))
def test_shortened_keeps_both_ends(text: str, most: int) -> None:
    """The end of a name tells files apart."""
    short = shortened(text, most)
    assert len(short) <= most
    assert text.endswith(short[-1:])
    assert text.startswith(short[:1])


@pytest.mark.parametrize(
    ("path", "url", "label"),
    [
        ("data/big.bin", "https://h/x", "big.bin"),
        (None, "https://h/a/b%20c.zip?k=1", "b c.zip"),
        (None, "https://h/a/", "a"),
        (None, "https://h", "h"),
        ("x" * 100 + ".parquet", "https://h", "xxxxxxxxxxxxxxxxxxx…xxxxxxxxxxxx.parquet"),
    ],
)
def test_labels_are_names(path: str | None, url: str, label: str) -> None:
    """The file's name, else what the URL ends in."""
    assert label_of(path, url) == label


def test_speed_forgets() -> None:
    """After a change of speed the meter follows within some seconds; a restart starts it anew."""
    meter = Meter(1000, 0.0)
    assert meter.speed is None
    for second in range(1, 20):
        meter.add(1000 + second * 100, float(second))
    assert meter.speed == pytest.approx(100)
    for second in range(20, 40):
        meter.add(3000 + (second - 20) * 1000, float(second))
    assert meter.speed == pytest.approx(1000, rel=0.05)
    meter.add(0, 41.0)
    assert meter.speed is None


def test_a_burst_is_no_speed() -> None:
    """What comes within a moment waits for the next step."""
    meter = Meter(0, 0.0)
    meter.add(10**9, 0.001)
    assert meter.speed is None
    meter.add(10**9, 1.0)
    assert meter.speed == 10**9


def test_a_steady_speed_is_right_at_once() -> None:
    """From the first step on, whatever the steps are."""
    meter = Meter(5_000, 10.0)
    now, done = 10.0, 5_000
    for passed in (0.1, 0.1, 0.5, 0.05, 2.0, 0.1):
        now, done = now + passed, done + round(passed * MB)
        meter.add(done, now)
        assert meter.speed == pytest.approx(MB)


def test_a_first_step_weighs_what_it_took() -> None:
    """A short wait before the first bytes, or a short burst of them, is soon forgotten."""
    slow, burst = Meter(0, 0.0), Meter(0, 0.0)
    slow.add(0, 0.3)
    burst.add(MB // 2, 0.1)
    for step in range(1, 41):
        slow.add(step * MB // 10, 0.3 + step / 10)
        burst.add(MB // 2 + step * MB // 10, 0.1 + step / 10)
    assert slow.speed == pytest.approx(MB, rel=0.1)
    assert burst.speed == pytest.approx(MB, rel=0.1)


def test_a_stall_is_no_speed() -> None:
    """Nothing for half a minute: next to nothing a second."""
    meter = Meter(0, 0.0)
    for step in range(1, 320):
        meter.add(min(step, 20) * MB // 10, step / 10)
    assert meter.speed is not None
    assert meter.speed < MB / 1000


def test_a_reason_to_wait_is_short() -> None:
    """The line names the file already; a server's words are cut."""
    reason = "503 Service Unavailable: no such thing (GET https://h.example/busy.bin?x=1&y=2)"
    line = facts(0, None, None, reason)
    assert line == "waiting: 503 Service Unavailable: no such thing"
    assert len(facts(0, None, None, "a" * 500)) < 90


def test_what_was_sent_whole_did_not_stop() -> None:
    """A server that refuses an upload after its last byte made it fail."""
    error = "500 Internal Server Error (POST https://h/)"
    refused = UploadProgress("1", "c", "POST", "https://h/", GB, GB, True, False, error, 1.0)
    assert upload_outcome(refused) == "1.0 GB sent, failed: 500 Internal Server Error"
    early = UploadProgress("1", "c", "POST", "https://h/", MB, GB, True, True, None, 1.0)
    assert (
        upload_outcome(early)
        == "1.0 MB of 1.0 GB sent in 1.0 s: the server answered before the rest"
    )
