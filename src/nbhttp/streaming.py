r"""Decoders for bodies that arrive in pieces: lines, NDJSON and Server-Sent Events.

They know bytes and nothing of where these come from. `feed` takes the next piece and returns what
it completed, as a list; `close` returns what the end completes. However a body is cut into
pieces, the same comes out:

    >>> decoder = NdjsonDecoder()
    >>> decoder.feed(b'{"id": 1}\n{"i'), decoder.feed(b'd": 2}'), decoder.close()
    ([{'id': 1}], [], [{'id': 2}])

When something is wrong, what came before it is returned first: the error then stands in
`failure`, and the next call raises it. Nothing grows without bound: a line or an event that does
not end is an error.
"""

import codecs
import contextlib
import functools
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from nbhttp._charset import is_charset
from nbhttp._checks import check_count
from nbhttp._habits import SaysHow, of_event
from nbhttp.errors import ConfigError, DecodeError, NbhttpError, StreamError
from nbhttp.redaction import redact_text

__all__ = ["LineDecoder", "NdjsonDecoder", "ServerSentEvent", "SseDecoder"]

DEFAULT_MAX_LINE = 16 * 1024 * 1024
MAX_COLLECTED = 1000

_T = TypeVar("_T")
_BOM = "\ufeff"
_BOM_UTF8 = _BOM.encode()
_REPLACEMENT = "\ufffd"
_REPLACEMENT_UTF8 = _REPLACEMENT.encode()
_MOST_DIGITS = 15  # a retry of more milliseconds is 30,000 years


@dataclass(frozen=True, slots=True, repr=False)
class ServerSentEvent(SaysHow):
    """One event of an event stream.

    Attributes:
        event: Its type; "message" when the server named none.
        data: Its data lines, joined by line feeds: a `str`. Where JSON was asked for, the decoded
            value.
        id: The last event ID when it was dispatched: its own or an earlier event's; "" for none.
        retry: Milliseconds to wait before reconnecting, if sent with this event; else None.
    """

    _habits: ClassVar[Mapping[str, str]] = of_event

    event: str = "message"
    data: Any = ""
    id: str = ""
    retry: int | None = None

    def __repr__(self) -> str:
        event, id_ = _excerpt(self.event, 200), _excerpt(self.id, 200)
        if isinstance(self.data, str):
            data = repr(_excerpt(self.data, 200))
        else:
            data = _excerpt(reprlib.repr(self.data), 200)
        return f"ServerSentEvent(event={event!r}, data={data}, id={id_!r}, retry={self.retry})"


class _LineBuffer:
    """Keeps the unfinished line between two pieces.

    Args:
        splits_at_cr: Whether CR and CRLF end a line too; they come out as LF.
    """

    def __init__(self, *, splits_at_cr: bool) -> None:
        self._splits_at_cr = splits_at_cr
        self._skips_lf = False  # the last byte was a CR, which ended its line; its LF may follow
        self._parts: list[bytes] = []
        self.size = 0  # bytes in `_parts`

    def feed(self, data: bytes) -> bytes:
        """Return the lines that `data` completes, each ending in LF."""
        if self._splits_at_cr:
            data = self._normalise(data)
        end = data.rfind(b"\n") + 1
        if not end:
            if data:
                self._parts.append(data)
                self.size += len(data)
            return b""
        # A view spares the copy that a slice would be.
        block = b"".join((*self._parts, memoryview(data)[:end])) if self._parts else data[:end]
        self._parts = [data[end:]] if end < len(data) else []
        self.size = len(data) - end
        return block

    def take(self) -> bytes:
        """Return the unfinished line and forget it."""
        rest = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return rest

    def _normalise(self, data: bytes) -> bytes:
        if self._skips_lf and data:
            data = data.removeprefix(b"\n")
            self._skips_lf = False
        if b"\r" in data:
            self._skips_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


def _cut_at_long_line(block: bytes, max_line: int) -> tuple[bytes, bool]:
    """Return the lines before the first that is too long, and whether there is one."""
    if len(block) <= max_line:
        return block, False
    good = 0
    for line in block.split(b"\n"):
        if len(line) > max_line:
            return block[:good], True
        good += len(line) + 1
    return block, False


