"""The library's log: what is written, where, and what never happens."""

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbhttp
from nbhttp._core.events import (
    RedirectFollowed,
    RequestFinished,
    RequestRetried,
    RequestStarted,
    everyone,
)
from nbhttp.errors import ConfigError
from nbhttp.logs import LoggerManager

if TYPE_CHECKING:
    from nbhttp.testing import DemoServer

URL = "https://h.example/x"


def finished(**changes: Any) -> RequestFinished:
    """The event of a request that went well, or differently."""
    values: dict[str, Any] = {
        "request_id": "000001",
        "client": "client-1",
        "method": "GET",
        "url": URL,
        "status_code": 200,
        "success": True,
        "error": None,
        "elapsed": 0.153,
        "received": 1234,
        "attempts": 1,
        "redirects": 0,
        "http_version": "HTTP/1.1",
        "engine": "httpx",
        "timing": None,
    }
    return RequestFinished(**(values | changes))


def emit(**changes: Any) -> None:
    """Tell that a request has finished."""
    everyone.emit(finished(**changes))


def rows(path: Path) -> list[dict[str, Any]]:
    """The file's lines, each of which must be a whole JSON object."""
    assert LoggerManager.flush()
    text = path.read_text(encoding="utf-8")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def _silent_again() -> Iterator[None]:
    yield
    LoggerManager.shutdown()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's log is."""
    return tmp_path / "logs" / "requests.jsonl"


# --- silence and configuration -------------------------------------------------------------


def test_nothing_is_printed_or_listened_to_before_configure(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The library is silent, and does not even make events, until it is told to log."""
    assert not everyone.is_heard
    LoggerManager.logger(job=1).error("unheard")
    emit()
    assert capfd.readouterr() == ("", "")


def test_shutdown_makes_it_silent_and_may_be_repeated(path: Path) -> None:
    """After shutdown nobody listens, and nothing is appended."""
    LoggerManager.configure(console=False, file=path)
    emit()
    LoggerManager.shutdown()
    LoggerManager.shutdown()
    assert not everyone.is_heard
    emit()
    LoggerManager.logger().info("unheard")
    assert len(rows(path)) == 1


def test_a_cell_run_five_times_gives_one_line_an_event(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Configuring again replaces; nothing doubles, on the console or in the file."""
    log = LoggerManager.logger()
    for _ in range(5):
        LoggerManager.configure(file=path)
        LoggerManager.intercept("nbhttp.test.rerun")
    emit()
    log.info("mine")
    logging.getLogger("nbhttp.test.rerun").warning("standard")
    assert [row["message"].split()[0] for row in rows(path)] == ["GET", "mine", "standard"]
    assert len(capfd.readouterr().err.splitlines()) == 3


def test_a_failed_configure_leaves_the_log_as_it_was(path: Path) -> None:
    """A wrong value on the second run does not end the first one's log."""
    LoggerManager.configure(console=False, file=path)
    with pytest.raises(ConfigError):
        LoggerManager.configure(console=False, file=path, rotation="often")
    emit()
    assert len(rows(path)) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"level": "LOUD"}, "LOUD"),
        ({"level": -1}, "-1"),
        ({"level": True}, "True"),
        ({"rotation": "often"}, "often"),
        ({"rotation": 0}, "rotation=0"),
        ({"rotation": "-5 MB"}, "-5 MB"),
        ({"rotation": True}, "True"),
        ({"retention": "a few"}, "a few"),
        ({"retention": -1}, "-1"),
        ({"compression": "rar"}, "rar"),
        ({"bodies": -1}, "-1"),
        ({"bodies": 1.5}, "1.5"),
        ({"slow": 0}, "0"),
        ({"slow": "long"}, "long"),
    ],
)
@pytest.mark.parametrize("has_file", [False, True])
def test_a_wrong_value_is_refused_with_its_name(
    wrong: dict[str, Any], says: str, has_file: bool, path: Path
) -> None:
    """Bad input fails at configure, whether or not there is a file, and changes nothing."""
    file = path if has_file else None
    with pytest.raises(ConfigError, match=next(iter(wrong))) as caught:
        LoggerManager.configure(**{"console": False, "file": file, **wrong})
    assert says in str(caught.value)
    assert not everyone.is_heard
    assert not path.exists()


