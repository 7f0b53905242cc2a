"""The base of what shows itself in a notebook as more than a line."""

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from nbhttp._render.bundle import Shown

__all__ = ["Displayed"]


class Displayed:
    """Shows itself as HTML and as text, both from one view; `repr` stays the class's own."""

    __slots__ = ()

    def _view(self) -> "Shown":
        """Return what is shown."""
        raise NotImplementedError

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        from nbhttp._render.bundle import mimebundle

        return mimebundle(self._view, include, exclude)

    def _repr_html_(self) -> str:
        from nbhttp._render.bundle import html

        return html(self._view())

    def __rich__(self) -> "Text":
        from nbhttp._render.bundle import rich_text

        return rich_text(self._view())
