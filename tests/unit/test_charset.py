"""The character set of a body: what is chosen, why, and the text that comes of it."""

import base64
import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp._charset import choose, decode

CORPUS = Path(__file__).parents[1] / "corpora" / "charset"


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (CORPUS / name).read_text("utf-8").split("\n") if line]


PAGES = rows("html5lib_meta_prescan.jsonl")
SAMPLES = rows("charset_normalizer_samples.jsonl")


def same_codec(one: str, other: str) -> bool:
    return codecs.lookup(one).name == codecs.lookup(other).name


@pytest.mark.parametrize("row", PAGES, ids=[row["id"] for row in PAGES])
def test_a_page_without_charset_is_read_as_html5lib_does(row: dict[str, str]) -> None:
    """What `<meta>` names; where html5lib falls back to windows-1252, so do bytes that are no UTF-8."""
    body = base64.b64decode(row["data_b64"])
    chosen = choose(body, "text/html")
    if same_codec(row["expected_encoding"], "windows-1252"):
        assert not chosen.reason.startswith("<meta>")
        assert decode(body, "text/html") == body.decode("windows-1252")
    else:
        assert same_codec(chosen.encoding, row["expected_encoding"])


@pytest.mark.parametrize("row", SAMPLES, ids=[row["id"] for row in SAMPLES])
def test_a_declared_charset_gives_the_exact_text(row: dict[str, str]) -> None:
    """With the right charset in Content-Type, nothing is lost."""
    body = base64.b64decode(row["bytes_b64"])
    kind = f"text/plain; charset={row['encoding']}"
    expected = body.decode(row["encoding"], "replace")
    assert decode(body, kind) == expected.removeprefix("\ufeff")


def test_text_is_never_repaired() -> None:
    """Mojibake is what the server sent: it stays."""
    for row in json.loads((CORPUS / "ftfy_mojibake.json").read_text("utf-8")):
        body = row["original"].encode("utf-8", "surrogatepass")
        assert decode(body, "text/plain; charset=utf-8") == body.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "why"),
    [
        (b"\xef\xbb\xbfa", "text/plain; charset=latin-1", "utf-8-sig", "byte order mark"),
        ("é".encode("utf-16"), "text/plain", "utf-16", "byte order mark"),
        (b"\xe9", "text/plain; charset=latin-1", "latin-1", "Content-Type"),
        (b"\xe9", 'text/plain; charset="latin-1"', "latin-1", "Content-Type"),
        (b"\xe9", "text/plain; charset='latin-1'", "latin-1", "Content-Type"),
        (b"\xe9", "text/plain; CHARSET = latin-1 ; x=y", "latin-1", "Content-Type"),
        (b"a", "text/plain; charset=klingon", "utf-8", "unknown charset 'klingon'"),
        (b"a", "text/plain; charset=rot13", "utf-8", "unknown charset"),
        (b"a", "text/plain; charset=hex", "utf-8", "unknown charset"),
        (b"a", "text/plain; charset=idna\0", "utf-8", "unknown charset"),
        (b"a", "text/plain; charset=", "utf-8", "default"),
        (b"\xe9", "text/plain", "utf-8", "default"),
        (b"\xe9", "text/html", "windows-1252", "not valid UTF-8"),
        (b'<meta charset="koi8-r">', "text/plain", "utf-8", "default"),
        (b'<meta charset="koi8-r">', "text/html; charset=utf-8", "utf-8", "Content-Type"),
        (b'<meta charset="koi8-r">', "text/html", "koi8-r", "<meta>"),
        (b'<meta charset="latin1">', "text/html", "windows-1252", "<meta>"),
        (b'<meta charset="x-sjis">', "Text/HTML; a=b", "cp932", "<meta>"),
        (b"<!--<meta charset=koi8-r>--><meta charset=utf-8>", "text/html", "utf-8", "<meta>"),
        (b"", "", "utf-8", "default"),
    ],
)
def test_the_choice_has_a_reason(body: bytes, kind: str, encoding: str, why: str) -> None:
    """Mark, declaration, page, default: in this order."""
    chosen = choose(body, kind)
    assert chosen.encoding == encoding
    assert why in chosen.reason


@given(st.binary(max_size=200), st.text(max_size=40))
def test_any_bytes_have_a_text(body: bytes, charset: str) -> None:
    """No body and no declaration makes an exception."""
    for kind in ("text/html", f"text/plain; charset={charset}", charset):
        assert isinstance(decode(body, kind), str)


@given(
    st.lists(
        st.sampled_from(
            [
                b"<meta",
                b" charset=",
                b'"',
                b"'",
                b">",
                b"utf-8",
                b"<!--",
                b"-->",
                b"/",
                b" ",
                b"=",
                b"content",
                b"http-equiv",
                b"<a",
                b"\n",
            ]
        ),
        max_size=60,
    )
)
def test_any_markup_ends(parts: list[bytes]) -> None:
    """Broken markup is looked through to its end, in one pass."""
    choose(b"".join(parts), "text/html")


@pytest.mark.parametrize(
    "label",
    ["idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7", "rot13"],
)
def test_what_is_no_character_set_is_unknown(label: str) -> None:
    """A server may name any codec of Python's; the text comes all the same, and is text."""
    body = b"\xe9x +2AA- \\ud800"
    for kind in (f"text/plain; charset={label}", "text/html"):
        page = b"<meta charset=%s>" % label.encode() + body
        text = decode(page, kind)
        assert "x" in text.encode("utf-8").decode("utf-8")


@pytest.mark.parametrize(
    ("label", "body", "text"),
    [
        ("x-sjis", "①".encode("cp932"), "①"),
        ("Shift_JIS", "①".encode("cp932"), "①"),
        ("Shift_JIS", "〜".encode("shift_jis"), "〜"),
        ("gb2312", "镕".encode("gbk"), "镕"),
        ("windows-949", "똠".encode("cp949"), "똠"),
        ("iso-8859-8-i", "שלום".encode("iso8859-8"), "שלום"),
        ("x-mac-cyrillic", "Ж".encode("mac-cyrillic"), "Ж"),
        ("koi8-ru", "Ж".encode("koi8-u"), "Ж"),
    ],
)
def test_content_type_knows_the_labels_of_the_web(label: str, body: bytes, text: str) -> None:
    """WHATWG Encoding, section 4.2; a wider set than was named only where the bytes need it."""
    assert decode(body, f"text/plain; charset={label}") == text


def test_an_open_comment_hides_the_rest_of_a_page() -> None:
    """`--!>` ends one, nothing does not."""
    assert choose(b"<!-- x --!><meta charset=euc-jp>", "text/html").encoding == "euc_jp"
    assert choose(b"<!-- x <meta charset=euc-jp>", "text/html").reason == "default"
