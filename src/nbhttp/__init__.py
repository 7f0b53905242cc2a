"""nbhttp: HTTP for notebooks. `import nbhttp; r = nbhttp.get("https://…")`.

Names load when they are first used, so that the import itself costs next to nothing.
"""

TYPE_CHECKING = False  # as typing's, which costs half of the import's time
if TYPE_CHECKING:
    from typing import Any

    from nbhttp import events, redaction
    from nbhttp.bulk import BulkResult
    from nbhttp.client import AsyncHttpClient
    from nbhttp.download_batch import AsyncDownloadManyResult, DownloadManyResult
    from nbhttp.downloads import DownloadResult
    from nbhttp.errors import (
        BodyTooLargeError,
        ChangedError,
        ChecksumError,
        ConfigError,
        ConnectError,
        DecodeError,
        DownloadError,
        DuplicateTaskError,
        LockedError,
        MissingExtraError,
        NbhttpError,
        ProtocolError,
        QueueFullError,
        RequestError,
        StatusError,
        StreamError,
        TaskError,
        TimeoutError,
        TooManyRedirectsError,
        TruncatedError,
        UnexpectedContentTypeError,
    )
    from nbhttp.logs import LoggerManager
    from nbhttp.progress.live import live
    from nbhttp.result import Attempt, Redirect, RequestResult, Timing
    from nbhttp.secrets import Secret, basic, bearer, secret
    from nbhttp.streaming import ServerSentEvent
    from nbhttp.sync import (
        HttpClient,
        delete,
        download_file,
        download_many,
        get,
        head,
        lines,
        ndjson,
        options,
        patch,
        post,
        put,
        request,
        run,
        sse,
        stream_request,
    )
    from nbhttp.sync_tasks import TaskManager
    from nbhttp.tasks import AnyioTaskManager, TaskInfo

__version__ = "0.1.0"

_HOMES = {
    "nbhttp.bulk": ("BulkResult",),
    "nbhttp.client": ("AsyncHttpClient",),
    "nbhttp.download_batch": ("AsyncDownloadManyResult", "DownloadManyResult"),
    "nbhttp.downloads": ("DownloadResult",),
    "nbhttp.errors": (
        "BodyTooLargeError",
        "ChangedError",
        "ChecksumError",
        "ConfigError",
        "ConnectError",
        "DecodeError",
        "DownloadError",
        "DuplicateTaskError",
        "LockedError",
        "MissingExtraError",
        "NbhttpError",
        "ProtocolError",
        "QueueFullError",
        "RequestError",
        "StatusError",
        "StreamError",
        "TaskError",
        "TimeoutError",
        "TooManyRedirectsError",
        "TruncatedError",
        "UnexpectedContentTypeError",
    ),
    "nbhttp.logs": ("LoggerManager",),
    "nbhttp.progress.live": ("live",),
    "nbhttp.result": ("Attempt", "Redirect", "RequestResult", "Timing"),
    "nbhttp.secrets": ("Secret", "basic", "bearer", "secret"),
    "nbhttp.streaming": ("ServerSentEvent",),
    "nbhttp.sync": (
        "HttpClient",
        "delete",
        "download_file",
        "download_many",
        "get",
        "head",
        "lines",
        "ndjson",
        "options",
        "patch",
        "post",
        "put",
        "request",
        "run",
        "sse",
        "stream_request",
    ),
    "nbhttp.sync_tasks": ("TaskManager",),
    "nbhttp.tasks": ("AnyioTaskManager", "TaskInfo"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = frozenset({"events", "redaction", "testing"})


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"nbhttp.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        from nbhttp._habits import missing_name

        raise missing_name(name, __dir__())
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])


__all__ = [
    "AnyioTaskManager",
    "AsyncDownloadManyResult",
    "AsyncHttpClient",
    "Attempt",
    "BodyTooLargeError",
    "BulkResult",
    "ChangedError",
    "ChecksumError",
    "ConfigError",
    "ConnectError",
    "DecodeError",
    "DownloadError",
    "DownloadManyResult",
    "DownloadResult",
    "DuplicateTaskError",
    "HttpClient",
    "LockedError",
    "LoggerManager",
    "MissingExtraError",
    "NbhttpError",
    "ProtocolError",
    "QueueFullError",
    "Redirect",
    "RequestError",
    "RequestResult",
    "Secret",
    "ServerSentEvent",
    "StatusError",
    "StreamError",
    "TaskError",
    "TaskInfo",
    "TaskManager",
    "TimeoutError",
    "Timing",
    "TooManyRedirectsError",
    "TruncatedError",
    "UnexpectedContentTypeError",
    "basic",
    "bearer",
    "delete",
    "download_file",
    "download_many",
    "events",
    "get",
    "head",
    "lines",
    "live",
    "ndjson",
    "options",
    "patch",
    "post",
    "put",
    "redaction",
    "request",
    "run",
    "secret",
    "sse",
    "stream_request",
]
