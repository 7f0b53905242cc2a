"""TLS as people meet it: private CAs, wrong names, old certificates, client certificates, HTTP/2."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from servers import FaultServer, Nginx, TlsFiles

import nbhttp

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def tls_server(context: ssl.SSLContext, host: str = "127.0.0.1") -> Iterator[str]:
    """Answer "ok" to every request on a thread; give the URL."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), raw:
                raw.settimeout(5)
                with context.wrap_socket(raw, server_side=True) as sock:
                    while b"\r\n\r\n" not in sock.recv(65536):
                        pass
                    subject = (sock.getpeercert() or {}).get("subjectAltName", ())
                    body = repr(subject).encode()
                    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ")
                    sock.sendall(b"%d\r\n\r\n%b" % (len(body), body))

    thread = threading.Thread(target=serve)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"https://{shown}:{listener.getsockname()[1]}"
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def server_context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


async def test_a_private_ca_is_trusted_when_given(make_client, fault: FaultServer) -> None:
    """By file, by folder, by context: the same answer."""
    context = ssl.create_default_context(cafile=str(fault.ca_file))
    for verify in (str(fault.ca_file), fault.ca_file, context):
        r = await make_client(verify=verify).get(fault.tls_url + "/echo")
        assert r.success, r.error
    assert (await make_client(verify=False).get(fault.tls_url + "/echo")).success


async def test_an_unknown_ca_is_not_trusted(client, fault: FaultServer) -> None:
    """The hint says how to trust it, and does not begin with verify=False."""
    r = await client.get(fault.tls_url + "/echo")
    assert type(r.exception) is nbhttp.ConnectError
    assert "is not trusted: " in (r.error or "")
    assert "verify='/path/ca.pem'" in (r.hint or "")
    assert "verify=False" not in (r.hint or "")
    assert fault.log() == []


async def test_a_certificate_for_another_host(make_client, tls: TlsFiles) -> None:
    """The message names the mismatch."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.wrong_host_cert_file, tls.wrong_host_key_file)
    with tls_server(context) as url:
        client = make_client(verify=str(tls.ca_file))
        r = await client.get(url)
        assert type(r.exception) is nbhttp.ConnectError
        assert "certificate is for another name than '127.0.0.1'" in (r.hint or "")
        r = await client.get(url, extensions={"sni_hostname": "wrong.example"})
        assert r.success, r.error
        await client.aclose()


async def test_an_expired_certificate(make_client) -> None:
    """The hint points to the server's operator, and the clock."""
    ca = trustme.CA()
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    leaf = ca.issue_cert("127.0.0.1", not_after=yesterday)
    with tls_server(server_context(leaf)) as url:
        trusting = ssl.create_default_context()
        ca.configure_trust(trusting)
        r = await make_client(verify=trusting).get(url)
        assert "expired" in (r.error or "")
        assert "has run out" in (r.hint or "")


async def test_a_self_signed_certificate(make_client, tmp_path: Path) -> None:
    """A certificate that is its own authority: trust that very one."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = tmp_path / "ca.pem"
    ca.private_key_pem.write_to_path(str(path))
    ca.cert_pem.write_to_path(str(path), append=True)
    context.load_cert_chain(path)
    with tls_server(context) as url:
        r = await make_client().get(url)
        assert "self-signed" in (r.error or "").replace("self signed", "self-signed")
        assert "verify='/path/cert.pem'" in (r.hint or "")


async def test_client_certificates(make_client, tls: TlsFiles, tmp_path: Path) -> None:
    """A server that asks for one gets it; without it, the hint says so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    context.load_verify_locations(tls.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with tls_server(context) as url:
        client = make_client(verify=str(tls.ca_file), cert=str(tls.client_cert_file))
        r = await client.get(url)
        assert "client@example.org" in r.text
        mine = ssl.create_default_context(cafile=str(tls.ca_file))
        r = await make_client(verify=mine, cert=str(tls.client_cert_file)).get(url)
        assert "client@example.org" in r.text
        r = await make_client(verify=str(tls.ca_file)).get(url)
        assert isinstance(r.exception, nbhttp.RequestError)
        assert r.hint
        await client.aclose()


async def test_ipv6_loopback(make_client) -> None:
    """Literal IPv6 hosts work, over TLS too."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    ca = trustme.CA()
    try:
        with tls_server(server_context(ca.issue_cert("::1")), "::1") as url:
            trusting = ssl.create_default_context()
            ca.configure_trust(trusting)
            r = await make_client(verify=trusting).get(url)
            assert r.success, r.error
            assert (r.peer or "").startswith("[::1]:")
    except OSError:
        pytest.skip("IPv6 loopback is not configured")


async def test_http2_is_spoken_where_offered(nginx: Nginx) -> None:
    """`http2=True` negotiates it by ALPN; without, HTTP/1.1 on the same port."""
    (nginx.root / "two.json").write_text('{"a": 1}')
    for http2, version in ((True, "HTTP/2"), (False, "HTTP/1.1")):
        options = {"http2": http2, "verify": str(nginx.ca_file), "trust_env": False}
        async with nbhttp.AsyncHttpClient(**options) as client:
            for _ in range(3):
                r = await client.get(nginx.tls_url + "/two.json")
                assert r.json() == {"a": 1}, r.error
                assert r.http_version == version
            assert (await client.get(nginx.tls_url + "/none")).status_code == 404
            assert (await client.head(nginx.tls_url + "/two.json")).success
            assert (await client.get(nginx.url + "/two.json")).http_version == "HTTP/1.1"
            assert (await client.get(nginx.tls_url + "/gzip/two.json")).json() == {"a": 1}


async def test_both_engines_speak_http1_beside_http2(make_client, nginx: Nginx) -> None:
    """A context that another client uses for HTTP/2 still offers HTTP/1.1 here."""
    (nginx.root / "two.json").write_text('{"a": 1}')
    context = ssl.create_default_context(cafile=str(nginx.ca_file))
    async with nbhttp.AsyncHttpClient(http2=True, verify=context, trust_env=False) as two:
        assert (await two.get(nginx.tls_url + "/two.json")).http_version == "HTTP/2"
        r = await make_client(verify=context).get(nginx.tls_url + "/two.json")
        assert r.http_version == "HTTP/1.1", r.error


async def test_the_wrong_protocol_on_the_port(make_client, nginx: Nginx) -> None:
    """https:// to a plain port says so."""
    r = await make_client().get(nginx.url.replace("http", "https"))
    assert type(r.exception) is nbhttp.ConnectError
    assert "try http://" in (r.hint or "")
    r = await make_client().get(nginx.tls_url.replace("https", "http"))
    assert r.status_code == 400
