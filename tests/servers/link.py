"""A narrow link in front of a server: all connections together carry so many bytes a second."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

_PIECE_BYTES = 64 * 1024
_CREDIT_S = 0.2
"""Idle time that is made up for: that its threads wait for the CPU makes a link no slower."""


class Link:
    """Forwards connections to `port` on loopback; `open` counts them now, `most` at once."""

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self.open = self.most = 0
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0
        self._lock = threading.Lock()
        link = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with link._lock:
                    link.open += 1
                    link.most = max(link.most, link.open)
                with (
                    contextlib.suppress(OSError),  # either end may go at any time
                    socket.create_connection(("127.0.0.1", port)) as server,
                ):
                    upward = threading.Thread(target=_pump, args=(self.request, server))
                    upward.start()
                    while piece := server.recv(_PIECE_BYTES):
                        time.sleep(link._seconds_until_sent(len(piece)))
                        self.request.sendall(piece)
                with link._lock:
                    link.open -= 1

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _seconds_until_sent(self, size: int) -> float:
        """Take the line's next free moment for `size` bytes; how long it takes until then."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - _CREDIT_S) + size / self._bytes_per_s
            return max(0.0, self._free_at - now)

    @contextlib.contextmanager
    def running(self) -> Iterator["Link"]:
        """Forward for the block."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)
