"""Which character set a body is in, and its text."""

import codecs
import re
from typing import NamedTuple

__all__ = ["Charset", "choose", "decode"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PARAMETER = re.compile(r""";\s*charset\s*=\s*("([^"]*)"|'([^']*)'|[^;\s]*)""", re.IGNORECASE)


class Charset(NamedTuple):
    """A choice and its reason."""

    encoding: str
    reason: str


def choose(body: bytes, content_type: str) -> Charset:
    """Choose the character set of `body`: byte order mark, declaration, else UTF-8."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return Charset(name, "byte order mark")
    declared = _declared(content_type)
    if declared and _is_text_codec(declared):
        return Charset(declared, "Content-Type")
    if declared:
        return Charset("utf-8", f"unknown charset {declared!r} in Content-Type")
    return Charset("utf-8", "default")


def decode(body: bytes, content_type: str) -> str:
    """Return the text of `body`; what is not valid shows as U+FFFD."""
    return body.decode(choose(body, content_type).encoding, "replace")


def _declared(content_type: str) -> str:
    match = _PARAMETER.search(content_type)
    if match is None:
        return ""
    return (match[2] or match[3] or match[1]).strip("\"' ")


def _is_text_codec(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - the only mark of rot13, hex and the like
    except (LookupError, ValueError):
        return False
