"""Where the bytes of one download go: what a file and a file object have in common."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nbhttp._core.answers import Ruling
from nbhttp._core.asking import Answer
from nbhttp._core.digests import Checksum
from nbhttp._core.ranges import Range
from nbhttp._engines.decoding import Decoder, make_decoder
from nbhttp.errors import ChecksumError, DownloadError, ProtocolError

__all__ = ["Receiver", "Tally", "check_digests", "decoder_for", "undoing"]


@dataclass(slots=True)
class Tally:
    """How a download stands; the download and its receiver write it, the reporter reads it.

    Attributes:
        total: The size in bytes, as far as known.
        resumed_from: Bytes that were there from an earlier call.
        fetched: Body bytes that came over the network in this call.
        segments: Most connections at once.
        restarts: Why it started over.
        size: The size of the finished file; None while there is none.
        mtime_ns: When it was modified, in nanoseconds since 1970; None while there is none.
        is_verified: Whether a checksum or digest was compared, and is right.
        is_skipped: Whether the file was there already.
        digests: Of the finished file, by algorithm.
    """

    total: int | None = None
    resumed_from: int = 0
    fetched: int = 0
    segments: int = 1
    restarts: list[str] = field(default_factory=list)
    size: int | None = None
    mtime_ns: int | None = None
    is_verified: bool = False
    is_skipped: bool = False
    digests: Mapping[str, bytes] = field(default_factory=dict)


class Receiver(Protocol):
    """Takes the answers of one download until it is whole.

    Attributes:
        may_resume: Whether parts may be asked for; False once the server gave a wrong one.
    """

    may_resume: bool

    @property
    def received(self) -> int:
        """Bytes that are there; of a coded answer, bytes that came."""
        ...

    @property
    def connections(self) -> int:
        """Connections at work."""
        ...

    def wanted(self) -> Range | None:
        """Return the first bytes that are missing; None when the whole file is to be asked for."""

    def conditions(self) -> Sequence[tuple[bytes, str]]:
        """Return the fields that go with a range."""
        ...

    def judge(self, answer: Answer, wanted: Range | None) -> Ruling:
        """Decide what an answer means for what is there."""
        ...

    async def prepare(self, answer: Answer, ruling: Ruling, start: int) -> None:
        """Make ready for an answer's body, whose first byte is at `start` of the file.

        Raises:
            OSError: It cannot be written.
            ChangedError: It is to start over, and cannot.
        """

    async def receive(self, answer: Answer, ruling: Ruling, start: int) -> None:
        """Take the body of the answer that was prepared for and, once all is there, finish.

        Raises:
            RequestError: The answer broke; what came is kept.
            StartOverError: What is there may be of several versions.
            ChecksumError: The bytes are not those that were promised.
            OSError: They cannot be written.
        """

    async def complete(self) -> None:
        """Finish what is all there; raises as `receive`."""

    async def drop(self) -> None:
        """Forget what is there."""

    async def leave(self) -> None:
        """The download ends here, well or not: keep what can be resumed, and nothing else."""


def check_digests(expected: Iterable[Checksum], found: Mapping[str, bytes]) -> bool:
    """Compare digests; False when none was expected.

    Raises:
        ChecksumError: One differs.
    """
    is_verified = False
    for each in expected:
        digest = found[each.algorithm]
        if not each.matches(digest):
            raise ChecksumError(
                f"the {each.algorithm} should be {each.digest.hex()} (says {each.origin}) "
                f"and is {digest.hex()}",
                hint="the server's file is not the one that was meant, or was damaged on its way",
            )
        is_verified = True
    return is_verified


@contextlib.contextmanager
def undoing(answer: Answer) -> Iterator[None]:
    """Say of coded bytes that cannot be decoded that it is that, and no broken connection.

    Raises:
        DownloadError: They cannot: asking for the same again would bring the same.
    """
    try:
        yield
    except ProtocolError as exc:
        codings = ", ".join(answer.facts.codings)
        raise DownloadError(
            f"the file came with the content coding {codings}, which cannot be undone: {exc}",
            hint="the server should send it as it is: nbhttp asks for that (identity)",
        ) from exc


def decoder_for(answer: Answer) -> Decoder | None:
    """Return what undoes an answer's content codings; None when it has none."""
    codings = answer.facts.codings
    return make_decoder(list(codings)) if codings else None
