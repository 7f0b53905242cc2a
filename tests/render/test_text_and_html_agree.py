"""Text and HTML are two ways of saying the same."""

import re

import pytest
from render.answers import ANSWERS, download
from render.visible_text import visible_text

from nbhttp._render.bundle import html, text
from nbhttp._render.views.card import Card
from nbhttp._render.views.outcomes import DownloadCard
from nbhttp.errors import ConnectError
from nbhttp.result import RequestResult

CARDS = {name: make for name, make in ANSWERS.items() if isinstance(make(), RequestResult)}
# Words of the layout that the text has and the page shows by other means.
DRAWN = re.compile(r"shown where pictures can be|[(){}\[\],\"#…·:•]")


def words(written: str) -> set[str]:
    return set(DRAWN.sub(" ", written).split())


@pytest.mark.parametrize("name", CARDS)
def test_html_has_every_word_of_the_text(name: str) -> None:
    """Whatever the text says, the page says too, folded or not."""
    result = CARDS[name]()
    shown = visible_text(html(Card(result)))
    # What is cut earlier in text, which shows less, ends in an ellipsis: no whole word to compare.
    cut = re.compile(r"… [^\n]*|\S*…\S*|\([\d,]+ characters\)")
    missing = words(cut.sub("", text(Card(result)))) - words(shown)
    assert not missing


@pytest.mark.parametrize("name", CARDS)
def test_both_state_the_facts_of_the_call(name: str) -> None:
    """Verdict, method, size, time, failure, hint, every attempt and redirection stand in both."""
    result = CARDS[name]()
    expected = [
        line
        for line in text(Card(result)).splitlines()
        if line.startswith(("Hint:", "The server says", "Timing:", "Body:"))
    ]
    expected += text(Card(result)).splitlines()[1:2]
    shown = " ".join(visible_text(html(Card(result))).split())
    for line in expected:
        assert " ".join(line.split()) in shown


@pytest.mark.parametrize("name", CARDS)
def test_headers_are_complete_in_html(name: str) -> None:
    """Every response and request header has its row in the page."""
    from nbhttp._marks import visible

    result = CARDS[name]()
    shown = visible_text(html(Card(result)))
    for field in (*result.headers, *(key.decode() for key, _ in result._request.headers)):
        assert visible(field).lower() in shown.lower()


def test_a_download_that_has_no_file_names_none() -> None:
    """One that failed before its name was known went nowhere, not to a file object."""
    error = ConnectError("nobody listens")
    failed = download(path=None, size=0, received=0, verified=False, exception=error)
    assert "file object" not in text(DownloadCard(failed))
    assert "file object" in text(DownloadCard(download(path=None)))
