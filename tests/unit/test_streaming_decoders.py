"""Decoders of bodies in pieces: the same result however the bytes are cut."""

import base64
import gzip
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhttp.errors import ConfigError, DecodeError, NbhttpError, StreamError
from nbhttp.streaming import LineDecoder, NdjsonDecoder, ServerSentEvent, SseDecoder

CORPORA = Path(__file__).parent.parent / "corpora"
CUTS = st.lists(st.integers(0, 10**6), max_size=12)


def _cases(text: str) -> list[dict[str, Any]]:
    cases = [json.loads(line) for line in text.split("\n") if line]
    for case in cases:
        case["chunks"] = [base64.b64decode(chunk) for chunk in case["chunks_b64"]]
        case["data"] = b"".join(case["chunks"])
    return cases


SSE_CASES = _cases(gzip.decompress((CORPORA / "sse" / "cases.jsonl.gz").read_bytes()).decode())
NDJSON_CASES = _cases((CORPORA / "ndjson" / "cases.jsonl").read_text("utf-8"))


def _cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(borders):
        yield data[start:end]


def _bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def _run(decoder: Any, chunks: Any) -> tuple[list[Any], NbhttpError | None]:
    """Feed all chunks as a consumer does: take what came, then look at the failure."""
    out: list[Any] = []
    try:
        for chunk in chunks:
            out += decoder.feed(chunk)
            if decoder.failure is not None:
                return out, decoder.failure
        out += decoder.close()
    except NbhttpError as error:
        assert error is decoder.failure  # noqa: PT017 - any outcome may be right here
        return out, error
    return out, decoder.failure


def _all_cuttings(case: dict[str, Any]) -> list[list[bytes]]:
    return [case["chunks"], [case["data"]], _bytewise(case["data"])]


# Lines


def _reference_lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if not lines[-1] else lines


LINE_TEXT = st.text(
    st.sampled_from("ab é€😀\u2028\u2029\x85\x0b\x0c\x1c\n\n\r\r\ufffd\ufeff"), max_size=60
)


@given(
    text=LINE_TEXT,
    cuts=CUTS,
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32-be", "gb18030", "utf-7"]),
)
@settings(deadline=None, max_examples=300)
def test_lines_are_the_same_for_every_cut_and_encoding(
    text: str, cuts: list[int], encoding: str
) -> None:
    """Only LF, CRLF and CR end a line; characters may be split between chunks."""
    text = text.lstrip("\ufeff")  # one at the start is a byte order mark
    decoder = LineDecoder(encoding)
    lines, failure = _run(decoder, _cut(text.encode(encoding), cuts))
    assert failure is None
    assert lines == _reference_lines(text)
    assert decoder.replaced == 0
    assert decoder.lines == len(lines)


def test_lines_come_as_soon_as_they_end() -> None:
    """A CR ends its line at once; the LF after it ends no second one."""
    decoder = LineDecoder()
    assert decoder.feed(b"one\r") == ["one"]
    assert decoder.feed(b"\ntwo\n\nth") == ["two", ""]
    assert decoder.feed(b"ree") == []
    assert decoder.close() == ["three"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "UTF-16"])
def test_a_byte_order_mark_is_dropped_at_the_start_only(encoding: str) -> None:
    """The mark says the encoding and is no text; a later one is kept."""
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    data = "one\n\ufefftwo".encode(codec)
    assert _run(LineDecoder(encoding), _bytewise(data)) == (["one", "\ufefftwo"], None)


@pytest.mark.parametrize(
    ("data", "encoding", "lines", "replaced"),
    [
        (b"a\xff\xfeb\n\xef\xbf\xbd\n", "utf-8", ["a\ufffd\ufffdb", "\ufffd"], 2),
        (b"good\ncut \xe2\x82", "utf-8", ["good", "cut \ufffd"], 1),
        (b"a\x81b\n", "cp1252", ["a\ufffdb"], 1),
        (b"a\x00\x00\xdcb\x00\n\x00", "utf-16-le", ["a\ufffdb"], 1),
        (b"a\x00b", "utf-16-le", ["a\ufffd"], 1),
    ],
)
def test_bytes_that_are_no_text_are_replaced_and_counted(
    data: bytes, encoding: str, lines: list[str], replaced: int
) -> None:
    """U+FFFD stands in for them; one that was really sent is not counted."""
    for chunks in ([data], _bytewise(data)):
        decoder = LineDecoder(encoding)
        assert _run(decoder, chunks) == (lines, None)
        assert decoder.replaced == replaced


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"one\ntwo\nb\xffd\nfour\n", "utf-8"),
        ("one\ntwo\nb".encode("utf-16-le") + b"\x00\xdcx\x00\n\x00", "utf-16-le"),
    ],
)
def test_strict_fails_at_the_line_after_giving_what_came_before(data: bytes, encoding: str) -> None:
    """The good lines come first, then a DecodeError with the line's number, again and again."""
    for chunks in ([data], _bytewise(data)):
        decoder = LineDecoder(encoding, errors="strict")
        lines, failure = _run(decoder, chunks)
        assert lines == ["one", "two"]
        assert isinstance(failure, DecodeError)
        assert "line 3" in str(failure)
        with pytest.raises(DecodeError, match="line 3"):
            decoder.feed(b"more\n")


