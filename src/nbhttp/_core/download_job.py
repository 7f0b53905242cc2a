"""What one download is to do, checked before anything is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from nbhttp._checks import check_count, check_seconds, check_switch
from nbhttp._core.committing import Committer, ThreadCommitter
from nbhttp._core.destination import Destination, resolve
from nbhttp._core.digests import Checksum, parse_checksum
from nbhttp._core.fields import RawHeaders, raw_headers
from nbhttp._core.identity import Identity, selecting
from nbhttp._core.reporting import Display
from nbhttp._core.request import Prepared, build
from nbhttp._habits import of_download, unknown_option
from nbhttp.downloads import (
    DEFAULT_CHUNK_SIZE,
    DOWNLOAD_DEFAULTS,
    DownloadOptions,
    OnProgress,
)
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr
from nbhttp.types import Unset

if TYPE_CHECKING:
    from nbhttp._core.events import EventHub
    from nbhttp._core.request import Defaults

__all__ = ["Job", "JobMaker", "Manner", "Setting", "make_job"]

MAX_SEGMENTS = 32
_OF_REQUESTS = frozenset(
    {"params", "headers", "timeout", "cookies", "auth", "follow_redirects", "extensions"}
)
_NAMES = (
    (DownloadOptions.__optional_keys__ - {"progress"})
    | _OF_REQUESTS
    | {
        "chunk_size",
        "on_progress",
    }
)
_SET_BY_US = frozenset({b"range", b"if-range", b"if-none-match", b"if-modified-since"})


@dataclass(frozen=True, slots=True)
class Manner:
    """How files are fetched, the same for all of a call; see `AsyncHttpClient.download_file`.

    Attributes:
        segments: None is "auto".
        hashes_sha256: Whether the SHA-256 is wanted although nothing is compared with it.
    """

    overwrite: bool
    segments: int | None
    max_attempts: int
    lock_timeout: float | None
    keep_mtime: bool
    chunk_size: int
    on_progress: OnProgress | None
    display: Display | None
    hashes_sha256: bool


class Job(NamedTuple):
    """One download, checked and complete.

    Attributes:
        request: What is asked for.
        identity: What it asks for, to be recognised.
        destination: Where it goes.
        checksum: What the user says that the file has; None for nothing.
        manner: How it is fetched.
    """

    request: Prepared
    identity: Identity
    destination: Destination
    checksum: Checksum | None
    manner: Manner


@dataclass(frozen=True, slots=True)
class Setting:
    """What a batch has for all of its downloads, and a single one for itself.

    Attributes:
        hub: Hears their events; None is the client's.
        syncs_name: Whether each file's name is made durable; a batch does it once for all.
        committer: Puts the files on the disk.
    """

    hub: "EventHub | None" = None
    syncs_name: bool = True
    committer: Committer = field(default_factory=ThreadCommitter)


class JobMaker:
    """Makes the jobs of one call; the options, which are the same for all, are checked once.

    Args:
        defaults: The client's.
        options: As `download_file` takes them, but for what says where.
        display: Shows each job; None for none.
        hashes_sha256: See `Manner`.

    Raises:
        ConfigError: A value is wrong.
        TypeError: A value has the wrong type, or there is no such option.
    """

    def __init__(
        self,
        defaults: "Defaults",
        options: Mapping[str, Any],
        *,
        display: Display | None = None,
        hashes_sha256: bool = False,
    ) -> None:
        unknown = options.keys() - _NAMES
        if unknown:
            raise unknown_option(unknown, _NAMES | {"progress"}, "download", of_download)
        given = {**DOWNLOAD_DEFAULTS}
        given |= {name: value for name, value in options.items() if not isinstance(value, Unset)}
        on_progress = given.get("on_progress")
        if on_progress is not None and not callable(on_progress):
            raise TypeError(
                f"on_progress takes a function of two numbers, not {redact_repr(on_progress)}"
            )
        # Ranges count coded bytes: of a file that is coded anew each time no part can be asked for.
        self._defaults = defaults.with_field("Accept-Encoding", "identity")
        self._options = {name: given[name] for name in given if name in _OF_REQUESTS}
        self._checksum = parse_checksum(given["checksum"])
        lock_timeout = given["lock_timeout"]
        self._manner = Manner(
            overwrite=check_switch("overwrite", given["overwrite"]),
            segments=_checked_segments(given["segments"]),
            max_attempts=check_count("max_attempts", given["max_attempts"]),
            lock_timeout=None
            if lock_timeout is None
            else check_seconds("lock_timeout", lock_timeout),
            keep_mtime=check_switch("keep_mtime", given["keep_mtime"]),
            chunk_size=check_count("chunk_size", given.get("chunk_size", DEFAULT_CHUNK_SIZE)),
            on_progress=on_progress,
            display=display,
            hashes_sha256=hashes_sha256,
        )
        self._fields_of: RawHeaders = []
        self._fields = ""
        self.makes_parents = check_switch("mkdir", given["mkdir"])
        _check_fields(self._defaults.raw_headers())

    def make(
        self,
        url: Any,
        destination: Destination,
        *,
        checksum: str | None = None,
        headers: Any = None,
    ) -> Job:
        """Make a job.

        Args:
            url: Absolute or relative.
            destination: Where it goes.
            checksum: Its own; None is that of all.
            headers: Its own fields, beside those of all; None for none.

        Raises:
            ConfigError: A value is wrong.
            TypeError: A value has the wrong type.
        """
        options = self._options
        if headers is not None:
            options = {**options, "headers": _joined(options.get("headers"), headers)}
        request = build(self._defaults, "GET", url, options)
        if options:
            _check_fields(request.headers)
        own = self._checksum if checksum is None else parse_checksum(checksum)
        if request.headers is not self._fields_of:  # of a batch, most requests share one list
            self._fields_of, self._fields = request.headers, selecting(request.headers)
        identity = Identity(request.url.text, self._fields)
        return Job(request, identity, destination, own, self._manner)


def make_job(
    defaults: "Defaults",
    url: Any,
    save_path: Any,
    options: Mapping[str, Any],
    display: Display | None,
) -> Job:
    """Check what the user asked for; `options` are those of `download_file`.

    Raises:
        ConfigError: A value is wrong, or the destination cannot be written; nothing was sent.
        TypeError: A value has the wrong type, or there is no such option.
    """
    maker = JobMaker(defaults, options, display=display)
    job = maker.make(url, Destination())
    # Last: it may create a directory.
    return job._replace(destination=resolve(save_path, mkdir=maker.makes_parents))


def _check_fields(headers: RawHeaders) -> None:
    for name, _ in headers:
        if name.lower() in _SET_BY_US:
            raise ConfigError(f"the header {name.decode()} is set by the download itself")


def _joined(first: Any, second: Any) -> Any:
    """Return the fields of all and those of one, which win."""
    if first is None:
        return second
    import httpx

    joined = httpx.Headers(raw_headers(first))
    joined.update(httpx.Headers(raw_headers(second)))
    return joined


def _checked_segments(segments: Any) -> int | None:
    if isinstance(segments, str) and segments == "auto":
        return None
    if (
        isinstance(segments, int)
        and not isinstance(segments, bool)
        and 1 <= segments <= MAX_SEGMENTS
    ):
        return segments
    raise ConfigError(f"segments takes 'auto' or 1 to {MAX_SEGMENTS}, not {redact_repr(segments)}")
