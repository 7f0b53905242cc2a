"""Where progress is drawn: a notebook's output, a terminal, or lines of text."""

import datetime as dt
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, TextIO

from nbhttp._marks import visible
from nbhttp._render.tags import Child, compact, icon, output, tag
from nbhttp.progress.auto import View
from nbhttp.progress.board import Outcome, Row
from nbhttp.progress.place import Place

__all__ = ["LinePainter", "NotebookPainter", "Painter", "TerminalPainter", "painter"]

FIRST_TEXT_S, TEXT_S = 1.0, 5.0
"""Seconds after which the text that goes with a bar of widgets is brought up to date, at first
and then: a notebook that is saved early is to say more than 0 %."""


class Painter(Protocol):
    """Shows rows while they change, and at last how it ended."""

    @property
    def is_live(self) -> bool:
        """Whether somebody watches, so that each change is drawn."""
        ...

    def prepare(self) -> None:
        """Load what the first drawing needs; again, it does nothing."""

    def show(self, rows: Sequence[Row]) -> None:
        """Draw what goes on."""

    def end(self, outcome: Outcome) -> None:
        """Replace the drawing by what stays."""


def painter(view: View) -> Painter:
    """Return the painter for a view."""
    if view in {"widget", "page"}:
        return NotebookPainter(is_live=view == "widget")
    return TerminalPainter(sys.stderr) if view == "terminal" else LinePainter(sys.stderr)


