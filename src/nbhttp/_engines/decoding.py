"""Content codings (RFC 9110 section 8.4), one module for every engine.

What comes out is what the server coded, whole, or an error; never a silent part of it:

- a body that ends early, fails its checksum or is followed by other bytes is a `ProtocolError`
  (zero bytes after gzip and deflate are padding and pass, as `gzip` itself has it);
- gzip members and zstd frames follow one another freely; `deflate` is taken with its zlib
  wrapper (the standard) and without (what some servers send);
- an empty body is no error under any coding: answers to HEAD and 304 look like this;
- a coding that nbhttp cannot undo is an error, since passing its bytes on would hand over a
  different body in silence. The field also holds words in the wild that name no coding
  (`identity`, `none`, `utf-8`, `aws-chunked`, …): these leave the body as it is.

Decoding is incremental, in pieces of at most 128 KiB, so that a bomb costs a piece and not its
size: whoever reads decides after each piece whether to go on.
"""

import functools
import importlib.util
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from nbhttp.errors import BodyTooLargeError, ProtocolError

__all__ = ["Decoder", "accept_encoding", "decode_all", "make_decoder"]

MAX_CODINGS = 5

_PIECE = 64 * 1024
# What zlib has not used yet is copied at every call; small slices keep that linear.
_SLICE = 16 * 1024
_BROTLI_PIECE = 32 * 1024  # brotli's buffer grows in steps and may pass the limit threefold
# RFC 9659: a zstd content coding needs no window over 8 MiB, and a decoder need not allow one.
_ZSTD_WINDOW = 8 * 1024 * 1024
# Between stacked codings stands compressed data, which hardly compresses again; a stack that
# swells there is a bomb, however little comes out of it in the end.
_INNER_SLACK = 64 * 1024 * 1024
_INNER_RATIO = 8

_NO_CODING = frozenset(
    {"identity", "none", "binary", "8bit", "7bit", "utf-8", "utf8", "iso-8859-1", "aws-chunked"}
)
_ALIASES = {"x-gzip": "gzip"}


class _DamagedError(Exception):
    """The coded bytes are not what their coding asks for."""


class _Stage(Protocol):
    """One coding being undone."""

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, in small pieces, as they are asked for."""
        ...

    def is_complete(self) -> bool:
        """Tell whether the coded bytes may end here."""
        ...


class _Inflate:
    """gzip (RFC 1952) and deflate (RFC 1950, RFC 1951)."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._head = b""  # deflate: the first byte, until the second tells which kind it is
        self._member: Any = None  # zlib's decompressor; None between members
        self._members = 0

    def push(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE):
            yield from self._inflate(data[start : start + _SLICE])

    def is_complete(self) -> bool:
        return self._member is None and not self._head

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                data = self._open_member(data)
                continue
            try:
                piece = self._member.decompress(data, _PIECE)
                if piece:
                    yield piece
                data = self._member.unconsumed_tail
                while len(piece) == _PIECE and not data and not self._member.eof:
                    piece = self._member.decompress(b"", _PIECE)  # zlib held the rest back
                    yield piece
            except zlib.error as exc:
                raise _DamagedError(str(exc)) from exc
            if self._member.eof:
                data = self._member.unused_data
                self._member = None
                self._members += 1

    def _open_member(self, data: bytes) -> bytes:
        """Make the decompressor for what starts here; return what is left to inflate."""
        if self._members:
            data = data.lstrip(b"\0")
            if data and not (self._is_gzip and data[0] == 0x1F):
                raise _DamagedError("other bytes follow its end")
        if not data:
            return b""
        if self._is_gzip:
            self._member = zlib.decompressobj(wbits=31)
            return data
        data = self._head + data
        if len(data) < 2:
            self._head = data
            return b""
        self._head = b""
        self._member = zlib.decompressobj(wbits=15 if _is_zlib_header(data) else -15)
        return data


