"""Receives a download into the user's own file object."""

import io
from collections.abc import Sequence
from typing import Any

from nbhttp._core.answers import Ruling, rule
from nbhttp._core.asking import Answer
from nbhttp._core.callers import Caller
from nbhttp._core.digests import Hashes, stated_digests
from nbhttp._core.download_job import Job
from nbhttp._core.ranges import Range
from nbhttp._core.receiving import Tally, check_digests, decoder_for, undoing
from nbhttp._core.validators import Validators
from nbhttp.errors import ChangedError, ProtocolError, RequestError

__all__ = ["ObjectReceiver"]


class ObjectReceiver:
    """A `Receiver` that writes to a file object, where the call was made.

    Within one call it resumes; when it has to start over it goes back to where the object stood,
    if that can seek and truncate.

    Args:
        job: What is wanted.
        tally: How the download stands.
        caller: Where the user's code runs.
    """

    def __init__(self, job: Job, tally: Tally, caller: Caller) -> None:
        self._job = job
        self._tally = tally
        self._caller = caller
        self._file = job.destination.file
        self.may_resume = True
        self._origin: int | None = None
        self._written = 0
        self._validators = Validators()
        self._hashes = Hashes([])
        self._expected = [] if job.checksum is None else [job.checksum]

    @property
    def received(self) -> int:
        """Bytes written."""
        return self._written

    @property
    def connections(self) -> int:
        """One."""
        return 1

    def wanted(self) -> Range | None:
        """Return the rest, when the server can prove that it is of the same version."""
        if not self._written or not self.may_resume or self._validators.for_if_range is None:
            return None
        return (self._written, None)

    def conditions(self) -> Sequence[tuple[bytes, str]]:
        """Return If-Range (RFC 9110 section 13.1.5)."""
        validator = self._validators.for_if_range
        return [] if validator is None else [(b"If-Range", validator)]

    def judge(self, answer: Answer, wanted: Range | None) -> Ruling:
        """Decide what an answer means for what is there."""
        if wanted is None:
            return rule(answer.facts)
        return rule(answer.facts, wanted, self._validators, self._tally.total)

    async def prepare(self, answer: Answer, ruling: Ruling, start: int) -> None:
        """Go to where the body is to be; see `Receiver.prepare`."""
        if start == 0:
            await self._begin(answer)
        self._tally.total = ruling.total

    async def receive(self, answer: Answer, ruling: Ruling, start: int) -> None:  # noqa: ARG002 - the protocol's
        """Take an answer's body; see `Receiver.receive`."""
        decoder = decoder_for(answer)
        held = bytearray()
        try:
            async for piece in answer.pieces():
                self._tally.fetched += len(piece)
                with undoing(answer):
                    for each in [piece] if decoder is None else decoder.feed(piece):
                        held += each
                        whole = len(held) - len(held) % self._job.manner.chunk_size
                        if whole:
                            await self._write(bytes(memoryview(held)[:whole]))
                            del held[:whole]
        except RequestError:
            if held and decoder is None:
                await self._write(bytes(held))  # the rest is asked for from here
            raise
        if decoder is not None:
            with undoing(answer):
                decoder.flush()
        if held:
            await self._write(bytes(held))
        if decoder is None and self._written < (self._tally.total or 0):
            raise ProtocolError("the connection closed early")  # or a part of the rest came
        await self.complete()

    async def complete(self) -> None:
        """Compare the digests."""
        self._tally.digests = self._hashes.digests()
        self._tally.is_verified = check_digests(self._expected, self._tally.digests)
        self._tally.size = self._tally.total = self._written

    async def drop(self) -> None:
        """Ask for the whole next time; what was written is taken back then."""
        self._validators = Validators()

    async def leave(self) -> None:
        """The object is the user's; nothing is left to do."""

    async def _begin(self, answer: Answer) -> None:
        await self._rewind()
        facts = answer.facts
        self._written = 0
        self._validators = Validators() if facts.codings else facts.validators
        self._expected = [] if self._job.checksum is None else [self._job.checksum]
        stated = stated_digests(facts.headers)
        found = stated.representation or stated.content
        if found is not None and not facts.codings:
            self._expected.append(found)
        algorithms = {each.algorithm for each in self._expected}
        self._hashes = Hashes(
            algorithms | ({"sha256"} if self._job.manner.hashes_sha256 else set())
        )

    async def _rewind(self) -> None:
        """Go back to where the object stood, if anything was written.

        Raises:
            ChangedError: It cannot go back.
        """
        if not self._written:
            if self._origin is None:
                self._origin = await self._caller.block(_position, self._file)
            return
        if self._origin is None or not hasattr(self._file, "truncate"):
            raise self._stuck()
        try:
            await self._caller.block(_rewind, self._file, self._origin)
        except (OSError, ValueError) as exc:  # gzip's says that it can seek, but not back
            raise self._stuck() from exc

    def _stuck(self) -> ChangedError:
        return ChangedError(
            f"the download has to start over after {self._written:,} bytes, "
            "and the file object cannot go back",
            hint="pass a path, or a file object that can seek",
        )

    async def _write(self, block: bytes) -> None:
        await self._caller.block(_write_blocks, self._file, block, self._job.manner.chunk_size)
        self._hashes.update(block)
        self._written += len(block)


def _position(file: Any) -> int | None:
    """Return where a file object stands; None when it cannot seek."""
    seekable = getattr(file, "seekable", None)
    return int(file.tell()) if seekable is not None and seekable() else None


def _rewind(file: Any, position: int) -> None:
    file.seek(position)
    file.truncate()


def _write_blocks(file: Any, data: bytes, size: int) -> None:
    """Write `data` in blocks of `size` bytes, the last of which may be shorter."""
    for start in range(0, len(data), size):
        _write_all(file, data[start : start + size])


def _write_all(file: Any, block: bytes) -> None:
    """Write all of `block`, also to a raw file that takes less at once.

    Raises:
        OSError: It takes nothing.
    """
    left = block
    while left:
        count = file.write(left)
        if count is None and not isinstance(file, io.RawIOBase):
            return  # many a writer of the user's says nothing; a raw file says that it would block
        if not count or count < 0:
            taken = len(block) - len(left)
            raise OSError(f"it took {taken:,} of {len(block):,} bytes and then no more")
        left = left[count:]
