"""Where an answer's head and body end: RFC 9112 as a client that trusts nobody reads it.

Pure functions over bytes. The direct engine parses heads with `parse_head`; every engine passes
the fields through `check_head`, so that the same answers are refused whatever carried them.
"""

import re
from typing import NamedTuple

from nbhttp._engines.base import Head
from nbhttp.errors import ProtocolError

__all__ = ["BodyFraming", "check_head", "check_text", "find_head_end", "match_head", "parse_head"]

# A lone LF ends a line too (RFC 9112 section 2.2); old servers send nothing else.
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) (\d{3})(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n")
# One whole line: a token, a colon, and what RFC 9110 section 5.5 allows in a value.
_FIELD_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r?\n")
_HEAD = re.compile(rb"%b((?:%b)*)\r?\n" % (_STATUS_LINE.pattern, _FIELD_LINE.pattern))
_MINOR_VERSION = re.compile(r"HTTP/1\.\d")
_CONTROL = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_FOLD = re.compile(rb"\r?\n[\t ]+")
_MOST_DIGITS = 18  # of a Content-Length; they fit into 64 bits
_BAD_HEAD_HINT = "check that the port speaks the URL's scheme; the server or a proxy may be broken"


class BodyFraming(NamedTuple):
    """How the body's end is found, and what happens to the connection after it.

    Attributes:
        length: Bytes of the body; None when it is chunked or ends with the connection.
        is_chunked: Whether the chunked coding frames the body.
        keeps_alive: Whether another request may follow on the connection.
    """

    length: int | None
    is_chunked: bool
    keeps_alive: bool


def find_head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return the index just behind the empty line that ends a head; -1 while it is missing."""
    match = _EMPTY_LINE.search(data, start)
    return match.end() if match else -1


def parse_head(head: bytes) -> Head:
    """Parse a whole head, the empty line at its end included.

    Names and values stay as received, without the white space around a value. A folded line
    (obs-fold) is joined with one space (RFC 9112 section 5.2).

    Raises:
        ProtocolError: The head is not valid HTTP/1.x.
    """
    whole = _HEAD.fullmatch(head) or _HEAD.fullmatch(_unfolded(head))
    if whole is None:
        raise _bad_head(head)
    return _head_of(whole)


def match_head(data: bytes) -> tuple[Head, int] | None:
    """Parse the head that `data` begins with, and say where it ends: the common case, in one go.

    Returns:
        None when it is not complete, or not plainly valid: `find_head_end` and `parse_head` tell.
    """
    whole = _HEAD.match(data)
    return None if whole is None else (_head_of(whole), whole.end())


def _head_of(whole: re.Match[bytes]) -> Head:
    minor, status, reason, lines = whole.groups()
    # A minor version above ours is read as the highest we know (RFC 9110 section 2.5).
    version = "HTTP/1.0" if minor == b"0" else "HTTP/1.1"
    return Head(int(status), reason or b"", version, b"\n" + lines)


def _unfolded(head: bytes) -> bytes:
    """Join folded lines; the line behind the status line continues none."""
    status_line, feed, rest = head.partition(b"\n")
    return status_line + feed + _FOLD.sub(b" ", rest)


def _bad_head(head: bytes) -> ProtocolError:
    if _STATUS_LINE.match(head) is None:
        return _bad_status_line(head)
    return _bad_field(_unfolded(head).partition(b"\n")[2].removesuffix(b"\n").removesuffix(b"\r"))


def check_head(method: str, head: Head, *, max_bytes: int | None, max_fields: int) -> BodyFraming:
    """Decide how the answer's body is framed (RFC 9112 section 6.3).

    An answer that is not HTTP/1.x carries its own framing: only the limits and Content-Length
    matter.

    Args:
        method: The request's method: an answer to HEAD has no body.
        head: The answer's; 204, 304 and 101 have no body.
        max_bytes: Largest sum of the fields' sizes; None when the head's size is checked already.
        max_fields: Most fields.

    Raises:
        ProtocolError: A limit is passed, or the framing fields are invalid or contradict each
            other.
    """
    if head.field_count > max_fields:
        raise ProtocolError(
            f"the answer has {head.field_count} header fields; the limit is {max_fields}"
        )
    if max_bytes is not None and sum(len(n) + len(v) + 4 for n, v in head.headers) > max_bytes:
        raise head_too_large(max_bytes)
    length: int | None = None
    coding: bytes | None = None
    options = b""
    for name, value in head.framing():
        if name == b"content-length":
            length = _agreed_length(length, value)
        elif name == b"connection":
            options += b"," + value
        else:
            coding = value if coding is None else coding + b", " + value
    if coding is not None:
        _check_coding(coding, length, head.http_version)
    keeps_alive = _keeps_alive(options, head.http_version)
    if method == "HEAD" or head.status in {204, 304}:
        return BodyFraming(0, False, keeps_alive)
    if head.status == 101:
        return BodyFraming(0, False, False)
    if coding is None and length is None:
        return BodyFraming(None, False, False)
    return BodyFraming(length, coding is not None, keeps_alive)


def check_text(head: Head) -> None:
    """Refuse in a head that h11 has parsed what `parse_head` refuses: h11 lets more pass.

    Sets the version that a minor version above ours is read as (RFC 9110 section 2.5).

    Raises:
        ProtocolError: The version is no HTTP/1.x or HTTP/2, or a control character stands in the
            reason or in a field's value.
    """
    version = head.http_version
    if version not in {"HTTP/1.1", "HTTP/2"}:
        if _MINOR_VERSION.fullmatch(version) is None:
            raise _bad_status_line(version.encode("ascii"))
        head.http_version = "HTTP/1.0" if version == "HTTP/1.0" else "HTTP/1.1"
    if _CONTROL.search(head.reason):
        raise _bad_status_line(b"%b %d %b" % (version.encode("ascii"), head.status, head.reason))
    for name, value in head.headers:
        if _CONTROL.search(value):
            raise ProtocolError(
                f"a header field of the answer is invalid, near {_shown(name)}",
                hint=_BAD_HEAD_HINT,
            )


def _keeps_alive(options: bytes, http_version: str) -> bool:
    """Read Connection, in lower case (RFC 9112 section 9.3)."""
    if http_version == "HTTP/1.1" and b"close" not in options:
        return True
    tokens = {option.strip() for option in options.split(b",")}
    return b"close" not in tokens and (http_version == "HTTP/1.1" or b"keep-alive" in tokens)


def head_too_large(max_bytes: int) -> ProtocolError:
    """Return the error for a head above the limit."""
    return ProtocolError(f"the answer's head is larger than {max_bytes:,} bytes")


def check_head_start(data: bytes | bytearray) -> None:
    """Refuse what cannot become a head, before all of it has come.

    Raises:
        ProtocolError: The bytes do not begin with "HTTP/1.".
    """
    if not data.startswith(b"HTTP/1.") and not b"HTTP/1.".startswith(bytes(data[:7])):
        raise _bad_status_line(data)


def _agreed_length(known: int | None, value: bytes) -> int:
    """Read Content-Length; copies must agree (RFC 9112 section 6.3)."""
    if known is None and value.isdigit() and len(value) <= _MOST_DIGITS:
        return int(value)
    length = 0
    for copy in value.split(b","):
        digits = copy.strip(b" \t")
        if not digits.isdigit() or len(digits) > _MOST_DIGITS:
            raise ProtocolError(f"the answer's Content-Length is invalid: {_shown(value)}")
        length = int(digits)
        if known is not None and known != length:
            raise ProtocolError(f"the answer has two Content-Lengths: {known} and {length}")
        known = length
    return length


def _check_coding(coding: bytes, length: int | None, http_version: str) -> None:
    if length is not None:
        raise ProtocolError("the answer has both Content-Length and Transfer-Encoding")
    if http_version == "HTTP/1.0":  # RFC 9112 section 6.1: the framing is faulty
        raise ProtocolError("the answer is HTTP/1.0 and has Transfer-Encoding")
    if coding.rstrip() != b"chunked":
        raise ProtocolError(
            f"the answer's Transfer-Encoding is {_shown(coding)}; only chunked is understood"
        )


def _bad_status_line(data: bytes | bytearray) -> ProtocolError:
    line = bytes(data[:64]).partition(b"\n")[0].rstrip(b"\r")
    return ProtocolError(
        f"the answer does not begin with an HTTP/1.x status line but with {_shown(line)}",
        hint=_BAD_HEAD_HINT,
    )


def _bad_field(fields: bytes) -> ProtocolError:
    for line in fields.splitlines(keepends=True):
        if _FIELD_LINE.match(line) is None:
            name = line.partition(b":")[0].rstrip(b"\r\n")
            return ProtocolError(
                f"a header field of the answer is invalid, near {_shown(name)}",
                hint=_BAD_HEAD_HINT,
            )
    return ProtocolError("a header field of the answer is invalid", hint=_BAD_HEAD_HINT)


def _shown(value: bytes) -> str:
    """Show received bytes in a message: short, printable, quoted."""
    text = ascii(value[:40].decode("latin-1"))
    return text if len(value) <= 40 else text[:-1] + "…" + text[-1]
