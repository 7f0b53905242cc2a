"""Content-Range and what is there of a file."""

import json
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbhttp._core.answers import Facts, Verdict, read_facts, rule
from nbhttp._core.ranges import ContentRange, Done, parse_content_range
from nbhttp._core.validators import Validators
from nbhttp._engines.base import Head

CASES = json.loads(
    (Path(__file__).parent.parent / "corpora/download_resume/content_range.json").read_text("utf-8")
)
SIZE = 200
DAY = "Wed, 21 Oct 2015 07:28:00 GMT"
V1, V2 = Validators('"1"'), Validators('"2"')


def facts(status: int, **fields: str) -> Facts:
    """Return the facts of an answer; `content_range` means Content-Range."""
    headers = [(k.replace("_", "-").encode(), v.encode()) for k, v in fields.items()]
    return read_facts(Head(status, b"", "HTTP/1.1", headers))


@pytest.mark.parametrize("case", CASES, ids=[str(c["header"]) for c in CASES])
def test_content_range_of_other_clients(case: dict):
    """A part that does not begin where it was asked for, or does not say so, starts over."""
    start, expected = case["resumed_from"], case["expected_total_or_next"]
    fields = {} if case["header"] is None else {"content_range": case["header"]}
    ruling = rule(facts(206, etag='"1"', **fields), (start, None), V1, None)
    if expected == "error":
        assert ruling.verdict is Verdict.START_OVER
    elif isinstance(expected, int) and case["header"].endswith(f"/{expected}"):
        assert (ruling.verdict, ruling.total) == (Verdict.PART, expected)


@given(st.integers(0, 2**63), st.integers(1, 2**40), st.none() | st.integers(0, 2**40))
def test_a_written_content_range_is_read_back(start: int, size: int, beyond: int | None):
    """First, last and total come back as start, stop and total."""
    total = None if beyond is None else start + size + beyond
    text = f"bytes {start}-{start + size - 1}/{'*' if total is None else total}"
    found = parse_content_range(text)
    if start + size - 1 >= 10**19:
        assert found is None
        return
    assert found == ContentRange(start, start + size, total)
    assert found is not None
    assert found.size == size


@given(st.text(alphabet="bytes 0123456789-/*=,\t"))
@example("bytes 5-4/10")
@example("bytes 5-10/10")
@example("bytes */*")
@example("bytes \u0663-\u0664/\u0661\u0660")
def test_no_content_range_raises(text: str):
    """What is read makes sense; all else counts as absent."""
    found = parse_content_range(text)
    if found is None or found.start is None:
        return
    assert found.stop is not None
    assert found.start < found.stop
    assert found.total is None or found.stop <= found.total


SPANS = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=12)


@given(SPANS)
def test_spans_hold_what_a_set_of_bytes_holds(spans: list[tuple[int, int]]):
    """Sorted, disjoint spans and the bytes one by one say the same."""
    there = {byte for start, stop in spans for byte in range(start, stop)}
    done = Done(spans)
    assert done.size == len(there)
    assert {b for start, stop in done.spans for b in range(start, stop)} == there
    assert all(a[1] < b[0] for a, b in zip(done.spans, done.spans[1:], strict=False))
    missing = {b for start, stop in done.gaps(SIZE) for b in range(start, stop)}
    assert missing == set(range(SIZE)) - there
    assert done.front == next(b for b in range(SIZE + 1) if b not in there)


@given(SPANS, SPANS, st.integers(0, SIZE))
def test_spans_are_joined_and_cut(first: list, second: list, size: int):
    """Joining and cutting spans is joining and cutting their bytes."""
    joined = Done(first).plus(second)
    assert joined.spans == Done([*first, *second]).spans
    assert joined.within(size).size == sum(
        max(0, min(stop, size) - start) for start, stop in joined.spans
    )


# What answers mean


def test_the_right_part_is_taken():
    """206 with the range that was asked for, of the same version."""
    answer = facts(206, content_range="bytes 100-199/200", content_length="100", etag='"1"')
    ruling = rule(answer, (100, None), V1, SIZE)
    assert (ruling.verdict, ruling.stop, ruling.total) == (Verdict.PART, 200, SIZE)


@pytest.mark.parametrize(
    "fields",
    [
        {"content_range": "bytes 101-199/200"},
        {"content_range": "bytes 99-199/200"},
        {"content_range": "bytes 100-199/207"},
        {"content_range": "bytes 100-199/*"},
        {"content_range": "bytes 100-198/200", "content_length": "100"},
        {"content_range": "bytes 100-199/200", "etag": '"2"'},
        {"content_range": "bytes 100-199/200", "content_encoding": "gzip"},
        {"content_range": "bytes */200"},
        {"content_type": "multipart/byteranges; boundary=x"},
    ],
)
def test_a_wrong_part_starts_over(fields: dict):
    """206 with another range, version, size or coding is never joined to what is there."""
    known_total = SIZE if not fields.get("content_range", "").endswith("*") else None
    answer = facts(206, **{"etag": '"1"', **fields})
    verdict = rule(answer, (100, None), V1, known_total).verdict
    assert verdict in {Verdict.START_OVER, Verdict.CHANGED}


