"""The tests' own servers answer as the tests assume."""

import json
import urllib.request
from pathlib import Path

import httpx
import pytest
from servers import FaultServer, Nginx, TlsFiles

from nbhttp.testing import DemoServer


def test_fault_server_logs_what_it_received_and_resets(fault: FaultServer) -> None:
    """The log holds the requests since the last reset, and raw answers are sent as given."""
    httpx.get(f"{fault.url}/echo?a=1")
    assert [row["path"] for row in fault.log(path="/echo")] == ["/echo"]
    url = fault.raw("/raw", b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nhi")
    assert httpx.get(url).text == "hi"
    fault.reset()
    assert fault.log() == []
    assert fault.stats()["requests"] == 0


def test_fault_server_speaks_tls(fault: FaultServer) -> None:
    """Its TLS origin is trusted with the authority, and only with it."""
    with httpx.Client(verify=fault.tls.client_context()) as client:
        assert client.get(f"{fault.tls_url}/echo").status_code == 200
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(f"{fault.tls_url}/echo")


def test_httpbin_keeps_connections_alive(httpbin: str) -> None:
    """The real httpbin answers over HTTP/1.1."""
    with httpx.Client() as client:
        answer = client.get(f"{httpbin}/get", params={"a": "1"})
    assert answer.http_version == "HTTP/1.1"
    assert answer.json()["args"] == {"a": "1"}


def test_nginx_serves_a_folder(nginx: Nginx, tls: TlsFiles) -> None:
    """What a test writes into its folder is served, with ranges, plain and over HTTP/2."""
    (nginx.root / "ten.txt").write_text("0123456789")
    part = httpx.get(f"{nginx.url}/ten.txt", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.text) == (206, "234")
    with httpx.Client(http2=True, verify=tls.client_context()) as client:
        whole = client.get(f"{nginx.tls_url}/ten.txt")
    assert (whole.http_version, whole.text) == ("HTTP/2", "0123456789")
    assert "[warn]" not in Path(nginx.error_log).read_text()


def test_demo_fixture_serves_stations(demo: DemoServer) -> None:
    """The demo API answers under its URL."""
    with urllib.request.urlopen(f"{demo.url}/stations") as reply:
        assert json.load(reply)
