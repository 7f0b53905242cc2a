# ruff: noqa: INP001 - a part of build.py
"""The page of the site that says what each public name is, made of signatures and docstrings."""

import html
import inspect
import re
import types
from collections.abc import Iterator
from typing import Any

from nbconvert.filters import markdown2html

import nbhttp

_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Examples):\n", re.MULTILINE)
_LISTS = {"Args", "Attributes", "Raises"}
_ITEM = re.compile(r"^(?P<name>[^\s:][^:]*): +(?P<text>.*(?:\n(?: +.*)?)*)", re.MULTILINE)
# Code, or what Markdown would take for markup.
_MARKUP = re.compile(r"(?P<code>```.*?```|`[^`]*`)|<", re.DOTALL)


def reference() -> Iterator[str]:
    """Yield the page: contents by kind, then an entry for each public name and its members."""
    yield "<h1>Reference</h1>"
    groups: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": [], "Modules": []}
    for name in nbhttp.__all__:
        groups[_kind(getattr(nbhttp, name))].append(name)
    for kind, names in groups.items():
        yield f"<p><strong>{kind}</strong></p>" + _links((n, f"nbhttp.{n}") for n in names)
    for kind, names in groups.items():
        yield f"<h2>{kind}</h2>"
        for name in names:
            yield from _with_members(name)


def _kind(thing: Any) -> str:
    if inspect.ismodule(thing):
        return "Modules"
    if inspect.isclass(thing):
        return "Errors" if issubclass(thing, nbhttp.NbhttpError) else "Classes"
    return "Functions"


def _with_members(name: str) -> Iterator[str]:
    thing = getattr(nbhttp, name)
    found = list(_members(name, thing))
    yield f'<h3 id="nbhttp.{name}">nbhttp.{name}</h3>{_explained(name, thing)}'
    if inspect.isclass(thing) and (bases := _public_bases(thing)):
        links = ", ".join(f'<a href="#nbhttp.{b}"><code>{b}</code></a>' for b in bases)
        yield f"<p>It has all that {links} has.</p>"
    for member_name, member in found:
        summary = _prose((inspect.getdoc(member) or "").partition("\n\n")[0])
        yield (
            f'<details id="{member_name}"><summary><code>{member_name}</code>{summary}</summary>'
            f"{_explained(member_name, member)}</details>"
        )


def _links(targets: Iterator[tuple[str, str]]) -> str:
    links = (f'<a href="#{t}"><code>{html.escape(shown)}</code></a>' for shown, t in targets)
    return f"<p class=contents>{' '.join(links)}</p>"


def _public_bases(kind: type) -> list[str]:
    return [b.__name__ for b in kind.__mro__[1:] if getattr(nbhttp, b.__name__, None) is b]


def _members(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a module exports, or methods and properties that no base documents already."""
    if inspect.ismodule(thing):
        yield from ((f"{name}.{n}", getattr(thing, n)) for n in thing.__all__)
    if not inspect.isclass(thing):
        return
    documented = [getattr(nbhttp, base) for base in _public_bases(thing)]
    documented += [base for base in thing.__mro__ if not base.__module__.startswith("nbhttp")]
    for member_name, member in inspect.getmembers(thing):
        if not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        is_known = any(hasattr(base, member_name) for base in documented)
        if not member_name.startswith("_") and inspect.getdoc(member) and not is_known:
            yield (f"{name}.{member_name}", member)


def _explained(name: str, thing: Any) -> str:
    """Return the signature, where there is one, and what the docstring says."""
    if isinstance(thing, types.UnionType):
        return f"<p><code>{html.escape(str(thing).replace('nbhttp._core.', ''))}</code></p>"
    try:
        signature = "" if isinstance(thing, property) else str(inspect.signature(thing))
    except (TypeError, ValueError):
        signature = ""
    shown = f"<pre class=signature>{html.escape(name + signature)}</pre>" if signature else ""
    return shown + documentation(inspect.getdoc(thing) or "")


def documentation(text: str) -> str:
    """Return a docstring in Google's style as HTML."""
    pieces = _SECTION.split(text)
    sections = zip(pieces[1::2], pieces[2::2], strict=True)
    return _prose(pieces[0]) + "".join(
        _section(title, inspect.cleandoc(s)) for title, s in sections
    )


def _section(title: str, text: str) -> str:
    if title == "Examples":
        body = str(markdown2html(f"```pycon\n{text}\n```"))
    elif title in _LISTS and _ITEM.match(text):
        items = ((m["name"], inspect.cleandoc(m["text"])) for m in _ITEM.finditer(text))
        body = "".join(
            f"<dt><code>{html.escape(name)}</code></dt><dd>{_prose(words)}</dd>"
            for name, words in items
        )
        body = f"<dl>{body}</dl>"
    else:
        body = _prose(text)
    return f"<p class=section>{title}</p>{body}"


def _prose(text: str) -> str:
    """Return Markdown as HTML; what looks like a tag is text."""
    return str(markdown2html(_MARKUP.sub(lambda found: found["code"] or "&lt;", text)))
