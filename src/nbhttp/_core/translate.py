"""Turns what the network, TLS, httpcore and httpx raise into nbhttp's errors.

The one place where third-party exceptions are named. Each function returns the error to raise;
callers write `raise translate.connect_error(exc, origin) from exc`.
"""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from nbhttp._engines.base import Authority, Origin, Phases
from nbhttp.config import PhaseLimits
from nbhttp.errors import (
    ConnectError,
    NbhttpError,
    ProtocolError,
    RequestError,
    TimeoutError,
    TooManyRedirectsError,
)

__all__ = ["connect_error", "foreign_error", "is_of_rest", "read_error", "time_limit_error"]

_PHASE_WORDS = {
    "queue": "waiting for a free connection",
    "connect": "connecting",
    "tls": "in the TLS handshake",
    "send": "sending the request",
    "wait": "waiting for the first byte of the answer",
    "receive": "receiving the answer",
}


_PROXY_HINT = (
    "check the proxy's address (proxy=, mounts=, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY); "
    "trust_env=False of a client leaves the environment's out"
)

_PROXY_TLS_HINT = (
    "where the proxy does not speak TLS itself, write its address with http://, not https://"
)


def time_limit_error(
    seconds: float | None, phase: str, proxy: Authority | None = None
) -> TimeoutError:
    """Say which limit passed and what was going on.

    Args:
        seconds: The limit; None when nobody knows it.
        phase: What was running, as in `Phases`.
        proxy: The proxy that it was running with; None for the target.
    """
    if proxy is not None:
        return _proxy_limit_error(seconds, phase, proxy)
    passed = "the time limit passed" if seconds is None else _limit_text(seconds)
    hints = {
        "queue": "raise max_connections, or httpx.Timeout(pool=…)",
        "connect": "check the address, the VPN and the proxy; the host may be down",
        "tls": "check that the port speaks TLS (https), and the network and proxy",
        "receive": "raise timeout=, or use stream_request() or download_file() for a long answer",
    }
    return TimeoutError(
        f"{passed} while {_PHASE_WORDS.get(phase, phase)}",
        hint=hints.get(phase, "raise timeout=, or try again later"),
    )


def _proxy_limit_error(seconds: float | None, phase: str, proxy: Authority) -> TimeoutError:
    passed = "the time limit passed" if seconds is None else _limit_text(seconds)
    doing = {
        "connect": "connecting to",
        "tls": "in the TLS handshake with",
        "send": "asking",
    }.get(phase, "waiting for an answer of")
    hint = _PROXY_TLS_HINT if phase == "tls" else _PROXY_HINT
    return TimeoutError(f"{passed} while {doing} {_proxy_name(proxy)}", hint=hint)


def is_of_rest(error: NbhttpError, spent: float, total: float | None) -> bool:
    """Whether `error` names what was left of a limit after earlier exchanges of the same call.

    The user knows the whole limit, and is told that.

    Args:
        error: What an engine raised.
        spent: Seconds that the earlier exchanges took; 0.0 for the first.
        total: Seconds that the engine was given; None for no limit.
    """
    return (
        spent > 0
        and total is not None
        and isinstance(error, TimeoutError)
        and error.phases is not None
        and error.message.startswith(_limit_text(total))
    )


def _limit_text(seconds: float) -> str:
    return f"the limit of {seconds:g} s passed"


class _Peer(NamedTuple):
    """What a connection was opened to."""

    host: str
    port: int
    is_proxy: bool

    @classmethod
    def of(cls, origin: Origin, proxy: Authority | None) -> "_Peer":
        host, port = (origin.host, origin.port) if proxy is None else proxy
        return cls(host, port, proxy is not None)

    @property
    def kind(self) -> str:
        return "proxy" if self.is_proxy else "host"

    @property
    def name(self) -> str:
        where = (self.host, self.port)
        return _proxy_name(where) if self.is_proxy else _authority(*where)

    def hint(self, of_target: str) -> str:
        """Return what to check, which for a target is `of_target`."""
        return _PROXY_HINT if self.is_proxy else of_target


