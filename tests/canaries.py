"""Secrets made up for one run, and the search for them in whatever a library has put out."""

import base64
import contextlib
import html
import json
import secrets
import string
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["Canaries", "Outputs"]

_WINDOW = 8
_LETTERS = string.ascii_letters + string.digits
_AWKWARD = ' "/&<+é'  # is written differently by each encoder


class Canaries:
    """Hands out secrets, each with the place where it was put, and finds them again."""

    def __init__(self) -> None:
        self._place_of: dict[str, str] = {}

    def new(self, place: str, *, awkward: bool = False) -> str:
        """Return a secret that exists nowhere else.

        Args:
            place: Where it goes, for the report.
            awkward: Whether it holds characters that every encoder writes in its own way.
        """
        first, second = (_letters(14), _letters(14))
        value = first + (_AWKWARD + second if awkward else second)
        self._place_of[value] = place
        return value

    def all(self) -> dict[str, str]:
        """Return each secret with its place."""
        return dict(self._place_of)

    def find(self, texts: dict[str, str]) -> list[str]:
        """Return "place: label" for each text in which a part of a secret can be read.

        Found are eight characters in a row of a secret in any of its forms: raw,
        percent-encoded, JSON- and HTML-escaped, and base64 at any position in a longer text.
        """
        pieces = {
            piece: place for value, place in self._place_of.items() for piece in _pieces(value)
        }
        found = []
        for label, text in texts.items():
            for at in range(len(text) - _WINDOW + 1):
                place = pieces.get(text[at : at + _WINDOW])
                if place is not None:
                    around = text[max(0, at - 60) : at + 40]
                    found.append(f"{place} in {label}: …{around!r}…")
                    break
        return found


def _letters(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))


def _pieces(value: str) -> Iterator[str]:
    for form in _forms(value):
        for at in range(len(form) - _WINDOW + 1):
            yield form[at : at + _WINDOW]


def _forms(value: str) -> Iterator[str]:
    yield value
    yield quote(value, safe="")
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield html.escape(value)
    raw = value.encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # What its neighbours in a longer text would change is left out.
            yield encode(b"\0" * shift + raw).decode()[shift + 1 : -4]


class Outputs:
    """Everything that was put out, by a label that says where."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._seen: set[str] = set()

    def add(self, label: str, text: object) -> None:
        """Keep a text; one that is known already is not searched twice."""
        text = str(text)
        if text in self._seen:
            return
        self._seen.add(text)
        while label in self.texts:
            label += "'"
        self.texts[label] = text

    def add_shown(self, label: str, thing: Any) -> None:
        """Keep all the ways in which `thing` shows itself."""
        self.add(f"repr of {label}", repr(thing))
        self.add(f"str of {label}", str(thing))
        self.add(f"format of {label}", f"{thing}")
        if hasattr(thing, "_repr_mimebundle_"):
            for kind, written in (thing._repr_mimebundle_() or {}).items():
                self.add(f"{kind} of {label}", written)
        for name in ("_repr_html_", "_repr_markdown_", "_repr_pretty_", "__rich__"):
            if hasattr(thing, name) and name != "_repr_pretty_":
                self.add(f"{name} of {label}", getattr(thing, name)())

    def add_error(self, label: str, exc: BaseException) -> None:
        """Keep an exception: its own words, its notes, and the traceback with all causes."""
        self.add_shown(label, exc)
        self.add(f"args of {label}", repr(exc.args))
        self.add(f"traceback of {label}", "".join(traceback.format_exception(exc)))
        self.add(f"notes of {label}", repr(getattr(exc, "__notes__", ())))
        for name in ("message", "url", "hint", "attempts", "partial", "result"):
            self.add(f"{name} of {label}", repr(getattr(exc, name, None)))
        for cause in (exc.__cause__, exc.__context__):
            # Also one that a traceback leaves out (`from None`): debuggers and loggers walk there.
            if cause is not None:
                self.add_error(f"cause of {label}", cause)

    @contextlib.contextmanager
    def expected(self, label: str, *kinds: type[BaseException]) -> Iterator[None]:
        """Keep the exception that the block must raise."""
        has_ended = False
        with self.whatever(label, *kinds):
            yield
            has_ended = True
        assert not has_ended, f"{label} raised nothing"

    @contextlib.contextmanager
    def whatever(self, label: str, *kinds: type[BaseException]) -> Iterator[None]:
        """Keep the exception that the block may raise."""
        try:
            yield
        except kinds as exc:
            self.add_error(label, exc)
