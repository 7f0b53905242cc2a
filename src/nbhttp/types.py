"""Public type aliases, protocols and the typed options of a request."""

import os
import ssl
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypedDict

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    import httpx

    from nbhttp.secrets import Secret

__all__ = [
    "UNSET",
    "AuthTypes",
    "BodyOptions",
    "CertTypes",
    "ContentTypes",
    "CookieTypes",
    "EngineName",
    "EventHooks",
    "FileTypes",
    "FilesTypes",
    "HeaderTypes",
    "MapItem",
    "ParamTypes",
    "ProxyTypes",
    "RequestOptions",
    "StreamOptions",
    "Subscriber",
    "TimeoutTypes",
    "Unset",
    "Unsubscribe",
    "UrlTypes",
    "VerifyTypes",
]


class Unset:
    """The type of `UNSET`."""

    _instance: "Unset | None" = None

    def __new__(cls) -> "Unset":  # noqa: D102 - one instance
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset()
"""Stands for "what the client says", where None already has a meaning (no timeout, no auth)."""

Primitive: TypeAlias = "str | int | float | bool | Secret | None"
UrlTypes: TypeAlias = "httpx.URL | str"
ParamTypes: TypeAlias = "httpx.QueryParams | Mapping[str, Primitive | Sequence[Primitive]] | Sequence[tuple[str, Primitive]] | str | bytes"
HeaderTypes: TypeAlias = "httpx.Headers | Mapping[str, str | Secret] | Mapping[bytes, bytes] | Sequence[tuple[str, str | Secret]] | Sequence[tuple[bytes, bytes]]"
CookieTypes: TypeAlias = "httpx.Cookies | CookieJar | Mapping[str, str] | Sequence[tuple[str, str]]"
AuthTypes: TypeAlias = "httpx.Auth | tuple[str | bytes, str | bytes | Secret] | Callable[[httpx.Request], httpx.Request]"
TimeoutTypes: TypeAlias = (
    "float | httpx.Timeout | tuple[float | None, float | None, float | None, float | None] | None"
)
ContentTypes: TypeAlias = "str | bytes | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]"
FileContent: TypeAlias = "IO[bytes] | bytes | str"
FileTypes: TypeAlias = (
    "FileContent | tuple[str | None, FileContent] | tuple[str | None, FileContent, str | None]"
)
FilesTypes: TypeAlias = "Mapping[str, FileTypes] | Sequence[tuple[str, FileTypes]]"
VerifyTypes: TypeAlias = "bool | str | os.PathLike[str] | ssl.SSLContext"
CertTypes: TypeAlias = "str | tuple[str, str] | tuple[str, str, str]"
ProxyTypes: TypeAlias = "httpx.URL | str | httpx.Proxy"
MapItem: TypeAlias = (
    "UrlTypes | tuple[str, UrlTypes] | tuple[str, UrlTypes, Mapping[str, Any]] | Mapping[str, Any]"
)
EngineName: TypeAlias = Literal["auto", "httpx", "direct"]
EventHooks: TypeAlias = "Mapping[str, Sequence[Callable[[Any], Any]]]"


class BodyOptions(TypedDict, total=False):
    """Keyword options of `stream_request`, which has the others by position too."""

    data: "Mapping[str, Any] | str | bytes | None"
    json: Any
    files: "FilesTypes | None"
    content: "ContentTypes | None"
    cookies: "CookieTypes | None"
    auth: "AuthTypes | Unset | None"
    follow_redirects: "bool | Unset"
    extensions: "Mapping[str, Any] | None"


class StreamOptions(BodyOptions, total=False):
    """Keyword options of every call that sends a request; httpx's names and meanings."""

    params: "ParamTypes | None"
    headers: "HeaderTypes | None"
    timeout: "TimeoutTypes | Unset"


class RequestOptions(StreamOptions, total=False):
    """Options of a buffered call: `request` and the verbs."""

    max_body: "int | Unset | None"
    on_upload_progress: "Callable[[int, int | None], object] | None"
    progress: "bool | Literal['bar'] | Callable[[Any], object] | None"


class Subscriber(Protocol):
    """Takes the events of a client."""

    def __call__(self, event: Any, /) -> object:
        """Take one event; what it returns is ignored."""


Unsubscribe: TypeAlias = Callable[[], None]
AsyncFunction: TypeAlias = Callable[..., Awaitable[Any]]
