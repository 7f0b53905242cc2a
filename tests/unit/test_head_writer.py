"""Heads of requests as they go out."""

from nbhttp._engines.base import EngineRequest, Origin
from nbhttp._engines.direct.upload import HeadWriter

ORIGIN = Origin("http", "h", 80)


def _request(method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> EngineRequest:
    return EngineRequest(method, ORIGIN, target, headers)


def test_a_head_is_the_request_line_the_fields_and_an_empty_line():
    """RFC 9112 section 3: order and case of the fields are kept."""
    fields = [(b"Host", b"h"), (b"x-A", b"1")]
    head = HeadWriter().write(_request("PUT", b"/a?b", fields))
    assert head == b"PUT /a?b HTTP/1.1\r\nHost: h\r\nx-A: 1\r\n\r\n"


def test_each_request_has_its_own_fields():
    """A connection's next request may have the same fields, others that are equal, or new ones."""
    writer, shared = HeadWriter(), [(b"Host", b"h")]
    heads = [
        writer.write(_request("GET", target, fields))
        for target, fields in (
            (b"/1", shared),
            (b"/2", shared),
            (b"/3", [*shared, (b"A", b"b")]),
            (b"/4", list(shared)),
            (b"/5", []),
        )
    ]
    assert heads == [
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /3 HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n",
        b"GET /4 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /5 HTTP/1.1\r\n\r\n",
    ]
