"""The gallery runs, and what it leaves in the notebook is right.

`NBHTTP_UPDATE_GALLERY=1 pytest tests/notebooks/test_gallery.py` keeps the outputs of a new run; look
at them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from executing import executed_notebook

import nbhttp

GALLERY = Path(__file__).parents[2] / "notebooks" / "gallery.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The gallery, run from its first cell to its last in a real kernel."""
    folder = tmp_path_factory.mktemp("gallery")
    return executed_notebook(GALLERY, folder, keep_if="NBHTTP_UPDATE_GALLERY")


def bundles(notebook: Any) -> list[dict[str, str]]:
    """Return the outputs that have a page."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    return [
        out["data"] for out in outputs if "nbhttp-card" in out.get("data", {}).get("text/html", "")
    ]


def test_every_cell_runs(executed: Any) -> None:
    """No cell fails, none writes to stderr, and each result is a card."""
    outputs = [out for cell in executed.cells for out in cell.get("outputs", ())]
    assert not [
        out for out in outputs if out["output_type"] == "error" or out.get("name") == "stderr"
    ]
    assert len(bundles(executed)) == 26


def test_saved_outputs_are_small_and_plain(executed: Any) -> None:
    """Text has no escape code and is 8 KB at most, a page 48 KB, its pictures apart."""
    for data in bundles(executed):
        assert "\x1b" not in data["text/plain"]
        assert len(data["text/plain"].encode()) <= 8_000
        assert len(re.sub(r"base64,[A-Za-z0-9+/=]*", "", data["text/html"]).encode()) <= 48_000


def test_no_secret_is_saved(executed: Any) -> None:
    """The secrets that its cells send are in no output."""
    outputs = json.dumps([cell.get("outputs", []) for cell in executed.cells])
    assert "s3cr3t" not in outputs


def test_kept_notebook_shows_what_a_run_shows(executed: Any) -> None:
    """The outputs in the repository are those of this code: the same cards with the same words."""

    def words(data: dict[str, str]) -> str:
        # Ports, times and process ids are a run's own; 422 has another phrase since Python 3.13.
        changing = (
            r"127\.0\.0\.1:\d+|[\d.]+ (ms|s)\b|·? ?(queue|connect|send|wait|receive)\b|\d+ms"
            r"|(?<=Unprocessable )(Entity|Content)"
        )
        return re.sub(rf"({changing}|\s|·)+", " ", data["text/plain"])

    kept = nbformat.read(GALLERY, as_version=4)
    assert [words(data) for data in bundles(kept)] == [words(data) for data in bundles(executed)]


def test_kept_notebook_has_no_run_in_its_metadata() -> None:
    """Cells have stable ids, no times of execution and no path of a machine: diffs stay small."""
    kept = nbformat.read(GALLERY, as_version=4)
    assert [cell["id"] for cell in kept.cells] == [
        f"gallery-{at:02}" for at in range(len(kept.cells))
    ]
    assert not any(cell.metadata for cell in kept.cells)
    assert str(Path(nbhttp.__file__).parent) not in GALLERY.read_text()
