"""One download: from a URL to a whole, verified file under its name.

```
prepare    the lock, what an earlier run left, what is there already
attempt    ask (for the rest), judge the answer, receive, verify, name
again      after a failure: from where it stood, or from the start where versions may differ
```

Nothing gets its final name before it is complete and has passed every check.
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from nbhttp._core import events
from nbhttp._core.answers import StartOverError, Verdict
from nbhttp._core.asking import Answer, Asker, UsersError
from nbhttp._core.callers import Caller
from nbhttp._core.destination import check_target
from nbhttp._core.download_job import Job, Setting
from nbhttp._core.existing import Existing
from nbhttp._core.filenames import from_disposition, from_url, safe_name
from nbhttp._core.filereceiver import FileReceiver, disk_error, exists_error
from nbhttp._core.objectreceiver import ObjectReceiver
from nbhttp._core.partfile import Part
from nbhttp._core.ranges import Range
from nbhttp._core.receiving import Receiver, Tally
from nbhttp._core.reporting import Reporter
from nbhttp._core.retry import RETRYABLE, retry_after_s
from nbhttp._core.sidecar import find_by_url
from nbhttp.downloads import DownloadResult
from nbhttp.errors import (
    ChangedError,
    NbhttpError,
    ProtocolError,
    RequestError,
    StatusError,
    TruncatedError,
)
from nbhttp.result import Attempt

if TYPE_CHECKING:
    from nbhttp._core.state import ClientState, Flight

__all__ = ["Job", "download"]

_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 30.0
_LONGEST_RETRY_AFTER_S = 120.0
_LOCK_POLL_S = 0.1


async def download(
    state: "ClientState",
    job: Job,
    caller: Caller,
    setting: Setting | None = None,
    call: object = None,
) -> DownloadResult:
    """Do a job; whatever happens on network and disk ends in the result.

    Args:
        state: The client's.
        job: What is to be done.
        caller: Where the user's code runs.
        setting: The batch's; None for a single download.
        call: The batch's, for `ClientState.in_flight`; likewise.

    Raises:
        BaseException: Cancellation, and what the user's own hooks and auth schemes raise.
    """
    flight = state.in_flight(job.request, call)
    with flight:
        return await _Download(state, job, caller, setting or Setting(), flight).run()


class _AskAgainError(Exception):
    """The same once more, now that more is known; no failure."""


class _Download:
    """One job at work; what a `Reporter` watches."""

    def __init__(
        self,
        state: "ClientState",
        job: Job,
        caller: Caller,
        setting: Setting,
        flight: "Flight",
    ) -> None:
        self._state = state
        self._job = job
        self._started = time.perf_counter()
        manner = job.manner
        self._reporter = Reporter(
            setting.hub or state.events,
            state.name,
            job.identity,
            caller,
            manner.on_progress,
            manner.display,
        )
        self._asker = Asker(state, job.request, caller, flight)
        self._tally = Tally()
        self._file: FileReceiver | None = None
        self._receiver: Receiver
        if job.destination.file is None:
            ask = self._asker.ask_beside
            self._file = FileReceiver(job, setting, self._tally, ask)
            self._receiver = self._file
        else:
            self._receiver = ObjectReceiver(job, self._tally, caller)
        self._existing: Existing | None = None  # until it is known to differ
        self._attempts: list[Attempt] = []
        self._pause_s = 0.0  # before the present attempt
        self._reported_restarts = 0
        self._reason: Callable[[], str] | None = None  # of waiting; None while bytes come

    @contextmanager
    def _waiting(self, reason: Callable[[], str]) -> Iterator[None]:
        self._reason = reason
        try:
            yield
        finally:
            self._reason = None

    # What the reporter sees

    @property
    def received(self) -> int:
        """Bytes that are there."""
        return self._receiver.received if self._tally.size is None else self._tally.size

    @property
    def total(self) -> int | None:
        """The size, as far as known."""
        return self._tally.total

    @property
    def resumed_from(self) -> int:
        """Bytes that were there from an earlier call."""
        return self._tally.resumed_from

    @property
    def waiting_because(self) -> str | None:
        """Why nothing comes just now, with the seconds that go by."""
        return None if self._reason is None else self._reason()

    @property
    def connections(self) -> int:
        """Connections at work."""
        return self._receiver.connections

    @property
    def path(self) -> str | None:
        """The final path; None while unknown and for a file object."""
        target = self._target
        return None if target is None else str(target)

    @property
    def _part(self) -> Part | None:
        return None if self._file is None else self._file.part

    @property
    def _target(self) -> Path | None:
        return None if self._part is None else self._part.target

    @property
    def _where(self) -> str:
        """What is written to, for people."""
        if self._file is None:
            return "the file object"
        return repr(str(self._job.destination.directory if self._part is None else self._part.path))

    async def _report_start(self) -> None:
        restarts = self._tally.restarts
        because = restarts[-1] if len(restarts) > self._reported_restarts else None
        self._reported_restarts = len(restarts)
        await self._reporter.started(self, because)

    # The whole

    async def run(self) -> DownloadResult:
        """Fetch the file; see `download`."""
        try:
            exc = await self._watched() if self._reporter.is_watched else await self._outcome()
            error = None if exc is None else self._explained(exc)
        except BaseException:
            await self._receiver.leave()
            await self._reporter.cancelled(self, self._started)
            raise
        await self._receiver.leave()
        result = self._result(error)
        await self._reporter.finished(self, self._started, result)
        return result

    async def _watched(self) -> Exception | None:
        """Do it while the reporter looks on; see `_outcome`."""
        error: Exception | None = None
        is_over = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._reporter.watch, self, is_over)
            error = await self._outcome()
            is_over.set()
        return error

    async def _outcome(self) -> Exception | None:
        """Do it; return what ended it, sorted out later and outside of any task group."""
        try:
            await self._until_done()
        except Exception as exc:  # noqa: BLE001 - returned
            return exc
        return None

    async def _until_done(self) -> None:
        await self._prepare()
        failures, best = 0, 0
        while self._tally.size is None:
            began = time.perf_counter()
            try:
                await self._attempt()
            except _AskAgainError:
                continue
            except (StartOverError, NbhttpError) as exc:
                self._note_attempt(exc, began)
                reached = self._receiver.received
                failures = 1 if reached > best else failures + 1
                best = max(best, reached)
                await self._before_next(exc, failures)
            else:
                self._note_attempt(None, began)

    def _note_attempt(self, exc: Exception | None, began: float) -> None:
        answer = self._asker.last
        self._attempts.append(
            Attempt(
                len(self._attempts) + 1,
                None if answer is None else answer.facts.status,
                None if exc is None else str(exc),
                time.perf_counter() - began,
                self._pause_s,
            )
        )
        self._pause_s = 0.0

    async def _before_next(self, exc: Exception, failures: int) -> None:
        """Make ready for another attempt.

        Args:
            exc: Why the last one failed.
            failures: How many in a row brought nothing new.

        Raises:
            Exception: There is to be none.
        """
        is_last = failures >= self._job.manner.max_attempts
        if isinstance(exc, StartOverError):
            await self._receiver.drop()
            # Who contradicts himself twice, as two servers behind one name do, serves no parts.
            self._receiver.may_resume = exc.may_resume and not self._tally.restarts
            self._note_restart(str(exc))
            if is_last:
                raise ChangedError(
                    f"gave up after {failures} attempts that brought nothing new: {exc}",
                    hint="the file may be changing right now; run it again later",
                )
            return
        seconds = self._delay(exc, failures)
        if is_last or seconds is None:
            raise exc
        await self._pause(exc, seconds, failures + 1)

    def _note_restart(self, reason: str) -> None:
        self._tally.restarts.append(reason)

    def _delay(self, exc: Exception, failures: int) -> float | None:
        """Return the seconds to wait before another attempt; None when it would be in vain."""
        if isinstance(exc, StatusError):
            if exc.status_code not in RETRYABLE:
                return None
            answer = self._asker.last
            asked = None if answer is None else retry_after_s(answer.facts.headers)
            if asked is not None:
                return asked if asked <= _LONGEST_RETRY_AFTER_S else None
        elif not isinstance(exc, RequestError):
            return None
        longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(failures - 1, 16))
        return random.uniform(0, longest)  # noqa: S311 - spreads clients, guards nothing

    async def _pause(self, exc: Exception, seconds: float, attempt: int) -> None:
        hub = self._state.events
        if hub.is_heard:
            last = self._attempts[-1]
            hub.emit(
                events.RequestRetried(
                    request_id=self._reporter.download_id,
                    client=self._state.name,
                    method="GET",
                    url=self._job.identity.shown,
                    attempt=last.number,
                    status_code=last.status_code,
                    error=last.error,
                    delay=seconds,
                )
            )
        until = time.monotonic() + seconds
        which = f"attempt {attempt} of {self._job.manner.max_attempts}"

        def reason() -> str:
            return f"{which} in {math.ceil(max(0.0, until - time.monotonic()))} s, after {exc}"

        with self._waiting(reason):
            await anyio.sleep(seconds)
        self._pause_s = seconds

    # Before the first byte

    async def _prepare(self) -> None:
        destination = self._job.destination
        if destination.directory is None:
            return
        target = destination.target
        if target is None:
            name = await _in_thread(find_by_url, destination.directory, self._job.identity)
            target = None if name is None else destination.directory / name
        if target is not None:
            part = Part(target)
            await self._lock(part)
            await self._settle(part)

    async def _settle(self, part: Part) -> None:
        """Take over a file whose lock is held, and see what is there."""
        assert self._file is not None  # noqa: S101 - there is a path
        target = part.target
        self._file.adopt(part)
        existing = None
        if os.path.lexists(target):  # noqa: ASYNC240 - one quick look
            check_target(target)
            existing = await _in_thread(Existing, target, self._job.identity)
        checksum = self._job.checksum
        if existing is None or checksum is None:
            self._existing = existing
        elif await _in_thread(existing.matches, checksum):
            self._skip(existing)
        elif not self._job.manner.overwrite:
            raise exists_error(part, f"is not the file with {checksum}")

    async def _lock(self, part: Part) -> None:
        timeout = self._job.manner.lock_timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        while not part.try_lock():
            error = part.locked_error()
            if deadline is not None and time.monotonic() >= deadline:
                raise error
            with self._waiting(partial(str, error)):
                await anyio.sleep(_LOCK_POLL_S)

    def _skip(self, existing: Existing) -> None:
        self._tally.is_skipped = True
        self._tally.is_verified = existing.is_verified
        self._tally.size = self._tally.total = existing.size
        self._tally.mtime_ns = existing.stat.st_mtime_ns

    # One attempt

    async def _attempt(self) -> None:
        wanted = self._wanted()
        conditions: Sequence[tuple[bytes, str]] = ()
        if wanted is not None:
            conditions = self._receiver.conditions()
        elif self._existing is not None:
            conditions = self._existing.conditions()
        with self._waiting(partial(_no_answer, time.monotonic())):
            answer = await self._asker.ask(wanted, conditions)
        try:
            await self._take(answer, wanted)
        finally:
            await answer.live.aclose()

    def _wanted(self) -> Range | None:
        """Return the range to ask for; None asks for the whole file."""
        return self._receiver.wanted() if self._existing is None else None

    async def _take(self, answer: Answer, wanted: Range | None) -> None:
        """Do what an answer calls for."""
        ruling = self._receiver.judge(answer, wanted)
        match ruling.verdict:
            case Verdict.REFUSED | Verdict.RETRY:
                raise await answer.error(ruling)
            case Verdict.START_OVER | Verdict.CHANGED:
                is_change = ruling.verdict is Verdict.CHANGED
                raise StartOverError(ruling.reason, may_resume=is_change)
            case Verdict.COMPLETE:
                await self._receiver.complete()
                return
            case Verdict.UNCHANGED:
                if self._existing is None:
                    raise ProtocolError("the server answered 304 to a request without condition")
                self._skip(self._existing)
                return
            case Verdict.WHOLE | Verdict.PART:
                pass
        if await self._is_there(answer):
            return
        if wanted is None and self._wanted() is not None:
            raise _AskAgainError  # only now is it known what an earlier run left
        if ruling.reason:
            self._note_restart(ruling.reason)
        start = wanted[0] if wanted is not None and ruling.verdict is Verdict.PART else 0
        await self._receiver.prepare(answer, ruling, start)
        await self._report_start()
        await self._receiver.receive(answer, ruling, start)

    async def _is_there(self, answer: Answer) -> bool:
        """Whether the file need not be fetched.

        Raises:
            DownloadError: Another file has its name, and is not to be overwritten.
        """
        if self._file is not None and self._file.part is None:
            part = Part(self._named(answer))
            if not part.try_lock():
                # Who has the lock may wait for the slot that this answer holds.
                await answer.live.aclose()
                await self._lock(part)
                await self._settle(part)
                raise _AskAgainError
            await self._settle(part)
        existing, self._existing = self._existing, None
        if self._tally.is_skipped:
            return True
        if existing is None:
            return False
        overwrites = self._job.manner.overwrite
        # Who wants a file replaced has a reason to: dates alone do not keep it.
        found = await _in_thread(existing.compare, answer.facts, not overwrites)
        if found.is_same:
            self._skip(existing)
            return True
        if found.is_same is False and not overwrites:
            assert self._part is not None  # noqa: S101 - settled
            raise exists_error(self._part, found.difference)
        return False

    def _named(self, answer: Answer) -> Path:
        """Return the path that the answer's name gives."""
        directory = self._job.destination.directory
        assert directory is not None  # noqa: S101 - there is a path
        stated = answer.facts.headers.get("content-disposition")
        name = None if stated is None else from_disposition(stated)
        return directory / safe_name(name or from_url(answer.url))

    # The outcome

    def _explained(self, exc: Exception) -> NbhttpError:
        """Turn what ended it into the error that the result carries.

        Raises:
            Exception: It came from the user's own code, or is ours.
        """
        total, received = self.total, self.received
        if isinstance(exc, UsersError):
            raise exc.error
        if isinstance(exc, OSError) and not isinstance(exc, NbhttpError):
            name = exc.filename2 or exc.filename  # of a renaming it is where it was to go
            where = repr(str(name)) if name else self._where
            return disk_error(exc.strerror or str(exc), where, exc)
        if not isinstance(exc, NbhttpError):
            raise exc
        if isinstance(exc, ProtocolError) and total is not None and 0 < received < total:
            can_resume = self._file is not None and self._file.can_resume
            truncated = TruncatedError(
                f"expected {total:,} bytes from GET {self._job.identity.shown} "
                f"but the connection ended after {received:,}",
                hint="run it again to resume" if can_resume else "run it again",
            )
            truncated.__cause__ = exc
            return truncated
        return exc

    def _result(self, error: NbhttpError | None) -> DownloadResult:
        tally, answer = self._tally, self._asker.last
        if error is not None:
            error.method = error.method or "GET"
            error.url = error.url or self._job.identity.shown
            error.attempts = tuple(self._attempts)
        sha256 = tally.digests.get("sha256")
        return DownloadResult(
            url=self._job.request.url.text if answer is None else answer.url,
            path=self._target,
            size=tally.size,
            received=tally.fetched,
            resumed_from=tally.resumed_from,
            elapsed=time.perf_counter() - self._started,
            mtime_ns=tally.mtime_ns,
            sha256=None if sha256 is None else sha256.hex(),
            verified=tally.is_verified and error is None,
            skipped=tally.is_skipped,
            segments=tally.segments,
            restarts=tally.restarts,
            exception=error,
            attempts=self._attempts,
            status_code=None if answer is None else answer.facts.status,
            head=None if answer is None else answer.head,
            redirects=() if answer is None else answer.conversation.redirects,
            engine="" if answer is None else answer.conversation.engine,
            engine_reason="" if answer is None else answer.conversation.engine_reason,
        )


def _no_answer(since: float) -> str:
    """Say that the server is silent; `since` is a time of the monotonic clock."""
    seconds = int(time.monotonic() - since)
    return f"no answer for {seconds} s" if seconds else "no answer yet"


async def _in_thread(function: Any, *args: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(function, *args))
