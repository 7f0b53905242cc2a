"""File names that servers propose, made safe on every platform. Pure functions.

A name comes from Content-Disposition (RFC 6266, RFC 8187), else from the URL's path; either may be
hostile. What is saved is always one plain name inside the directory that the user chose.
"""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes, urlsplit

__all__ = ["from_disposition", "from_url", "numbered", "safe_name"]

FALLBACK = "download"
MAX_NAME_BYTES = 200
"""Longest safe name in UTF-8: file systems take 255, and `.part.lock` has to fit behind it."""

_PARAMETER = re.compile(
    r"""(?:^|[;\s])\s*(?P<name>[!#$&+\-.^_`|~0-9A-Za-z]+\*?)[ \t]*=[ \t]*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?=\s*(?:[;,]|$|\.))|(?P<odd>"[^;]*)|(?P<token>[^;]*))""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_EXTENDED = re.compile(r"(?P<charset>[A-Za-z0-9!#$%&+\-^_`{}~]*)'(?:[A-Za-z0-9-]*')?(?P<value>.*)")
_VALUE_CHARS = re.compile(r"(?:[A-Za-z0-9!#$&+\-.^_`|~]|%[0-9A-Fa-f]{2})*\Z")
_CHARSETS = frozenset({"utf-8", "iso-8859-1", ""})  # RFC 8187 section 3.2.1 asks for UTF-8
_TYPE_NAMES = frozenset({"filename", "filename*"})


def from_disposition(value: str) -> str | None:
    """Return the name in a Content-Disposition field, as the server wrote it.

    `filename*` wins over `filename`; of several, the first counts. A malformed `filename*` counts
    as absent (RFC 6266 section 4.3).

    Args:
        value: The field's value, one character for each byte.

    Returns:
        The name, not yet safe; None when the field has none.
    """
    extended: str | None = None
    plain: str | None = None
    seen: set[str] = set()
    for name, text, is_quoted in _parameters(value):
        if name in seen:
            continue
        seen.add(name)
        if name == "filename*":
            extended = None if is_quoted else _extended(text)
        elif name == "filename":
            plain = text
    if extended is not None:
        return extended
    return None if plain is None else _as_utf8(plain)


def _parameters(value: str) -> Iterable[tuple[str, str, bool]]:
    """Yield name (lower case), value and whether it was quoted, of every parameter."""
    position = 0
    while match := _PARAMETER.search(value, position):
        position = match.end()
        name = match["name"].lower()
        if match["quoted"] is not None:
            yield name, _ESCAPED.sub(r"\1", match["quoted"]), True
        elif match["odd"] is not None:
            text = _odd(match["odd"])
            if text is not None:
                yield name, text, True
        else:
            yield name, _token(match["token"]), False


def _odd(text: str) -> str | None:
    """Read a quoted string with quotes in its middle or without an end."""
    text = text.rstrip()
    inner = text[1:]
    if len(inner) > 1 and inner.endswith('"'):
        return _ESCAPED.sub(r"\1", inner[:-1])
    if "\\" in inner:
        return _ESCAPED.sub(r"\1", inner)
    return None


def _token(text: str) -> str:
    """Cut an unquoted value where another parameter plainly begins without a semicolon."""
    return re.sub(r",?\s+[A-Za-z*]+=.*", "", text, flags=re.DOTALL).strip()


def _extended(text: str) -> str | None:
    """Decode `charset'language'percent-encoded` (RFC 8187 section 3.2); None when malformed or empty."""
    match = _EXTENDED.fullmatch(text)
    if match is None or not _VALUE_CHARS.match(match["value"]):
        return None
    charset = match["charset"].lower()
    if charset not in _CHARSETS:
        return None
    try:
        return unquote_to_bytes(match["value"]).decode(charset or "utf-8") or None
    except UnicodeDecodeError:
        return None


def _as_utf8(text: str) -> str:
    """Read as UTF-8 what was sent so, though fields are ISO-8859-1."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def from_url(url: str) -> str | None:
    """Return the last segment of the URL's path, decoded; None when the path ends in "/"."""
    segment = urlsplit(url).path.rpartition("/")[2]
    name = unquote_to_bytes(segment).decode("utf-8", "replace")
    return name or None


_SEPARATORS = re.compile(r"[/\\]+")
_RESERVED = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f]')
_DEVICES = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=$|[. ])", re.IGNORECASE
)
_MASKED = "_"
_INVISIBLE = frozenset({"Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN = re.compile(
    r"(?!.*\.part(?:\.|$))[A-Za-z0-9](?:[\w.+ -]{0,98}[\w+-])?", re.ASCII | re.IGNORECASE
)
"""Names that need no change; most are."""
_OURS = re.compile(r"\.part(?:\.json|\.lock|\.new|\.json\.new)?$", re.IGNORECASE)


def safe_name(name: str | None) -> str:
    """Return `name` as one plain file name that every platform takes.

    Of a path only the last part counts. Control, reserved, invisible and direction-changing
    characters become "_" or go; so do a leading "-", "~" or ".", trailing dots and spaces, and
    device names (CON, NUL, COM1 …). At most 200 bytes in UTF-8; the extension is kept.

    Args:
        name: What the server proposes; None or nothing usable gives "download".
    """
    if name is not None and _PLAIN.fullmatch(name) and not _DEVICES.match(name):
        return name
    text = unicodedata.normalize("NFC", name or "")
    parts = [part for part in _SEPARATORS.split(text) if part.strip(". ")]
    text = parts[-1] if parts else ""
    text = "".join(c for c in text if unicodedata.category(c) not in _INVISIBLE or c < " ")
    text = _RESERVED.sub(_MASKED, " ".join(text.split(" ")))
    text = "".join(" " if unicodedata.category(c) == "Zs" else c for c in text)
    text = text.strip(" ").rstrip(". ").lstrip(".~- ")
    text = text.strip(" ").rstrip(". ")
    if not text.strip(f"{_MASKED}. "):
        return FALLBACK
    text = _shortened(text)
    before = _MASKED if _DEVICES.match(text) else ""
    after = _MASKED if _OURS.search(text) else ""
    if before or after:
        text = before + _shortened(text, MAX_NAME_BYTES - 2) + after
    return text


def _shortened(name: str, limit: int = MAX_NAME_BYTES) -> str:
    """Cut the stem such that name and extension fit into `limit` bytes."""
    if len(name.encode("utf-8")) <= limit:
        return name
    stem, extension = _split(name)
    room = limit - len(extension.encode("utf-8"))
    cut = stem.encode("utf-8")[:room].decode("utf-8", "ignore")
    return cut.rstrip(". ") + extension


def _split(name: str) -> tuple[str, str]:
    """Return stem and extension, its dot included; what is longer than 20 bytes is none.

    Of a compressed archive the extension is all of ".tar.gz".
    """
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode("utf-8")) > 20:
        return name, ""
    inner, tar = stem[:-4], stem[-4:]
    if inner and tar.lower() == ".tar":
        return inner, tar + dot + extension
    return stem, dot + extension


def numbered(name: str, number: int) -> str:
    """Return `name` with a number before its extension: "a.csv", 2 gives "a-2.csv"."""
    stem, extension = _split(name)
    end = f"-{number}{extension}"
    return _shortened(stem, MAX_NAME_BYTES - len(end.encode())) + end
