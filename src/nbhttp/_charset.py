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
_LOOK_FOR_META = 16 * 1024  # browsers look at 1024 bytes; pages with long comments need more

# The prescan of a page (WHATWG HTML, "prescan a byte stream to determine its encoding"): a
# comment, a tag with its attributes, or another thing between < and >.
_MARKUP = re.compile(
    rb"""<!--(?:>|->|.*?-->)
    |<(?P<meta>meta)(?=[\t\n\f\r /])
    |</?[a-z](?P<tag>)[^\t\n\f\r >]*
    |<[!/?](?P<other>)[^>]*>""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(
    rb"""[\t\n\f\r /]*
    (?P<name>[^\t\n\f\r />][^\t\n\f\r />=]*)
    (?:[\t\n\f\r ]*=[\t\n\f\r ]*
       (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\t\n\f\r >"'][^\t\n\f\r >]*)
        |(?P<open>["'])|(?P<none>)))?""",
    re.DOTALL | re.VERBOSE,
)
_END_OF_TAG = re.compile(rb"[\t\n\f\r /]*>")
_IN_CONTENT = re.compile(
    r"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|(?!["'])([^\s;]+))""", re.IGNORECASE
)
_LABEL = re.compile(r"[a-z0-9_.:+-]+")  # Python would overlook a quotation mark in it
# What pages mean by a label, where Python means less by it (WHATWG Encoding, section 4.2).
_OF_PAGES = {
    "ascii": "windows-1252",
    "big5": "big5hkscs",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "windows-1252",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "iso8859-9": "cp1254",
    "tis-620": "cp874",
}
_LABELS = {
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "x-gbk": "gb18030",
    "x-euc-jp": "euc_jp",
    "ks_c_5601-1987": "cp949",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "x-user-defined": "windows-1252",
    "unicode-1-1-utf-8": "utf-8",
}


class Charset(NamedTuple):
    """A choice and its reason."""

    encoding: str
    reason: str


def choose(body: bytes, content_type: str) -> Charset:
    """Choose the character set of `body`.

    In order: a byte order mark, Content-Type, for HTML its `<meta>`, else UTF-8; HTML that is
    neither declared nor valid UTF-8 is windows-1252, as browsers have it.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return Charset(name, "byte order mark")
    declared = _declared(content_type)
    if declared and _is_text_codec(declared):
        return Charset(declared, "Content-Type")
    if declared:
        return Charset("utf-8", f"unknown charset {declared[:40]!r} in Content-Type")
    if content_type.partition(";")[0].strip().lower() in {"text/html", "application/xhtml+xml"}:
        return _of_page(body)
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


def _of_page(body: bytes) -> Charset:
    named = _prescan(body[:_LOOK_FOR_META])
    if named:
        return Charset(named, "<meta> of the page")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return Charset("windows-1252", "no charset declared, and not valid UTF-8")
    return Charset("utf-8", "default")


def _prescan(page: bytes) -> str:
    """Return the codec that the first usable `<meta>` names; "" for none."""
    at = 0
    while (match := _MARKUP.search(page, at)) is not None:
        at = match.end()
        if match["meta"] is None and match["tag"] is None:
            continue
        attributes, at = _attributes(page, at)
        if at < 0:
            return ""  # the page ends within the tag
        if match["meta"] is not None:
            codec = _codec(_label(attributes))
            if codec:
                return codec
    return ""


def _attributes(page: bytes, at: int) -> tuple[dict[str, str], int]:
    """Read a tag's attributes; return them and where it ends, -1 when it does not."""
    found: dict[str, str] = {}
    while (end := _END_OF_TAG.match(page, at)) is None:
        match = _ATTRIBUTE.match(page, at)
        if match is None or match["open"]:
            return {}, -1
        at = match.end()
        value = match["double"] or match["single"] or match["bare"] or b""
        name = match["name"].decode("latin-1").lower()
        found.setdefault(name, value.decode("latin-1"))
    return found, end.end()


def _label(attributes: dict[str, str]) -> str:
    if "charset" in attributes:
        return attributes["charset"]
    if attributes.get("http-equiv", "").lower() != "content-type":
        return ""
    match = _IN_CONTENT.search(attributes.get("content", ""))
    return "" if match is None else match[1] or match[2] or match[3] or ""


def _codec(label: str) -> str:
    """Return the codec of a label as pages use it; "" when there is none."""
    label = label.strip("\t\n\f\r ").lower()
    label = _LABELS.get(label, label)
    if not _LABEL.fullmatch(label) or not _is_text_codec(label):
        return ""
    name = codecs.lookup(label).name
    if name.startswith(("utf-16", "utf-32")):
        return "utf-8"  # the label could not be read if it were true
    return _OF_PAGES.get(name, name)
