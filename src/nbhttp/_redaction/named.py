"""Secrets in a text that stand behind a name, and userinfo in URLs."""

import re

from nbhttp._redaction.fields import SCHEMES, mask_field
from nbhttp._redaction.masks import MASK, MASK_SOURCE
from nbhttp._redaction.names import (
    AUTH_FIELDS,
    COOKIE_FIELDS,
    PARAMETER_NAMES,
    Kind,
    normalise,
    words,
)
from nbhttp._redaction.rules import Rules
from nbhttp._redaction.shapes import mask_of

__all__ = ["BARE_USERINFO", "STEMS", "hide_named", "hide_userinfo", "stem"]

# RFC 3986 section 3.2.1; a raw "@" in the password is an error that people make.
_USERINFO = re.compile(r"//([^\s/?#\"<>\\]*)@")
_USERINFO_BACKWARDS = re.compile(r"@[^\s/?#\"<>\\@]*//")  # "@" is rarer than "//"
BARE_USERINFO = re.compile(r"\A(?!mailto:)([^\s/?#:@]*+:[^\s/?#]*)@")  # the scheme was forgotten
_ESCAPED_USERINFO = re.compile(r"\\/\\/([^\s/?#\"<>\\]*)@")
_ENCODED_USERINFO = re.compile(r"(%2F%2F)(?:[^\s/?#&%]|%(?!2F|3F|23|26|40)..)*+%40", re.IGNORECASE)


def hide_userinfo(text: str) -> str:
    if "//" in text and _USERINFO_BACKWARDS.search(text[::-1]):
        text = _USERINFO.sub(lambda match: f"//{mask_of(match[1])}@", text)
    if "\\" in text and "\\/\\/" in text:
        text = _ESCAPED_USERINFO.sub(lambda match: f"\\/\\/{mask_of(match[1])}@", text)
    if "%" in text and "%40" in text:
        text = _ENCODED_USERINFO.sub(rf"\1{MASK}%40", text)
    return text


# Every name of kind DATA or ANYWHERE holds one of these; finding them is a search for plain text.
STEMS = words("secret pwd auth credential srf signature symfony connect.sid forwarded")
# Those that share a rare part are found by it, at once. "key" alone is a parameter's name at
# most, and common in JSON.
_JOINED_STEMS = (
    ("k", re.compile(r"k(?:en(?<=token)|ie(?<=cookie)|ey(?<![\"' ]key))")),
    ("ss", re.compile(r"ss(?<=pass|sess)")),
)
# The names of kind PARAMETER are everyday words: sought only before an equals sign, which may be
# percent-encoded once or more (`?next=https%3A%2F%2Fh%2F%3Fcode%3D…`). In lower-case text.
_EVERYDAY_ENDS = "|".join(sorted({name[-3:] for name in PARAMETER_NAMES}))
_EQUALS_AFTER_NAME = re.compile(rf"=(?<=(?:{_EVERYDAY_ENDS})=)")
_ENCODED_EQUALS_AFTER_NAME = re.compile(rf"%(?<=(?:{_EVERYDAY_ENDS})%)(?:25){{0,3}}3d")


def stem(name: str) -> str:
    return name[-2:]  # no spelling has a separator there


_Secrets = list[tuple[int, int, str]]
"""What to mask in a text: (start, end, mask)."""

_ENCODED_EQUALS = r"%(?:25){0,3}3[Dd]"
# From within a name to what separates it from its value.
_TO_SEPARATOR = re.compile(
    rf"([\w.$~\[\]-]{{0,40}}+(?:%5[Dd])?)(\\{{0,7}}[\"'])?[ \t]{{0,4}}(:=|=>|[=:,>]|{_ENCODED_EQUALS})",
    re.ASCII,
)
# A name read backwards from its end, with the `[field]` that some frameworks put there.
_NAME_BACKWARDS = re.compile(r"(?:(?:\]|[Dd]5%)[\w.-]{0,40}(?:\[|[Bb]5%))?[\w.$~-]{1,64}", re.ASCII)
_ENCODED_DELIMITER = re.compile(r"%(?:25){0,3}(?:3[FBfb]|2[36])")
_CHARS = r"[^\s\"'<>&;]"
# After `=` or `:`; a string may be cut off by the end of the text.
_QUOTED = re.compile(
    r"\s{0,4}b?(?:\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)|'([^'\\]*+(?:\\.[^'\\]*+)*+))", re.DOTALL
)
_ESCAPED = re.compile(r"\s{0,4}(\\{1,7})([\"'])")
_ESCAPED_QUOTE = re.compile(r"(\\++)([\"'])")
_WORD = re.compile(rf"[ \t]{{0,4}}((?:{MASK_SOURCE}|{_CHARS})++)")
_LINE = re.compile(r"[ \t]{0,4}([^\r\n\"']++)")
_SCALAR = re.compile(r"\s{0,4}(-?\d[\d.eE+-]*+)")
_OPEN = re.compile(r"\s{0,4}[\[{(]")
_PIECE = re.compile(
    r"(?:\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\"?|'([^'\\]*+(?:\\.[^'\\]*+)*+)'?)(\s{0,4}:)?"
    r"|([\[{(])|([\]})])|(-?\d[\d.eE+-]*+)",
    re.DOTALL,
)
_BARE_WORDS = frozenset(["null", "None", "true", "True", "false", "False"])


