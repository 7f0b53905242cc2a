"""Records as a table: a JSON list of objects, CSV, lines of JSON."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbhttp._marks import clip
from nbhttp._render.blocks import Column, Grid, Span
from nbhttp._render.limits import Limits
from nbhttp._render.paths import Step, python_path
from nbhttp._render.units import count
from nbhttp._render.views.tree import scalar, value_under
from nbhttp.redaction import name_for, redact_text

__all__ = ["Records", "Sheet", "find_records", "is_envelope", "read_sheet"]

_LOOKED_AT = 2000  # rows that say which columns there are and of which types
_TYPES_LOOKED_AT = 10_000  # rows of a list that is to be records
_CARRIED = frozenset(
    "content data docs documents elements entries hits items list objects records results rows "
    "value values".split()
)
_PYTHON_NAMES = {dict: "object", list: "list", str: "str", int: "int", float: "float", bool: "bool"}


@dataclass(frozen=True, slots=True)
class Records:
    """A JSON list of objects.

    Attributes:
        rows: The objects; the answer's own list, never copied.
        steps: Where the list stands in the document.
        names: The columns, in the order in which they first appear.
        total: How many rows there are; `rows` may be the first of them.
        is_document: Whether `r.json()` has them: the rows of NDJSON stand in no document.
    """

    rows: list[Any]
    steps: tuple[Step, ...]
    names: list[str]
    total: int
    is_document: bool = True

    @classmethod
    def of(cls, rows: list[Any], steps: tuple[Step, ...] = ()) -> "Records":
        """Look through the rows of a document for their columns."""
        return cls(rows, steps, _names(rows), len(rows))

    @classmethod
    def lines(cls, rows: list[Any], total: int) -> "Records":
        """Look through the first of `total` lines of JSON for their columns."""
        return cls(rows, (), _names(rows), total, is_document=False)

    @property
    def words(self) -> str:
        """The size: "500 rows × 12 columns"."""
        looked_at = min(len(self.rows), _LOOKED_AT)
        about = "" if looked_at == self.total else f" (in the first {looked_at:,} rows)"
        return f"{count(self.total, 'row')} × {count(len(self.names), 'column')}{about}"

    def grid(self, limits: Limits) -> Grid:
        """Return the first rows and columns as a table."""
        names = self.names[: limits.columns]
        sample = [row for row in self.rows[:_LOOKED_AT] if isinstance(row, dict)]
        rows = self.rows[: limits.rows]
        return Grid(
            caption=self.words,
            columns=tuple(_json_column(name, sample, limits) for name in names),
            rows=tuple(tuple(_json_cell(row, name, limits) for name in names) for row in rows),
            more=_left_out(self.total - len(rows), self.names[limits.columns :], limits),
            path=python_path(self.steps) if self.is_document else "",
            has_numbers=self.is_document,
        )


def _names(rows: Iterable[Any]) -> list[str]:
    names: dict[str, None] = {}
    for row in islice(rows, _LOOKED_AT):
        names.update(dict.fromkeys(row))
    return list(names)


def find_records(document: Any) -> Records | None:
    """Return the list of records that the document is, or the only one at its top level."""
    if _is_records(document):
        return Records.of(document)
    if not isinstance(document, dict) or len(document) > 100:
        return None
    found = [(key, value) for key, value in document.items() if _is_records(value)]
    if len(found) != 1 or len(found[0][1]) < 2:
        return None
    key, rows = found[0]
    return Records.of(rows, (key,))


def is_envelope(document: Any, records: Records) -> bool:
    """Whether a document is only there to carry its records: by their name, or by the rest."""
    if not records.steps:
        return True
    rest = (value for key, value in document.items() if key != records.steps[0])
    return records.steps[0] in _CARRIED or not any(isinstance(v, (dict, list)) and v for v in rest)


def _is_records(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return set(map(type, islice(value, _TYPES_LOOKED_AT))) == {dict} and any(value[:100])


def _json_column(name: str, rows: Sequence[dict[str, Any]], limits: Limits) -> Column:
    kinds = {type(row[name]) if name in row else type(None) for row in rows}
    optional = type(None) in kinds
    named = sorted(
        {_PYTHON_NAMES.get(kind, kind.__name__) for kind in kinds if kind is not type(None)}
    )
    words = " | ".join(named + ["None"] * optional) or "None"
    shown = clip(redact_text(name[: limits.string * 4]), min(limits.string, 60))
    return Column(shown, words, bool(named) and {"int", "float"} >= set(named))


def _json_cell(row: Any, name: str, limits: Limits) -> Span:
    if not isinstance(row, dict) or name not in row:
        return Span("", "dim")
    value = row[name]
    if isinstance(value, dict):
        return Span(f"{{{count(len(value), 'key')}}}", "dim")
    if isinstance(value, list):
        return Span(f"[{count(len(value), 'item')}]", "dim")
    most = min(limits.string, 80)
    shown = value_under(name_for(row, name), value, most)
    if isinstance(shown, str):
        return Span(clip(shown, most), "plain" if isinstance(value, str) else "number")
    span = scalar(shown, value, most)
    return (
        span
        if span.role == "number"
        else Span(span.text, "constant" if value is not None else "dim")
    )


def _left_out(rows: int, columns: Sequence[str], limits: Limits) -> str:
    parts = [f"… {count(rows, 'more row')}"] if rows > 0 else []
    if columns:
        shown = columns[: min(8, limits.columns)]
        some = ", ".join(clip(redact_text(name[:200]), 24) for name in shown)
        rest = f" and {len(columns) - len(shown):,} more" if len(columns) > len(shown) else ""
        parts.append(f"{count(len(columns), 'more column')}: {some}{rest}")
    return "; ".join(parts)


# CSV and TSV

_EXACT_UP_TO = 2 * 1024 * 1024  # bytes read to the end; a longer file's rows are estimated
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d{1,3})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of text under a header row.

    Attributes:
        names: The header row.
        rows: The first rows.
        total: How many rows there are, without the header.
        is_exact: Whether `total` was counted, not estimated from the lines.
        separator: The character between fields.
    """

    names: list[str]
    rows: list[list[str]]
    total: int
    is_exact: bool
    separator: str

    @property
    def separator_words(self) -> str:
        """What separates fields, in words."""
        names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
        return names.get(self.separator, self.separator)

    @property
    def words(self) -> str:
        """The size: "about 1,234 rows × 5 columns"."""
        about = "" if self.is_exact else "about "
        return f"{about}{count(self.total, 'row')} × {count(len(self.names), 'column')}"

    def grid(self, limits: Limits) -> Grid:
        """Return the first rows and columns as a table."""
        columns = tuple(
            Column(clip(redact_text(name[:400]), 60), kind, kind in ("int", "float"))
            for name, kind in zip(
                self.names[: limits.columns], self._kinds(limits.columns), strict=False
            )
        )
        rows = self.rows[: limits.rows]
        return Grid(
            caption=self.words,
            columns=columns,
            rows=tuple(self._cells(row, columns, limits) for row in rows),
            more=_left_out(self.total - len(rows), self.names[limits.columns :], limits),
        )

    def _cells(
        self, row: list[str], columns: tuple[Column, ...], limits: Limits
    ) -> tuple[Span, ...]:
        padded = row + [""] * (len(columns) - len(row))
        most = min(limits.string, 80)
        return tuple(
            Span(
                clip(str(value_under(name, cell, most)), most),
                "number" if column.is_number else "plain",
            )
            for name, cell, column in zip(self.names, padded, columns, strict=False)
        )

    def _kinds(self, most: int) -> list[str]:
        return [
            _text_kind([row[at] for row in self.rows if at < len(row) and row[at]])
            for at in range(min(most, len(self.names)))
        ]


