"""What the clients talk to: a real nginx, and a relay that adds latency."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_CONF = """
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/error.log;
daemon off;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    keepalive_timeout 600;
    sendfile on;
    default_type application/json;
    open_file_cache max=1000;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
    server {{ listen 127.0.0.1:{port} backlog=8192; root {root}/www; }}
    server {{
        listen 127.0.0.1:{tls_port} ssl backlog=8192;
        ssl_certificate {root}/cert.pem;
        ssl_certificate_key {root}/key.pem;
        ssl_session_cache shared:s:10m;
        root {root}/www;
    }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx.

    Attributes:
        url: Plain origin.
        tls_url: TLS origin.
        ca_file: What its certificate is signed by.
        root: The folder that both serve.
    """

    url: str
    tls_url: str
    ca_file: str
    root: Path


@contextlib.contextmanager
def nginx():
    """Run nginx over a folder with documents of several sizes."""
    import trustme

    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise SystemExit("benchmarks need nginx; on Debian: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "www").mkdir()
        (root / "www/1k.json").write_text(json_document(1024))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(root / "ca.pem")
        certificate = authority.issue_cert("127.0.0.1", "localhost")
        certificate.private_key_pem.write_to_path(root / "key.pem")
        for index, blob in enumerate(certificate.cert_chain_pems):
            blob.write_to_path(root / "cert.pem", append=index > 0)
        port, tls_port = free_port(), free_port()
        conf = root / "nginx.conf"
        conf.write_text(_CONF.format(root=root, port=port, tls_port=tls_port))
        process = subprocess.Popen([program, "-c", str(conf)], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield Nginx(
                f"http://127.0.0.1:{port}",
                f"https://127.0.0.1:{tls_port}",
                str(root / "ca.pem"),
                root / "www",
            )
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def delayed(url, delay_ms):
    """Run a relay to `url` that holds each answer back; yields its URL."""
    port = free_port()
    target = url.rpartition(":")[2]
    command = [sys.executable, "-m", "benchmarks.servers", str(port), target, str(delay_ms)]
    process = subprocess.Popen(command)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def json_document(size):
    """Text of `size` characters that is a JSON object."""
    record = {"id": 17, "name": "Rope Walk", "tags": ["a", "b"], "location": [54.34, 10.12]}
    text = json.dumps({"items": [record] * max((size - 60) // 85, 1)})
    return text.ljust(size)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    """Wait until something listens."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")


async def relay(port, target, delay_s):
    """Pass bytes on; those of the server `delay_s` later."""
    loop = asyncio.get_running_loop()

    async def serve(reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return

        async def up():
            while data := await reader.read(65536):
                up_writer.write(data)
                await up_writer.drain()
            up_writer.close()

        async def down():
            while data := await up_reader.read(65536):
                loop.call_later(delay_s, writer.write, data)
            loop.call_later(delay_s, writer.close)

        await asyncio.gather(up(), down(), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        import uvloop

        uvloop.run(relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
    os._exit(0)
