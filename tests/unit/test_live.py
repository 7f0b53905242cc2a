"""What `nbhttp.live` makes of items, and what it writes where there is no notebook."""

import io
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbhttp
from nbhttp import ServerSentEvent, redaction
from nbhttp._render.bundle import html, text
from nbhttp.progress.live import _TextPainter
from nbhttp.progress.watched import Watched, row_of, token_of

OPENAI = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
TOKENS: list[tuple[Any, str | None]] = [
    (OPENAI, "Hi"),
    ({"choices": [{"delta": {"role": "assistant"}}]}, ""),
    ({"choices": [{"delta": {}, "finish_reason": "stop"}]}, ""),
    ({"choices": [{"text": "Hi", "finish_reason": None}]}, "Hi"),
    ({"choices": []}, None),
    ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}, "Hi"),
    ({"type": "message_start", "message": {"id": "1"}}, None),
    ({"type": "response.output_text.delta", "delta": "Hi"}, "Hi"),
    ({"model": "m", "response": "Hi", "done": False}, "Hi"),
    ({"message": {"role": "assistant", "content": "Hi"}, "done": False}, "Hi"),
    ({"message": "Hi"}, None),
    ({"id": 1}, None),
    (ServerSentEvent(data='{"choices": [{"delta": {"content": "Hi"}}]}'), "Hi"),
    (ServerSentEvent(data="[DONE]"), None),
    (ServerSentEvent(data="{broken"), None),
    ("Hi", None),
    (7, None),
]


@pytest.mark.parametrize(("item", "token"), TOKENS)
def test_tokens_are_found(item: Any, token: str | None) -> None:
    """The answers of common language model APIs, as events and as records."""
    assert token_of(item) == token


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["choices", "delta", "text", "done", "type"]), inner)
        ),
    )
)
def test_anything_may_come(item: Any) -> None:
    """No item is too strange to be shown."""
    for render in ("auto", "text", "lines", "table"):
        watched = Watched(None, render)  # type: ignore[arg-type]
        for each in (item, ServerSentEvent(data=item), item):
            watched.take(each)
        watched.end("ended")
        assert "3 " in text(watched.moment())
        assert html(watched.moment())


def seen(items: Any, render: Any = "auto", **options: Any) -> str:
    """Return the text of the summary."""
    watched = Watched(None, render, **options)
    for item in items:
        watched.take(item)
    watched.end("ended")
    return text(watched.moment())


def test_rows_are_what_the_items_hold() -> None:
    """An event's data stands beside its id and type; a record is itself."""
    assert row_of(ServerSentEvent("dock", '{"n": 1}', "7")) == {"id": "7", "event": "dock", "n": 1}
    assert row_of(ServerSentEvent(data="x")) == {"data": "x"}
    assert row_of({1: 2}) == {"1": 2}
    assert row_of(5) == {"value": 5}


def test_the_last_records_are_a_table() -> None:
    """So many of them, and how many there were."""
    shown = seen(({"n": n, "name": f"item {n}"} for n in range(1000)), last=3)
    assert "the last 3 of 1,000 records" in shown
    assert "item 999" in shown
    assert "item 996" not in shown


def test_a_preamble_before_the_first_token_is_no_table() -> None:
    """Some answers begin with events that carry no text."""
    events = [{"type": "message_start", "message": {}}, {"type": "ping"}]
    tokens = [{"type": "content_block_delta", "delta": {"text": t}} for t in ("All ", "fine")]
    shown = seen([*events, *tokens, {"type": "message_stop"}])
    assert "All fine" in shown
    assert "message_start" not in shown


def test_what_to_show_can_be_given() -> None:
    """A function of one item: text, a row, or nothing."""
    assert "a-b-" in seen(["a", "b"], lambda item: item + "-")
    assert "odd" in seen([1, 2, 3], lambda n: {"odd": n} if n % 2 else None)


def test_a_summary_of_lines_begins_with_a_whole_one() -> None:
    """What is left out is lines, not half of one."""
    watched = Watched(None, "lines")  # type: ignore[arg-type]
    for number in range(300):
        watched.take(f"line {number:03} {'of many ' * 20}end")
    shown = [line.strip() for line in text(watched.moment()).splitlines() if "end" in line]
    assert len(shown) > 3
    assert "before that:" in text(watched.moment()).partition(shown[0])[0]
    assert shown[-1].startswith("line 299 ")
    assert all(line.startswith("line ") for line in shown)


def test_a_summary_is_bounded() -> None:
    """Megabytes of text and long records fit the limits; what is left out is counted."""
    watched = Watched(None, "text")
    for _ in range(300):
        watched.take("x" * 10_000 + "\n")
    moment = watched.moment()
    assert len(text(moment)) <= 8000
    assert len(html(moment)) <= 48_000
    assert "characters before that" in text(moment)
    assert 1_000_000 <= len(watched.text) <= 2_010_000
    rows = Watched(None, "table", 1000)
    for n in range(1000):
        rows.take({f"column {n % 50}": "y" * 10_000})
    assert len(html(rows.moment())) <= 48_000


@pytest.fixture
def secret() -> Iterator[str]:
    """A value that the redactor knows."""
    value = "hunter2-correct-horse"
    redaction.register(value)
    yield value
    redaction.unregister(value)


