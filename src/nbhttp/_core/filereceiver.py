"""Receives a download into a `.part` file that may be resumed, and gives it its name."""

import contextlib
import errno
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from nbhttp._core.answers import Facts, Ruling, StartOverError, Verdict, rule
from nbhttp._core.asking import Answer
from nbhttp._core.committing import Commit, ThreadCommitter
from nbhttp._core.crew import LEAST_BYTES, Crew
from nbhttp._core.digests import Checksum, Hashes, stated_digests
from nbhttp._core.download_job import Job, Setting
from nbhttp._core.filesink import FileSink
from nbhttp._core.hashing import FollowingHash
from nbhttp._core.partfile import Part
from nbhttp._core.ranges import Range
from nbhttp._core.receiving import Tally, check_digests, decoder_for, undoing
from nbhttp._core.retry import http_date
from nbhttp._core.segments import MIN_SPLIT_BYTES, Stream, Streams
from nbhttp._core.sidecar import Sidecar
from nbhttp._core.validators import Validators
from nbhttp.errors import ChecksumError, DownloadError, ProtocolError, RequestError

__all__ = ["FileReceiver", "disk_error", "exists_error"]

_NOTE_BYTES = 2 * 1024 * 1024
_NOTE_PERIOD_S = 0.02
_SYNC_PERIOD_S = 5.0
_WRITE_PERIOD_S = 0.05
_WRITE_BYTES = 32 * 1024 * 1024

Ask = Callable[[Range | None, Sequence[tuple[bytes, str]]], Awaitable[Answer]]


