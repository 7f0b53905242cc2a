"""Text is readable in both themes: WCAG 2.2, success criterion 1.4.3."""

import re

import pytest

from nbhttp._render.tags import stylesheet

PAIR = re.compile(r"--nbhttp-(\w+):light-dark\(#([0-9a-f]{6}),\s?#([0-9a-f]{6})\)")
COLOURS = {name: (light, dark) for name, light, dark in PAIR.findall(stylesheet())}
TEXT = ["fg", "dim", "ok", "info", "warn", "bad", "key", "string", "number", "constant"]
# What hosts paint behind an output: JupyterLab, VS Code, Colab, GitHub.
GROUNDS = [
    ["ffffff", "fffffe", "f7f7f7"],
    ["111111", "1e1e1e", "1f1f1f", "0d1117", "212121"],
]


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_all_colours_are_known() -> None:
    """The stylesheet defines each colour for both themes."""
    assert set(TEXT) | {"bg", "soft", "line"} == set(COLOURS)


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast(name: str, theme: int) -> None:
    """Every colour of text has 4.5:1 on our grounds and on those of the hosts."""
    grounds = [COLOURS["bg"][theme], COLOURS["soft"][theme], *GROUNDS[theme]]
    assert min(contrast(COLOURS[name][theme], ground) for ground in grounds) >= 4.5
