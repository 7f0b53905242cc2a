"""What a body is, found out once; then shown as that, as much of it as fits."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from nbhttp._charset import choose
from nbhttp._marks import clip, visible
from nbhttp._render.blocks import Block, Fold, Lines, Note, Pairs, Picture, Span, Tree
from nbhttp._render.limits import Limits
from nbhttp._render.paths import python_path
from nbhttp._render.units import bytes_text, count
from nbhttp._render.views.markup import extract, source, title_of
from nbhttp._render.views.media import Kind, hex_head, recognise
from nbhttp._render.views.table import Records, Sheet, find_records, is_envelope, read_sheet
from nbhttp._render.views.tree import kind_of, scalar, tree, value_under
from nbhttp.redaction import name_for, redact_body, redact_text

if TYPE_CHECKING:
    from nbhttp.result import RequestResult

__all__ = ["Reading", "read", "read_request"]

_HEAD = 32 * 1024  # bytes of a text that are decoded, redacted and split to show its beginning
_LARGEST_IMAGE = 512 * 1024
_MOST_PIXELS = 40_000_000  # a small file can be a picture that fills the memory


class Reading(Protocol):
    """A body that was recognised."""

    @property
    def words(self) -> str:
        """What it is in one line: "JSON, list of 50 objects"."""
        raise NotImplementedError

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return as much of it as `limits` allow."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Empty:
    """No body."""

    words: str

    def blocks(self, limits: Limits) -> tuple[Block, ...]:  # noqa: ARG002 - the protocol's
        """Return nothing: the words say it all."""
        return ()


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON document, with its list of records when there is one.

    Attributes:
        name: "JSON", or what kind of it.
        document: Decoded.
        records: The list of records in it; None when there is none.
        is_response: Whether it is `r.json()`.
    """

    name: str
    document: Any
    records: Records | None
    is_response: bool = True

    @property
    def words(self) -> str:
        """What it is in one line."""
        return f"{self.name}, {kind_of(self.document)}"

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the table of records, if any, and the tree."""
        whole: Tree = tree(self.document, limits, is_response=self.is_response)
        if self.records is None or limits.rows < 2:
            return (whole,)
        if not is_envelope(self.document, self.records):
            grid = self.records.grid(limits)
            place = python_path(self.records.steps)
            return (whole, Fold("Table", (grid,), f"{grid.caption} in {place}"))
        # The table shows the rows; the tree is there for what is nested in one.
        few = replace(limits, items=min(limits.items, 3))
        whole = tree(self.document, few, is_response=self.is_response)
        beside = _beside(self.document, limits)
        folded = Fold("Tree", (whole,), kind_of(self.document), in_text="none")
        return (*beside, self.records.grid(limits), folded)


def _beside(document: Any, limits: Limits) -> tuple[Block, ...]:
    """Return what an envelope says beside its records, like the total and the next page."""
    if not isinstance(document, dict):
        return ()
    scalars = [(k, v) for k, v in document.items() if not isinstance(v, (dict, list))]
    spans: list[Span] = []
    for key, value in scalars[: min(8, limits.keys)]:
        shown = scalar(
            value_under(name_for(document, key), value, limits.string), value, limits.string
        )
        name = clip(redact_text(key[: limits.string * 4]), min(60, limits.string))
        spans += [Span(" · " if spans else "", "dim"), Span(f"{name}: ", "dim"), shown]
    return (Note(tuple(spans)),) if spans else ()


@dataclass(frozen=True, slots=True)
class JsonLines:
    """One JSON document on each line.

    Attributes:
        total: Lines that are not empty.
        sample: The first ones, decoded.
        records: The sample as a table; None when it is not all objects.
        broken: What is wrong with the first line that is no JSON; "" when all shown ones are.
        is_whole: Whether `sample` is all of them.
    """

    total: int
    sample: list[Any]
    records: Records | None
    broken: str
    is_whole: bool

    @property
    def words(self) -> str:
        """What it is in one line."""
        return f"NDJSON, {count(self.total, 'line')}" + (f"; {self.broken}" if self.broken else "")

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the lines as a table, or one after the other."""
        whole = tree(self.sample, limits, is_response=False)
        hidden = self.total - min(len(self.sample), limits.items)
        if hidden > 0 and not self.is_whole:
            whole.root.more = f"… {count(hidden, 'more line')}"
            whole.root.value = Span(f"{count(self.total, 'line')}", "dim")
        if self.records is None:
            return (whole,)
        folded = Fold("Tree", (whole,), "the first lines", in_text="none")
        return (self.records.grid(limits), folded)


