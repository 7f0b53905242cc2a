"""What the two clients have in common: their options, and what needs no loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Never

from nbhttp import _habits
from nbhttp import config as defaults
from nbhttp._core.state import ClientState
from nbhttp._core.urls import base_text
from nbhttp.config import SETTING_NAMES, ClientConfig
from nbhttp.types import (
    AuthTypes,
    CertTypes,
    CookieTypes,
    EngineName,
    EventHooks,
    HeaderTypes,
    ParamTypes,
    ProxyTypes,
    RequestOptions,
    Subscriber,
    TimeoutTypes,
    Unsubscribe,
    UrlTypes,
    VerifyTypes,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["Client"]


def _where_set(client: Client, name: str) -> str:
    """Say how a setting is changed."""
    if name in {"headers", "cookies"}:
        return f"change them in place: client.{name}.update(…)"
    is_option = name in RequestOptions.__optional_keys__
    of_call = f", or for one call: client.get(url, {name}=…)" if is_option else ""
    return f"it is given when the client is made: {type(client).__name__}({name}=…){of_call}"


class Client(_habits.SaysHow):
    """The part of `AsyncHttpClient` and `HttpClient` that is the same word for word."""

    def __init__(
        self,
        base_url: UrlTypes = "",
        timeout: TimeoutTypes = defaults.DEFAULT_TIMEOUT_S,
        headers: HeaderTypes | None = None,
        verify: VerifyTypes = True,
        *,
        params: ParamTypes | None = None,
        cookies: CookieTypes | None = None,
        auth: AuthTypes | None = None,
        follow_redirects: bool = True,
        max_redirects: int = defaults.DEFAULT_MAX_REDIRECTS,
        http2: bool = False,
        proxy: ProxyTypes | None = None,
        mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        cert: CertTypes | None = None,
        trust_env: bool = True,
        event_hooks: EventHooks | None = None,
        max_connections: int = defaults.DEFAULT_MAX_CONNECTIONS,
        max_body: int | None = defaults.DEFAULT_MAX_BODY,
        max_header_bytes: int = defaults.MAX_HEADER_BYTES,
        max_header_fields: int = defaults.MAX_HEADER_FIELDS,
        keepalive_expiry: float = defaults.DEFAULT_KEEPALIVE_S,
        engine: EngineName = "auto",
        name: str | None = None,
    ) -> None:
        settings = ClientConfig(
            base_url=base_text(base_url),
            timeout=timeout,
            headers=headers,
            verify=verify,
            params=params,
            auth=auth,
            follow_redirects=follow_redirects,
            max_redirects=max_redirects,
            http2=http2,
            proxy=proxy,
            mounts=mounts,
            transport=transport,
            cert=cert,
            trust_env=trust_env,
            event_hooks=event_hooks or {},
            max_connections=max_connections,
            max_body=max_body,
            max_header_bytes=max_header_bytes,
            max_header_fields=max_header_fields,
            keepalive_expiry=keepalive_expiry,
            engine=engine,
        )
        self._state = ClientState(settings, cookies, name)

    if not TYPE_CHECKING:  # it reads `__init__`

        @wraps(__init__, assigned=())  # for who asks for the signature
        def __new__(cls, *_: Any, **settings: Any) -> Any:
            """Refuse settings that do not exist, and say how they are written here."""
            unknown = settings.keys() - SETTING_NAMES
            if unknown and cls.__init__ is Client.__init__:
                raise _habits.unknown_option(
                    unknown, SETTING_NAMES, cls.__name__, _habits.of_setting
                )
            return object.__new__(cls)

    def _habits_of(self, name: str) -> Mapping[str, str]:
        return {name: _where_set(self, name)} if name in SETTING_NAMES else _habits.of_client

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse to set a setting afterwards: it would change nothing.

        Raises:
            AttributeError: It is one.
        """
        if name in SETTING_NAMES:
            raise AttributeError(f"{name} cannot be set; {_where_set(self, name)}")
        object.__setattr__(self, name, value)

    def __reduce__(self) -> Never:
        """Refuse to be pickled or copied: connections belong to one process.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{type(self).__name__} cannot be pickled or copied, for it holds connections; "
            "make one where it is used (results can be pickled)"
        )

    def subscribe(self, callback: Subscriber) -> Unsubscribe:
        """Have `callback(event)` called for each event of this client.

        Returns:
            A function that ends the subscription.

        Raises:
            TypeError: `callback` cannot be called.
        """
        return self._state.events.subscribe(callback)

    def cancel_all(self) -> int:
        """Cancel everything in flight or queued; from any thread or widget callback.

        The calls raise `asyncio.CancelledError`, in trio too; the client stays usable.

        Returns:
            How many calls were told to end.
        """
        return self._state.cancel_all()

    def engine_report(self) -> str:
        """Say which engine served how many requests, and why."""
        rows = [
            f"{number:>7,}  {engine}: {reason}"
            for engine, reason, number in self._state.engines.report()
        ]
        return "\n".join(rows) or "nothing has been sent yet"

    @property
    def name(self) -> str:
        """What logs and events call this client."""
        return self._state.name

    @property
    def base_url(self) -> str:
        """What relative URLs are appended to; "" for none."""
        return self._state.defaults.base_url

    @property
    def headers(self) -> httpx.Headers:
        """The fields sent with every request; changes count from the next one on."""
        return self._state.defaults.headers

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookie jar: what servers have set and what was given with a domain.

        What is added without one, as by `update({"a": "b"})`, goes to each origin that is asked,
        and not on to where that redirects.
        """
        return self._state.defaults.jar

    def __repr__(self) -> str:
        from nbhttp.redaction import redact_url

        base = f" {redact_url(self.base_url)}" if self.base_url else ""
        return f"<{type(self).__name__} {self.name}{base}>"
