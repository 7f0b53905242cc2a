"""Whatever a server sends is shown as text: it adds no element, no attribute, no control code."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from render.answers import answer, failure
from render.visible_text import shape

from nbhttp._render.bundle import html, terminal, text
from nbhttp._render.views.card import Card
from nbhttp.errors import ConnectError
from nbhttp.result import Attempt, Redirect, RequestResult

CORPUS = Path(__file__).parents[1] / "corpora" / "xss"
MARKUP = [json.loads(line)["payload"] for line in (CORPUS / "smoke.jsonl").read_text().splitlines()]
NAUGHTY = json.loads((CORPUS / "blns_all.json").read_text())
# Text needs neither lines nor length to attack, and both change the layout by design.
LAYOUT = re.compile(r"[\r\n\x85\u2028\u2029\x0b\x0c\x1c-\x1e\t]+")


def raw(payload: str) -> bytes:
    return payload.encode("utf-8", "replace")


PLACES: dict[str, Callable[[str], RequestResult]] = {
    "JSON value": lambda p: answer(json.dumps({"a": p}).encode()),
    "JSON key": lambda p: answer(json.dumps({f"k{p}": [1, {f"l{p}": 2}]}).encode()),
    "JSON cell": lambda p: answer(json.dumps([{f"k{p}": f"v{p}"}, {f"k{p}": 1}]).encode()),
    "header value": lambda p: answer(b"{}", headers=((b"X-Test", raw(f"v{p}")),)),
    "header name": lambda p: answer(b"{}", headers=((raw(f"X{p}"), b"v"),)),
    "reason": lambda p: answer(b"{}", reason=raw(f"OK{p}")),
    "method": lambda p: answer(b"{}", method=f"GET{p}"),
    "URL": lambda p: answer(b"{}", url=f"https://api.example/{p}"),
    "content type": lambda p: answer(b"x", f"text/x{raw(p).decode('latin-1')}"),
    "charset": lambda p: answer(b"x", f"text/plain; charset=x{raw(p).decode('latin-1')}"),
    "error": lambda p: failure(ConnectError(f"e{p}", hint=f"h{p}")),
    "redirection": lambda p: answer(b"{}", redirects=(Redirect(301, "GET", f"h{p}", f"l{p}"),)),
    "attempt": lambda p: answer(
        b"{}", attempts=(Attempt(1, None, f"e{p}", 0.1), Attempt(2, 200, None, 0.1))
    ),
    "explanation": lambda p: answer(json.dumps({"error": f"e{p}"}).encode(), status=400),
    "request header": lambda p: answer(b"{}", sent_headers=((b"X-Sent", raw(f"v{p}")),)),
    "request body": lambda p: answer(b"{}", sent=raw(f"body {p}"), method="POST"),
    "file name": lambda p: answer(_zip_with(f"n{p}"), "application/zip"),
}


def _zip_with(name: str) -> bytes:
    import struct

    raw_name = raw(name)
    head = b"PK\x01\x02" + bytes(24) + struct.pack("<HHH", len(raw_name), 0, 0) + bytes(12)
    directory = head + raw_name
    lead = b"PK\x03\x04" + bytes(26)
    end = b"PK\x05\x06" + bytes(4) + struct.pack("<HHII", 1, 1, len(directory), len(lead))
    return lead + directory + end + b"\x00\x00"


@pytest.mark.parametrize("place", PLACES)
def test_markup_adds_no_element_and_no_attribute(place: str) -> None:
    """A page with a payload consists of the same elements and attributes as one with "x"."""
    make = PLACES[place]
    allowed = page_shape(make("x")) | KNOWN
    for payload in MARKUP:
        found = page_shape(make(LAYOUT.sub(" ", payload)[:150]))
        assert found <= allowed, payload


def page_shape(result: RequestResult) -> set[str]:
    """Return what the page is made of, but for the stylesheet, which is the same in all."""
    return set(shape(html(Card(result)).partition("<details hidden>")[0]))


# A payload may be a number, an empty text or a secret's shape, and is then drawn as such; and an
# error in a charset or a reason shows nothing new. All of these are ours and inert.
KNOWN = {
    f"<{name}>"
    for name in (
        "em ", "p ", "strong ", "li ", "ul ", "details ", "summary ", "b ", "code ", "td ", "pre ",
        "span class=nbhttp-string", "span class=nbhttp-number", "span class=nbhttp-dim",
        "span class=nbhttp-constant",
    )
}  # fmt: skip


@pytest.mark.parametrize("place", ["HTML", "XML", "CSV", "plain text", "SVG", "form"])
def test_markup_in_a_body_is_only_text(place: str) -> None:
    """A body made of a payload is drawn with our own inert elements alone."""
    kinds = {
        "HTML": ("text/html", "<p>{}</p>"),
        "XML": ("application/xml", "<a>{}</a>"),
        "CSV": ("text/csv", "a,b\n{},1\n"),
        "plain text": ("text/plain", "{}"),
        "SVG": ("image/svg+xml", "<svg>{}</svg>"),
        "form": ("application/x-www-form-urlencoded", "a={}"),
    }
    media_type, around = kinds[place]
    for payload in MARKUP:
        for signature in page_shape(answer(raw(around.replace("{}", payload)), media_type)):
            assert INERT.fullmatch(signature), (payload, signature)


@pytest.mark.parametrize("payload", NAUGHTY)
def test_naughty_text_is_only_text(payload: str) -> None:
    """Strings that break other software, in all places at once, are drawn with inert elements."""
    result = answer(
        json.dumps([{"a": payload, f"k{payload}": payload}, {"a": 1}]).encode(),
        status=400,
        reason=raw(payload),
        method=f"GET{payload}",
        url=f"https://api.example/{payload}",
        headers=((raw(f"X{payload}"), raw(payload)),),
        sent=raw(payload),
        redirects=(Redirect(301, "GET", payload, payload),),
    )
    assert not [found for found in page_shape(result) if not INERT.fullmatch(found)]
    assert not CONTROL.search(text(Card(result)))


INERT = re.compile(
    r"<(html|head|body|style|div|p|span|strong|em|b|code|pre|br|ul|li|details|summary|table|caption"
    r"|thead|tbody|tr|th|td|svg|path|img|\{http://www\.w3\.org/2000/svg\}(svg|path))"
    r"( (class=nbhttp-[a-z -]+|style=width:[\d.]+%|scope=(col|row)|open=|d|viewBox=[\d ]+"
    r"|aria-hidden=true|alt|src))* ?>"
)


@pytest.mark.parametrize("place", PLACES)
def test_payload_is_there_to_be_read(place: str) -> None:
    """Nothing is silently dropped: a harmless marker in the payload's place is visible."""
    assert "Zmarkerq" in html(Card(PLACES[place]("Zmarkerq")))


