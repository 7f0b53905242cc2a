"""The answer reader: content apart from framing, however the bytes are cut."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp._engines.direct.answer import AnswerReader, ReadLimits
from nbhttp.errors import BodyTooLargeError, ProtocolError, RequestError

CORPUS = Path(__file__).parents[1] / "corpora" / "http_responses"
LIMITS = ReadLimits(64 * 1024, 200)
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n",
    (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.0 200 OK\r\n\r\nhello world"
    ),
]


def read_all(raw, *, cuts=(), method="GET", max_body=None, limits=LIMITS):
    """Feed `raw` cut at the given places, then the end; return reader and content."""
    reader = AnswerReader(method, limits, max_body)
    content = b""
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        if stop > start:
            content += bytes(reader.feed(raw[start:stop]))
    if not reader.is_done and not reader.end():
        raise ProtocolError("cut off")
    return reader, content


def outcome(raw, **kwargs):
    try:
        reader, content = read_all(raw, **kwargs)
    except RequestError as error:
        return type(error)
    return reader.head, content, reader.is_reusable, reader.received


@st.composite
def cut_places(draw, size):
    return sorted(draw(st.sets(st.integers(1, max(size - 1, 1)), max_size=12)))


def corpus(name):
    rows = (CORPUS / name).read_text("utf-8").splitlines()
    return [json.loads(row) for row in rows]


CURL = [
    pytest.param(case, base64.b64decode(reply), id=f"{case['id']}-{number}")
    for case in corpus("curl_cases.jsonl")
    for number, reply in enumerate(
        case["replies_b64"]
        if isinstance(case["replies_b64"], list)
        else case["replies_b64"].values()
    )
]


@pytest.mark.parametrize("raw", ANSWERS)
@given(data=st.data())
def test_cuts_do_not_matter(raw, data):
    """The same answer comes out wherever the network cut it."""
    reader, content = read_all(raw, cuts=data.draw(cut_places(len(raw))))
    assert (reader.head.status, content) == (200, b"hello world")


@pytest.mark.parametrize("raw", ANSWERS)
def test_one_byte_at_a_time(raw):
    """The worst cut gives the same answer too."""
    assert read_all(raw, cuts=range(1, len(raw)))[1] == b"hello world"


@pytest.mark.parametrize("raw", ANSWERS[:2])
@given(data=st.data())
def test_every_truncation_is_an_error(raw, data):
    """An answer that announces its end is never taken for whole before it."""
    end = data.draw(st.integers(0, len(raw) - 1))
    assert outcome(raw[:end], cuts=()) is ProtocolError


@given(data=st.data())
def test_mutated_answers_end_in_an_answer_or_a_typed_error(data):
    """No other exception, and the cuts do not change which it is."""
    raw = bytearray(data.draw(st.sampled_from(ANSWERS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    whole = outcome(bytes(raw))
    cut = outcome(bytes(raw), cuts=data.draw(cut_places(len(raw))) if len(raw) > 1 else ())
    if isinstance(whole, type) or isinstance(cut, type):
        assert whole is cut
    else:
        assert whole[:2] == cut[:2]


@given(st.binary(max_size=300), st.data())
def test_garbage_is_a_typed_error_or_an_answer(raw, data):
    """Behind any head, any bytes."""
    head = data.draw(
        st.sampled_from(
            [
                b"",
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"HTTP/1.1 204 No Content\r\n\r\n",
            ]
        )
    )
    outcome(head + raw)


@pytest.mark.parametrize(("case", "raw"), CURL)
@pytest.mark.parametrize("step", [None, 1, 7])
def test_answers_end_as_curl_says(case, raw, step):
    """What curl reads is read alike, and what it refuses is refused, whole or in pieces."""
    rule = case["expected"]["rule"]
    method = "HEAD" if "-I" in case["curl_options"] else "GET"
    result = outcome(raw, method=method, cuts=range(step, len(raw), step) if step else ())
    if rule.startswith("same body or redirect"):
        if case["id"] == "curl-1090" and b"chunked" in raw:
            # Chunk sizes that end with a lone LF: llhttp refuses them, as h11 does.
            assert result is ProtocolError
            return
        assert not isinstance(result, type)
        is_single = case["expected"]["n_requests"] == 1 and case["body_confirmed"]
        if is_single and not case["compressed"]:
            assert result[1] == base64.b64decode(case["expected"]["body_b64"])
    elif rule.startswith("must raise") and "Decoding" not in case["baseline_httpx_0_28_1"]:
        assert result is ProtocolError


@pytest.mark.parametrize("case", corpus("llhttp_cases.jsonl"), ids=lambda case: case["id"])
def test_answers_from_llhttp_end_alike_in_pieces(case):
    """An answer or a typed error, the same for every cut."""
    raw = base64.b64decode(case["raw_b64"])
    whole = outcome(raw)
    for step in (1, 3, 16):
        cut = outcome(raw, cuts=range(step, len(raw), step))
        assert cut is whole if isinstance(whole, type) else cut[:2] == whole[:2]


@pytest.mark.parametrize(
    ("raw", "is_reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nx", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\njunk", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", False),
    ],
)
def test_bytes_behind_the_body_forbid_reuse(raw, is_reusable):
    """A connection is dirty as soon as anything follows the answer, in one piece or two."""
    assert read_all(raw)[0].is_reusable is is_reusable
    if not raw.endswith(b"close"):
        assert read_all(raw, cuts=(len(raw) - 1,))[0].is_reusable is is_reusable


def test_an_answer_to_head_has_no_body():
    """The length belongs to the GET that was not made."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    reader, content = read_all(raw, method="HEAD")
    assert (content, reader.is_done, reader.is_reusable) == (b"", True, True)


