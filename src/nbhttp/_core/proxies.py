"""Which proxy, mounted transport or nothing serves a URL."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbhttp._engines.base import Origin
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_url

if TYPE_CHECKING:
    import httpx

__all__ = ["EnvironmentProxies", "MountTable", "make_proxy"]


class EnvironmentProxies:
    """The proxies that the environment names, as they stand when a client is made.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` in either case, and the system's
    settings on macOS and Windows, as `urllib.request` reads them.
    """

    def __init__(self) -> None:
        import urllib.request

        self._proxies = urllib.request.getproxies()

    def find(self, origin: Origin) -> str | None:
        """Return the proxy for `origin`; None for a direct connection."""
        import urllib.request

        proxy = self._proxies.get(origin.scheme) or self._proxies.get("all")
        if not proxy:
            return None
        for name in (origin.host, f"{origin.host}:{origin.port}"):
            if urllib.request.proxy_bypass(name):
                return None
        return proxy if "://" in proxy else f"http://{proxy}"


@lru_cache(maxsize=64)
def _parse_proxy(text: str) -> "httpx.Proxy":
    import httpx

    try:
        return httpx.Proxy(text)
    except (ValueError, httpx.InvalidURL):  # its text holds the URL with its password
        raise _unusable(text) from None


def _unusable(text: str) -> ConfigError:
    if "://" in text:
        shown, hint = redact_url(text), "write it as http://host:port, https:// or socks5://"
    else:
        meant = redact_url(f"http://{text}")
        shown, hint = meant.removeprefix("http://"), f"did you mean {meant!r}?"
    return ConfigError(f"the proxy {shown!r} cannot be used; {hint}", hint=hint)


def make_proxy(proxy: Any) -> "httpx.Proxy | None":
    """Turn what a user gives as `proxy` into httpx's form; its password is a secret.

    Raises:
        TypeError: It is a mapping, or anything else than a URL or an `httpx.Proxy`.
        ConfigError: It has another scheme than http, https, socks5 and socks5h.
        MissingExtraError: It is a SOCKS proxy and socksio is missing.
    """
    if proxy is None:
        return None
    import httpx

    if isinstance(proxy, Mapping):
        raise TypeError("proxy takes one URL; for one a scheme, as requests has it, use mounts=")
    if not isinstance(proxy, str | httpx.URL | httpx.Proxy):
        raise TypeError(f"proxy takes a URL or an httpx.Proxy, not {type(proxy).__name__}")
    made = proxy if isinstance(proxy, httpx.Proxy) else _parse_proxy(str(proxy))
    if made.url.scheme.startswith("socks"):
        from nbhttp.integrations._require import require

        require("socksio", extra="socks", feature="a SOCKS proxy")
    if made.raw_auth is not None:
        from nbhttp._credentials import remember

        remember(made.raw_auth[1].decode("utf-8", "replace"))
    return made


class MountTable:
    """httpx's `mounts`: the most specific pattern that fits a URL names its transport.

    Patterns are `scheme://host:port`, each part may be left out or, for scheme, be `all`; a host
    may start with `*.` (subdomains) or `*` (the host and its subdomains).
    """

    def __init__(self, mounts: "Mapping[str, httpx.AsyncBaseTransport | None] | None") -> None:
        rows = [(_Pattern(text), transport) for text, transport in (mounts or {}).items()]
        self._rows = sorted(rows, key=lambda row: row[0].rank)

    def __bool__(self) -> bool:
        return bool(self._rows)

    def find(self, origin: Origin) -> "tuple[bool, httpx.AsyncBaseTransport | None]":
        """Return whether a pattern fits, and its transport; None there means a plain one."""
        for pattern, transport in self._rows:
            if pattern.fits(origin):
                return True, transport
        return False, None

    def transports(self) -> "list[httpx.AsyncBaseTransport]":
        """Return every mounted transport."""
        return [transport for _, transport in self._rows if transport is not None]


class _Pattern:
    _FORM = re.compile(
        r"^(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[^]]*\]|[^:/]*)(?::(?P<port>\d+))?/?$"
    )

    def __init__(self, text: str) -> None:
        match = self._FORM.match(text)
        if match is None:
            raise ConfigError(
                f"mounts: {text!r} is no pattern like 'https://' or 'all://*.host:80'"
            )
        self._scheme = "" if match["scheme"] == "all" else match["scheme"]
        host = match["host"].strip("[]").lower()
        self._host = "" if host == "*" else host
        self._port = int(match["port"]) if match["port"] else None

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sorts the most specific pattern first."""
        return (self._port is None, -len(self._host), -len(self._scheme))

    def fits(self, origin: Origin) -> bool:
        if self._scheme and self._scheme != origin.scheme:
            return False
        if self._port is not None and self._port != origin.port:
            return False
        if not self._host:
            return True
        if self._host.startswith("*."):
            return origin.host.endswith(self._host[1:])
        if self._host.startswith("*"):
            bare = self._host[1:]
            return origin.host == bare or origin.host.endswith("." + bare)
        return origin.host == self._host
