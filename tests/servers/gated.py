"""A server in the test's own process that stops half-way through a file until it is told to go on."""

import contextlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = 12_000_000
HALF = SIZE // 2
BODY = bytes(range(250)) * (SIZE // 250)
PATIENCE_S = 120


class GatedServer:
    """Serves `BODY` under any path, with ranges; half of it, then the rest when released.

    Answers to POST come when the whole request is there; nothing is read from it before the release.
    """

    def __init__(self) -> None:
        self._gate = threading.Event()
        gate = self._gate

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                start = int(found[1]) if found else 0
                stop = int(found[2]) + 1 if found and found[2] else SIZE
                self.send_response(206 if found else 200)
                if found:
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{SIZE}")
                self.send_header("Content-Length", str(stop - start))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", '"one"')
                self.end_headers()
                middle = min(max(HALF, start), stop)
                with contextlib.suppress(OSError):  # the client may have been stopped
                    self.wfile.write(BODY[start:middle])
                    self.wfile.flush()
                    gate.wait(PATIENCE_S)
                    self.wfile.write(BODY[middle:stop])

            def do_POST(self) -> None:
                gate.wait(PATIENCE_S)
                left = int(self.headers["Content-Length"])
                while left > 0:
                    left -= len(self.rfile.read(min(left, 65536)))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def release(self) -> None:
        """Let everything through from now on."""
        self._gate.set()

    def hold(self) -> None:
        """Stop half-way from now on."""
        self._gate.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator["GatedServer"]:
        """Serve for the block."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.release()
            self._server.shutdown()
            self._server.server_close()
            thread.join()
