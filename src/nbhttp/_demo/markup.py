"""HTML built from elements, so that every text is escaped."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

__all__ = ["element", "page", "rendered"]

Child = ET.Element | str


def element(tag: str, *children: Child, **attributes: str) -> ET.Element:
    """Return an element; a trailing underscore in an attribute's name is dropped (`class_`)."""
    node = ET.Element(tag, {name.rstrip("_"): value for name, value in attributes.items()})
    for child in children:
        if isinstance(child, ET.Element):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + child
        else:
            node.text = (node.text or "") + child
    return node


def rendered(node: ET.Element) -> str:
    """Return an element as HTML."""
    return ET.tostring(node, encoding="unicode", method="html")


def page(title: str, css: str, *body: Child, meta: Mapping[str, str] | None = None) -> str:
    """Return a whole HTML document."""
    metas = {"viewport": "width=device-width, initial-scale=1", "color-scheme": "light dark"}
    head = element(
        "head",
        element("meta", charset="utf-8"),
        *(element("meta", name=n, content=c) for n, c in {**metas, **(meta or {})}.items()),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", css),
    )
    return "<!doctype html>\n" + rendered(element("html", head, element("body", *body), lang="en"))
