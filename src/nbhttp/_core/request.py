"""From what the user asked for to one frozen, validated request.

Everything that can be wrong about the user's input is refused here, before anything is sent.
"""

import copy
import enum
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
from io import TextIOBase
from typing import TYPE_CHECKING, Any, cast

from nbhttp._checks import check_count, check_switch
from nbhttp._core import urls
from nbhttp._core.cookies import make_jar, without_domain
from nbhttp._core.urls import ParsedUrl
from nbhttp._credentials import remember
from nbhttp._habits import unknown_option
from nbhttp._json import dumps
from nbhttp.config import ClientConfig, Limits, resolve_timeout
from nbhttp.errors import ConfigError, ProtocolError
from nbhttp.redaction import MASK, is_credential_name, redact_repr
from nbhttp.types import UNSET, Unset

if TYPE_CHECKING:
    import httpx

__all__ = ["Body", "Defaults", "Prepared", "build", "build_item", "bulk_items", "make_auth"]

RawHeaders = list[tuple[bytes, bytes]]
_MULTIPART = "data beside files"
Body = bytes | Iterable[bytes] | AsyncIterable[bytes]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5
_BAD_COOKIE_NAME = re.compile(r"[\x00-\x20\x7f=;,]")
_LEAST_COOKIE_SECRET = 12  # "en" or "dark" is no secret, and would mask ordinary words
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
        if isinstance(body, bytes) or type(body).__name__ == "MultipartStream":
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
        _remember_credentials(headers)
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
        self.params = httpx.QueryParams(_revealed_params(config.params))
        self.jar = make_jar()
        self.cookies: dict[str, str] = {}
        self.add_cookies(cookies)
        self.auth = make_auth(config.auth)
        self._checked: RawHeaders | None = None
        self._shared_fields: dict[tuple[bool, bytes], RawHeaders] = {}

    def add_cookies(self, cookies: Any) -> None:
        """Take cookies given by the user: with a domain into the jar, without one apart."""
        self.cookies.update(_split_cookies(cookies, self.jar))

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
            fields = _merge(base, [], framing, parsed)
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
    framing, body = _encode_body(options, method)
    headers = _merge(defaults.raw_headers(), raw_headers(options.get("headers")), framing, parsed)
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
        body_start=_position(body),
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

        merged = merged.merge(httpx.QueryParams(_revealed_params(params)))
    return urls.merge_params(parsed, merged)


def _revealed_params(params: Any, option: str = "params") -> Any:
    if isinstance(params, str):
        return params.removeprefix("?")  # it begins the query and is none of it
    if params is None or isinstance(params, bytes):
        return params
    if isinstance(params, Mapping):
        return {
            key: [_value(option, key, v) for v in value]
            if isinstance(value, list | tuple)
            else _value(option, key, value)
            for key, value in params.items()
        }
    if isinstance(params, Sequence):
        pairs = (_pair(option, pair) for pair in params)
        return [(key, _value(option, key, value)) for key, value in pairs]
    if hasattr(params, "multi_items"):
        return params
    hint = f"; write {option}=….to_dict()" if hasattr(params, "to_dict") else ""
    raise TypeError(f"{option} takes a mapping, pairs or text, not {type(params).__name__}{hint}")


