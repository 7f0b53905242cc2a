"""What the network raises, in words that a person can act on."""

import errno
import socket
import ssl

import httpcore
import httpx
import pytest

from nbhttp._core.translate import connect_error, foreign_error, read_error, time_limit_error
from nbhttp._engines.base import Origin, Phases
from nbhttp.config import PhaseLimits
from nbhttp.errors import ConnectError, ProtocolError, TimeoutError, TooManyRedirectsError

HTTP = Origin("http", "h.example", 80)
HTTPS = Origin("https", "::1", 443)


def os_error(number: int) -> OSError:
    return OSError(number, "reason")


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "unknown host 'h.example'"),
        (UnicodeError("label too long"), "unknown host"),
        (os_error(errno.ECONNREFUSED), "connection refused by h.example:80"),
        (os_error(errno.ECONNRESET), "was reset while it was being opened"),
        (os_error(errno.EHOSTUNREACH), "no route to h.example:80"),
        (os_error(errno.ENETUNREACH), "the network of h.example:80"),
        (os_error(errno.ETIMEDOUT), "did not answer"),
        (os_error(errno.EMFILE), "no free file descriptor"),
        (os_error(errno.EACCES), "cannot connect to h.example:80: reason"),
        (ExceptionGroup("all", [os_error(errno.ECONNREFUSED)]), "connection refused"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), "TLS with h.example:80 failed"),
        (RuntimeError("odd"), "cannot connect to h.example:80: odd"),
    ],
)
def test_a_failed_connection_is_explained(exc: BaseException, text: str) -> None:
    """Each has its text and its hint, bare or wrapped by a library."""
    for wrapped in (exc, httpcore.ConnectError(exc), httpx.ConnectError("x")):
        if wrapped is not exc:
            wrapped.__cause__ = exc
        error = connect_error(wrapped, HTTP)
        if isinstance(exc, RuntimeError) and wrapped is not exc:
            continue
        assert isinstance(error, ConnectError)
        assert text in str(error)
        assert error.hint


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("unable to get local issuer certificate", "verify='/path/ca.pem'"),
        ("self-signed certificate", "server's own certificate"),
        ("self-signed certificate in certificate chain", "verify='/path/ca.pem'"),
        ("certificate has expired", "has run out"),
        ("Hostname mismatch, certificate is not valid for 'x'", "another name than '::1'"),
        ("IP address mismatch, certificate is not valid for '::1'", "another name than '::1'"),
    ],
)
def test_an_untrusted_certificate_is_explained(reason: str, hint: str) -> None:
    """What to do depends on why; verify=False is not the advice."""
    exc = ssl.SSLCertVerificationError(1, reason)
    exc.verify_message = reason
    error = connect_error(exc, HTTPS)
    assert f"the TLS certificate of [::1]:443 is not trusted: {reason}" in str(error)
    assert hint in (error.hint or "")
    assert "verify=False" not in (error.hint or "")


@pytest.mark.parametrize("phase", ["queue", "connect", "tls", "send", "wait", "receive"])
def test_a_limit_names_its_phase(phase: str) -> None:
    """How many seconds, while what."""
    error = time_limit_error(1.5, phase)
    assert str(error).startswith("the limit of 1.5 s passed while ")
    assert error.hint


@pytest.mark.parametrize("library", [httpcore, httpx])
def test_foreign_exceptions_become_ours(library) -> None:
    """Both libraries' trees; what is neither is left alone."""
    limits = PhaseLimits(1, 2, 3)

    def translated(exc: BaseException, running: str = "wait") -> BaseException | None:
        return foreign_error(exc, HTTP, Phases(running=running), 7, limits)

    assert type(translated(library.ReadTimeout("x"))) is TimeoutError
    assert "limit of 2 s" in str(translated(library.ReadTimeout("x")))
    assert "limit of 1 s" in str(translated(library.ConnectTimeout("x"), "connect"))
    assert "limit of 3 s" in str(translated(library.WriteTimeout("x"), "send"))
    assert "free connection" in str(translated(library.PoolTimeout("x")))
    assert "proxy refused" in str(translated(library.ProxyError("407")))
    assert type(translated(library.ConnectError("x"))) is ConnectError
    assert type(translated(library.ReadError("x"))) is ConnectError
    assert "after 7 bytes" in str(translated(library.ReadError("x"), "receive"))
    assert type(translated(library.RemoteProtocolError("bad"))) is ProtocolError
    assert type(translated(library.LocalProtocolError("bad"))) is ProtocolError
    assert type(translated(library.UnsupportedProtocol("bad"))) is ProtocolError
    assert translated(ValueError("a bug")) is None
    assert translated(KeyboardInterrupt()) is None


def test_too_many_redirects_of_a_transport() -> None:
    """Httpx's own error, from a custom transport."""
    error = foreign_error(httpx.TooManyRedirects("many"), HTTP, Phases())
    assert type(error) is TooManyRedirectsError


def test_received_bytes_are_not_quoted() -> None:
    """h11 quotes what it refuses, which may be a cookie."""
    exc = httpcore.RemoteProtocolError("illegal header line: bytearray(b'Set-Cookie: sid=s3cret')")
    error = foreign_error(exc, HTTP, Phases(running="receive"))
    assert "s3cret" not in str(error)
    assert "illegal header line" in str(error)


def test_a_broken_connection_says_how_far_it_came() -> None:
    """Before the answer, or in the middle of it."""
    assert "before answering" in str(read_error(None, Phases(running="wait")))
    reset = read_error(ConnectionResetError(), Phases(running="receive"), 1234)
    assert "reset the connection in the middle of the answer, after 1,234 bytes" in str(reset)


def test_an_alert_after_the_handshake_is_a_tls_error() -> None:
    """TLS 1.3 refuses a missing client certificate only then."""
    exc = httpcore.ReadError("x")
    exc.__cause__ = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] alert")
    error = foreign_error(exc, HTTPS, Phases(running="wait"))
    assert "TLS with [::1]:443 failed" in str(error)
