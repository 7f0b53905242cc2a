"""From what the user asked for to one frozen, validated request.

Everything that can be wrong about the user's input is refused here, before anything is sent.
"""

import copy
import re
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from nbhttp._checks import check_count, check_switch
from nbhttp._core import urls
from nbhttp._core.authentication import make_auth
from nbhttp._core.bodies import Body, check_framing, encode_body, is_multipart, position_of
from nbhttp._core.cookies import cookie_value, make_jar, split_cookies, without_domain
from nbhttp._core.fields import (
    RawHeaders,
    check_headers,
    merge_fields,
    raw_headers,
    remember_credentials,
)
from nbhttp._core.urls import ParsedUrl
from nbhttp._core.values import revealed_params
from nbhttp._habits import unknown_option
from nbhttp.config import ClientConfig, Limits, resolve_timeout
from nbhttp.errors import ConfigError, ProtocolError
from nbhttp.redaction import redact_repr
from nbhttp.types import UNSET, Unset

if TYPE_CHECKING:
    import httpx

__all__ = ["Defaults", "Prepared", "build", "build_item", "bulk_items"]

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MOST_SHARED_FIELDS = 1024  # hosts: a crawl must not grow the table for ever
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_OPTIONS = frozenset(
    {
        "params", "data", "json", "files", "content", "headers", "cookies", "auth",
        "timeout", "follow_redirects", "extensions", "max_body", "on_upload_progress", "progress",
    }
)  # fmt: skip


@dataclass(slots=True)  # frozen ones take 2 µs longer to make
class Prepared:
    """One request, checked and complete but for cookies and authentication.

    Never changed once made, nor is its list of fields: requests without options share one.

    Attributes:
        url: Where it goes.
        headers: Host first; without what the cookie jar and `auth` add.
        body: Bytes, or an iterable that may be consumed once.
        auth: The scheme that answers for it; None for none.
        limits: Its time limits.
        follow_redirects: Whether redirections are followed.
        max_body: Bytes of decoded body accepted; None is no bound.
        cookies: Names and values given without a domain: they stay on this origin.
        jar: Cookies given with a domain for this call; None for none.
        body_start: Where an open file stood, to go back to when it is sent again.
        extensions: Passed to the engine.
        on_upload: The user's function of sent and total bytes; None for none.
        progress: How sending the body is shown; False for not at all.
    """

    method: str
    url: ParsedUrl
    headers: RawHeaders
    body: Body = b""
    auth: "httpx.Auth | None" = None
    limits: Limits = Limits()
    follow_redirects: bool = True
    max_body: int | None = None
    cookies: tuple[tuple[str, str], ...] = ()
    jar: "httpx.Cookies | None" = None
    body_start: int = 0
    extensions: Mapping[str, Any] | None = None
    on_upload: Callable[[int, int | None], object] | None = None
    progress: Any = False

    @property
    def is_replayable(self) -> bool:
        """Whether it may be sent again unasked (RFC 9110 section 9.2.2)."""
        return self.method in _IDEMPOTENT and isinstance(self.body, bytes)

    def rewind(self, why: str) -> None:
        """Make the body ready to be sent once more.

        Args:
            why: What the server answered, for the message.

        Raises:
            ProtocolError: It came from an iterator, which has been consumed.
        """
        body: Any = self.body
        if isinstance(body, bytes) or is_multipart(body):
            return  # httpx's multipart stream reads its files from their start each time
        if hasattr(body, "seek"):
            body.seek(self.body_start)
            return
        if isinstance(body, Iterator | AsyncIterator):
            raise ProtocolError(
                f"the server answered {why}: the body is to be sent again, "
                "but it came from an iterator",
                hint="pass the body as bytes or an open file, or ask the final URL",
            )

    def to_httpx(self, extra: Sequence[tuple[bytes, bytes]] = ()) -> "httpx.Request":
        """Make the `httpx.Request` that hooks, auth schemes and custom transports see."""
        import httpx

        stream: Any = (
            httpx.ByteStream(self.body) if isinstance(self.body, bytes) else _Opaque(self.body)
        )
        extensions = dict(self.extensions or {})
        connect, read, write = self.limits.per_read
        extensions.setdefault(
            "timeout",
            {"connect": connect, "read": read, "write": write, "pool": self.limits.queue},
        )
        request = httpx.Request(
            self.method,
            self.url.url,
            headers=[*self.headers, *extra],
            stream=stream,
            extensions=extensions,
        )
        if isinstance(self.body, bytes):
            request.read()
        return request

    def with_httpx(self, request: "httpx.Request") -> "Prepared":
        """Take over what a hook or an auth scheme made of `to_httpx()`."""
        stream = request.stream
        body: Body
        if isinstance(stream, _Opaque):
            body = stream.source
        elif isinstance(stream, httpx_bytestream()):
            body = request.read()
        else:
            body = cast("Body", stream)  # httpx's streams are iterables of bytes
        url = self.url if request.url == self.url.url else urls.parse(str(request.url))
        headers = list(request.headers.raw)
        check_headers(headers)
        check_framing(headers, body)
        remember_credentials(headers)
        return replace(self, method=request.method, url=url, headers=headers, body=body)


