"""What is known of a stream while somebody watches it, and how that looks."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nbhttp._json import JsonError, loads
from nbhttp._render.blocks import Block, Grid, Lines, Note, Span, Title
from nbhttp._render.limits import Limits
from nbhttp._render.units import bytes_text, count, seconds_text
from nbhttp._render.views.table import Records
from nbhttp.redaction import redact_text, redact_url
from nbhttp.streaming import ServerSentEvent

__all__ = ["Moment", "Render", "Watched", "row_of", "token_of"]

Kind = Literal["auto", "text", "lines", "table"]
Render = Kind | Callable[[Any], Any]
Outcome = Literal["live", "ended", "stopped", "failed"]

_TONES: dict[Outcome, Literal["ok", "info", "warn", "bad"]] = {
    "live": "info",
    "ended": "ok",
    "stopped": "warn",
    "failed": "bad",
}
_LINES_IN_SIGHT = 15
_MOST_TEXT = 1_000_000
_UNDECIDED = 10  # items within which a first token may still come, behind the preamble
_MAY_BE_JSON = ("{", "[")


@dataclass(frozen=True, slots=True)
class Moment:
    """How a stream stands.

    Attributes:
        method: Its request's method; "" when it is none of nbhttp's streams.
        url: Its URL; redacted.
        outcome: Whether it still runs, and else how it ended.
        error: What ended it early, redacted; "" when nothing did.
        seconds: Since it was first watched.
        number: Items so far.
        noun: What one of them is.
        received: Bytes of the body so far; None when unknown.
        reconnects: How often it was opened again.
        text: The end of the text so far.
        text_size: Characters of text so far.
        rows: The last records, as mappings.
        row_count: Records so far; not every item need be one.
        is_lines: Whether the text is made of lines.
        at: When this was.
    """

    method: str
    url: str
    outcome: Outcome
    error: str
    seconds: float
    number: int
    noun: str
    received: int | None
    reconnects: int
    text: str
    text_size: int
    rows: tuple[Mapping[str, Any], ...]
    row_count: int
    is_lines: bool
    at: dt.datetime

    @property
    def facts(self) -> str:
        """The figures: "1,234 events · 45.6 KB · 12.3 s · 100 a second"."""
        parts = [count(self.number, self.noun)]
        if self.received is not None:
            parts.append(bytes_text(self.received))
        parts.append(seconds_text(self.seconds))
        if self.number > 1 and self.seconds > 1:
            parts.append(f"{self.number / self.seconds:,.3g} a second")
        if self.reconnects:
            parts.append(count(self.reconnects, "reconnect"))
        if self.outcome == "live":
            parts.append(f"not complete, as of {self.at:%Y-%m-%d %H:%M:%S}")
        return " · ".join(parts)

    def blocks(self, limits: Limits) -> Sequence[Block]:
        """Return what is shown of it."""
        blocks: list[Block] = [self._head(), Note((Span(self.facts),), is_quiet=True)]
        if self.error:
            blocks.append(Note((Span(self.error, "bad"),)))
        if self.text:
            blocks += self._tail(limits)
        if self.rows:
            blocks.append(self._grid(limits))
        return blocks

    def _head(self) -> Block:
        if self.url:
            return Title(self.outcome, _TONES[self.outcome], self.method, self.url)
        return Note((Span(self.outcome, _TONES[self.outcome]),))

    def _tail(self, limits: Limits) -> list[Block]:
        text = redact_text(self.text[-4 * limits.characters :])
        text = text[-limits.characters :]
        if self.is_lines and len(text) < self.text_size:  # the first one is half of a line
            text = text.partition("\n")[2] or text
        # Lines stand in a box of this height: its end, the latest of them, would be out of sight.
        most = min(limits.lines, _LINES_IN_SIGHT) if self.is_lines else limits.lines
        lines = text.removesuffix("\n").split("\n")[-most:]
        left_out = self.text_size - sum(map(len, lines)) - len(lines)
        tail = Lines(tuple((Span(line),) for line in lines), is_prose=not self.is_lines)
        if left_out <= 2:
            return [tail]
        before = f"… {count(left_out, 'character')} before that:"
        return [Note((Span(before),), is_quiet=True), tail]

    def _grid(self, limits: Limits) -> Grid:
        rows = [dict(row) for row in self.rows[-limits.rows :]]
        grid = Records.lines(rows, len(rows)).grid(limits)
        which = "all" if len(rows) == self.row_count else f"the last {len(rows):,} of"
        noun = self.noun if self.row_count == self.number else "row"
        return replace(grid, caption=f"{which} {count(self.row_count, noun)}")


class Watched:
    """What `live` saw: how many items, the last of them, the text.

    Attributes:
        number: Items so far.
        records: The last of them, as they came.
        outcome: "ended"; "stopped" by an interrupt; "failed"; "live" while it runs.
    """

    def __init__(self, subject: object, render: Render = "auto", last: int = 10) -> None:
        self.number = 0
        self.records: deque[Any] = deque(maxlen=last)
        self.outcome: Outcome = "live"
        self._error = ""
        self._subject = subject
        self._kind: str = render if isinstance(render, str) else "given"
        self._is_auto = self._kind == "auto"
        self._render = render if callable(render) else None
        self._noun = "item"
        self._parts: list[str] = []
        self._kept_size = 0
        self._text_size = 0
        self._rows: deque[Any] = deque(maxlen=last)
        self._row_count = 0
        self._started = time.monotonic()
        self._seconds: float | None = None

    @property
    def text(self) -> str:
        """The text so far: the last million characters of it."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def seconds(self) -> float:
        """Seconds from the start to the end, or until now."""
        return time.monotonic() - self._started if self._seconds is None else self._seconds

    def take(self, item: Any) -> None:
        """Note an item."""
        self.number += 1
        if self.number == 1:
            self._noun = _noun(item, self._subject)
        self.records.append(item)
        if self._kind == "table":
            self._add_row(item)
            if not self._is_auto or self.number > _UNDECIDED:
                return
        if self._render is not None:
            self._take_rendered(self._render(item))
        elif self._is_auto and (self.number <= _UNDECIDED or self._kind == "auto"):
            self._decide(item)
        else:
            self._add_text(item)

    def end(self, outcome: Outcome, error: str = "") -> None:
        """Note how it ended."""
        self.outcome = outcome
        self._error = redact_text(error)
        self._seconds = self.seconds

    def moment(self) -> Moment:
        """Return how it stands."""
        subject = self._subject
        received = getattr(subject, "received", None)
        url = getattr(subject, "url", None)
        return Moment(
            method=str(getattr(subject, "method", "")) if url else "",
            url=redact_url(url) if isinstance(url, str) else "",
            outcome=self.outcome,
            error=self._error,
            seconds=self.seconds,
            number=self.number,
            noun=self._noun,
            received=received if isinstance(received, int) else None,
            reconnects=int(getattr(subject, "reconnects", 0)),
            text=self.text,
            text_size=self._text_size,
            rows=tuple(map(row_of, self._rows)),
            row_count=self._row_count,
            is_lines=self._kind == "lines",
            at=dt.datetime.now().astimezone(),
        )

    def __repr__(self) -> str:
        return f"<Watched: {self.outcome}, {count(self.number, self._noun)}>"

    def _ipython_display_(self) -> None:
        """Show nothing: the output stands there already."""

    def _take_rendered(self, value: Any) -> None:
        if isinstance(value, str):
            self._append(value)
        elif value is not None:
            self._add_row(value)

    def _decide(self, item: Any) -> None:
        """Find out what these items are, by the first of them."""
        if isinstance(item, bytes | bytearray | memoryview):
            return
        if isinstance(item, str):
            self._kind = "lines" if hasattr(self._subject, "replaced") else "text"
            self._add_text(item)
            return
        token = token_of(item)
        if token is not None:
            self._kind = "text"
            self._rows.clear()
            self._row_count = 0
            self._append(token)
        elif self._kind == "auto":
            self._kind = "table"
            self._add_row(item)

    def _add_row(self, item: Any) -> None:
        self._rows.append(item)
        self._row_count += 1

    def _add_text(self, item: Any) -> None:
        if isinstance(item, bytes | bytearray | memoryview):
            return
        text = item if isinstance(item, str) else token_of(item)
        if text is not None:
            self._append(text + "\n" if self._kind == "lines" else text)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._text_size += len(text)
        self._kept_size += len(text)
        if self._kept_size > 2 * _MOST_TEXT:
            self._parts = [self.text[-_MOST_TEXT:]]
            self._kept_size = len(self._parts[0])


