"""Runs a notebook of the repository, and keeps its outputs when that is wanted."""

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient


def executed_notebook(path: Path, folder: Path, *, keep_if: str) -> Any:
    """Run a notebook in `folder`, from its first cell to its last in a real kernel.

    Args:
        path: The notebook.
        folder: Where its kernel starts.
        keep_if: The environment variable that has the outputs written back to `path`.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,  # a kernel sends what is printed in as many pieces as it likes
    ).execute()
    if os.environ.get(keep_if):
        for cell in notebook.cells:
            cell.metadata.clear()  # when it ran
        nbformat.write(notebook, path)
    return notebook