class _Opaque:
    """Carries a body that is no httpx stream through an `httpx.Request`, untouched."""

    def __init__(self, source: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        self.source = source

    def __iter__(self) -> Any:
        return iter(self.source)  # type: ignore[arg-type] # fails as it should for async ones

    def __aiter__(self) -> Any:
        if isinstance(self.source, AsyncIterable):
            return aiter(self.source)
        return _each(self.source)

    async def aclose(self) -> None:
        """Nothing to close: the source is the caller's."""


async def _each(source: Iterable[bytes]) -> Any:
    for piece in source:
        yield piece


def httpx_bytestream() -> type:
    """Return httpx's class for a body in memory."""
    import httpx

    return httpx.ByteStream


class Defaults:
    """What a client adds to each of its requests; `headers` and `cookies` may be changed."""

    def __init__(self, config: ClientConfig, cookies: Any) -> None:
        import httpx

        from nbhttp._engines.decoding import accept_encoding
        from nbhttp.config import USER_AGENT

        self.config = config
        self.base_url = config.base_url
        if self.base_url:
            urls.check_base(self.base_url)
        self.headers = httpx.Headers(
            [
                (b"Accept", b"*/*"),
                (b"Accept-Encoding", accept_encoding().encode("ascii")),
                (b"Connection", b"keep-alive"),
                (b"User-Agent", USER_AGENT.encode("ascii")),
            ]
        )
        self.headers.update(httpx.Headers(raw_headers(config.headers)))
        self.params = httpx.QueryParams(revealed_params(config.params))
        self.jar = make_jar()
        self.cookies: dict[str, str] = {}
        self.add_cookies(cookies)
        self.auth = make_auth(config.auth)
        self._checked: RawHeaders | None = None
        self._shared_fields: dict[tuple[bool, bytes], RawHeaders] = {}

    def add_cookies(self, cookies: Any) -> None:
        """Take cookies given by the user: with a domain into the jar, without one apart."""
        self.cookies.update(split_cookies(cookies, self.jar))

    def with_fresh_jar(self) -> "Defaults":
        """Return the same defaults with an empty cookie jar."""
        other = copy.copy(self)
        other.jar = make_jar()
        return other

    def with_field(self, name: str, value: str) -> "Defaults":
        """Return the same defaults with a field set for every request; the jar is shared."""
        other = copy.copy(self)
        other.headers = self.headers.copy()
        other.headers[name] = value
        other._checked, other._shared_fields = None, {}  # noqa: SLF001 - the same class
        return other

    def raw_headers(self) -> RawHeaders:
        """Return the fields of every request, checked when they changed."""
        raw = self.headers.raw
        if self._checked != raw:
            check_headers(raw)
            self._checked = raw
            self._shared_fields = {}
        return raw

    def fields_without_options(self, method: str, parsed: ParsedUrl) -> RawHeaders:
        """Return all fields of a request without options: the same list for all of its kind."""
        base = self.raw_headers()
        has_length = method in {"POST", "PUT", "PATCH"}
        kind = (has_length, parsed.host_field)
        fields = self._shared_fields.get(kind)
        if fields is None:
            framing = [(b"Content-Length", b"0")] if has_length else []
            fields = merge_fields(base, [], framing, parsed)
            if len(self._shared_fields) < _MOST_SHARED_FIELDS:
                self._shared_fields[kind] = fields
        return fields


def build(defaults: Defaults, method: str, url: Any, options: Mapping[str, Any]) -> Prepared:
    """Merge a client's defaults and a call's options into one request.

    Raises:
        ConfigError: A URL, header, timeout or combination of options is wrong.
        TypeError: An option is unknown or has the wrong type, or a value cannot be JSON.
    """
    method = _checked_method(method)
    parsed = urls.join(defaults.base_url, url)
    if not options:
        return _plain(defaults, method, parsed)
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise unknown_option(unknown, _OPTIONS, "request")
    parsed = _with_params(defaults, parsed, options.get("params"))
    framing, body = encode_body(options, method)
    headers = merge_fields(
        defaults.raw_headers(), raw_headers(options.get("headers")), framing, parsed
    )
    check_framing(headers, body)
    cookies, jar = _own_cookies(defaults, options.get("cookies"))
    config = defaults.config
    return Prepared(
        method,
        parsed,
        headers,
        body,
        auth=_choose_auth(options.get("auth", UNSET), defaults, parsed),
        limits=_limits(options.get("timeout", UNSET), config),
        follow_redirects=_follow_redirects(options.get("follow_redirects", UNSET), config),
        max_body=_max_body(options.get("max_body", UNSET), config),
        cookies=cookies,
        jar=jar,
        body_start=position_of(body),
        extensions=_checked_extensions(options.get("extensions")),
        on_upload=_on_upload(options.get("on_upload_progress")),
        progress=options.get("progress") or False,
    )


def build_item(defaults: Defaults, item: Any) -> Prepared:
    """Build one request of a `map`: a URL, `(method, url[, options])`, or a mapping.

    Raises:
        ConfigError: As `build`.
        TypeError: As `build`; or it is none of these.
    """
    if isinstance(item, Mapping):
        options = dict(item)
        try:
            url = options.pop("url")
        except KeyError:
            raise TypeError(
                f"a request as a mapping needs 'url'; it has {redact_repr(sorted(item))}"
            ) from None
        return build(defaults, options.pop("method", "GET"), url, options)
    if isinstance(item, tuple):
        if len(item) not in {2, 3}:
            raise TypeError(
                f"a request is (method, url) or (method, url, options), not {redact_repr(item)}"
            )
        return build(defaults, item[0], item[1], item[2] if len(item) == 3 else {})
    return build(defaults, "GET", item, {})


def bulk_items(defaults: Defaults, requests: Any, concurrency: int) -> Any:
    """Check what `map` was given; a list is built as a whole, before anything is sent."""
    check_count("concurrency", concurrency)
    if isinstance(requests, str | bytes | Mapping) or not isinstance(
        requests, Iterable | AsyncIterable
    ):
        raise TypeError(
            f"map takes an iterable of requests, not one {type(requests).__name__}; use request()"
        )
    if hasattr(requests, "columns"):  # it would give the names of its columns
        raise TypeError(
            f"map takes an iterable of requests, not a {type(requests).__name__}; "
            'write map(df["url"]), or map(df.to_dict("records")) for columns url, params, …'
        )
    if not isinstance(requests, list | tuple):
        return requests
    built = []
    for index, item in enumerate(requests):
        try:
            built.append(build_item(defaults, item))
        except (ConfigError, TypeError) as exc:
            exc.add_note(
                f"it is requests[{index}], of {len(requests):,}; nothing was sent{_as_tuple(item)}"
            )
            raise
    return built


def _as_tuple(item: Any) -> str:
    return "; write (method, url, options) as a tuple" if isinstance(item, list) else ""


def _plain(defaults: Defaults, method: str, parsed: ParsedUrl) -> Prepared:
    """Build a request without options: the common case, kept short."""
    config = defaults.config
    if defaults.params:
        parsed = urls.merge_params(parsed, defaults.params)
    return Prepared(
        method,
        parsed,
        defaults.fields_without_options(method, parsed),
        b"",
        auth=_choose_auth(UNSET, defaults, parsed),
        limits=config.limits,
        follow_redirects=config.follow_redirects,
        max_body=config.max_body,
        cookies=_own_cookies(defaults, None)[0],
    )


# Method, parameters, limits


def _checked_method(method: str) -> str:
    if not isinstance(method, str):
        raise TypeError(f"a method is a str, not {type(method).__name__}")
    if not _METHOD.fullmatch(method):
        order = "; the method comes first, then the URL" if "/" in method else ""
        raise ConfigError(f"{method!r} is not an HTTP method{order}")
    return method.upper()


def _checked_extensions(extensions: Any) -> Mapping[str, Any] | None:
    if extensions is not None and not isinstance(extensions, Mapping):
        raise TypeError(f"extensions takes a mapping, not {type(extensions).__name__}")
    return extensions


def _with_params(defaults: Defaults, parsed: ParsedUrl, params: Any) -> ParsedUrl:
    if params is None and not defaults.params:
        return parsed
    merged = defaults.params
    if params is not None:
        import httpx

        merged = merged.merge(httpx.QueryParams(revealed_params(params)))
    return urls.merge_params(parsed, merged)


def _limits(timeout: Any, config: ClientConfig) -> Limits:
    return config.limits if isinstance(timeout, Unset) else resolve_timeout(timeout)


def _max_body(value: Any, config: ClientConfig) -> int | None:
    if isinstance(value, Unset):
        return config.max_body
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"max_body takes bytes or None, not {redact_repr(value)}")
    if value is not None and value < 0:
        raise ConfigError(f"max_body must be at least 0, not {value}")
    return value


