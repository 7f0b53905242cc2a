"""JSON in and out: equal to the standard library, and one error."""

import base64
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import json
import math
import re
import threading
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhttp._json import JsonError, dumps, has_long_integer, loads
from nbhttp.errors import ConfigError
from nbhttp.secrets import Secret

CORPUS = Path(__file__).parent.parent / "corpora" / "json_test_suite"


def _cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / name).read_text("utf-8").splitlines()]


def _same(one: Any, other: Any) -> bool:
    """Equal in type, sign and NaN, not just by `==`."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("case", _cases("parsing.jsonl"), ids=lambda case: case["id"])
def test_the_json_test_suite_parses_as_the_standard_library_does(case: dict[str, Any]) -> None:
    """What is JSON gives `json.loads`'s value; what is not gives `JsonError` and nothing else."""
    data = base64.b64decode(case["b64"])
    try:
        expected = json.loads(data)
    except (ValueError, RecursionError):
        assert case["expect"] != "accept"
        with pytest.raises(JsonError) as caught:
            loads(data)
        assert caught.value.reason
    else:
        assert _same(loads(data), expected)
        # Python's own extension: NaN, Infinity and -Infinity are values.
        assert case["expect"] != "reject" or b"NaN" in data or b"Infinity" in data


@pytest.mark.parametrize("case", _cases("transform.jsonl"), ids=lambda case: case["id"])
def test_lossy_json_reads_as_the_standard_library_reads_it(case: dict[str, Any]) -> None:
    """Duplicate keys, lone surrogates and huge numbers: the same value, none lost."""
    data = base64.b64decode(case["b64"])
    assert _same(loads(data), json.loads(data))
    assert _same(loads(dumps(loads(data))), loads(data))


def _json_values(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(-(10**22), 10**22)
        | floats
        | st.text(st.characters(codec=None), max_size=30)
        | st.text("0123456789-.e,: ", max_size=40),
        lambda children: st.lists(children) | st.dictionaries(st.text(max_size=8), children),
        max_leaves=12,
    )


JSON_VALUES = _json_values(st.floats())
FINITE_VALUES = _json_values(st.floats(allow_nan=False, allow_infinity=False))


@given(value=JSON_VALUES, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]))
@settings(deadline=None, max_examples=300)
def test_any_value_reads_as_the_standard_library_reads_it(value: Any, encoding: str) -> None:
    """Random values in every encoding that JSON has been sent in."""
    data = json.dumps(value).encode(encoding)
    assert _same(loads(data), json.loads(data))
    assert _same(loads(bytearray(data)), json.loads(data))
    assert _same(loads(json.dumps(value)), json.loads(data))


@given(value=FINITE_VALUES)
@settings(deadline=None, max_examples=300)
def test_any_value_comes_back_from_its_json(value: Any) -> None:
    """`dumps` loses nothing: not digits, not lone surrogates, not what reads like NaN."""
    assert _same(json.loads(dumps(value)), value)


@given(
    data=st.binary(max_size=200) | st.text('[]{}",:0123456789.eE+-ntrufalsINy \n\\', max_size=60)
)
@settings(deadline=None, max_examples=500)
def test_any_bytes_give_what_the_standard_library_gives_or_a_json_error(data: bytes | str) -> None:
    """The same verdict as `json.loads`, and never another exception."""
    if isinstance(data, str):
        data = data.encode()
    try:
        expected = json.loads(data)
    except (ValueError, RecursionError):
        with pytest.raises(JsonError):
            loads(data)
    else:
        assert _same(loads(data), expected)


