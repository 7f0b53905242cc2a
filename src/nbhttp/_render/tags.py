"""The one place where HTML is written: every text is escaped, every name is checked.

A view asks for elements by name. Elements and attributes that could run, load or collide with
the page are unknown here, so a mistake in a view is an error and not a hole: there is no script,
no `id`, no `name`, no handler, and `src` takes a `data:` image alone.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from nbhttp._marks import one_line, visible

__all__ = ["Child", "Tag", "compact", "icon", "output", "stylesheet", "tag", "to_html"]

_ELEMENTS = frozenset(
    """
    div p span strong em b i s u code pre br ul ol li details summary img
    table caption thead tbody tr th td svg path
    """.split()
)
_MOST_WORDS = 160
_EMPTY = frozenset(["br", "img"])
_ATTRIBUTES = frozenset("class style title alt src open scope role aria-hidden viewBox d".split())
_CLASS = re.compile(r"nbhttp-[a-z-]+( nbhttp-[a-z-]+)*")
_STYLE = re.compile(r"width:\d{1,3}(\.\d\d?)?%")
_SOURCE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/]*={0,2}")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_TEXT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

Child: TypeAlias = "Tag | str | Iterable[Child] | None"


class Tag:
    """An element with its attributes and children; made by `tag`."""

    __slots__ = ("attributes", "children", "name")

    def __init__(self, name: str, attributes: dict[str, str], children: "list[Tag | str]") -> None:
        self.name = name
        self.attributes = attributes
        self.children = children

    def __repr__(self) -> str:
        return f"<Tag {to_html(self)[:80]}>"


def tag(name: str, *children: Child, classes: str = "", **attributes: str | None) -> Tag:
    """Return an element.

    Args:
        name: One of the few that views may use.
        children: Elements and texts, nested as deep as is handy; None is left out.
        classes: Class names, each beginning with "nbhttp-".
        attributes: `aria_hidden` is written `aria-hidden`; None is left out.

    Raises:
        ValueError: An element, an attribute or a value that no view may write.
    """
    if name not in _ELEMENTS:
        raise ValueError(f"views do not write <{name}>")
    named = {"class": classes or None, **{k.replace("_", "-"): v for k, v in attributes.items()}}
    kept = {key: value for key, value in named.items() if value is not None}
    for key, value in kept.items():
        _check_attribute(name, key, value)
    return Tag(name, kept, list(_flat(children)))


def _check_attribute(element: str, name: str, value: str) -> None:
    rule = {"class": _CLASS, "style": _STYLE, "src": _SOURCE}.get(name)
    if name not in _ATTRIBUTES or (rule is not None and not rule.fullmatch(value)):
        raise ValueError(f"views do not write {name}={value[:40]!r} on <{element}>")


def _flat(children: Iterable[Child]) -> "Iterable[Tag | str]":
    for child in children:
        if isinstance(child, (Tag, str)):
            yield child
        elif child is not None:
            yield from _flat(child)


def to_html(root: Tag) -> str:
    """Write an element and all below it; never recursive, so depth costs nothing."""
    out: list[str] = []
    todo: list[Tag | str | _End] = [root]
    while todo:
        item = todo.pop()
        if isinstance(item, _End):
            out.append(f"</{item}>")
        elif isinstance(item, str):
            out.append(visible(item, keep="\n\t").translate(_TEXT_ESCAPES))
        else:
            out.append(_opening(item))
            if item.name not in _EMPTY:
                todo.append(_End(item.name))
                todo.extend(reversed(item.children))
    return "".join(out)


class _End(str):
    """The name of an element that ends here."""

    __slots__ = ()


def _opening(item: Tag) -> str:
    written = [
        f" {name}" if name == "open" else f' {name}="{visible(value).translate(_ESCAPES)}"'
        for name, value in item.attributes.items()
    ]
    return f"<{item.name}{''.join(written)}>"


def output(words: str, root: Tag, css: str) -> str:
    """Return the HTML of one output, which every reader can do something with.

    A notebook that folds an output away shows the first line of its HTML as it is written: words,
    in a comment. A filter that drops the tags of a style but not what is between them leaves it as
    text: behind everything, and folded where the filter knows `<details>`.

    Args:
        words: What it says, in a line.
        root: The element that is seen.
        css: The stylesheet, from `compact`.
    """
    said = one_line(words, _MOST_WORDS).translate(_TEXT_ESCAPES)
    style = f"<details hidden><summary></summary><style>{css}</style></details>"
    return f"<!-- {said} -->\n{to_html(root)}{style}"


# The files beside this module


def _static(name: str) -> str:
    return (files("nbhttp._render") / "static" / name).read_text("utf-8")


@cache
def stylesheet() -> str:
    """Return the CSS of cards."""
    return compact(_static("nbhttp.css"))


def compact(css: str) -> str:
    """Return a stylesheet without comments and needless space."""
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"\s+", " ", css)
    css = re.sub(r"\s*([{};,>])\s*", r"\1", css).replace(";}", "}").replace(": ", ":")
    return css.strip()


@cache
def _icons() -> dict[str, str]:
    found = re.findall(r'<path id="([a-z]+)"\s+d="([^"<>]+)"', _static("icons.svg"))
    return dict(found)


def icon(name: str) -> Tag:
    """Return a drawing from icons.svg; decoration only, words carry the meaning."""
    path = tag("path", d=_icons()[name])
    return tag("svg", path, classes="nbhttp-icon", viewBox="0 0 16 16", aria_hidden="true")
