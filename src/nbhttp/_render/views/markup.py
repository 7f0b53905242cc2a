"""HTML and XML as indented, coloured source, and HTML as the text a reader would see.

Nothing here is ever given to a browser as markup. The lexer takes any text, never fails, and
reads each character once: what is not closed runs to the end.
"""

import html
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from nbhttp._marks import clip
from nbhttp._render.blocks import Line, Lines, Role, Span
from nbhttp._render.limits import Limits
from nbhttp._render.units import count

__all__ = ["Token", "extract", "source", "title_of", "tokens"]

_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_RAW = frozenset(["script", "style", "textarea", "title"])  # their content is text
_SKIPPED = frozenset(["script", "style", "template", "noscript", "svg", "head"])
_ENDS_ITSELF = frozenset(["li", "p", "tr", "td", "th", "dt", "dd", "option", "thead", "tbody"])
_BREAKS = frozenset(
    """
    address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure
    footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p pre section summary table tr ul
    """.split()
)
_NAME = re.compile(r"[^\s/>]+")
_ATTRIBUTE = re.compile(r"""([^\s=/>"']+)(\s*=\s*)?("[^"]*"|'[^']*'|[^\s"'>]+)?|(.)""", re.DOTALL)
_DEEPEST = 12


class Token(NamedTuple):
    """A piece of markup."""

    kind: Literal["open", "close", "empty", "text", "comment", "other"]
    text: str
    name: str = ""


def tokens(text: str, *, is_html: bool) -> Iterator[Token]:
    """Split markup into tags, texts, comments and the rest.

    Args:
        text: The source, or the beginning of it.
        is_html: Whether names are case-insensitive and scripts hold text (HTML), or not (XML).
    """
    at = 0
    while at < len(text):
        start = text.find("<", at)
        if start < 0:
            yield Token("text", text[at:])
            return
        if start > at:
            yield Token("text", text[at:start])
        token = _markup(text, start, is_html)
        yield token
        at = start + len(token.text)
        if is_html and token.kind == "open" and token.name in _RAW:
            end = _raw_end(text, at, token.name)
            if end > at:
                yield Token("text", text[at:end])
            at = end


def _raw_end(text: str, at: int, name: str) -> int:
    match = re.compile(rf"</{name}[\s/>]", re.IGNORECASE).search(text, at)
    return match.start() if match else len(text)


def _markup(text: str, start: int, is_html: bool) -> Token:
    for opening, closing in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"), ("<!", ">")):
        if text.startswith(opening, start):
            kind: Literal["comment", "other"] = "comment" if opening == "<!--" else "other"
            return Token(kind, _until(text, start, closing))
    match = _NAME.match(text, start + 1 + text.startswith("</", start))
    if match is None or not match[0][0].isalpha():
        return Token("text", "<")
    whole = _whole_tag(text, start)
    name = match[0].lower() if is_html else match[0]
    if whole.startswith("</"):
        return Token("close", whole, name)
    is_empty = whole.endswith("/>") or (is_html and name in _VOID)
    return Token("empty" if is_empty else "open", whole, name)


def _until(text: str, start: int, closing: str) -> str:
    end = text.find(closing, start)
    return text[start:] if end < 0 else text[start : end + len(closing)]


_TAG = re.compile(r"""<(?:[^>"'=]|=\s*+(?:"[^"]*+"|'[^']*+')|[="'])*+>""")


def _whole_tag(text: str, start: int) -> str:
    match = _TAG.match(text, start)
    return match[0] if match else text[start:]


# Source


def source(text: str, limits: Limits, *, is_html: bool, is_cut: bool) -> Lines:
    """Return markup as indented source.

    Args:
        text: The source, or the beginning of it.
        limits: How much to show.
        is_html: Whether it is HTML, else XML.
        is_cut: Whether `text` is only the beginning.
    """
    lines: list[Line] = []
    most = limits.characters
    for line in _source_lines(list(tokens(text, is_html=is_html)), limits, is_html):
        most -= sum(len(span.text) for span in line)
        if len(lines) >= limits.lines or (lines and most < 0):
            return Lines(tuple(lines), "… more")
        lines.append(line)
    return Lines(tuple(lines), "… more" if is_cut else "")


def _source_lines(all_tokens: list[Token], limits: Limits, is_html: bool) -> Iterator[Line]:
    stack: list[str] = []
    at = 0
    while at < len(all_tokens):
        token = all_tokens[at]
        if token.kind == "close":
            _leave(stack, token.name)
        elif is_html and stack and token.name in _ENDS_ITSELF and stack[-1] == token.name:
            stack.pop()
        indent = Span("  " * min(len(stack), _DEEPEST))
        taken, spans = _one_line(all_tokens, at, limits)
        if spans:
            yield (indent, *spans)
        if token.kind == "open" and taken == 1:
            stack.append(token.name)
        at += taken