class Decoder(Generic[_T]):
    """What the decoders share: the first failure waits for what came before it.

    Attributes:
        received: Bytes fed so far.
        failure: What ended the decoding; None while all is well. Every further call raises it.
    """

    def __init__(self) -> None:
        self.received = 0
        self.failure: NbhttpError | None = None

    def feed(self, data: bytes) -> list[_T]:
        """Return what `data` completes; the error in `failure` when there is nothing before it."""
        self.received += len(data)
        return self._run(data, is_last=False)

    def close(self) -> list[_T]:
        """Return what the end of the body completes; errors as in `feed`."""
        return self._run(b"", is_last=True)

    def _run(self, data: bytes, *, is_last: bool) -> list[_T]:
        if self.failure is not None:
            raise self.failure
        out: list[_T] = []
        try:
            if is_last:
                self._close(out)
            else:
                self._feed(data, out)
        except NbhttpError as exc:
            self.failure = exc
            if not out:
                raise
        return out

    def _feed(self, data: bytes, out: list[_T]) -> None:
        raise NotImplementedError

    def _close(self, out: list[_T]) -> None:
        raise NotImplementedError

    def _too_long(self, what: str, most: int) -> StreamError:
        return StreamError(
            f"{what} is longer than the {most:,} bytes allowed, "
            f"within the first {self.received:,} bytes of the stream",
            received=self.received,
            hint="Raise the limit if such sizes are right; else the server sends something else.",
        )


class LineDecoder(Decoder[str]):
    """Turns bytes into lines of text, without their ends.

    A line ends at LF, CRLF or CR and at nothing else: U+2028 and the like stay in the line. A
    last line without an end counts. A byte order mark at the start is dropped.

    Args:
        encoding: The text's character encoding.
        errors: "replace" puts U+FFFD where bytes make no character; "strict" fails.
        max_line: Bytes to allow in one line (as UTF-8 where the encoding is not based on ASCII).

    Attributes:
        replaced: How many U+FFFD were put in.
        lines: Lines given so far.

    Raises:
        ConfigError: An argument is wrong.
        StreamError: (`feed`, `close`) A line is longer than `max_line`.
        DecodeError: (`feed`, `close`) With "strict": bytes are not text in this encoding.
    """

    def __init__(
        self,
        encoding: str = "utf-8",
        *,
        errors: Literal["replace", "strict"] = "replace",
        max_line: int = DEFAULT_MAX_LINE,
    ) -> None:
        super().__init__()
        if errors not in ("replace", "strict"):
            raise ConfigError(f"errors must be 'replace' or 'strict', got {errors!r}")
        self.replaced = 0
        self.lines = 0
        self._name = encoding
        self._is_strict = errors == "strict"
        self._max_line = check_count("max_line", max_line)
        self._buffer = _LineBuffer(splits_at_cr=True)
        self._is_at_start = True
        # Where line ends are not the bytes of ASCII, or a byte may be part of a state, all is
        # turned into UTF-8 first.
        self._transcoder: codecs.IncrementalDecoder | None = None
        self._encoding = _checked_encoding(encoding)
        if not _extends_ascii(self._encoding):
            self._transcoder = codecs.getincrementaldecoder(self._encoding)()
            self._encoding = "utf-8"

    def _feed(self, data: bytes, out: list[str]) -> None:
        if self._transcoder is None:
            self._split(data, out)
        else:
            self._split_transcoded(self._transcoder, data, out, is_last=False)

    def _close(self, out: list[str]) -> None:
        if self._transcoder is not None:
            self._split_transcoded(self._transcoder, b"", out, is_last=True)
        rest = self._buffer.take()
        if rest:
            self._add(rest + b"\n", out)

    def _split(self, data: bytes, out: list[str]) -> None:
        block, is_cut = _cut_at_long_line(self._buffer.feed(data), self._max_line)
        if block:
            self._add(block, out)
        if is_cut or self._buffer.size > self._max_line:
            raise self._too_long(f"line {self.lines + 1:,}", self._max_line)

    def _add(self, block: bytes, out: list[str]) -> None:
        try:
            text = block.decode(self._encoding)
        except UnicodeDecodeError as exc:
            if self._is_strict:
                self._add_before(block, exc.start, out)
                raise self._undecodable(exc.reason) from None
            text = self._replace(block)
        if self._is_at_start:
            self._is_at_start = False
            text = text.removeprefix(_BOM)
        lines = text.split("\n")
        lines.pop()
        self.lines += len(lines)
        out += lines

    def _add_before(self, block: bytes, at: int, out: list[str]) -> None:
        """Add the lines that are whole before the byte at `at`."""
        good = block[: block.rfind(b"\n", 0, at) + 1]
        if good:
            self._add(good, out)

    def _replace(self, block: bytes) -> str:
        text = block.decode(self._encoding, "replace")
        genuine = block.count(_REPLACEMENT_UTF8) if self._encoding == "utf-8" else 0
        self.replaced += text.count(_REPLACEMENT) - genuine
        return text

    def _split_transcoded(
        self, transcoder: codecs.IncrementalDecoder, data: bytes, out: list[str], *, is_last: bool
    ) -> None:
        state = transcoder.getstate()
        try:
            text = transcoder.decode(data, is_last)
        except UnicodeDecodeError as exc:
            transcoder.setstate(state)
            if self._is_strict:
                good = transcoder.decode(data[: max(0, exc.start - len(state[0]))])
                self._split(_to_utf8(good), out)
                raise self._undecodable(exc.reason) from None
            transcoder.errors = "replace"
            text = transcoder.decode(data, is_last)
            transcoder.errors = "strict"
            self.replaced += text.count(_REPLACEMENT)
        self._split(_to_utf8(text), out)

    def _undecodable(self, reason: str) -> DecodeError:
        return DecodeError(
            f"line {self.lines + 1:,} is not {self._name} text: {reason}",
            hint="Name the right encoding, or pass errors='replace' to see what can be read.",
        )


