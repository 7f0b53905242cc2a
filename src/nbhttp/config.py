"""Frozen configuration: every default of nbhttp in one place, checked when a client is made."""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from nbhttp._checks import check_count, check_seconds, check_switch
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

if TYPE_CHECKING:
    import httpx

    from nbhttp.types import AuthTypes, CertTypes, EventHooks, TimeoutTypes, VerifyTypes

__all__ = ["SETTING_NAMES", "ClientConfig", "Limits", "PhaseLimits", "resolve_timeout"]

DEFAULT_TIMEOUT_S = 30.0
DEFAULT_MAX_CONNECTIONS = 100
DEFAULT_MAX_BODY = 256 * 1024 * 1024
DEFAULT_MAX_REDIRECTS = 20
DEFAULT_KEEPALIVE_S = 30.0
DEFAULT_CONCURRENCY = 32
STREAM_CHUNK_SIZE = 64 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_HEADER_FIELDS = 200
USER_AGENT = "nbhttp/0.1.0"


class PhaseLimits(NamedTuple):
    """Seconds that each phase of an exchange may take; None is no limit of its own."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limits of one call, in seconds; None is no limit.

    Attributes:
        total: For one attempt of a buffered call, connect to last byte; time in our own queue
            does not count.
        phases: For connecting, between two reads, and for one write.
        queue: For waiting in the client's own queue.
    """

    total: float | None = None
    phases: PhaseLimits = PhaseLimits()
    queue: float | None = None

    @property
    def per_read(self) -> PhaseLimits:
        """The phase limits of a stream, which has no total."""
        if self.total is None:
            return self.phases
        return PhaseLimits(self.total, self.total, self.total)


def resolve_timeout(timeout: TimeoutTypes) -> Limits:
    """Turn what a user calls a timeout into limits.

    Args:
        timeout: Seconds (a total besides the phase limits), an `httpx.Timeout` or its
            `(connect, read, write, pool)` tuple (phase limits only), or None (no limit).

    Raises:
        ConfigError: A limit is zero, negative or not a number.
        TypeError: It is none of these.
    """
    if timeout is None:
        return Limits()
    if isinstance(timeout, int | float) and not isinstance(timeout, bool):
        return Limits(total=_seconds(timeout))
    if isinstance(timeout, tuple) and len(timeout) == 4:
        connect, read, write, pool = (None if t is None else _seconds(t) for t in timeout)
        return Limits(phases=PhaseLimits(connect, read, write), queue=pool)
    if all(hasattr(timeout, name) for name in ("connect", "read", "write", "pool")):
        return resolve_timeout((timeout.connect, timeout.read, timeout.write, timeout.pool))  # type: ignore[union-attr] # duck-typed httpx.Timeout, without importing httpx
    is_pair = isinstance(timeout, tuple) and len(timeout) == 2
    hint = "; for (connect, read), as requests has it: httpx.Timeout(read, connect=connect)"
    raise TypeError(
        "timeout takes seconds, an httpx.Timeout, (connect, read, write, pool) or None, "
        f"not {redact_repr(timeout)}{hint if is_pair else ''}"
    )


def _seconds(value: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a timeout takes seconds or None, not {redact_repr(value)}")
    if math.isnan(value) or value <= 0:
        raise ConfigError(
            f"a timeout must be more than 0 seconds, not {redact_repr(value)}; None waits forever"
        )
    return None if math.isinf(value) else float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """What a client was made with; see `AsyncHttpClient` for the meaning of each field."""

    base_url: str = ""
    timeout: TimeoutTypes = DEFAULT_TIMEOUT_S
    headers: Any = None
    verify: VerifyTypes = True
    params: Any = None
    auth: AuthTypes | None = None
    follow_redirects: bool = True
    max_redirects: int = DEFAULT_MAX_REDIRECTS
    http2: bool = False
    proxy: Any = None
    mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None = None
    transport: httpx.AsyncBaseTransport | None = None
    cert: CertTypes | None = None
    trust_env: bool = True
    event_hooks: EventHooks = field(default_factory=dict)
    max_connections: int = DEFAULT_MAX_CONNECTIONS
    max_body: int | None = DEFAULT_MAX_BODY
    engine: str = "auto"
    keepalive_expiry: float = DEFAULT_KEEPALIVE_S
    max_header_bytes: int = MAX_HEADER_BYTES
    max_header_fields: int = MAX_HEADER_FIELDS
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        check_count("max_connections", self.max_connections)
        check_count("max_redirects", self.max_redirects, least=0)
        check_count("max_header_bytes", self.max_header_bytes)
        check_count("max_header_fields", self.max_header_fields)
        if self.max_body is not None:
            check_count("max_body", self.max_body, least=0)
        for name in ("follow_redirects", "http2", "trust_env"):
            check_switch(name, getattr(self, name))
        check_seconds("keepalive_expiry", self.keepalive_expiry)
        _check_engine(self)
        _check_verify(self.verify)
        _check_hooks(self.event_hooks)
        _check_transports(self)
        object.__setattr__(self, "limits", resolve_timeout(self.timeout))


SETTING_NAMES = frozenset(
    {*(one.name for one in fields(ClientConfig) if one.init), "cookies", "name"}
)  # what a client takes


def _check_hooks(hooks: EventHooks) -> None:
    if not isinstance(hooks, Mapping):
        raise TypeError(f"event_hooks takes {{'request': [f], …}}, not {redact_repr(hooks)}")
    unknown = set(hooks) - {"request", "response"}
    if unknown:
        raise ConfigError(f"event_hooks has {sorted(unknown)}; only 'request' and 'response' exist")
    for name, functions in hooks.items():
        is_list = isinstance(functions, list | tuple)
        if not is_list or not all(map(callable, functions)):
            raise TypeError(
                f"event_hooks[{name!r}] takes a list of functions, not {redact_repr(functions)}"
            )


def _check_transports(config: ClientConfig) -> None:
    for transport in (config.transport, *(config.mounts or {}).values()):
        if transport is not None and not hasattr(transport, "handle_async_request"):
            raise TypeError(
                f"a transport has to be an httpx.AsyncBaseTransport, not {redact_repr(transport)}; "
                "nbhttp's sync clients take async ones too"
            )


def _check_engine(config: ClientConfig) -> None:
    if config.engine not in {"auto", "httpx", "direct"}:
        raise ConfigError(f"engine takes 'auto', 'httpx' or 'direct', not {config.engine!r}")
    if config.engine != "direct":
        return
    for option in ("http2", "proxy", "transport", "mounts"):
        if getattr(config, option):
            raise ConfigError(
                f"engine='direct' cannot honour {option}=; use engine='auto' or 'httpx'"
            )


def _check_verify(verify: VerifyTypes) -> None:
    if isinstance(verify, bool | ssl.SSLContext):
        return
    if not isinstance(verify, str | os.PathLike):
        raise TypeError(
            f"verify takes True, False, a CA file or an ssl.SSLContext, not {redact_repr(verify)}"
        )
    if not os.path.exists(verify):  # noqa: PTH110 - a str or any PathLike
        raise ConfigError(f"verify={os.fspath(verify)!r}: there is no such file or folder")