def _text_kind(cells: Sequence[str]) -> str:
    for kind, pattern in (("int", _INTEGER), ("float", _FLOAT), ("date", _DATE)):
        if cells and all(pattern.fullmatch(cell.strip()) for cell in cells):
            return kind
    return "str" if cells else "empty"


def read_sheet(text: str, size: int, lines: int, separator: str = "") -> Sheet | None:
    """Return the table that `text` is, or None when it is none.

    Args:
        text: The file, or the beginning of it.
        size: Bytes of the whole file.
        lines: Line ends in the whole file.
        separator: What separates fields; "" finds out.
    """
    separator = separator or _separator(text)
    is_whole = size <= _EXACT_UP_TO
    text = text if is_whole else text[: text.rfind("\n") + 1]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = next(reader, None)
        rows = _filled(islice(reader, _LOOKED_AT))
        rest = sum(1 for row in reader if row) if is_whole else 0
    except csv.Error:
        return None
    if not names:
        return None
    total = len(rows) + rest if is_whole else max(len(rows), lines - 1)
    return Sheet(names, rows, total, is_whole, separator)


def _filled(rows: Iterable[list[str]]) -> list[list[str]]:
    return [row for row in rows if row]


def _separator(text: str) -> str:
    head = text[:4096].partition("\n")[0]
    outside = re.sub(r'"[^"]*"', "", head)
    return max(",;\t|", key=lambda candidate: (outside.count(candidate), candidate == ","))
