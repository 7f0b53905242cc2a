"""A part of a big answer, chosen by its path: what `r.tree()` and `r.table()` return."""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbhttp._render.blocks import Block, Note, Span
from nbhttp._render.bundle import html, mimebundle, rich_text, text
from nbhttp._render.limits import Limits
from nbhttp._render.paths import Path, Step, follow, parse_path, short_path
from nbhttp._render.views.body import JsonLines, SheetBody, read
from nbhttp._render.views.table import Records, Sheet
from nbhttp._render.views.tree import kind_of, tree
from nbhttp.errors import ConfigError

if TYPE_CHECKING:
    from rich.text import Text

    from nbhttp.result import RequestResult

__all__ = ["Part", "TablePart", "TreePart", "table_of", "tree_of"]


class Part:
    """Something that shows itself; the subclasses say what."""

    __slots__ = ()

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return as much as `limits` allow."""
        raise NotImplementedError

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        return mimebundle(lambda: self, include, exclude)

    def _repr_html_(self) -> str:
        return html(self)

    def __rich__(self) -> "Text":
        return rich_text(self)

    def __str__(self) -> str:
        return text(self)


class TreePart(Part):
    """A part of a JSON document as a tree; `print` and notebooks show it."""

    __slots__ = ("_depth", "_document", "_max_items", "_steps")

    def __init__(
        self, document: Any, steps: tuple[Step, ...], depth: int | None, max_items: int | None
    ) -> None:
        self._document = document
        self._steps = steps
        self._depth = depth
        self._max_items = max_items

    def __repr__(self) -> str:
        return f"<tree of {_place(self._steps)}: {kind_of(self._document)}>"

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return a line that says where it stands, and the tree."""
        limits = replace(limits, nodes=limits.nodes * 2)
        if self._depth is not None:
            limits = replace(limits, depth=self._depth)
        if self._max_items is not None:
            items = min(self._max_items, limits.nodes)
            limits = replace(limits, items=items, keys=items)
        title = Note((Span(_place(self._steps), "strong"), Span(f": {kind_of(self._document)}")))
        return (title, tree(self._document, limits, steps=self._steps))


class TablePart(Part):
    """Records as a table; `print` and notebooks show it."""

    __slots__ = ("_place", "_records", "_rows")

    def __init__(self, records: Records | Sheet, place: str, rows: int | None) -> None:
        self._records = records
        self._place = place
        self._rows = rows

    def __repr__(self) -> str:
        return f"<table of {self._place}: {self._records.words}>"

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the table."""
        if self._rows is not None:
            # What does not fit shrinks with the other bounds, from 30 rows on.
            limits = replace(limits, rows=min(self._rows, limits.lines * 12))
        return (self._records.grid(limits),)


def _place(steps: tuple[Step, ...]) -> str:
    return short_path(steps) or "the document"


def _checked(name: str, value: int | None, most: int) -> int | None:
    if value is None or (type(value) is int and 1 <= value <= most):
        return value
    raise ConfigError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")


def tree_of(
    result: "RequestResult", path: Path, depth: int | None, max_items: int | None
) -> TreePart:
    """Return the part of an answer's JSON at `path`.

    Raises:
        ConfigError: There is nothing at `path`, or a bound is out of range.
        DecodeError: The answer is not JSON.
    """
    _checked("depth", depth, 100)
    _checked("max_items", max_items, 10_000)
    part = follow(result.json(), path)
    return TreePart(part, parse_path(path), depth, max_items)


def table_of(result: "RequestResult", path: Path, rows: int | None) -> TablePart:
    """Return the records of an answer at `path`.

    Raises:
        ConfigError: There are no records at `path`, or `rows` is out of range.
        DecodeError: The answer holds no records of any kind.
    """
    _checked("rows", rows, 10_000)
    if not path:
        body = read(result) if result.content else None
        if isinstance(body, SheetBody):
            return TablePart(body.sheet, body.name, rows)
        if isinstance(body, JsonLines) and body.records is not None:
            return TablePart(body.records, "the first lines", rows)
    document = result.json()
    steps = parse_path(path)
    value = follow(document, steps)
    if isinstance(value, dict) and not path:
        steps, value = _only_records(value)
    if not isinstance(value, list) or not all(type(row) is dict for row in value):
        raise ConfigError(
            f"{_place(steps)} is no list of objects: it is {kind_of(value)}"
            f"{_elsewhere(document) or '; r.tree() shows it'}"
        )
    return TablePart(Records.of(value, steps), _place(steps), rows)


def _only_records(document: dict[str, Any]) -> tuple[tuple[Step, ...], Any]:
    found = _record_keys(document)
    return ((found[0],), document[found[0]]) if len(found) == 1 else ((), document)


def _record_keys(document: Any) -> list[str]:
    if not isinstance(document, dict):
        return []
    return [
        key
        for key, value in list(document.items())[:1000]
        if isinstance(value, list) and value and all(type(row) is dict for row in value[:100])
    ]


def _elsewhere(document: Any) -> str:
    found = [short_path((key,)) for key in _record_keys(document)[:5]]
    return f"; there are records at {', '.join(found)}" if found else ""
