"""A narrow link in front of a server: all connections together carry so many bytes a second."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

_PIECE_BYTES = 64 * 1024


class Link:
    """Forwards connections to `port` on loopback; `open` counts them now, `most` at once."""

    def __init__(self, port: int, bytes_per_s: float) -> None:
        self.open = self.most = 0
        counting, sending = threading.Lock(), threading.Lock()
        link = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with counting:
                    link.open += 1
                    link.most = max(link.most, link.open)
                with (
                    contextlib.suppress(OSError),  # either end may go at any time
                    socket.create_connection(("127.0.0.1", port)) as server,
                ):
                    upward = threading.Thread(target=_pump, args=(self.request, server))
                    upward.start()
                    while piece := server.recv(_PIECE_BYTES):
                        with sending:
                            time.sleep(len(piece) / bytes_per_s)
                        self.request.sendall(piece)
                with counting:
                    link.open -= 1

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

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