def _value_regex(stop: str, *, is_url: bool) -> re.Pattern[str]:
    if is_url:
        return re.compile(rf"(?:{stop}[^&#])*+")
    return re.compile(rf"(?:{MASK_SOURCE}|{stop}(?:[^&#\s\"<>'\\]|'(?=\w)|\\(?=\w)))*+")


# A parameter's value by what it stands in: the query or fragment, a path segment, a URL that was
# encoded once or more. A "&" encoded more often than the "=" belongs to the value.
_VALUE = {
    (delimiter, is_url): _value_regex(stop, is_url=is_url)
    for is_url in (False, True)
    for delimiter, stop in (
        ("&", ""),
        (";", "(?![?/;])"),
        ("; ", "(?!;)"),  # in a connection string, where a key may have slashes
        *((f"%{times}", rf"(?!%(?:25){{0,{times}}}2[36])") for times in range(4)),
    )
}


def hide_named(text: str, rules: Rules, *, is_url: bool) -> str:
    """Mask values by the name before them: `?a=v`, `A: v`, `"a": "v"`, `('a', 'v')`, `<a>v</a>`.

    And by the name beside them: `{"name": "a", "value": "v"}`.
    """
    found = _separators(text, rules)
    if not found:
        return text
    done = 0
    out: list[str] = []
    for at in sorted(found):
        if at < done:
            continue
        for start, end, mask in _secrets_after(text, at, found[at], rules, is_url=is_url):
            out += (text[done:start], mask)
            done = end
    return "".join(out) + text[done:] if out else text


def _separators(text: str, rules: Rules) -> dict[int, re.Match[str]]:
    """By position of a separator: what ends the name that may make secret what follows it."""
    # Lower-casing keeps every position, but for the one letter that becomes two.
    low = (text if text.isascii() else text.replace("İ", "I")).lower()
    found: dict[int, re.Match[str]] = {}
    for end in _name_ends(low, rules.stems):
        if match := _TO_SEPARATOR.match(text, end):
            found[match.start(3)] = match
            if match[2] and match[3] == "," and (colon := _colon_of_pair(text, match)):
                found[colon] = match
    return found


def _name_ends(low: str, stems: tuple[str, ...]) -> list[int]:
    """Where in lower-case text a name that may be secret ends, or its stem does."""
    ends: list[int] = []
    for part, joined in _JOINED_STEMS:
        if part in low:
            ends += [match.end() for match in joined.finditer(low)]
    for stem in stems:
        if stem in low:
            ends += [match.end() for match in re.finditer(re.escape(stem), low)]
    if "=" in low and _EQUALS_AFTER_NAME.search(low):
        ends += [match.start() for match in _EQUALS_AFTER_NAME.finditer(low)]
    if "%" in low:
        ends += [match.start() for match in _ENCODED_EQUALS_AFTER_NAME.finditer(low)]
    return ends


_QUOTE = r"\\{0,7}[\"']"
_PAIR_NAME_BEFORE = re.compile(rf"[\"'](?:[Nn]ame|[Kk]ey){_QUOTE}\s{{0,4}}:\s{{0,4}}{_QUOTE}\Z")
# From behind the name to the value, past other members that are plain: the names of HAR, of
# Postman and of cookie stores, as JSON or as Python shows them.
_TO_PAIR_VALUE = re.compile(
    rf",\s{{0,40}}(?:(?!{_QUOTE}[Vv]alue){_QUOTE}[\w$.-]{{1,40}}{_QUOTE}\s{{0,4}}:\s{{0,4}}"
    rf"(?:{_QUOTE}[^\"'\\]{{0,200}}{_QUOTE}|[\w.+-]{{1,40}})\s{{0,40}},\s{{0,40}}){{0,9}}+"
    rf"{_QUOTE}[Vv]alue{_QUOTE}\s{{0,4}}(?=:)"
)


