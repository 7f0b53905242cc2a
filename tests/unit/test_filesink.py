"""The file sink: everything written in order, and the loop never stalled for long."""

import asyncio
import errno
import hashlib
import os
import threading
import time

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp._core import filesink
from nbhttp._core.filesink import FileSink
from nbhttp.errors import BodyTooLargeError

pytestmark = pytest.mark.anyio
BACKENDS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture
def target(tmp_path):
    """An open, empty file and its path."""
    path = tmp_path / "file"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    yield fd, path
    os.close(fd)


@pytest.fixture
def slow_disk(monkeypatch):
    """A disk that takes 30 ms a write, until the event is set."""
    real, is_fast = filesink._write_at, threading.Event()

    def slow(fd, data, offset):
        is_fast.wait(0.03)
        return real(fd, data, offset)

    monkeypatch.setattr(filesink, "_write_at", slow)
    return is_fast


async def put(sink, data):
    waiting = sink.write(memoryview(data))
    if waiting is not None:
        await waiting
    return waiting is not None


@given(pieces=st.lists(st.binary(max_size=50)), offset=st.integers(0, 100))
def test_pieces_land_one_behind_the_other(tmp_path_factory, pieces, offset):
    """The file holds what was written, at the offset; digest and counters agree."""
    path = tmp_path_factory.mktemp("sink") / "file"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    digest, sizes = hashlib.sha256(), []
    try:
        sink = FileSink(fd, offset, hasher=digest, on_bytes=sizes.append)
        for piece in pieces:
            assert sink.write(memoryview(piece)) is None
        assert os.pread(fd, 10_000, offset) == b"".join(pieces)
    finally:
        os.close(fd)
    assert sink.written == sum(sizes) == sum(map(len, pieces))
    assert digest.digest() == hashlib.sha256(b"".join(pieces)).digest()


def test_partial_writes_are_completed(target, monkeypatch):
    """The system may take less than it is given."""
    real = filesink._write_at
    monkeypatch.setattr(filesink, "_write_at", lambda fd, data, at: real(fd, data[:3], at))
    sink = FileSink(target[0])
    sink.write(memoryview(b"hello world"))
    assert target[1].read_bytes() == b"hello world"
    assert sink.written == 11


def test_more_than_the_limit_is_refused(target):
    """Up to the limit all is taken; a piece above it is not written at all."""
    sink = FileSink(target[0], limit=5)
    sink.write(memoryview(b"hello"))
    with pytest.raises(BodyTooLargeError, match="5 bytes"):
        sink.write(memoryview(b"!"))
    assert target[1].read_bytes() == b"hello"


@BACKENDS
async def test_a_slow_disk_gets_a_thread_and_everything_still_arrives(
    target, slow_disk, anyio_backend
):
    """After one slow write the rest is queued; the queue is bounded; the order holds."""
    digest = hashlib.sha256()
    sink = FileSink(target[0], hasher=digest)
    pieces = [bytes([n]) * 700_000 for n in range(20)]
    waits = 0
    for number, piece in enumerate(pieces):
        if waits:
            slow_disk.set()
        waits += await put(sink, piece)
        if number == 1:
            assert any(t.name == "nbhttp-writer" for t in threading.enumerate())
    await sink.aclose()
    assert waits
    assert target[1].read_bytes() == b"".join(pieces)
    assert sink.written == 20 * 700_000
    assert digest.digest() == hashlib.sha256(b"".join(pieces)).digest()
    assert not any(t.name == "nbhttp-writer" for t in threading.enumerate())


async def test_the_loop_keeps_ticking_on_a_slow_disk(target, slow_disk):
    """While the writer thread is stuck, other tasks run."""
    stuck, go_on = threading.Event(), threading.Event()
    real = filesink._write_at
    sink = FileSink(target[0])
    await put(sink, b"x")  # slow: from here on by thread

    def hang(fd, data, offset):
        stuck.set()
        go_on.wait()
        return real(fd, data, offset)

    filesink._write_at = hang  # undone with slow_disk's monkeypatch
    ticks = 0

    async def fill():
        for _ in range(40):
            await put(sink, bytes(512 * 1024))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fill)
        while ticks < 100 or not stuck.is_set():
            await asyncio.sleep(0)
            ticks += 1
        assert sink.written == 1
        go_on.set()
    await sink.aclose()
    assert sink.written == 1 + 40 * 512 * 1024


@BACKENDS
async def test_a_full_disk_surfaces_as_the_error_it_is(target, monkeypatch, anyio_backend):
    """ENOSPC reaches the caller, written at once or by the thread."""

    def full(fd, data, offset):
        raise OSError(errno.ENOSPC, "No space left on device")

    real = filesink._write_at
    monkeypatch.setattr(filesink, "_write_at", full)
    with pytest.raises(OSError, match="No space left"):
        FileSink(target[0]).write(memoryview(b"x"))

    def first_slow(fd, data, offset):
        time.sleep(0.03)
        monkeypatch.setattr(filesink, "_write_at", full)
        return real(fd, data, offset)

    monkeypatch.setattr(filesink, "_write_at", first_slow)
    sink = FileSink(target[0])
    await put(sink, b"good")

    async def fill():
        for _ in range(100):
            await put(sink, bytes(512 * 1024))

    with pytest.raises(OSError, match="No space left") as caught:
        await fill()
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        await sink.aclose()
    assert sink.written == 4


@BACKENDS
async def test_cancelling_aclose_drops_the_queue_but_never_a_write_under_way(
    target, slow_disk, anyio_backend
):
    """After aclose no thread writes to the descriptor, cancelled or not."""
    sink = FileSink(target[0])
    await put(sink, b"x")
    for _ in range(10):
        sink.write(memoryview(bytes(512 * 1024)))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sink.aclose()
    assert scope.cancelled_caught
    assert not any(t.name == "nbhttp-writer" for t in threading.enumerate())
    assert sink.written < 10 * 512 * 1024


async def test_aclose_without_a_slow_write_does_nothing(target):
    """The usual case has no thread to end."""
    sink = FileSink(target[0])
    sink.write(memoryview(b"abc"))
    await sink.aclose()
    assert target[1].read_bytes() == b"abc"