def test_interim_answers_are_bounded():
    """A server that only ever says 102 is given up."""
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    assert read_all(interim * 100 + ANSWERS[0])[1] == b"hello world"
    with pytest.raises(ProtocolError, match="interim"):
        read_all(interim * 101 + ANSWERS[0])


@pytest.mark.parametrize("step", [1, 100, 10_000])
def test_a_head_above_the_limit_is_refused_early(step):
    """However it arrives, no more than the limit is kept."""
    raw = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\n\r\n"
    with pytest.raises(ProtocolError, match="1,000 bytes"):
        read_all(raw, cuts=range(step, len(raw), step), limits=ReadLimits(1000, 10))


@pytest.mark.parametrize(
    "overhead", [b"5;" + b"x" * 2000, b"0\r\n" + b"A: b\r\n" * 300, b"0\r\nA: " + b"x" * 2000]
)
def test_chunk_overhead_is_bounded(overhead):
    """Endless chunk extensions and trailers are refused."""
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + overhead
    with pytest.raises(ProtocolError, match="not content"):
        read_all(raw, cuts=range(50, len(raw), 50), limits=ReadLimits(1000, 10))


@pytest.mark.parametrize("raw", ANSWERS)
def test_max_body_holds(raw):
    """At the limit all is well; a byte above is an error that says what to use."""
    assert read_all(raw, max_body=11)[1] == b"hello world"
    with pytest.raises(BodyTooLargeError, match="max_body") as caught:
        read_all(raw, max_body=10)
    assert "download_file" in caught.value.hint


def test_an_announced_length_above_max_body_fails_before_the_body():
    """Nothing of the body has to come."""
    reader = AnswerReader("GET", LIMITS, 10)
    with pytest.raises(BodyTooLargeError, match="11 bytes"):
        reader.feed(ANSWERS[0][:-11])


def test_content_of_known_length_is_not_copied():
    """A piece inside the body is handed on as it came."""
    reader = AnswerReader("GET", LIMITS, None)
    reader.feed(ANSWERS[0][:-11])
    piece = memoryview(b"hello")
    assert reader.feed(piece) is piece
