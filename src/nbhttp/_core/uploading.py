"""Counts a request's body while it is sent, and tells who asked to know."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from pathlib import PurePath
from typing import Any, Protocol

from nbhttp._core.bodies import is_multipart
from nbhttp._core.callers import Caller
from nbhttp._core.events import UploadProgress

__all__ = ["OnUpload", "UploadReport", "UploadWatcher", "body_size", "file_names"]

_PERIOD_S = 0.1
_PIECE_BYTES = 64 * 1024
_log = logging.getLogger("nbhttp")

OnUpload = Callable[[int, int | None], object]


class UploadWatcher(Protocol):
    """Shows an upload: a bar, or the user's function of an event."""

    def update(self, event: Any, /) -> object:
        """Take an `UploadProgress`; the last one `is_over`."""


class UploadReport:
    """Reports on the body of one call, at most ten times a second, and on its end.

    Both listeners run where the call was made. An exception of theirs is logged once, ends the
    reports to that one, and does not harm the request.

    Args:
        caller: Where the user's code runs.
        identity: `request_id`, `client`, `method` and the redacted `url` of the events.
        on_progress: The user's function of sent and total bytes; None for none.
        watcher: None for none.
        files: Names of the files that are sent.
    """

    def __init__(
        self,
        caller: Caller,
        identity: tuple[str, str, str, str],
        on_progress: OnUpload | None,
        watcher: UploadWatcher | None,
        files: tuple[str, ...] = (),
    ) -> None:
        self._caller = caller
        self._identity = identity
        self._files = files
        self._on_progress = on_progress
        self._watcher = watcher
        self._started = time.perf_counter()
        self._told_at = 0.0
        self._is_over = False
        self._handed = 0
        self._sent = self._told = 0
        self._total: int | None = None

    def counted(
        self, body: bytes | AsyncIterable[bytes], total: int | None
    ) -> AsyncIterable[bytes]:
        """Return the body in pieces that are counted from 0 each time it is iterated.

        Args:
            body: What is sent.
            total: Its size in bytes; None when unknown.
        """
        return _Slices(self, body) if isinstance(body, bytes) else self.each(body, total)

    async def each(
        self, pieces: AsyncIterable[bytes], total: int | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the pieces; one counts when the next is asked for: it is written then."""
        self._handed = 0
        await self.tell(0, total)
        try:
            async for piece in pieces:
                self._handed += len(piece)
                yield piece
                await self.tell(self._handed, total)
            if total is None:
                await self.tell(self._handed, self._handed)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    async def tell(self, sent: int, total: int | None) -> None:
        """Say that `sent` bytes are with the connection: now and then, and at the end."""
        self._sent, self._total = sent, total
        now = time.perf_counter()
        if now - self._told_at < _PERIOD_S and sent not in {0, total}:
            return
        self._told_at = now
        if self._on_progress is not None:
            self._on_progress = await self._call(self._on_progress, sent, total)
        await self._show(UploadProgress(*self._identity, sent, total, files=self._files))
        self._told = sent

    async def stop(self, exc: BaseException) -> None:
        """Say that the call was cancelled, or that the user's own code failed."""
        import anyio

        error = "cancelled"
        if isinstance(exc, Exception):
            error = f"{type(exc).__name__}: {exc}"
        with anyio.move_on_after(1, shield=True):
            await self.end(success=False, error=error)

    async def end(self, success: bool, error: str | None) -> None:
        """Say how the call ended."""
        from nbhttp.redaction import redact_text

        if self._is_over:
            return
        self._is_over = True
        if success and self._handed != self._told:
            # The answer came, and ended the sending, before the last piece was told.
            await self.tell(self._handed, self._handed if self._total is None else self._total)
        elapsed = time.perf_counter() - self._started
        place = (self._sent, self._total)
        await self._show(
            UploadProgress(
                *self._identity,
                *place,
                is_over=True,
                success=success,
                error=None if error is None else redact_text(error),
                elapsed=elapsed,
                files=self._files,
            )
        )

    async def _show(self, event: UploadProgress) -> None:
        if self._watcher is not None and await self._call(self._watcher.update, event) is None:
            self._watcher = None

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a listener and return it; None when it failed and is not to be called again."""
        try:
            await self._caller.run(function, *args)
        except Exception as exc:  # noqa: BLE001 - a listener must not harm the request
            from nbhttp.redaction import redact_text

            name = getattr(function, "__qualname__", repr(function))
            text = redact_text(f"{type(exc).__name__}: {exc}")
            _log.error("the progress callback %s failed and is not called again: %s", name, text)
            return None
        return function


class _Slices:
    """Bytes in pieces, as often as they are asked for: an engine may send them again."""

    def __init__(self, report: UploadReport, body: bytes) -> None:
        self._report = report
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._report.each(_slices(self._body), len(self._body))


async def _slices(body: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def file_names(body: object) -> tuple[str, ...]:
    """Return the names of the files in a body: an open file's, or those of a form's parts.

    Without their folders, and redacted; what has no name is left out.
    """
    from nbhttp.redaction import redact_text

    parts: Any = getattr(body, "fields", ()) if is_multipart(body) else ()
    names = [getattr(body, "name", None), *(getattr(part, "filename", None) for part in parts)]
    return tuple(redact_text(PurePath(n).name) for n in names if isinstance(n, str) and n)


def body_size(headers: list[tuple[bytes, bytes]], body: object) -> int | None:
    """Return the bytes that a request announces; None when it is sent in chunks of unknown sum."""
    if isinstance(body, bytes):
        return len(body)
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None
