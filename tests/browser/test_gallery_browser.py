"""The gallery in a real JupyterLab, converted, and sanitised, as a reader sees it."""

import json
import re
from pathlib import Path
from typing import Any

import bleach
import nbformat
import pytest
from browser.conftest import ROOT, Lab, Watched, watch
from playwright.sync_api import Browser, Page, expect
from render.answers import answer
from render.test_hostile_answers import MARKUP, PLACES

from nbhttp._render.bundle import html
from nbhttp._render.views.card import Card

pytestmark = pytest.mark.browser

GALLERY = ROOT / "notebooks" / "gallery.ipynb"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

KERNEL_IS_READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  return context?.isReady && context.session?.kernel?.status === 'idle';
}"""
# The smallest contrast of any text in the cards, as painted: WCAG 2.2, success criterion 1.4.3.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const card of document.querySelectorAll('.nbhttp-card')) {
    const walker = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
      if (!text || element.closest('style')) continue;
      const pair = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))].sort();
      const ratio = (pair[1] + 0.05) / (pair[0] + 0.05);
      if (ratio < worst[0]) worst = [ratio, text.slice(0, 40)];
    }
  }
  return worst;
}"""


def gallery_without_outputs(target: Path) -> int:
    """Write the gallery as it was before it ran; return how many code cells it has."""
    notebook = nbformat.read(GALLERY, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, target)
    return len(code)


def keep(page: Page, path: Path) -> None:
    """Keep a picture of the whole notebook, which the lab scrolls within its panel."""
    height = page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('.jp-WindowedPanel-outer, body')]"
        ".map((e) => e.scrollHeight)) + 120"
    )
    page.set_viewport_size({"width": 1180, "height": min(height, 16_000)})
    page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(done))")
    page.screenshot(path=path)
    page.set_viewport_size({"width": 1180, "height": 900})


@pytest.fixture(scope="module", params=THEMES)
def opened(request: pytest.FixtureRequest, lab: Lab, chromium: Browser) -> Any:
    """The gallery, run to its end in the lab, in one theme."""
    name = f"gallery-{request.param}.ipynb"
    cells = gallery_without_outputs(lab.folder / name)
    lab.set_theme(THEMES[request.param])
    # The browser's own preference is the other one: the lab's theme has to win.
    other = "dark" if request.param == "light" else "light"
    page = chromium.new_page(viewport={"width": 1180, "height": 900}, color_scheme=other)
    watched = watch(page)
    page.goto(lab.page_url(name))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(KERNEL_IS_READY)
    for command in ("application:toggle-left-area", "notebook:run-all-cells"):
        # The braces drop the promise: what the cells did is awaited below, with a limit.
        page.evaluate(f"() => {{ window.jupyterapp.commands.execute('{command}') }}")
    last = page.locator(".jp-CodeCell .jp-InputPrompt").nth(cells - 1)
    expect(last).to_have_text(f"[{cells}]:")
    yield request.param, watched
    page.close()


def test_gallery_runs_in_jupyterlab(opened: tuple[str, Watched], artefacts: Path) -> None:
    """Every card is there, readable in the lab's theme, and does nothing but show."""
    theme, watched = opened
    page = watched.page
    cards = page.locator(".jp-OutputArea-output .nbhttp-card")
    expect(cards).to_have_count(26)
    for words in (
        "200 OK",
        "422 Unprocessable",
        "Timed out",
        "Not connected",
        "Too many redirections",
    ):
        expect(cards.filter(has_text=words).first).to_be_visible()
    assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0
    assert (
        page.evaluate("() => getComputedStyle(document.querySelector('.nbhttp-card')).colorScheme")
        == theme
    )
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text
    keep(page, artefacts / f"gallery-jupyterlab-{theme}.png")
    assert not watched.trouble


def test_tree_works_by_pointer_and_by_keyboard(
    opened: tuple[str, Watched], artefacts: Path
) -> None:
    """Pointing at a value shows its Python, one click selects it; Enter folds and unfolds."""
    theme, watched = opened
    page = watched.page
    tree = (
        page.locator(".nbhttp-card", has_text="Body: JSON, object")
        .filter(has=page.locator("summary", has_text="districts"))
        .first.locator(".nbhttp-tree")
        .first
    )
    leaf = tree.locator("li", has=page.locator("b", has_text=re.compile("^town$")))
    path = leaf.last.locator("code")
    expect(path).to_be_hidden()
    leaf.last.hover()
    expect(path).to_be_visible()
    page.screenshot(path=artefacts / f"gallery-path-{theme}.png")
    path.click()
    selected = page.evaluate("() => getSelection().toString()")
    assert selected == 'r.json()["network"]["town"]'
    summary = tree.locator("summary", has_text=re.compile("^fleet"))
    details = summary.locator("xpath=..")
    was_open = details.evaluate("e => e.open")
    summary.focus()
    page.keyboard.press("Enter")
    assert details.evaluate("e => e.open") != was_open
    assert not watched.trouble