def connect_error(
    exc: BaseException, origin: Origin, proxy: Authority | None = None
) -> RequestError:
    """Explain why no connection to `origin`, or to the `proxy` before it, came about."""
    peer = _Peer.of(origin, proxy)
    for cause in _chain(exc):
        if isinstance(cause, ssl.SSLCertVerificationError | ssl.CertificateError):
            return _certificate_error(cause, peer)
        if isinstance(cause, ssl.SSLError):
            return _tls_error(cause, peer)
        if isinstance(cause, socket.gaierror | UnicodeError):
            return ConnectError(
                f"unknown {peer.kind} {peer.host!r}: the name cannot be resolved",
                hint=peer.hint("check the spelling of the host and the network or VPN connection"),
            )
        if isinstance(cause, ExceptionGroup):
            return connect_error(cause.exceptions[0], origin, proxy)
        if isinstance(cause, OSError) and cause.errno is not None:
            return _address_error(cause, peer)
    reason = str(exc) or type(exc).__name__
    return ConnectError(
        f"cannot connect to {peer.name}: {reason}",
        hint=peer.hint("check the address and the network connection"),
    )


def read_error(exc: BaseException | None, phases: Phases, received: int = 0) -> RequestError:
    """Explain a connection that broke after it had been opened.

    Args:
        exc: What was raised; None when the peer simply closed.
        phases: The exchange's phases; `running` says how far it was.
        received: Bytes of the body that had come.
    """
    broken = any(isinstance(e, ConnectionResetError | BrokenPipeError) for e in _chain(exc))
    how = "reset" if broken else "closed"
    if phases.proxy is not None:
        return ConnectError(
            f"{_proxy_name(phases.proxy)} {how} the connection before answering", hint=_PROXY_HINT
        )
    if phases.running == "receive":
        return ProtocolError(
            f"the server {how} the connection in the middle of the answer, "
            f"after {received:,} bytes of the body",
            hint="try again; for a large body download_file() resumes where it stopped",
        )
    return ConnectError(
        f"the server {how} the connection before answering",
        hint="try again; if it stays, check that the port speaks the URL's scheme (http or https)",
    )


def foreign_error(
    exc: BaseException,
    origin: Origin,
    phases: Phases,
    received: int = 0,
    limits: PhaseLimits = PhaseLimits(),
) -> RequestError | None:
    """Translate what httpcore or httpx raised.

    Returns:
        None for what is not theirs: a programming error, or the caller's own exception.
    """
    import httpcore
    import httpx

    if isinstance(exc, httpcore.PoolTimeout | httpx.PoolTimeout):
        return time_limit_error(None, "queue")
    if isinstance(exc, httpcore.TimeoutException | httpx.TimeoutException):
        limit = _limit_of(phases.running, limits)
        return time_limit_error(limit, phases.running, phases.proxy)
    if isinstance(exc, httpcore.ProxyError | httpx.ProxyError):
        return ConnectError(
            f"the proxy refused the connection to {_authority(origin.host, origin.port)}: {exc}",
            hint="check the proxy's address and credentials (proxy=, HTTPS_PROXY)",
        )
    if isinstance(exc, httpcore.ConnectError | httpx.ConnectError):
        return connect_error(exc, origin, phases.proxy)
    if isinstance(exc, httpcore.RemoteProtocolError | httpx.RemoteProtocolError):
        return _protocol_error(exc, phases, received)
    if isinstance(exc, httpcore.NetworkError | httpx.NetworkError):
        return _network_error(exc, origin, phases, received)
    if isinstance(exc, httpx.TooManyRedirects):
        return TooManyRedirectsError(str(exc))
    if isinstance(
        exc,
        httpcore.LocalProtocolError
        | httpcore.ProtocolError
        | httpcore.UnsupportedProtocol
        | httpx.RequestError,
    ):
        return ProtocolError(str(exc) or type(exc).__name__)
    if type(exc).__module__.partition(".")[0] in {"h11", "h2"}:  # httpcore lets some through
        return ProtocolError(f"HTTP does not allow it: {exc}")
    return None


def _network_error(
    exc: BaseException, origin: Origin, phases: Phases, received: int
) -> RequestError:
    for cause in _chain(exc):
        if isinstance(cause, ssl.SSLError):
            return _tls_error(cause, _Peer.of(origin, phases.proxy))
    return read_error(exc, phases, received)


