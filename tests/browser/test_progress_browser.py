"""The progress of a download in a real JupyterLab: a bar while it runs, a sentence afterwards."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from browser.conftest import Lab, Watched, watch
from playwright.sync_api import Browser, Page, expect
from servers.gated import GatedServer

from nbhttp.progress.board import Outcome
from nbhttp.progress.display import NotebookPainter

pytestmark = pytest.mark.browser

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
IS_READY = """() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel
  ?.status === 'idle'"""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def gated() -> Iterator[GatedServer]:
    """A server that stops half-way until it is released."""
    with GatedServer().running() as server:
        yield server


class Book:
    """A notebook open in the lab."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.path = path

    def run(self, cell: int) -> None:
        """Run one code cell and do not wait for it."""
        self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-InputArea-editor").click()
        self.command("notebook:run-cell", wait=False)

    def expect_done(self, cell: int, count: int) -> None:
        """Wait until a cell has run as the kernel's `count`th."""
        prompt = self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-InputPrompt")
        expect(prompt).to_have_text(f"[{count}]:")

    def command(self, name: str, *, wait: bool = True) -> None:
        """Run one of the lab's commands."""
        call = f"window.jupyterapp.commands.execute('{name}')"
        self.page.evaluate(f"() => {call}" if wait else f"() => {{ {call}; }}")

    def outputs(self, cell: int) -> list[Any]:
        """Save the notebook and return the outputs of a cell, as they are in the file."""
        self.command("docmanager:save")
        return list(self.saved().cells[cell].outputs)

    def saved(self) -> Any:
        """Return the notebook as it is in the file."""
        return nbformat.read(self.path, as_version=4)


@pytest.fixture
def open_book(lab: Lab, chromium: Browser) -> Iterator[Any]:
    """Opens a notebook of some cells, in one theme."""
    pages = []

    def opened(name: str, theme: str, *cells: str) -> tuple[Book, Watched]:
        path = lab.folder / f"{name}.ipynb"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, path)
        lab.set_theme(THEMES[theme])
        page = chromium.new_page(viewport={"width": 1000, "height": 420})
        pages.append(page)
        watched = watch(page)
        page.goto(lab.page_url(path.name))
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function("() => window.jupyterapp?.commands.isEnabled('notebook:run-cell')")
        page.wait_for_function(IS_READY)
        return Book(page, path), watched

    yield opened
    for page in pages:
        page.close()


@pytest.mark.parametrize("theme", THEMES)
def test_a_bar_becomes_a_sentence(
    theme: str, gated: GatedServer, open_book: Any, artefacts: Path
) -> None:
    """Half-way there is a bar; saved then, the file tells the truth; at the end one sentence."""
    download = f"d = nbhttp.download_file('{gated.url}/harbour.bin', 'x-{theme}/', segments=1)"
    book, watched = open_book(f"progress-{theme}", theme, "import nbhttp", download)
    page = book.page
    book.run(0)
    book.expect_done(0, 1)
    book.run(1)
    bar = page.locator(".jp-OutputArea-output .widget-hbox")
    expect(bar).to_contain_text("50%")
    expect(bar).to_contain_text(re.compile(r"6\.0.MB.of.12.MB"))
    page.screenshot(path=artefacts / f"progress-{theme}-running.png")

    (half_way,) = book.outputs(1)
    assert WIDGET_VIEW in half_way.data
    assert "Not complete" in half_way.data["text/plain"]
    assert "run again to resume" in half_way.data["text/html"]

    gated.release()
    book.expect_done(1, 2)
    summary = page.locator(".jp-OutputArea-output .nbhttp-progress")
    expect(summary).to_have_text(re.compile(r"harbour\.bin 12 MB in .* s, complete"))
    expect(page.locator(".jupyter-widgets")).to_have_count(0)
    page.screenshot(path=artefacts / f"progress-{theme}-done.png")
    (whole,) = book.outputs(1)
    assert sorted(whole.data) == ["text/html", "text/plain"]
    assert re.fullmatch(r"harbour\.bin: 12 MB in .* s, complete", whole.data["text/plain"])
    assert "widgets" not in book.saved().metadata

    book.run(1)
    book.expect_done(1, 3)
    expect(summary).to_have_count(1)
    expect(summary).to_have_text("harbour.bin 12 MB, already there")
    assert len(book.outputs(1)) == 1

    book.command("notebook:hide-all-cell-outputs")
    folded = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputPlaceholder")
    expect(folded).to_have_text("<!-- harbour.bin: 12 MB, already there -->")
    assert not watched.trouble


