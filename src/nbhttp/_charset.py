"""Which character set a body is in, and its text."""

import codecs
import re
from typing import NamedTuple

__all__ = ["Charset", "choose", "decode", "is_charset"]

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
    rb"""<!--(?:>|->|.*?--!?>)
    |(?P<unclosed><!--)
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
# Labels of the web (the same section) that Python does not know.
_LABELS = {
    label: codec
    for codec, labels in {
        "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
        "cp866": "csibm866",
        "iso8859-2": "iso88592",
        "iso8859-3": "iso88593",
        "iso8859-4": "iso88594",
        "iso8859-5": "iso88595",
        "iso8859-6": "iso88596 csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i",
        "iso8859-7": "iso88597 sun_eu_greek",
        "iso8859-8": "iso88598 csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i logical visual",
        "iso8859-10": "iso885910",
        "iso8859-13": "iso885913",
        "iso8859-14": "iso885914",
        "iso8859-15": "iso885915 csisolatin9 l9",
        "koi8-r": "koi koi8 koi8_r",
        "koi8-u": "koi8-ru",
        "mac-roman": "csmacintosh mac x-mac-roman",
        "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
        "cp874": "dos-874 iso885911 windows-874",
        "windows-1252": "iso88591 x-cp1252 x-user-defined",
        "cp1250": "x-cp1250",
        "cp1251": "x-cp1251",
        "cp1253": "x-cp1253",
        "cp1254": "x-cp1254 iso88599",
        "cp1255": "x-cp1255",
        "cp1256": "x-cp1256",
        "cp1257": "x-cp1257",
        "cp1258": "x-cp1258",
        "gb18030": "x-gbk gb_2312 csgb2312",
        "big5hkscs": "cn-big5 x-x-big5",
        "euc_jp": "x-euc-jp cseucpkdfmtjapanese",
        "cp932": "x-sjis windows-31j ms932",
        "cp949": "ks_c_5601-1987 ks_c_5601-1989 cseuckr csksc56011987 ksc_5601 windows-949",
        "utf-16": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
    }.items()
    for label in labels.split()
}
# Python counts them as text, and they are no character set: they have escapes of their own, are
# for names of hosts, refuse everything, or belong to this machine.
_NO_CHARSETS = frozenset(
    {
        "idna",
        "punycode",
        "undefined",
        "unicode-escape",
        "raw-unicode-escape",
        "utf-7",
        "mbcs",
        "oem",
    }
)


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
    if declared and is_charset(declared):
        return Charset(_wide_enough(declared, body), "Content-Type")
    if declared.lower() in _LABELS:
        return Charset(_LABELS[declared.lower()], "Content-Type")
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


def is_charset(name: str) -> bool:
    """Whether Python has a codec of this name that reads bytes as text."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    is_text = codec._is_text_encoding  # noqa: SLF001 - the only mark of rot13, hex and the like
    return is_text and codec.name.replace("_", "-") not in _NO_CHARSETS


def _wide_enough(declared: str, body: bytes) -> str:
    """Return the codec that pages mean by a label, if the body needs it."""
    wider = _OF_PAGES.get(codecs.lookup(declared).name)
    if wider is None:
        return declared
    try:
        body.decode(declared)
    except UnicodeDecodeError:
        return wider
    return declared


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
        if match["unclosed"] is not None:
            return ""  # the rest of the page is a comment
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
    if not _LABEL.fullmatch(label) or not is_charset(label):
        return ""
    name = codecs.lookup(label).name
    if name.startswith(("utf-16", "utf-32")):
        return "utf-8"  # the label could not be read if it were true
    return _OF_PAGES.get(name, name)
