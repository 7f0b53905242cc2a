"""tqdm's bars, drawn when we say so, and without touching anybody else's tqdm.

The classes are our own: they start no monitor thread (`monitor_interval` is 0 here alone), and
`tqdm.tqdm` keeps its settings. The text bars share tqdm's list of bars, so that each finds a free
line beside the user's own.
"""

import threading
from functools import cache
from typing import Any, TextIO

from tqdm.std import tqdm

from nbhttp.progress.board import Row
from nbhttp.progress.summary import shortened

__all__ = ["TextBar", "widget_class"]


_COLUMNS = 80  # of a terminal that does not say
_AROUND = len(" 100% || ")
_LEAST_BAR = 5


class _RowBar(tqdm):  # type: ignore[misc] # tqdm is not typed
    """A bar that shows a `Row`."""

    monitor_interval = 0
    with_total = "{desc} {share}% |{bar}| {facts}"
    without_total = "{desc} {facts}"

    def __init__(self, row: Row, **options: Any) -> None:
        self.row = row
        self.total: int | None = row.total
        _give_lock()
        super().__init__(
            total=row.total,
            desc=row.label,
            initial=row.done,
            bar_format=self._format(row),
            **options,
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        """What tqdm writes from: its own entries, and the words of the row."""
        entries = dict(super().format_dict)
        share = f"{self.row.percent or 0:3}"
        return entries | {"share": share, "facts": self.row.facts, "prefix": self.row.label}

    def show(self, row: Row) -> None:
        """Draw the row."""
        if row.total != self.total:
            self.total = row.total
            self.bar_format = self._format(row)
        self.row = row
        self.n = row.done
        self.refresh()

    def _format(self, row: Row) -> str:
        return self.with_total if row.total else self.without_total


def _give_lock() -> None:
    """Draw under the lock of the user's bars, or one of our own.

    tqdm's constructor would make one for processes too, which costs a helper process.
    """
    if not hasattr(_RowBar, "_lock"):
        _RowBar.set_lock(threading.RLock())


class TextBar(_RowBar):
    """A bar in a terminal; closed, it leaves nothing behind."""

    def __init__(self, row: Row, stream: TextIO) -> None:
        super().__init__(row, file=stream, leave=False, dynamic_ncols=True)

    @property
    def format_dict(self) -> dict[str, Any]:
        """As they are, cut to fit: first the name, then the bar, then facts from the end."""
        entries = super().format_dict
        columns = entries["ncols"] or _COLUMNS
        label, facts = shortened(entries["prefix"], max(12, columns // 3)), entries["facts"]
        room = columns - len(label) - (_AROUND if self.row.total else 1)
        if room - len(facts) < _LEAST_BAR and self.row.total:
            entries["bar_format"] = "{desc} {share}% {facts}"
            room += _AROUND - len(" 100% ")
        while len(facts) > room and ", " in facts:
            facts = facts.rpartition(", ")[0]
        return entries | {"prefix": label, "facts": facts}


@cache
def widget_class() -> Any:
    """Return the class of bars made of ipywidgets: of a row, with a `container` to display."""
    from tqdm.notebook import tqdm_notebook

    class WidgetBar(_RowBar, tqdm_notebook):  # type: ignore[misc] # tqdm is not typed
        """A bar of ipywidgets."""

        with_total = "{desc}|{bar}|{share}%,\N{NO-BREAK SPACE}{facts}"
        without_total = "{desc}|{bar}|{facts}"

        def __init__(self, row: Row) -> None:
            super().__init__(row, display=False)
            label, bar, facts = (part.layout for part in self.container.children)
            # Bars stand in a column, whatever is written beside them; where there is no room for
            # all in one line, the words go below the bar.
            label.flex, bar.flex, facts.flex = "0 1 14em", "1 1 8em", "1 1 22em"
            label.width = bar.width = facts.width = "auto"
            bar.min_width = "6em"
            bar.margin, facts.margin = "2px 12px", "2px 0"
            self.container.layout.align_items = "center"
            self.container.layout.flex_flow = "row wrap"
            self._scale(row.total)

        @property
        def format_dict(self) -> dict[str, Any]:
            """As they are, with what keeps a line together in HTML.

            tqdm itself would write spaces as wide as a figure.
            """
            entries = super().format_dict
            label = shortened(entries["prefix"], 24).replace("-", "\N{NON-BREAKING HYPHEN}")
            label = label.replace("…", "\N{WORD JOINER}…\N{WORD JOINER}")
            kept = {"prefix": label, "facts": entries["facts"], "share": entries["share"].strip()}
            return entries | {
                key: text.replace(" ", "\N{NO-BREAK SPACE}") for key, text in kept.items()
            }

        def show(self, row: Row) -> None:
            if row.total != self.total:
                self._scale(row.total)
            super().show(row)

        def _scale(self, total: int | None) -> None:
            bar = self.container.children[1]
            bar.max = total or 1
            bar.bar_style = ""
            bar.layout.display = None if total else "none"

        def drop(self) -> None:
            """Take it from tqdm's list, without a word to the front end."""
            tqdm.close(self)

    return WidgetBar
