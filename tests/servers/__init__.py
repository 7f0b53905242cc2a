"""The servers that the tests talk to: each starts on loopback and is a context manager.

`running_fault_server`, `running_httpbin` and `running_nginx` are separate processes, so that
their work and their warnings stay out of the process under test.
"""

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import trustme

HERE = Path(__file__).parent


@dataclass(frozen=True)
class TlsFiles:
    """Certificates for `127.0.0.1` and `localhost`, signed by a private authority."""

    ca_file: Path
    """The authority: what a client must trust."""
    cert_file: Path
    """The server's chain."""
    key_file: Path
    """The server's private key."""
    wrong_host_cert_file: Path
    """A chain for another host name, from the same authority."""
    wrong_host_key_file: Path
    client_cert_file: Path
    """A client's certificate and key in one file, from the same authority."""

    def client_context(self) -> ssl.SSLContext:
        """Return a client-side context that trusts the authority alone."""
        return ssl.create_default_context(cafile=str(self.ca_file))


def make_tls_files(folder: Path) -> TlsFiles:
    """Write an authority and its certificates into `folder`."""
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    wrong_host = authority.issue_cert("wrong.example")
    client = authority.issue_cert("client@example.org")
    files = TlsFiles(
        ca_file=folder / "ca.pem",
        cert_file=folder / "server.pem",
        key_file=folder / "server.key",
        wrong_host_cert_file=folder / "wrong-host.pem",
        wrong_host_key_file=folder / "wrong-host.key",
        client_cert_file=folder / "client.pem",
    )
    authority.cert_pem.write_to_path(str(files.ca_file))
    for leaf, chain, key in (
        (server, files.cert_file, files.key_file),
        (wrong_host, files.wrong_host_cert_file, files.wrong_host_key_file),
    ):
        for blob in leaf.cert_chain_pems:
            blob.write_to_path(str(chain), append=True)
        leaf.private_key_pem.write_to_path(str(key))
    client.private_key_and_cert_chain_pem.write_to_path(str(files.client_cert_file))
    return files


class FaultServer:
    """A running `faultserver.py`; `python tests/servers/faultserver.py --list` names its paths."""

    def __init__(self, ports: dict[str, int], tls: TlsFiles) -> None:
        self.ports = ports
        self.tls = tls
        self.ca_file = tls.ca_file
        self.url = f"http://127.0.0.1:{ports['port']}"
        self.other_url = f"http://127.0.0.1:{ports['other_port']}"
        self.tls_url = f"https://127.0.0.1:{ports['tls_port']}"
        self.blackhole_url = f"http://127.0.0.1:{ports['blackhole_port']}"
        self.refuse_url = f"http://127.0.0.1:{ports['refuse_port']}"

    def __repr__(self) -> str:
        return f"<FaultServer {self.url}>"

    def control(self, path: str, /, *, content: bytes | None = None, **query: Any) -> Any:
        """Call one of the control paths (`/_…`); a POST when there is content."""
        target = f"{self.url}{path}?{urlencode(query)}"
        with urllib.request.urlopen(
            urllib.request.Request(target, data=content), timeout=30
        ) as reply:
            return json.load(reply)

    def reset(self) -> None:
        """Clear its log, counters, statistics, tokens and raw answers."""
        self.control("/_reset", content=b"")

    def log(self, *, path: str = "", since: int = 0, server: str | None = None) -> list[Any]:
        """Return the requests received, oldest first; `path` is a prefix."""
        chosen = {} if server is None else {"server": server}
        rows = self.control("/_log", path=path, since=since, **chosen)
        assert isinstance(rows, list)
        return rows

    def wait_for(self, claim: Callable[[list[Any]], bool], *, path: str = "") -> None:
        """Return when `claim(log)` holds; fail when it does not within 30 s."""
        give_up_at = time.monotonic() + 30
        while not claim(rows := self.log(path=path)):
            assert time.monotonic() < give_up_at, rows[-5:]
            time.sleep(0.005)  # the log is in another process

    def stats(self) -> dict[str, Any]:
        """Return connection and in-flight maxima and request counts."""
        stats = self.control("/_stats")
        assert isinstance(stats, dict)
        return stats

    def raw(self, path: str, answer: bytes, /, **options: Any) -> str:
        """Make `answer` the exact bytes sent for `path`; return the URL.

        Options: `keep=1` leaves the connection open, `step=N` with `delay=MS` sends in pieces,
        `reset=1` ends with a TCP reset.
        """
        self.control("/_raw", content=answer, path=path, **options)
        return self.url + path

    def sha256(self, seed: str, size: int) -> str:
        """Return the digest of `/file/SEED/SIZE`."""
        return str(self.control("/_hash", seed=seed, size=size)["sha256"])