@dataclass(frozen=True, slots=True)
class SheetBody:
    """CSV or TSV."""

    name: str
    sheet: Sheet

    @property
    def words(self) -> str:
        """What it is in one line."""
        return f"{self.name}, fields separated by {self.sheet.separator_words}"

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the table."""
        return (self.sheet.grid(limits),)


@dataclass(frozen=True, slots=True)
class MarkupBody:
    """HTML or XML."""

    name: str
    text: str
    is_html: bool
    is_cut: bool

    @property
    def words(self) -> str:
        """What it is in one line, an HTML page with its title."""
        title = clip(title_of(self.text), 120) if self.is_html else ""
        return f"{self.name}, “{title}”" if title else self.name

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the readable text of a page, and the source."""
        shown = source(self.text, limits, is_html=self.is_html, is_cut=self.is_cut)
        if not self.is_html:
            return (shown,)
        text = extract(self.text, limits)
        if not text.lines:
            return (shown,)
        return (text, Fold("Source", (shown,), "indented", in_text="none"))


@dataclass(frozen=True, slots=True)
class TextBody:
    """Any other text."""

    words: str
    text: str
    size: int
    is_cut: bool

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return its first lines."""
        shown = clip(self.text, limits.characters)
        all_lines = shown.splitlines()
        longest = limits.string * 2
        lines = tuple((Span(clip(line, longest)),) for line in all_lines[: limits.lines])
        is_cut = self.is_cut or len(self.text) > limits.characters or len(all_lines) > len(lines)
        return (Lines(lines, f"… the beginning of {bytes_text(self.size)}" if is_cut else ""),)


@dataclass(frozen=True, slots=True)
class FormBody:
    """A form, as browsers send it."""

    fields: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """What it is in one line."""
        return f"form, {count(len(self.fields), 'field')}"

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return its fields."""
        shown = tuple(
            (clip(name, limits.string), clip(value, limits.string))
            for name, value in self.fields[: limits.fields]
        )
        hidden = len(self.fields) - len(shown)
        more = f"… {count(hidden, 'more field')}" if hidden else ""
        return (Pairs("Form", ("Field", "Value"), shown, more),)