def _limit_of(phase: str, limits: PhaseLimits) -> float | None:
    if phase in {"connect", "tls"}:
        return limits.connect
    return limits.write if phase == "send" else limits.read


def _protocol_error(exc: BaseException, phases: Phases, received: int) -> RequestError:
    # h11 quotes the bytes that it refuses: they may hold a cookie.
    text = str(exc).partition(": bytearray(")[0]
    if "disconnected without sending" in text or "unexpectedly closed" in text:
        return read_error(None, phases, received)
    if "peer closed connection without sending complete message body" in text:
        return read_error(None, Phases(running="receive"), received)
    if phases.proxy is not None:
        return ProtocolError(
            f"{_proxy_name(phases.proxy)} does not answer as a proxy: {text}", hint=_PROXY_HINT
        )
    return ProtocolError(
        f"the answer is not valid HTTP: {text}",
        hint="check that the port speaks the URL's scheme; the server or a proxy may be broken",
    )


def _certificate_error(exc: ssl.SSLError, peer: _Peer) -> ConnectError:
    reason = getattr(exc, "verify_message", "") or str(exc)
    hint = (
        "if a company or private CA signed it, pass its file as verify='/path/ca.pem' "
        "or install it in the system's trust store"
    )
    if "Hostname mismatch" in reason or "IP address mismatch" in reason:
        hint = f"the certificate is for another name than {peer.host!r}; check the URL's host"
    elif "expired" in reason:
        hint = "the server's certificate has run out; its operator must renew it (or fix the clock)"
    elif "self" in reason and "signed" in reason and "chain" not in reason:
        hint = "save the server's own certificate and pass it as verify='/path/cert.pem'"
    return ConnectError(f"the TLS certificate of {peer.name} is not trusted: {reason}", hint=hint)


def _tls_error(exc: ssl.SSLError, peer: _Peer) -> ConnectError:
    reason = getattr(exc, "reason", None) or str(exc)  # absent where Python made the error
    hint = "the server and this machine agree on no TLS version or cipher"
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        hint = f"the server does not speak TLS on port {peer.port}; try http:// instead"
        if peer.is_proxy:  # HTTPS_PROXY is for https URLs; few proxies are spoken to over TLS
            hint = _PROXY_TLS_HINT
    elif "CERTIFICATE_REQUIRED" in reason or "ALERT_HANDSHAKE_FAILURE" in reason:
        hint = "the server may want a client certificate (cert=)"
    return ConnectError(f"TLS with {peer.name} failed: {reason}", hint=hint)


def _address_error(exc: OSError, peer: _Peer) -> ConnectError:
    where = peer.name
    texts = {
        errno.ECONNREFUSED: (
            f"connection refused by {where}",
            "nothing listens there: check the port, and that the server is running",
        ),
        errno.ECONNRESET: (
            f"the connection to {where} was reset while it was being opened",
            "check that the port speaks the URL's scheme (http or https)",
        ),
        errno.EHOSTUNREACH: (f"no route to {where}", "check the network or VPN connection"),
        errno.ENETUNREACH: (
            f"the network of {where} cannot be reached",
            "check the network or VPN connection",
        ),
        errno.ETIMEDOUT: (
            f"{where} did not answer the connection attempt",
            "the host may be down or behind a firewall",
        ),
        errno.EMFILE: (
            "this process has no free file descriptor for another connection",
            "lower max_connections, or raise the limit (ulimit -n)",
        ),
    }
    refused = "Connect call failed" in str(exc) or "Multiple exceptions" in str(exc)
    message, hint = texts.get(
        errno.ECONNREFUSED if refused and exc.errno not in texts else exc.errno or 0,
        (f"cannot connect to {where}: {exc.strerror or exc}", "check the address and the network"),
    )
    return ConnectError(message, hint=hint if exc.errno == errno.EMFILE else peer.hint(hint))


def _proxy_name(proxy: Authority) -> str:
    return f"the proxy {_authority(*proxy)}"


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield `exc` and what it was raised from, innermost last."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__
