"""What a view consists of: a few kinds of blocks, that HTML and text each write in their way.

Views turn an answer into blocks, once; `html` and `text` write the same blocks, so both tell
the same facts. Blocks hold plain, redacted, already shortened data.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "Bar",
    "Block",
    "Column",
    "Fold",
    "Grid",
    "Hint",
    "Line",
    "Lines",
    "Node",
    "Note",
    "Pairs",
    "Phase",
    "Picture",
    "Role",
    "Span",
    "Title",
    "Tree",
]

Role = Literal[
    "plain", "strong", "dim", "code", "key", "string", "number", "constant", "tag", "comment",
    "ok", "warn", "bad", "info",
]  # fmt: skip


class Span(NamedTuple):
    """A piece of text and what it is."""

    text: str
    role: Role = "plain"


Line: TypeAlias = "tuple[Span, ...]"


@dataclass(frozen=True, slots=True)
class Title:
    """The first line: a verdict in words, the method and the URL."""

    verdict: str
    tone: Literal["ok", "info", "warn", "bad"]
    method: str
    url: str


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence or a line of facts."""

    spans: Line
    is_quiet: bool = False


@dataclass(frozen=True, slots=True)
class Hint:
    """What to do."""

    text: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the time."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """Where the time went."""

    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names and values: header fields, facts.

    Attributes:
        caption: What they are.
        names: What the two columns are called.
        rows: Name and value.
        more: How many are left out, in words; "" when none.
        text_rows: Those that stand in text; None is all of them.
    """

    caption: str
    names: tuple[str, str]
    rows: tuple[tuple[str, str], ...]
    more: str = ""
    text_rows: tuple[tuple[str, str], ...] | None = None


class Column(NamedTuple):
    """A table's column."""

    name: str
    kind: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        caption: "500 rows × 12 columns".
        columns: The columns shown.
        rows: Cells as spans.
        more: What is left out, in words; "" when nothing.
        path: Python that gives these records; "" when there is none.
        has_numbers: Whether rows are numbered from 0, as in the list they come from.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Span, ...], ...]
    more: str = ""
    path: str = ""
    has_numbers: bool = False


@dataclass(slots=True)
class Node:
    """A place in a JSON document.

    Attributes:
        key: A key of an object, or a number in a list; "" at the root.
        path: Python that gives this value.
        value: A scalar as JSON writes it, shortened; the kind of a container in words.
        is_container: Whether it has children, shown or not.
        brackets: "{}" or "[]" of a container.
        children: Those shown, in order.
        more: What is left out, in words; "" when nothing.
        is_open: Whether it is unfolded at first.
        is_named: Whether `key` is an object's key.
    """

    key: str
    path: str
    value: Span
    is_container: bool = False
    brackets: str = ""
    children: "list[Node]" = field(default_factory=list)
    more: str = ""
    is_open: bool = False
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """A JSON document."""

    root: Node


@dataclass(frozen=True, slots=True)
class Lines:
    """Source, text or a dump; lines stay lines.

    Attributes:
        lines: What is shown.
        more: What is left out, in words; "" when nothing.
        is_prose: Whether long lines are to be wrapped as prose is.
    """

    lines: tuple[Line, ...]
    more: str = ""
    is_prose: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """An image shown in place.

    Attributes:
        media_type: "image/png" and the like, from its bytes.
        data: The file.
        words: What stands for it where it cannot be shown.
    """

    media_type: str
    data: bytes
    words: str


@dataclass(frozen=True, slots=True)
class Fold:
    """A section.

    Attributes:
        title: Its heading.
        summary: A few words after the heading.
        blocks: What is in it.
        is_open: Whether it is unfolded at first.
        in_text: How it stands in text: whole, its heading alone, or not at all.
    """

    title: str
    blocks: "tuple[Block, ...]"
    summary: str = ""
    is_open: bool = False
    in_text: Literal["whole", "heading", "none"] = "heading"


Block: TypeAlias = "Title | Note | Hint | Bar | Pairs | Grid | Tree | Lines | Picture | Fold"
