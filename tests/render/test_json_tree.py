"""The tree shows the top of anything, and reads no more than it shows."""

from collections.abc import Iterator
from typing import Any

import pytest
from render.answers import NETWORK, answer, dumped

from nbhttp import redaction
from nbhttp._render.blocks import Node
from nbhttp._render.bundle import html, text
from nbhttp._render.limits import Limits
from nbhttp._render.options import Settings, options
from nbhttp._render.parts import TreePart
from nbhttp._render.views.tree import kind_of, tree
from nbhttp.errors import ConfigError

LIMITS = Limits.of(Settings())


class CountingDict(dict[str, Any]):
    """Counts the items that are looked at."""

    seen = 0

    def items(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        """Yield items, counting."""
        for item in super().items():
            self.seen += 1
            yield item


def nodes(root: Node) -> list[Node]:
    found = [root]
    for node in found:
        found += node.children
    return found


def test_huge_object_is_not_read_through() -> None:
    """Of a million keys only those shown are looked at."""
    document = CountingDict({f"key {n}": n for n in range(1_000_000)})
    shown = tree(document, LIMITS)
    assert document.seen == LIMITS.keys
    assert shown.root.more == "… 999,960 more keys"
    assert shown.root.value.text == "object, 1,000,000 keys"


def test_deep_nest_is_cut_at_the_depth() -> None:
    """A nest of 10,000 lists is shown down to the display's depth."""
    document: list[Any] = []
    for _ in range(10_000):
        document = [document]
    root = tree(document, LIMITS).root
    assert len(nodes(root)) == Settings().depth + 1
    part = TreePart(document, (), None, None)
    assert "… 1 item below: r.tree('[0][0][0][0][0]')" in html(part)
    assert "[ list of 1 list ]" in text(part)


def test_long_text_is_cut_with_its_length() -> None:
    """Five million characters show as some two hundred and their number."""
    root = tree({"s": "x" * 5_000_000}, LIMITS).root
    assert root.children[0].value.text.endswith('x…" (5,000,000 characters)')
    assert len(root.children[0].value.text) < 250


def test_siblings_come_before_depth() -> None:
    """When there is too much, every key of the first level is there before any of the third."""
    document = {f"k{n}": {f"l{m}": {"x": 1} for m in range(30)} for n in range(30)}
    root = tree(document, LIMITS).root
    assert len(root.children) == 30
    assert not any(leaf.children for node in root.children for leaf in node.children)


def test_secret_name_hides_everything_below_it() -> None:
    """A secret name masks scalars, lists and objects below it, at any depth."""
    document = {
        "credentials": {"user": "ada.l", "deep": [["hunter2hunter2", 1234567]]},
        "ok": "seen",
    }
    shown = text(TreePart(document, (), None, None))
    assert "hunter2" not in shown
    assert "1234567" not in shown
    assert "ada.l" not in shown
    assert "seen" in shown


def test_a_pair_that_names_a_secret_hides_its_value() -> None:
    """As a HAR file has its fields; another pair shows."""
    document = {
        "request": {"name": "Cookie", "value": "sid=CANARY1"},
        "variables": {"key": "secrets", "value": ["CANARY2"]},
        "other": {"name": "city", "value": "Oslo"},
    }
    shown = text(TreePart(document, (), None, None))
    assert "CANARY" not in shown
    assert "Oslo" in shown


def test_registered_value_is_hidden_where_it_is_cut() -> None:
    """A secret that the cut goes through leaves no beginning behind."""
    secret = "Registered-Value-0123456789"
    redaction.register(secret)
    try:
        for lead in range(180, 205):
            shown = text(TreePart({"note": "." * lead + secret * 3, secret: 1}, (), None, None))
            assert "Registered" not in shown
    finally:
        redaction.unregister(secret)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "empty object"),
        ({"a": 1}, "object, 1 key"),
        ([], "empty list"),
        ([1, 2.5], "list of 2 numbers"),
        ([{}, {}], "list of 2 objects"),
        (["a"], "list of 1 text"),
        ([None, 1], "list of 2 items"),
        ([[1]], "list of 1 list"),
    ],
)
def test_containers_say_what_they_hold(value: Any, words: str) -> None:
    """Counts and types are in words."""
    assert kind_of(value) == words


def test_depth_and_items_are_obeyed() -> None:
    """`depth` and `max_items` bound the tree, as the display's settings do."""
    result = answer(dumped(NETWORK))
    shown = str(result.tree("districts", depth=1, max_items=2))
    assert "… 10 more items" in shown
    assert "{ object, 2 keys }" in shown
    with options.display(depth=1):
        assert '"network": { object, 2 keys }' in str(result.tree())


@pytest.mark.parametrize("bad", [{"depth": 0}, {"depth": 1000}, {"max_items": -1}, {"depth": True}])
def test_bad_bound_is_refused(bad: dict[str, Any]) -> None:
    """A bound out of range is named with its value."""
    with pytest.raises(ConfigError, match="must be a whole number from 1 to"):
        answer(dumped(NETWORK)).tree(**bad)


def test_part_is_one_line_in_repr() -> None:
    """The plain repr of a tree stays one line."""
    assert repr(answer(dumped(NETWORK)).tree("fleet")) == "<tree of fleet: object, 2 keys>"
