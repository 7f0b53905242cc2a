# ruff: noqa: INP001, T201 - a script that says where to look
"""Makes a site of the pages, the notebooks and the docstrings: `python docs/build.py`.

It writes plain HTML with one stylesheet into `docs/_site`; there is no script in it, but for what
the outputs of a notebook bring. Needs the extra `tour` (nbconvert).
"""

import html
import inspect
import re
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter

import nbhttp

HERE = Path(__file__).parent
SITE = HERE / "_site"
NOTEBOOKS = HERE.parent / "notebooks"
# In the order of the menu; a page that is not named comes last.
ORDER = "index results errors clients rendering downloads progress streams secrets logging tasks engines"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} – nbhttp</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="site.css"></head>
<body><nav>{menu}</nav><main>{body}</main></body></html>
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
    return str(markdown2html(text))


def notebook_body(path: Path) -> str:
    """Return a notebook's cells with the outputs that are saved in it."""
    notebook = nbformat.read(path, as_version=4)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return str(body)


def reference() -> Iterator[str]:
    """Yield a section for each public name, with what its docstring says."""
    yield "<h1>Reference</h1>"
    for name in nbhttp.__all__:
        thing = getattr(nbhttp, name)
        if inspect.ismodule(thing):
            members = [(f"{name}.{n}", getattr(thing, n)) for n in thing.__all__]
        elif inspect.isclass(thing):
            members = [(f"{name}.{n}", m) for n, m in public_members(thing)]
        else:
            members = []
        yield entry(f"nbhttp.{name}", thing, 2)
        for member_name, member in members:
            yield entry(member_name, member, 3)


def public_members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield methods and properties that nbhttp documents, those of its own bases included."""
    for name, member in inspect.getmembers(kind):
        own = inspect.isfunction(member) or isinstance(member, property)
        if own and not name.startswith("_") and inspect.getdoc(member):
            yield name, member


def entry(name: str, thing: Any, level: int) -> str:
    """Return a heading with the signature, and the docstring as it is written."""
    try:
        signature = "" if isinstance(thing, property) else str(inspect.signature(thing))
    except (TypeError, ValueError):
        signature = ""
    anchor = html.escape(name)
    is_union = isinstance(thing, types.UnionType)
    text = str(thing).replace("nbhttp._core.", "") if is_union else inspect.getdoc(thing)
    documentation = html.escape(text or "")
    return (
        f'<h{level} id="{anchor}">{anchor}</h{level}>'
        + (f"<pre class=signature>{html.escape(name + signature)}</pre>" if signature else "")
        + (f"<pre class=doc>{documentation}</pre>" if documentation else "")
    )


def stylesheet() -> str:
    """Return the site's style, with the colours of code for light and dark."""
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    own = (HERE / "site.css").read_text("utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
    print(f"see {sys.argv[1] if sys.argv[1:] else SITE}/index.html")