def _is_zlib_header(data: bytes) -> bool:
    """Tell zlib's wrapper (RFC 1950 section 2.2) from bare deflate by the first two bytes.

    No encoder writes bare deflate that passes: it would be a stored block with its padding set.
    """
    return data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0


class _Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        brotli = _import_brotli()
        self._error: type[Exception] = brotli.error
        self._decompressor: Any = brotli.Decompressor()
        self._is_started = False

    def push(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE):
            yield from self._process(data[start : start + _SLICE])

    def is_complete(self) -> bool:
        return not self._is_started or bool(self._decompressor.is_finished())

    def _process(self, data: bytes) -> Iterator[bytes]:
        if self._is_started and self._decompressor.is_finished():
            raise _DamagedError("other bytes follow its end")
        self._is_started = True
        try:
            piece = self._decompressor.process(data, output_buffer_limit=_BROTLI_PIECE)
            while piece:
                yield piece
                piece = self._decompressor.process(b"", output_buffer_limit=_BROTLI_PIECE)
        except self._error as exc:
            raise _DamagedError("its bytes make no sense") from exc


class _Zstd:
    """zstd (RFC 8878).

    The library bounds no output, so the input is cut at block borders: one block decodes to at
    most 128 KiB (section 3.1.1.2.4).
    """

    def __init__(self) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        self._frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj(
            read_across_frames=True
        )
        # Where the next byte stands: `_left` bytes of content, then the header whose bytes
        # `_header` collects; `_read_header` is what reads that header once it is whole.
        self._left = 0
        self._header = bytearray()
        self._read_header = self._read_frame_header
        self._has_checksum = False

    def push(self, data: bytes) -> Iterator[bytes]:
        for part in self._cut(data):
            try:
                piece = self._frames.decompress(part)
            except self._error as exc:
                raise _DamagedError(str(exc)) from exc
            if piece:
                yield piece

    def is_complete(self) -> bool:
        is_between_frames = self._read_header == self._read_frame_header
        return is_between_frames and not self._header and not self._left

    def _cut(self, data: bytes) -> Iterator[bytes]:
        start = at = 0
        while at < len(data):
            if self._left:
                taken = min(self._left, len(data) - at)
                at += taken
                self._left -= taken
                if not self._left:
                    yield data[start:at]
                    start = at
                continue
            self._header.append(data[at])
            at += 1
            if self._read_header():
                self._header.clear()
        if start < at:
            yield data[start:at]

    def _read_frame_header(self) -> bool:
        """Read section 3.1.1.1, or 3.1.2 for a skippable frame; False when bytes are missing."""
        header = self._header
        if len(header) < 5:
            return False
        if header[1:4] == b"\x2a\x4d\x18" and header[0] & 0xF0 == 0x50:
            if len(header) < 8:
                return False
            self._left = int.from_bytes(header[4:8], "little")
            return True
        if header[:4] != b"\x28\xb5\x2f\xfd":
            raise _DamagedError("no zstd frame starts here")
        flags = header[4]
        is_single_segment = bool(flags & 0x20)
        size_of_size = (1 if is_single_segment else 0, 2, 4, 8)[flags >> 6]
        size_of_dictionary_id = (0, 1, 2, 4)[flags & 3]
        if len(header) < 5 + (not is_single_segment) + size_of_dictionary_id + size_of_size:
            return False
        self._has_checksum = bool(flags & 0x04)
        self._read_header = self._read_block_header
        return True

    def _read_block_header(self) -> bool:
        """Read section 3.1.1.2; False when bytes are missing."""
        if len(self._header) < 3:
            return False
        fields = int.from_bytes(self._header, "little")
        is_last, kind, size = fields & 1, fields >> 1 & 3, fields >> 3
        self._left = 1 if kind == 1 else size
        if is_last:
            self._left += 4 * self._has_checksum
            self._read_header = self._read_frame_header
        return True


