"""The tour runs in a real kernel, as the command runs it, and leaves what a reader should see."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest


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
    source = Path(__file__).parents[2] / "notebooks" / "tour.ipynb"
    notebook = nbformat.read(source, 4)
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert len(outputs) > 15
    assert not [o for o in outputs if o["output_type"] == "error"]
    text = source.read_text("utf-8")
    assert "jupyter.widget" not in text
    assert source.stat().st_size < 512 * 1024
