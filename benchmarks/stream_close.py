"""How long after a stream is left the server sees its connection closed, in milliseconds.

    python -m benchmarks.stream_close

For `break`, an exception in the loop's body, the task's cancellation and SIGINT, over each engine.
The aim is below one second; one run gave 0.1 to 2.2 ms everywhere, on a loaded machine.
"""

import asyncio
import contextlib
import os
import queue
import signal
import socket
import threading
import time

import nbhttp

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)
RECORD = b'8\r\n{"a":1}\n\r\n'


class Server:
    """Sends a record every 20 ms, and notes when its peer closes."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.closed: queue.Queue[float] = queue.Queue()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.recv(65536)
            connection.sendall(HEAD)
            for work in (self._send, self._watch):
                threading.Thread(target=work, args=(connection,), daemon=True).start()

    def _send(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(RECORD)
                time.sleep(0.02)

    def _watch(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass
        self.closed.put(time.monotonic())
        connection.close()

    def report(self, label: str, left: float) -> None:
        print(f"{label:28}{(self.closed.get(timeout=60) - left) * 1000:8.1f} ms", flush=True)


async def measure_async(server: Server, engine: str) -> None:
    async def leave_by_break() -> None:
        async for _ in client.ndjson(server.url):
            break

    async def leave_by_error() -> None:
        with contextlib.suppress(LookupError):
            async for _ in client.ndjson(server.url):
                raise LookupError

    async def stay() -> None:
        async for _ in client.ndjson(server.url):
            pass

    async with nbhttp.AsyncHttpClient(engine=engine) as client:
        for label, leave in (("break", leave_by_break), ("exception", leave_by_error)):
            await leave()
            left = time.monotonic()
            await asyncio.to_thread(server.report, f"{engine}, async, {label}", left)
        task = asyncio.create_task(stay())
        await asyncio.sleep(0.2)
        left = time.monotonic()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.to_thread(server.report, f"{engine}, async, cancel", left)


def measure_sync(server: Server, engine: str) -> None:
    with nbhttp.HttpClient(engine=engine) as client:
        for _ in client.ndjson(server.url):
            break
        server.report(f"{engine}, sync, break", time.monotonic())
        with contextlib.suppress(LookupError):
            for _ in client.ndjson(server.url):
                raise LookupError
        server.report(f"{engine}, sync, exception", time.monotonic())
        signalled: list[float] = []

        def interrupt() -> None:
            time.sleep(0.3)
            signalled.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with contextlib.suppress(KeyboardInterrupt):
            for _ in client.ndjson(server.url):
                pass
        server.report(f"{engine}, sync, SIGINT", signalled[0])


def main() -> None:
    server = Server()
    for engine in ("direct", "httpx"):
        asyncio.run(measure_async(server, engine))
        measure_sync(server, engine)


if __name__ == "__main__":
    main()
