"""What one demo server remembers: its records, counters and sessions."""

import copy
import hashlib
from collections import Counter
from typing import Any

from starlette.requests import Request

from nbhttp._demo.data import COLLECTIONS, Record, make_records

__all__ = ["DemoState", "state_of"]


class DemoState:
    """The mutable side of one server; used on its loop, reset from anywhere between requests."""

    def __init__(self) -> None:
        self.digests: dict[tuple[str, int], bytes] = {}  # of files, by name and size
        self.reset()

    def reset(self) -> None:
        """Put back the records and forget counters, limits and sessions."""
        self.records: dict[str, dict[int, Record]] = {
            name: {record["id"]: copy.deepcopy(record) for record in make_records(name)}
            for name in COLLECTIONS
        }
        self.attempts: Counter[str] = Counter()
        self.buckets: dict[str, tuple[float, float]] = {}
        self.sessions: dict[str, str] = {}
        self._logins = 0

    def all(self, name: str) -> list[Record]:
        """Return the records of a collection by id."""
        return list(self.records[name].values())

    def add(self, name: str, fields: dict[str, Any]) -> Record:
        """Store a new record under the next free id."""
        records = self.records[name]
        record = {"id": max(records, default=0) + 1, **fields}
        records[record["id"]] = record
        return record

    def log_in(self, user: str) -> str:
        """Open a session and return its cookie's value; the same ones in the same order."""
        self._logins += 1
        session = hashlib.sha256(f"nbhttp demo session {self._logins}".encode()).hexdigest()[:24]
        self.sessions[session] = user
        return session


def state_of(request: Request) -> DemoState:
    """Return the state of the server that received the request."""
    state = request.app.state.demo
    assert isinstance(state, DemoState)  # noqa: S101 - set in app.py
    return state