@pytest.mark.parametrize("theme", THEMES)
def test_gallery_converted_to_html(theme: str, chromium: Browser, artefacts: Path) -> None:
    """The page that nbconvert makes of the saved notebook looks like the notebook."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(theme=theme, require_js_url="", mathjax_url="", jquery_url="")
    body, _ = exporter.from_notebook_node(nbformat.read(GALLERY, as_version=4))
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    watched = watch(page)
    page.route(re.compile("^https?:"), lambda route: route.abort())
    page.set_content(body, wait_until="load")
    expect(page.locator(".nbhttp-card")).to_have_count(26)
    assert (
        page.evaluate("() => getComputedStyle(document.querySelector('.nbhttp-card')).colorScheme")
        == theme
    )
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text
    page.screenshot(path=artefacts / f"gallery-nbconvert-{theme}.png", full_page=True)
    assert not watched.dialogs
    page.close()


# What GitHub keeps of HTML (github/html-pipeline's default): no style, no class, no data: images.
KEPT_TAGS = """
h1 h2 h3 h4 h5 h6 br b i strong em a pre code img tt div ins del sup sub p picture ol ul table thead
tbody tfoot blockquote dl dt dd kbd q samp var hr ruby rt rp li tr td th s strike summary details
caption figure figcaption abbr bdo cite dfn mark small source span time wbr
""".split()
KEPT_ATTRIBUTES = {
    "*": ["alt", "title", "open", "align", "scope", "colspan", "rowspan"],
    "img": ["src"],
}
# GitHub's own look, as far as it matters here.
GITHUB = """<!doctype html><meta charset="utf-8"><style>
body { font: 14px/1.5 sans-serif; max-width: 900px; margin: 20px auto; color: #1f2328 }
table { border-collapse: collapse; display: block; overflow: auto } td, th { border: 1px solid #d1d9e0; padding: 5px 12px }
code { background: #eff1f3; border-radius: 5px; padding: 2px 5px; font-size: 85% }
pre { background: #f6f8fa; padding: 12px; overflow: auto } hr { border: 0; border-top: 3px solid #d1d9e0 }
</style>"""


def sanitised(output: str) -> str:
    """Return an output as GitHub leaves it in a page: of a style, the tags are gone."""
    return bleach.clean(output, KEPT_TAGS, KEPT_ATTRIBUTES, ["http", "https"], strip=True)


ROWS = """() => {
  document.querySelectorAll('details').forEach((e) => { e.open = true });
  const rows = [...document.querySelectorAll('.nbhttp-tree :is(li:not(:has(li)), li summary)')];
  const heights = () => rows.map((e) => e.getBoundingClientRect().height);
  const before = heights();
  document.querySelectorAll('.nbhttp-tree li code').forEach((e) => e.remove());
  const without = heights();
  return [rows.length, rows.filter((e, at) => before[at] !== without[at]).map((e) => e.textContent)];
}"""


def test_a_path_that_is_not_shown_takes_no_line(chromium: Browser) -> None:
    """On a narrow page the rows of a tree are as high as their keys and values."""
    document = {"headers": {"accept-encoding": "gzip, deflate, br, zstd", "user-agent": "nbhttp"}}
    page = chromium.new_page(viewport={"width": 400, "height": 900})
    result = answer(json.dumps(document).encode(), "application/json")
    page.set_content(f"<!doctype html>{html(Card(result))}")
    rows, higher = page.evaluate(ROWS)
    assert rows == 3
    assert higher == []
    page.close()


def test_a_url_has_the_width_of_a_phone(chromium: Browser) -> None:
    """Where there is no room beside the verdict it stands below, and not in a narrow column."""
    page = chromium.new_page(viewport={"width": 360, "height": 900})
    page.set_content(f"<!doctype html>{html(Card(answer(b'{}')))}")
    whole, url = (
        page.locator(f".nbhttp-title{part}").evaluate("(e) => e.getBoundingClientRect().width")
        for part in ("", " code")
    )
    assert url > 0.9 * whole
    page.close()


def test_gallery_sanitised(chromium: Browser, artefacts: Path) -> None:
    """Without style and classes the order, the words and the tables still tell everything."""
    notebook = nbformat.read(GALLERY, as_version=4)
    outputs = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "nbhttp-card" in output.get("data", {}).get("text/html", "")
    ]
    page = chromium.new_page(viewport={"width": 1000, "height": 900})
    watched = watch(page)
    page.set_content(GITHUB + "<hr>".join(sanitised(output) for output in outputs))
    expect(page.locator("[class], [style]:not(body), svg")).to_have_count(0)
    assert ".nbhttp-" not in page.locator("body").inner_text()
    # Each table still has its caption and its header cells, each picture its words.
    tables = page.locator("table")
    for at in range(tables.count()):
        assert tables.nth(at).locator("caption").count() == 1
        assert tables.nth(at).locator("th").count() > 0
    assert all(image.get_attribute("alt") for image in page.locator("img").all())
    page.screenshot(path=artefacts / "gallery-sanitised.png", full_page=True)
    assert not watched.trouble
    page.close()


HOOKS = "for (const f of ['alert', 'confirm', 'prompt', 'print', 'open']) window[f] = () => { window.ran = f }"
POKE = """() => {
  document.querySelectorAll('details').forEach((e) => { e.open = true });
  const events = ['click', 'mouseover', 'mouseenter', 'focus', 'load', 'error', 'animationstart',
                  'toggle', 'pointerover', 'input', 'submit', 'copy', 'paste', 'dragstart', 'wheel'];
  document.querySelectorAll('.nbhttp-card *').forEach(
    (e) => events.forEach((name) => e.dispatchEvent(new Event(name, {bubbles: true}))));
  return [window.ran ?? null, document.querySelectorAll('script, iframe, object, embed, link, base, meta, form, a').length];
}"""


@pytest.mark.parametrize("place", PLACES)
def test_payloads_do_nothing_in_chromium(place: str, chromium: Browser) -> None:
    """Real attacks in a place of an answer run no script, load nothing, open no dialog."""
    cards = [html(Card(PLACES[place](payload))) for payload in MARKUP]
    page = chromium.new_page()
    page.add_init_script(HOOKS)
    watched = watch(page)
    page.goto("about:blank")
    page.set_content(f"<!doctype html>{''.join(cards)}", wait_until="load")
    ran, forbidden = page.evaluate(POKE)
    assert ran is None
    assert forbidden == 0
    assert page.locator(".nbhttp-card").count() == len(MARKUP)
    assert not watched.trouble
    page.close()