def _to_utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _checked_encoding(encoding: str) -> str:
    with contextlib.suppress(LookupError, ValueError):
        name = codecs.lookup(encoding).name
        if is_charset(name) or name == "utf-7":  # who asks for it means it
            return "utf-8" if name == "utf-8-sig" else name
    # Outside of the block: Python's error quotes the argument as it is.
    raise ConfigError(f"unknown text encoding {encoding!r}")


@functools.cache
def _extends_ascii(encoding: str) -> bool:
    """Tell whether ASCII bytes mean themselves, always: then LF and CR are found as bytes.

    UTF-16, EBCDIC and codecs with escapes (UTF-7, ISO-2022-JP, HZ) fail. In the multi-byte
    ones that pass, no byte of a character is below 0x30.
    """
    ascii_bytes = bytes(range(128))
    try:
        return ascii_bytes.decode(encoding) == ascii_bytes.decode("ascii")
    except ValueError:
        return False


class NdjsonDecoder(Decoder[Any]):
    """Turns bytes into the values of NDJSON (JSON lines): one JSON value a line, in UTF-8.

    Lines end at LF alone; CR before it, blank lines, a byte order mark at the start and the
    record separators of RFC 7464 are skipped. A last line without an end counts. Values are as
    exact as `RequestResult.json()`'s: integers of any size, NaN as Python's `json` reads it.

    Args:
        on_error: What a bad line does: "raise" fails with its number; "skip" leaves it out and
            counts it in `skipped`; "collect" also keeps the first 1,000 errors in `errors`.
        max_line: Bytes to allow in one line; a longer one is a bad line and is not kept.

    Attributes:
        line_number: Lines seen so far, blank ones counted.
        skipped: Bad lines left out so far.
        errors: Their errors, for "collect".

    Raises:
        ConfigError: An argument is wrong.
        DecodeError: (`feed`, `close`) With "raise": a line is not JSON, or too long.
    """

    def __init__(
        self,
        *,
        on_error: Literal["raise", "skip", "collect"] = "raise",
        max_line: int = DEFAULT_MAX_LINE,
    ) -> None:
        super().__init__()
        if on_error not in ("raise", "skip", "collect"):
            raise ConfigError(f"on_error must be 'raise', 'skip' or 'collect', got {on_error!r}")
        self.line_number = 0
        self.skipped = 0
        self.errors: list[DecodeError] = []
        self._on_error = on_error
        self._max_line = check_count("max_line", max_line)
        self._buffer = _LineBuffer(splits_at_cr=False)
        self._is_at_start = True
        self._drops_line = False  # the line that is still coming is too long and already reported

    def _feed(self, data: bytes, out: list[Any]) -> None:
        block = self._buffer.feed(data)
        if block:
            self._add(block, out)
        if self._buffer.size > self._max_line:
            start = self._buffer.take()
            if not self._drops_line:
                self._drops_line = True
                self._refuse(self.line_number + 1, self._too_long_reason(), start)

    def _close(self, out: list[Any]) -> None:
        rest = self._buffer.take()
        if rest or self._drops_line:
            self._add(rest + b"\n", out)

    def _add(self, block: bytes, out: list[Any]) -> None:
        if self._is_at_start:
            self._is_at_start = False
            block = block.removeprefix(_BOM_UTF8)
        lines = block.split(b"\n")
        lines.pop()
        if self._drops_line:
            self._drops_line = False
            self.line_number += 1
            del lines[0]
        if len(block) <= self._max_line and self._add_at_once(block, lines, out):
            return
        for line in lines:
            self._add_line(line, out)

    def _add_at_once(self, block: bytes, lines: list[bytes], out: list[Any]) -> bool:
        """Add all lines the fast way; False when one of them needs a closer look."""
        import orjson

        from nbhttp._json import has_long_integer

        if has_long_integer(block):
            return False
        try:
            values = list(map(orjson.loads, filter(None, lines)))
        except orjson.JSONDecodeError:
            return False
        self.line_number += len(lines)
        out += values
        return True

    def _add_line(self, line: bytes, out: list[Any]) -> None:
        from nbhttp._json import JsonError, loads

        self.line_number += 1
        if len(line) > self._max_line:
            self._refuse(self.line_number, self._too_long_reason(), line)
            return
        record = line.lstrip(b" \t\r\x1e").rstrip(b" \t\r")
        if not record:
            return
        try:
            out.append(loads(record))
        except JsonError as exc:
            self._refuse(self.line_number, _reason(exc.reason, exc.position), record)

    def _too_long_reason(self) -> str:
        return f"longer than the {self._max_line:,} bytes allowed"

    def _refuse(self, number: int, reason: str, line: bytes) -> None:
        """Raise, or count the line as bad and go on."""
        excerpt = _excerpt(line[:2000].decode("utf-8", "replace"), 80)
        error = DecodeError(
            f"line {number:,} is no JSON record ({reason}): {excerpt}",
            hint="Pass on_error='skip' or on_error='collect' to go on without such lines.",
        )
        if self._on_error == "raise":
            raise error
        self.skipped += 1
        if self._on_error == "collect" and len(self.errors) < MAX_COLLECTED:
            self.errors.append(error)


