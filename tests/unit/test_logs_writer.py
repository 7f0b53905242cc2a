"""The writer thread: it never makes others wait, and never hides what it lost."""

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp.logs.json_sink import json_line, text_line
from nbhttp.logs.records import Entry, redact_bound
from nbhttp.logs.writer import Writer


class SlowSink:
    """Writes only when it may."""

    name = "the slow sink"

    def __init__(self, *, is_immediate: bool = False) -> None:
        self.is_immediate = is_immediate
        self.may_write = threading.Event()
        self.has_begun = threading.Event()
        self.texts: list[str] = []
        self.threads: set[threading.Thread] = set()
        self.error: Exception | None = None
        self.is_closed = False

    def render(self, entry: Entry) -> str:
        return entry.message

    def write(self, texts: Sequence[str]) -> None:
        self.has_begun.set()
        assert self.may_write.wait(60)
        self.threads.add(threading.current_thread())
        if self.error is not None:
            raise self.error
        self.texts += texts

    def close(self) -> None:
        self.is_closed = True


def test_a_slow_disk_makes_nobody_wait_and_what_is_dropped_is_counted() -> None:
    """The queue is bounded; the loss is told where it happened and at the end."""
    sink = SlowSink()
    told: list[int] = []
    writer = Writer(max_waiting=10, on_dropped=told.append)
    writer.put(sink, "first")
    assert sink.has_begun.wait(60)
    for text in ["12345", "67890", "x", "y"]:
        writer.put(sink, text)
    assert not writer.flush(0.001)
    sink.may_write.set()
    assert writer.flush(60)
    assert sink.texts == ["first", "12345", "67890"]
    assert told == [2]
    writer.put(sink, "z")
    writer.close(60, [sink])
    assert sink.texts[-1] == "z"
    assert writer.lost == 2
    assert sink.is_closed


def test_closing_does_not_wait_forever_for_a_stuck_disk() -> None:
    """After its time it goes, and counts what was not written."""
    sink = SlowSink()
    writer = Writer()
    writer.put(sink, "stuck")
    assert sink.has_begun.wait(60)
    writer.put(sink, "waits")
    writer.close(0.01, [sink])
    assert writer.lost == 1
    sink.may_write.set()


def test_order_is_kept_and_one_thread_writes() -> None:
    """Texts come out as they went in, on a thread that is not the caller's."""
    sink = SlowSink()
    sink.may_write.set()
    writer = Writer()
    for number in range(1000):
        writer.put(sink, str(number))
    assert writer.flush(60)
    assert sink.texts == [str(number) for number in range(1000)]
    (thread,) = sink.threads
    assert thread is not threading.current_thread()
    assert thread.daemon
    writer.close(60)
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(("in_place", "is_immediate"), [(True, False), (False, True), (True, True)])
def test_in_place_and_immediate_sinks_write_at_once(in_place: bool, is_immediate: bool) -> None:
    """They need no thread."""
    sink = SlowSink(is_immediate=is_immediate)
    sink.may_write.set()
    writer = Writer(in_place=in_place)
    writer.put(sink, "now")
    assert sink.texts == ["now"]
    assert sink.threads == {threading.current_thread()}


def test_a_text_after_the_end_is_still_written() -> None:
    """Who was overtaken by a close loses nothing."""
    sink = SlowSink()
    sink.may_write.set()
    writer = Writer()
    writer.close(60, [sink])
    sink.is_closed = False
    writer.put(sink, "late")
    assert sink.texts == ["late"]
    assert sink.is_closed


def test_a_failing_sink_is_reported_once_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its texts are counted as lost; when it works again it writes again."""
    broken, sound = SlowSink(), SlowSink()
    broken.may_write.set()
    sound.may_write.set()
    broken.error = OSError(28, "No space left on device")
    writer = Writer()
    for _ in range(2):
        writer.put(broken, "a")
        writer.put(sound, "b")
        assert writer.flush(60)
    broken.error = None
    writer.put(broken, "c")
    writer.close(60)
    assert (broken.texts, sound.texts, writer.lost) == (["c"], ["b", "b"], 2)
    (record,) = caplog.records
    assert "the slow sink cannot be written (No space left on device)" in record.getMessage()


def test_a_process_without_threads_left_still_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no thread can start, texts are written in place."""

    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sink = SlowSink()
    sink.may_write.set()
    writer = Writer()
    monkeypatch.setattr(threading.Thread, "start", fails)
    writer.put(sink, "a")
    writer.put(sink, "b")
    assert sink.texts == ["a", "b"]
    assert writer.flush(0)
    writer.close(0)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.characters(categories=["Cs"])
    | st.binary()
    | st.dates()
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


@given(
    message=st.text() | st.characters(categories=["Cs"]),
    bound=st.dictionaries(st.text() | st.characters(categories=["Cs"]), values),
)
def test_any_entry_is_one_line(message: str, bound: dict[str, Any]) -> None:
    """Whatever is bound, the JSON line is one line and JSON, and the plain line is one line."""
    entry = Entry(
        datetime.now(UTC), "INFO", 20, message, "nbhttp", {"event": "log"}, redact_bound(bound)
    )
    line = json_line(entry)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert json.loads(line)["level"] == "INFO"
    text = text_line(entry)
    assert len(text.splitlines()) == 1
    text.encode()
