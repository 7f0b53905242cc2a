"""The display's settings."""

import pytest
from render.answers import answer, dumped, stations

from nbhttp._render import options
from nbhttp.errors import ConfigError


def test_block_sets_and_restores() -> None:
    """Settings of a block end with it, nested blocks and errors included."""
    before = options.display.settings
    with options.display(depth=2):
        with options.display(rows=3) as display:
            assert (display.depth, display.rows) == (2, 3)
        with pytest.raises(KeyError), options.display(rows=7):
            raise KeyError
        assert options.display.rows == before.rows
    assert options.display.settings == before


def test_assignment_lasts() -> None:
    """An assignment is in force until the next; within a block it ends with the block."""
    before = options.display.rows
    options.display.rows = 3
    try:
        assert "… 47 more rows" in str(answer(dumped(stations(50))).table())
        with options.display(depth=2):
            options.display.rows = 4
        assert options.display.rows == 3
    finally:
        options.display.rows = before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "display depth must be a whole number from 1 to 100, not 0"),
        ({"rows": "5"}, "display rows .* not '5'"),
        ({"characters": 1}, "from 20 to 1,000,000"),
        ({"theme": "blue"}, "display theme must be 'auto', 'light' or 'dark', not 'blue'"),
        ({"width": 3}, "display has no setting 'width'; it has depth, rows, characters, theme"),
    ],
)
def test_bad_setting_is_refused(changes: dict[str, object], message: str) -> None:
    """A wrong setting is named, in a block and in an assignment."""
    with pytest.raises(ConfigError, match=message):
        options.display(**changes)
    for name, value in changes.items():
        with pytest.raises(ConfigError, match=message):
            setattr(options.display, name, value)


def test_settings_change_the_output() -> None:
    """Rows, characters and theme are obeyed."""
    result = answer(dumped([{"text": "word " * 100}] * 30))
    with options.display(rows=2, characters=200, theme="dark"):
        html = result._repr_html_()
    assert "… 28 more rows" in html
    assert 'class="nbhttp-card nbhttp-dark"' in html
    assert html.count("word word") * 2 < result._repr_html_().count("word word")


def test_largest_settings_keep_the_size() -> None:
    """However much is asked for, an output stays within its size."""
    result = answer(dumped([{f"c{n}": "&" * 5000 for n in range(40)}] * 1000))
    with options.display(rows=1000, characters=1_000_000, depth=100):
        bundle = result._repr_mimebundle_()
    assert len(bundle["text/html"].encode()) <= 48_000
    assert len(bundle["text/plain"].encode()) <= 8_000
