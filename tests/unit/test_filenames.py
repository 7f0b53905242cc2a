"""Names that servers propose: read as the standards say, and made safe on every platform."""

import json
import unicodedata
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbhttp._core.filenames import (
    MAX_NAME_BYTES,
    from_disposition,
    from_url,
    numbered,
    safe_name,
)

CORPORA = Path(__file__).parent.parent / "corpora"
DISPOSITIONS = [
    json.loads(line)
    for line in (CORPORA / "content_disposition/parse.jsonl").read_text("utf-8").splitlines()
]
HOSTILE = [
    case["name"]
    for file in ("hostile.json", "pip_sanitize.json")
    for case in json.loads((CORPORA / "filenames" / file).read_text("utf-8"))
]
DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(10)}


def check_is_safe(name: str) -> None:
    """A name that no platform reads as anything but one file in the directory at hand."""
    assert name
    assert len(name.encode("utf-8")) <= 255
    assert not set(name) & set('/\\<>:"|?*\0')
    assert name[0] not in "-~. "
    assert name[-1] not in ". "
    assert name.split(".", maxsplit=1)[0].strip().lower() not in DEVICES
    for character in name:
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}, name
        assert unicodedata.bidirectional(character) not in {"RLO", "LRO", "RLE", "LRE", "PDF"}
    assert Path(name).name == name


@pytest.mark.parametrize("case", DISPOSITIONS, ids=[c["id"] for c in DISPOSITIONS])
def test_content_disposition(case: dict):
    """The name is one that the other implementations find too; None falls back to the URL."""
    accepted = [None if a is None else safe_name(a) for a in case["accept"]]
    name = from_disposition(case["header"])
    if name == "":
        assert "" in case["accept"] or None in case["accept"]
        return
    assert (None if name is None else safe_name(name)) in accepted


@given(st.text(st.characters(max_codepoint=255)))
@example('attachment; filename="')
@example("attachment; filename*=UTF-8''%")
@example("=" * 50)
def test_no_content_disposition_raises(value: str):
    """Whatever a server sends, there is a name or there is none."""
    name = from_disposition(value)
    assert name is None or isinstance(name, str)


@given(st.text())
def test_an_extended_name_round_trips(name: str):
    """A percent-encoded UTF-8 name is read as it was written (RFC 8187)."""
    try:
        encoded = quote(name, safe="")
    except UnicodeEncodeError:  # lone surrogates have no UTF-8
        return
    assert from_disposition(f"attachment; filename*=UTF-8''{encoded}") == (name or None)


def test_a_malformed_extended_name_counts_as_absent():
    """`filename` stands in for a broken `filename*` (RFC 6266 section 4.3)."""
    assert from_disposition("attachment; filename*=UTF-8''%E4; filename=a.txt") == "a.txt"
    assert from_disposition("attachment; filename*=UTF-8''; filename=a.txt") == "a.txt"
    assert from_disposition("attachment; filename*=utf-7''a; filename=a.txt") == "a.txt"


def test_a_utf8_name_in_a_plain_parameter_is_read_as_such():
    """Many servers send UTF-8 bytes unencoded."""
    assert from_disposition('attachment; filename="Ã¤.txt"') == "ä.txt"
    assert from_disposition('attachment; filename="\xe4.txt"') == "ä.txt"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_safe(name: str):
    """A traversal list and a list of bad names end as plain names."""
    check_is_safe(safe_name(name))
    check_is_safe(safe_name(from_url("http://h/" + quote(name.encode("utf-8", "replace")))))


@given(st.text())
@example("CON")
@example("nul.txt")
@example("com1.tar.gz")
@example("a" * 300)
@example("é" * 300 + ".tar.gz")
@example("." * 9)
@example("\u202egnp.exe")
@example("~root")
@example("-rf")
@example("a.part")
@example("b" * 195 + ".part")
@example("con.part.json")
@example("_")
def test_any_name_becomes_safe_once(name: str):
    """Every text becomes a safe name, and a safe name stays as it is."""
    made = safe_name(name)
    check_is_safe(made)
    assert safe_name(made) == made


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x", "x"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("a:b?.txt", "a_b_.txt"),
        ("a\nb\x00.txt", "a_b_.txt"),
        ("...", "download"),
        ("", "download"),
        (None, "download"),
        (".bashrc", "bashrc"),
        ("--help", "help"),
        ("x. . ", "x"),
        ("data.csv.part", "data.csv.part_"),
        ("data.csv.PART.json.new", "data.csv.PART.json.new_"),
        ("con.part", "_con.part_"),
        ("Übersicht 2024 (1).xlsx", "Übersicht 2024 (1).xlsx"),
        ("日本語.txt", "日本語.txt"),
    ],
)
def test_what_safe_names_look_like(name: str | None, safe: str):
    """Good names are kept; of bad ones the good part is."""
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_extension():
    """What is cut is the stem, between two characters."""
    made = safe_name("ä" * 300 + ".tar.gz")
    assert made.endswith("ä.tar.gz")
    assert len(made.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/b.csv?x=1/2#f", "b.csv"),
        ("http://h/a%20b.csv", "a b.csv"),
        ("http://h/a/", None),
        ("http://h", None),
        ("http://h/%2e%2e%2fetc", "../etc"),
        ("http://h/%ff", "\ufffd"),
    ],
)
def test_the_name_in_a_url(url: str, name: str | None):
    """The last segment of the path, decoded."""
    assert from_url(url) == name


@given(st.text(min_size=1), st.integers(2, 10**6))
@example("b.txt" + "é" * 96, 12345)
def test_numbered_names_are_safe_and_differ(name: str, number: int):
    """A collision is resolved by a number before the extension."""
    made = safe_name(name)
    other = numbered(made, number)
    assert other != made
    check_is_safe(other)
    assert str(number) in other
    assert numbered("a.csv", 2) == "a-2.csv"
    assert numbered("a.tar.gz", 2) == "a-2.tar.gz"
