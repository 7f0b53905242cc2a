"""TLS contexts are built once per setting, and wrong files are refused."""

import ssl
from pathlib import Path

import pytest
from servers import TlsFiles

from nbhttp._core.tls import context_for
from nbhttp.errors import ConfigError

ALPN = ("http/1.1",)


def test_a_context_is_shared_by_equal_settings(tls: TlsFiles) -> None:
    """The same setting and ALPN list: the same object; another list: another one."""
    ca = str(tls.ca_file)
    assert context_for(ca, None, ALPN) is context_for(ca, None, ALPN)
    assert context_for(tls.ca_file, None, ALPN) is context_for(ca, None, ALPN)
    assert context_for(ca, None, ("h2", "http/1.1")) is not context_for(ca, None, ALPN)
    assert context_for(True, None, ALPN) is context_for(True, None, ALPN)
    assert context_for(False, None, ALPN) is not context_for(True, None, ALPN)


def test_settings_mean_what_they_say(tls: TlsFiles) -> None:
    """True verifies against the system's store, False nobody, a context is used as it is."""
    strict = context_for(True, None, ALPN)
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.check_hostname
    assert strict.minimum_version >= ssl.TLSVersion.TLSv1_2
    loose = context_for(False, None, ALPN)
    assert loose.verify_mode is ssl.CERT_NONE
    mine = ssl.create_default_context()
    assert context_for(mine, None, ALPN) is mine
    cert = (str(tls.cert_file), str(tls.key_file))
    assert context_for(True, cert, ALPN) is context_for(True, cert, ALPN)


def test_another_trust_store_by_environment(monkeypatch: pytest.MonkeyPatch, tls: TlsFiles) -> None:
    """SSL_CERT_FILE counts at the time the client is made."""
    before = context_for(True, None, ALPN)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_file))
    after = context_for(True, None, ALPN)
    assert after is not before
    assert len(after.get_ca_certs()) == 1


def test_wrong_files_are_refused(tmp_path: Path, tls: TlsFiles) -> None:
    """The message names the file."""
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"bad\.pem' holds no CA certificate"):
        context_for(str(bad), None, ALPN)
    with pytest.raises(ConfigError, match=r"cert='.*bad\.pem' cannot be loaded"):
        context_for(str(tls.ca_file), str(bad), ALPN)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        context_for(True, (str(tls.cert_file), str(bad)), ALPN)
