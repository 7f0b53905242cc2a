"""Content codings: whole or an error, in bounded pieces."""

import gzip
import itertools
import os
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhttp._engines.decoding import accept_encoding, decode_all, make_decoder
from nbhttp.errors import BodyTooLargeError, NbhttpError, ProtocolError

MIB = 1024 * 1024


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", _raw_deflate),
    "br": ("br", lambda data: brotli.compress(data, quality=3)),
    "zstd": ("zstd", _zstd),
}
ALL_CODERS = pytest.mark.parametrize("coder", CODERS)
SAMPLE = b"".join(b'{"id": %d, "name": "%x"}\n' % (i, i * 7919) for i in range(2000))


def _pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(borders):
        yield data[start:end]


def _decode(coded: bytes, codings: str, cuts: list[int] | None = None) -> bytes:
    decoder = make_decoder(codings)
    decoded = b"".join(decoder.decode(piece) for piece in _pieces(coded, cuts or []))
    return decoded + decoder.flush()


@ALL_CODERS
def test_a_coded_body_comes_back_as_it_was(coder: str) -> None:
    """Each coding is undone, at once and one byte at a time."""
    name, code = CODERS[coder]
    coded = code(SAMPLE)
    assert decode_all(coded, name) == SAMPLE
    assert _decode(coded, name.upper(), list(range(len(coded)))) == SAMPLE


@given(
    data=st.binary(max_size=5000) | st.integers(0, 300_000).map(lambda size: b"ab" * size),
    stack=st.lists(st.sampled_from(sorted(CODERS)), max_size=5),
    cuts=st.lists(st.integers(0, 100_000), max_size=8),
)
@settings(deadline=None, max_examples=150)
def test_any_stack_round_trips_in_any_chunks(
    data: bytes, stack: list[str], cuts: list[int]
) -> None:
    """Any bytes under any five codings come back, however the body is cut."""
    coded = data
    for coder in stack:
        coded = CODERS[coder][1](coded)
    names = ", ".join(CODERS[coder][0] for coder in stack)
    assert _decode(coded, names, cuts) == data
    assert decode_all(coded, names) == data


@ALL_CODERS
def test_a_truncated_body_is_an_error_wherever_it_ends(coder: str) -> None:
    """A body cut short at any byte but the first is refused; nothing passes in silence."""
    name, code = CODERS[coder]
    coded = code(SAMPLE[:600])
    for length in range(1, len(coded)):
        with pytest.raises(ProtocolError, match=f"{name} coding is damaged"):
            decode_all(coded[:length], name)


@given(
    coder=st.sampled_from(sorted(CODERS)),
    at=st.integers(0, 10_000),
    flip=st.integers(1, 255),
    cuts=st.lists(st.integers(0, 10_000), max_size=3),
)
@settings(deadline=None, max_examples=300)
def test_a_corrupt_byte_is_an_error_or_harmless(
    coder: str, at: int, flip: int, cuts: list[int]
) -> None:
    """One changed byte: a typed error, and never wrong bytes where there is a checksum."""
    name, code = CODERS[coder]
    coded = bytearray(code(SAMPLE[:3000]))
    coded[at % len(coded)] ^= flip
    try:
        decoded = _decode(bytes(coded), name, cuts)
    except NbhttpError:
        return
    # gzip's time stamp and zstd's frame flags may change without harm.
    assert coder in {"br", "raw deflate"} or decoded == SAMPLE[:3000]


@given(coder=st.sampled_from(sorted(CODERS)), body=st.binary(min_size=1, max_size=300))
@settings(deadline=None, max_examples=300)
def test_bytes_that_are_no_coding_never_raise_another_error(coder: str, body: bytes) -> None:
    """Arbitrary bytes give a result or a typed error."""
    decoder = make_decoder(CODERS[coder][0], max_size=MIB)
    try:
        decoder.decode(body)
        decoder.flush()
    except NbhttpError as error:
        assert isinstance(error, ProtocolError | BodyTooLargeError)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    "codings", ["gzip", "deflate", "br", "zstd", "gzip, br", "foo", "a,b,c,d,e,f"]
)
def test_an_empty_body_is_fine_under_any_coding(codings: str) -> None:
    """Answers to HEAD and 304 carry the coding and no body."""
    assert decode_all(b"", codings) == b""
    decoder = make_decoder(codings)
    assert decoder.decode(b"") + decoder.flush() == b""


