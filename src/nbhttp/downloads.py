"""What a download takes and gives back: its options, and the outcome as one value."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypedDict

from nbhttp._display import Displayed
from nbhttp._habits import SaysHow, of_file
from nbhttp.errors import DownloadError, NbhttpError
from nbhttp.redaction import redact_text, redact_url
from nbhttp.result import Attempt, Redirect

if TYPE_CHECKING:
    import httpx

    from nbhttp._engines.base import Head
    from nbhttp._render.bundle import Shown
    from nbhttp.types import AuthTypes, CookieTypes, Unset

__all__ = ["DOWNLOAD_DEFAULTS", "DownloadOptions", "DownloadResult", "OnProgress", "SavePath"]

DEFAULT_CHUNK_SIZE = 1024 * 1024
DEFAULT_DOWNLOADS = 16

SavePath: TypeAlias = "str | os.PathLike[str] | IO[bytes]"
OnProgress: TypeAlias = Callable[[int, int | None], object]
ProgressTypes: TypeAlias = "bool | Literal['bar'] | Callable[[Any], object]"


class DownloadOptions(TypedDict, total=False):
    """Keyword options of `download_file`; see there."""

    progress: ProgressTypes
    checksum: str | None
    overwrite: bool
    mkdir: bool
    segments: "int | Literal['auto']"
    max_attempts: int
    lock_timeout: float | None
    keep_mtime: bool
    cookies: "CookieTypes | None"
    auth: "AuthTypes | Unset | None"
    follow_redirects: "bool | Unset"
    extensions: "Mapping[str, Any] | None"


DOWNLOAD_DEFAULTS: Mapping[str, Any] = {
    "progress": True,
    "checksum": None,
    "overwrite": False,
    "mkdir": False,
    "segments": "auto",
    "max_attempts": 5,
    "lock_timeout": 60.0,
    "keep_mtime": False,
}


class DownloadResult(SaysHow, Displayed):
    """The outcome of one download: a whole file under its name, or what went wrong.

    True in a condition when it succeeded. A file under its final name is complete and passed
    every check there was; a failed download leaves its `.part` file, and running it again resumes.

    Attributes:
        path: The file; None when the bytes went to a file object, or no name was known yet.
        size: The file's size in bytes; None when it failed.
        received: Body bytes that came over the network in this call.
        resumed_from: Bytes that were there from an earlier call.
        elapsed: Seconds from the call to its end.
        verified: Whether the file was checked against `checksum=` or a digest field.
        skipped: Whether the file was there already and is current: nothing was fetched.
        segments: Most connections that fetched parts of it at once.
        restarts: Why it started over, if it did, in order.
        exception: The error that `raise_for_status()` raises; None on success.
        attempts: What was tried, in order.
        url: The URL that answered last, after redirections; secrets in it show only here.
        status_code: The last answer's; None when none came.
        redirects: The redirections that were followed to it.
        engine: The engine that sent the last request: "direct", "httpx" or "transport"; "" when
            none was sent.
        engine_reason: Why that engine; "" when none was sent.

    Examples:
        >>> import nbhttp, tempfile
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server, tempfile.TemporaryDirectory() as folder:
        ...     d = nbhttp.download_file(server.url + "/files/small.bin", folder + "/")
        ...     d.success, d.path.name
        (True, 'small.bin')
    """

    __slots__ = (
        "__weakref__",
        "_head",
        "_mtime_ns",
        "_sha256",
        "attempts",
        "elapsed",
        "engine",
        "engine_reason",
        "exception",
        "path",
        "received",
        "redirects",
        "restarts",
        "resumed_from",
        "segments",
        "size",
        "skipped",
        "status_code",
        "url",
        "verified",
    )

    def __init__(
        self,
        *,
        url: str,
        path: Path | None = None,
        size: int | None = None,
        received: int = 0,
        resumed_from: int = 0,
        elapsed: float = 0.0,
        sha256: str | None = None,
        mtime_ns: int | None = None,
        verified: bool = False,
        skipped: bool = False,
        segments: int = 1,
        restarts: Sequence[str] = (),
        exception: NbhttpError | None = None,
        attempts: Sequence[Attempt] = (),
        status_code: int | None = None,
        head: "Head | None" = None,
        redirects: Sequence[Redirect] = (),
        engine: str = "",
        engine_reason: str = "",
    ) -> None:
        self.url = url
        self.path = path
        self.size = size
        self.received = received
        self.resumed_from = resumed_from
        self.elapsed = elapsed
        self.verified = verified
        self.skipped = skipped
        self.segments = segments
        self.restarts = tuple(restarts)
        self.exception = exception
        self.attempts = tuple(attempts)
        self.status_code = status_code
        self.redirects = tuple(redirects)
        self.engine = engine
        self.engine_reason = engine_reason
        self._head = head
        self._mtime_ns = mtime_ns
        self._sha256 = sha256

    @property
    def success(self) -> bool:
        """Whether the whole file is there."""
        return self.exception is None

    def __bool__(self) -> bool:
        return self.success

    @property
    def error(self) -> str | None:
        """What went wrong in one line; None on success."""
        return None if self.exception is None else str(self.exception)

    @property
    def hint(self) -> str | None:
        """One sentence on what to do about `error`; None when there is nothing useful to say."""
        return None if self.exception is None else self.exception.hint

    @property
    def speed(self) -> float:
        """Bytes a second over the network; 0.0 when nothing came."""
        return self.received / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def sha256(self) -> str | None:
        """The file's SHA-256 in hex; None when it failed or went to a file object.

        Computed from the file when it is first asked for, unless it was hashed as it came.

        Raises:
            DownloadError: The file is gone or cannot be read.
        """
        if self._sha256 is None and self.success and self.path is not None:
            import hashlib

            try:
                with self.path.open("rb") as file:
                    self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as exc:
                raise DownloadError(
                    f"{str(self.path)!r} cannot be read any more: {(exc.strerror or str(exc)).lower()}",
                    hint="it was moved, removed or locked since it was fetched",
                ) from exc
        return self._sha256

    @property
    def headers(self) -> "httpx.Headers":
        """The last answer's fields; empty when none came."""
        import httpx

        return httpx.Headers([] if self._head is None else list(self._head.headers))

    def raise_for_status(self) -> Self:
        """Return this result when it is a success.

        Raises:
            NbhttpError: It failed: `exception`.
        """
        if self.exception is not None:
            raise self.exception
        return self

    def _habits_of(self, name: str) -> Mapping[str, str]:
        if name not in of_file and hasattr(Path, name):
            return {name: f"it is d.path.{name}"}
        return of_file

    def __fspath__(self) -> str:
        """Let `open(result)` and `pandas.read_csv(result)` take the file.

        Raises:
            NbhttpError: The download failed.
            TypeError: It went to a file object.
        """
        self.raise_for_status()
        if self.path is None:
            raise TypeError("this download went to a file object; it has no path")
        return os.fspath(self.path)

    def __repr__(self) -> str:
        name = repr(redact_text(str(self.path))) if self.path is not None else "a file object"
        if self.exception is not None:
            return f"<DownloadResult {redact_url(self.url)}: {self.error}>"
        if self.skipped:
            return f"<DownloadResult {name}: {self.size or 0:,} bytes, already there>"
        checked = ", verified" if self.verified else ""
        return f"<DownloadResult {name}: {self.size or 0:,} bytes in {self.elapsed:.1f} s{checked}>"

    def _view(self) -> "Shown":
        from nbhttp._render.views.outcomes import DownloadCard

        return DownloadCard(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as plain values, the URL redacted: a row of a table."""
        return {
            "url": redact_url(self.url),
            "path": None if self.path is None else str(self.path),
            "success": self.success,
            "size": self.size,
            "received": self.received,
            "resumed_from": self.resumed_from,
            "elapsed": self.elapsed,
            "verified": self.verified,
            "skipped": self.skipped,
            "segments": self.segments,
            "status_code": self.status_code,
            "error": self.error,
        }
