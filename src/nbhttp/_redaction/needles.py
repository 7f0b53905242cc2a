"""Registered values: found in a text however they are spelled."""

import base64
import html
import re
import sys
from collections.abc import Iterable
from itertools import chain

from nbhttp._redaction.masks import IS_MASK, MASK_SOURCE
from nbhttp._redaction.shapes import mask_of

__all__ = ["SHORTEST", "Needles"]

SHORTEST = 4
_SHORTEST_ANYWHERE = 8
_SHORTEST_BASE64 = 6
_RUN = re.compile(r"[A-Za-z0-9]+")
_FEW = 8
_PIECE_CHARS = 5
_LONG_ANCHOR = 12
_STRIDE = _LONG_ANCHOR - _PIECE_CHARS + 1
_JSON_SHORT = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def _spellings(char: str) -> str:
    """An expression for one character as any encoder may have written it."""
    if char.isascii() and char.isalnum():
        return char
    escaped = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    ways = [re.escape(char), "(?i:" + escaped.replace("%", "%(?:25){0,3}") + ")"]
    units = char.encode("utf-16-be", "surrogatepass").hex()
    ways.append(
        "(?i:" + "".join(rf"\\{{1,7}}u{units[i : i + 4]}" for i in range(0, len(units), 4)) + ")"
    )
    ways.append(f"(?i:&#(?:x0{{0,4}}{ord(char):x}|0{{0,4}}{ord(char)});)")
    named = html.escape(char)
    if named != char:
        ways.append(named)
    if char in "\"'/\\":
        ways.append(rf"\\{{1,7}}{re.escape(char)}")
    if char == '"':
        ways.append('""')  # CSV
    if char in _JSON_SHORT:
        ways.append(rf"\\{{1,7}}{_JSON_SHORT[char]}")
    if char == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _base64_cores(value: str) -> set[str]:
    """Base64 of `value` wherever in a longer text it begins, without what its neighbours shape."""
    raw = value.encode("utf-8", "surrogatepass")
    cores = set()
    for shift, unsure in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        sure_end = len(encoded) - (1 if (shift + len(raw)) % 3 else 0)
        cores.add(encoded[unsure:sure_end])
    return {core for core in cores if len(core) >= _SHORTEST_BASE64}


def _base64_regex(core: str) -> str:
    spelled = core.replace("+", r"(?:[+-]|%2[Bb])").replace("/", r"(?:[/_]|%2[Ff]|\\/)")
    return spelled + r"[\w+/-]*+(?:={1,2}|(?:%3[Dd]){1,2})?"


def _anchor(value: str) -> str:
    """A long run of letters and digits: they are the same in every encoding.

    The last one, as tokens differ in their ends: all JWTs of a service begin alike.
    """
    runs: list[str] = _RUN.findall(value)
    return max(reversed(runs), key=lambda run: min(len(run), _LONG_ANCHOR), default="")


class _Needle:
    """One registered value: how to find it, and its mask."""

    __slots__ = ("_cores", "_pattern", "anchors", "mask", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self._cores = sorted(_base64_cores(value))
        self.anchors = tuple(dict.fromkeys(map(_anchor, [value, *self._cores])))
        self.mask = mask_of(value)
        self._pattern: re.Pattern[str] | None = None

    def hide(self, text: str) -> str:
        for anchor in self.anchors:
            if anchor in text:
                return self.pattern.sub(self._masked, text)
        return text

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when it is first needed: most values appear nowhere."""
        if self._pattern is None:
            direct = "".join(map(_spellings, self.value))
            if len(self.value) < _SHORTEST_ANYWHERE:  # "admin" is not hidden in "administrator"
                direct = rf"(?<![A-Za-z0-9_]){direct}(?![A-Za-z0-9_])"
            sources = [MASK_SOURCE, direct, *map(_base64_regex, self._cores)]
            self._pattern = re.compile("|".join(sources), re.ASCII)
        return self._pattern

    def _masked(self, match: re.Match[str]) -> str:
        found = match[0]
        return found if IS_MASK.fullmatch(found) else self.mask


class Needles:
    """The registered values: which of them may be in a text.

    A few are sought one after another. Many are looked up: wherever an anchor's last 12
    characters stand in a text, one of the text's pieces of 5 that begin at each 8th position
    lies within them. So ten thousand values cost what ten do, but for those with a short anchor.

    Changed under the lock; read without it. After each single assignment every value is found
    that was registered before and stays: what is read together is assigned together.
    """

    def __init__(self) -> None:
        self._all: dict[str, _Needle] = {}
        self._few: tuple[tuple[str, ...], tuple[_Needle, ...]] | None = ((), ())
        """Their anchors, and they themselves; None when they are many."""
        self._by_piece: dict[str, tuple[_Needle, ...]] = {}
        self._with_short_anchor: tuple[_Needle, ...] = ()
        self.shortest = sys.maxsize
        """No shorter text holds any of them."""

    def __contains__(self, value: str) -> bool:
        return value in self._all

    def add(self, value: str) -> None:
        needle = _Needle(value)
        if _has_short_anchor(needle):
            self._with_short_anchor = (*self._with_short_anchor, needle)
        else:
            for piece in _pieces_of(needle):
                self._by_piece[piece] = (*self._by_piece.get(piece, ()), needle)
        self._all[value] = needle
        self._note_few()

    def remove(self, value: str) -> None:
        needle = self._all.pop(value)
        self._with_short_anchor = _without(self._with_short_anchor, needle)
        for piece in () if _has_short_anchor(needle) else _pieces_of(needle):
            if rest := _without(self._by_piece[piece], needle):
                self._by_piece[piece] = rest
            else:
                del self._by_piece[piece]
        self._note_few()

    def _note_few(self) -> None:
        if len(self._all) > _FEW:
            self.shortest = 0
            self._few = None
            return
        few = self._all.values()
        anchors = tuple({anchor for needle in few for anchor in needle.anchors})
        self._few = anchors, _longest_first(few)
        self.shortest = min(map(len, anchors), default=sys.maxsize)

    def hide(self, text: str) -> str:
        for needle in self._may_be_in(text):
            text = needle.hide(text)
        return text

    def _may_be_in(self, text: str) -> tuple[_Needle, ...]:
        few = self._few
        if few is not None:
            anchors, needles = few
            for anchor in anchors:
                if anchor in text:
                    return needles
            return ()
        pieces = [text[i : i + _PIECE_CHARS] for i in range(0, len(text), _STRIDE)]
        found = chain.from_iterable(filter(None, map(self._by_piece.get, pieces)))
        return _longest_first({*self._with_short_anchor, *found})


def _has_short_anchor(needle: _Needle) -> bool:
    return min(map(len, needle.anchors)) < _LONG_ANCHOR


def _pieces_of(needle: _Needle) -> set[str]:
    ends = [anchor[-_LONG_ANCHOR:] for anchor in needle.anchors]
    return {end[i : i + _PIECE_CHARS] for end in ends for i in range(_STRIDE)}


def _without(needles: tuple[_Needle, ...], needle: _Needle) -> tuple[_Needle, ...]:
    return tuple(other for other in needles if other is not needle)


def _longest_first(needles: Iterable[_Needle]) -> tuple[_Needle, ...]:
    return tuple(sorted(needles, key=lambda needle: len(needle.value), reverse=True))
