"""From a result to what a notebook, a terminal or rich shows, within the size limits."""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

# A collection would walk a large document that was just parsed, for the few objects made here.
from nbhttp._json import _collector_paused
from nbhttp._render.blocks import Block, Picture
from nbhttp._render.limits import Limits
from nbhttp._render.options import options
from nbhttp._render.tags import output, stylesheet

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["MAX_HTML", "MAX_TEXT", "Shown", "html", "mimebundle", "rich_text", "terminal", "text"]

MAX_HTML = 48_000
"""Bytes of an output's HTML, stylesheet included, inlined pictures not."""
MAX_TEXT = 8_000
"""Bytes of an output's text/plain."""


class Shown(Protocol):
    """What can be shown: the card of a result, a tree, a table."""

    def blocks(self, limits: Limits) -> Sequence[Block]:
        """Return as much as `limits` allow."""
        raise NotImplementedError


def mimebundle(
    shown: Callable[[], Shown],
    include: Collection[str] | None = None,
    exclude: Collection[str] | None = None,
) -> dict[str, str]:
    """Return what IPython asks `_repr_mimebundle_` for; only the types that are wanted are made.

    Args:
        shown: Makes what is shown, when any type is wanted.
        include: The types wanted; None is all.
        exclude: Types not wanted.
    """
    in_terminal = is_terminal()
    makers: dict[str, Callable[[Shown], str]] = {
        "text/plain": terminal if in_terminal else text,
        **({} if in_terminal else {"text/html": html}),
    }
    wanted = [
        name
        for name in makers
        if (not include or name in include) and (not exclude or name not in exclude)
    ]
    if not wanted:
        return {}
    with _collector_paused():
        subject = shown()
        return {name: makers[name](subject) for name in wanted}


def html(shown: Shown) -> str:
    """Return the HTML of an output, `MAX_HTML` at most, inlined pictures apart."""
    from nbhttp._render.html import card
    from nbhttp._render.text import lines

    settings = options.display.settings
    css = stylesheet()

    def write(blocks: Sequence[Block]) -> str:
        words = "".join(span.text for span in next(lines(blocks), ()))
        return output(words, card(blocks, settings.theme), css)

    def cost(written: str, blocks: Sequence[Block]) -> int:
        pictures = sum(len(block.data) * 4 // 3 + 4 for block in _pictures(blocks))
        return len(written.encode()) - pictures

    return _fitting(shown, Limits.of(settings), write, cost, MAX_HTML)


def _pictures(blocks: Sequence[Block]) -> Iterator[Picture]:
    return (block for block in blocks if isinstance(block, Picture))


def text(shown: Shown) -> str:
    """Return the text of an output, `MAX_TEXT` at most, without any escape code."""
    from nbhttp._render.text import plain

    return _fitting(shown, _text_limits(), plain, _size, MAX_TEXT)


def terminal(shown: Shown) -> str:
    """Return the text of an output with a terminal's colours."""
    from nbhttp._render.text import colour

    return _fitting(shown, _text_limits(), colour, _size, 4 * MAX_TEXT)


def rich_text(shown: Shown) -> "Text":
    """Return the output as rich's text, with styles."""
    from rich.text import Text

    from nbhttp._render.text import lines

    styles = {
        "strong": "bold", "dim": "dim", "code": "cyan", "key": "blue", "string": "green",
        "number": "yellow", "constant": "magenta", "tag": "blue", "comment": "dim",
        "ok": "bold green", "info": "bold cyan", "warn": "bold yellow", "bad": "bold red",
    }  # fmt: skip
    whole = Text()
    for at, line in enumerate(lines(shown.blocks(_text_limits()))):
        whole.append("\n" if at else "")
        for span in line:
            whole.append(span.text, style=styles.get(span.role, ""))
    return whole


def _text_limits() -> Limits:
    """Return about half of what HTML shows: text cannot be folded."""
    settings = options.display.settings
    limits = Limits.of(settings)
    return replace(limits.scaled(0.5), depth=settings.depth, rows=settings.rows, nodes=70)


def _size(written: str, _: Sequence[Block]) -> int:
    return len(written.encode())


def _fitting(
    shown: Shown,
    limits: Limits,
    write: Callable[[Sequence[Block]], str],
    cost: Callable[[str, Sequence[Block]], int],
    room: int,
) -> str:
    """Return the largest rendering that fits: write, measure, and show less until it does."""
    with _collector_paused():
        return _shrunk(shown, limits, write, cost, room)


def _shrunk(
    shown: Shown,
    limits: Limits,
    write: Callable[[Sequence[Block]], str],
    cost: Callable[[str, Sequence[Block]], int],
    room: int,
) -> str:
    factor = 1.0
    while True:
        blocks = shown.blocks(limits.scaled(factor))
        written = write(blocks)
        size = cost(written, blocks)
        if size <= room or factor < 0.001:
            return written
        factor *= min(0.8, max(0.1, 0.9 * room / size))


def is_terminal() -> bool:
    """Whether this is IPython in a terminal that shows colours; a notebook is not."""
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or os.environ.get("NO_COLOR"):
        return False
    shell = ipython.get_ipython()
    is_terminal_shell = any(
        base.__name__ == "TerminalInteractiveShell" for base in type(shell).__mro__
    )
    return is_terminal_shell and sys.stdout is not None and sys.stdout.isatty()