def _colon_of_pair(text: str, separator: re.Match[str]) -> int | None:
    """Where the value of `{"name": "password", "value": …}` begins; None when it is no such pair."""
    start, _ = _name_span(text, separator.end(1))
    if not _PAIR_NAME_BEFORE.search(text[max(0, start - 40) : start]):
        return None
    match = _TO_PAIR_VALUE.match(text, separator.start(3))
    return match.end() if match else None


def _secrets_after(
    text: str, at: int, separator: re.Match[str], rules: Rules, *, is_url: bool
) -> _Secrets:
    """What to mask of what follows position `at`, for the name that `separator` ends."""
    name_start, name_end = _name_span(text, separator.end(1))
    delimiter, name_start = _delimiter_before(text, name_start)
    name = text[name_start:name_end]
    kind = rules.kind(name)
    if kind is Kind.NONE:
        return []
    if delimiter and separator[3][0] in "=%":
        if delimiter == ";" and not (is_url or _is_in_url(text, name_start)):
            delimiter = "; "
        return _parameter_secret(text, separator, delimiter, is_url=is_url)
    if kind < Kind.DATA:
        return []
    if at > separator.start(3):
        return _quoted_secret(text, at + 1, name) or _scalar_or_nested(text, at + 1, kind)
    return _value_secret(text, separator, kind, name_start, name)


def _value_secret(
    text: str, separator: re.Match[str], kind: Kind, name_start: int, name: str
) -> _Secrets:
    """What to mask behind the separator of a name that stands in no query."""
    kind_of_separator, at = separator[3][0], separator.end()
    if kind_of_separator == "%":
        return []
    is_quoted = separator[2] is not None
    if kind_of_separator == ">":
        return _element_secret(text, name_start, at)
    if kind_of_separator == ",":
        is_pair = is_quoted and text[max(0, name_start - 3) : name_start].endswith(_PAIR_STARTS)
        is_pair = is_pair or (is_quoted and kind is Kind.ANYWHERE and name.startswith("--"))
        return _quoted_secret(text, at, name) if is_pair else []
    if secrets := _quoted_secret(text, at, name):
        return secrets
    if separator[3] == "=>":
        return []  # an arrow function's
    if is_quoted:
        return _scalar_or_nested(text, at, kind)
    if kind_of_separator == "=":
        return _word_secret(text, at, name)
    if kind is not Kind.ANYWHERE:
        return []
    return _colon_secret(text, name_start, at, name)


_CONTENT = re.compile(r"([^<>]{1,4096})</")


def _element_secret(text: str, name_start: int, at: int) -> _Secrets:
    """What stands in an XML element of this name."""
    match = _CONTENT.match(text, at) if text[name_start - 1 : name_start] in {"<", ":"} else None
    return [(at, match.end(1), mask_of(match[1]))] if match and match[1].strip() else []


_PAIR_STARTS = ("('", '("', "(b'", '(b"')


def _name_span(text: str, end: int) -> tuple[int, int]:
    match = _NAME_BACKWARDS.match(text[max(0, end - 120) : end][::-1])
    return (end - match.end() if match else end), end


def _delimiter_before(text: str, start: int) -> tuple[str, int]:
    """What makes a name a parameter (`&`, `;`, `%` or nothing), and where the name begins."""
    before = text[start - 1 : start]
    if before == "%" and (match := _ENCODED_DELIMITER.match(text, start - 1)):
        return "%", match.end()
    if before == ";" and not text.endswith("&amp;", 0, start):
        return ";", start
    return ("&", start) if before and before in "?&#;" else ("", start)


def _parameter_secret(
    text: str, separator: re.Match[str], delimiter: str, *, is_url: bool
) -> _Secrets:
    if delimiter == "%":
        times = 3 if separator[3] == "=" else (len(separator[3]) - 3) // 2
        delimiter = f"%{times}"
    at = separator.end()
    match = _VALUE[delimiter, is_url].match(text, at)
    return [(at, match.end(), mask_of(match[0]))] if match else []


_URL_BACKWARDS = re.compile(r"[^\s\"'<>]*?//:[\w+.-]+(?=$|[\s\"'<>()])", re.ASCII)


def _is_in_url(text: str, end: int) -> bool:
    """Whether what ends here is a URL so far: `https://h/a;` is, `Endpoint=sb://h/;` is not."""
    return _URL_BACKWARDS.match(text[max(0, end - 2048) : end][::-1]) is not None


