"""What a reader sees of HTML, and what it is made of, by a browser's own parsing rules."""

import re
from collections import Counter
from typing import Any

import html5lib

INLINE = {"span", "b", "strong", "em", "code"}
SPACE = re.compile(r"\s+")


def parsed(html: str) -> Any:
    """Parse as browsers do (the WHATWG algorithm)."""
    return html5lib.parse(html, namespaceHTMLElements=False)


def shape(html: str) -> Counter[str]:
    """Count elements with their attributes' names, and with classes, styles and kinds of source."""
    return Counter(_signature(element) for element in parsed(html).iter())


def _signature(element: Any) -> str:
    kept = {"class", "style", "scope", "open", "viewBox", "aria-hidden"}
    attributes = sorted(
        f"{name}={value}" if name in kept else str(name) for name, value in element.attrib.items()
    )
    return f"<{element.tag} {' '.join(attributes)}>"


def visible_text(html: str) -> str:
    """Return all text but the stylesheet's, images by their words, space as one blank."""
    return SPACE.sub(" ", "".join(_ordered(parsed(html))))


def _ordered(element: Any) -> list[str]:
    if not isinstance(element.tag, str) or "hidden" in element.attrib:  # a comment, the style
        return [element.tail or ""]
    around = "" if element.tag in INLINE else " "
    out = [around, element.get("alt") or "", element.text or ""]
    for child in element:
        out += _ordered(child)
    return [*out, around, element.tail or ""]
