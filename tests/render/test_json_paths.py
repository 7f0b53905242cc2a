"""Paths into JSON: typed by people, shown to be copied."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render.answers import NETWORK, answer, dumped

from nbhttp._render.blocks import Node
from nbhttp._render.limits import Limits
from nbhttp._render.options import Settings
from nbhttp._render.paths import follow, parse_path, python_path, short_path
from nbhttp._render.views.tree import tree
from nbhttp.errors import ConfigError

STEPS = st.lists(st.text(max_size=8) | st.integers(-5, 10**6), max_size=5).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=5)
    ),
    max_leaves=25,
)
LIMITS = Limits.of(Settings())


class Answer:
    """Stands for `r` when a path is evaluated."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def json(self) -> Any:
        """Return the document."""
        return self._document


@given(STEPS)
def test_short_path_is_read_back(steps: tuple[str | int, ...]) -> None:
    """What is written for a path gives the same steps when it is typed."""
    assert parse_path(short_path(steps)) == steps


@given(STEPS)
def test_python_path_is_read_back(steps: tuple[str | int, ...]) -> None:
    """The Python that a tree shows can be given as a path."""
    assert parse_path(python_path(steps)) == steps


@given(JSON)
def test_every_shown_path_evaluates_to_its_value(document: Any) -> None:
    """Each node's Python, run as it stands, gives what the node shows."""
    todo = [tree(document, LIMITS).root]
    names = {"r": Answer(document)}
    while todo:
        node: Node = todo.pop()
        todo += node.children
        value = eval(node.path, names)
        assert isinstance(value, (dict, list)) == node.is_container
        if type(value) in (int, bool, type(None)) and len(str(value)) < 100:
            assert json.loads(node.value.text) == value


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_refused(path: str) -> None:
    """A path that cannot be read says so; nothing else is raised."""
    with suppress(ConfigError):
        assert all(isinstance(step, str | int) for step in parse_path(path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", NETWORK),
        ("network.name", "Harbour Bikes"),
        ("districts[2].stations[-1]", 1),
        ('["first key with spaces"]', True),
        ("['a.dotted.key'][1]", "two"),
        ('["a.dotted.key"][5].deep[0][0][0]', "here"),
        ("districts.2.name", "District 2"),
        (("districts", 2, "name"), "District 2"),
        ('r.json()["fleet"]["models"]["Gull 3"]', 170),
        ("fleet.models.Gull 3", 170),
    ],
)
def test_path_is_followed(path: Any, expected: Any) -> None:
    """Dots, indices, quoted keys, sequences and copied Python all lead there."""
    assert follow(NETWORK, path) == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "network.nam",
            r'no key "nam" in network: its keys are "name", "centre"; did you mean "name"\?',
        ),
        ("districts[99]", r"no item 99 in districts: it has 12 items"),
        (
            "districts.name",
            r'no key "name" in districts: it is a list of 12 items; .*districts\[0\]',
        ),
        ("motto.x", r'nothing below motto, where "x" was looked for: it is text'),
        ("fleet.bikes[0]", r"nothing below fleet\.bikes, where 0 was looked for: it is a number"),
        ("nope", r'no key "nope" in the document: its keys are "network", "fleet"'),
        ("a..b", r"cannot be read at '\.\.b'"),
        ("a[b]", r"cannot be read at '\[b\]'"),
    ],
)
def test_wrong_path_says_where_it_stopped(path: str, message: str) -> None:
    """The error names the last place that was there, and what is in it."""
    with pytest.raises(ConfigError, match=message):
        answer(dumped(NETWORK)).tree(path)


def test_step_of_another_type_is_refused() -> None:
    """A step is text or a whole number."""
    with pytest.raises(TypeError, match=r"not 1\.5"):
        parse_path(["a", 1.5])  # type: ignore[list-item]