def _noun(item: Any, subject: object) -> str:
    if isinstance(item, ServerSentEvent):
        return "event"
    if isinstance(item, Mapping):
        return "record"
    if isinstance(item, str) and hasattr(subject, "replaced"):
        return "line"
    return "piece" if isinstance(item, str | bytes | bytearray | memoryview) else "item"


def token_of(item: Any) -> str | None:
    """Return the text that an item of a language model's answer adds; None when it is no such item.

    Examples:
        >>> token_of({"choices": [{"delta": {"content": "Hi"}}]})
        'Hi'
    """
    value = _data(item.data) if isinstance(item, ServerSentEvent) else item
    if not isinstance(value, Mapping):
        return None
    choices = value.get("choices")
    if isinstance(choices, list):
        first = choices[0] if choices and isinstance(choices[0], Mapping) else {}
        return _first_text(first.get("delta"), first.get("text"), "finish_reason" in first)
    if value.get("type") == "response.output_text.delta":
        return _text(value.get("delta"))
    if value.get("type") == "content_block_delta":
        return _first_text(value.get("delta"), None, True)
    if "done" in value and ("response" in value or "message" in value):
        return _first_text(value.get("message"), value.get("response"), True)
    return None


def _first_text(part: Any, text: Any, is_known: bool) -> str | None:
    if isinstance(part, Mapping):
        is_known = True
        text = part.get("content", part.get("text", text))
    found = _text(text)
    return "" if found is None and is_known else found


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _data(data: Any) -> Any:
    """Return an event's data, decoded when it is text that may be JSON."""
    if not isinstance(data, str) or not data.startswith(_MAY_BE_JSON):
        return data
    try:
        return loads(data.encode("utf-8", "surrogatepass"))
    except JsonError:
        return data


def row_of(item: Any) -> Mapping[str, Any]:
    """Return an item as a table's row."""
    if isinstance(item, ServerSentEvent):
        data = _data(item.data)
        row: dict[str, Any] = {"id": item.id} if item.id else {}
        if item.event != "message":
            row["event"] = item.event
        return {**row, **data} if isinstance(data, Mapping) else {**row, "data": data}
    if isinstance(item, Mapping):
        return {str(key): value for key, value in item.items()}
    return {"value": item}
