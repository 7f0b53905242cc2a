"""What is drawn, when and where: boards, watchers, lines, terminals."""

import gc
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pexpect
import pytest
from servers.gated import SIZE, GatedServer

from nbhttp._core.events import (
    BatchProgress,
    DownloadFinished,
    DownloadProgress,
    DownloadStarted,
    RequestStarted,
    UploadProgress,
)
from nbhttp._marks import visible
from nbhttp.progress import Watcher, is_quietly_due
from nbhttp.progress.auto import Surroundings, choose, surroundings
from nbhttp.progress.board import MOST_ROWS, Board, Outcome, Row
from nbhttp.progress.display import LinePainter, NotebookPainter, TerminalPainter
from nbhttp.progress.place import Place
from nbhttp.progress.tqdm import TextBar

TOTAL = 1_000_000


def started(number: int = 1, total: int | None = TOTAL, resumed_from: int = 0) -> DownloadStarted:
    name = f"{number}.bin"
    return DownloadStarted(f"d{number}", "c", f"https://h/{name}", f"x/{name}", total, resumed_from)


def moved(received: int, number: int = 1, total: int | None = TOTAL) -> DownloadProgress:
    name = f"{number}.bin"
    return DownloadProgress(f"d{number}", "c", f"https://h/{name}", f"x/{name}", received, total)


def finished(number: int = 1, error: str | None = None, received: int = TOTAL) -> DownloadFinished:
    name = f"{number}.bin"
    where = (f"d{number}", "c", f"https://h/{name}", f"x/{name}")
    return DownloadFinished(*where, received, TOTAL, error is None, False, error, 2.0, 0)


def batch(done: int, *, is_over: bool = False) -> BatchProgress:
    return BatchProgress("b", "c", done, 0, 0, 10, done * TOTAL, is_over, 3.0)


