"""The builder writes what is safe and refuses the rest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render.visible_text import parsed

from nbhttp._marks import visible
from nbhttp._render.tags import icon, output, stylesheet, tag, to_html


@pytest.mark.parametrize(
    "name", ["script", "iframe", "a", "form", "input", "style", "object", "link"]
)
def test_element_that_could_act_is_refused(name: str) -> None:
    """A view cannot write it even by mistake."""
    with pytest.raises(ValueError, match=f"views do not write <{name}>"):
        tag(name)


@pytest.mark.parametrize(
    "attributes",
    [
        {"onclick": "x"},
        {"id": "x"},
        {"href": "x"},
        {"style": "background:url(//x)"},
        {"classes": "other"},
        {"src": "https://example.com/x.png"},
        {"src": "data:text/html;base64,AAAA"},
        {"src": "data:image/png;base64,AA' onerror='"},
    ],
)
def test_attribute_that_could_act_is_refused(attributes: dict[str, str]) -> None:
    """No handler, no id, no reference to elsewhere, no class but ours."""
    with pytest.raises(ValueError, match="views do not write"):
        tag("img", **attributes)


@given(st.text(), st.text())
def test_text_and_attribute_come_back_as_they_were(text: str, title: str) -> None:
    """A browser reads exactly the text that was given, made visible."""
    body = parsed("<!doctype html>" + to_html(tag("p", "|", text, title=title)))
    paragraph = body.find(".//p")
    assert paragraph is not None
    assert len(paragraph) == 0
    assert paragraph.text == "|" + visible(text, keep="\n\t")
    assert dict(paragraph.attrib) == {"title": visible(title)}


def test_depth_needs_no_stack() -> None:
    """Ten thousand elements in each other are written."""
    root = tag("div")
    for _ in range(10_000):
        root = tag("div", root)
    assert to_html(root).count("<div>") == 10_001


@given(st.text())
def test_words_before_an_output_stay_in_their_comment(words: str) -> None:
    """An output begins with a line in words, in one comment, whatever the words are."""
    written = output(words, tag("p", "seen"), ".a{b:c}")
    first, _, rest = written.partition("\n")
    assert re.fullmatch(r"<!-- [^<>\r\n]* -->", first)
    assert rest.startswith("<p>")
    assert [element.tag for element in parsed(rest).find("body")] == ["p", "details"]


def test_the_text_of_a_style_whose_tags_are_dropped_is_folded() -> None:
    """A filter that keeps what is between the tags leaves it behind everything, folded."""
    written = output("all well", tag("p", "seen"), ".a{b:c}")
    filtered = re.sub("</?style>| hidden", "", written)
    seen, folded = parsed(filtered).find("body")
    assert (seen.tag, seen.text, seen.tail) == ("p", "seen", None)
    assert (folded.tag, dict(folded.attrib), folded.tail) == ("details", {}, None)
    assert "".join(folded.itertext()) == ".a{b:c}"


@given(st.text())
def test_what_is_visible_stays(text: str) -> None:
    """Making visible twice changes nothing more, and the result can be encoded."""
    shown = visible(text)
    assert visible(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x00", "⟨NUL⟩"),
        ("\x1b[31m", "⟨ESC⟩[31m"),
        ("\x7f\x85", "⟨DEL⟩⟨U+0085⟩"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\ud800", "⟨U+D800⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("👩\u200d🚀 Grüße 日本", "👩\u200d🚀 Grüße 日本"),
        ("e" + "\u0301" * 9, "e\u0301\u0301\u0301⟨6 more accents⟩"),
    ],
)
def test_unseen_characters_get_marks(text: str, shown: str) -> None:
    """Controls, bidi, surrogates and tags are marked; letters of all scripts and emoji stay."""
    assert visible(text) == shown


def test_stylesheet_is_small_and_closed() -> None:
    """It loads nothing, and every class in it is ours."""
    css = stylesheet()
    assert len(css.encode()) <= 6_000
    assert "url(" not in css
    assert "@import" not in css
    selectors = re.sub(r"\{[^{}]*\}", "{}", css)
    theirs = {"vscode-light", "vscode-dark", "dark"}  # how hosts say which theme is on
    assert {
        c for c in re.findall(r"\.([a-z][\w-]*)", selectors) if not c.startswith("nbhttp-")
    } <= theirs


@pytest.mark.parametrize("name", ["ok", "info", "warn", "bad"])
def test_icon_is_decoration(name: str) -> None:
    """A drawing is hidden from screen readers: the words beside it say the same."""
    assert 'aria-hidden="true"' in to_html(icon(name))