def _value(option: str, key: Any, value: Any) -> Any:
    """Return one value of a query or form, which is sent as `str()` has it."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bytes):
        return _decoded(option, key, value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        # A dict, a set, a column of a table: their `str()` is nothing that a server expects.
        raise TypeError(
            f"{option} takes text, a number or a list of them for {key!r}, "
            f"not {type(value).__name__}"
        )
    return _revealed(value)


def _decoded(option: str, key: Any, value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if option == _MULTIPART:
            return value
        raise TypeError(
            f"{option} takes text for {key!r}, not bytes that are no UTF-8; "
            "send them with content= or files="
        ) from None


def _revealed(value: Any) -> Any:
    """The value of a `Secret`, else the value itself.

    Raises:
        ConfigError: Text holds a mask: a `Secret` was formatted into it, which never shows it.
    """
    if isinstance(value, str):
        if MASK in value:
            raise ConfigError(
                f"{value!r} holds a mask where a secret was meant: formatting a Secret never "
                "shows it; write 'Bearer ' + secret, or give nbhttp.bearer(secret) as auth"
            )
        return value
    return value.reveal() if hasattr(value, "reveal") else value


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


# Header fields


def raw_headers(headers: Any) -> RawHeaders:
    """Turn what a user gives as headers into bytes; a `Secret` gives its value.

    Raises:
        TypeError: A name or value is neither text, bytes nor a `Secret`.
        ConfigError: A name or value cannot be sent (CR, LF, NUL, not a token).
    """
    if not headers:
        return []
    if hasattr(headers, "raw"):
        raw = list(headers.raw)
    else:
        if isinstance(headers, str | bytes) or not isinstance(headers, Iterable):
            raise TypeError(f"headers takes a mapping or pairs, not {type(headers).__name__}")
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        raw = [_field(*_pair("headers", pair)) for pair in pairs]
    check_headers(raw)
    _remember_credentials(raw)
    return raw


def check_headers(headers: RawHeaders) -> None:
    """Refuse what would break the framing of a request (RFC 9110 sections 5.1 and 5.5)."""
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise ConfigError(f"{name.decode('utf-8', 'replace')!r} is not a header name")
        bad = _BAD_VALUE.search(value)
        if bad is not None:
            raise ConfigError(
                f"the value of header {name.decode('ascii')!r} holds the control character "
                f"{bad[0].decode('latin-1')!r}; a header is one line"
            )


def is_chunked(headers: RawHeaders) -> bool:
    """Whether the fields say that the body is chunked."""
    for name, _ in headers:  # noqa: SIM110 - a generator takes three times as long
        if len(name) == 17 and name.lower() == b"transfer-encoding":
            return True
    return False


def check_framing(headers: RawHeaders, body: Body) -> None:
    """Refuse framing fields that the user set and that do not fit the body.

    A server would read the difference as another request (RFC 9112 section 11.2).

    Raises:
        ConfigError: Content-Length is wrong, or stands beside Transfer-Encoding.
    """
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    if not lengths and not codings:
        return
    if codings and (lengths or codings[1:] or codings[0].lower() != b"chunked"):
        raise ConfigError(
            "Transfer-Encoding can only be 'chunked', without a Content-Length; "
            "leave both out: they are set as the body needs them"
        )
    if lengths[1:] or (lengths and not lengths[0].isdigit()):
        raise ConfigError("Content-Length takes one number of bytes; leave it out: it is set")
    if lengths and isinstance(body, bytes) and int(lengths[0]) != len(body):
        raise ConfigError(
            f"Content-Length is {int(lengths[0]):,} but the body has {len(body):,} bytes; "
            "leave it out: it is set as the body needs it"
        )


def _pair(option: str, pair: Any) -> tuple[Any, Any]:
    """Return the two items of a pair."""
    if isinstance(pair, str | bytes) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise TypeError(f"{option} takes a mapping or (name, value) pairs, not {redact_repr(pair)}")
    return pair[0], pair[1]


def _field(name: Any, value: Any) -> tuple[bytes, bytes]:
    value = _revealed(value)
    if not isinstance(name, str | bytes) or not isinstance(value, str | bytes):
        raise TypeError(
            f"header {name!r} takes str, bytes or a Secret as its value, not {type(value).__name__}"
        )
    key = name.encode("utf-8") if isinstance(name, str) else name
    text = value.encode("utf-8") if isinstance(value, str) else value
    return key, text.strip(b" \t")


def _remember_credentials(headers: RawHeaders) -> None:
    """Have the values of fields with a credential's name masked in texts."""
    for name, raw in headers:
        if not is_credential_name(name.decode("ascii")):
            continue
        value = raw.decode("utf-8", "replace")
        remember(value)
        if name.lower() in {b"authorization", b"proxy-authorization"}:
            remember(value.partition(" ")[2])  # without the scheme
            remember(value.rpartition(" ")[2])  # the last of several parameters


def _merge(base: RawHeaders, own: RawHeaders, framing: RawHeaders, parsed: ParsedUrl) -> RawHeaders:
    """Put Host first, then the client's fields, the call's in their place, and the framing."""
    names = {name.lower() for name, _ in own}
    merged = [field for field in base if field[0].lower() not in names] if own else list(base)
    merged += own
    present = {name.lower() for name, _ in merged}
    is_framed = bool(present & {b"content-length", b"transfer-encoding"})
    for field in framing:
        key = field[0].lower()
        if key in {b"content-length", b"transfer-encoding"}:
            if not is_framed:
                merged.append(field)
        elif key not in present:
            merged.append(field)
    if b"host" not in present:
        merged.insert(0, (b"Host", parsed.host_field))
    return merged


# Cookies and authentication


def _own_cookies(
    defaults: Defaults, cookies: Any
) -> "tuple[tuple[tuple[str, str], ...], httpx.Cookies | None]":
    """Return the cookies that stay on the origin, and those that have a domain of their own."""
    of_client = defaults.cookies
    added = without_domain(defaults.jar)
    if added:
        of_client = of_client | {name: _cookie_value(name, value) for name, value in added.items()}
    if cookies is None:
        return tuple(of_client.items()) if of_client else (), None
    jar = make_jar()
    merged = of_client | _split_cookies(cookies, jar)
    return tuple(merged.items()), jar if len(jar) else None


