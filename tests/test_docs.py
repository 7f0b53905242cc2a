"""The examples in the documentation run, and give what they say.

A page's blocks marked ``python`` run in order, in one namespace and one event loop, where `await` may
stand at the top as in a notebook. `https://api.example.com` stands for the demo API. A comment after
an expression that reads as a value is what the expression gives. Results are successes, but in a block
that says of one that it is false or gives its status. A block that needs the internet, or
something else that is not there, is marked ``python no-run``; it has to compile.
"""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nbhttp

if TYPE_CHECKING:
    from nbhttp.testing import DemoServer

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```python(?P<mark>[ \w-]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = "https://api.example.com"
ERROR_STATUSES = range(400, 600)


def blocks(page: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield each block with its line and whether it runs."""
    text = page.read_text("utf-8")
    for match in BLOCK.finditer(text):
        mark = match["mark"].strip()
        assert mark in {"", "no-run"}, f"{page.name}: unknown mark {mark!r}"
        yield text.count("\n", 0, match.start("code")), match["code"], not mark


def compiled(code: str, page: Path, line: int, mode: str = "exec") -> Any:
    """Compile code that stands at this line of the page; a top-level `await` is fine."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile("\n" * line + code, str(page), mode, flags=flags, dont_inherit=True)


async def evaluated(code: Any, names: dict[str, Any]) -> Any:
    """Run compiled code, awaiting it where that is needed."""
    made = eval(code, names)
    return await made if inspect.iscoroutine(made) else made


def promised(statement: ast.stmt, lines: list[str]) -> Any:
    """Return the value that the comment behind an expression promises; `...` for none."""
    if not isinstance(statement, ast.Expr) or statement.end_lineno is None:
        return ...
    rest = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :].decode()
    try:
        return ast.literal_eval(rest.strip().removeprefix("#").strip())
    except (ValueError, SyntaxError):
        return ...


def shown(statement: ast.stmt, source: str) -> str:
    """Return the expression whose value a reader sees: what `print` is given, else all of it."""
    node: ast.expr = statement.value  # type: ignore[attr-defined] # an ast.Expr
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "print" and len(node.args) == 1:
        node = node.args[0]
    return ast.get_source_segment(source, node) or ""


async def run_page(page: Path, base: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    told: list[Any] = []
    for line, code, is_run in blocks(page):
        source = code.replace(NAME, base)
        if not is_run:
            compiled(source, page, line)
            continue
        lines = source.split("\n")
        said = []
        for statement in ast.parse(compiled_source(source), filename=str(page)).body:
            piece = "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
            at = line + statement.lineno - 1
            expected = promised(statement, lines)
            said.append(expected)
            if expected is ...:
                await evaluated(compiled(piece, page, at), names)
            else:
                got = await evaluated(compiled(shown(statement, source), page, at, "eval"), names)
                if isinstance(got, str):
                    got, expected = (str(text).replace(base, NAME) for text in (got, expected))
                assert got == expected, f"{page.name}:{at + 1}: {got!r} is not {expected!r}"
        failed = [one for one in names.values() if is_failure(one)]
        if any(value is False or value in ERROR_STATUSES for value in said):
            told += failed
        untold = [one for one in failed if not any(one is known for known in told)]
        assert not untold, f"{page.name}, block at {line + 1}: fails unannounced: {untold}"


def is_failure(value: Any) -> bool:
    """Whether a value is the result of a call or a download that did not succeed."""
    kinds = (nbhttp.RequestResult, nbhttp.DownloadResult)
    return isinstance(value, kinds) and not value.success


def compiled_source(source: str) -> str:
    """Return the source, having checked that it parses with top-level `await`."""
    compile(source, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return source


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page: Path, demo: "DemoServer", tmp_path: Path) -> None:
    """Each block of the page runs after the ones before it.

    In a process of its own: a page may change what a process has once, as `nbhttp.run` does, whose
    nesting stays applied to asyncio.
    """
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    ended = subprocess.run(
        [sys.executable, "-W", "error", __file__, str(page), demo.url],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=env,
    )
    assert ended.returncode == 0, ended.stderr
    # What a destructor raises, such as a ResourceWarning, is printed only.
    assert "Exception ignored" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    """docs/index.md says what is where."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    missing = [p.name for p in (ROOT / "docs").glob("*.md") if f"({p.name})" not in index]
    assert missing in ([], ["index.md"])


@pytest.mark.slow
def test_the_site_is_made(tmp_path: Path) -> None:
    """`python docs/build.py` writes a page for each page, notebook and the reference."""
    site = tmp_path / "site"
    command = [sys.executable, str(ROOT / "docs" / "build.py"), str(site)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    made = {path.name for path in site.iterdir()}
    sources = [*(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    assert made == {f"{path.stem}.html" for path in sources} | {"reference.html", "site.css"}
    for page in site.glob("*.html"):
        text = page.read_text("utf-8")
        if page.stem not in {"tour", "gallery", "reference"}:  # others' markup, and its links
            assert "<script" not in text
            links = re.findall(r'href="([\w.-]+)(?:#[^"]*)?"', text)
            assert set(links) <= made, page.name
    reference = (site / "reference.html").read_text("utf-8")
    missing = [name for name in nbhttp.__all__ if f'id="nbhttp.{name}"' not in reference]
    assert not missing
    assert "```" not in reference
    assert "add_note" not in reference  # every exception has it
    own_pages = [site / f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")]
    for page in [*own_pages, site / "reference.html"]:
        for name, anchor in re.findall(r'href="([\w.-]*)#([^"]+)"', page.read_text("utf-8")):
            assert f'id="{anchor}"' in (site / (name or page.name)).read_text("utf-8"), anchor


if __name__ == "__main__":
    asyncio.run(run_page(Path(sys.argv[1]), sys.argv[2]))