@pytest.mark.parametrize(
    "text",
    [
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "-9999999999999999999",
        "9999999999999999999",
        "12345678901234567890123",
        "[1,-1" + "0" * 30 + "]",
        '{"a":12345678901234567890123}',
        '{"a": [0.5,\n20000000000000000000\n]}',
        "1" * 4000,
    ],
)
def test_integers_of_any_size_stay_exact(text: str) -> None:
    """Integers past 64 bits do not turn into floats."""
    assert _same(loads(text.encode()), json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "[0.00012345678901234567]",
        "1e-00000000000000000000001",
        "123456789012345678901.5",
        '{"hash": "12345678901234567890123"}',
        "1732421890123456789",
        "[1e+00000000000000000000001]",
    ],
)
def test_long_floats_and_strings_are_no_long_integers(text: str) -> None:
    """They stay on the fast way."""
    assert not has_long_integer(text.encode())
    assert _same(loads(text.encode()), json.loads(text))


@pytest.mark.parametrize(
    ("data", "reason", "position"),
    [
        (b"", "Expecting value", 0),
        (b'{"a": 1,\n "b" 2}', "Expecting ':' delimiter", 14),
        (b'["\xff"]', "not valid utf-8", 2),
        (b"[" * 100_000, "nested too deeply", None),
        (b"1" * 5000, "an integer is too long", None),
    ],
)
def test_an_error_says_what_and_where(data: bytes, reason: str, position: int | None) -> None:
    """A person and a program both learn the place, and none of the content is shown."""
    with pytest.raises(JsonError, match=reason) as caught:
        loads(data)
    assert caught.value.position == position
    if position is not None:
        assert " at " in str(caught.value)


def test_a_large_parse_pauses_the_collector_and_puts_it_back() -> None:
    """The collector does not run within a parse of over 1 MiB, and runs again after it."""
    data = b"[" + b",".join([b"[]"] * 600_000) + b"]"
    runs: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        value = loads(data)
    finally:
        gc.callbacks.remove(note)
    assert len(value) == 600_000
    # Enabling the collector again may start one run at the next allocation, not dozens.
    assert len(runs) <= 4
    assert gc.isenabled()


def test_nested_pauses_in_threads_enable_the_collector_once_all_are_over() -> None:
    """Parses in several threads overlap without leaving the collector off, or on too early."""
    data = b"[" + b",".join([b"[]"] * 400_000) + b"]"
    broken = b"[" + b"[]," * 400_000
    start = threading.Barrier(4)

    def parse(index: int) -> None:
        start.wait()
        for _ in range(3):
            if index % 2:
                loads(data)
            else:
                with pytest.raises(JsonError):
                    loads(broken)

    threads = [threading.Thread(target=parse, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    """A program that runs without the collector keeps it so."""
    gc.disable()
    try:
        loads(b"[" + b"0," * 600_000 + b"0]")
        assert not gc.isenabled()
    finally:
        gc.enable()


class _Colour(enum.Enum):
    RED = "red"


class _Point(NamedTuple):
    x: int
    y: float


@dataclasses.dataclass
class _Record:
    name: str
    when: dt.datetime
    size: int | None = None


UTC_NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
RICH_VALUES: list[tuple[Any, Any]] = [
    (_Record("a", UTC_NOON), {"name": "a", "when": "2026-01-02T12:00:00+00:00", "size": None}),
    (dt.datetime(2026, 1, 2, 12), "2026-01-02T12:00:00"),  # noqa: DTZ001 - naive on purpose
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.time(12, 30), "12:30:00"),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (_Colour.RED, "red"),
    (_Point(1, 2.5), [1, 2.5]),
    (np.float64(1.5), 1.5),
    (np.int32(7), 7),
    (np.bool_(True), True),
    (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    (np.arange(4).reshape(2, 2).T, [[0, 2], [1, 3]]),
    (np.datetime64("2026-01-02T12:00:00"), "2026-01-02T12:00:00"),
    ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
    ({dt.date(2026, 1, 2): 1, uuid.UUID(int=1): 2},
     {"2026-01-02": 1, "00000000-0000-0000-0000-000000000001": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), RICH_VALUES)
def test_rich_values_are_encoded(value: Any, expected: Any) -> None:
    """Dataclasses, times, UUIDs, enums, named tuples, NumPy values and keys of other types."""
    assert json.loads(dumps(value)) == expected


@pytest.mark.parametrize(("value", "expected"), RICH_VALUES[:13])
def test_rich_values_are_encoded_beside_what_orjson_refuses(value: Any, expected: Any) -> None:
    """The standard library's way encodes them alike."""
    decoded = json.loads(dumps([value, 2**70, {"lone": "\ud800"}]))
    assert decoded == [expected, 2**70, {"lone": "\ud800"}]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "$ is nan"),
        (-math.inf, "$ is -inf"),
        ([None, {"a": math.inf}], "$[1].a is inf"),
        ([2**70, math.nan], "$[1] is nan"),
        (np.array([1.0, np.nan]), "$[1] is nan"),
        ({1: math.nan}, "$.1 is nan"),
        ({math.nan: 1}, "a key of $ is nan"),
        (_Record("a", UTC_NOON, size=math.nan), "$.size is nan"),
    ],
)
def test_nan_is_refused(value: Any, path: str) -> None:
    """It is not JSON, and turns into null not behind one's back."""
    with pytest.raises(ConfigError, match=re.escape(f"{path}, which is not JSON; write None")):
        dumps(value)