@dataclass(frozen=True, slots=True)
class BinaryBody:
    """A file of a known kind, or bytes of an unknown one."""

    kind: Kind
    body: bytes

    @property
    def words(self) -> str:
        """What it is in one line."""
        return self.kind.words

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the picture, or what is known about the file and its first bytes."""
        if self.kind.is_image:
            return self._picture(limits)
        facts = tuple(
            (name, clip(redact_text(value), limits.string)) for name, value in self.kind.facts
        )
        words = " · ".join(f"{name}: {value}" for name, value in facts)
        known = (Note((Span(words),)),) if facts else ()
        return (*known, hex_head(self.body, min(8, limits.lines)))

    def _picture(self, limits: Limits) -> tuple[Block, ...]:
        if len(self.body) > _LARGEST_IMAGE:
            return (
                _quiet(f"Not shown: larger than {bytes_text(_LARGEST_IMAGE)}. r.save(…) keeps it."),
            )
        if self.kind.width * self.kind.height > _MOST_PIXELS:
            return (_quiet(f"Not shown: more than {_MOST_PIXELS:,} pixels. r.save(…) keeps it."),)
        picture = Picture(self.kind.media_type, self.body, self.kind.words)
        if self.kind.media_type != "image/svg+xml":
            return (picture,)
        text = redact_text(self.body[:_HEAD].decode("utf-8", "replace"))
        shown = source(text, limits, is_html=False, is_cut=len(self.body) > _HEAD)
        return (picture, Fold("Source", (shown,), "indented"))


def _quiet(text: str) -> Note:
    return Note((Span(text),), is_quiet=True)


# Recognising


@dataclass(frozen=True, slots=True)
class _Given:
    """A body with what was declared about it."""

    body: bytes
    content_type: str
    media_type: str
    load: Callable[[], Any]
    is_response: bool

    @property
    def head(self) -> str:
        """Its first characters as text, redacted."""
        return redact_body(_decoded(self.body[:_HEAD], self.content_type), self.content_type)

    @property
    def is_cut(self) -> bool:
        """Whether `head` is only the beginning."""
        return len(self.body) > _HEAD


def read(result: "RequestResult") -> Reading:
    """Find out what the body of a response is: by its type, and by its bytes where that lies."""
    body = result.content
    if not body:
        return Empty(_why_empty(result))
    field = result.headers.get("content-type", "")
    return _recognised(_Given(body, field, result.content_type, result.json, True))


def read_request(body: bytes, content_type: str) -> Reading:
    """Find out what the body of a request is."""

    def load() -> Any:
        from nbhttp._json import loads

        return loads(body)

    media_type = content_type.partition(";")[0].strip().lower()
    return _recognised(_Given(body, content_type, media_type, load, False))


def _why_empty(result: "RequestResult") -> str:
    if result.method == "HEAD":
        return "no body: HEAD asks for the fields alone"
    if result.status_code in {204, 205, 304}:
        return f"no body: {result.status_code} never has one"
    return "empty body"


def _recognised(given: _Given) -> Reading:
    kind = recognise(given.body)
    if kind is not None:
        return BinaryBody(kind, given.body)
    for attempt in (_json_lines, _json, _sheet, _markup, _form):
        reading = attempt(given)
        if reading is not None:
            return reading
    return _text_or_bytes(given, "")


_JSON_LINES = frozenset(
    "application/x-ndjson application/ndjson application/jsonl application/x-jsonlines application/jsonlines "
    "application/json-seq application/x-json-stream text/x-ndjson".split()
)
_UNTOLD = frozenset(["", "text/plain", "application/octet-stream", "binary/octet-stream"])
_JSON_NAMES = {
    "application/problem+json": "Problem details (JSON)",
    "application/geo+json": "GeoJSON",
    "application/ld+json": "JSON-LD",
    "application/vnd.api+json": "JSON:API",
    "application/hal+json": "HAL (JSON)",
}


def _json(given: _Given) -> Reading | None:
    declared = given.media_type == "application/json" or given.media_type.endswith(
        ("+json", "/json")
    )
    if not declared and not (
        given.media_type in _UNTOLD and given.body[:64].lstrip()[:1] in {b"{", b"["}
    ):
        return None
    try:
        document = given.load()
    except ValueError as exc:
        if not declared:
            return None
        # DecodeError's text names the request again; its cause is enough here.
        why = str(exc.__context__ or exc)
        return _text_or_bytes(given, f"not readable as JSON ({redact_text(why)[:200]})")
    except RecursionError:
        return _text_or_bytes(given, "not readable as JSON (nested too deeply)")
    name = _JSON_NAMES.get(given.media_type, "JSON")
    records = find_records(document) if given.is_response else None
    return JsonBody(name, document, records, given.is_response)


def _json_lines(given: _Given) -> Reading | None:
    if given.media_type not in _JSON_LINES:
        return None
    from nbhttp._json import JsonError, loads

    total = given.body.count(b"\n") + (not given.body.endswith(b"\n"))
    lines = [line for line in given.body[: 4 * _HEAD].split(b"\n") if line.strip(b" \t\r\x1e")]
    is_whole = len(given.body) <= 4 * _HEAD
    lines, total = (lines, len(lines)) if is_whole else (lines[:-1], total)
    sample: list[Any] = []
    broken = ""
    for number, line in enumerate(lines[:1000], 1):
        try:
            sample.append(loads(line.strip(b" \t\r\x1e")))
        except (JsonError, RecursionError):
            broken = f"line {number} is not JSON"
            break
    if not sample:
        return _text_or_bytes(given, "declared as NDJSON, but its first line is not JSON")
    is_table = all(isinstance(row, dict) for row in sample) and any(sample)
    records = Records.lines(sample, total) if is_table else None
    return JsonLines(total, sample, records, broken, is_whole and len(sample) == total)


def _sheet(given: _Given) -> Reading | None:
    names = {"text/csv": "CSV", "application/csv": "CSV", "text/tab-separated-values": "TSV"}
    name = names.get(given.media_type)
    if name is None:
        return None
    whole = len(given.body) <= 2 * 1024 * 1024
    text = _decoded(given.body if whole else given.body[: 4 * _HEAD], given.content_type)
    if "\x00" in text:
        return None
    lines = given.body.count(b"\n") + (not given.body.endswith(b"\n"))
    sheet = read_sheet(text, len(given.body), lines, "\t" if name == "TSV" else "")
    return None if sheet is None else SheetBody(name, sheet)


def _markup(given: _Given) -> Reading | None:
    start = given.body[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if given.media_type == "image/svg+xml" or (
        given.media_type in _UNTOLD | {"application/xml", "text/xml"} and start.startswith(b"<svg")
    ):
        return BinaryBody(Kind("SVG drawing", "image/svg+xml"), given.body)
    if given.media_type in {"text/html", "application/xhtml+xml"} or (
        given.media_type in _UNTOLD and start.startswith((b"<!doctype html", b"<html"))
    ):
        return MarkupBody(f"HTML page{_charset_words(given)}", given.head, True, given.is_cut)
    if (
        given.media_type in {"application/xml", "text/xml"}
        or given.media_type.endswith("+xml")
        or (given.media_type in _UNTOLD and start.startswith(b"<?xml"))
    ):
        return MarkupBody(f"XML document{_charset_words(given)}", given.head, False, given.is_cut)
    return None


def _charset_words(given: _Given) -> str:
    encoding = choose(given.body, given.content_type).encoding
    return "" if encoding in {"utf-8", "UTF-8"} else f" in {clip(encoding, 40)}"


def _form(given: _Given) -> Reading | None:
    if given.media_type != "application/x-www-form-urlencoded":
        return None
    fields = parse_qsl(given.head, keep_blank_values=True, max_num_fields=None)
    return FormBody(tuple(fields)) if fields else None


def _text_or_bytes(given: _Given, trouble: str) -> Reading:
    text = given.head
    sample = text[:4096]
    odd = sum(
        1 for char in sample if char == "\ufffd" or (char < " " and char not in "\t\n\r\x0c\x1b")
    )
    if odd * 10 > len(sample) or "\x00" in sample[:512]:
        words = "binary data" + (f"; {trouble}" if trouble else "")
        return BinaryBody(Kind(words), given.body)
    charset = choose(given.body, given.content_type)
    words = (
        f"text in {clip(visible(charset.encoding), 40)} ({clip(redact_text(charset.reason), 100)})"
    )
    return TextBody(
        f"{trouble}; {words}" if trouble else words, text, len(given.body), given.is_cut
    )


def _decoded(data: bytes, content_type: str) -> str:
    """Decode a beginning: a character cut in two at its end is left out."""
    encoding = choose(data, content_type).encoding
    try:
        return codecs.getincrementaldecoder(encoding)("replace").decode(data)
    except LookupError:
        return data.decode(encoding, "replace")
