"""What thirty and more answers look like, byte for byte.

`NBHTTP_UPDATE_SNAPSHOTS=1 pytest tests/render/test_render_snapshots.py` writes them anew; look at the difference.
"""

import os
from pathlib import Path

import pytest
from render.answers import ANSWERS

FOLDER = Path(__file__).parent / "snapshots"


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def compare(path: Path, written: str) -> None:
    if os.environ.get("NBHTTP_UPDATE_SNAPSHOTS"):
        path.write_bytes(written.encode())
    assert path.read_bytes().decode() == written


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_looks_as_before(name: str) -> None:
    """Text and HTML of an answer are the same bytes as they were."""
    bundle = ANSWERS[name]()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    html, _, style = bundle["text/html"].partition("<details hidden>")
    assert style.endswith("</style></details>")
    compare(FOLDER / f"{name}.txt", bundle["text/plain"] + "\n")
    compare(FOLDER / f"{name}.html", html + "\n")


def test_every_snapshot_has_its_answer() -> None:
    """No snapshot is left over from an answer that is gone."""
    assert {path.stem for path in FOLDER.iterdir()} == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_same_answer_gives_same_bytes(name: str) -> None:
    """Rendering twice, from two results, gives the same bytes."""
    assert ANSWERS[name]()._repr_mimebundle_() == ANSWERS[name]()._repr_mimebundle_()


@pytest.mark.parametrize("name", ANSWERS)
def test_output_stays_within_its_size(name: str) -> None:
    """HTML is 48 KB at most, of it 6 KB style; text is 8 KB at most."""
    from nbhttp._render.tags import stylesheet

    bundle = ANSWERS[name]()._repr_mimebundle_()
    assert len(bundle["text/html"].encode()) <= 48_000
    assert len(stylesheet().encode()) <= 6_000
    assert len(bundle["text/plain"].encode()) <= 8_000
