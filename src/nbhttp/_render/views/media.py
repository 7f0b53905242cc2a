"""What a file is by its first bytes: images, sound, archives, documents; never by its name."""

import re
import struct
from dataclasses import dataclass

from nbhttp._render.blocks import Line, Lines, Span
from nbhttp._render.units import count, seconds_text
from nbhttp.redaction import redact_text

__all__ = ["Kind", "hex_head", "recognise"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is.

    Attributes:
        words: "PNG image", "PDF document, version 1.7".
        media_type: From the bytes; "" when it has no registered one.
        width: Pixels; 0 when unknown or no image.
        height: Pixels.
        facts: What else is known, each with a name.
    """

    words: str
    media_type: str = ""
    width: int = 0
    height: int = 0
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether a browser shows it as a picture."""
        return self.media_type in _SHOWN


_SHOWN = frozenset(["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"])

_SIGNATURES = (
    (0, b"\x1f\x8b", "gzip archive", "application/gzip"),
    (0, b"BZh", "bzip2 archive", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "xz archive", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard archive", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "RAR archive", "application/vnd.rar"),
    (257, b"ustar", "tar archive", "application/x-tar"),
    (0, b"PAR1", "Parquet table", "application/vnd.apache.parquet"),
    (0, b"ARROW1", "Arrow table", "application/vnd.apache.arrow.file"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5 file", "application/x-hdf5"),
    (0, b"\x93NUMPY", "NumPy array", ""),
    (0, b"SQLite format 3\x00", "SQLite database", "application/vnd.sqlite3"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office document (before 2007)", ""),
    (0, b"II*\x00", "TIFF image", "image/tiff"),
    (0, b"MM\x00*", "TIFF image", "image/tiff"),
    (0, b"BM", "BMP image", "image/bmp"),
    (0, b"\x00\x00\x01\x00", "icon", "image/x-icon"),
    (4, b"ftypavif", "AVIF image", "image/avif"),
    (4, b"ftypheic", "HEIC image", "image/heic"),
    (4, b"ftyp", "MP4 media", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM media", "video/webm"),
    (0, b"OggS", "Ogg media", "application/ogg"),
    (0, b"ID3", "MP3 sound", "audio/mpeg"),
    (0, b"\xff\xfb\x90", "MP3 sound", "audio/mpeg"),
    (0, b"MThd", "MIDI music", "audio/midi"),
    (0, b"wOFF", "WOFF font", "font/woff"),
    (0, b"wOF2", "WOFF2 font", "font/woff2"),
    (0, b"\x00asm", "WebAssembly module", "application/wasm"),
    (0, b"\x7fELF", "ELF program", ""),
    (0, b"MZ", "Windows program", ""),
)


def recognise(body: bytes) -> Kind | None:
    """Return what `body` is, or None when its first bytes say nothing."""
    for known in (_png, _gif, _jpeg, _webp, _wav, _flac, _pdf, _zip):
        kind = known(body)
        if kind is not None:
            return kind
    for offset, mark, words, media_type in _SIGNATURES:
        # Two letters are too little to tell a file from a text that begins with them.
        if body.startswith(mark, offset) and (len(mark) > 2 or b"\x00" in body[:64]):
            return Kind(words, media_type)
    return None


def _image(words: str, media_type: str, size: tuple[int, int] | None) -> Kind:
    width, height = size or (0, 0)
    dimensions = f", {width:,} × {height:,} pixels" if size else ""
    return Kind(f"{words} image{dimensions}", media_type, width, height)


def _png(body: bytes) -> Kind | None:
    if not body.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    has_size = body[12:16] == b"IHDR" and len(body) >= 24
    return _image("PNG", "image/png", struct.unpack(">II", body[16:24]) if has_size else None)


def _gif(body: bytes) -> Kind | None:
    if body[:6] not in {b"GIF87a", b"GIF89a"}:
        return None
    return _image("GIF", "image/gif", struct.unpack("<HH", body[6:10]) if len(body) >= 10 else None)


def _jpeg(body: bytes) -> Kind | None:
    if not body.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at + 9 <= len(body) and body[at] == 0xFF:
        marker, length = body[at + 1], int.from_bytes(body[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", body[at + 5 : at + 9])
            return _image("JPEG", "image/jpeg", (width, height))
        at += 2 + max(2, length)
    return _image("JPEG", "image/jpeg", None)


def _webp(body: bytes) -> Kind | None:
    if not (body.startswith(b"RIFF") and body[8:12] == b"WEBP"):
        return None
    size = None
    if body[12:16] == b"VP8X" and len(body) >= 30:
        size = (
            1 + int.from_bytes(body[24:27], "little"),
            1 + int.from_bytes(body[27:30], "little"),
        )
    elif body[12:16] == b"VP8L" and len(body) >= 25:
        bits = int.from_bytes(body[21:25], "little")
        size = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    elif body[12:16] == b"VP8 " and len(body) >= 30:
        width, height = struct.unpack("<HH", body[26:30])
        size = (width & 0x3FFF, height & 0x3FFF)
    return _image("WebP", "image/webp", size)


def _wav(body: bytes) -> Kind | None:
    if not (body.startswith(b"RIFF") and body[8:12] == b"WAVE"):
        return None
    if body[12:16] != b"fmt " or len(body) < 36:
        return Kind("WAV sound", "audio/wav")
    channels, rate, byte_rate = struct.unpack("<HII", body[22:32])
    facts = [("Channels", str(channels)), ("Sample rate", f"{rate:,} Hz")]
    if byte_rate:
        facts.append(("Length", seconds_text(max(0, len(body) - 44) / byte_rate)))
    return Kind("WAV sound", "audio/wav", facts=tuple(facts))


def _flac(body: bytes) -> Kind | None:
    if not body.startswith(b"fLaC"):
        return None
    if len(body) < 26:
        return Kind("FLAC sound", "audio/flac")
    packed = int.from_bytes(body[18:26], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    facts = [("Channels", str(channels)), ("Sample rate", f"{rate:,} Hz")]
    if rate and samples:
        facts.append(("Length", seconds_text(samples / rate)))
    return Kind("FLAC sound", "audio/flac", facts=tuple(facts))


def _pdf(body: bytes) -> Kind | None:
    match = re.match(rb"%PDF-(\d\.\d)", body)
    if match is None:
        return None
    pages = re.findall(rb"/Type\s{0,3}/Page[^s]", body[: 4 << 20])
    facts = [("Version", match[1].decode())]
    if pages and len(body) <= 4 << 20:
        facts.append(("Pages", str(len(pages))))
    return Kind("PDF document", "application/pdf", facts=tuple(facts))


_OFFICE = (
    ("word/", "Word document"),
    ("xl/", "Excel workbook"),
    ("ppt/", "PowerPoint presentation"),
)


def _zip(body: bytes) -> Kind | None:
    if body[:4] not in {b"PK\x03\x04", b"PK\x05\x06"}:
        return None
    end = body.rfind(b"PK\x05\x06", max(0, len(body) - 65_557))  # its comment is at most 64 KiB
    if end < 0 or end + 22 > len(body):
        return Kind("ZIP archive, cut off", "application/zip")
    total, _, start = struct.unpack("<HII", body[end + 10 : end + 20])
    names = _zip_names(body, start, 8)
    words = next(
        (words for lead, words in _OFFICE if any(n.startswith(lead) for n in names)), "ZIP archive"
    )
    more = f" and {total - len(names):,} more" if total > len(names) else ""
    facts = (("Files", str(total)), ("Names", ", ".join(names) + more))
    return Kind(f"{words}, {count(total, 'file')}", "application/zip", facts=facts)


def _zip_names(body: bytes, at: int, most: int) -> list[str]:
    names: list[str] = []
    while len(names) < most and body[at : at + 4] == b"PK\x01\x02" and at + 46 <= len(body):
        name, extra, comment = struct.unpack("<HHH", body[at + 28 : at + 34])
        names.append(body[at + 46 : at + 46 + min(name, 200)].decode("utf-8", "replace"))
        at += 46 + name + extra + comment
    return names


def hex_head(body: bytes, lines: int) -> Lines:
    """Return the first bytes as hexadecimal and ASCII, sixteen a line; nothing of a secret."""
    shown = body[: 16 * lines]
    around = body[: 16 * lines + 512].decode("latin-1")
    if redact_text(around) != around:
        return Lines((), f"… {count(len(body), 'byte')}, not shown: there is a secret in them")
    more = f"… {count(len(body) - len(shown), 'more byte')}" if len(body) > len(shown) else ""
    return Lines(tuple(_hex_line(shown, at) for at in range(0, len(shown), 16)), more)


def _hex_line(body: bytes, at: int) -> Line:
    part = body[at : at + 16]
    ascii_text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in part)
    digits = f"{part[:8].hex(' ')}  {part[8:].hex(' ')}"
    return (Span(f"{at:08x}  ", "dim"), Span(f"{digits:<49} "), Span(ascii_text, "string"))
