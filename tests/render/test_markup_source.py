"""The lexer takes any text and loses nothing."""

from hypothesis import given
from hypothesis import strategies as st

from nbhttp._render.limits import Limits
from nbhttp._render.options import Settings
from nbhttp._render.views.markup import extract, source, title_of, tokens

LIMITS = Limits.of(Settings())
MARKUP = st.lists(
    st.sampled_from(
        ["<", ">", "</", "/>", "<a ", "b=", "'", '"', "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>",
         "<script>", "</script>", "<title", "<p>", "</p>", "<br>", "&amp;", "x", " ", "\n", "\x00", "é"]
    )
).map("".join) | st.text()  # fmt: skip


@given(MARKUP, st.booleans())
def test_tokens_put_together_are_the_text(text: str, is_html: bool) -> None:
    """No character is lost, none is read twice."""
    assert "".join(token.text for token in tokens(text, is_html=is_html)) == text


@given(MARKUP, st.booleans())
def test_any_markup_has_source_and_text(text: str, is_html: bool) -> None:
    """Laying out never fails."""
    source(text, LIMITS, is_html=is_html, is_cut=False)
    extract(text, LIMITS)
    title_of(text)


def written(text: str, *, is_html: bool) -> list[str]:
    shown = source(text, LIMITS, is_html=is_html, is_cut=False)
    return ["".join(span.text for span in line) for line in shown.lines]


def test_source_is_indented() -> None:
    """Elements indent, void ones do not, short text stays with its tags."""
    page = "<div class=a><br><p>Hi <b>you</b><p>There</div><hr>"
    assert written(page, is_html=True) == [
        "<div class=a>",
        "  <br>",
        "  <p>",
        "    Hi",
        "    <b>you</b>",
        "  <p>",
        "    There",
        "</div>",
        "<hr>",
    ]


def test_xml_keeps_its_case() -> None:
    """Names of XML keep their case and match by it."""
    assert written("<A><b/></a></A>", is_html=False) == ["<A>", "  <b/>", "  </a>", "</A>"]


def test_extract_is_what_a_reader_sees() -> None:
    """Scripts, styles and comments are not text; lists and headings are marked."""
    page = "<h2>One</h2><script>no()</script><p>a<!-- no -->b&nbsp;c<br>d<li>e<style>no</style>"
    lines = ["".join(span.text for span in line) for line in extract(page, LIMITS).lines]
    assert lines == ["## One", "ab c", "d", "• e"]
