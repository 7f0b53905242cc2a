"""`nbhttp.live`: a running stream in one output, and a bounded summary that stays."""

from __future__ import annotations

import contextvars
import json
import sys
import threading
from collections.abc import AsyncIterable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO, overload

from nbhttp._checks import check_count
from nbhttp._marks import one_line, visible
from nbhttp.errors import ConfigError
from nbhttp.progress.place import Place
from nbhttp.progress.watched import Moment, Render, Watched
from nbhttp.redaction import redact_repr, redact_text

__all__ = ["live"]

_LIVE_S = 0.1
_QUIET_S = 5.0
_ROW_CHARACTERS = 200
_KINDS = ("auto", "text", "lines", "table")


@overload
def live(
    iterator: AsyncIterable[Any], render: Render = "auto", *, last: int = 10
) -> Coroutine[Any, Any, Watched]: ...


@overload
def live(iterator: Iterable[Any], render: Render = "auto", *, last: int = 10) -> Watched: ...


def live(
    iterator: AsyncIterable[Any] | Iterable[Any], render: Render = "auto", *, last: int = 10
) -> Coroutine[Any, Any, Watched] | Watched:
    """Read a stream to its end and show it while it runs, in one output.

    In a notebook the output changes at most ten times a second and ends as a static, bounded
    summary; in a terminal it is text. Interrupting stops it, closes the stream and says so.

    Args:
        iterator: Any iterable or async iterable: `client.sse(…)`, `client.ndjson(…)`, a generator.
        render: "text" appends strings and the tokens of a language model's answer; "lines" puts
            each string on its own line; "table" shows the last records; "auto" looks at the
            first items. Or a function of one item that returns text to append, a mapping for the
            table, or None to show nothing of it.
        last: Records kept and shown.

    Returns:
        What was seen: `number`, `text`, `records` (the last), `seconds`, `outcome`. For an async
        iterable, a coroutine of it, to be awaited.

    Raises:
        TypeError: It cannot be iterated, or `render` is neither a name nor a function.
        ConfigError: `render` is another name, or `last` is under 1.
        Exception: What the iterator raises; the output says so too.

    Examples:
        >>> import nbhttp
        >>> seen = nbhttp.live(iter(["a ", "live ", "stream"]))  # doctest: +ELLIPSIS
        a live stream
        ended: 3 pieces · ...
        >>> seen.text
        'a live stream'
    """
    _check(iterator, render, last)
    watched = Watched(iterator, render, last)
    if isinstance(iterator, AsyncIterable):
        return _watch_async(iterator, watched)
    with _Screen(watched) as screen:
        for item in iterator:
            screen.take(item)
    return watched


async def _watch_async(iterator: AsyncIterable[Any], watched: Watched) -> Watched:
    with _Screen(watched) as screen:
        async for item in iterator:
            screen.take(item)
    return watched


def _check(iterator: object, render: object, last: object) -> None:
    if isinstance(iterator, str | bytes):
        raise TypeError(
            "live takes a stream, not text or a URL: live(client.lines(url)), ndjson, sse"
        )
    if not hasattr(iterator, "__aiter__") and not hasattr(iterator, "__iter__"):
        raise TypeError(f"live takes an iterable or an async iterable, not {redact_repr(iterator)}")
    if not callable(render) and not isinstance(render, str):
        raise TypeError(f"render takes a name or a function, not {redact_repr(render)}")
    if isinstance(render, str) and render not in _KINDS:
        raise ConfigError(f"render takes one of {', '.join(_KINDS)}, got {render!r}")
    check_count("last", last)


class _Painter(Protocol):
    """Shows a moment, in the place of the one before."""

    pause_s: float

    def show(self, moment: Moment) -> None:
        """Draw."""
        raise NotImplementedError


