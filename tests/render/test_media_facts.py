"""Files are recognised by their bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render.answers import answer, archive, png, wav

from nbhttp._render.bundle import html, text
from nbhttp._render.views.card import Card
from nbhttp._render.views.media import hex_head, recognise

JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", 480, 640) + bytes(20)
VP8X = b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + b"\x7f\x02\x00" + b"\xdf\x01\x00" + bytes(4)
FLAC = b"fLaC" + bytes(14) + struct.pack(">Q", 44100 << 44 | 1 << 41 | 15 << 36 | 88200) + bytes(16)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (png(), "PNG image, 24 × 16 pixels"),
        (b"GIF89a\x02\x00\x01\x00", "GIF image, 2 × 1 pixels"),
        (JPEG, "JPEG image, 640 × 480 pixels"),
        (VP8X, "WebP image, 640 × 480 pixels"),
        (b"\x89PNG\r\n\x1a\n", "PNG image"),
        (archive(), "ZIP archive, 2 files"),
        (b"PK\x03\x04", "ZIP archive, cut off"),
        (wav(), "WAV sound"),
        (FLAC, "FLAC sound"),
        (b"%PDF-1.4\n", "PDF document"),
        (b"\x1f\x8b\x08\x00", "gzip archive"),
        (b"SQLite format 3\x00", "SQLite database"),
    ],
)
def test_file_is_recognised(body: bytes, words: str) -> None:
    """Its kind and size are read from its first bytes."""
    kind = recognise(body)
    assert kind is not None
    assert kind.words == words


@pytest.mark.parametrize("body", [b"BM is two letters", b"MZ too", b"", b"hello", b"PK"])
def test_text_is_no_file(body: bytes) -> None:
    """A text that begins with a file's letters is a text."""
    assert recognise(body) is None


def test_facts_of_sound() -> None:
    """Channels, rate and length are read from the header."""
    assert dict(recognise(wav()).facts) == {
        "Channels": "1",
        "Sample rate": "8,000 Hz",
        "Length": "100 ms",
    }  # type: ignore[union-attr]
    assert dict(recognise(FLAC).facts) == {
        "Channels": "2",
        "Sample rate": "44,100 Hz",
        "Length": "2.00 s",
    }  # type: ignore[union-attr]


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", JPEG[:4], VP8X[:20], FLAC[:4], wav()[:36], archive()[-22:]]),
)
def test_no_bytes_make_it_fail(body: bytes, start: bytes) -> None:
    """Cut off and damaged files are recognised or not, but never an error."""
    recognise(start + body)
    hex_head(body, 3)


def test_picture_is_inlined_up_to_a_size() -> None:
    """A small picture is in the page; a large one, or one of too many pixels, is named."""
    assert 'src="data:image/png;base64,' in html(Card(answer(png(), "image/png")))
    for body in (
        png() + bytes(600_000),
        png()[:16] + struct.pack(">II", 40_000, 40_000) + png()[24:],
    ):
        shown = html(Card(answer(body, "image/png")))
        assert "<img" not in shown
        assert "Not shown" in shown


def test_svg_is_an_image_and_never_markup() -> None:
    """A drawing is loaded as an image, where its scripts do not run, whatever it is declared as."""
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    for media_type in ("image/svg+xml", "text/plain", "application/xml"):
        shown = html(Card(answer(drawing, media_type)))
        assert 'src="data:image/svg+xml;base64,' in shown
        assert "<script" not in shown


def test_declared_type_does_not_decide() -> None:
    """A picture that is declared as HTML is a picture."""
    assert "PNG image" in text(Card(answer(png(), "text/html")))