def test_an_interrupt_leaves_what_to_do(
    gated: GatedServer, open_book: Any, artefacts: Path
) -> None:
    """Stopping the kernel half-way says where it stands; the rerun resumes and replaces it."""
    download = f"nbhttp.download_file('{gated.url}/harbour.bin', 'stopped/', segments=1)"
    book, _ = open_book("progress-stopped", "light", "import nbhttp", f"d = {download}")
    page = book.page
    book.run(0)
    book.expect_done(0, 1)
    book.run(1)
    expect(page.locator(".widget-hbox")).to_contain_text("50%")
    book.command("notebook:interrupt-kernel")
    book.expect_done(1, 2)
    summary = page.locator(".jp-OutputArea-output .nbhttp-progress")
    expect(summary).to_have_text(
        re.compile(r"harbour\.bin stopped at [\d.]+ MB of 12 MB; run again to resume")
    )
    expect(page.locator(".jupyter-widgets")).to_have_count(0)
    page.screenshot(path=artefacts / "progress-stopped.png")

    gated.release()
    book.run(1)
    book.expect_done(1, 3)
    expect(summary).to_have_count(1)
    expect(summary).to_contain_text("complete")
    expect(summary).to_contain_text("were there already")


def test_an_output_widget_keeps_the_sentence(
    gated: GatedServer, open_book: Any, artefacts: Path
) -> None:
    """Within an ipywidgets.Output the bar runs too, and what stays is how it ended."""
    setup = "import ipywidgets, nbhttp\nout = ipywidgets.Output()\nout"
    download = (
        "with out:\n"
        f"    d = nbhttp.download_file('{gated.url}/harbour.bin', 'within/', segments=1)\n"
        "    e = nbhttp.download_file('http://127.0.0.1:9/x.bin', 'within/', max_attempts=1)\n"
        "    s = nbhttp.live(iter(['a ', 'live ', 'stream']))"
    )
    book, watched = open_book("progress-within", "light", setup, download)
    page = book.page
    book.run(0)
    book.expect_done(0, 1)
    book.run(1)
    within = page.locator(".jp-CodeCell").nth(0)
    expect(within.locator(".widget-hbox")).to_contain_text("50%")
    gated.release()
    book.expect_done(1, 2)
    expect(within.locator(".nbhttp-progress")).to_have_text(
        [re.compile(r"harbour\.bin 12 MB in .* s, complete"), re.compile(r"x\.bin failed: ")]
    )
    expect(within.locator(".nbhttp-card")).to_contain_text("a live stream")
    expect(within.locator(".nbhttp-card")).to_contain_text("3 pieces")
    expect(within.locator(".widget-hbox")).to_have_count(0)
    page.screenshot(path=artefacts / "progress-within.png")
    assert not watched.trouble


def test_a_name_from_right_to_left_keeps_to_itself(chromium: Browser) -> None:
    """The figures of the sentence stay behind it."""
    page = chromium.new_page()
    shown: list[dict[str, str]] = []
    place: Any = SimpleNamespace(show=shown.append)
    painter = NotebookPainter(is_live=False, place=place)
    painter.end(Outcome("تقرير", "12 MB in 1.5 s, complete", "ok"))
    page.set_content(f"<!doctype html>{shown[0]['text/html']}")
    name_end, size_start = page.evaluate("""() => {
      const name = document.querySelector('.nbhttp-progress strong');
      const range = document.createRange();
      range.setStart(name.nextSibling, 1);
      range.setEnd(name.nextSibling, 3);
      return [name.getBoundingClientRect().right, range.getBoundingClientRect().left];
    }""")
    assert size_start >= name_end
    page.close()