CONTROL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]"
)
COLOUR = re.compile("\x1b\\[[0-9;]{1,4}m")


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(categories=("Cc", "Cf", "Cs", "Ll", "Po", "Zl", "Co", "Mn"))))
def test_no_control_reaches_a_terminal(payload: str) -> None:
    """Text has no control but line ends; a terminal gets our own colours besides, nothing else."""
    for make in PLACES.values():
        card = Card(make(payload))
        assert not CONTROL.search(text(card))
        assert not CONTROL.search(COLOUR.sub("", terminal(card)))
        html(card).encode("utf-8")


@pytest.mark.parametrize("place", PLACES)
def test_payload_adds_no_line(place: str) -> None:
    """A line end in a single-line place does not begin a line of its own."""
    shown = text(Card(PLACES[place]("x\nForged: line\r\nAnother")))
    assert not re.search(r"^\s*(Forged|Another)", shown, re.MULTILINE)


@settings(deadline=None, max_examples=60)
@given(
    st.binary(max_size=400),
    st.sampled_from(
        "application/json text/html text/csv text/plain application/xml image/png image/jpeg "
        "image/webp application/zip application/pdf audio/wav application/x-ndjson".split()
    ),
    st.sampled_from(
        [
            b"",
            b"\xff\xd8\xff",
            b"RIFF\0\0\0\0WEBPVP8X",
            b"PK\x05\x06",
            b"RIFF\0\0\0\0WAVEfmt ",
            b"fLaC",
            b"GIF89a",
        ]
    ),
)
def test_any_bytes_are_shown_somehow(body: bytes, media_type: str, start: bytes) -> None:
    """No body of any type makes rendering fail, and every output is within its size."""
    card = Card(answer(start + body, media_type))
    assert len(html(card).encode()) <= 48_000
    assert len(text(card).encode()) <= 8_000


@pytest.mark.parametrize("char", ["\u202e", "&", "\U0001f600", '"', "\x1b", "\u0335"])
def test_worst_characters_everywhere_stay_within_the_size(char: str) -> None:
    """Endless text of the characters that grow most when escaped still fits, in every place."""
    long = char * 3000
    many = {f"{long}{n}": long for n in range(60)}
    result = answer(
        json.dumps([many] * 5).encode(),
        f"text/json; {'x' * 5000}",
        status=500,
        reason=raw(long),
        method="G" + long,
        url="https://api.example/" + long,
        headers=tuple((raw(f"X-{n}{long}"), raw(long)) for n in range(100)),
        sent=raw(long),
        sent_headers=tuple((raw(f"Y-{n}"), raw(long)) for n in range(100)),
        attempts=tuple(Attempt(n, None, long, 1.0, 1.0) for n in range(100)),
        redirects=tuple(Redirect(301, long, long, long) for _ in range(100)),
    )
    assert len(html(Card(result)).encode()) <= 48_000
    assert len(text(Card(result)).encode()) <= 8_000