@contextlib.contextmanager
def running_process(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a server as a child process and end it."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


def first_json_line(process: subprocess.Popen[str]) -> Any:
    """Read the line in which a server says where it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{process.args} ended with {process.wait(timeout=10)} before it listened"
    return json.loads(line)


@contextlib.contextmanager
def running_fault_server(tls: TlsFiles, *, tls_delay_s: float = 0.0) -> Iterator[FaultServer]:
    """Run the fault server; `tls_delay_s` slows its TLS handshakes."""
    command = [sys.executable, str(HERE / "faultserver.py"), "--port", "0"]
    command += ["--tls", str(tls.cert_file), str(tls.key_file), "--tls-delay", str(tls_delay_s)]
    with running_process(command) as process:
        yield FaultServer(first_json_line(process), tls)


@contextlib.contextmanager
def running_httpbin() -> Iterator[str]:
    """Run the real httpbin (HTTP/1.1, keep-alive, a thread for each connection); give its URL."""
    command = [sys.executable, "-W", "ignore", str(HERE / "httpbinserver.py")]
    with running_process(command, stderr=subprocess.DEVNULL) as process:
        yield first_json_line(process)["url"]


@dataclass(frozen=True)
class Nginx:
    """A running nginx that serves the folder `root`."""

    url: str
    tls_url: str
    """The same folder over TLS, HTTP/1.1 and HTTP/2."""
    root: Path
    ca_file: Path
    """What a client must trust."""
    error_log: Path


NGINX_CONF = """
daemon off;
worker_processes 1;
{user}
pid {work}/nginx.pid;
error_log {work}/error.log warn;
events {{ worker_connections 512; }}
http {{
    limit_conn_zone $server_port zone=all:1m;
    access_log off;
    default_type application/octet-stream;
    types {{
        text/html html; text/plain txt; text/csv csv; application/json json;
        image/png png; application/gzip gz;
    }}
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    client_max_body_size 64m;
    sendfile on;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{tls_port} ssl http2;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        root {root};
        location / {{ autoindex on; }}
        location /gzip/ {{ alias {root}/; gzip on; gzip_min_length 1; gzip_types *; }}
        location /slow/ {{ alias {root}/; limit_rate 64k; }}
        location /paced/ {{ alias {root}/; limit_rate 8m; }}
        location /paced-twice/ {{ alias {root}/; limit_rate 8m; limit_conn all 2; }}
        location = /nothing {{ return 204; }}
        location = /moved {{ return 301 /; }}
    }}
}}
"""


def find_nginx() -> str | None:
    """Return the path of nginx, also where /usr/sbin is not on PATH; None when it is missing."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


def listening_socket() -> socket.socket:
    """Return a socket that listens on a free loopback port, with room for a burst."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.set_inheritable(True)
    return listener


@contextlib.contextmanager
def running_nginx(program: str, folder: Path, tls: TlsFiles) -> Iterator[Nginx]:
    """Run nginx with everything it writes inside `folder`.

    nginx inherits sockets that listen already (its environment variable NGINX), so no port can be
    taken in between and no one has to wait for it.
    """
    import pwd  # Unix only, like nginx here

    root, work = folder / "root", folder / "work"
    root.mkdir()
    work.mkdir()
    with listening_socket() as plain, listening_socket() as secure:
        port, tls_port = plain.getsockname()[1], secure.getsockname()[1]
        conf = folder / "nginx.conf"
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        conf.write_text(
            NGINX_CONF.format(
                user=user,
                work=work,
                root=root,
                port=port,
                tls_port=tls_port,
                cert=tls.cert_file,
                key=tls.key_file,
            )
        )
        sockets = (plain.fileno(), secure.fileno())
        command = [program, "-e", str(work / "error.log"), "-p", str(work), "-c", str(conf)]
        environment = os.environ | {"NGINX": "".join(f"{number};" for number in sockets)}
        with running_process(command, pass_fds=sockets, env=environment):
            yield Nginx(
                url=f"http://127.0.0.1:{port}",
                tls_url=f"https://127.0.0.1:{tls_port}",
                root=root,
                ca_file=tls.ca_file,
                error_log=work / "error.log",
            )