class FileReceiver:
    """A `Receiver` that writes a file.

    Args:
        job: What is wanted.
        setting: What it has from its batch.
        tally: How the download stands.
        ask: Asks for a further part, beside the main answer.
    """

    def __init__(
        self,
        job: Job,
        setting: Setting,
        tally: Tally,
        ask: Ask,
    ) -> None:
        self._job = job
        self._manner = job.manner
        self._setting = setting
        self._tally = tally
        self._ask = ask
        self.may_resume = True
        self._part: Part | None = None
        self._sidecar: Sidecar | None = None
        self._streams: Streams | None = None
        self._hash: FollowingHash | None = None
        self._facts: Facts | None = None
        self._stated: list[Checksum] = []  # of the whole file, by the answer that began it
        self._is_mixed = False  # bytes of more than one answer
        self._coded = 0  # bytes of a coded answer that came
        self._broke = False  # in the middle of a file that was thought too small to be resumed
        self._noted_bytes = 0
        self._noted_at = 0.0

    # What is there

    @property
    def part(self) -> Part | None:
        """The file, once its name is known."""
        return self._part

    @property
    def received(self) -> int:
        """Bytes that are there; of a coded answer, bytes that came."""
        if self._streams is not None:
            return self._streams.received
        return self._coded if self._sidecar is None else self._sidecar.done.size

    @property
    def can_resume(self) -> bool:
        """Whether what is there would be gone on with by another run."""
        sidecar = self._sidecar
        return sidecar is not None and sidecar.can_resume

    @property
    def connections(self) -> int:
        """Connections at work."""
        return 1 if self._streams is None else max(1, self._streams.active)

    def adopt(self, part: Part) -> None:
        """Take a file whose lock is held, with what an earlier run left."""
        self._part = part
        found = part.load(self._job.identity)
        if found is not None:
            found.open_end()  # it may have been stopped just before it got its name
        if found is None or not found.can_resume:
            return
        self._sidecar = found
        self._tally.resumed_from = found.done.size
        self._tally.total = found.total

    def wanted(self) -> Range | None:
        """Return the first bytes that are missing; see `Receiver.wanted`."""
        sidecar = self._sidecar
        if sidecar is None or not self.may_resume or not sidecar.can_resume:
            return None
        if sidecar.total is None:
            return (sidecar.done.front, None) if sidecar.done.front else None
        start, stop = sidecar.done.gaps(sidecar.total)[0]  # there is one: see `open_end`
        return (start, None if stop == sidecar.total else stop)

    def conditions(self) -> Sequence[tuple[bytes, str]]:
        """Return If-Range (RFC 9110 section 13.1.5)."""
        validator = None if self._sidecar is None else self._sidecar.validators.for_if_range
        return [] if validator is None else [(b"If-Range", validator)]

    def judge(self, answer: Answer, wanted: Range | None) -> Ruling:
        """Decide what an answer means for what is there."""
        sidecar = self._sidecar
        if wanted is None or sidecar is None:
            return rule(answer.facts)
        return rule(answer.facts, wanted, sidecar.validators, sidecar.total)

    async def drop(self) -> None:
        """Forget what is there."""
        await self._stop_hashing()
        if self._part is not None:
            self._part.discard()
        self._sidecar = self._streams = None
        self._tally.resumed_from = 0
        self._is_mixed = False
        self._coded = 0

    async def leave(self) -> None:
        """Keep on disk what can be resumed, and nothing else; let the next one in."""
        try:
            await self._stop_hashing()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        part, sidecar = self._part, self._sidecar
        if part is None:
            return
        if part.fd is not None:
            self._keep_note()
            if sidecar is None or not sidecar.can_resume:
                part.discard()
        part.unlock()

    # Receiving

    async def prepare(self, answer: Answer, ruling: Ruling, start: int) -> None:  # noqa: ARG002 - the protocol's
        """Drop what is of another version, and refuse what cannot fit; see `Receiver.prepare`."""
        self._facts = answer.facts
        self._tally.total = ruling.total
        if ruling.verdict is Verdict.WHOLE:
            if self._sidecar is not None:
                await self.drop()
            self._stated = [] if answer.facts.codings else _of_content(answer.facts)
        self._coded = 0  # of what is not resumed more is no progress: it starts over each time
        if not self._is_small(answer, ruling):  # else writing it tells as soon
            self._check_space(ruling.total)

    async def receive(self, answer: Answer, ruling: Ruling, start: int) -> None:
        """Take an answer's body; see `Receiver.receive`."""
        facts = answer.facts
        if self._is_small(answer, ruling):
            try:
                await self._receive_small(answer)
            except RequestError:
                self._broke = True
                raise
            return
        if facts.codings:
            await self._receive_coded(answer)
            return
        await self._open(facts, ruling)
        failure = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_synced)
            group.start_soon(self._keep_writing)
            try:
                await self._receive_streams(answer, ruling, start)
            except Exception as exc:  # noqa: BLE001 - raised below, as it is
                failure = exc
            group.cancel_scope.cancel()
        self._keep_note()
        if failure is not None:
            if self._sidecar is not None:
                self._sidecar.open_end()
            raise failure
        await self.complete()

    def _is_small(self, answer: Answer, ruling: Ruling) -> bool:
        """Whether it brings a whole file that is not worth resuming."""
        is_whole = ruling.verdict is Verdict.WHOLE and not answer.facts.codings
        return is_whole and not self._broke and (ruling.total or MIN_SPLIT_BYTES) < MIN_SPLIT_BYTES

    async def _open(self, facts: Facts, ruling: Ruling) -> None:
        """Make the file ready for what comes."""
        part = self._held
        if self._sidecar is None:
            self._sidecar = Sidecar(
                self._job.identity, facts.validators, ruling.total, part.target.name
            )
        sidecar = self._sidecar
        sidecar.total = ruling.total
        is_resumed = sidecar.done.size > 0
        self._is_mixed = self._is_mixed or is_resumed
        await _in_thread(partial(part.open, sidecar, keep=is_resumed))
        self._streams = Streams(sidecar.done, ruling.total)
        self._start_hashing(self._expected(facts))

    @property
    def _held(self) -> Part:
        assert self._part is not None  # noqa: S101 - adopted before anything is received
        return self._part

    def _check_space(self, total: int | None) -> None:
        """Refuse at once what cannot fit."""
        if total is None or not hasattr(os, "statvfs"):
            return
        done = 0 if self._sidecar is None else self._sidecar.done.size
        info = os.statvfs(self._held.path.parent)
        free = info.f_bavail * info.f_frsize
        if info.f_blocks and total - done > free:
            raise disk_error(
                f"{total - done:,} bytes are to come and {free:,} are free",
                repr(str(self._held.path)),
            )

    async def _receive_streams(self, answer: Answer, ruling: Ruling, start: int) -> None:
        streams, sidecar = self._streams, self._sidecar
        assert streams is not None and sidecar is not None  # noqa: S101, PT018 - made by _open
        first = self._make_stream(start, ruling.stop)
        crew = Crew(
            streams,
            sidecar.validators,
            self._ask_beside,
            self._make_stream,
            self._segments(answer.facts),
        )
        await crew.run(answer.live, first)
        if streams.total is None:
            streams.total = sidecar.total = first.position
        if streams.is_incomplete:
            raise ProtocolError("the connection closed early")

    def _make_stream(self, start: int, stop: int | None) -> Stream:
        streams = self._streams
        assert streams is not None  # noqa: S101 - made by _open
        fd = self._held.fd
        assert fd is not None  # noqa: S101 - likewise
        stream = Stream(fd, start, stop, self._on_bytes)
        streams.begin(stream)
        self._tally.segments = max(self._tally.segments, streams.active)
        return stream

    async def _ask_beside(self, wanted: Range) -> Answer:
        self._is_mixed = True
        return await self._ask(wanted, self.conditions())

    def _segments(self, facts: Facts) -> int | None:
        """Return how many connections may fetch parts; None is to be found out on the way."""
        wanted, streams, sidecar = self._manner.segments, self._streams, self._sidecar
        if wanted == 1 or streams is None or sidecar is None or streams.total is None:
            return 1
        if sidecar.validators.for_if_range is None or not self.may_resume:
            return 1
        if wanted is not None:
            return wanted
        is_sure = sidecar.validators.is_strong and facts.takes_ranges
        return None if is_sure and streams.total - streams.received >= LEAST_BYTES else 1

    def _on_bytes(self, size: int) -> None:
        """Count what came, and note from time to time what is there."""
        self._tally.fetched += size
        self._noted_bytes += size
        streams = self._streams
        if self._hash is not None and streams is not None:
            self._hash.advance(streams.done.front)
        if self._noted_bytes < _NOTE_BYTES or streams is None:
            return
        now = time.monotonic()
        if now - self._noted_at < _NOTE_PERIOD_S:
            return
        self._noted_bytes, self._noted_at = 0, now
        with contextlib.suppress(OSError):  # a little more is fetched again, that is all
            self._held.note(streams.done)

    def _keep_note(self) -> None:
        """Take over what the streams brought, also into the sidecar."""
        streams, sidecar = self._streams, self._sidecar
        if streams is None or sidecar is None:
            return
        sidecar.done = streams.done
        self._streams = None
        with contextlib.suppress(OSError):
            self._held.note(sidecar.done)

    async def _keep_synced(self) -> None:
        """From time to time, have what is there survive a power cut."""
        while True:
            await anyio.sleep(_SYNC_PERIOD_S)
            if self._streams is not None:
                with contextlib.suppress(OSError):
                    await self._held.sync(self._streams.done)

    async def _keep_writing(self) -> None:
        """Have the disk write along, so that little is left to be synced at the end."""
        begun = 0
        while True:
            await anyio.sleep(_WRITE_PERIOD_S)
            front = 0 if self._streams is None else self._streams.done.front
            if front - begun >= _WRITE_BYTES:
                with contextlib.suppress(OSError):
                    await _in_thread(partial(self._held.start_writing, begun, front))
                begun = front

    async def _receive_small(self, answer: Answer) -> None:
        """Take a small file in memory and write it at once; a break starts it over."""
        pieces = []
        async for piece in answer.pieces():
            pieces.append(piece)
            self._coded += len(piece)
            self._tally.fetched += len(piece)
        expected = self._expected(answer.facts)
        part = self._held

        def write() -> None:
            hashes = Hashes(self._algorithms(expected))
            for piece in pieces:
                hashes.update(piece)
            self._tally.digests = hashes.digests()
            self._tally.is_verified = check_digests(expected, self._tally.digests)
            part.write_whole(pieces)

        await self._name(self._coded, answer.facts.validators, write)

    async def _receive_coded(self, answer: Answer) -> None:
        """Decode while writing. What is counted comes over the network; it cannot be resumed."""
        part = self._held
        sidecar = Sidecar(self._job.identity, Validators(), None, part.target.name)
        fd = await _in_thread(partial(part.open, sidecar, keep=False))
        sink = FileSink(fd)
        decoder = decoder_for(answer)
        assert decoder is not None  # noqa: S101 - it is coded
        raw_expected = _of_content(answer.facts)
        raw = Hashes(each.algorithm for each in raw_expected)
        plain = Hashes(self._algorithms(self._expected(None)))
        try:
            async for piece in answer.pieces():
                self._tally.fetched += len(piece)
                self._coded += len(piece)
                raw.update(piece)
                with undoing(answer):
                    for decoded in decoder.feed(piece):
                        plain.update(decoded)
                        waiting = sink.write(memoryview(decoded))
                        if waiting is not None:
                            await waiting
            with undoing(answer):
                decoder.flush()
        finally:
            await sink.aclose()
        self._tally.digests = plain.digests()
        is_verified = check_digests(raw_expected, raw.digests())
        is_verified |= check_digests(self._expected(None), self._tally.digests)
        self._tally.is_verified = is_verified
        await self._name(sink.written, answer.facts.validators)

    # Finishing

    async def complete(self) -> None:
        """Check all that can be checked and give the file its name."""
        part, sidecar = self._held, self._sidecar
        assert sidecar is not None  # noqa: S101 - something is there
        size = sidecar.done.front if sidecar.total is None else sidecar.total
        if part.fd is None:
            await _in_thread(partial(part.open, sidecar, keep=True))
        expected = self._expected(self._facts)
        self._start_hashing(expected)
        if self._hash is not None:
            self._tally.digests = await self._hash.digests(size)
            self._hash = None
            await self._check(expected)
        await self._name(size, sidecar.validators)

    async def _check(self, expected: Sequence[Checksum]) -> None:
        """Compare the digests.

        Raises:
            StartOverError: One differs, and the bytes are of several answers.
            ChecksumError: One differs although all came in one.
        """
        try:
            self._tally.is_verified = check_digests(expected, self._tally.digests)
        except ChecksumError as exc:
            if self._is_mixed:
                raise StartOverError("the digest of what was put together is wrong") from exc
            await self.drop()
            raise

    async def _name(
        self, size: int, validators: Validators, write: Callable[[], None] | None = None
    ) -> None:
        """Give the file its name, in a thread, after `write`."""
        part = self._held
        # The sync of a large file would hold up all the small ones of its group.
        committer = ThreadCommitter() if write is None else self._setting.committer
        try:
            await committer.run(self._commit(part, size, validators, write))
        except FileExistsError as exc:
            raise exists_error(part, "has other bytes than the server's file") from exc
        self._tally.size = self._tally.total = size

    def _commit(
        self, part: Part, size: int, validators: Validators, write: Callable[[], None] | None
    ) -> Commit:
        if write is not None:
            write()
        self._tally.mtime_ns = part.seal(
            size, identity=self._job.identity, validators=validators, mtime=self._mtime()
        )
        yield
        part.settle()
        yield
        mtime_ns = part.name(overwrite=self._manner.overwrite, syncs_name=self._setting.syncs_name)
        if mtime_ns is not None:
            self._tally.mtime_ns = mtime_ns
        part.unlock()

    def _mtime(self) -> float | None:
        if not self._manner.keep_mtime or self._facts is None:
            return None
        modified = http_date(self._facts.headers.get("last-modified"))
        return None if modified is None else modified.timestamp()

    # Digests

    def _expected(self, facts: Facts | None) -> list[Checksum]:
        """Return the digests that the finished file must have."""
        expected = [] if self._job.checksum is None else [self._job.checksum]
        expected += self._stated
        if facts is not None and facts.status == 206:
            stated = stated_digests(facts.headers).representation
            expected += [] if stated is None else [stated]
        return expected

    def _algorithms(self, expected: Sequence[Checksum]) -> set[str]:
        algorithms = {each.algorithm for each in expected}
        return algorithms | {"sha256"} if self._manner.hashes_sha256 else algorithms

    def _start_hashing(self, expected: Sequence[Checksum]) -> None:
        algorithms = self._algorithms(expected)
        if algorithms and self._hash is None:
            self._hash = FollowingHash(self._held.path, algorithms)

    async def _stop_hashing(self) -> None:
        hasher, self._hash = self._hash, None
        if hasher is not None:
            await hasher.stop()


def _of_content(facts: Facts) -> list[Checksum]:
    """Return what a whole answer states about its content."""
    stated = stated_digests(facts.headers)
    found = stated.representation or stated.content
    return [] if found is None else [found]


async def _in_thread(function: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(function)


def exists_error(part: Part, how: str) -> DownloadError:
    """Return the error for a file that is in the way."""
    return DownloadError(
        f"{str(part.target)!r} exists and {how}; it was not touched",
        hint="pass overwrite=True to replace it, or choose another name",
    )


def disk_error(reason: str, where: str, cause: OSError | None = None) -> DownloadError:
    """Return the error for a file that cannot be written."""
    is_full = cause is None or cause.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    what = "the disk is full" if is_full else "the file cannot be written"
    hint = "free some space and run it again to resume" if is_full else None
    error = DownloadError(f"{what}: {reason[:1].lower()}{reason[1:]} ({where})", hint=hint)
    error.__cause__ = cause
    return error
