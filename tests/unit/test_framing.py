"""Heads and framing: what RFC 9112 lets a strict client accept."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbhttp._engines.base import Head
from nbhttp._engines.framing import (
    BodyFraming,
    check_head,
    check_head_start,
    find_head_end,
    match_head,
    parse_head,
)
from nbhttp.errors import ProtocolError

TOKEN = st.text("!#$%&'*+-.^_`|~abcXYZ019", min_size=1, max_size=20).map(str.encode)
VALUE = st.binary(max_size=40).filter(lambda v: all(b >= 32 and b != 127 for b in v))


def framing(headers, *, method="GET", status=200, version="HTTP/1.1", max_bytes=None, fields=200):
    head = Head(status, b"", version, headers)
    return check_head(method, head, max_bytes=max_bytes, max_fields=fields)


def test_a_plain_head_is_parsed_as_received():
    """Order and case of names stay, white space around values goes."""
    head = parse_head(
        b"HTTP/1.1 404 Not Found\r\nX-b: 1\r\nx-A:\t two words \r\nEmpty:\r\nX-b:3\r\n\r\n"
    )
    assert (head.status, head.reason, head.http_version) == (404, b"Not Found", "HTTP/1.1")
    assert head.field_count == 4
    assert head.values(b"x-b") == [b"1", b"3"]
    assert head.has(b"x-a")
    assert not head.has(b"x")
    assert head.headers == [
        (b"X-b", b"1"),
        (b"x-A", b"two words"),
        (b"Empty", b""),
        (b"X-b", b"3"),
    ]


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=10), st.sampled_from([b"\r\n", b"\n"]))
def test_any_valid_head_round_trips(fields, eol):
    """Every valid name and value comes out as it went in, whatever ends the lines."""
    raw = eol.join([b"HTTP/1.0 200 OK", *(n + b": " + v for n, v in fields), b"", b""])
    head = parse_head(raw)
    wanted = [(n, v.strip(b" \t")) for n, v in fields]
    for name in {n.lower() for n, _ in fields} | {b"absent"}:
        assert head.values(name) == [v for n, v in wanted if n.lower() == name]
        assert head.has(name) == bool(head.values(name))
    assert head.field_count == len(wanted)
    assert head.headers == wanted
    assert head.http_version == "HTTP/1.0"
    assert find_head_end(raw + b"body") == len(raw)
    assert match_head(raw + b"body\r\n\r\n") == (head, len(raw))
    assert match_head(raw[:-1]) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK", (200, b"OK", "HTTP/1.1")),
        (b"HTTP/1.1 200 ", (200, b"", "HTTP/1.1")),
        (b"HTTP/1.1 200", (200, b"", "HTTP/1.1")),
        (b"HTTP/1.0 599 caf\xe9", (599, b"caf\xe9", "HTTP/1.0")),
        (b"HTTP/1.7 999 x", (999, b"x", "HTTP/1.1")),
    ],
)
def test_status_lines_that_are_valid(line, expected):
    """A reason may be missing or Latin-1; a higher minor version is read as 1.1."""
    head = parse_head(line + b"\r\n\r\n")
    assert (head.status, head.reason, head.http_version) == expected
    assert (head.headers, head.field_count) == ([], 0)


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/2.0 200 OK",
        b"HTTP/0.9 200 OK",
        b"HTTP/1.10 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 -12 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1\t200 OK",
        b"HTTP/1.1 200 OK\0",
        b"HTTP/1.1 200 a\rb",
        b"http/1.1 200 OK",
        b"ICE/1.1 200 OK",
        b"",
    ],
)
def test_status_lines_that_are_refused(line):
    """Anything but HTTP/1.x with a three-digit status is an error."""
    with pytest.raises(ProtocolError, match="status line"):
        parse_head(line + b"\r\nA: b\r\n\r\n")


@pytest.mark.parametrize(
    "field",
    [
        b"no colon",
        b"Space : v",
        b": no name",
        b"a b: c",
        b"N: a\0b",
        b"N: a\rb",
        b"N: \x7f",
        b"N\xe9: x",
    ],
)
def test_fields_that_are_refused(field):
    """A name that is no token, or a control character in a value, is an error with the name."""
    with pytest.raises(ProtocolError, match="header field"):
        parse_head(b"HTTP/1.1 200 OK\r\nA: b\r\n" + field + b"\r\nC: d\r\n\r\n")


def test_a_folded_line_is_joined_with_one_space():
    """RFC 9112 section 5.2; a fold before the first field has nothing to continue."""
    head = parse_head(b"HTTP/1.1 200 OK\r\nA: one\r\n  two\r\n\tthree\r\nB: x\r\n\r\n")
    assert head.headers == [(b"A", b"one two three"), (b"B", b"x")]
    with pytest.raises(ProtocolError):
        parse_head(b"HTTP/1.1 200 OK\r\n A: one\r\n\r\n")


@pytest.mark.parametrize(
    "filler", [b" ", b"\t", b"a", b"a:", b":", b"\r", b"\n ", b" \r\n", b"a\r\n"]
)
def test_hostile_heads_take_linear_time(filler):
    """Doubling a hostile head does not quadruple the time: no pattern backtracks."""

    def cost(size):
        raw = b"HTTP/1.1 200 OK\r\nA: " + filler * (size // len(filler)) + b"\0\r\n\r\n"
        started = time.process_time()
        for _ in range(3):
            with pytest.raises(ProtocolError):
                parse_head(raw)
        return time.process_time() - started

    small, large = min(cost(32_000) for _ in range(3)), min(cost(256_000) for _ in range(3))
    assert large < 30 * small + 0.05


@pytest.mark.parametrize(
    ("headers", "kwargs", "expected"),
    [
        ([(b"Content-Length", b"5")], {}, (5, False, True)),
        ([(b"content-length", b"5"), (b"Content-Length", b"5, 5")], {}, (5, False, True)),
        ([(b"Transfer-Encoding", b"Chunked")], {}, (None, True, True)),
        ([], {}, (None, False, False)),
        ([(b"Content-Length", b"5"), (b"Connection", b"x, Close")], {}, (5, False, False)),
        ([(b"Content-Length", b"5"), (b"Connection", b"not-close")], {}, (5, False, True)),
        ([(b"Content-Length", b"5")], {"version": "HTTP/1.0"}, (5, False, False)),
        (
            [(b"Content-Length", b"5"), (b"Connection", b"Keep-Alive")],
            {"version": "HTTP/1.0"},
            (5, False, True),
        ),
        ([(b"Content-Length", b"5")], {"method": "HEAD"}, (0, False, True)),
        ([(b"Transfer-Encoding", b"chunked")], {"method": "HEAD"}, (0, False, True)),
        ([(b"Content-Length", b"5")], {"status": 304}, (0, False, True)),
        ([], {"status": 204}, (0, False, True)),
        ([], {"status": 101}, (0, False, False)),
        ([(b"Content-Length", b"0")], {}, (0, False, True)),
    ],
)
def test_framing_follows_the_fields(headers, kwargs, expected):
    """RFC 9112 section 6.3, case by case: length, chunked, kept alive."""
    assert framing(headers, **kwargs) == BodyFraming(*expected)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Content-Length", b"5"), (b"Content-Length", b"6")],
        [(b"Content-Length", b"5, 6")],
        [(b"Content-Length", b"5,")],
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"-1")],
        [(b"Content-Length", b"+1")],
        [(b"Content-Length", b"0x10")],
        [(b"Content-Length", b"1_0")],
        [(b"Content-Length", "٣".encode())],
        [(b"Content-Length", b"9" * 19)],
        [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked, identity")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"")],
    ],
)
def test_contradictory_framing_is_refused(headers):
    """No length or coding that two readers could take in two ways."""
    with pytest.raises(ProtocolError):
        framing(headers)


def test_transfer_encoding_in_http_1_0_is_refused():
    """RFC 9112 section 6.1: its framing is faulty."""
    with pytest.raises(ProtocolError, match=r"HTTP/1\.0"):
        framing([(b"Transfer-Encoding", b"chunked")], version="HTTP/1.0")


def test_too_many_or_too_large_fields_are_refused():
    """Both limits hold, and say themselves."""
    headers = [(b"A", b"b")] * 10
    assert framing(headers, fields=10, max_bytes=60)
    with pytest.raises(ProtocolError, match="the limit is 9"):
        framing(headers, fields=9)
    with pytest.raises(ProtocolError, match="59 bytes"):
        framing(headers, max_bytes=59)


@given(st.binary(max_size=40))
@example(b"HTTP/1.")
@example(b"HTT")
def test_a_beginning_is_refused_exactly_when_no_head_can_follow(data):
    """What is no prefix of a status line fails before more has come."""
    could_be = b"HTTP/1.".startswith(data[:7])
    if could_be:
        check_head_start(data)
    else:
        with pytest.raises(ProtocolError):
            check_head_start(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_a_protocol_error(data):
    """No other exception comes out."""
    for raw in (data + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n"):
        try:
            head = parse_head(raw)
            framing(head.headers)
        except ProtocolError:
            pass


@given(st.text("A:b \t\r\n\x00", max_size=30).map(str.encode))
@example(b"A: b\r\n c: folded\r\n\r\n")
def test_the_short_way_through_a_head_agrees_with_the_long_one(data):
    """Where one match does for the head, its end and content are what the careful steps give."""
    raw = b"HTTP/1.1 200 OK\r\n" + data
    matched = match_head(raw)
    if matched is not None:
        head, end = matched
        assert end == find_head_end(raw)
        assert head == parse_head(raw[:end])


def test_fields_are_the_same_split_or_not():
    """Names in lower case, repeated fields joined, whether the lines were split before or not."""
    lines = b'\nETag:  "1" \nVary: a\nX-Odd: a:b\xe9\nvary: b\n'
    expected = {"etag": '"1"', "vary": "a, b", "x-odd": "a:b\xe9"}
    whole = Head(200, b"", "HTTP/1.1", lines)
    assert whole.fields() == expected
    assert Head(200, b"", "HTTP/1.1", whole.headers).fields() == expected
