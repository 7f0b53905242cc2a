"""Blocks as text: for a terminal in colour, for a saved notebook without any escape code."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nbhttp._marks import clip, visible
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
    Role,
    Span,
    Title,
    Tree,
)
from nbhttp._render.units import seconds_text

__all__ = ["colour", "lines", "plain"]

_WIDTH = 100  # columns of a table; a terminal wraps the rest
_INLINE = 72  # characters of a container on one line
_COLOURS: dict[Role, str] = {
    "strong": "1",
    "dim": "2",
    "code": "36",
    "key": "34",
    "string": "32",
    "number": "33",
    "constant": "35",
    "tag": "34",
    "comment": "2",
    "ok": "1;32",
    "info": "1;36",
    "warn": "1;33",
    "bad": "1;31",
}


def plain(blocks: Sequence[Block]) -> str:
    """Return blocks as text without any control character but the ends of lines."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines(blocks))


def colour(blocks: Sequence[Block]) -> str:
    """Return blocks as text for a terminal, with its codes for colours."""
    return "\n".join("".join(_coloured(span) for span in line).rstrip() for line in lines(blocks))


def _coloured(span: Span) -> str:
    code = _COLOURS.get(span.role)
    return f"\x1b[{code}m{span.text}\x1b[0m" if code and span.text.strip() else span.text


def lines(blocks: Sequence[Block]) -> Iterator[Line]:
    """Yield blocks line by line, every piece of text made visible."""
    for block in blocks:
        for line in _WRITERS[type(block)](block):
            yield tuple(Span(visible(span.text), span.role) for span in line)


def _indented(inner: Iterator[Line]) -> Iterator[Line]:
    for line in inner:
        yield (Span("  "), *line)


def _title(block: Title) -> Iterator[Line]:
    yield (
        Span(block.verdict, block.tone),
        Span("  "),
        Span(block.method, "strong"),
        Span(f" {block.url}"),
    )


def _note(block: Note) -> Iterator[Line]:
    if block.is_quiet:
        yield tuple(Span(span.text, "dim") for span in block.spans)
    else:
        yield block.spans


def _hint(block: Hint) -> Iterator[Line]:
    yield Span("Hint: ", "strong"), Span(block.text)


def _bar(block: Bar) -> Iterator[Line]:
    figures = " · ".join(f"{phase.name} {seconds_text(phase.seconds)}" for phase in block.phases)
    yield (Span(f"Timing: {figures}", "dim"),)


def _more(text: str) -> Iterator[Line]:
    if text:
        yield (Span(text, "dim"),)


def _pairs(block: Pairs) -> Iterator[Line]:
    rows = block.rows if block.text_rows is None else block.text_rows
    for name, value in rows:
        yield Span(f"  {name}: ", "key"), Span(value)
    yield from _more(block.more if block.text_rows is None else "")


def _grid(block: Grid) -> Iterator[Line]:
    yield (Span(block.caption, "strong"), Span(f" in {block.path}" if block.path else "", "dim"))
    if not block.columns:
        return
    widths = _widths(block)
    yield from _row([Span(column.name, "key") for column in block.columns], block.columns, widths)
    if any(column.kind for column in block.columns):
        yield from _row(
            [Span(column.kind, "dim") for column in block.columns], block.columns, widths
        )
    for row in block.rows:
        yield from _row(row, block.columns, widths)
    yield from _more(block.more)


def _widths(block: Grid) -> list[int]:
    """Give each column what it needs, then take from the widest until all fit."""
    every = [(column.name, column.kind) for column in block.columns]
    widths = [
        max(_width(text) for text in (*head, *(row[at].text for row in block.rows)))
        for at, head in enumerate(every)
    ]
    room = _WIDTH - 4 - 2 * len(widths)
    while sum(widths) > room and max(widths) > 8:
        widest = widths.index(max(widths))
        widths[widest] = max(8, widths[widest] - max(1, (sum(widths) - room) // 2))
    return widths


def _width(text: str) -> int:
    """Return the cells of a terminal that `text` takes."""
    text = visible(text)
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _row(cells: Sequence[Span], columns: Sequence[Column], widths: Sequence[int]) -> Iterator[Line]:
    line: list[Span] = [Span("  ")]
    for cell, column, width in zip(cells, columns, widths, strict=False):
        text = clip(visible(cell.text), width)
        space = " " * max(0, width - _width(text))
        line += [Span(space + text if column.is_number else text + space, cell.role), Span("  ")]
    yield tuple(line)


def _tree(block: Tree) -> Iterator[Line]:
    yield from _node(block.root, 0, "")


def _node(node: Node, level: int, comma: str) -> Iterator[Line]:
    """Write a node as JSON, what is left out in words; as deep as the display's depth."""
    indent = Span("  " * (level + 1))
    key = (Span(f'"{node.key}"', "key"), Span(": ")) if node.is_named else ()
    if not node.is_container:
        yield (indent, *key, node.value, Span(comma))
        return
    opening, closing = node.brackets[:1], node.brackets[1:]
    if not node.children:
        words = f" {node.value.text} " if node.more else ""
        yield (indent, *key, Span(opening), Span(words, "dim"), Span(closing + comma))
        return
    inline = _inline(node)
    if inline:
        yield (indent, *key, *inline, Span(comma))
        return
    yield (indent, *key, Span(opening))
    for child in node.children:
        is_last = child is node.children[-1] and not node.more
        yield from _node(child, level + 1, "" if is_last else ",")
    if node.more:
        yield Span("  " * (level + 2)), Span(node.more, "dim")
    yield indent, Span(closing + comma)


def _inline(node: Node) -> list[Span]:
    """Return a small container of scalars on one line; [] when it is not that."""
    if node.more or any(child.is_container for child in node.children):
        return []
    spans = [Span(node.brackets[:1])]
    for child in node.children:
        spans.append(Span(", " if len(spans) > 1 else ""))
        if child.is_named:
            spans += [Span(f'"{child.key}"', "key"), Span(": ")]
        spans.append(child.value)
    spans.append(Span(node.brackets[1:]))
    return spans if sum(len(span.text) for span in spans) <= _INLINE else []


def _lines(block: Lines) -> Iterator[Line]:
    for line in block.lines:
        yield (Span("  "), *(Span(span.text.expandtabs(4), span.role) for span in line))
    if block.more:
        yield (Span(f"  {block.more}", "dim"),)


def _picture(block: Picture) -> Iterator[Line]:
    yield (Span(f"  ({block.words}, shown where pictures can be)", "dim"),)


def _fold(block: Fold) -> Iterator[Line]:
    if block.in_text == "none":
        return
    yield Span(f"{block.title}: ", "strong"), Span(block.summary, "dim")
    if block.in_text == "whole":
        for inner in block.blocks:
            yield from _WRITERS[type(inner)](inner)


_WRITERS: dict[type, Callable[[Any], Iterator[Line]]] = {
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
