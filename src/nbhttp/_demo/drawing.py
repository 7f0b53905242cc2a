"""Documents and pictures made from the records: PNG, SVG, PDF and ZIP, byte-identical each time."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from nbhttp._demo.data import DISTRICTS, Record

__all__ = ["heatmap_png", "one_page_pdf", "station_map_svg", "zip_of"]

Colour = tuple[int, int, int]
PALE, DEEP = (226, 240, 246), (11, 83, 117)


def png(rows: Sequence[Sequence[Colour]]) -> bytes:
    """Return an 8-bit RGB picture (W3C PNG, third edition)."""
    lines = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows)
    header = struct.pack(">2I5B", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk: length, kind, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def heatmap_png(trips: Iterable[Record], *, cell: int = 16) -> bytes:
    """Draw how many trips start in each hour (across) on each day (down)."""
    counts: dict[tuple[str, int], int] = {}
    for trip in trips:
        moment = trip["started_at"]
        key = (moment[:10], int(moment[11:13]))
        counts[key] = counts.get(key, 0) + 1
    most = max(counts.values(), default=1)
    days = sorted({day for day, _ in counts})
    rows = []
    for day in days:
        shares = [counts.get((day, hour), 0) / most for hour in range(24)]
        row = [mixed(share) for share in shares for _ in range(cell)]
        rows += [row] * cell
    return png(rows)


def mixed(share: float) -> Colour:
    """Return the colour between pale (0) and deep (1)."""
    red, green, blue = (round(p + (d - p) * share) for p, d in zip(PALE, DEEP, strict=True))
    return red, green, blue


def station_map_svg(stations: Iterable[Record]) -> bytes:
    """Draw the stations where they are: a dot each, as large as its capacity."""
    view = {"viewBox": "0 0 640 480", "width": "640", "height": "480", "role": "img"}
    svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **view})
    ET.SubElement(svg, "title").text = "Stations of Harbour Bikes"
    ET.SubElement(svg, "rect", {"width": "640", "height": "480", "fill": "#e2f0f6", "rx": "12"})
    dots = ET.SubElement(svg, "g", {"fill": "#0b5375", "fill-opacity": "0.55"})
    for station in stations:
        place = station.get("location")
        if place is None:
            continue
        x, y = on_map(place["lat"], place["lon"])
        dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{station['capacity'] / 5:.1f}"}
        ET.SubElement(ET.SubElement(dots, "circle", dot), "title").text = station["name"]
    names = {"font-family": "sans-serif", "font-size": "15", "text-anchor": "middle"}
    halo = {"stroke": "#e2f0f6", "stroke-width": "4", "paint-order": "stroke"}
    labels = ET.SubElement(svg, "g", {"fill": "#12303d", **names, **halo})
    for name, (lat, lon) in DISTRICTS.items():
        x, y = on_map(lat, lon)
        ET.SubElement(labels, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}"}).text = name
    text: str = ET.tostring(svg, encoding="unicode")
    return text.encode()


def on_map(lat: float, lon: float) -> tuple[float, float]:
    """Return where a place lies on the map, in its units from the upper left."""
    return 320 + (lon - 10.1425) * 6600, 240 - (lat - 54.3265) * 8600


def one_page_pdf(lines: Sequence[str]) -> bytes:
    """Return a PDF 1.4 with one page of text."""
    shown = " ".join(f"({escaped(line)}) Tj 0 -22 Td" for line in lines)
    content = f"BT /F1 14 Tf 60 760 Td {shown} ET".encode("latin-1", "replace")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    file, offsets = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    file += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(file)


def escaped(text: str) -> str:
    """Return text as it stands inside a PDF string."""
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def zip_of(files: dict[str, bytes]) -> bytes:
    """Return an archive of these files, all dated 1980 so that it is always the same."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()