def test_a_line_that_does_not_end_is_an_error() -> None:
    """Memory stays bounded, the lines before it are given, and the limit itself is allowed."""
    data = b"a" * 100 + b"\n\nb\r\n" + b"c" * 101 + b"\nd\n"
    for chunks in ([data], _bytewise(data), list(_cut(data, [50, 104, 150]))):
        lines, failure = _run(LineDecoder(max_line=100), chunks)
        assert lines == ["a" * 100, "", "b"]
        assert isinstance(failure, StreamError)
        assert "line 4 is longer than the 100 bytes" in str(failure)
        assert failure.received > 200


def _run_forever(decoder: LineDecoder, chunk: bytes) -> None:
    for _ in range(10_000):
        decoder.feed(chunk)


def test_an_endless_line_costs_no_more_than_the_limit() -> None:
    """A server that never sends a line end is stopped at `max_line`."""
    decoder = LineDecoder(max_line=1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(StreamError):
            _run_forever(decoder, bytes(64 * 1024))
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert decoder.received < 2 * 1024 * 1024


@pytest.mark.parametrize("encoding", ["nonsense", "hex", "rot13", "\0"])
def test_an_encoding_that_is_not_for_text_is_refused(encoding: str) -> None:
    """At once, with its name."""
    with pytest.raises(ConfigError, match="unknown text encoding"):
        LineDecoder(encoding)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LineDecoder(max_line=0),
        lambda: LineDecoder(errors="ignore"),  # type: ignore[arg-type]
        lambda: NdjsonDecoder(max_line=-1),
        lambda: NdjsonDecoder(on_error="warn"),  # type: ignore[arg-type]
        lambda: SseDecoder(max_event=0),
    ],
)
def test_wrong_settings_are_refused_at_once(make: Callable[[], object]) -> None:
    """A ConfigError says the value."""
    with pytest.raises(ConfigError, match=r"got |, not (0|-1)$"):
        make()


# NDJSON


def _check_ndjson(case: dict[str, Any], chunks: Any) -> None:
    values, failure = _run(NdjsonDecoder(), chunks)
    expected = case["expected"]
    if isinstance(expected, list):
        assert failure is None
        assert values == expected
    elif expected.startswith("error") and case["name"] != "NaN":
        assert values == case.get("values_before_error", [])
        assert isinstance(failure, DecodeError)
        assert "line " in str(failure)
    else:  # a value or the typed error: nothing else
        assert failure is None or isinstance(failure, DecodeError)
        assert len(values) + (failure is not None) == 1


@pytest.mark.parametrize("case", NDJSON_CASES, ids=lambda case: f"{case['id']} {case['name']}")
def test_the_ndjson_corpus_passes_for_plain_cuts(case: dict[str, Any]) -> None:
    """As sent, in one chunk, and byte by byte."""
    for chunks in _all_cuttings(case):
        _check_ndjson(case, chunks)


@given(case=st.sampled_from(NDJSON_CASES), cuts=CUTS)
@settings(deadline=None, max_examples=200)
def test_the_ndjson_corpus_passes_for_every_cut(case: dict[str, Any], cuts: list[int]) -> None:
    """Any split of the bytes gives the same values."""
    _check_ndjson(case, _cut(case["data"], cuts))


RECORD = st.one_of(
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=10),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.none(),
)


