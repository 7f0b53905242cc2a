"""What an answer to a download's request means. Pure: decides, and does nothing.

The rule behind every line: bytes of two versions of a file are never mixed. A part of the file is
taken only when the answer proves which bytes it holds; else the download starts over.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import NamedTuple

from nbhttp._core.ranges import ContentRange, Range, parse_content_range
from nbhttp._core.retry import RETRYABLE, http_date
from nbhttp._core.validators import Validators
from nbhttp._engines.base import Head

__all__ = [
    "Facts",
    "Ruling",
    "StartOverError",
    "Verdict",
    "read_facts",
    "rule",
]


class StartOverError(Exception):
    """What is there is to be dropped, and the whole file asked for.

    Args:
        reason: Why.
        may_resume: Whether the new bytes may be asked for in parts, should it come to that.
    """

    def __init__(self, reason: str, *, may_resume: bool = False) -> None:
        super().__init__(reason)
        self.may_resume = may_resume


class Facts(NamedTuple):
    """What matters of an answer's head.

    Attributes:
        status: The status code.
        headers: Lower-case names; repeated fields are joined by ", ".
        validators: Its version.
        length: Content-Length; None when absent.
        codings: Content codings other than identity.
        content_range: None when absent or invalid.
    """

    status: int
    headers: Mapping[str, str]
    validators: Validators
    length: int | None
    codings: tuple[str, ...]
    content_range: ContentRange | None

    @property
    def takes_ranges(self) -> bool:
        """Whether the server says or shows that it serves parts."""
        if self.status == 206:
            return True
        return "bytes" in self.headers.get("accept-ranges", "").lower()


def read_facts(head: Head) -> Facts:
    """Read an answer's head."""
    headers = head.fields()
    length = headers.get("content-length", "").partition(",")[0]
    codings = [c.strip().lower() for c in headers.get("content-encoding", "").split(",")]
    return Facts(
        head.status,
        headers,
        Validators(headers.get("etag") or None, _settled_date(headers)),
        int(length) if length.isascii() and length.isdigit() else None,
        tuple([c for c in codings if c not in {"", "identity"}]),
        parse_content_range(headers.get("content-range")),
    )


def _settled_date(headers: Mapping[str, str]) -> str | None:
    """Return Last-Modified when it can tell versions apart.

    The file may change twice within a second: a date less than a second before the answer's own
    is no strong validator (RFC 9110 section 8.8.2.2). An answer without a date came now (section
    6.6.1).
    """
    value = headers.get("last-modified")
    modified = http_date(value)
    if modified is None:
        return None
    now = http_date(headers.get("date")) or datetime.now(UTC)
    return None if now - modified < timedelta(seconds=1) else value


class Verdict(Enum):
    """What to do with an answer."""

    WHOLE = "take it as the whole file, from its first byte"
    PART = "take it as the bytes that were asked for"
    UNCHANGED = "the file on disk is current"
    COMPLETE = "there is nothing after what is there already"
    CHANGED = "what is there is of another version: ask for the whole of this one"
    START_OVER = "parts cannot be trusted: ask for the whole file, and for no part any more"
    RETRY = "the server cannot now; ask again"
    REFUSED = "the server will not; give up"


class Ruling(NamedTuple):
    """A verdict and what belongs to it.

    Attributes:
        verdict: What to do.
        reason: Why, for people; "" where it goes without saying.
        stop: One past the last byte that this answer brings; None when unknown.
        total: Size of the whole file; None when unknown.
    """

    verdict: Verdict
    reason: str = ""
    stop: int | None = None
    total: int | None = None


def rule(
    facts: Facts,
    asked: Range | None = None,
    known: Validators | None = None,
    total: int | None = None,
) -> Ruling:
    """Decide what an answer means.

    Args:
        facts: The answer's head.
        asked: The range that was asked for, [start, stop), stop None for "to the end"; None when
            the whole file was.
        known: The version that earlier bytes are of; None when there are none.
        total: The size that was stated earlier; None when none was.
    """
    if facts.status in {200, 203}:
        return _whole(facts, asked, known)
    if facts.status == 206:
        if asked is None:
            return _unasked_part(facts)
        return _part(facts, asked, known, total)
    if facts.status == 304 and asked is None:
        return Ruling(Verdict.UNCHANGED)
    if facts.status == 412 and asked is not None:
        return Ruling(Verdict.CHANGED, "the file changed upstream")
    if facts.status == 416 and asked is not None:
        return _unsatisfied(facts, asked, known, total)
    if facts.status in RETRYABLE:
        return Ruling(Verdict.RETRY)
    return Ruling(Verdict.REFUSED)


def _whole(facts: Facts, asked: Range | None, known: Validators | None) -> Ruling:
    reason = ""
    if asked is not None:
        is_other = known is not None and known.contradicts(facts.validators)
        reason = "the file changed upstream" if is_other else "the server ignored the range"
    return Ruling(Verdict.WHOLE, reason, facts.length, facts.length)


def _unasked_part(facts: Facts) -> Ruling:
    found = facts.content_range
    if found and found.start == 0 and found.stop == found.total and _fits(facts, found):
        return Ruling(Verdict.WHOLE, "", found.stop, found.total)
    return Ruling(Verdict.RETRY, "the server sent a part though the whole file was asked for")


def _part(
    facts: Facts,
    asked: Range,
    known: Validators | None,
    total: int | None,
) -> Ruling:
    found = facts.content_range
    start, stop = asked
    if known is not None and known.contradicts(facts.validators):
        return Ruling(Verdict.CHANGED, "the file changed upstream")
    if known is not None and not known.are_proven_by(facts.validators):
        return Ruling(Verdict.START_OVER, "the server sent a part without saying of which version")
    if found is None or found.start is None or found.stop is None:
        return Ruling(Verdict.START_OVER, "the server sent a part without saying which")
    if facts.headers.get("content-type", "").lower().startswith("multipart/byteranges"):
        return Ruling(Verdict.START_OVER, "the server sent several parts at once")
    if found.start != start or (stop is not None and found.stop > stop):
        return Ruling(Verdict.START_OVER, "the server sent another part than was asked for")
    if total is not None and found.total is not None and found.total != total:
        return Ruling(Verdict.CHANGED, "the file's size changed upstream")
    total = found.total if total is None else total
    if total is None or found.stop > total:
        return Ruling(Verdict.START_OVER, "the server does not say how large the file is")
    if not _fits(facts, found):
        return Ruling(Verdict.START_OVER, "the part's Content-Length and Content-Range differ")
    if facts.codings:
        return Ruling(Verdict.START_OVER, "the server compressed a part of the file")
    return Ruling(Verdict.PART, "", found.stop, total)


def _fits(facts: Facts, found: ContentRange) -> bool:
    return facts.length is None or facts.length == found.size


def _unsatisfied(
    facts: Facts,
    asked: Range,
    known: Validators | None,
    total: int | None,
) -> Ruling:
    found = facts.content_range
    is_same = known is None or known.are_proven_by(facts.validators)
    if found is not None and is_same and found.total == asked[0] and total in {None, asked[0]}:
        return Ruling(Verdict.COMPLETE, "", asked[0], asked[0])
    return Ruling(Verdict.START_OVER, "the server has no such range")