class _Screen:
    """Draws what is watched, from a thread of its own: also what came just before a silence.

    Invariant: `_lock` guards the watched and `_is_dirty`; `_drawing` guards the painter.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._painter = _painter()
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._is_dirty = True
        self._is_over = threading.Event()
        context = (
            contextvars.copy_context()
        )  # outputs belong to the cell in whose context one draws
        self._thread = threading.Thread(
            target=context.run, args=(self._draw_until_over,), name="nbhttp-live", daemon=True
        )

    def take(self, item: Any) -> None:
        """Note an item."""
        with self._lock:
            self._watched.take(item)
            self._is_dirty = True

    def __enter__(self) -> Self:
        if self._painter.pause_s < _QUIET_S:
            self._draw()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        with self._lock:
            if exc is None:
                self._watched.end("ended")
            elif isinstance(exc, Exception):
                self._watched.end("failed", f"{type(exc).__name__}: {exc}")
            else:
                self._watched.end("stopped")
            self._is_dirty = True
        self._thread.join(timeout=1.0)  # it draws at most once more, and not after this
        self._draw()

    def _draw_until_over(self) -> None:
        while not self._is_over.wait(self._painter.pause_s):
            self._draw(is_last=False)

    def _draw(self, *, is_last: bool = True) -> None:
        with self._drawing:
            with self._lock:
                if not self._is_dirty or (self._is_over.is_set() and not is_last):
                    return
                self._is_dirty = False
                moment = self._watched.moment()
            self._painter.show(moment)


def _painter() -> _Painter:
    from nbhttp.progress.auto import choose, surroundings

    view = choose("auto", surroundings())
    if view in {"widget", "page"}:
        return _NotebookPainter(_LIVE_S if view == "widget" else _QUIET_S)
    return _TextPainter(sys.stdout)


class _NotebookPainter:
    """One output of the cell, replaced as a whole."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self._place = Place()

    def show(self, moment: Moment) -> None:
        """Display the moment, or bring the output up to date."""
        from nbhttp._render.bundle import html, text

        self._place.show({"text/plain": text(moment), "text/html": html(moment)})


class _TextPainter:
    """New text and new records below each other, at last one line on how it ended.

    A piece of text waits for the white space behind it, so that a secret which comes in two
    pieces is seen, and masked, as one.
    """

    pause_s = _LIVE_S

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._written = 0  # characters of the text
        self._rows = 0
        self._is_at_start = True

    def show(self, moment: Moment) -> None:
        """Write what is new."""
        is_over = moment.outcome != "live"
        self._write_text(moment, is_over=is_over)
        self._write_rows(moment)
        if is_over:
            end = f"{moment.outcome}: {moment.facts}"
            end += f"\n{moment.error}" if moment.error else ""
            self._write(("" if self._is_at_start else "\n") + visible(end, keep="\n") + "\n")

    def _write_text(self, moment: Moment, *, is_over: bool) -> None:
        new = moment.text[max(0, len(moment.text) - (moment.text_size - self._written)) :]
        if not is_over:
            new = new[: max(new.rfind(" "), new.rfind("\n")) + 1]
        if new:
            self._written = moment.text_size if is_over else self._written + len(new)
            self._write(visible(redact_text(new), keep="\n\t"))

    def _write_rows(self, moment: Moment) -> None:
        if not moment.rows:
            return
        new = moment.row_count - self._rows
        self._rows = moment.row_count
        shown = moment.rows[-new:] if new else ()
        if new > len(shown):
            self._write(f"… {new - len(shown):,} more\n")
        for row in shown:
            words = redact_text(json.dumps(row, ensure_ascii=False, default=repr))
            self._write(one_line(words, _ROW_CHARACTERS) + "\n")

    def _write(self, text: str) -> None:
        stream = self._stream
        if stream is None:  # pythonw has no streams
            return
        try:
            stream.write(text)
        except UnicodeEncodeError as exc:
            stream.write(text.encode(exc.encoding, "backslashreplace").decode(exc.encoding))
        stream.flush()
        self._is_at_start = text.endswith("\n")
