"""URLs: parsed once, checked before anything is sent, split into origin and target."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from nbhttp._engines.base import Origin
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_url

if TYPE_CHECKING:
    import httpx

__all__ = ["ParsedUrl", "check_base", "default_port", "join", "merge_params", "parse"]

_PORTS = {"http": 80, "https": 443}
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")  # WHATWG URL section 3.5
_MOST_SHOWN = 120  # characters of a URL in a message
# What httpx.URL, which takes 100 µs, leaves as it is: an authority without userinfo, and a path
# and a query that are encoded already and have no segment that begins with a dot.
_PLAIN = re.compile(
    r"(https?://[^/?#@\\\s]+/)"
    r"((?:(?:(?!\.)(?:[\w\-.~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*/)*"
    r"(?!\.)(?:[\w\-.~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)"
    r"(?:\?(?:[\w\-.~!$()*+,;=:@/?&]|%[0-9A-Fa-f]{2})*)?)",
    re.ASCII,
)
_RELATIVE = re.compile(r"/?\w[^:]*", re.ASCII)
_MOST_PLAIN = 8192  # characters; longer ones are httpx's to judge
# RFC 3986 section 3.2.3: digits, where int() takes more.
_PORT = re.compile(r"[^:/?#]+://(?:[^/?#]*@)?+(?:\[[^\]/?#]*\]|[^:/?#\[]*):([^/?#]+)")
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(?:[/?#]|$)")
# What begins as an absolute URL does; "items:batch" does not: below a base URL it is a path.
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://|https?:|//", re.ASCII | re.IGNORECASE)
_SCHEME_WITHOUT_COLON = re.compile(r"^(https?);?//+(?=[^/])", re.IGNORECASE)
_SCHEME_INSIDE = re.compile(r"https?://", re.IGNORECASE)
_BRACES = re.compile(r"[{}]")
_NUMERIC_LABEL = re.compile(r"(?:^|\.)(?:0[xX][0-9a-fA-F]*|[0-9]+)\.?$")
_DOTTED_QUAD = re.compile(r"^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$")


class ParsedUrl(NamedTuple):
    """A URL ready to be asked for.

    Attributes:
        text: Absolute, without userinfo and fragment.
        origin: Where to connect.
        target: Path and query, as sent.
        host_field: The Host field's value.
        userinfo: User and password that stood in the URL; None when there were none.
    """

    text: str
    origin: Origin
    target: bytes
    host_field: bytes
    userinfo: tuple[str, str] | None

    @property
    def url(self) -> "httpx.URL":
        """The same as httpx has it."""
        return _as_httpx(self.text)


def base_text(base: Any) -> str:
    """Return a `base_url` as text.

    Raises:
        TypeError: It is neither text nor an `httpx.URL`.
    """
    if isinstance(base, str):
        return base
    import httpx

    if not isinstance(base, httpx.URL):
        raise TypeError(f"base_url takes a str or an httpx.URL, not {type(base).__name__}")
    return str(base)


def check_base(base: str) -> None:
    """Check a `base_url` when it is given, not at the first request.

    Raises:
        ConfigError: As `parse`, or it has a query, which would be sent with no request.
    """
    if base.startswith("/") and not base.startswith("//"):
        raise _refused(base, "it is only a path", 'write base_url="https://host/path"')
    if parse(base).target.count(b"?"):
        raise _refused(base, "a base_url has no query", "give it as params={…}")


def _without_scheme(text: str) -> tuple[str, str]:
    """Say what is wrong with a relative URL where none can be, and what to do."""
    if not text.strip():
        return "it is empty", "write it as https://host/path"
    if text.startswith("/") and not text.startswith("//"):
        return "it is only a path", "give the client a base_url, or write https://host/path"
    if _SCHEME_INSIDE.search(text):
        return "something stands before its scheme", "begin with http:// or https://"
    meant = redact_url(_SCHEME_WITHOUT_COLON.sub(r"\1://", text, count=1))
    meant = meant if "://" in meant else f"https://{meant.lstrip('/')}"
    of_path = ", or a path with one slash" if text.startswith("//") else ""
    return "it has no scheme", f"did you mean {meant!r}{of_path}?"


def default_port(scheme: str) -> int:
    """Return 80 or 443."""
    return _PORTS[scheme]


def join(base: str, url: "httpx.URL | str") -> ParsedUrl:
    """Parse `url`, appended to `base` when it is relative (as httpx's `base_url` is).

    Below a base URL "items:batch" is a path too. RFC 3986 section 4.2 has it written as
    "./items:batch", since "items:" reads as a scheme; httpx would send "/batch".

    Raises:
        ConfigError: It is malformed, has no host, or another scheme than http and https.
        TypeError: It is neither text nor an `httpx.URL`.
    """
    if not isinstance(url, str):
        import httpx

        if not isinstance(url, httpx.URL):
            raise TypeError(f"a URL is a str or an httpx.URL, not {type(url).__name__}")
        url = str(url)
    return _join(base, url)


@lru_cache(maxsize=2048)
def _join(base: str, text: str) -> ParsedUrl:
    text = text.strip(" \t\r\n")
    if not base:
        return parse(text)
    # As httpx: always appended, so that "/items" below ".../v1" is ".../v1/items".
    if _RELATIVE.fullmatch(text):
        plain = _parse_plain(_root(base) + "/" + text.lstrip("/"))
        if plain is not None:
            return plain
    return _append(base, text)


@lru_cache(maxsize=64)
def _root(base: str) -> str:
    """Return a base URL without query and last slash."""
    url = _make(base)
    return str(url.copy_with(raw_path=url.raw_path.partition(b"?")[0])).rstrip("/")


def _append(base: str, text: str) -> ParsedUrl:
    if _ABSOLUTE.match(text):
        return parse(text)
    url = _make(text)
    if url.scheme:
        url = _make(f"./{text}")
    root = _make(base)
    path = root.raw_path.partition(b"?")[0].rstrip(b"/") + b"/" + url.raw_path.lstrip(b"/")
    return parse(str(root.copy_with(raw_path=path)))


def parse(text: str) -> ParsedUrl:
    """Parse and check an absolute URL.

    Raises:
        ConfigError: As `join`.
    """
    return _parse_plain(text) or _parse(text)


def _parse_plain(text: str) -> ParsedUrl | None:
    """Parse what most URLs look like; None when it takes more than that."""
    plain = _PLAIN.fullmatch(text) if len(text) <= _MOST_PLAIN else None
    if plain is None:
        return None
    root, rest = plain.groups()
    try:
        parsed = _parse(root)
    except ConfigError:
        return None
    target = b"/" + rest.encode("ascii")
    return ParsedUrl(parsed.text + rest, parsed.origin, target, parsed.host_field, None)


@lru_cache(maxsize=2048)
def _parse(text: str) -> ParsedUrl:
    url = _make(text)
    scheme = url.scheme
    if url.is_relative_url and not scheme:
        raise _refused(text, *_without_scheme(text))
    if scheme not in _PORTS:
        if _HOST_AND_PORT.match(text):
            meant = redact_url(f"http://{text}")
            raise _refused(text, "it has no scheme", f"did you mean {meant!r}?")
        raise _refused(text, f"unknown scheme {scheme!r}", "only http:// and https:// exist here")
    host = url.raw_host.decode("ascii").lower()
    if not host:
        raise _refused(text, "it has no host", "write it as https://host/path")
    _check_host(text, host)
    userinfo = (url.username, url.password) if url.userinfo else None
    bare = url.copy_with(userinfo=b"", fragment=None)
    written = _PORT.match(text)
    if written is not None and not (written[1].isascii() and written[1].isdigit()):
        raise _refused(text, "its port is no number", "write it as https://host:8443/path")
    port = url.port if url.port is not None else _PORTS[scheme]
    if not 0 < port < 65536:
        raise _refused(text, f"there is no port {port}", "ports are 1 to 65535")
    return ParsedUrl(str(bare), Origin(scheme, host, port), bare.raw_path, bare.netloc, userinfo)


def merge_params(parsed: ParsedUrl, params: "httpx.QueryParams") -> ParsedUrl:
    """Add `params` to the URL's query; one of the same name replaces what stood there.

    The rest of the query stays byte for byte: a signature may depend on it.
    """
    if not params:
        return parsed
    names = set(params.keys())
    path, _, query = parsed.target.partition(b"?")
    kept = [
        pair
        for pair in (query.decode("ascii").split("&") if query else ())
        if unquote_plus(pair.partition("=")[0]) not in names
    ]
    merged = "&".join([*kept, str(params)]).encode("ascii")
    made = parse(str(parsed.url.copy_with(raw_path=path + b"?" + merged)))
    return made._replace(userinfo=parsed.userinfo)


@lru_cache(maxsize=256)
def _as_httpx(text: str) -> "httpx.URL":
    return _make(text)


def _make(text: str) -> "httpx.URL":
    import httpx

    authority = re.split(r"[?#]", text, maxsplit=1)[0]
    bad = _FORBIDDEN.search(authority)
    if bad is not None:
        netloc = _netloc(authority)
        if bad[0] in netloc.rpartition("@")[2]:
            raise _bad_host(text, bad[0])
        if bad[0] != " " or " " in netloc:
            raise _refused(text, f"it holds the character {bad[0]!r}", "percent-encode it")
    try:
        url = httpx.URL(text)
        url.host  # noqa: B018 - decodes punycode, which may be none
        return url  # noqa: TRY300
    except (httpx.InvalidURL, ValueError, TypeError) as exc:
        # The cause is dropped: its text may hold the URL with its credentials.
        raise _refused(text, str(exc), "check its spelling") from None


def _netloc(authority: str) -> str:
    return authority.partition("//")[2].partition("/")[0]


def _check_host(text: str, host: str) -> None:
    is_ipv6 = ":" in host
    written = unquote(host)  # httpx encodes what it does not expect there
    bad = _FORBIDDEN_IN_HOST.search(written.partition("%")[2] if is_ipv6 else written)
    if bad is not None:
        raise _bad_host(text, bad[0])
    if is_ipv6:
        return
    labels = host.removesuffix(".").split(".")
    if "%" in host or len(host) > 253 or not all(0 < len(label) < 64 for label in labels):
        raise _refused(text, f"{host!r} is not a host name", "check its spelling")
    if _BRACES.search(host):
        raise _refused(text, f"{host!r} is not a host name", "an f before the string fills {…} in")
    # "0x7f.1" or "2130706433" would be resolved to 127.0.0.1 by some systems: two parsers would
    # see two hosts (WHATWG URL, "ends in a number").
    if _NUMERIC_LABEL.search(host) and not _DOTTED_QUAD.match(host):
        raise _refused(text, f"{host!r} is not a plain IPv4 address", "write it as 192.0.2.1")


def _bad_host(text: str, character: str) -> ConfigError:
    return _refused(text, f"its host holds the character {character!r}", "check its spelling")


def _refused(text: str, why: str, hint: str) -> ConfigError:
    shown = redact_url(text)
    shown = shown if len(shown) <= _MOST_SHOWN else shown[:_MOST_SHOWN] + "…"
    return ConfigError(
        f"cannot use the URL {shown!r}: {why[:_MOST_SHOWN]}; {hint[:_MOST_SHOWN]}",
        hint=hint[:_MOST_SHOWN],
    )