@given(
    records=st.lists(
        st.one_of(RECORD.map(json.dumps), st.sampled_from(["", " \r", "{oops", "1 2"]))
    ),
    ends=st.sampled_from(["\n", "\r\n"]),
    cuts=CUTS,
)
@settings(deadline=None, max_examples=300)
def test_ndjson_gives_what_json_gives_line_by_line(
    records: list[str], ends: str, cuts: list[int]
) -> None:
    """Values as exact as the standard library's; bad lines are told by number, blanks counted."""
    expected, bad = [], []
    for number, line in enumerate(records, 1):
        if line in ("{oops", "1 2"):
            bad.append(f"line {number:,} ")
        elif line.strip():
            expected.append(json.loads(line))
    decoder = NdjsonDecoder(on_error="collect")
    values, failure = _run(decoder, _cut(ends.join([*records, ""]).encode(), cuts))
    assert failure is None
    assert repr(values) == repr(expected)
    assert [
        str(error)[: len(start)] for error, start in zip(decoder.errors, bad, strict=True)
    ] == bad
    assert decoder.skipped == len(bad)
    assert decoder.line_number == len(records)


def test_integers_beyond_64_bits_stay_exact_within_a_fast_chunk() -> None:
    """One such number among many small records is still an integer."""
    data = b'{"a": 1}\n' * 50 + b'{"a": 18446744073709551616}\n' + b'{"a": 2.5}\n' * 50
    values, _ = _run(NdjsonDecoder(), [data])
    assert values[50] == {"a": 2**64}
    assert isinstance(values[50]["a"], int)


def test_a_bad_line_raises_with_number_and_excerpt_after_the_values_before_it() -> None:
    """Blank lines count; the excerpt is short and shows no secret."""
    line = b'{"password": "hunter2hunter2", "x": "' + b"y" * 5000 + b'"'
    decoder = NdjsonDecoder()
    assert decoder.feed(b"1\n\n \n2\n" + line + b"\n3\n") == [1, 2]
    assert isinstance(decoder.failure, DecodeError)
    message = str(decoder.failure)
    assert message.startswith("line 5 is no JSON record (Expecting ',' delimiter at character ")
    assert "hunter2" not in message
    assert len(message) < 250
    assert "collect" in str(decoder.failure.hint)
    with pytest.raises(DecodeError, match="line 5"):
        decoder.close()


def test_skip_counts_bad_lines_and_keeps_no_error() -> None:
    """The good ones go on."""
    decoder = NdjsonDecoder(on_error="skip")
    assert _run(decoder, [b"1\n{\n2\n[", b"\n3"]) == ([1, 2, 3], None)
    assert (decoder.skipped, decoder.errors) == (2, [])


def test_collected_errors_are_bounded() -> None:
    """A stream of bad lines does not fill the memory with errors."""
    decoder = NdjsonDecoder(on_error="collect")
    decoder.feed(b"{\n" * 1500)
    assert decoder.skipped == 1500
    assert len(decoder.errors) == 1000


@pytest.mark.parametrize("cuts", [[], [150], list(range(600))])
def test_a_line_over_the_limit_is_a_bad_line(cuts: list[int]) -> None:
    """It is dropped whole, told by its number, and the lines around it are kept."""
    data = b"1\n[" + b"2," * 200 + b"3]\n\n4\n[" + b"5," * 100
    decoder = NdjsonDecoder(on_error="collect", max_line=100)
    assert _run(decoder, _cut(data, cuts)) == ([1, 4], None)
    assert [str(error)[:34] for error in decoder.errors] == [
        "line 2 is no JSON record (longer t",
        "line 5 is no JSON record (longer t",
    ]
    values, failure = _run(NdjsonDecoder(max_line=100), _cut(data, cuts))
    assert values == [1]
    assert isinstance(failure, DecodeError)


def test_an_endless_ndjson_line_costs_no_more_than_the_limit() -> None:
    """With "skip" too, what is dropped is not kept."""
    decoder = NdjsonDecoder(on_error="skip", max_line=1024 * 1024)
    tracemalloc.start()
    try:
        for _ in range(500):
            assert decoder.feed(b"0" * 64 * 1024) == []
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert decoder.feed(b"0\n7\n") == [7]
    assert decoder.skipped == 1


# Server-sent events


def _check_sse(case: dict[str, Any], chunks: Any) -> None:
    decoder = SseDecoder()
    events, failure = _run(decoder, chunks)
    assert failure is None
    shown = [{"event": e.event, "data": e.data, "last_event_id": e.id} for e in events]
    assert shown == case["expected"]["events"]
    assert decoder.retry == ([None] + case["expected"]["retry"])[-1]


@pytest.mark.parametrize("case", SSE_CASES, ids=lambda case: f"{case['id']} {case['name']}")
def test_the_sse_corpus_passes_for_plain_cuts(case: dict[str, Any]) -> None:
    """As sent, in one chunk, and byte by byte."""
    for chunks in _all_cuttings(case):
        _check_sse(case, chunks)