class Decoder:
    """Undoes one body's content codings, piece by piece; made by `make_decoder`.

    Args:
        codings: The codings, in the order in which the server applied them.
        max_size: Decoded bytes to allow; None allows any number.
        refusal: Raised at the first byte of the body, which cannot be decoded; None when it can.

    Attributes:
        codings: The codings, in the order in which the server applied them.
        received: Coded bytes taken so far.
        decoded: Decoded bytes given so far.
    """

    def __init__(
        self,
        codings: tuple[str, ...] = (),
        *,
        max_size: int | None = None,
        refusal: ProtocolError | None = None,
    ) -> None:
        self.codings = codings
        self.received = 0
        self.decoded = 0
        self._max_size = max_size
        self._refusal = refusal
        # Undone in reverse: the last coding applied is the first to come off.
        self._stages = [(name, _STAGES[name]()) for name in reversed(codings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, in pieces of at most 128 KiB.

        Nothing is decoded before it is asked for; go to the end before feeding again.
        Without a coding, `data` itself comes back.

        Raises:
            ProtocolError: The bytes do not follow their coding, or nbhttp cannot undo it.
            BodyTooLargeError: More than `max_size` bytes came out; what was yielded before is
                within the limit.
        """
        if data and self._refusal is not None:
            raise self._refusal
        self.received += len(data)
        pieces: Iterable[bytes] = (data,) if data else ()
        for index, (name, stage) in enumerate(self._stages):
            pieces = self._through(name, stage, pieces, is_last=index == len(self._stages) - 1)
        for piece in pieces:
            self.decoded += len(piece)
            if self._max_size is not None and self.decoded > self._max_size:
                raise _too_large(self._max_size)
            yield piece

    def decode(self, data: bytes) -> bytes:
        """Return all that `data` decodes to.

        Raises:
            ProtocolError: The bytes do not follow their coding.
            BodyTooLargeError: More than `max_size` bytes came out.
        """
        pieces = list(self.feed(data))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def flush(self) -> bytes:
        """End the body; return `b""`, since all that could be decoded has been given.

        Raises:
            ProtocolError: The body ended before its coding did.
        """
        for name, stage in self._stages:
            if not stage.is_complete():
                raise self._damaged(name, "it ended early")
        return b""

    def _through(
        self, name: str, stage: _Stage, pieces: Iterable[bytes], *, is_last: bool
    ) -> Iterator[bytes]:
        passed = 0
        try:
            for piece in pieces:
                for decoded in stage.push(piece):
                    passed += len(decoded)
                    if not is_last:
                        self._check_inner(passed)
                    yield decoded
        except _DamagedError as exc:
            raise self._damaged(name, str(exc)) from exc.__cause__

    def _check_inner(self, passed: int) -> None:
        if passed > _INNER_SLACK + _INNER_RATIO * self.received:
            raise ProtocolError(
                f"the body's codings {', '.join(self.codings)} swell from {self.received:,} "
                f"to over {passed:,} bytes between each other: a compression bomb",
                hint="Do not trust this server's answer; raw bytes can still be streamed.",
            )

    def _damaged(self, name: str, what: str) -> ProtocolError:
        return ProtocolError(
            f"the body's {name} coding is damaged after {self.decoded:,} decoded bytes: {what}",
            hint="Send the request again; if it stays, the server or a proxy spoils the body: "
            "ask without compression (headers={'Accept-Encoding': 'identity'}).",
        )


_STAGES: dict[str, Callable[[], _Stage]] = {
    "gzip": functools.partial(_Inflate, is_gzip=True),
    "deflate": functools.partial(_Inflate, is_gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}


def make_decoder(codings: str | Sequence[str], *, max_size: int | None = None) -> Decoder:
    """Return a decoder for one body.

    A coding that cannot be undone (unknown, its library missing, more than five in a stack) is
    an error of the first byte decoded, not of this call: an empty body needs no decoding.

    Args:
        codings: The value of Content-Encoding, or the values of all its lines in order; a value
            may itself be a list with commas.
        max_size: Decoded bytes to allow; None allows any number.

    Raises:
        ValueError: `max_size` is negative.
    """
    if max_size is not None and max_size < 0:
        raise ValueError(f"max_size must not be negative, got {max_size}")
    names = _parse(codings)
    refusal = _refuse(names)
    if refusal is not None:
        return Decoder(max_size=max_size, refusal=refusal)
    return Decoder(names, max_size=max_size)


def decode_all(body: bytes, content_encoding: str | None, *, max_size: int | None = None) -> bytes:
    """Return a whole body with its content codings undone.

    Args:
        body: The body as it came; returned as it is when nothing codes it.
        content_encoding: The value of Content-Encoding; None when there is none.
        max_size: Decoded bytes to allow; None allows any number.

    Raises:
        ProtocolError: The body is damaged or ends early, or a coding cannot be undone.
        BodyTooLargeError: The decoded body is larger than `max_size`; it is never built.
    """
    if content_encoding is None or not body:
        return _within(body, max_size)
    if content_encoding == "gzip":
        decoded = _gunzip_small(body)
        if decoded is not None:
            return _within(decoded, max_size)
    decoder = make_decoder(content_encoding, max_size=max_size)
    decoded = decoder.decode(body)
    decoder.flush()
    return decoded


@functools.cache
def accept_encoding() -> str:
    """Return the value of Accept-Encoding: what this installation can undo."""
    codings = ["gzip", "deflate"]
    if importlib.util.find_spec("brotli") or importlib.util.find_spec("brotlicffi"):
        codings.append("br")
    if importlib.util.find_spec("zstandard"):
        codings.append("zstd")
    return ", ".join(codings)


def _parse(codings: str | Sequence[str]) -> tuple[str, ...]:
    values = (codings,) if isinstance(codings, str) else codings
    names = [token.strip(" \t").lower() for value in values for token in value.split(",")]
    return tuple(_ALIASES.get(name, name) for name in names if name and name not in _NO_CODING)


def _refuse(codings: tuple[str, ...]) -> ProtocolError | None:
    """Return why a body with these codings cannot be decoded; None when it can."""
    if len(codings) > MAX_CODINGS:
        return ProtocolError(
            f"the body has {len(codings)} content codings on top of each other; "
            f"at most {MAX_CODINGS} are undone"
        )
    available = accept_encoding().split(", ")
    for name in codings:
        if name not in _STAGES:
            return ProtocolError(
                f"the body's content coding {name[:40]!r} is unknown, so it cannot be decoded",
                hint=f"nbhttp undoes {accept_encoding()}; ask for the body without compression "
                "(headers={'Accept-Encoding': 'identity'}).",
            )
        if name not in available:
            return ProtocolError(
                f"the body's content coding {name!r} cannot be undone: its library is missing",
                hint=f"Install it with: pip install {'brotli' if name == 'br' else 'zstandard'}",
            )
    return None


def _gunzip_small(body: bytes) -> bytes | None:
    """Return a single member's content in one call; None when that takes the long way."""
    member = zlib.decompressobj(wbits=31)
    try:
        decoded = member.decompress(body, _PIECE) if len(body) < _PIECE else b""
    except zlib.error:
        return None
    return decoded if member.eof and not member.unused_data else None


def _within(body: bytes, max_size: int | None) -> bytes:
    if max_size is not None and len(body) > max_size:
        raise _too_large(max_size)
    return body


def _too_large(max_size: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body is larger than the {max_size:,} bytes allowed, counted after decompression",
        hint="Save it with download_file, read it piece by piece with stream_request, "
        "or raise max_body.",
    )


def _import_brotli() -> Any:
    if importlib.util.find_spec("brotli"):
        import brotli

        return brotli
    import brotlicffi

    return brotlicffi
