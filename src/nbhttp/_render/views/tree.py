"""A JSON document as a tree, as much of it as fits, nearest to the root first."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nbhttp._marks import clip
from nbhttp._render.blocks import Node, Role, Span, Tree
from nbhttp._render.limits import Limits
from nbhttp._render.paths import Step, python_path, short_path
from nbhttp._render.units import count
from nbhttp.redaction import name_for, redact_json, redact_text

__all__ = ["kind_of", "scalar", "tree", "value_under"]

_NAMES = {dict: "object", list: "list", str: "text", int: "number", float: "number",
          bool: "boolean", type(None): "null"}  # fmt: skip
_LOOKED_AT = 10_000  # items of a list whose types are compared
_VISIBLE_AT_FIRST = 26  # rows of the tree before anything is unfolded by hand
_MARGIN = 1024  # characters redacted beyond those shown: a secret may begin just before the cut
_LONGEST_KEY = 200  # in a path; nobody copies more


@dataclass(slots=True)
class _Place:
    """A node whose children are still to be found."""

    node: Node
    value: Any
    steps: tuple[Step, ...]
    is_secret: bool = False


def tree(
    document: Any, limits: Limits, *, steps: tuple[Step, ...] = (), is_response: bool = True
) -> Tree:
    """Return the part of `document` that fits, breadth first, so that siblings come before depth.

    It looks at no more than it shows (and the types of a list's items), so size costs nothing.

    Args:
        document: Decoded JSON; read, never changed or copied.
        limits: How much to show.
        steps: Where `document` stands in the answer's JSON.
        is_response: Whether it is `r.json()`, so that each node has a path to copy.
    """
    root = _node("", document, steps, limits, name="", is_secret=False)
    if not is_response:
        root.path = ""
    todo = deque([_Place(root, document, steps)] if root.is_container else [])
    left = limits.nodes
    while todo:
        place = todo.popleft()
        depth = len(place.steps) - len(steps)
        if depth >= limits.depth or left <= 0:
            place.node.more = _unseen(place) if place.value else ""
            continue
        for step, child in _children(place.value, limits):
            left -= 1
            node, child_place = _child(place, step, child, limits)
            place.node.children.append(node)
            if child_place is not None:
                todo.append(child_place)
        place.node.more = _more(place)
    _unfold(root)
    return Tree(root)


def _children(value: Any, limits: Limits) -> Iterator[tuple[Step, Any]]:
    if isinstance(value, dict):
        return islice(value.items(), limits.keys)
    return enumerate(islice(value, limits.items))


def _child(place: _Place, step: Step, value: Any, limits: Limits) -> tuple[Node, _Place | None]:
    # By what name it is secret or not.
    name = name_for(place.value, step) if isinstance(step, str) else ""
    is_secret = place.is_secret or (name != "" and _hides_all_below(name, value))
    steps = (*place.steps, step)
    node = _node(step, value, steps, limits, name=name, is_secret=is_secret)
    node.is_named = isinstance(step, str)
    if not place.node.path:
        node.path = ""
    return node, _Place(node, value, steps, is_secret) if node.is_container else None


def _node(
    key: Step, value: Any, steps: tuple[Step, ...], limits: Limits, *, name: str, is_secret: bool
) -> Node:
    shown_key = (
        clip(redact_text(key[: limits.string + _MARGIN]), limits.string)
        if isinstance(key, str)
        else str(key)
    )
    is_container = isinstance(value, (dict, list))
    if is_container:
        shown = Span(kind_of(value), "dim")
    else:
        shown = scalar(
            value_under(name, value, limits.string, is_secret=is_secret), value, limits.string
        )
    return Node(
        key=shown_key,
        path=_path(steps),
        value=shown,
        is_container=is_container,
        brackets="{}" if isinstance(value, dict) else "[]" if is_container else "",
    )


def _path(steps: tuple[Step, ...]) -> str:
    """Return Python for `steps`, or "" where it would be endless or show a secret."""
    if any(isinstance(step, str) and len(step) > _LONGEST_KEY for step in steps):
        return ""
    path = python_path(steps)
    return path if redact_text(path) == path else ""


def _hides_all_below(key: str, value: Any) -> bool:
    """Whether everything below `key` is secret by its name, as in "credentials"."""
    if not isinstance(value, (dict, list)):
        return False
    probe = redact_json({key: ["probe"]})
    return bool(next(iter(probe.values())) != ["probe"])


def value_under(name: str, value: Any, most: int, *, is_secret: bool = False) -> Any:
    """Return a scalar as it may be shown: its beginning, redacted by its name and by itself."""
    part = value[: most + _MARGIN] if isinstance(value, str) else value
    redacted = redact_json({"password" if is_secret else name: part})
    return next(iter(redacted.values()))


def scalar(shown: Any, value: Any, most: int) -> Span:
    """Return a scalar as JSON writes it, at most `most` characters of it.

    Args:
        shown: The value or the beginning of it, redacted.
        value: The whole value.
        most: Characters.
    """
    if isinstance(shown, str):
        text = json.dumps(clip(shown, most), ensure_ascii=False)
        is_cut = isinstance(value, str) and (len(value) > most or len(shown) > most)
        length = f" ({len(value):,} characters)" if is_cut else ""
        return Span(text + length, "string")
    role: Role = "number" if type(shown) in (int, float) else "constant"
    return Span(clip(_json_text(shown), most), role)


def _json_text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return (
            f"a number of some {value.bit_length() * 3 // 10:,} digits"
            if isinstance(value, int)
            else str(value)
        )


def kind_of(value: Any) -> str:
    """Return what a value is, in words: "object, 3 keys", "list of 50 objects"."""
    if isinstance(value, dict):
        return f"object, {count(len(value), 'key')}" if value else "empty object"
    if not isinstance(value, list):
        return _NAMES.get(type(value), type(value).__name__)
    if not value:
        return "empty list"
    kinds = {_NAMES.get(kind, "value") for kind in set(map(type, islice(value, _LOOKED_AT)))}
    noun = kinds.pop() if len(kinds) == 1 and len(value) <= _LOOKED_AT else "item"
    plurals = {"text": "texts", "null": "nulls"}
    return f"list of {count(len(value), noun, plurals.get(noun, ''))}"


def _more(place: _Place) -> str:
    left = len(place.value) - len(place.node.children)
    if left <= 0:
        return ""
    noun = "key" if isinstance(place.value, dict) else "item"
    return f"… {count(left, f'more {noun}')}"


def _unseen(place: _Place) -> str:
    noun = "key" if isinstance(place.value, dict) else "item"
    how = f": r.tree({short_path(place.steps)!r})" if place.node.path and place.steps else ""
    return f"… {count(len(place.value), noun)} below{how}"


def _unfold(root: Node) -> None:
    """Open the tree from the root as far as it stays short enough to take in."""
    visible = 0
    todo = deque([root])
    while todo:
        node = todo.popleft()
        cost = len(node.children) + bool(node.more)
        if node is not root and (not node.children or visible + cost > _VISIBLE_AT_FIRST):
            continue
        node.is_open = True
        visible += cost
        todo.extend(child for child in node.children if child.is_container)