def _split_cookies(cookies: Any, jar: "httpx.Cookies") -> dict[str, str]:
    """Put the user's cookies that have a domain into `jar`, and return the others."""
    if cookies is None:
        return {}
    source = getattr(cookies, "jar", cookies)
    without_domain: dict[str, str] = {}
    if hasattr(source, "set_cookie"):
        for cookie in source:
            if cookie.domain:
                jar.jar.set_cookie(copy.copy(cookie))
            else:
                without_domain[cookie.name] = _cookie_value(cookie.name, cookie.value or "")
        return without_domain
    if isinstance(cookies, str | bytes) or not isinstance(cookies, Iterable):
        raise TypeError(
            "cookies takes a mapping, pairs or a cookie jar, "
            f"not {type(cookies).__name__}; a whole field is headers={{'Cookie': …}}"
        )
    for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
        without_domain[name] = _cookie_value(name, value)
    return without_domain


def _cookie_value(name: Any, value: Any) -> str:
    """Check a cookie that the user gave, and have its value masked in texts."""
    value = _revealed(value)
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"cookie {name!r} takes a str or a Secret, not {type(value).__name__}")
    if not name or _BAD_COOKIE_NAME.search(name):
        raise ConfigError(f"{name!r} is not a cookie name")
    if ";" in value:
        raise ConfigError(
            f"the value of cookie {name!r} holds a ';', which would begin another cookie"
        )
    check_headers([(b"Cookie", f"{name}={value}".encode())])
    if is_credential_name(name) or len(value) >= _LEAST_COOKIE_SECRET:
        remember(value)
    return value


def _choose_auth(auth: Any, defaults: Defaults, parsed: ParsedUrl) -> "httpx.Auth | None":
    """The call's, else the client's, else the URL's userinfo."""
    if not isinstance(auth, Unset):
        return make_auth(auth)
    if defaults.auth is not None:
        return defaults.auth
    return make_auth(parsed.userinfo)