@pytest.mark.parametrize("codings", [None, "", "identity", "none", "UTF-8", " , identity"])
def test_a_body_without_a_coding_is_passed_on_as_the_same_object(codings: str | None) -> None:
    """Nothing to undo: no copy."""
    assert decode_all(SAMPLE, codings) is SAMPLE


@pytest.mark.parametrize("cuts", [[], [3], list(range(500))])
def test_gzip_members_follow_one_another(cuts: list[int]) -> None:
    """All members are decoded, not the first alone (RFC 1952 section 2.2)."""
    coded = gzip.compress(b'{"ok": ') + gzip.compress(b"") + gzip.compress(b"true}")
    assert _decode(coded, "gzip", cuts) == b'{"ok": true}'
    assert decode_all(coded, "x-gzip") == b'{"ok": true}'


@pytest.mark.parametrize("cuts", [[], list(range(500))])
def test_zstd_frames_follow_one_another(cuts: list[int]) -> None:
    """Frames are decoded one after the other and skippable ones skipped (RFC 8878 section 3.1)."""
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"xxxxx"
    coded = _zstd(b"one ") + skippable + zstandard.compress(b"") + _zstd(b"two")
    assert _decode(coded, "zstd", cuts) == b"one two"


@pytest.mark.parametrize("cuts", [[], list(range(500))])
def test_zero_bytes_after_gzip_are_padding(cuts: list[int]) -> None:
    """Zeros after the last member pass, and a member may follow them."""
    coded = gzip.compress(b"one ") + bytes(64) + gzip.compress(b"two") + bytes(512)
    assert _decode(coded, "gzip", cuts) == b"one two"


@ALL_CODERS
@pytest.mark.parametrize("cuts", [[], list(range(500))])
def test_other_bytes_after_the_end_are_an_error(coder: str, cuts: list[int]) -> None:
    """Trailing bytes are no part of the body; curl refuses them too."""
    name, code = CODERS[coder]
    with pytest.raises(ProtocolError, match="damaged after"):
        _decode(code(b"whole") + b"trailing junk", name, cuts)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_plain_text_under_a_coding_is_an_error(name: str) -> None:
    """A server that claims a coding and sends text is told off, not believed."""
    with pytest.raises(ProtocolError, match=name):
        decode_all(b'{"ok": true}', name)


def test_a_wrong_checksum_is_an_error() -> None:
    """The CRC of gzip covers the content."""
    coded = gzip.compress(SAMPLE)
    with pytest.raises(ProtocolError, match="incorrect data check"):
        decode_all(coded[:-8] + bytes(4) + coded[-4:], "gzip")


def test_an_unknown_coding_is_an_error_that_names_it() -> None:
    """Undecoded bytes never pass for the body."""
    with pytest.raises(ProtocolError, match="'foo' is unknown") as caught:
        decode_all(b"x", "foo")
    assert "gzip" in str(caught.value.hint)


def test_more_than_five_codings_are_refused() -> None:
    """Five are undone, six are not."""
    coded = b"deep"
    for _ in range(5):
        coded = gzip.compress(coded)
    assert decode_all(coded, "gzip, gzip, gzip, identity, gzip, gzip") == b"deep"
    with pytest.raises(ProtocolError, match="6 content codings"):
        decode_all(gzip.compress(coded), ",".join(["gzip"] * 6))


def test_codings_may_come_in_several_fields() -> None:
    """Repeated fields are one list (RFC 9110 section 5.3), undone from its end."""
    decoder = make_decoder(["deflate, identity", "gzip"])
    assert decoder.decode(gzip.compress(zlib.compress(b"both"))) == b"both"
    assert decoder.codings == ("deflate", "gzip")


