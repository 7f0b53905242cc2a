"""Chooses how progress is shown: where the code runs, and whether anybody watches."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Surroundings", "View", "choose", "surroundings"]

View = Literal["widget", "page", "terminal", "lines"]
"""A live bar in a notebook; a line in a notebook that changes now and then; a bar in a terminal;
a line of text now and then."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the code runs.

    Attributes:
        has_kernel: It runs in a Jupyter kernel: what is displayed lands in a notebook.
        is_watched: Somebody sees the notebook while it runs.
        is_terminal: The error stream is a terminal that can move its cursor.
    """

    has_kernel: bool
    is_watched: bool
    is_terminal: bool


def choose(style: str, where: Surroundings) -> View:
    """Return how to show progress.

    Args:
        style: "auto" takes what fits; "bar" takes a bar even when nobody seems to watch.
        where: Where the code runs.

    Examples:
        >>> choose("auto", Surroundings(has_kernel=True, is_watched=False, is_terminal=False))
        'page'
    """
    if where.has_kernel:
        return "widget" if style == "bar" or where.is_watched else "page"
    return "terminal" if style == "bar" or where.is_terminal else "lines"


def surroundings() -> Surroundings:
    """Look around, from the thread and context of the call; imports nothing."""
    kernel = _kernel()
    return Surroundings(
        has_kernel=kernel is not None,
        is_watched=kernel is not None and _is_watched(kernel),
        is_terminal=_is_terminal(),
    )


def _kernel() -> Any:
    """Return the kernel that this process is; None outside of one."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def _is_watched(kernel: Any) -> bool:
    """Whether a front end with a person before it asked for the running cell.

    A front end that can ask its user (`input()`) says so in each `execute_request`: JupyterLab,
    Notebook, VS Code and qtconsole set `allow_stdin`. nbclient, and with it papermill, nbconvert
    and Quarto, clears it: there is nobody to ask, and so nobody to look.
    """
    if "google.colab" in sys.modules:  # it asks its user in another way
        return True
    request = _running_request(kernel)
    content = request.get("content")
    if isinstance(content, Mapping) and "allow_stdin" in content:
        return bool(content["allow_stdin"])
    return bool(getattr(kernel, "_allow_stdin", False))


def _running_request(kernel: Any) -> Mapping[str, Any]:
    """Return the message that the running cell answers; empty when the kernel does not tell."""
    try:
        request = kernel.get_parent("shell")
    except Exception:  # noqa: BLE001 - other kernels have other ways
        return {}
    return request if isinstance(request, Mapping) else {}


def _is_terminal() -> bool:
    stream = sys.stderr
    if stream is None or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