def _on_upload(function: Any) -> Any:
    if function is not None and not callable(function):
        raise TypeError(
            f"on_upload_progress takes a function of two numbers, not {redact_repr(function)}"
        )
    return function


def _follow_redirects(value: Any, config: ClientConfig) -> bool:
    if isinstance(value, Unset):
        return config.follow_redirects
    return check_switch("follow_redirects", value)


# Cookies and authentication


def _own_cookies(
    defaults: Defaults, cookies: Any
) -> "tuple[tuple[tuple[str, str], ...], httpx.Cookies | None]":
    """Return the cookies that stay on the origin, and those that have a domain of their own."""
    of_client = defaults.cookies
    added = without_domain(defaults.jar)
    if added:
        of_client = of_client | {name: cookie_value(name, value) for name, value in added.items()}
    if cookies is None:
        return tuple(of_client.items()) if of_client else (), None
    jar = make_jar()
    merged = of_client | split_cookies(cookies, jar)
    return tuple(merged.items()), jar if len(jar) else None


def _choose_auth(auth: Any, defaults: Defaults, parsed: ParsedUrl) -> "httpx.Auth | None":
    """The call's, else the client's, else the URL's userinfo."""
    if not isinstance(auth, Unset):
        return make_auth(auth)
    if defaults.auth is not None:
        return defaults.auth
    return make_auth(parsed.userinfo)