@pytest.mark.parametrize(
    "wrong", [{"console": 5}, {"file": 5}, {"forward": print}, {"forward": "x"}]
)
def test_a_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    """What is no stream, no path, no logger is a TypeError."""
    with pytest.raises(TypeError, match=next(iter(wrong))):
        LoggerManager.configure(**wrong)


@pytest.mark.parametrize("name", ["folder", "file/below.jsonl", "{nothing}.jsonl", "a\0b"])
def test_a_file_that_cannot_be_opened_is_refused(name: str, tmp_path: Path) -> None:
    """A folder, a path below a file and a broken name are ConfigErrors that say the path."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="log file"):
        LoggerManager.configure(console=False, file=tmp_path / name)


def test_there_are_no_instances() -> None:
    """One process has one log."""
    with pytest.raises(TypeError, match="no instances"):
        LoggerManager()


# --- what a record says --------------------------------------------------------------------


def test_a_finished_request_is_one_record_with_all_fields(path: Path) -> None:
    """Each field has its name, its unit and its place."""
    LoggerManager.configure(console=False, file=path)
    everyone.emit(RequestStarted("000001", "client-1", "GET", URL))
    emit(attempts=3, redirects=2)
    (row,) = rows(path)
    time = row.pop("time")
    assert time[10] == "T"
    assert time[-6] in "+-"
    assert row == {
        "level": "INFO",
        "message": f"GET {URL} 200, 1,234 bytes in 0.153 s (attempt 3, 2 redirects)",
        "logger": "nbhttp",
        "event": "request.finished",
        "request_id": "000001",
        "method": "GET",
        "url": URL,
        "status": 200,
        "elapsed_ms": 153.0,
        "bytes": 1234,
        "attempt": 3,
        "error": None,
        "client": "client-1",
        "task": None,
        "redirects": 2,
        "slow": False,
        "http_version": "HTTP/1.1",
        "engine": "httpx",
    }


@pytest.mark.parametrize(
    ("changes", "level", "message"),
    [
        ({"elapsed": 7.0}, "WARNING", f"GET {URL} 200, 1,234 bytes in 7.000 s (slow)"),
        (
            {"status_code": 404, "success": False, "error": f"404 Not Found: no x (GET {URL})"},
            "WARNING",
            f"GET {URL} 404, 1,234 bytes in 0.153 s: Not Found: no x",
        ),
        (
            {"status_code": 503, "success": False, "error": f"503 Gone (GET {URL})"},
            "ERROR",
            f"GET {URL} 503, 1,234 bytes in 0.153 s: Gone",
        ),
        (
            {"status_code": None, "success": False, "error": f"nobody listens (GET {URL})"},
            "ERROR",
            f"GET {URL} failed after 0.153 s: nobody listens",
        ),
        (
            {"status_code": None, "success": False, "error": "cancelled"},
            "WARNING",
            f"GET {URL} failed after 0.153 s: cancelled",
        ),
        ({"status_code": None, "success": False}, "INFO", f"GET {URL} ended after 0.153 s"),
    ],
)
def test_the_level_says_how_it_went(
    changes: dict[str, Any], level: str, message: str, path: Path
) -> None:
    """Slow, refused, failed and cancelled requests stand out, each in one sentence."""
    LoggerManager.configure(console=False, file=path)
    emit(**changes)
    (row,) = rows(path)
    assert (row["level"], row["message"]) == (level, message)
    assert row["error"] == changes.get("error")


def test_retries_are_seen_and_starts_and_redirects_at_debug(path: Path) -> None:
    """All records of one request share its id."""
    events = [
        RequestStarted("7", "c", "GET", URL),
        RedirectFollowed("7", "c", "GET", URL, 302, URL + "/2"),
        RequestRetried("7", "c", "GET", URL, 1, 503, None, 1.5),
        RequestRetried("7", "c", "GET", URL, 2, None, f"nobody listens (GET {URL})", 3.0),
        finished(request_id="7", attempts=3),
    ]
    LoggerManager.configure("DEBUG", console=False, file=path)
    for event in events:
        everyone.emit(event)
    written = rows(path)
    assert [row["event"].removeprefix("request.") for row in written] == [
        "started",
        "redirected",
        "retried",
        "retried",
        "finished",
    ]
    assert {row["request_id"] for row in written} == {"7"}
    assert written[1]["location"] == URL + "/2"
    assert (written[2]["attempt"], written[2]["delay_ms"]) == (1, 1500.0)
    assert written[3]["message"] == f"GET {URL} attempt 2 failed, next in 3 s: nobody listens"
    LoggerManager.configure("WARNING", console=False, file=path)
    for event in events:
        everyone.emit(event)
    assert len(rows(path)) == 5 + 2


def test_slow_is_a_threshold_of_the_user(path: Path) -> None:
    """None calls nothing slow; a second calls slow what takes it."""
    LoggerManager.configure(console=False, file=path, slow=None)
    emit(elapsed=100.0)
    LoggerManager.configure(console=False, file=path, slow=1)
    emit(elapsed=1.0)
    assert [row["slow"] for row in rows(path)] == [False, True]


def test_unknown_events_are_ignored(path: Path) -> None:
    """An event of a later version is not an error."""
    LoggerManager.configure(0, console=False, file=path)
    everyone.emit(object())
    assert rows(path) == []


# --- context and own lines -----------------------------------------------------------------


def test_context_is_bound_nested_and_undone(path: Path) -> None:
    """Inner names win, and the end of a block takes back what it bound."""
    LoggerManager.configure(console=False, file=path)
    with LoggerManager.context(job="nightly", page=1):
        with LoggerManager.context(page=2):
            emit()
        emit()
    emit()
    assert [(r.get("job"), r.get("page")) for r in rows(path)] == [
        ("nightly", 2),
        ("nightly", 1),
        (None, None),
    ]


def test_a_bound_name_of_our_own_goes_below_extra(path: Path) -> None:
    """A column never changes its meaning."""
    LoggerManager.configure(console=False, file=path)
    with LoggerManager.context(url="theirs", status="odd", extra=1, job=2):
        emit()
        LoggerManager.logger().info("line")
    for row in rows(path):
        assert row["extra"] == {"url": "theirs", "status": "odd", "extra": 1}
        assert row["job"] == 2
        assert row.get("url") in (URL, None)


def test_own_lines_go_to_the_same_sinks(path: Path) -> None:
    """A kept logger works after each configure, with loguru's formatting and binding."""
    log = LoggerManager.logger(job=1)
    log.info("unheard")
    LoggerManager.configure(console=False, file=path)
    log.info("page {} of {total}", 3, total=9)  # noqa: PLE1205 - loguru's format
    log.bind(job=2).debug("below the level")
    LoggerManager.configure("DEBUG", console=False, file=path)
    log.bind(job=2).debug("heard")
    first, second = rows(path)
    assert (first["message"], first["job"], first["total"]) == ("page 3 of 9", 1, 9)
    assert first["logger"] == __name__
    assert (second["message"], second["job"], second["level"]) == ("heard", 2, "DEBUG")


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_values_that_json_does_not_know_become_text(path: Path) -> None:
    """No value breaks a line: objects, cycles, huge numbers, half surrogates, odd keys."""
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    odd = {
        "path": Path("/x"),
        "hostile": _Hostile(),
        "cycle": cycle,
        "huge": 2**70,
        "surrogate": "a\ud800b",
        "keys": {1: {(2, 3): {4}}},
        "nan": float("nan"),
        "raw": b"\xff",
        "yes": True,
    }
    LoggerManager.configure(console=False, file=path)
    with LoggerManager.context(**odd):
        emit()
        LoggerManager.logger().info("half a pair \ud800")
    first, second = rows(path)
    assert first["path"] == "/x"
    assert first["hostile"] == "<_Hostile that has no text>"
    assert first["huge"] == str(2**70)
    assert first["surrogate"] == "a\\ud800b"
    assert first["keys"] == {"1": {"(2, 3)": "{4}"}}
    assert first["nan"] is None
    assert first["yes"] is True
    assert second["message"] == "half a pair \\ud800"


