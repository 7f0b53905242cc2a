"""TLS contexts: built once per setting and ALPN list, and shared by everything that has them."""

from __future__ import annotations

import os
import ssl
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nbhttp.errors import ConfigError

if TYPE_CHECKING:
    from nbhttp.types import CertTypes, VerifyTypes

__all__ = ["context_for"]


def context_for(
    verify: VerifyTypes, cert: CertTypes | None, alpn: tuple[str, ...]
) -> ssl.SSLContext:
    """Return the context for these settings.

    Args:
        verify: True trusts what the operating system trusts; False trusts anybody; a path is a CA
            file or folder; a context is used as it is.
        cert: A client certificate: a PEM file with its key, or (certificate, key[, password]).
        alpn: Protocols to offer (RFC 7301). Part of what a context is shared by, since an engine
            sets its own on the context it is given.

    Raises:
        ConfigError: A file cannot be read as a certificate.
    """
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            _load_client_certificate(verify, cert)
        return verify
    trust = verify if isinstance(verify, bool) else os.fspath(verify)
    return _build(trust, cert, alpn, _environment())


def _environment() -> tuple[str | None, str | None]:
    """The variables by which OpenSSL itself is pointed to another trust store."""
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@lru_cache(maxsize=32)
def _build(
    trust: bool | str,
    cert: CertTypes | None,
    alpn: tuple[str, ...],
    environment: tuple[str | None, str | None],
) -> ssl.SSLContext:
    del environment  # part of the key only: OpenSSL reads it while the store is loaded
    context = _trusting(trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(alpn))
    if cert is not None:
        _load_client_certificate(context, cert)
    return context


def _trusting(trust: bool | str) -> ssl.SSLContext:
    if trust is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if trust is True:
        return _system_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if os.path.isdir(trust):  # noqa: PTH112 - text from the user
            context.load_verify_locations(capath=trust)
        else:
            context.load_verify_locations(cafile=trust)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"verify={trust!r} holds no CA certificate in PEM form: {exc}") from exc
    return context


def _system_context() -> ssl.SSLContext:
    """The operating system's trust store, corporate CAs included.

    truststore asks macOS and Windows for each certificate. On Linux the store is a file, which it
    would load anew for every connection (40 ms); it is loaded once here.
    """
    if sys.platform in {"darwin", "win32"}:
        import truststore  # pyright: ignore[reportMissingImports] - absent elsewhere

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if not context.cert_store_stats()["x509_ca"] and not _has_ca_folder():
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _has_ca_folder() -> bool:
    """Whether OpenSSL's folder of hashed certificates, read on demand, has any."""
    folder = ssl.get_default_verify_paths().capath
    return folder is not None and any(os.scandir(folder))


def _load_client_certificate(context: ssl.SSLContext, cert: CertTypes) -> None:
    chain: Any = (cert,) if isinstance(cert, str) else cert
    if not isinstance(chain, tuple) or not all(isinstance(part, str) for part in chain):
        raise TypeError(
            f"cert takes a PEM file, or (certificate, key[, password]), not {type(cert).__name__}"
        )
    try:
        context.load_cert_chain(*chain)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cert={chain[0]!r} cannot be loaded: {exc}") from exc