def test_no_secret_is_shown(secret: str) -> None:
    """A registered value is masked in text, across tokens, in a table, in a URL and in an error."""
    stream = type("Stream", (), {"url": f"http://h/?key={secret}", "method": "GET"})()
    watched = Watched(stream)
    for piece in (secret[:9], secret[9:], " end"):
        watched.take(piece)
    watched.end("failed", f"ValueError: {secret}")
    assert secret not in text(watched.moment()) + html(watched.moment())
    assert secret not in seen([{"a": secret}])
    assert "abcdefghij" not in seen([{"password": "abcdefghij"}])


def test_no_secret_is_written_in_two_pieces(secret: str) -> None:
    """Text waits for the white space behind it."""
    output = io.StringIO()
    painter = _TextPainter(output)
    watched = Watched(None)
    for piece in ("so ", secret[:9], secret[9:], " it is"):
        watched.take(piece)
        painter.show(watched.moment())
    watched.end("ended")
    painter.show(watched.moment())
    assert secret not in output.getvalue()
    assert output.getvalue().startswith("so ")
    assert " it is\nended" in output.getvalue()


# Without a notebook


def test_tokens_are_written_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    """The text, whole, and one line on how it ended."""
    watched = nbhttp.live(iter(["one ", "two\n", "three"]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["one two", "three"]
    assert lines[2].startswith("ended: 3 pieces · ")
    assert len(lines) == 3
    assert (watched.text, watched.number, watched.outcome) == ("one two\nthree", 3, "ended")
    assert repr(watched) == "<Watched: ended, 3 pieces>"


def test_records_are_written_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that came too fast are counted."""
    watched = nbhttp.live([{"n": n} for n in range(1000)], last=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:-1] == ['{"n": 998}', '{"n": 999}']
    assert lines[-4].endswith(" more")
    assert list(watched.records) == [{"n": 998}, {"n": 999}]


def test_rows_are_counted_and_not_items(capsys: pytest.CaptureFixture[str]) -> None:
    """What a render function shows nothing of is no row: none is written twice or counted."""
    painter = _TextPainter(sys.stdout)
    watched = Watched(None, lambda n: {"row": n} if n % 4 == 0 else None, 2)
    for number in range(9):
        watched.take(number)
        painter.show(watched.moment())
    assert capsys.readouterr().out.splitlines() == ['{"row": 0}', '{"row": 4}', '{"row": 8}']
    assert "the last 2 of 3 rows" in text(watched.moment())
    few = Watched(None, lambda n: {"row": n} if n == 0 else None)
    for number in range(9):
        few.take(number)
    assert "all 1 row" in text(few.moment())


def test_what_came_before_a_silence_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream that pauses has everything shown that has come."""
    out: list[str] = []

    def items() -> Iterator[str]:
        yield "before "
        pause = threading.Event()
        while "before" not in "".join(out):
            pause.wait(0.01)
            out.append(capsys.readouterr().out)
        yield "after"

    nbhttp.live(items())
    out.append(capsys.readouterr().out)
    assert "".join(out).startswith("before after\nended: 2 pieces")


@pytest.mark.parametrize(
    ("exc", "words"),
    [(ValueError("no"), "failed: 1 piece"), (KeyboardInterrupt(), "stopped: 1 piece")],
)
def test_an_early_end_is_told_and_goes_on(
    capsys: pytest.CaptureFixture[str], exc: BaseException, words: str
) -> None:
    """The exception passes through; the output says what happened."""

    def items() -> Iterator[str]:
        yield "x"
        raise exc

    with pytest.raises(type(exc)):
        nbhttp.live(items())
    shown = capsys.readouterr().out
    assert words in shown
    assert ("ValueError: no" in shown) == isinstance(exc, ValueError)
    assert not [t for t in threading.enumerate() if t.name == "nbhttp-live" and t.is_alive()]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_an_async_iterator_is_awaited(capsys: pytest.CaptureFixture[str]) -> None:
    """The same on either loop."""

    async def items() -> AsyncIterator[str]:
        yield "x"

    watched = await nbhttp.live(items())
    assert watched.text == "x"
    assert capsys.readouterr().out.startswith("x\nended: 1 piece")


def test_no_output_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """pythonw has no streams, and an old console no Unicode."""
    monkeypatch.setattr(sys, "stdout", None)
    assert nbhttp.live(["x"]).text == "x"
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    nbhttp.live(["é"])
    assert raw.getvalue().startswith(b"\\xe9\nended")


@pytest.mark.parametrize(
    ("arguments", "options", "kind"),
    [
        ((5,), {}, TypeError),
        (("http://h/stream",), {}, TypeError),
        (([],), {"render": 5}, TypeError),
        (([],), {"render": "chart"}, nbhttp.ConfigError),
        (([],), {"last": 0}, nbhttp.ConfigError),
        (([],), {"last": "x"}, TypeError),
    ],
)
def test_misuse_is_refused(arguments: Any, options: Any, kind: type[Exception]) -> None:
    """At the call, before anything is read."""
    with pytest.raises(kind):
        nbhttp.live(*arguments, **options)
