"""The command line: `nbhttp tour`."""

import argparse
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

from nbhttp.integrations._require import require

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `nbhttp`; None takes them from the process.

    Returns:
        The exit status: 0 when all went well.
    """
    parser = argparse.ArgumentParser(prog="nbhttp", description="HTTP for notebooks.")
    commands = parser.add_subparsers(dest="command", required=True)
    tour = commands.add_parser(
        "tour",
        help="run the tour against a demo API on this machine and write it as a page",
        description="Starts a demo API on loopback, runs the tour in a real kernel, and writes "
        "what a reader of the notebook sees. Nothing leaves this machine.",
    )
    tour.add_argument("--output", default="tour.html", help="the page to write (%(default)s)")
    tour.add_argument("--lab", action="store_true", help="open the tour in JupyterLab instead")
    options = parser.parse_args(arguments)
    if options.lab:
        return _open_in_lab(Path(options.output).with_suffix(".ipynb"))
    return _write_page(Path(options.output))


def _write_page(page: Path) -> int:
    nbformat = require("nbformat", extra="tour", feature="nbhttp tour")
    nbconvert = require("nbconvert", extra="tour", feature="nbhttp tour")
    print("nbhttp tour: running it in a fresh kernel, against a demo API on this machine …")
    notebook = nbformat.reads(_tour_text(), as_version=4)
    started = time.perf_counter()
    failed = _execute(notebook)
    # The page loads nothing: without these the template takes scripts from elsewhere.
    exporter = nbconvert.HTMLExporter(
        theme="light", require_js_url="", jquery_url="", mathjax_url="", mermaid_js_url=""
    )
    body, _ = exporter.from_notebook_node(notebook)
    page.write_text(body, "utf-8")
    cells = sum(1 for cell in notebook.cells if cell.cell_type == "code")
    print(f"nbhttp tour: ran {cells} cells in {time.perf_counter() - started:.0f} s")
    print(f"nbhttp tour: wrote {page.resolve()} ({page.stat().st_size / 1024:,.0f} KB)")
    print("nbhttp tour: open it in a browser; `nbhttp tour --lab` opens the notebook itself")
    if failed is not None:
        print(f"nbhttp tour: a cell failed: {failed}", file=sys.stderr)
        return 1
    return 0


def _execute(notebook: Any) -> str | None:
    """Run all cells; return what the first failing one raised, or None."""
    nbclient = require("nbclient", extra="tour", feature="nbhttp tour")
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": "."}},
        coalesce_streams=True,  # a kernel sends what is printed in as many pieces as it likes
        # It warns of TCP without encryption, which on loopback says nothing to the reader.
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as exc:
        return f"{exc.ename}: {exc.evalue}"
    return None


def _open_in_lab(copy: Path) -> int:
    require("jupyterlab", extra="lab", feature="nbhttp tour --lab")
    if not copy.exists():
        copy.write_text(_tour_text(), "utf-8")
        print(f"nbhttp tour: wrote {copy.resolve()}")
    import subprocess

    command = [sys.executable, "-m", "jupyterlab", str(copy)]
    print("nbhttp tour: opening it in JupyterLab; stop with Ctrl-C")
    return subprocess.run(command, check=False).returncode  # noqa: S603 - our own interpreter


def _tour_text() -> str:
    """Return the notebook: from the installed package, or from the source tree."""
    installed = resources.files("nbhttp").joinpath("_tour/tour.ipynb")
    if installed.is_file():
        return installed.read_text("utf-8")
    source = Path(__file__).parents[2] / "notebooks" / "tour.ipynb"
    return source.read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main())