def _colon_secret(text: str, name_start: int, at: int, name: str) -> _Secrets:
    """After `Name: `: the line in an HTTP message, the word in prose."""
    if text[name_start - 1 : name_start] in ("'", '"'):  # curl -H 'Name: value'
        return _line_secret(text, at, name)
    line_start = text[max(0, name_start - 80) : name_start].rpartition("\n")
    if (line_start[1] or name_start <= 80) and not line_start[2].strip("<>* \t\r-"):
        return _block_secret(text, at, len(line_start[2])) or _line_secret(text, at, name)
    if normalise(name) in AUTH_FIELDS | COOKIE_FIELDS:
        return _line_secret(text, at, name)
    return _word_secret(text, at, name)


_BLOCK = re.compile(r"[ \t]{0,4}(?:[|>][-+1-9]{0,2}[ \t]{0,4}(?:#[^\r\n]{0,200})?)?\r?\n")
_ONE_WORD = re.compile(rf"(?:{MASK_SOURCE}|[^\s:#\[\]{{}}&*!|>'\"-][^\s]*(?<!:))")


def _block_secret(text: str, at: int, column: int) -> _Secrets:
    """What stands below `name:` in YAML: a block (`|`, `>`), or a single word.

    Args:
        text: The text.
        at: Behind the colon.
        column: Where in its line the name begins: what belongs to it is indented more.
    """
    head = _BLOCK.match(text, at)
    if head is None:
        return []
    has_sign = not head[0].isspace()
    start = line_start = end = head.end()
    while line_start < len(text):
        line_end = text.find("\n", line_start) + 1 or len(text)
        line = text[line_start:line_end]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) <= column:
                break
            if end > start and not has_sign:
                return []
            end = line_start + len(line.rstrip())
        line_start = line_end
    value = text[start:end].lstrip()
    if not value or not (has_sign or _ONE_WORD.fullmatch(value)):
        return []
    return [(end - len(value), end, mask_of(value))]


def _span(match: re.Match[str], group: int, name: str) -> _Secrets:
    return [(match.start(group), match.end(group), mask_field(name, match[group]))]


def _quoted_secret(text: str, at: int, name: str) -> _Secrets:
    if match := _QUOTED.match(text, at):
        return _span(match, match.lastindex or 0, name)
    if match := _ESCAPED.match(text, at):  # JSON within a JSON string
        end = _end_of_escaped(text, match.end(), len(match[1]), match[2])
        return [(match.end(), end, mask_field(name, text[match.end() : end]))]
    return []


def _end_of_escaped(text: str, start: int, backslashes: int, quote: str) -> int:
    """Where a string ends whose quotes stand behind so many backslashes (1, 3, 7).

    Encoding once more doubles backslashes: a quote within the string has `2 * backslashes + 1`,
    and a backslash at its end adds `2 * (backslashes + 1)`.
    """
    for match in _ESCAPED_QUOTE.finditer(text, start):
        if match[2] == quote and len(match[1]) % (2 * backslashes + 2) == backslashes:
            return match.end(1) - backslashes
    return len(text)


def _word_secret(text: str, at: int, name: str) -> _Secrets:
    match = _WORD.match(text, at)
    if not match:
        return []
    value = match[1].rstrip("),.]}")
    if value in _BARE_WORDS:
        return []
    if value.lower() in SCHEMES and normalise(name).endswith(tuple(AUTH_FIELDS)):
        return _word_secret(text, match.end(), "")  # `Authorization: Basic …` in escaped text
    start = match.start(1)
    return [(start, start + len(value), mask_field(name, value))]


def _line_secret(text: str, at: int, name: str) -> _Secrets:
    match = _LINE.match(text, at)
    return _span(match, 1, name) if match else []


def _scalar_or_nested(text: str, at: int, kind: Kind) -> _Secrets:
    if match := _SCALAR.match(text, at):
        return [(match.start(1), match.end(1), f'"{MASK}"')]
    if kind is not Kind.ANYWHERE or not _OPEN.match(text, at):
        return []
    return _nested_secrets(text, at)


def _nested_secrets(text: str, at: int) -> _Secrets:
    """Every string and number of the JSON array or object that begins at `at`."""
    found: _Secrets = []
    depth, end = 0, len(text)
    for match in _PIECE.finditer(text, at):
        if match[4]:
            depth += 1
        elif match[5]:
            depth -= 1
        elif match[6]:
            found.append((match.start(), match.end(), f'"{MASK}"'))
        elif not match[3]:  # no key
            group = 1 if match[1] is not None else 2
            found.append((*match.span(group), mask_of(match[group])))
        if depth <= 0:
            end = match.end()
            break
    found.append((end, end, ""))  # all of it is done, so that no part is searched again
    return found