class NotebookPainter:
    """One output of the cell that asked: displayed once, then updated in place.

    A notebook may be saved while it runs, and its kernel may die: from the first moment the output
    has text and HTML of its own, which also stand where a front end has no widgets.

    Args:
        is_live: Draw a bar of widgets; else change the text now and then.
        place: The output; None makes one.
        clock: Seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        is_live: bool,
        place: Place | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_live = is_live
        self._bars: _WidgetBars | None = None
        self._place = place or Place()
        self._clock = clock
        self._texts = 0
        self._text_at = 0.0

    def prepare(self) -> None:
        """Load ipywidgets for a bar."""
        if self.is_live and self._bars is None:
            self._bars = _WidgetBars()

    def show(self, rows: Sequence[Row]) -> None:
        """Display the rows, or bring them up to date."""
        self.prepare()
        if self._bars is None:
            self._place.show(_running(rows))
            return
        self._bars.show(rows)
        if self._is_text_due():
            self._place.show(_running(rows), self._bars.box)
            self._texts += 1
            self._text_at = self._clock()

    def _is_text_due(self) -> bool:
        pause = FIRST_TEXT_S if self._texts == 1 else TEXT_S
        return self._texts == 0 or self._clock() - self._text_at >= pause

    def end(self, outcome: Outcome) -> None:
        """Put the outcome in the place of the bar, and let the widgets go."""
        self._place.show(_ended(outcome))
        if self._bars is not None:
            self._bars.close()


class _WidgetBars:
    """tqdm's bars, one below the other; used again for the next file, hidden when there is none.

    Attributes:
        box: The widget that holds them.
    """

    def __init__(self) -> None:
        from ipywidgets import VBox

        from nbhttp.progress.tqdm import widget_class

        self._make = widget_class()
        self.box = VBox()
        self._bars: list[Any] = []

    def show(self, rows: Sequence[Row]) -> None:
        for bar, row in zip(self._bars, rows, strict=False):
            bar.show(row)
        new = [self._make(row) for row in rows[len(self._bars) :]]
        if new:
            self._bars += new
            self.box.children = [bar.container for bar in self._bars]
        for at, bar in enumerate(self._bars):
            bar.container.layout.display = "flex" if at < len(rows) else "none"

    def close(self) -> None:
        """Close every model, those of layouts and styles too: else front ends save them."""
        for bar in self._bars:
            bar.drop()
        _close_widget(self.box)


def _close_widget(widget: Any) -> None:
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if part is not None:
            part.close()
    for child in getattr(widget, "children", ()):
        _close_widget(child)
    widget.close()


class TerminalPainter:
    """Bars at the bottom of a terminal; one line stays."""

    is_live = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: list[Any] = []

    def prepare(self) -> None:
        """Load tqdm."""
        from nbhttp.progress import tqdm as _  # noqa: F401 - loads it

    def show(self, rows: Sequence[Row]) -> None:
        """Draw a bar for each row."""
        from nbhttp.progress.tqdm import TextBar

        shown = [_printable(row) for row in rows]
        while len(self._bars) > max(1, len(shown)):
            self._bars.pop().close()
        for bar, row in zip(self._bars, shown, strict=False):
            bar.show(row)
        self._bars += [TextBar(row, self._stream) for row in shown[len(self._bars) :]]

    def end(self, outcome: Outcome) -> None:
        """Clear the bars and write the outcome in their place."""
        while self._bars:
            self._bars.pop().close()
        _write_line(self._stream, _sentence(outcome))


class LinePainter:
    """A line now and then, for a log file."""

    is_live = False

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._has_begun = False

    def prepare(self) -> None:
        """Nothing is needed."""

    def show(self, rows: Sequence[Row]) -> None:
        """Write one line: of the batch, or of the only transfer; none at the very start."""
        if self._has_begun and rows:
            _write_line(self._stream, _line(rows[0]))
        self._has_begun = True

    def end(self, outcome: Outcome) -> None:
        """Write the last line."""
        _write_line(self._stream, _sentence(outcome))


# Words


def _line(row: Row) -> str:
    share = "" if row.percent is None else f"{row.percent} %, "
    return f"{row.label}: {share}{row.facts}"


def _sentence(outcome: Outcome) -> str:
    return f"{outcome.label}: {outcome.text}"


def _printable(row: Row) -> Row:
    """Return the row with nothing in its words that a terminal would obey."""
    return Row(visible(row.label), row.done, row.total, visible(row.facts), row.is_resumable)


def _write_line(stream: TextIO | None, text: str) -> None:
    if stream is None:  # pythonw has no streams
        return
    line = visible(text) + "\n"
    try:
        stream.write(line)
    except UnicodeEncodeError as exc:
        stream.write(line.encode(exc.encoding, "backslashreplace").decode(exc.encoding))
    stream.flush()


# What a notebook keeps


def _running(rows: Sequence[Row]) -> dict[str, str]:
    """Return text and HTML that are true while it runs, and when it has died since."""
    note = _as_of(rows)
    plain = "\n".join([*(_line(row) for row in rows), note])
    html: list[Child] = [[_bar_html(row) for row in rows], tag("div", note, classes="nbhttp-note")]
    return {"text/plain": visible(plain, keep="\n"), "text/html": _page(_line(rows[0]), html)}


def _as_of(rows: Sequence[Row]) -> str:
    now = dt.datetime.now().astimezone()
    then = f"{now:%Y-%m-%d %H:%M:%S}"
    advice = " If it stands still, run again to resume." if _is_resumable(rows) else ""
    return f"Not complete, as of {then}.{advice}"


def _is_resumable(rows: Sequence[Row]) -> bool:
    return all(row.is_resumable for row in rows)


def _bar_html(row: Row) -> Child:
    share = row.percent
    facts = tag("div", tag("strong", row.label), f" {_line(row)[len(row.label) + 2 :]}")
    if share is None:
        return facts
    filled = tag("div", style=f"width:{share}%")
    return [facts, tag("div", filled, classes="nbhttp-meter", aria_hidden="true")]


def _ended(outcome: Outcome) -> dict[str, str]:
    """Return the text and HTML that stay."""
    line: list[Child] = [
        tag("span", icon(outcome.tone), classes=f"nbhttp-{outcome.tone}"),
        tag("strong", outcome.label),
        f" {outcome.text}",
    ]
    words = _sentence(outcome)
    return {"text/plain": visible(words), "text/html": _page(words, line)}


def _page(words: str, children: Child) -> str:
    return output(words, tag("div", children, classes="nbhttp-progress"), _css())


@cache
def _css() -> str:
    return compact((files("nbhttp.progress") / "progress.css").read_text("utf-8"))
