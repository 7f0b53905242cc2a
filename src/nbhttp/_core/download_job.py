"""What one download is to do, checked before anything is sent."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nbhttp._core.committing import Committer, ThreadCommitter
from nbhttp._core.destination import Destination, resolve
from nbhttp._core.digests import Checksum, parse_checksum
from nbhttp._core.reporting import Display
from nbhttp._core.request import Prepared, build, raw_headers
from nbhttp._habits import unknown_option
from nbhttp.downloads import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_LOCK_TIMEOUT_S,
    DEFAULT_MAX_ATTEMPTS,
    DownloadOptions,
    OnProgress,
)
from nbhttp.errors import ConfigError
from nbhttp.types import RequestOptions

if TYPE_CHECKING:
    from nbhttp._core.events import EventHub
    from nbhttp._core.request import Defaults

__all__ = ["Job", "check_count", "make_job"]

MAX_SEGMENTS = 32
_SET_BY_US = frozenset({b"range", b"if-range", b"if-none-match", b"if-modified-since"})


@dataclass(frozen=True, slots=True)
class Job:
    """One download, checked and complete; see `AsyncHttpClient.download_file` for its fields.

    Attributes:
        segments: None is "auto".
        hashes_sha256: Whether the SHA-256 is wanted although nothing is compared with it.
        hub: Hears its events; None is the client's.
        syncs_name: Whether the file's name is made durable too; a batch does it once for all.
        committer: Puts the file on the disk.
    """

    request: Prepared
    destination: Destination
    checksum: Checksum | None = None
    overwrite: bool = False
    segments: int | None = None
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT_S
    keep_mtime: bool = False
    chunk_size: int = DEFAULT_CHUNK_SIZE
    on_progress: OnProgress | None = None
    display: Display | None = None
    hashes_sha256: bool = False
    hub: "EventHub | None" = None
    syncs_name: bool = True
    committer: Committer = field(default_factory=ThreadCommitter)


def make_job(
    defaults: "Defaults",
    url: Any,
    save_path: Any,
    *,
    chunk_size: int = DEFAULT_CHUNK_SIZE,
    on_progress: OnProgress | None = None,
    display: Display | None = None,
    checksum: str | None = None,
    overwrite: bool = False,
    mkdir: bool = False,
    segments: Any = "auto",
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT_S,
    keep_mtime: bool = False,
    hashes_sha256: bool = False,
    **options: Any,
) -> Job:
    """Check what the user asked for; the rest of the options are a request's.

    A `save_path` that was resolved before is taken as it is.

    Raises:
        ConfigError: A value is wrong, or the destination cannot be written; nothing was sent.
        TypeError: A value has the wrong type.
    """
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress takes a function of two numbers, not {on_progress!r}")
    return Job(
        request=_request(defaults, url, options),
        checksum=parse_checksum(checksum),
        overwrite=overwrite,
        segments=_checked_segments(segments),
        max_attempts=check_count("max_attempts", max_attempts),
        lock_timeout=_checked_seconds("lock_timeout", lock_timeout),
        keep_mtime=keep_mtime,
        chunk_size=check_count("chunk_size", chunk_size),
        on_progress=on_progress,
        display=display,
        hashes_sha256=hashes_sha256,
        # Last: it may create a directory.
        destination=(
            save_path if isinstance(save_path, Destination) else resolve(save_path, mkdir=mkdir)
        ),
    )


def _request(defaults: "Defaults", url: Any, options: dict[str, Any]) -> Prepared:
    unknown = options.keys() - RequestOptions.__optional_keys__
    if unknown:
        known = DownloadOptions.__optional_keys__ | {"params", "headers", "timeout"}
        raise unknown_option(unknown, known, "download")
    request = build(defaults, "GET", url, options)
    for name, _ in request.headers:
        if name.lower() in _SET_BY_US:
            raise ConfigError(f"the header {name.decode()} is set by the download itself")
    headers = options.get("headers")
    given = () if headers is None else raw_headers(headers)
    if any(name.lower() == b"accept-encoding" for name, _ in given):
        return request
    # Ranges count coded bytes: of a file that is coded anew each time no part can be asked for.
    kept = [(name, value) for name, value in request.headers if name.lower() != b"accept-encoding"]
    return replace(request, headers=[*kept, (b"Accept-Encoding", b"identity")])


def _checked_segments(segments: Any) -> int | None:
    if segments == "auto":
        return None
    is_count = isinstance(segments, int) and not isinstance(segments, bool)
    if not is_count or not 1 <= segments <= MAX_SEGMENTS:
        raise ConfigError(f"segments takes 'auto' or 1 to {MAX_SEGMENTS}, not {segments!r}")
    return int(segments)


def check_count(name: str, value: Any) -> int:
    """Return a whole number of at least 1.

    Raises:
        ConfigError: It is less.
        TypeError: It is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} takes a whole number, not {value!r}")
    if value < 1:
        raise ConfigError(f"{name} must be at least 1, not {value}")
    return value


def _checked_seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} takes seconds or None, not {value!r}")
    if not value >= 0:
        raise ConfigError(f"{name} must be 0 seconds or more, not {value!r}; None waits forever")
    return float(value)