def _leave(stack: list[str], name: str) -> None:
    if name in stack[-64:]:
        while stack.pop() != name:
            pass


def _one_line(all_tokens: list[Token], at: int, limits: Limits) -> tuple[int, list[Span]]:
    """Return how many tokens go on a line, and the line: `<b>short text</b>` stays together."""
    token = all_tokens[at]
    following = all_tokens[at + 1 : at + 3]
    if token.kind == "open" and following and _closes(following[0], token):
        return 2, _spans(token, limits) + _spans(following[0], limits)
    if token.kind == "open" and len(following) == 2 and _closes(following[1], token):
        middle = following[0]
        if (
            middle.kind == "text"
            and len(middle.text) + len(token.text) < 110
            and "\n" not in middle.text.strip()
        ):
            return 3, [span for part in (token, *following) for span in _spans(part, limits)]
    return 1, _spans(token, limits)


def _closes(token: Token, opened: Token) -> bool:
    return token.kind == "close" and token.name == opened.name


def _spans(token: Token, limits: Limits) -> list[Span]:
    if token.kind in {"open", "close", "empty"}:
        return _tag_spans(token, limits)
    text = " ".join(token.text[: limits.string * 4].split())
    role: Role = {"comment": "comment", "other": "dim"}.get(token.kind, "plain")  # type: ignore[assignment]  # two roles
    return [Span(clip(text, limits.string), role)] if text else []


def _tag_spans(token: Token, limits: Limits) -> list[Span]:
    head = token.text.find(token.text.lstrip("</")[:1])
    end = "/>" if token.text.endswith("/>") else ">" if token.text.endswith(">") else ""
    inner = token.text[head : len(token.text) - len(end)]
    name = _NAME.match(inner)
    written = name[0] if name else ""
    spans = [Span(token.text[:head] + clip(written, limits.string), "tag")]
    left = limits.string
    for match in _ATTRIBUTE.finditer(inner, len(written)):
        if match[4]:
            continue
        if left <= 0:
            spans.append(Span(" …", "dim"))
            break
        spans.append(Span(f" {clip(match[1], left)}" + ("=" if match[2] else ""), "key"))
        if match[2] and match[3]:
            spans.append(Span(clip(match[3], left), "string"))
        left -= len(match[0])
    return [*spans, Span(end, "tag")] if end else spans


# Text


def title_of(text: str) -> str:
    """Return the title of an HTML page; "" when it has none."""
    match = re.search(r"<title[^>]{0,200}>([^<]{0,400})", text[:65536], re.IGNORECASE)
    return " ".join(html.unescape(match[1]).split()) if match else ""


def extract(text: str, limits: Limits) -> Lines:
    """Return what a reader sees of an HTML page: its text, line by line, headings marked with #."""
    found = list(_text_lines(text))
    lines: list[Line] = []
    left = limits.characters
    for line in found:
        if len(lines) >= limits.lines or left <= 0:
            break
        shown = clip(line, left)
        lines.append((Span(shown, "strong" if line.startswith("#") else "plain"),))
        left -= len(line)
    hidden = len(found) - len(lines)
    return Lines(tuple(lines), f"… {count(hidden, 'more line')}" if hidden else "", is_prose=True)


def _text_lines(text: str) -> Iterator[str]:
    pieces: list[str] = []
    hidden = ""
    depth = 0
    for token in tokens(text, is_html=True):
        if hidden:
            depth += (token.kind == "open" and token.name == hidden) - _is_close(token, hidden)
            hidden = hidden if depth else ""
        elif token.kind == "open" and token.name in _SKIPPED:
            hidden, depth = token.name, 1
        elif token.kind == "text":
            pieces.append(html.unescape(token.text))
        elif token.name in _BREAKS:
            yield from _line(pieces)
            pieces = [_lead(token)]
        elif token.name in {"td", "th"} and token.kind == "close":
            pieces.append(" | ")
    yield from _line(pieces)


def _is_close(token: Token, name: str) -> bool:
    return token.kind == "close" and token.name == name


def _lead(token: Token) -> str:
    if token.kind != "open":
        return ""
    if re.fullmatch("h[1-6]", token.name):
        return "#" * int(token.name[1]) + " "
    return "• " if token.name == "li" else ""


def _line(pieces: list[str]) -> Iterator[str]:
    line = " ".join("".join(pieces).split()).strip("| ")
    if line.strip("#• "):
        yield line