@given(case=st.sampled_from(SSE_CASES), cuts=CUTS)
@settings(deadline=None, max_examples=400)
def test_the_sse_corpus_passes_for_every_cut(case: dict[str, Any], cuts: list[int]) -> None:
    """Any split of the bytes gives the same events."""
    _check_sse(case, _cut(case["data"], cuts))


def _reference_events(data: bytes) -> tuple[list[ServerSentEvent], str, int | None]:
    """The standard's algorithm, word by word, over the whole stream."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events, kind, buffer, id_buffer, last_id, wait, own = [], "", "", "", "", None, None
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            last_id = id_buffer
            if buffer:
                events.append(
                    ServerSentEvent(kind or "message", buffer.removesuffix("\n"), last_id, own)
                )
            kind = buffer = ""
            own = None
        elif name == "event":
            kind = value
        elif name == "data":
            buffer += value + "\n"
        elif name == "id" and "\0" not in value:
            id_buffer = value
        elif name == "retry" and value and all(char in "0123456789" for char in value):
            wait = own = int(value)
    return events, last_id, wait


SSE_LINES = st.lists(
    st.sampled_from(
        [
            "",
            "",
            "data",
            "data:",
            "data: x",
            "data:é\u2028y",
            "data:  z",
            ":",
            ": note",
            "id: 1",
            "id",
            "id: a\x00b",
            "event: tick",
            "event",
            "retry: 10",
            "retry: ٣",
            "retry: 1x",
            "retry:",
            "Data: no",
            " data: no",
            "other: no",
            "data : no",
            "\ufeffdata: no",
        ]
    )
    | st.tuples(st.sampled_from(["\n", "\r", "\r\n"]), st.text(max_size=5)).map("".join),
    max_size=20,
)


@given(
    lines=SSE_LINES,
    ends=st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=1, max_size=5),
    bom=st.sampled_from(["", "\ufeff", "\ufeff\ufeff"]),
    cuts=CUTS,
)
@settings(deadline=None, max_examples=400)
def test_any_event_stream_reads_as_the_standard_says(
    lines: list[str], ends: list[str], bom: str, cuts: list[int]
) -> None:
    """Mixed line ends, fields in any order and any cut: the standard's events and state."""
    text = bom + "".join(
        line + end for line, end in zip(lines, itertools.cycle(ends), strict=False)
    )
    data = text.encode("utf-8", "replace")
    decoder = SseDecoder()
    events, failure = _run(decoder, _cut(data, cuts))
    assert failure is None
    assert (events, decoder.last_event_id, decoder.retry) == _reference_events(data)


def test_an_event_carries_its_own_retry() -> None:
    """`retry` is on the event that came with it, and stays on the decoder."""
    decoder = SseDecoder()
    events = decoder.feed(b"retry: 50\ndata: a\n\ndata: b\n\nretry: 70\n\n")
    assert [event.retry for event in events] == [50, None]
    assert decoder.retry == 70
    decoder.feed(b"retry: " + b"9" * 5000 + b"\n")
    assert decoder.retry == 70


def test_the_last_event_id_moves_only_when_the_event_is_whole() -> None:
    """A break inside an event must not skip it after the reconnection."""
    decoder = SseDecoder(last_event_id="1")
    assert decoder.feed(b"data: a\n\n") == [ServerSentEvent(data="a", id="1")]
    assert decoder.feed(b"id: 2\ndata: half") == []
    assert decoder.close() == []
    assert decoder.last_event_id == "1"


@pytest.mark.parametrize("cuts", [[], [30], list(range(400))])
def test_an_event_that_does_not_end_is_an_error(cuts: list[int]) -> None:
    """The events before it are given; lines without a blank line between them are bounded too."""
    for endless in (b"data: " + b"x" * 200, b"data: xxxxxxxxx\n" * 40, b":" + b"c" * 200):
        events, failure = _run(SseDecoder(max_event=100), _cut(b"data: ok\n\n" + endless, cuts))
        assert events == [ServerSentEvent(data="ok")]
        assert isinstance(failure, StreamError)
        assert "100 bytes" in str(failure)


def test_an_event_shows_itself_short_and_without_secrets() -> None:
    """Its repr is clipped and redacted; its data is not."""
    event = ServerSentEvent(data='{"api_key": "sk-verysecretvalue"}' + "x" * 5000)
    assert "verysecret" not in repr(event)
    assert len(repr(event)) < 300
    assert "verysecret" in event.data
