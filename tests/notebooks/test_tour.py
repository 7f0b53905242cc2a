"""The tour runs in a real kernel, as the command runs it, and leaves what a reader should see.

`NBHTTP_UPDATE_TOUR=1 pytest tests/notebooks/test_tour.py` keeps the outputs of a new run; look at them.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from executing import executed_notebook

TOUR = Path(__file__).parents[2] / "notebooks" / "tour.ipynb"


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """What `nbhttp tour` did in an empty folder."""
    folder = tmp_path_factory.mktemp("tour")
    done = subprocess.run(
        [sys.executable, "-m", "nbhttp", "tour"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return folder, done


def test_the_command_says_what_it_did_and_where_the_page_is(tour):
    """It ends well and names the page."""
    folder, done = tour
    assert done.returncode == 0, done.stderr
    assert str(folder / "tour.html") in done.stdout
    assert "WARNING" not in done.stdout + done.stderr  # a kernel has its own to say


def test_the_page_shows_real_answers(tour):
    """Cards, tables, a failure with its hint, a picture, a finished download."""
    folder, _ = tour
    page = (folder / "tour.html").read_text("utf-8")
    for text in ("200 OK", "Rope Walk Steps", "unknown host", "No such station", "data:image/png",
                 "240 ok, 60 failed", "already there", "station 5"):  # fmt: skip
        assert text in page, text
    assert "Traceback" not in page


def test_the_page_loads_nothing_from_elsewhere(tour):
    """Who opens it makes no request: no script, style or picture has an address."""
    folder, _ = tour
    page = (folder / "tour.html").read_text("utf-8")
    loaded = r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^\s>]*"""
    assert not re.findall(loaded, page)
    assert not re.findall(r"""(?:import|from)\s*\(?["']https?://[^"']*""", page)


def test_the_page_holds_no_secret(tour):
    """The tour's token and key are masked wherever they would be shown."""
    folder, _ = tour
    page = (folder / "tour.html").read_text("utf-8")
    shown = re.sub(r'<div class="highlight.*?</pre>', "", page, flags=re.DOTALL)
    assert "k-1234567890" not in shown
    assert "demo-token" not in shown
    assert "‹redacted›" in shown


def test_the_committed_notebook_has_its_outputs_and_no_error():
    """What is read in the repository is what a run leaves: no error, no live widget."""
    notebook = nbformat.read(TOUR, 4)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert len(outputs) > 15
    assert not [o for o in outputs if o["output_type"] == "error"]
    text = TOUR.read_text("utf-8")
    assert "jupyter.widget" not in text
    assert TOUR.stat().st_size < 512 * 1024


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The tour, run from its first cell to its last."""
    folder = tmp_path_factory.mktemp("executed")
    return executed_notebook(TOUR, folder, keep_if="NBHTTP_UPDATE_TOUR")


def test_the_committed_notebook_shows_what_a_run_shows(executed):
    """Each cell has the outputs of this code: cards where it makes cards."""

    def kinds(notebook):
        return [
            [(o["output_type"], *sorted(o.get("data", ()))) for o in cell.get("outputs", [])]
            for cell in notebook.cells
        ]

    assert kinds(nbformat.read(TOUR, as_version=4)) == kinds(executed)
