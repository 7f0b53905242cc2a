"""Blocks as HTML: elements and classes, nothing else; the stylesheet does the rest.

The order, the words and the tables carry the meaning, since a host may strip every class.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

from nbhttp._render.blocks import (
    Bar,
    Block,
    Column,
    Fold,
    Grid,
    Hint,
    Line,
    Lines,
    Node,
    Note,
    Pairs,
    Picture,
    Span,
    Title,
    Tree,
)
from nbhttp._render.options import Theme
from nbhttp._render.tags import Child, Tag, icon, tag
from nbhttp._render.units import seconds_text

__all__ = ["card"]


_LONG = "nbhttp-long"
_WRAPPED_FROM = 36  # characters; a shorter cell stays on its line


def card(blocks: Sequence[Block], theme: Theme) -> Tag:
    """Return the element that holds one output."""
    return tag("div", [_block(block) for block in blocks], classes=f"nbhttp-card nbhttp-{theme}")


def _block(block: Block) -> Child:
    return _WRITERS[type(block)](block)


def _span(span: Span) -> Child:
    if span.role in {"plain", "code"}:
        return span.text
    if span.role == "strong":
        return tag("strong", span.text)
    return tag("span", span.text, classes=f"nbhttp-{span.role}")


def _line(line: Line) -> list[Child]:
    return [_span(span) for span in line]


def _title(block: Title) -> Child:
    verdict = tag("strong", icon(block.tone), block.verdict, classes=f"nbhttp-{block.tone}")
    what = tag("code", tag("b", block.method), " ", block.url)
    return tag("div", verdict, " ", what, classes="nbhttp-title")


def _note(block: Note) -> Child:
    is_heading = block.spans[0].role == "strong" and len(block.spans) > 1
    classes = "nbhttp-dim" if block.is_quiet else "nbhttp-body" if is_heading else ""
    return tag("p", _line(block.spans), classes=classes)


def _hint(block: Hint) -> Child:
    return tag("p", tag("strong", "Hint: "), block.text, classes="nbhttp-hint")


def _bar(block: Bar) -> Child:
    total = sum(phase.seconds for phase in block.phases)
    parts = [
        tag(
            "span",
            classes=f"nbhttp-{phase.name.lower()}",
            style=f"width:{_percent(phase.seconds, total)}%",
        )
        for phase in block.phases
    ]
    figures = [
        [
            " · " if at else "Timing: ",
            tag("span", phase.name, classes=f"nbhttp-{phase.name.lower()}"),
            f" {seconds_text(phase.seconds)}",
        ]
        for at, phase in enumerate(block.phases)
    ]
    return [
        tag("div", parts, classes="nbhttp-bar", aria_hidden="true"),
        tag("p", figures, classes="nbhttp-dim"),
    ]


def _percent(part: float, total: float) -> str:
    return f"{min(100.0, 100 * part / total):.1f}"


def _table(
    caption: str, head: Child, rows: Sequence[Child], more: str, classes: str = ""
) -> list[Child]:
    table = tag(
        "table", tag("caption", caption), tag("thead", head), tag("tbody", rows), classes=classes
    )
    return [tag("div", table, classes="nbhttp-scroll"), _more(more)]


def _more(text: str) -> Child:
    return tag("p", tag("em", text)) if text else None


def _pairs(block: Pairs) -> Child:
    head = tag("tr", [tag("th", name, scope="col") for name in block.names])
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", tag("code", value), classes=_LONG))
        for name, value in block.rows
    ]
    return _table(block.caption, head, rows, block.more)


def _grid(block: Grid) -> Child:
    number = [tag("th", "#", scope="col", classes="nbhttp-dim")] if block.has_numbers else []
    head = tag("tr", number, [_column(column) for column in block.columns])
    rows = [
        tag(
            "tr",
            [tag("td", str(at), classes="nbhttp-dim")] if block.has_numbers else [],
            [_cell(span, column) for span, column in zip(row, block.columns, strict=False)],
        )
        for at, row in enumerate(block.rows)
    ]
    caption = block.caption + (f" in {block.path}" if block.path else "")
    return _table(caption, head, rows, block.more, "nbhttp-grid")


def _column(column: Column) -> Tag:
    kind = [tag("br"), tag("em", column.kind)] if column.kind else []
    return tag("th", column.name, kind, scope="col", classes=_side(column))


def _cell(span: Span, column: Column) -> Tag:
    content = _span(span) if span.role in _CELL_ROLES else span.text
    is_long = len(span.text) > _WRAPPED_FROM
    return tag("td", content, classes=_LONG if is_long else _side(column))


_CELL_ROLES = frozenset({"dim", "constant", "ok", "info", "warn", "bad"})


def _side(column: Column) -> str:
    return "nbhttp-right" if column.is_number else ""


def _tree(block: Tree) -> Child:
    return tag("div", _node(block.root, is_root=True), classes="nbhttp-tree")


def _node(node: Node, *, is_root: bool = False) -> Child:
    """Write a node; as deep as the display's depth, which is 100 at most."""
    path: Child = [" ", tag("code", node.path)] if node.path else None
    key: Child = [tag("b", node.key), ": "] if node.key or node.is_named else None
    if not node.children and not node.more:
        return [key, _span(node.value), path]
    inner = [tag("li", _node(child)) for child in node.children]
    if node.more:
        inner.append(tag("li", tag("em", node.more)))
    # What the root is stands in the line above the tree; here it says how to get it.
    what = [tag("code", node.path)] if is_root and node.path else [key, _span(node.value), path]
    summary = tag("summary", what)
    return tag("details", summary, tag("ul", inner), open="" if node.is_open else None)


def _lines(block: Lines) -> Child:
    written: list[Child] = []
    for at, line in enumerate(block.lines):
        written += ["\n" if at else "", _line(line)]
    return [
        tag("pre", written, classes="nbhttp-prose" if block.is_prose else ""),
        _more(block.more),
    ]


def _picture(block: Picture) -> Child:
    data = b64encode(block.data).decode("ascii")
    return tag("p", tag("img", src=f"data:{block.media_type};base64,{data}", alt=block.words))


def _fold(block: Fold) -> Child:
    summary = tag("strong", block.title), " ", tag("span", block.summary, classes="nbhttp-dim")
    return tag(
        "details",
        tag("summary", summary),
        [_block(inner) for inner in block.blocks],
        classes="nbhttp-fold",
        open="" if block.is_open else None,
    )


_WRITERS: dict[type, Callable[[Any], Child]] = {
    Title: _title,
    Note: _note,
    Hint: _hint,
    Bar: _bar,
    Pairs: _pairs,
    Grid: _grid,
    Tree: _tree,
    Lines: _lines,
    Picture: _picture,
    Fold: _fold,
}
