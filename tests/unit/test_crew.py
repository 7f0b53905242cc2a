"""The connections of one file: what is tried and given back leaves enough of them at work."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from nbhttp._core.answers import Facts, read_facts
from nbhttp._core.crew import LEAST_BYTES, Crew
from nbhttp._core.partfile import Validators
from nbhttp._core.ranges import Done, Range
from nbhttp._core.segments import Stream, Streams
from nbhttp._engines.base import Head

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


class Exchange:
    """Brings zeros, as many as the stream takes."""

    async def drain(self, stream: Stream) -> None:
        await anyio.sleep(0)  # the crew measures from here on
        stream.write(memoryview(bytes(stream.left)))


class Live:
    exchange = Exchange()

    async def aclose(self) -> None:
        pass


class Answer(NamedTuple):
    facts: Facts
    live: Any = Live()


class Watched(Streams):
    """Tells when connections are given back."""

    def __init__(self, done: Done, total: int) -> None:
        super().__init__(done, total)
        self.are_kept = anyio.Event()

    def keep(self, number: int) -> None:
        super().keep(number)
        self.are_kept.set()


async def test_a_worker_between_two_parts_stays_when_connections_are_given_back(tmp_path: Path):
    """What does not make it faster is given back; who waits for its next answer is no surplus."""
    holes = 8  # more than the workers that are tried
    total = LEAST_BYTES + 2 * holes * MIB
    streams = Watched(Done((n * MIB, (n + 1) * MIB) for n in range(1, 2 * holes, 2)), total)
    version = Validators('"1"')
    fd = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)

    async def ask(wanted: Range) -> Answer:
        await streams.are_kept.wait()
        start, stop = wanted
        fields = [(b"content-range", f"bytes {start}-{stop - 1}/{total}".encode())]
        return Answer(read_facts(Head(206, b"", "HTTP/1.1", [*fields, (b"etag", b'"1"')])))

    def make_stream(start: int, stop: int | None) -> Stream:
        stream = Stream(fd, start, stop, lambda _: None)
        streams.begin(stream)
        return stream

    try:
        crew = Crew(streams, version, ask, make_stream, None)
        await crew.run(Live(), make_stream(0, MIB))
    finally:
        os.close(fd)
    assert not streams.is_incomplete
