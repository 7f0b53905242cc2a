"""A server in a thread that says on each connection exactly what the test wrote down."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

__all__ = ["END", "HEAD", "ScriptedServer", "chunk", "events_head", "running_scripted_server"]

Script = Sequence[bytes | str]
Scripts = Script | Callable[[str], Script]

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def events_head(*fields: str) -> bytes:
    """Return the head of an event stream that ends with its connection."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def _field(head: str, name: str) -> str | None:
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None


class ScriptedServer:
    """Plays one script for each connection; the last one again and again.

    A script is a list of bytes to send, "reset" (close with a TCP reset) and "hold" (keep the
    connection until the client closes it), or a function that makes one of the request's head. At its
    end the connection is closed.

    Attributes:
        heads: The heads of the requests received, oldest first.
    """

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.scripts: list[Scripts] = []
        self._changed = threading.Condition()
        self.left = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="scripted-server")
        self._thread.start()

    def play(self, *scripts: Scripts) -> str:
        """Set the scripts of the next connections; return the URL."""
        with self._changed:
            self.heads, self.scripts, self.left = [], list(scripts), 0
        return self.url + "/"

    def field(self, number: int, name: str) -> str | None:
        """Return a field of a request received."""
        return _field(self.heads[number], name)

    def wait_until_left(self, times: int = 1) -> None:
        """Return when clients have closed `times` connections that were on hold."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.left >= times, timeout=20)

    def close(self) -> None:
        """Stop."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=20)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _play(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            received = b""
            while b"\r\n\r\n" not in received:
                data = connection.recv(65536)
                if not data:
                    return
                received += data
            head, _, body = received.decode("latin-1").partition("\r\n\r\n")
            missing = int(_field(head, "content-length") or 0) - len(body)
            while missing > 0:  # what is left unread would turn the end into a reset
                missing -= len(connection.recv(65536))
            with self._changed:
                self.heads.append(head)
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            for step in script(head) if callable(script) else script:
                self._do(connection, step)

    def _do(self, connection: socket.socket, step: bytes | str) -> None:
        if isinstance(step, bytes):
            connection.sendall(step)
        elif step == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        else:
            assert step == "hold", step
            with contextlib.suppress(ConnectionError):
                while connection.recv(65536):
                    pass
            with self._changed:
                self.left += 1
                self._changed.notify_all()


@contextlib.contextmanager
def running_scripted_server() -> Iterator[ScriptedServer]:
    """Run the server in threads of this process."""
    server = ScriptedServer()
    try:
        yield server
    finally:
        server.close()
