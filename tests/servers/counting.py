"""A server in a thread that knows at every moment what is open and what is under way."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

__all__ = ["CountingServer", "running_counting_server"]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class CountingServer:
    """Counts connections and requests, and lets a test wait for a count.

    Paths: `/ok` answers at once; `/slow?ms=N` after N milliseconds; `/held` when it is released;
    `/stall` never; `/half` sends a head and a part of the body, then nothing; `/drip` sends a piece
    every 10 ms for ever; `/sink` reads so slowly that a large upload takes long.

    Attributes:
        open: Connections open now.
        opened: Connections opened so far.
        requests: Paths asked for so far, in order.
        in_flight: Requests under way; one ends with its answer or its connection.
        max_in_flight: The most there were at once.
        drops: Pieces that `/drip` sent so far.
    """

    def __init__(self) -> None:
        self.url = ""
        self.open = self.opened = self.in_flight = self.max_in_flight = self.drops = 0
        self.requests: list[str] = []
        self.transports: set[asyncio.Transport] = set()
        self.held: set[_Connection] = set()
        self.loop: asyncio.AbstractEventLoop
        self._changed = threading.Condition()

    def reset(self) -> None:
        """Forget what has been, but not what is open."""
        with self._changed:
            self.opened = self.drops = 0
            self.max_in_flight, self.requests = self.in_flight, []

    def release(self) -> None:
        """Answer the requests for `/held` that have come."""

        def answer() -> None:
            while self.held:
                self.held.pop().end(OK)

        self.loop.call_soon_threadsafe(answer)

    def wait_for(self, claim: Callable[["CountingServer"], bool]) -> None:
        """Return when `claim(server)` holds; fail when it does not within 30 s."""
        with self._changed:
            held = self._changed.wait_for(lambda: claim(self), timeout=30)
        assert held, f"{self.open=} {self.in_flight=} {self.requests[-20:]=}"

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change counts in the block and tell those who wait."""
        with self._changed:
            yield
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._changed.notify_all()


class _Connection(asyncio.Protocol):
    def __init__(self, server: CountingServer) -> None:
        self.server = server
        self.transport: asyncio.Transport
        self.received = b""
        self.is_busy = False
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.transports.add(transport)
        with self.server.changing():
            self.server.open += 1
            self.server.opened += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.server.transports.discard(self.transport)
        self.server.held.discard(self)
        with self.server.changing():
            self.server.open -= 1
            if self.is_busy:
                self.server.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        if self.is_busy:
            return  # the body of a request that is never answered
        self.received += data
        while not self.is_busy and (end := self.end_of_request()):
            head = self.received.partition(b"\r\n\r\n")[0].decode("latin-1")
            self.received = self.received[end:]
            self.begin(head)

    def end_of_request(self) -> int:
        """Bytes of the first request received, body included; 0 when it is not whole."""
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return 0
        start = len(head) + len(end)
        if b" /sink" in head:
            return len(self.received)
        if b"chunked" in head.lower():
            last = b"0\r\n\r\n"
            return start + body.index(last) + len(last) if last in body else 0
        length = re.search(rb"content-length: (\d+)", head.lower())
        size = start + (int(length[1]) if length else 0)
        return size if len(self.received) >= size else 0

    def begin(self, head: str) -> None:
        self.is_busy = True
        target = head.split(" ")[1]
        url = urlsplit(target)
        with self.server.changing():
            self.server.requests.append(target)
            self.server.in_flight += 1
        if url.path == "/ok":
            self.end(OK)
        elif url.path == "/slow":
            delay_s = int(parse_qs(url.query)["ms"][0]) / 1000
            self.timer = asyncio.get_running_loop().call_later(delay_s, self.end, OK)
        elif url.path == "/held":
            self.server.held.add(self)
        elif url.path == "/half":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfew")
        elif url.path == "/drip":
            self.transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.drip()
        elif url.path == "/sink":
            self.sip()
        else:
            assert url.path == "/stall", url.path

    def drip(self) -> None:
        self.transport.write(b"4\r\ndrop\r\n")
        with self.server.changing():
            self.server.drops += 1
        self.timer = asyncio.get_running_loop().call_later(0.01, self.drip)

    def sip(self) -> None:
        self.transport.resume_reading()  # for one turn of the loop, so that a close is noticed
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self.transport.pause_reading)
        self.timer = loop.call_later(0.005, self.sip)

    def end(self, answer: bytes) -> None:
        with self.server.changing():
            self.server.in_flight -= 1
        self.is_busy = False
        self.transport.write(answer)


@contextlib.contextmanager
def running_counting_server() -> Iterator[CountingServer]:
    """Run the server in a thread of this process."""
    server = CountingServer()
    ready = threading.Event()
    stop: Callable[[], object] = ready.set

    async def serve() -> None:
        nonlocal stop
        server.loop = loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        stop = lambda: loop.call_soon_threadsafe(stopped.set)  # noqa: E731
        listener = await loop.create_server(
            lambda: _Connection(server), "127.0.0.1", 0, backlog=2048
        )
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        ready.set()
        async with listener:
            await stopped.wait()
            for transport in list(server.transports):
                transport.abort()
            while server.transports:
                await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="counting-server")
    thread.start()
    assert ready.wait(timeout=60)
    try:
        yield server
    finally:
        stop()
        thread.join(timeout=20)
