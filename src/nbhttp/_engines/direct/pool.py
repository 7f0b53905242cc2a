"""Keeps idle connections for the next request to their origin."""

import asyncio
from time import perf_counter

from nbhttp._engines.direct.connection import Connection

__all__ = ["Pool"]


class Pool:
    """Open connections of one loop, and those of them that are idle, latest used first.

    It waits for nothing: whether there may be another connection is the gate's decision.

    Args:
        loop: The loop that the connections belong to.
        expiry: Seconds after which an idle connection is closed.
        max_idle: Most idle connections kept.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expiry: float, max_idle: int) -> None:
        self._loop = loop
        self._expiry = expiry
        self._max_idle = max_idle
        self._open: set[Connection] = set()
        self._idle: dict[object, list[Connection]] = {}  # each list oldest first, never empty
        self._idle_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Count a connection that was just made."""
        if connection.is_open:
            self._open.add(connection)

    def take(self, key: object) -> Connection | None:
        """Return the connection to `key` that was used last; None when none is idle."""
        while (line := self._idle.get(key)) is not None:
            connection = line.pop()
            self._idle_count -= 1
            if not line:
                del self._idle[key]
            if connection.is_open and perf_counter() - connection.idle_since < self._expiry:
                return connection
            connection.abort()
        return None

    def put(self, connection: Connection) -> None:
        """End the connection's exchange and keep it, when another may follow."""
        if not connection.release():
            return
        if self._max_idle <= 0:
            connection.abort()
            return
        connection.idle_since = perf_counter()
        line = self._idle.get(connection.key)
        if line is None:
            self._idle[connection.key] = [connection]
        else:
            line.append(connection)
        self._idle_count += 1
        if self._idle_count > self._max_idle:
            self._close_oldest()
        if self._timer is None:
            self._timer = self._loop.call_later(self._expiry, self._close_expired)

    def make_room(self) -> None:
        """Close the oldest idle connection when there are as many open ones as may be kept."""
        if self._idle_count and len(self._open) >= self._max_idle:
            self._close_oldest()

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is lost."""
        self._open.discard(connection)
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)
        line = self._idle.get(connection.key)
        if line is not None and connection in line:
            self._drop(connection)

    async def aclose(self) -> None:
        """Abort every connection and see each one's end."""
        self.discard_all()
        if self._open:
            self._emptied = self._loop.create_future()
            await self._emptied

    def discard_all(self) -> None:
        """Abort every connection, also when the loop has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()
        self._idle_count = 0
        for connection in tuple(self._open):
            connection.discard()

    def _close_oldest(self) -> None:
        oldest = min((line[0] for line in self._idle.values()), key=lambda c: c.idle_since)
        self._drop(oldest)
        oldest.abort()

    def _close_expired(self) -> None:
        self._timer = None
        limit = perf_counter() - self._expiry
        for line in tuple(self._idle.values()):
            for connection in [c for c in line if c.idle_since <= limit]:
                self._drop(connection)
                connection.abort()
        if self._idle:
            oldest = min(line[0].idle_since for line in self._idle.values())
            self._timer = self._loop.call_later(max(oldest - limit, 0.001), self._close_expired)

    def _drop(self, connection: Connection) -> None:
        line = self._idle[connection.key]
        line.remove(connection)
        self._idle_count -= 1
        if not line:
            del self._idle[connection.key]
