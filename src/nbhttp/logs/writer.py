"""Our own writer thread: those who log hand over a text and go on."""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from nbhttp.logs.records import Entry
from nbhttp.redaction import redact_text

__all__ = ["Sink", "Writer"]

# Texts that wait hold at most this many characters; what comes on top is dropped and counted:
# neither the event loop nor the memory pays for a slow disk.
MAX_WAITING = 16 * 1024 * 1024
# The thread lets texts gather: a busy process then pays for one write, not for each.
GATHER_S = 0.02

_log = logging.getLogger("nbhttp")


class Sink(Protocol):
    """Somewhere to write entries to."""

    @property
    def name(self) -> str:
        """Where it writes to, for messages."""
        ...

    @property
    def is_immediate(self) -> bool:
        """Whether writing never blocks and must happen at once, on the thread that logs."""
        ...

    def render(self, entry: Entry) -> str:
        """Make the entry's text; it never fails."""
        ...

    def write(self, texts: Sequence[str]) -> None:
        """Append the texts; an OSError or ValueError says that they are lost."""

    def close(self) -> None:
        """Flush and close; it never fails."""


class Writer:
    """Writes texts to sinks, in order, on one daemon thread that starts with the first text.

    In a forked child it writes in place: what waited is the parent's, and a child may end without
    saying so.

    Args:
        in_place: Write on the thread that logs, without a thread of its own.
        max_waiting: Characters that may wait.
        on_dropped: Told, on the writer thread, how many texts were dropped since it was last told.
    """

    def __init__(
        self,
        *,
        in_place: bool = False,
        max_waiting: int = MAX_WAITING,
        on_dropped: Callable[[int], None] | None = None,
    ) -> None:
        self._in_place = in_place
        self._max_waiting = max_waiting
        self._on_dropped = on_dropped
        self._thread: threading.Thread | None = None
        self._reported: set[int] = set()
        self._waiting: list[tuple[Sink, str]] = []
        self._waiting_chars = 0
        self._taken = 0  # handed over; invariant: taken - done are waiting or being written
        self._done = 0
        self._dropped = 0
        self._is_urgent = False
        self._is_closed = False
        self.lost = 0
        self._make_locks()
        _watch_forks(self)

    def _make_locks(self) -> None:
        lock = threading.RLock()  # a signal handler or a destructor may log while we hold it
        self._work = threading.Condition(lock)
        self._progress = threading.Condition(lock)
        self._writing = threading.RLock()  # taken before `lock` where both are

    def put(self, sink: Sink, text: str) -> None:
        """Have the text written soon; it never blocks on the sink."""
        if self._in_place or sink.is_immediate:
            self._write(sink, [text])
            return
        with self._work:
            if self._is_closed:  # who logs was overtaken by close(); it happens once in a blue moon
                self._write(sink, [text])
                sink.close()
                return
            if self._waiting_chars + len(text) > self._max_waiting:
                self._dropped += 1
                return
            self._waiting.append((sink, text))
            self._waiting_chars += len(text)
            self._taken += 1
            if len(self._waiting) == 1:
                self._wake()

    def _wake(self) -> None:
        if self._thread is not None:
            self._work.notify()
            return
        self._thread = threading.Thread(target=self._run, name="nbhttp-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is ending, or the system has no thread left
            self._thread = None
            self._in_place = True
            self._write_waiting()

    def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting, []
        self._waiting_chars = 0
        for sink, text in batch:
            self._write(sink, [text])
        self._done += len(batch)

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over so far is written; False when `timeout` s passed."""
        if threading.current_thread() is self._thread:
            return True
        with self._work:
            target = self._taken
            self._is_urgent = True
            self._work.notify()
            return self._progress.wait_for(lambda: self._done >= target, timeout)

    def close(self, timeout: float, sinks: Sequence[Sink] = ()) -> None:
        """Write what waits, for at most `timeout` seconds, end the thread and close the sinks."""
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        with self._work:
            self._is_closed = True
            self._is_urgent = True
            self._work.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._work:
            self.lost += self._dropped + len(self._waiting)
            self._dropped = 0
        if self._writing.acquire(timeout=max(0.1, deadline - time.monotonic())):
            try:
                for sink in sinks:
                    sink.close()
            finally:
                self._writing.release()

    # The writer thread

    def _run(self) -> None:
        while True:
            batch, dropped = self._next_batch()
            if batch is None:
                return
            for sink in dict.fromkeys(sink for sink, _ in batch):
                self._write(sink, [text for target, text in batch if target is sink])
            if dropped:
                self._tell_dropped(dropped)
            with self._progress:
                self._done += len(batch)
                self._progress.notify_all()

    def _next_batch(self) -> tuple[list[tuple[Sink, str]] | None, int]:
        with self._work:
            # No deadline: an idle daemon thread waits for work, or for the end of the process.
            self._work.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None, 0
            self._work.wait_for(lambda: self._is_urgent, GATHER_S)
            batch, self._waiting = self._waiting, []
            dropped, self._dropped = self._dropped, 0
            self._waiting_chars = 0
            self._is_urgent = self._is_closed
            return batch, dropped

    def _tell_dropped(self, count: int) -> None:
        with self._writing:
            self.lost += count
        if self._on_dropped is not None:
            self._on_dropped(count)

    def write_now(self, sink: Sink, text: str) -> None:
        """Write on this thread; a failure is counted and reported once for each sink."""
        self._write(sink, [text])

    def _write(self, sink: Sink, texts: list[str]) -> None:
        with self._writing:
            try:
                sink.write(texts)
            except Exception as exc:  # noqa: BLE001 - a full disk must not harm a request
                self.lost += len(texts)
                self._report(sink, exc)

    def _report(self, sink: Sink, exc: Exception) -> None:
        if id(sink) in self._reported:
            return
        self._reported.add(id(sink))
        reason = getattr(exc, "strerror", None) or f"{type(exc).__name__}: {exc}"
        _log.error(
            "%s cannot be written (%s); requests go on, its lines are lost until it can",
            sink.name,
            redact_text(str(reason)),
        )

    # Fork

    def _before_fork(self) -> bool:
        """Stop writing: no lock is held and no text is half written when the process doubles."""
        return self._writing.acquire(timeout=5.0)

    def _after_fork_in_child(self) -> None:
        self._make_locks()
        self._thread = None
        self._waiting = []
        self._waiting_chars = 0
        self._done = self._taken
        self._in_place = True


_writers: "weakref.WeakSet[Writer]" = weakref.WeakSet()
_stopped: list[Writer] = []
_is_watching = False


def _watch_forks(writer: Writer) -> None:
    global _is_watching  # noqa: PLW0603 - the hooks cannot be taken back, so they are set once
    _writers.add(writer)
    if _is_watching or not hasattr(os, "register_at_fork"):
        return
    _is_watching = True
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )


def _before_fork() -> None:
    _stopped.extend(writer for writer in list(_writers) if writer._before_fork())  # noqa: SLF001


def _after_fork() -> None:
    while _stopped:
        _stopped.pop()._writing.release()  # noqa: SLF001 - the same module


def _after_fork_in_child() -> None:
    _stopped.clear()
    for writer in list(_writers):
        writer._after_fork_in_child()  # noqa: SLF001
