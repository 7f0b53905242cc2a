"""Records as tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render.answers import TRIPS, answer, dumped, stations

from nbhttp._render.limits import Limits
from nbhttp._render.options import Settings
from nbhttp._render.views.table import Records, read_sheet
from nbhttp.errors import ConfigError, DecodeError

LIMITS = Limits.of(Settings())


def test_columns_say_their_types() -> None:
    """Each column's types are those of its values, None when a value is null or missing."""
    rows = [{"a": 1, "b": 1.5}, {"a": "x", "b": 2, "c": None}, {"c": {}}]
    columns = Records.of(rows).grid(LIMITS).columns
    assert [column.kind for column in columns] == [
        "int | str | None",
        "float | int | None",
        "object | None",
    ]
    assert [column.is_number for column in columns] == [False, True, False]


def test_table_says_its_whole_size() -> None:
    """The caption counts all rows and columns, however few are shown."""
    grid = Records.of([{f"c{n}": n for n in range(20)}] * 500).grid(LIMITS)
    assert grid.caption == "500 rows × 20 columns"
    assert len(grid.rows) == 10
    assert grid.more == "… 490 more rows; 8 more columns: c12, c13, c14, c15, c16, c17, c18, c19"


def test_secret_column_is_masked() -> None:
    """A column with a secret's name shows masks, in JSON and in CSV."""
    assert "hunter2" not in str(answer(dumped([{"password": "hunter2hunter2"}] * 3)).table())
    assert "hunter2" not in str(answer(b"a,password\n1,hunter2hunter2\n", "text/csv").table())


def test_the_value_beside_a_secret_name_is_masked() -> None:
    """Rows of names and values, as in a HAR file, and beside a table."""
    pair = {"name": "api_key", "value": "hunter2hunter2"}
    rows = [pair, {"name": "page", "value": "twelve"}]
    shown = (
        str(answer(dumped(rows)).table()) + answer(dumped({**pair, "items": rows}))._repr_html_()
    )
    assert "hunter2" not in shown
    assert "twelve" in shown


def test_rows_are_chosen() -> None:
    """`rows` bounds the table; a path leads to the list."""
    result = answer(dumped({"data": stations(30), "other": {"list": stations(4)}}))
    assert "… 27 more rows" in str(result.table(rows=3))
    assert "4 rows × 8 columns" in str(result.table("other.list"))
    assert repr(result.table("data")) == "<table of data: 30 rows × 8 columns>"


def test_csv_and_lines_are_tables_too() -> None:
    """Without a path a table shows CSV and NDJSON."""
    assert "600 rows × 5 columns" in str(answer(TRIPS.encode(), "text/csv").table(rows=50))
    lines = b"\n".join(dumped(row) for row in stations(40))
    assert "40 rows × 8 columns" in str(answer(lines, "application/x-ndjson").table())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("meta", "meta is no list of objects: it is object, 1 key; there are records at a, b"),
        ("", "the document is no list of objects: it is object, 3 keys; there are records at a, b"),
        ("meta.n", "it is number"),
    ],
)
def test_no_records_says_where_they_are(path: str, message: str) -> None:
    """A path to something else names it, and the lists of records that there are."""
    result = answer(dumped({"a": stations(2), "b": stations(2), "meta": {"n": 1}}))
    with pytest.raises(ConfigError, match=message):
        result.table(path)


def test_an_object_without_records_is_shown_as_a_tree() -> None:
    """What to write instead stands in the message."""
    with pytest.raises(ConfigError, match=r"is object, 1 key; r\.tree\(\) shows it$"):
        answer(dumped({"id": 1})).table()


def test_text_has_no_table() -> None:
    """A body that holds no records of any kind is a DecodeError."""
    with pytest.raises(DecodeError):
        answer(b"hello", "text/plain").table()


@given(st.text(max_size=300))
def test_any_text_is_a_sheet_or_none(text: str) -> None:
    """Reading CSV never fails."""
    sheet = read_sheet(text, len(text.encode("utf-8", "replace")), text.count("\n") + 1)
    if sheet is not None:
        sheet.grid(LIMITS)


@pytest.mark.parametrize(
    ("text", "separator", "names"),
    [
        ("a,b\n1,2\n", ",", ["a", "b"]),
        ("a;b\n1,5;2\n", ";", ["a", "b"]),
        ("a\tb\n", "\t", ["a", "b"]),
        ('"x;y;z",b\n', ",", ["x;y;z", "b"]),
        ("single\n1\n", ",", ["single"]),
    ],
)
def test_separator_is_found(text: str, separator: str, names: list[str]) -> None:
    """The separator is the one that the header row has most, outside quotes."""
    sheet = read_sheet(text, len(text), 2)
    assert sheet is not None
    assert (sheet.separator, sheet.names) == (separator, names)


def test_long_file_counts_lines() -> None:
    """A file over 2 MB is not read through: its rows are estimated by its lines."""
    body = b"a,b\n" + b"1,2\n" * 1_000_000
    assert "about 1,000,000 rows × 2 columns" in str(answer(body, "text/csv").table())