def make_auth(auth: Any) -> "httpx.Auth | None":
    """Turn what a user gives as `auth` into a scheme; passwords are registered as secrets.

    Raises:
        TypeError: It is no `httpx.Auth`, `(user, password)` pair, function or None.
    """
    if auth is None:
        return None
    import httpx

    if isinstance(auth, httpx.Auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2:
        user, password = (_as_text(_revealed(part)) for part in auth)
        scheme = httpx.BasicAuth(user, password)
        remember(password, owner=scheme)
        return scheme
    if callable(auth):
        return _FunctionAuth.make(auth)
    is_token = isinstance(auth, str) or hasattr(auth, "reveal")
    hint = "; for a token write auth=nbhttp.bearer(token)" if is_token else ""
    raise TypeError(
        "auth takes (user, password), an httpx.Auth, a function or None, "
        f"not {type(auth).__name__}{hint}"
    )


class _FunctionAuth:
    """A plain function of the request as an auth scheme."""

    @staticmethod
    def make(function: Any) -> "httpx.Auth":
        import httpx

        class FunctionAuth(httpx.Auth):
            def auth_flow(self, request: httpx.Request) -> Any:
                signed = function(request)
                if not isinstance(signed, httpx.Request):
                    raise TypeError(
                        "an auth function returns the request that it was given, "
                        f"not {type(signed).__name__}"
                    )
                yield signed

        return FunctionAuth()


def _as_text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise TypeError(f"auth takes text as user and password, not {type(value).__name__}")
    return value.decode("utf-8") if isinstance(value, bytes) else value


# The body


def _encode_body(options: Mapping[str, Any], method: str) -> tuple[RawHeaders, Body]:
    """Return the fields that describe the body, and the body."""
    content, data = options.get("content"), options.get("data")
    files, json = options.get("files"), options.get("json")
    given = [name for name in ("content", "data", "files", "json") if options.get(name) is not None]
    if len(given) > 1 and set(given) != {"data", "files"}:
        raise ConfigError(f"a request has one body: {' and '.join(given)} were given")
    if isinstance(data, str | bytes):  # the habit from requests
        content, data = data, None
    if json is not None:
        body = dumps(json)
        return _framed(body, b"application/json"), body
    if isinstance(content, str):
        # As bytes, no Content-Type: often it is JSON, and servers refuse that as text/plain.
        body = content.encode("utf-8")
        return _framed(body), body
    if isinstance(content, bytes | bytearray | memoryview):
        body = bytes(content)
        return _framed(body), body
    if content is not None:
        return _stream_framing(content), content
    if data is not None or files is not None:
        return _encode_form(data, files, _boundary_source(options))
    return ([(b"Content-Length", b"0")] if method in {"POST", "PUT", "PATCH"} else []), b""


def _framed(body: bytes, content_type: bytes | None = None) -> RawHeaders:
    fields = [(b"Content-Length", str(len(body)).encode("ascii"))]
    if content_type is not None:
        fields.append((b"Content-Type", content_type))
    return fields


def _stream_framing(content: Any) -> RawHeaders:
    """Content-Length where a file tells its size, else chunked."""
    if isinstance(content, TextIOBase):
        raise TypeError("content takes a binary file: open it with mode 'rb'")
    if isinstance(content, Mapping) or not isinstance(content, Iterable | AsyncIterable):
        raise TypeError(
            "content takes str, bytes, a binary file or an iterable of bytes, "
            f"not {type(content).__name__}; for a form use data=, for JSON json="
        )
    size = _remaining_bytes(content)
    if size is None:
        return [(b"Transfer-Encoding", b"chunked")]
    return [(b"Content-Length", str(size).encode("ascii"))]


def _remaining_bytes(content: Any) -> int | None:
    """Bytes from where a file stands to its end; None for what is no seekable file."""
    if not (hasattr(content, "read") and hasattr(content, "seek") and hasattr(content, "tell")):
        return None
    try:
        here: int = content.tell()
        end: int = content.seek(0, 2)
        content.seek(here)
    except (OSError, ValueError):
        return None
    return end - here


def _position(body: Any) -> int:
    """Return where an open file stands; 0 for all else."""
    if isinstance(body, bytes) or not (hasattr(body, "seek") and hasattr(body, "tell")):
        return 0
    try:
        position: int = body.tell()
    except (OSError, ValueError):
        return 0
    return position


def _encode_form(data: Any, files: Any, boundary: dict[str, str]) -> tuple[RawHeaders, Body]:
    """Form fields and files, encoded by httpx."""
    import httpx

    if data is not None and not isinstance(data, Mapping):
        raise TypeError(
            "data takes a mapping (with lists for what repeats), str or bytes, "
            f"not {type(data).__name__}"
        )
    if files is not None:
        _remember_fields(data)
    try:
        request = httpx.Request(
            "POST",
            "http://body",
            data=_revealed_params(data, "data" if files is None else _MULTIPART),
            files=_checked_files(files),
            headers=boundary,
        )
    except (TypeError, ValueError, AttributeError) as exc:
        raise TypeError(f"cannot encode the form: {exc}") from exc
    fields = [
        (name, value)
        for name, value in request.headers.raw
        if name.lower() in {b"content-type", b"content-length", b"transfer-encoding"}
    ]
    if isinstance(request.stream, httpx.ByteStream):
        return fields, request.read()
    return fields, cast("Body", request.stream)  # iterable both ways


def _remember_fields(data: Any) -> None:
    """Have the credentials of a multipart form masked: its body is not kept to look them up."""
    for name, given in (data or {}).items():
        value = _revealed(given)
        if isinstance(name, str) and isinstance(value, str) and is_credential_name(name):
            remember(value)


def _checked_files(files: Any) -> Any:
    """Refuse what httpx would only trip over while it sends."""
    if files is None:
        return None
    if not isinstance(files, Mapping | Sequence) or isinstance(files, str | bytes):
        raise TypeError(f"files takes a mapping or pairs, not {type(files).__name__}")
    for name, value in files.items() if isinstance(files, Mapping) else files:
        content = value[1] if isinstance(value, tuple) else value
        if isinstance(content, TextIOBase):
            raise TypeError(f"files: {name!r} is a text file: open it with mode 'rb'")
        if not isinstance(content, str | bytes) and not hasattr(content, "read"):
            raise TypeError(
                f"files: {name!r} takes bytes, text or a file that is opened with mode 'rb', "
                f"not {type(content).__name__}"
            )
        if isinstance(value, tuple) and len(value) > 2 and value[2] is not None:
            check_headers([_field("Content-Type", value[2])])
        if isinstance(value, tuple) and len(value) > 3:
            check_headers([_field(*field) for field in value[3].items()])
    return files


def _boundary_source(options: Mapping[str, Any]) -> dict[str, str]:
    """A multipart boundary that the user chose in Content-Type."""
    for name, value in raw_headers(options.get("headers")):
        if name.lower() == b"content-type" and b"boundary=" in value:
            return {"Content-Type": value.decode("latin-1")}
    return {}