@pytest.mark.parametrize(
    ("known", "stated", "verdict"),
    [
        (V1, {}, Verdict.START_OVER),
        (V1, {"last_modified": DAY}, Verdict.START_OVER),
        (Validators(None, DAY), {}, Verdict.START_OVER),
        (Validators(None, DAY), {"etag": '"1"'}, Verdict.START_OVER),
        (V1, {"etag": 'W/"1"'}, Verdict.CHANGED),
        (Validators(None, DAY), {"last_modified": DAY}, Verdict.PART),
        (V1, {"etag": '"1"', "last_modified": DAY}, Verdict.PART),
    ],
)
def test_a_part_says_of_which_version_it_is(known: Validators, stated: dict, verdict: Verdict):
    """A server that ignores If-Range sends a part of what it has now."""
    answer = facts(206, content_range="bytes 100-199/200", **stated)
    assert rule(answer, (100, None), known, SIZE).verdict is verdict


def test_a_date_of_just_now_is_no_version():
    """The file may change again within the second; an answer without a date came now."""
    now = formatdate(usegmt=True)
    assert facts(200, last_modified=now).validators.last_modified is None
    assert facts(200, last_modified=DAY).validators.last_modified == DAY
    assert facts(200, last_modified=DAY, date=DAY).validators.last_modified is None


def test_a_part_beyond_what_was_asked_for_starts_over():
    """A segment must not run into the next one."""
    answer = facts(206, content_range="bytes 100-160/200", etag='"1"')
    assert rule(answer, (100, 150), V1, SIZE).verdict is Verdict.START_OVER


def test_200_to_a_range_is_the_whole_file():
    """The reason tells a changed file from a server that knows no ranges."""
    same = rule(facts(200, etag='"1"', content_length="200"), (100, None), V1, SIZE)
    other = rule(facts(200, etag='"2"', content_length="200"), (100, None), V1, SIZE)
    assert same.verdict is other.verdict is Verdict.WHOLE
    assert same.reason == "the server ignored the range"
    assert other.reason == "the file changed upstream"


def test_416_is_complete_only_when_the_size_says_so():
    """All is there when the server's size is ours and the version has not changed."""
    at_end = facts(416, content_range="bytes */200", etag='"1"')
    assert rule(at_end, (200, None), V1, SIZE).verdict is Verdict.COMPLETE
    assert rule(at_end, (100, None), V1, SIZE).verdict is Verdict.START_OVER
    assert rule(at_end, (200, None), V2, SIZE).verdict is Verdict.START_OVER
    assert rule(at_end, (200, None), V1, 300).verdict is Verdict.START_OVER
    assert rule(facts(416), (200, None), V1, SIZE).verdict is Verdict.START_OVER


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (204, Verdict.REFUSED),
        (301, Verdict.REFUSED),
        (403, Verdict.REFUSED),
        (404, Verdict.REFUSED),
        (416, Verdict.REFUSED),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (501, Verdict.REFUSED),
        (503, Verdict.RETRY),
    ],
)
def test_a_status_without_a_file(status: int, verdict: Verdict):
    """Trouble that may pass is retried; what will not pass is not."""
    assert rule(facts(status)).verdict is verdict


def test_a_part_nobody_asked_for_is_the_whole_only_if_it_is_all():
    """Some servers answer 206 to a request without a range."""
    assert rule(facts(206, content_range="bytes 0-199/200")).verdict is Verdict.WHOLE
    assert rule(facts(206, content_range="bytes 0-99/200")).verdict is Verdict.RETRY
    assert rule(facts(206)).verdict is Verdict.RETRY


@given(
    st.sampled_from([200, 203, 206, 412, 416]),
    st.none() | st.text(alphabet="bytes 0123456789-/*"),
    st.none() | st.sampled_from(['"1"', '"2"', 'W/"1"']),
    st.integers(1, SIZE),
)
def test_a_part_is_never_of_another_version_or_place(
    status: int, content_range: str | None, etag: str | None, start: int
):
    """Whatever the fields say, PART means these bytes of this version."""
    fields = {"content_range": content_range, "etag": etag}
    answer = facts(status, **{k: v for k, v in fields.items() if v is not None})
    ruling = rule(answer, (start, None), V1, SIZE)
    if ruling.verdict is Verdict.PART:
        assert status == 206
        assert etag in {None, '"1"'}
        assert answer.content_range is not None
        assert answer.content_range.start == start
        assert answer.content_range.total == SIZE


def test_a_fresh_date_is_no_validator():
    """A file that changed less than a second before the answer may have changed since."""
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    fresh = facts(200, last_modified=date, date=date)
    settled = facts(200, last_modified=date, date="Wed, 21 Oct 2015 07:28:01 GMT")
    assert fresh.validators.for_if_range is None
    assert settled.validators.for_if_range == date
    assert facts(200, last_modified="yesterday").validators.for_if_range is None


def test_a_weak_etag_does_not_vouch_for_a_range():
    """If-Range takes a strong ETag, and a date only where there is no ETag (RFC 9110 13.1.5)."""
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert Validators('W/"1"', date).for_if_range is None
    assert Validators('"1"', date).for_if_range == '"1"'
    assert Validators(None, date).for_if_range == date
