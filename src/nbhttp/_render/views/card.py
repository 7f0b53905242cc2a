"""The card of a result: what was sent, what came back, how long it took, what went wrong."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from nbhttp._explain import explain
from nbhttp._marks import clip
from nbhttp._render.blocks import (
    Bar,
    Block,
    Column,
    Fold,
    Grid,
    Hint,
    Lines,
    Note,
    Pairs,
    Phase,
    Span,
    Title,
)
from nbhttp._render.limits import Limits
from nbhttp._render.units import bytes_text, count, seconds_text
from nbhttp._render.views.body import Empty, Reading, read, read_request
from nbhttp.errors import (
    BodyTooLargeError,
    ConnectError,
    DecodeError,
    NbhttpError,
    ProtocolError,
    StatusError,
    TimeoutError,
    TooManyRedirectsError,
)
from nbhttp.formats.curl import to_curl
from nbhttp.redaction import redact_body, redact_headers, redact_text, redact_url

if TYPE_CHECKING:
    from nbhttp.result import Attempt, RequestResult, RequestSent

__all__ = ["Card", "attempts_grid", "failure_words"]

_LONGEST_BODY_IN_CURL = 4096

_FAILURES: tuple[tuple[type[NbhttpError], str], ...] = (
    (ConnectError, "Not connected"),
    (TimeoutError, "Timed out"),
    (TooManyRedirectsError, "Too many redirections"),
    (BodyTooLargeError, "Body too large"),
    (ProtocolError, "Broken answer"),
    (DecodeError, "Not decodable"),
)
# What a person debugging looks at first; the rest is in the notebook's folded section.
_KEY_FIELDS = frozenset(
    """
    location retry-after link etag last-modified cache-control content-disposition allow
    www-authenticate x-request-id set-cookie x-total-count ratelimit ratelimit-policy
    x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset deprecation sunset warning
    """.split()
)


_MOST_HOPS_OPEN = 6  # a longer chain is folded: most of it says the same again


class Card:
    """A result, read once; `blocks` then shows it within any limits."""

    def __init__(self, result: "RequestResult") -> None:
        self._result = result
        self._exception = result.exception
        self._body: Reading | None = None if result.status_code is None else read(result)
        self._sent: Reading | None = _read_sent(result)

    def blocks(self, limits: Limits) -> tuple[Block, ...]:
        """Return the card, most important first."""
        parts: Iterable[Block | None] = (
            self._title(limits),
            self._facts(limits),
            *self._failure(limits),
            self._timing(),
            self._redirects(limits),
            attempts_grid(self._result.attempts, limits),
            *self._content(limits),
            self._curl(limits),
            self._received_fields(limits),
            self._request(limits),
        )
        return tuple(part for part in parts if part is not None)

    # The head

    def _title(self, limits: Limits) -> Title:
        result = self._result
        return Title(
            _verdict(result, limits),
            _tone(result),
            clip(redact_text(result.method), 40),
            clip(redact_url(result.url[:8192]), max(60, limits.string * 2)),
        )

    def _facts(self, limits: Limits) -> Note:
        result = self._result
        facts = [seconds_text(result.elapsed)]
        if result.status_code is not None:
            declared = clip(redact_text(result.content_type), min(80, limits.string))
            kind = declared or "no content type"
            facts = [kind, self._size(), result.http_version or "", *facts]
        if len(result.attempts) > 1:
            facts.append(count(len(result.attempts), "attempt"))
        if result.redirects:
            facts.append(count(len(result.redirects), "redirection"))
        return Note((Span(" · ".join(fact for fact in facts if fact)),), is_quiet=True)

    def _size(self) -> str:
        result = self._result
        size = bytes_text(len(result.content))
        coding = result.headers.get("content-encoding", "")
        sent = result.headers.get("content-length", "")
        if coding and sent.isascii() and sent.isdigit() and len(sent) < 16 and result.content:
            return f"{size} ({bytes_text(int(sent))} as {clip(redact_text(coding), 20)})"
        return size

    def _timing(self) -> Bar | None:
        timing = self._result.timing
        named = zip(("queue", "connect", "TLS", "send", "wait", "receive"), timing, strict=True)
        phases = tuple(Phase(name, seconds) for name, seconds in named if seconds > 0)
        return Bar(phases) if phases else None

    # What went wrong

    def _failure(self, limits: Limits) -> list[Block]:
        exception = self._exception
        if exception is None:
            return []
        blocks: list[Block] = []
        room = max(60, limits.characters // 3)
        said = self._said(exception)
        if said:
            blocks.append(Note((Span(clip(redact_text(said), room)),)))
        if exception.hint:
            blocks.append(Hint(clip(redact_text(exception.hint), max(60, limits.string))))
        return blocks

    def _said(self, exception: NbhttpError) -> str:
        """Return what the title does not say: the server's explanation, or the error's message."""
        if not isinstance(exception, StatusError):
            return str(exception)
        found = explain(self._result.content, self._result.content_type)
        return f"The server says{found}" if found else ""

    def _redirects(self, limits: Limits) -> "Block | None":
        redirects = self._result.redirects
        if not redirects:
            return None
        shown = redirects[: limits.fields]
        rows = tuple(
            (
                Span(str(hop.status_code), "number"),
                Span(clip(redact_text(hop.method), 20)),
                Span(clip(redact_url(hop.url[:8192]), limits.string)),
                Span(clip(redact_url(hop.location[:8192]), limits.string)),
            )
            for hop in shown
        )
        hidden = len(redirects) - len(shown)
        grid = Grid(
            f"Redirected {count(len(redirects), 'time')}",
            tuple(Column(name, "") for name in ("Status", "Method", "From", "To")),
            rows,
            f"… {count(hidden, 'more')}" if hidden else "",
        )
        if len(redirects) <= _MOST_HOPS_OPEN:
            return grid
        return Fold("Redirections", (grid,), f"{len(redirects):,}, first to last")

    # What came back

    def _content(self, limits: Limits) -> list[Block]:
        if self._body is None:
            return []
        words = clip(redact_text(self._body.words), max(60, limits.string * 2))
        if isinstance(self._body, Empty):
            return [Note((Span("Body: ", "strong"), Span(words)))]
        return [Note((Span("Body: ", "strong"), Span(words))), *self._body.blocks(limits)]

    def _received_fields(self, limits: Limits) -> Fold | None:
        if self._result.status_code is None:
            return None
        fields = redact_headers(_decoded_fields(self._result.headers.raw))
        return _fields_fold("Response headers", fields, limits, key_fields=_KEY_FIELDS)

    # What was sent

    def _request(self, limits: Limits) -> Fold:
        sent = _sent(self._result)
        fields = redact_headers(_decoded_fields(sent.headers))
        headers = _pairs("Request headers", fields, limits)
        inner: list[Block] = [headers] if fields else []
        summary = count(len(fields), "header")
        small = limits.scaled(0.4)
        if self._sent is not None:
            words = clip(redact_text(self._sent.words), limits.string)
            inner += [
                Note((Span("Request body: ", "strong"), Span(words))),
                *self._sent.blocks(small),
            ]
            summary += f", body of {bytes_text(len(sent.body or b''))}"
        elif sent.body is None:
            inner.append(Note((Span("Request body: ", "strong"), Span("streamed, not kept"))))
            summary += ", streamed body"
        if self._exception is None:
            inner.append(self._command(limits))
        return Fold("Request", tuple(inner), summary)

    def _curl(self, limits: Limits) -> Fold | None:
        if self._exception is None:
            return None
        return Fold("Equivalent curl", (self._command(limits),), in_text="whole")

    def _command(self, limits: Limits) -> Lines:
        sent = _sent(self._result)
        fields = redact_headers(_decoded_fields(sent.headers))
        body = _text_for_curl(sent, min(_LONGEST_BODY_IN_CURL, limits.characters * 2))
        command = to_curl(
            sent.method,
            redact_url(sent.url),
            fields,
            body or None,
            body_file="body.bin" if sent.body is None or (sent.body and not body) else "",
        )
        shown = clip(command, limits.characters * 2)
        return Lines(tuple((Span(line, "code"),) for line in shown.split("\n")))


def _verdict(result: "RequestResult", limits: Limits) -> str:
    failure = failure_words(result.exception)
    if result.status_code is None:
        return failure or "No answer"
    reason = clip(redact_text(result.reason_phrase), min(60, limits.string))
    status = f"{result.status_code} {reason}".strip()
    return f"{failure} ({status})" if failure else status


def failure_words(exception: NbhttpError | None) -> str:
    """Return the kind of failure in words; "" when the status says it, or nothing failed."""
    if exception is None or isinstance(exception, StatusError):
        return ""
    for kind, words in _FAILURES:
        if isinstance(exception, kind):
            return words
    return "Failed"


def _tone(result: "RequestResult") -> Literal["ok", "info", "warn", "bad"]:
    if not result.success:
        is_clients = result.status_code is not None and 400 <= result.status_code < 500
        return "warn" if is_clients and isinstance(result.exception, StatusError) else "bad"
    return "info" if result.status_code is not None and result.status_code >= 300 else "ok"


def attempts_grid(attempts: "Sequence[Attempt]", limits: Limits) -> Grid | None:
    """Return what was tried as a table; None when once was enough."""
    if len(attempts) < 2:
        return None
    shown = attempts[-limits.fields :]
    rows = tuple(
        (
            Span(str(attempt.number), "number"),
            Span(seconds_text(attempt.delay) if attempt.delay else "none"),
            Span(_outcome(attempt.status_code, attempt.error, limits)),
            Span(seconds_text(attempt.elapsed)),
        )
        for attempt in shown
    )
    hidden = len(attempts) - len(shown)
    return Grid(
        f"Tried {count(len(attempts), 'time')}",
        tuple(Column(name, "") for name in ("Attempt", "Waited before", "Outcome", "Took")),
        rows,
        f"… {count(hidden, 'earlier one')}" if hidden else "",
    )


def _outcome(status: int | None, error: str | None, limits: Limits) -> str:
    text = redact_text(error) if error else "answered" if status is None else str(status)
    return clip(text, limits.string)


def _sent(result: "RequestResult") -> "RequestSent":
    return result._request  # noqa: SLF001 - the request as it went out is the result's own


def _read_sent(result: "RequestResult") -> Reading | None:
    sent = _sent(result)
    return read_request(sent.body, _content_type(sent)) if sent.body else None


def _text_for_curl(sent: "RequestSent", most: int) -> str:
    """Return the body as a command may hold it, redacted; "" when it cannot."""
    body = sent.body or b""
    if len(body) > most or b"\x00" in body:
        return ""
    try:
        return redact_body(body.decode("utf-8"), _content_type(sent))
    except UnicodeDecodeError:
        return ""


def _content_type(sent: "RequestSent") -> str:
    fields = _decoded_fields(sent.headers)
    return next((value for name, value in fields if name.lower() == "content-type"), "")


def _decoded_fields(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(_field_text(name), _field_text(value)) for name, value in raw]


def _field_text(raw: bytes) -> str:
    """Decode a field: UTF-8 where it is that, else Latin-1 (RFC 9110 section 5.5)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _fields_fold(
    title: str,
    fields: Sequence[tuple[str, str]],
    limits: Limits,
    *,
    key_fields: frozenset[str],
) -> Fold:
    pairs = _pairs(title, fields, limits, key_fields=key_fields)
    return Fold(title, (pairs,), count(len(fields), "header"), in_text="whole")


def _pairs(
    title: str,
    fields: Sequence[tuple[str, str]],
    limits: Limits,
    *,
    key_fields: frozenset[str] = frozenset(),
) -> Pairs:
    shown = tuple(
        (clip(redact_text(name), min(60, limits.string)), clip(value, limits.string))
        for name, value in fields[: limits.fields]
    )
    hidden = len(fields) - len(shown)
    key_rows = tuple(row for row in shown if row[0].lower() in key_fields)[:8]
    more = f"… {count(hidden, 'more header')}" if hidden else ""
    return Pairs(title, ("Name", "Value"), shown, more, key_rows)
