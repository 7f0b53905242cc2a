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

__all__ = ["TextBar", "widget_bar"]

_WITH_TOTAL = "{desc} {share}% |{bar}| {facts}"
_WITHOUT_TOTAL = "{desc} {facts}"


class _RowBar(tqdm):  # type: ignore[misc] # tqdm is not typed
    """A bar that shows a `Row`."""

    monitor_interval = 0

    def __init__(self, row: Row, **options: Any) -> None:
        self.row = row
        self.total: int | None = row.total
        _give_lock()
        super().__init__(
            total=row.total, desc=row.label, initial=row.done, bar_format=_format(row), **options
        )

    @property
    def format_dict(self) -> dict[str, Any]:
        """What tqdm writes from: its own entries, and the words of the row."""
        entries: dict[str, Any] = super().format_dict
        share = f"{self.row.percent or 0:3}"
        return entries | {"share": share, "facts": self.row.facts, "prefix": self.row.label}

    def show(self, row: Row) -> None:
        """Draw the row."""
        if row.total != self.total:
            self.total = row.total
            self.bar_format = _format(row)
        self.row = row
        self.n = row.done
        self.refresh()


def _format(row: Row) -> str:
    return _WITH_TOTAL if row.total else _WITHOUT_TOTAL


def _give_lock() -> None:
    """Draw under the lock of the user's bars, or one of our own.

    tqdm's constructor would make one for processes too, which costs a helper process.
    """
    if not hasattr(_RowBar, "_lock"):
        _RowBar._lock = threading.RLock()  # noqa: SLF001 - tqdm's name


class TextBar(_RowBar):
    """A bar in a terminal; closed, it leaves nothing behind."""

    def __init__(self, row: Row, stream: TextIO) -> None:
        super().__init__(row, file=stream, leave=False, dynamic_ncols=True)


@cache
def _widget_class() -> Any:
    from tqdm.notebook import tqdm_notebook

    class WidgetBar(_RowBar, tqdm_notebook):  # type: ignore[misc] # tqdm is not typed
        """A bar of ipywidgets."""

        def __init__(self, row: Row) -> None:
            super().__init__(row, display=False)
            label, bar, facts = self.container.children
            label.layout.margin = facts.layout.margin = "0 8px 0 0"
            bar.layout.min_width = "80px"

        def show(self, row: Row) -> None:
            if row.total != self.total:
                self._rescale(row.total)
            super().show(row)

        def _rescale(self, total: int | None) -> None:
            bar = self.container.children[1]
            bar.max = total or 1
            bar.bar_style = "" if total else "info"
            bar.layout.width = None if total else "20px"

        def drop(self) -> None:
            """Take it from tqdm's list, without a word to the front end."""
            tqdm.close(self)

    return WidgetBar


def widget_bar(row: Row) -> Any:
    """Return a bar whose `container` is an ipywidget, not yet displayed."""
    return _widget_class()(row)
