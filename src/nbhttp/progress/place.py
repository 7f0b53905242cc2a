"""One output of a notebook's cell: displayed once, then replaced in its place."""

import secrets
import sys
from typing import Any

__all__ = ["WIDGET_VIEW", "Place"]

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_IN_WIDGET = "(shown by a widget)"


class Place:
    """Where one call shows what it has to say.

    An `ipywidgets.Output` keeps what is displayed into it and drops what would replace that. In
    there the place is a widget, and what is shown becomes its content.
    """

    def __init__(self) -> None:
        self._display_id = secrets.token_hex(8)
        self._is_there = False
        self._frame: Any = None

    def show(self, data: dict[str, str], widget: Any = None) -> None:
        """Put something into the place of what stood there.

        Args:
            data: Its text and HTML by their types.
            widget: What front ends with widgets show instead; None for none.
        """
        if not self._is_there and _is_captured():
            from ipywidgets import VBox

            self._frame = VBox()
        if self._frame is None:
            self._display(data if widget is None else data | _view(widget))
            return
        self._fill(data["text/html"], widget)
        if not self._is_there:
            self._display({"text/plain": _IN_WIDGET} | _view(self._frame))

    def _fill(self, html: str, widget: Any) -> None:
        from ipywidgets import HTML

        there = self._frame.children
        if widget is None and there and isinstance(there[0], HTML):
            there[0].value = html
        else:
            self._frame.children = [HTML(html) if widget is None else widget]

    def _display(self, data: dict[str, Any]) -> None:
        from IPython.display import publish_display_data

        publish_display_data(  # type: ignore[no-untyped-call] # IPython's
            data, transient={"display_id": self._display_id}, update=self._is_there
        )
        self._is_there = True


def _view(widget: Any) -> dict[str, Any]:
    """Return what stands for a widget in an output."""
    where = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {WIDGET_VIEW: where}


def _is_captured() -> bool:
    """Whether what is displayed now lands in an `ipywidgets.Output`.

    An open one holds the number of the message for which it takes what is displayed.
    """
    module: Any = sys.modules.get("ipywidgets.widgets.widget")
    ipython: Any = sys.modules.get("IPython")
    if module is None or ipython is None:
        return False
    publisher = getattr(ipython.get_ipython(), "display_pub", None)
    number = (getattr(publisher, "parent_header", None) or {}).get("msg_id")
    # There is no public list of the widgets that are there.
    widgets = list(getattr(module, "_instances", {}).values())
    return bool(number) and any(
        getattr(w, "_model_name", "") == "OutputModel" and w.msg_id == number for w in widgets
    )