class Painted:
    """Keeps what it is asked to draw."""

    def __init__(self, *, is_live: bool = True) -> None:
        self.is_live = is_live
        self.rows: list[Sequence[Row]] = []
        self.outcomes: list[Outcome] = []

    def prepare(self) -> None:
        pass

    def show(self, rows: Sequence[Row]) -> None:
        self.rows.append(rows)

    def end(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


# The board


def test_a_board_never_passes_the_total() -> None:
    """Over 100 % is drawn as 100 %."""
    board = Board()
    board.take(started(), 0.0)
    board.take(moved(TOTAL * 2), 1.0)
    (row,) = board.rows()
    assert (row.done, row.percent) == (TOTAL, 100)


def test_a_restart_begins_again() -> None:
    """A download that starts over is drawn from where it starts."""
    board = Board()
    board.take(started(), 0.0)
    board.take(moved(500_000), 1.0)
    board.take(started(), 2.0)
    assert board.rows()[0].done == 0


def test_a_batch_shows_a_few_files_and_ends_by_itself() -> None:
    """One bar for all and at most four for single files; the end of a file is not the end."""
    board = Board(is_batch=True)
    board.take(batch(0), 0.0)
    for number in range(8):
        board.take(started(number), 0.0)
    assert len(board.rows()) == 1 + MOST_ROWS
    board.take(finished(0), 1.0)
    assert board.outcome is None
    assert [row.label for row in board.rows()][1:] == ["1.bin", "2.bin", "3.bin", "4.bin"]
    board.take(batch(10, is_over=True), 3.0)
    assert board.outcome == Outcome("download_many", "10 files, 10 MB in 3.0 s, complete", "ok")


def test_what_stands_still_says_so() -> None:
    """After some seconds without a byte the last speed is no news; with the next it is."""
    board = Board()
    board.take(started(), 0.0)
    board.take(moved(500_000), 1.0)
    board.take(moved(500_000), 2.0)
    assert board.rows()[0].facts == "500 KB of 1.0 MB, 219 KB/s, 2.3 s left"
    board.take(moved(500_000), 6.0)
    assert board.rows()[0].facts == "500 KB of 1.0 MB, nothing for 5.0 s"
    board.take(moved(600_000), 6.5)
    assert "KB/s" in board.rows()[0].facts


def test_an_upload_waits_for_its_answer() -> None:
    """When all is sent there is no speed any more, and no end yet."""
    board = Board()
    for sent in (0, TOTAL):
        event = UploadProgress("1", "c", "POST", "https://h/", sent, TOTAL)
        board.take(event, sent / TOTAL)
    assert board.rows()[0].facts == "1.0 MB of 1.0 MB, waiting: no answer yet"


def test_a_stopped_download_is_no_failure() -> None:
    """A person who stops something is not told that it failed."""
    for error, tone in [(None, "ok"), ("cancelled", "warn"), ("no route", "bad")]:
        board = Board()
        board.take(finished(error=error, received=5), 0.0)
        assert board.outcome is not None
        assert board.outcome.tone == tone


@pytest.mark.parametrize(
    ("finished", "failed", "tone"),
    [(10, 0, "ok"), (7, 3, "warn"), (0, 10, "bad"), (7, 0, "warn"), (0, 0, "warn")],
)
def test_a_batch_that_brought_something_did_not_fail(finished: int, failed: int, tone: str) -> None:
    """As in the card of its result."""
    board = Board(is_batch=True)
    board.take(BatchProgress("b", "c", finished, 0, failed, 10, TOTAL, True, 3.0), 0.0)
    assert board.outcome is not None
    assert board.outcome.tone == tone


def test_other_events_change_nothing() -> None:
    """A board may be fed with everything."""
    board = Board()
    board.take(RequestStarted("1", "c", "GET", "https://h"), 0.0)
    assert board.rows() == []


# When


def test_each_change_is_drawn_where_somebody_watches() -> None:
    """Also one that follows at once: it may be the last for long."""
    painter = Painted()
    watcher = Watcher(painter, clock=Clock())
    watcher.start(started())
    watcher.update(moved(500_000))
    assert [rows[0].done for rows in painter.rows] == [0, 500_000]


def test_a_batch_is_drawn_ten_times_a_second() -> None:
    """Many files make many events."""
    clock, painter = Clock(), Painted()
    watcher = Watcher(painter, is_batch=True, clock=clock)
    for step in range(1000):
        clock.now = step / 1000
        watcher.update(batch(step // 100))
    assert 8 <= len(painter.rows) <= 11


def test_nobody_is_told_seldom() -> None:
    """A minute's download makes some ten lines, one of a second none."""
    clock, painter = Clock(), Painted(is_live=False)
    watcher = Watcher(painter, clock=clock)
    for tenth in range(600):
        clock.now = tenth / 10
        watcher.update(moved(TOTAL * tenth // 600))
    assert 8 <= len(painter.rows) <= 11
    assert is_quietly_due(30.0, 5, 5)
    assert is_quietly_due(31.0, None, None)
    assert not is_quietly_due(1.0, 0, 90)
    assert not is_quietly_due(6.0, None, None)


def test_after_the_end_nothing_is_drawn() -> None:
    """A late event does not bring the bar back."""
    painter = Painted()
    watcher = Watcher(painter)
    watcher.start(started())
    watcher.finish(finished())
    watcher.update(moved(3))
    watcher.finish(finished())
    assert len(painter.outcomes) == 1
    assert len(painter.rows) == 1


def test_loading_what_draws_is_no_time_of_the_download() -> None:
    """The first bar of a process loads for a second; the speed is right all the same."""
    clock = Clock()

    class Slow(Painted):
        def prepare(self) -> None:
            clock.now += 0.0 if self.rows else 5.0

    painter = Slow()
    watcher = Watcher(painter, clock=clock)
    watcher.start(started())
    clock.now += 0.1
    watcher.update(moved(50_000))
    assert "500 KB/s" in painter.rows[-1][0].facts


def test_threads_may_share_a_watcher() -> None:
    """Updates from several threads end in one outcome."""
    painter = Painted()
    watcher = Watcher(painter, is_batch=True)

    def work(number: int) -> None:
        watcher.start(started(number))
        for step in range(200):
            watcher.update(moved(step, number))
        watcher.finish(finished(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watcher.finish(batch(10, is_over=True))
    assert len(painter.outcomes) == 1


# Where


@pytest.mark.parametrize(
    ("style", "kernel", "watched", "terminal", "view"),
    [
        ("auto", True, True, False, "widget"),
        ("auto", True, False, False, "page"),
        ("bar", True, False, False, "widget"),
        ("auto", False, False, True, "terminal"),
        ("auto", False, False, False, "lines"),
        ("bar", False, False, False, "terminal"),
        ("auto", True, False, True, "page"),
    ],
)
def test_the_view_fits_the_surroundings(
    style: str, kernel: bool, watched: bool, terminal: bool, view: str
) -> None:
    """Widgets where they are seen, lines where nobody looks."""
    assert choose(style, Surroundings(kernel, watched, terminal)) == view


def test_looking_around_imports_nothing() -> None:
    """Outside of a notebook neither IPython nor ipywidgets nor tqdm is loaded."""
    code = (
        "import sys\nfrom nbhttp import progress\nw = progress.for_download()\n"
        "print([m for m in ('IPython', 'ipywidgets', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert surroundings().has_kernel is False


# Notebooks


class Shown(Place):
    """Keeps what it is asked to show."""

    def __init__(self) -> None:
        super().__init__()
        self.data: list[dict[str, str]] = []

    def show(self, data: dict[str, str], widget: object = None) -> None:
        self.data.append(data)


def test_the_text_of_a_bar_is_true_early() -> None:
    """It says more than 0 % after a second; from then on it changes every five."""
    clock, place = Clock(), Shown()
    painter = NotebookPainter(is_live=True, place=place, clock=clock)
    for tenth in range(121):
        clock.now = tenth / 10
        painter.show([Row("a.bin", tenth, 1000, f"{tenth} bytes")])
    texts = [data["text/plain"].partition(",")[0] for data in place.data]
    assert texts == ["a.bin: 0 %", "a.bin: 1 %", "a.bin: 6 %", "a.bin: 11 %"]
    painter.end(Outcome("a.bin", "complete", "ok"))
    assert place.data[-1]["text/plain"] == "a.bin: complete"


# Lines and terminals


def test_lines_are_one_each_and_harmless() -> None:
    """A name from a server cannot move the cursor, and an old encoding is no error."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    painter = LinePainter(stream)
    rows = [Row("evil\x1b[2J\n.bin", 50, 100, "50 bytes of 100 bytes")]
    painter.show(rows)
    assert raw.getvalue() == b""
    painter.show(rows)
    painter.end(Outcome("évil\r.bin", "100 bytes in 1.0 s, complete", "ok"))
    lines = raw.getvalue().decode("ascii").splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(".bin: 50 %, 50 bytes of 100 bytes")
    assert "\x1b" not in raw.getvalue().decode()


def test_no_stream_is_no_error() -> None:
    """Pythonw has none."""
    painter = LinePainter(None)
    painter.show([])
    painter.end(Outcome("a", "b", "ok"))


class Screen(io.StringIO):
    """A terminal's text."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_bars_and_one_line() -> None:
    """Bars come and go with the rows; the last line stands alone."""
    screen = Screen()
    painter = TerminalPainter(screen)
    painter.show([Row("all", 1, 4, "1 of 4 files")])
    painter.show([Row("all", 2, 4, "2 of 4 files"), Row("a\x1b.bin", 5, 10, "5 bytes of 10 bytes")])
    painter.show([Row("all", 3, 4, "3 of 4 files"), Row("b", 7, None, "7 bytes")])
    painter.show([Row("all", 4, 4, "4 of 4 files")])
    painter.end(Outcome("all", "4 files, complete", "ok"))
    text = screen.getvalue()
    assert "50% |" in text
    assert "b 7 bytes" in text
    assert "a\x1b.bin" not in text
    assert visible("a\x1b.bin") in text
    assert text.endswith("all: 4 files, complete\n")


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (100, "archive-of-the-h…024-06-01.tar.gz  50% |BAR| 6.0 MB of 12 MB, 31 MB/s, 2.0 s left"),
        (60, "archive-o…-01.tar.gz  50% 6.0 MB of 12 MB, 31 MB/s"),
        (46, "archive….tar.gz  50% 6.0 MB of 12 MB, 31 MB/s"),
        (38, "archi…tar.gz  50% 6.0 MB of 12 MB"),
    ],
)
def test_a_narrow_terminal_shows_what_counts(columns: int, line: str) -> None:
    """The name is shortened, then the bar goes, then facts go from the end; none is cut in two."""
    name, facts = "archive-of-the-harbour-2024-06-01.tar.gz", "6.0 MB of 12 MB, 31 MB/s, 2.0 s left"
    bar = TextBar(Row(name, 6, 12, facts), io.StringIO())
    bar.dynamic_ncols, bar.ncols = None, columns
    written = str(bar)
    bar.close()
    assert len(written) <= columns
    assert re.sub(r"\|[^|]*\|", "|BAR|", written) == line


def test_the_users_tqdm_stays_as_it_is() -> None:
    """No monitor thread, no changed interval, no lock, and no bar left in tqdm's list."""
    from tqdm import tqdm

    had_lock = "_lock" in tqdm.__dict__
    before = (tqdm.monitor_interval, tqdm.monitor, len(tqdm._instances))
    threads = set(threading.enumerate())
    painter = TerminalPainter(Screen())
    painter.show([Row("a", 1, 2, "1 of 2")])
    assert set(threading.enumerate()) == threads
    painter.end(Outcome("a", "2 of 2", "ok"))
    gc.collect()
    assert (tqdm.monitor_interval, tqdm.monitor, len(tqdm._instances)) == before
    assert ("_lock" in tqdm.__dict__) == had_lock


@pytest.fixture
def gated() -> Iterator[GatedServer]:
    """A server that stops half-way until it is released."""
    with GatedServer().running() as server:
        yield server


def script(url: str, folder: Path) -> str:
    return f"import nbhttp; nbhttp.download_file({url + '/a.bin'!r}, {str(folder)!r}, segments=1)"


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
def test_a_real_terminal_shows_a_bar_then_a_line(gated: GatedServer, tmp_path: Path) -> None:
    """Half-way there is a bar; the end replaces it."""
    child = pexpect.spawn(
        sys.executable,
        ["-c", script(gated.url, tmp_path)],
        env=os.environ | {"TERM": "xterm"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    child.expect(r"a\.bin\s+50% \|█[^|]*\| 6\.0 MB of 12 MB")
    gated.release()
    child.expect(r"\ra\.bin: 12 MB in [^\r\n]* s, complete\r\n")
    child.expect(pexpect.EOF)
    assert child.before == ""
    child.close()
    assert child.exitstatus == 0


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
def test_ctrl_c_in_a_terminal_leaves_what_to_do(gated: GatedServer, tmp_path: Path) -> None:
    """The bar gives way to where it stopped."""
    child = pexpect.spawn(
        sys.executable,
        ["-c", script(gated.url, tmp_path)],
        env=os.environ | {"TERM": "xterm"},
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=60,
    )
    child.expect("50%")
    child.kill(signal.SIGINT)
    child.expect(r"\ra\.bin: stopped at [\d.]+ MB of 12 MB; run again to resume\r\n")
    child.expect("KeyboardInterrupt")
    child.expect(pexpect.EOF)
    child.close()


def test_a_log_file_gets_a_line(gated: GatedServer, tmp_path: Path) -> None:
    """Without a terminal a short download is one line on stderr, without control characters."""
    gated.release()
    done = subprocess.run(
        [sys.executable, "-c", script(gated.url, tmp_path)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == ""
    assert re.fullmatch(r"a\.bin: 12 MB in \S+ s, complete\n", done.stderr)
    assert (tmp_path / "a.bin").stat().st_size == SIZE