def test_the_advice_for_nan_in_a_table_holds() -> None:
    """What the hint says gives null."""
    df = pd.DataFrame({"a": [1, None]})
    with pytest.raises(ConfigError, match=r"\$\[1\]\.a is nan") as caught:
        dumps(df.to_dict("records"))
    advice = "df.replace({float('nan'): None}).to_dict('records')"
    assert (caught.value.hint or "").endswith(advice)
    assert dumps(df.replace({float("nan"): None}).to_dict("records")) == b'[{"a":1.0},{"a":null}]'


def test_plain_json_is_compact_utf_8() -> None:
    """As httpx sends it."""
    assert dumps({"ä": [1, None, "null"]}) == '{"ä":[1,null,"null"]}'.encode()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {"b": {1, 2}}]}, r"\$\.a\[1\]\.b is a set"),
        ({"price": decimal.Decimal("1.5")}, r"\$\.price is a decimal\.Decimal"),
        (object(), r"\$ is an object"),
        ([b"raw"], r"\$\[0\] is a bytes"),
        ({(1, 2): 3}, r"a key of \$ is a tuple"),
        ({"z": np.array([1j])}, r"\$\.z\[0\] is a complex"),
        ([_Record, 1], r"\$\[0\] is a type"),
    ],
)
def test_what_is_not_json_is_named_with_its_place(value: Any, message: str) -> None:
    """The TypeError says which part is at fault."""
    with pytest.raises(TypeError, match=message):
        dumps(value)


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        ({1, 2}, "list(…)"),
        ({}.keys(), "list(…)"),
        (decimal.Decimal("1.5"), "float(…), or str(…) to keep every digit"),
        (b"raw", ".decode() for text, or send it as content="),
        (dt.timedelta(1), ".total_seconds()"),
        (Path("a"), "str(…)"),
        (pd.DataFrame({"a": [1]}), '.to_dict("records")'),
        (pd.Series([1]), ".to_list(), or .to_dict()"),
        (pd.NA, "None"),
        (pd.NaT, "None"),
        (np.datetime64("NaT", "s"), "None where there is no time"),
        (Secret("not-a-real-token"), ".reveal(), which stays hidden in what is shown"),
    ],
)
def test_what_is_not_json_says_what_to_write(value: Any, instead: str) -> None:
    """What an analyst puts into `json=` is refused with what to put there instead."""
    with pytest.raises(TypeError) as caught:
        dumps({"a": [value]})
    assert str(caught.value).startswith("$.a[0] is a ")
    assert str(caught.value).endswith(f", which is not JSON; write {instead}")


def test_a_value_that_contains_itself_is_refused() -> None:
    """No RecursionError escapes."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="circular"):
        dumps(loop)
