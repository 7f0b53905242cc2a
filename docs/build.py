# ruff: noqa: INP001, T201 - a script that says where to look
"""Makes a site of the pages, the notebooks and the docstrings: `python docs/build.py`.

It writes plain HTML with one stylesheet into `docs/_site`; there is no script in it, but for what
the outputs of a notebook bring. Needs the extra `tour` (nbconvert).
"""

import html
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter
from reference import reference

HERE = Path(__file__).parent
SITE = HERE / "_site"
NOTEBOOKS = HERE.parent / "notebooks"
# In the order of the menu; a page that is not named comes last.
ORDER = "index results errors clients rendering downloads progress streams secrets logging tasks engines"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} – nbhttp</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="site.css"></head>
<body><details class="menu"><summary>{title}</summary>{menu}</details><nav>{menu}</nav><main>{body}</main></body></html>
"""


def main(site: Path = SITE) -> None:
    """Write the whole site anew into `site`."""
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    titles = {path.stem: title_of(path) for path in pages()}
    titles |= {path.stem: path.stem.capitalize() for path in notebooks()}
    titles["reference"] = "Reference"
    for path in pages():
        write(site, path.stem, titles, page_body(path))
    for path in notebooks():
        write(site, path.stem, titles, notebook_body(path))
    write(site, "reference", titles, "".join(reference()))
    (site / "site.css").write_text(stylesheet(), "utf-8")


def write(site: Path, name: str, titles: dict[str, str], body: str) -> None:
    """Write one page with the menu of all."""
    menu = "".join(
        f'<a href="{other}.html"{" aria-current=page" if other == name else ""}>{html.escape(t)}</a>'
        for other, t in titles.items()
    )
    text = PAGE.format(title=html.escape(titles[name]), menu=menu, body=body)
    (site / f"{name}.html").write_text(text, "utf-8")


def pages() -> list[Path]:
    """Return the Markdown pages in the order of the menu."""
    order = ORDER.split()
    found = sorted(HERE.glob("*.md"))
    return sorted(found, key=lambda p: order.index(p.stem) if p.stem in order else len(order))


def notebooks() -> list[Path]:
    """Return the notebooks."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def title_of(path: Path) -> str:
    """Return a page's first heading."""
    return path.read_text("utf-8").partition("\n")[0].lstrip("# ")


def page_body(path: Path) -> str:
    """Return a page's HTML; links to other pages lead to theirs."""
    text = path.read_text("utf-8").replace("```python no-run", "```python")
    text = re.sub(r"\]\(([\w-]+)\.md(#[\w-]+)?\)", r"](\1.html\2)", text)
    # The reference is made here; who reads the page in the repository finds the names themselves.
    text = text.replace("](../src/nbhttp/__init__.py)", "](reference.html)")
    return with_labels(with_ids(str(markdown2html(text))))


def with_ids(body: str) -> str:
    """Return HTML whose headings have the ids that GitHub gives them: links fit both."""

    def heading(found: re.Match[str]) -> str:
        words = html.unescape(re.sub("<[^>]*>", "", found["text"])).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        return f'<h{found["level"]} id="{anchor}">{found["text"]}</h{found["level"]}>'

    pattern = r'<h(?P<level>\d) id="[^"]*">(?P<text>.*?)<a class="anchor-link".*?</a></h\d>'
    return re.sub(pattern, heading, body)


def with_labels(body: str) -> str:
    """Return HTML whose table cells name their column, for screens where they stand in a stack."""

    def table(found: re.Match[str]) -> str:
        heads = [re.sub("<[^>]*>", "", head) for head in re.findall("<th>(.*?)</th>", found[0])]
        cells = iter(range(found[0].count("<td>")))
        return re.sub(
            "<td>", lambda _: f'<td data-label="{heads[next(cells) % len(heads)]}">', found[0]
        )

    return re.sub("<table>.*?</table>", table, body, flags=re.DOTALL)


def notebook_body(path: Path) -> str:
    """Return a notebook's cells with the outputs that are saved in it."""
    notebook = nbformat.read(path, as_version=4)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return str(body)


def stylesheet() -> str:
    """Return the site's style, with the colours of code for light and dark."""
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    own = (HERE / "site.css").read_text("utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
    print(f"see {sys.argv[1] if sys.argv[1:] else SITE}/index.html")