def _reason(what: str, position: int | None) -> str:
    return what if position is None else f"{what} at character {position + 1:,}"


def _excerpt(text: str, most: int) -> str:
    text = redact_text(text[: 10 * most])
    return text if len(text) <= most else text[: most - 1] + "…"


class SseDecoder(Decoder[ServerSentEvent]):
    """Turns bytes into events, by the WHATWG HTML standard, "Interpreting an event stream".

    Comments and unknown fields are ignored, and so is an event that the end of the stream cuts
    off. Bytes that are not UTF-8 become U+FFFD, as the standard asks.

    Args:
        last_event_id: The last event ID to begin with, when this stream continues another.
        max_event: Bytes to allow in one line, and characters in one event's data.

    Attributes:
        last_event_id: The ID to send as Last-Event-ID when reconnecting now: that of the last
            event that came whole.
        retry: The server's reconnection time in milliseconds; None until it sends one.

    Raises:
        ConfigError: An argument is wrong.
        StreamError: (`feed`) A line or an event is larger than `max_event`.
    """

    def __init__(self, last_event_id: str = "", *, max_event: int = DEFAULT_MAX_LINE) -> None:
        super().__init__()
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._max_event = check_count("max_event", max_event)
        self._buffer = _LineBuffer(splits_at_cr=True)
        self._is_at_start = True
        self._event = ""
        self._data: list[str] = []
        self._data_size = 0
        self._id = last_event_id
        self._event_retry: int | None = None

    @property
    def is_within_event(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._data or self._event or self._buffer.size)

    def _feed(self, data: bytes, out: list[ServerSentEvent]) -> None:
        block, is_cut = _cut_at_long_line(self._buffer.feed(data), self._max_event)
        if block:
            self._add(block, out)
        if is_cut or self._buffer.size > self._max_event:
            raise self._too_long("a line of the event stream", self._max_event)

    def _close(self, out: list[ServerSentEvent]) -> None:  # noqa: ARG002 - an end completes no event
        """Drop the event that never ended."""
        self._buffer.take()
        self._data.clear()

    def _add(self, block: bytes, out: list[ServerSentEvent]) -> None:
        text = block.decode("utf-8", "replace")
        if self._is_at_start:
            self._is_at_start = False
            text = text.removeprefix(_BOM)
        lines = text.split("\n")
        lines.pop()
        for line in lines:
            if line:
                name, _, value = line.partition(":")
                self._take_field(name, value[1:] if value[:1] == " " else value)
            else:
                self._dispatch(out)

    def _take_field(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > self._max_event + 1:
                raise self._too_long("an event's data", self._max_event)
        elif name == "event":
            self._event = value
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
            self.retry = self._event_retry = int(value)

    def _dispatch(self, out: list[ServerSentEvent]) -> None:
        self.last_event_id = self._id
        if self._data:
            data = self._data[0] if len(self._data) == 1 else "\n".join(self._data)
            out.append(ServerSentEvent(self._event or "message", data, self._id, self._event_retry))
            self._data.clear()
            self._data_size = 0
        self._event = ""
        self._event_retry = None