def test_exceptions_are_data_with_their_causes_and_no_values(path: Path) -> None:
    """Type, message and traceback are redacted; variables are not shown."""
    LoggerManager.configure(console=False, file=path)
    try:
        _fail_twice("hunter2" * 2)
    except ConfigError:
        LoggerManager.logger().exception("it broke")
    (row,) = rows(path)
    assert row["exception"]["type"] == "nbhttp.errors.ConfigError"
    text = "\n".join(row["exception"]["traceback"])
    assert "KeyError: 'first'" in text
    assert "direct cause" in text
    assert "hunter2hunter2" not in json.dumps(row)
    assert "topsecret" not in row["exception"]["message"]


def test_secrets_are_masked_wherever_they_come_in(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bound names, messages, standard loggers, exceptions: none shows a secret."""
    canary = "kanarie-1f2e3d4c"
    LoggerManager.configure("DEBUG", file=path)
    LoggerManager.intercept("nbhttp.test.secret")
    nbhttp.redaction.register(canary)
    try:
        with LoggerManager.context(
            password="p4ssw0rd-a", note=f"is {canary}", deep=[{"k": canary}]
        ):
            emit()
            log = LoggerManager.logger(api_key="p4ssw0rd-b")
            log.info("token={} https://u:p4ssw0rd-c@h.example/?api_key=p4ssw0rd-d", canary)  # noqa: PLE1205 - loguru's format
            standard = logging.getLogger("nbhttp.test.secret")
            standard.debug("return_value=%r", [(b"Set-Cookie", b"sid=p4ssw0rd-e")])
            try:
                _fail(canary)
            except ValueError:
                standard.exception("%s", canary, extra={"client_secret": "p4ssw0rd-f"})
    finally:
        nbhttp.redaction.unregister(canary)
    everything = path.read_text() if rows(path) else ""
    everything += capfd.readouterr().err
    assert everything.count("Traceback") == 2
    assert canary not in everything
    assert "p4ssw0rd" not in everything


# --- standard logging and the user's loguru -------------------------------------------------


def test_intercept_takes_a_logger_in_and_gives_it_back(path: Path) -> None:
    """Records of standard loggers come to us alone, with their extra fields, until shutdown."""
    logger = logging.getLogger("nbhttp.test.taken")
    parent = logging.getLogger("nbhttp.test")
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    parent.addHandler(handler)
    try:
        LoggerManager.configure(console=False, file=path)
        LoggerManager.intercept("nbhttp.test.taken")
        logger.info("page %d", 3, extra={"job": 7})
        logger.debug("too fine")
        logger.info("bad %d %d", 1)  # noqa: PLE1206 - wrong on purpose
        LoggerManager.shutdown()
        logger.warning("given back")
    finally:
        parent.removeHandler(handler)
    first, second = rows(path)
    assert (first["message"], first["logger"], first["job"]) == ("page 3", logger.name, 7)
    assert second["message"] == "bad %d %d (1,)"
    assert heard == ["given back"]
    assert (logger.level, logger.propagate, logger.handlers) == (logging.NOTSET, True, [])


def test_lines_within_a_request_share_its_id(path: Path, demo: "DemoServer") -> None:
    """What httpcore says about a request can be joined to it; other lines have no id."""
    LoggerManager.configure("DEBUG", console=False, file=path)
    LoggerManager.intercept("httpcore")
    LoggerManager.logger().info("outside")
    with nbhttp.HttpClient(demo.url, engine="httpx") as client:
        client.get("/stations/1")
    outside, *inside = rows(path)
    assert "request_id" not in outside
    assert {row["logger"].partition(".")[0] for row in inside} == {"nbhttp", "httpcore"}
    during = inside[: [row["event"] for row in inside].index("request.finished") + 1]
    assert len({row["request_id"] for row in during}) == 1


def test_a_logger_that_was_silenced_stays_so(path: Path) -> None:
    """Its own level wins over ours."""
    logger = logging.getLogger("nbhttp.test.silenced")
    logger.setLevel(logging.ERROR)
    LoggerManager.configure(console=False, file=path)
    LoggerManager.intercept(logger.name)
    logger.warning("unheard")
    logger.error("heard")
    assert [row["message"] for row in rows(path)] == ["heard"]
    LoggerManager.shutdown()
    assert logger.level == logging.ERROR


def test_intercept_refuses_what_it_cannot_do() -> None:
    """Without configure, without names and with a non-name it says so."""
    with pytest.raises(ConfigError, match="configure"):
        LoggerManager.intercept("httpx")
    LoggerManager.configure(console=False)
    with pytest.raises(ConfigError, match="names"):
        LoggerManager.intercept()
    with pytest.raises(TypeError, match="5"):
        LoggerManager.intercept(5)  # type: ignore[arg-type]


def test_the_users_own_loguru_is_left_alone(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Their handlers get nothing of ours, and ours nothing of theirs."""
    from loguru import logger

    theirs: list[str] = []
    number = logger.add(theirs.append, format="{message}")  # type: ignore[arg-type]
    before = dict(logger._core.handlers)  # type: ignore[attr-defined]
    try:
        LoggerManager.configure(console=False, file=path)
        emit()
        LoggerManager.logger().info("ours")
        logger.info("theirs")
        LoggerManager.shutdown()
        assert logger._core.handlers == before  # type: ignore[attr-defined]
    finally:
        logger.remove(number)
    assert theirs == ["theirs\n"]
    assert [row["message"].split()[0] for row in rows(path)] == ["GET", "ours"]


def test_forward_gives_the_records_to_the_users_sinks_and_prints_once() -> None:
    """Their sinks get fields and context; our console keeps quiet, so nothing appears twice."""
    code = """
import sys
from loguru import logger
from nbhttp.logs import LoggerManager
sys.path.insert(0, sys.argv[1])
from test_logs import emit
records = []
logger.add(lambda message: records.append(message.record))
LoggerManager.configure(forward=logger)
with LoggerManager.context(job="nightly"):
    emit(status_code=404, success=False, error="404 {odd} <red>")
    LoggerManager.logger().info("mine")
first, second = records
assert first["name"] == "nbhttp" and first["level"].name == "WARNING", first
assert first["extra"]["status"] == 404 and first["extra"]["job"] == "nightly", first
assert second["name"] == "__main__" and second["message"] == "mine", second
logger.disable("nbhttp")
emit()
assert len(records) == 2
"""
    done = _python(code, str(Path(__file__).parent))
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert "{odd} <red>" in done.stderr


def test_a_failing_sink_of_the_user_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It harms neither the request nor our own sinks."""
    from loguru import logger

    def fails(_: object) -> None:
        raise RuntimeError("full")

    stream = io.StringIO()
    number = logger.add(fails, catch=False)
    try:
        LoggerManager.configure(console=stream, forward=logger)
        emit()
        emit()
        LoggerManager.flush()
    finally:
        logger.remove(number)
    assert [r.getMessage().count("full") for r in caplog.records] == [1]
    assert len(stream.getvalue().splitlines()) == 2


def test_a_loop_of_loggers_ends(path: Path) -> None:
    """What a sink itself logs into an intercepted logger is not logged again."""
    from loguru import logger

    number = logger.add(
        lambda m: logging.getLogger("nbhttp.test.loop").warning("%s", m), format="{message}"
    )
    try:
        LoggerManager.configure(console=False, file=path, forward=logger)
        LoggerManager.intercept("nbhttp.test.loop")
        emit()
    finally:
        logger.remove(number)
    assert len(rows(path)) == 1


# --- the console ---------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_console_is_one_plain_line_a_record(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal there are no colours; it goes to stderr."""
    LoggerManager.configure()
    emit()
    assert LoggerManager.flush()
    out, err = capfd.readouterr()
    assert out == ""
    assert err[8:] == f" INFO    GET {URL} 200, 1,234 bytes in 0.153 s\n"


@pytest.mark.parametrize(
    ("changes", "colour"),
    [
        ({}, "32"),
        ({"status_code": 304}, "36"),
        ({"status_code": 404, "success": False, "error": "404"}, "33"),
        ({"status_code": 500, "success": False, "error": "500"}, "31"),
        ({"status_code": None, "success": False, "error": "dead"}, "31"),
    ],
)
def test_a_terminal_shows_the_status_in_colour(
    changes: dict[str, Any], colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Green, cyan, yellow, red; NO_COLOR turns it off."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("WT_SESSION", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = _Terminal()
    LoggerManager.configure(console=stream)
    emit(**changes)
    assert LoggerManager.flush()
    assert f"\x1b[{colour}m" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    stream.truncate(0)
    emit(**changes)
    assert LoggerManager.flush()
    assert "\x1b" not in stream.getvalue()


def test_text_from_outside_cannot_steer_the_terminal(path: Path) -> None:
    """Control characters and line ends are shown, not sent; a plain file keeps one line too."""
    evil = "\x1b]0;owned\x07\nfake line\u202e"
    stream = io.StringIO()
    LoggerManager.configure(console=stream, file=path, json=False)
    emit(status_code=None, success=False, error=evil)
    with LoggerManager.context(note=evil):
        LoggerManager.logger().info(evil)
    assert LoggerManager.flush()
    for text in (stream.getvalue(), path.read_text(encoding="utf-8")):
        assert len(text.splitlines()) == 2
        assert not set("\x1b\x07\u202e") & set(text)


def test_a_narrow_or_closed_stream_harms_nothing(path: Path) -> None:
    """What its encoding lacks is escaped; a stream that is closed loses its own lines alone."""
    raw = io.BytesIO()
    ascii_stream = io.TextIOWrapper(raw, encoding="ascii")
    LoggerManager.configure(console=ascii_stream, file=path)
    LoggerManager.logger().info("größer")
    assert LoggerManager.flush()
    assert b"gr\\xf6\\xdfer" in raw.getvalue()
    ascii_stream.close()
    emit()
    assert len(rows(path)) == 2


# --- the file ------------------------------------------------------------------------------


def test_a_plain_file_has_context_and_traceback(path: Path) -> None:
    """json=False writes lines for people."""
    LoggerManager.configure(console=False, file=path, json=False)
    try:
        _fail("odd")
    except ValueError:
        LoggerManager.logger(job=1).exception("broke")
    assert LoggerManager.flush()
    first, *rest = path.read_text().splitlines()
    assert first.endswith(f"| ERROR    | {__name__} | broke | job=1")
    assert rest[-1] == "    ValueError: odd"


def test_files_rotate_compress_and_are_cleared_away(path: Path) -> None:
    """No file grows over its size, old ones are packed, and only so many stay."""
    LoggerManager.configure(console=False, file=path, rotation=4000, retention=3)
    for number in range(200):
        with LoggerManager.context(number=number):
            emit()
    LoggerManager.shutdown()
    packed = list(path.parent.glob("*.gz"))
    assert len(packed) == 3
    assert 0 < path.stat().st_size <= 4000
    import gzip

    for file in packed:
        text = gzip.decompress(file.read_bytes())
        assert 2000 < len(text) <= 4000
        assert [json.loads(line)["status"] for line in text.splitlines()]
    assert json.loads(path.read_text().splitlines()[-1])["number"] == 199


def test_without_rotation_the_file_stays_as_it_is(path: Path) -> None:
    """Compression is for rotated files: a shutdown does not pack the live one."""
    for _ in range(2):
        LoggerManager.configure(console=False, file=path, rotation=None)
        emit()
        LoggerManager.shutdown()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert len(rows(path)) == 2


def test_a_deleted_file_is_made_anew(path: Path) -> None:
    """Clearing logs away while they are written loses nothing that comes after."""
    LoggerManager.configure(console=False, file=path)
    emit()
    assert LoggerManager.flush()
    path.unlink()
    emit()
    assert len(rows(path)) == 1
    path.unlink()
    LoggerManager.shutdown()
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("enqueue", [True, False])
def test_a_full_disk_breaks_no_request_and_is_said_once(
    enqueue: bool, demo: "DemoServer", caplog: pytest.LogCaptureFixture
) -> None:
    """Requests succeed, the trouble is reported once and the loss counted at the end."""
    LoggerManager.configure(console=False, file="/dev/full", enqueue=enqueue)
    for _ in range(3):
        assert nbhttp.get(f"{demo.url}/stations/1").success
    LoggerManager.flush()
    LoggerManager.shutdown()
    first, last = [record.getMessage() for record in caplog.records]
    assert first.startswith("the log file /dev/full cannot be written (No space left on device)")
    assert last == "3 log records were lost"


# --- under load, over tasks, threads and processes --------------------------------------------


@pytest.mark.anyio
async def test_fifty_concurrent_requests_write_fifty_whole_lines(
    path: Path, demo: "DemoServer"
) -> None:
    """Real requests, one line each, and each with the context of its own task."""
    LoggerManager.configure(console=False, file=path)
    async with nbhttp.AsyncHttpClient(demo.url) as client:

        async def one(number: int) -> None:
            with LoggerManager.context(number=number):
                await client.get("/stations/1", params={"n": number, "api_key": "p4ssw0rd"})

        await asyncio.gather(*(one(number) for number in range(50)))
    written = rows(path)
    assert len(written) == 50
    assert sorted(row["number"] for row in written) == list(range(50))
    assert all(f"n={row['number']}&" in row["url"] for row in written)
    assert len({row["request_id"] for row in written}) == 50
    assert all(row["status"] == 200 and row["task"] for row in written)
    assert "p4ssw0rd" not in path.read_text()


def test_context_reaches_sync_calls_in_threads(path: Path, demo: "DemoServer") -> None:
    """The loop thread that serves a sync call logs with its caller's context."""
    LoggerManager.configure(console=False, file=path)

    def one(number: int) -> None:
        with LoggerManager.context(number=number):
            nbhttp.get(f"{demo.url}/stations/1?n={number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    assert {row["number"]: row["url"].rpartition("=")[2] for row in rows(path)} == {
        n: str(n) for n in range(16)
    }


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.anyio
async def test_the_task_is_named_on_trio_too(path: Path, anyio_backend: str) -> None:
    """The record says which task it was."""
    LoggerManager.configure(console=False, file=path)
    emit()
    (row,) = rows(path)
    assert row["task"]


def test_bodies_are_logged_only_when_asked_for_and_redacted(path: Path, demo: "DemoServer") -> None:
    """N bytes of each, with secrets masked; by default nothing."""
    sent = {"password": "p4ssw0rd", "name": "ä" * 100}
    LoggerManager.configure(console=False, file=path)
    nbhttp.post(f"{demo.url}/echo", json=sent)
    LoggerManager.configure(console=False, file=path, bodies=64)
    nbhttp.post(f"{demo.url}/echo", json=sent)
    without, with_bodies = rows(path)
    assert "request_body" not in without
    assert with_bodies["request_body"].startswith('{"password":"‹redacted›"')
    assert with_bodies["request_body"].endswith("…")
    assert len(with_bodies["request_body"].encode()) <= 64 + len("…".encode())
    assert with_bodies["response_body"]
    assert "p4ssw0rd" not in path.read_text()


def test_a_process_that_just_ends_loses_nothing(path: Path) -> None:
    """What waits is written at exit without a shutdown."""
    code = """
import sys
from nbhttp.logs import LoggerManager
LoggerManager.configure(console=False, file=sys.argv[1])
log = LoggerManager.logger()
for n in range(1000):
    log.info("line", n=n)
"""
    done = _python(code, str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["n"] for row in rows(path)] == list(range(1000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX forks")
def test_a_forked_child_logs_and_repeats_nothing(path: Path) -> None:
    """Parent and children write into one file, each line once, even when a child just ends."""
    code = """
import os, sys
from nbhttp.logs import LoggerManager
LoggerManager.configure(console=False, file=sys.argv[1])
log = LoggerManager.logger()
for n in range(100):
    log.info("parent", n=n)
for child in range(3):
    if (pid := os.fork()) == 0:
        log.info("child", n=child)
        os._exit(0)
    os.waitpid(pid, 0)
log.info("parent", n=100)
"""
    done = _python(code, str(path), warnings="ignore")
    assert (done.returncode, done.stderr) == (0, "")
    written = rows(path)
    assert sorted(row["n"] for row in written if row["message"] == "child") == [0, 1, 2]
    assert [row["n"] for row in written if row["message"] == "parent"] == list(range(101))


def test_one_thread_configures_while_others_log(path: Path) -> None:
    """Replacing the sinks under load loses and doubles nothing."""
    LoggerManager.configure(console=False, file=path)
    log = LoggerManager.logger()
    start = threading.Barrier(5)

    def write(number: int) -> None:
        start.wait()
        for n in range(200):
            log.info("line", id=number * 1000 + n)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    for _ in range(5):
        LoggerManager.configure(console=False, file=path)
    for thread in threads:
        thread.join()
    ids = [row["id"] for row in rows(path)]
    assert len(ids) == len(set(ids)) == 800


def _fail(message: str) -> None:
    raise ValueError(message)


def _fail_twice(secret: str) -> None:
    try:
        _ = {secret: 1}["first"]
    except KeyError as exc:
        raise ConfigError("password=topsecret is wrong") from exc


def _python(code: str, *args: str, warnings: str = "error") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
