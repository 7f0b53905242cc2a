"""Byte ranges: reading Content-Range, and which parts of a file are there. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["ContentRange", "Done", "Range", "Span", "parse_content_range"]

_CONTENT_RANGE = re.compile(
    r"bytes[ \t]+(?:(?P<first>\d{1,19})-(?P<last>\d{1,19})|(?P<none>\*))/(?P<total>\d{1,19}|\*)",
    re.IGNORECASE | re.ASCII,
)


class ContentRange(NamedTuple):
    """What a Content-Range field says, in bytes (RFC 9110 section 14.4).

    Attributes:
        start: The first byte's offset; None for an unsatisfied range (`bytes */N`).
        stop: One past the last byte's; None likewise.
        total: The size of the whole representation; None when the server does not know it.
    """

    start: int | None
    stop: int | None
    total: int | None

    @property
    def size(self) -> int:
        """Bytes in the range."""
        return (self.stop or 0) - (self.start or 0)


def parse_content_range(value: str | None) -> ContentRange | None:
    """Read a Content-Range field; None when it is absent or means nothing.

    A last byte before the first, or past the total, makes it invalid.
    """
    match = _CONTENT_RANGE.fullmatch((value or "").strip(" \t"))
    if match is None:
        return None
    total = None if match["total"] == "*" else int(match["total"])
    if match["none"]:
        return None if total is None else ContentRange(None, None, total)
    first, last = int(match["first"]), int(match["last"])
    if last < first or (total is not None and last >= total):
        return None
    return ContentRange(first, last + 1, total)


Span = tuple[int, int]
"""Bytes of a file: [start, stop)."""
Range = tuple[int, int | None]
"""Bytes to be asked for: [start, stop), stop None for "to the end"."""


class Done:
    """The parts of a file that are there: sorted, disjoint spans [start, stop).

    Args:
        spans: In any order; they may touch or overlap. Empty ones are dropped.
    """

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        for start, stop in sorted(spans):
            if stop <= start:
                continue
            if self._spans and start <= self._spans[-1][1]:
                begun, ended = self._spans[-1]
                self._spans[-1] = (begun, max(ended, stop))
            else:
                self._spans.append((start, stop))

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans, in order."""
        return tuple(self._spans)

    @property
    def size(self) -> int:
        """How many bytes are there."""
        return sum(stop - start for start, stop in self._spans)

    @property
    def front(self) -> int:
        """How many bytes are there from the file's beginning, without a gap."""
        if self._spans and self._spans[0][0] == 0:
            return self._spans[0][1]
        return 0

    def plus(self, spans: Iterable[Span]) -> "Done":
        """Return these and other spans."""
        return Done([*self._spans, *spans])

    def within(self, size: int) -> "Done":
        """Return what lies before offset `size`."""
        return Done((start, min(stop, size)) for start, stop in self._spans)

    def gaps(self, total: int) -> list[Span]:
        """Return what is missing of the first `total` bytes, in order."""
        missing: list[Span] = []
        position = 0
        for start, stop in self._spans:
            if start >= total:
                break
            if start > position:
                missing.append((position, start))
            position = max(position, stop)
        if position < total:
            missing.append((position, total))
        return missing

    def __repr__(self) -> str:
        return f"Done({self._spans})"