@ALL_CODERS
def test_max_size_itself_is_allowed_and_one_more_is_not(coder: str) -> None:
    """The bound counts decoded bytes and is exact."""
    name, code = CODERS[coder]
    coded = code(SAMPLE)
    assert decode_all(coded, name, max_size=len(SAMPLE)) == SAMPLE
    with pytest.raises(BodyTooLargeError, match=f"{len(SAMPLE) - 1:,} bytes") as caught:
        decode_all(coded, name, max_size=len(SAMPLE) - 1)
    assert "download_file" in str(caught.value.hint)
    assert "stream_request" in str(caught.value.hint)


def test_max_size_holds_for_small_gzip_and_for_no_coding() -> None:
    """The short ways are bounded too."""
    for body, codings in ((gzip.compress(b"12345"), "gzip"), (b"12345", None), (b"12345", "none")):
        assert decode_all(body, codings, max_size=5) == b"12345"
        with pytest.raises(BodyTooLargeError):
            decode_all(body, codings, max_size=4)


def test_a_negative_max_size_is_refused() -> None:
    """A bound below zero is a mistake."""
    with pytest.raises(ValueError, match="-1"):
        make_decoder("gzip", max_size=-1)


def _zstd_bomb(size: int) -> bytes:
    """Blocks of one repeated byte: 128 KiB for four bytes, the worst that zstd has."""
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = ((128 * 1024) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    frame_header = b"\x28\xb5\x2f\xfd\x00\x58"  # a window of 2 MiB
    return frame_header + block * (size // (128 * 1024) - 1) + last


def _bomb(coder: str, size: int) -> bytes:
    if coder == "zstd":
        return _zstd_bomb(size)
    if coder == "br":
        return brotli.compress(bytes(size), quality=1)
    compressor = zlib.compressobj(9, wbits={"gzip": 31, "zlib": 15, "raw deflate": -15}[coder])
    parts = [compressor.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join([*parts, compressor.flush()])


@ALL_CODERS
def test_a_bomb_costs_no_more_memory_than_the_bound(coder: str) -> None:
    """256 MiB in a small body: stopped a piece after the bound."""
    bomb, bound = _bomb(coder, 256 * MIB), 2 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            decode_all(bomb, CODERS[coder][0], max_size=bound)
        assert tracemalloc.get_traced_memory()[1] < bound + MIB
    finally:
        tracemalloc.stop()


@ALL_CODERS
def test_a_bomb_in_a_stream_comes_in_small_pieces(coder: str) -> None:
    """Without a bound, one fed chunk is given back piece by piece, and the pieces stay small."""
    bomb = _bomb(coder, 64 * MIB)
    decoder = make_decoder(CODERS[coder][0])
    total = 0
    tracemalloc.start()
    try:
        for piece in decoder.feed(bomb):
            assert len(piece) <= 128 * 1024
            total += len(piece)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    decoder.flush()
    assert total == decoder.decoded == 64 * MIB


def test_a_stack_that_swells_inside_is_stopped() -> None:
    """Gigabytes of zeros between two codings are refused even if nothing comes out of them."""
    inner = gzip.compress(b"x") + bytes(200 * MIB)  # padding: decodes to one byte
    compressor = zlib.compressobj(1, wbits=31)
    bomb = compressor.compress(inner) + compressor.flush()
    with pytest.raises(ProtocolError, match="bomb"):
        decode_all(bomb, "gzip, gzip", max_size=MIB)


def test_zstd_windows_over_8_mib_are_refused() -> None:
    """RFC 9659: a content coding needs no larger window, so memory stays bounded."""
    parameters = zstandard.ZstdCompressionParameters(window_log=26)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    coded = compressor.compress(os.urandom(1000)) + compressor.flush()
    with pytest.raises(ProtocolError, match="zstd"):
        decode_all(coded, "zstd")


def test_the_error_says_how_far_the_body_came() -> None:
    """The decoded count stands in the message."""
    data = random.Random(1).randbytes(300_000)
    coded = gzip.compress(data)
    decoder = make_decoder("gzip")
    decoder.decode(coded[:-100])
    with pytest.raises(ProtocolError, match=f"after {decoder.decoded:,} decoded bytes"):
        decoder.flush()
    assert decoder.received == len(coded) - 100
    assert decoder.decoded > 250_000


def test_accept_encoding_offers_what_is_installed() -> None:
    """All four here; each can be undone."""
    assert accept_encoding() == "gzip, deflate, br, zstd"
