"""Bounded background work: tasks by id, one function over many items, threads and processes.

Async functions run on the loop, at most `max_tasks` at once; plain functions run in threads, at
most `max_threads` at once; `run_in_process` uses up to `max_processes` processes. What has no
free slot waits in line. No task takes another one down, and everything can be stopped, except a
thread: Python cannot kill one, so it keeps its slot until it ends and its record says so.

Works on asyncio and trio. `nbhttp.TaskManager` has the same names for code without `await`.
"""

import contextvars
import functools
import os
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.abc

from nbhttp._checks import check_count
from nbhttp._display import Displayed
from nbhttp._habits import SaysHow, of_tasks
from nbhttp._tasks.calls import Calls, Limits
from nbhttp._tasks.checks import is_async, require_callable, require_seconds
from nbhttp._tasks.fanout import ResultStream, is_cancelled
from nbhttp._tasks.loops import Loop
from nbhttp._tasks.records import (
    Record,
    StatusTable,
    TaskInfo,
    TaskState,
    current_record,
    describe_counts,
)
from nbhttp._tasks.slots import Slots
from nbhttp._tasks.threads import finish_awaitable, run_in_slot
from nbhttp.errors import DuplicateTaskError, QueueFullError, TaskError
from nbhttp.errors import TimeoutError as NbhttpTimeoutError

if TYPE_CHECKING:
    from nbhttp._render.bundle import Shown

__all__ = [
    "AnyioTaskManager",
    "ResultStream",
    "StatusTable",
    "TaskInfo",
    "TaskState",
]


@dataclass(eq=False, slots=True)
class _Session:
    """The time from `start` to `shutdown`.

    `owner` holds the task group. A group must be left by the task that entered it, and every
    cell of a notebook is a task of its own, so neither `start` nor `shutdown` may hold it.
    """

    loop: Loop
    limits: Limits
    is_closing: bool = False
    group: anyio.abc.TaskGroup = field(init=False)  # there once `ready` is set
    owner: object = field(init=False)
    ready: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)


class AnyioTaskManager(SaysHow, Displayed, Calls):
    """Runs functions in the background, within limits, and knows how each one stands.

    ```python
    manager = AnyioTaskManager(max_tasks=20)
    await manager.start()                           # one cell
    manager.add_task("users", fetch, "/users")      # another
    (await manager.wait("users")).result
    manager.status()                                # prints as a table
    await manager.shutdown()                        # a third: cancels what is left
    ```

    `async with AnyioTaskManager() as manager:` does the first and the last step. `gather`, `map`,
    `imap`, `run_in_thread` and `run_in_process` belong to the caller who awaits them and work
    without `start()` too.

    Args:
        max_tasks: Async functions that run at once.
        max_threads: Threads that run at once.
        max_processes: Processes that run at once; None means one for each processor.
        max_queue: Added tasks that may wait for a slot.
        default_timeout: Seconds a task may run when `add_task` does not say; None means
            without limit.
        max_history: Ended tasks whose records are kept; the oldest go first.

    Raises:
        ConfigError: When a limit or the timeout is out of range.
        TypeError: When a limit is no whole number, or the timeout no number.
    """

    _habits = of_tasks

    def __init__(
        self,
        max_tasks: int = 100,
        max_threads: int = 16,
        *,
        max_processes: int | None = None,
        max_queue: int = 10_000,
        default_timeout: float | None = None,
        max_history: int = 1_000,
    ) -> None:
        if max_processes is None:
            max_processes = os.cpu_count() or 1
        super().__init__(max_tasks=max_tasks, max_threads=max_threads, max_processes=max_processes)
        self.max_queue = check_count("max_queue", max_queue, least=0)
        self.max_history = check_count("max_history", max_history, least=0)
        self.default_timeout = require_seconds("default_timeout", default_timeout)
        self._records: dict[Hashable, Record] = {}
        self._history: deque[Record] = deque()
        self._counts: Counter[TaskState] = Counter()
        self._session: _Session | None = None

    # -- start and stop

    async def start(self) -> Self:
        """Begin to accept tasks; does nothing when already started, so a cell can run again.

        Raises:
            TaskError: When the manager is started on another event loop that still runs.
        """
        loop = Loop.current()
        session = self._session
        if session is not None and session.loop.is_over():
            self._end(session)
        elif session is not None and not session.loop.is_same(loop):
            raise TaskError("the manager is started on another event loop; shut it down there")
        elif session is not None and session.is_closing:
            await session.ended.wait()
            return await self.start()
        elif session is not None:
            await session.ready.wait()
            return self
        session = self._session = _Session(loop, self._limits(loop))
        self._processes.keeps_idle = True
        session.owner = loop.spawn(functools.partial(self._own, session), "nbhttp task manager")
        await session.ready.wait()
        return self

    async def shutdown(self, *, wait: bool = False) -> None:
        """Cancel the tasks that run or wait, and stop; `start()` begins anew.

        When this returns, no task and no process of the manager is left. Records stay.

        Args:
            wait: Let the tasks that were added end first; new ones are refused meanwhile.

        Raises:
            TaskError: When called with `wait` by one of the manager's tasks.
        """
        session = self._session
        if session is not None and session.loop.is_over():
            self._end(session)
            session = None
        if session is not None:
            self._require_same_loop(session)
            if wait:
                await self._drain(session)
            await self._stop(session)
        with anyio.CancelScope(shield=True):
            for stream in tuple(self._streams):
                await stream.aclose()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.shutdown()

    async def _drain(self, session: _Session) -> None:
        unfinished = [record for record in self._records.values() if not record.state.is_final]
        if current_record.get() in unfinished:
            raise TaskError("a task cannot wait for its own end; call shutdown() without wait")
        session.is_closing = True
        try:
            for record in unfinished:
                await record.wait()
        except BaseException:
            session.is_closing = False
            raise

    async def _stop(self, session: _Session) -> None:
        session.is_closing = True
        # A task that shuts down its own manager is among those that the group waits for.
        is_inside = current_record.get() is not None
        with anyio.CancelScope(shield=not is_inside):
            await session.ready.wait()
            self._cancel_all(session)
            await session.ended.wait()

    def _cancel_all(self, session: _Session) -> None:
        for record in tuple(self._records.values()):
            if record.state is TaskState.QUEUED:
                self._withdraw(session, record)
        session.group.cancel_scope.cancel()

    async def _own(self, session: _Session) -> None:
        """Hold the task group; the only task that enters and leaves it."""
        try:
            async with anyio.create_task_group() as session.group:
                session.ready.set()
                await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await self._processes.close()
            self._end(session)

    def _end(self, session: _Session) -> None:
        """Forget the session; whatever had no chance to end is marked as cancelled."""
        for record in tuple(self._records.values()):
            if not record.state.is_final:
                self._finish(record, TaskState.CANCELLED)
        if self._session is session:
            self._session = None
        session.ready.set()
        session.ended.set()

    # -- tasks by id

    def add_task(
        self,
        task_id: Hashable,
        func: Callable[..., Any],
        *args: Any,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> TaskInfo:
        """Run `func(*args, **kwargs)` in the background, now or when a slot is free.

        An async function runs on the loop, a plain one in a thread. For a process, add
        `manager.run_in_process` with the function as its first argument. The task sees the
        context variables as they are now. This does not wait, hence needs no `await`.

        Args:
            task_id: A name for the task; one whose task has ended may be used again.
            func: The function, not called yet.
            *args: Its positional arguments.
            timeout: Seconds the task may run, waiting in line not counted; None means
                `default_timeout`, `math.inf` no limit. To hand the function a `timeout` of
                its own, use `functools.partial`.
            **kwargs: Its other keyword arguments.

        Returns:
            The task as it stands: running, or queued.

        Raises:
            DuplicateTaskError: When a task with this id is queued or running.
            QueueFullError: When `max_queue` tasks wait already.
            TaskError: When the manager is not started, or was started on another loop.
            TypeError: When `func` cannot be called or `task_id` cannot be a key.
            ConfigError: When `timeout` is not positive.
        """
        require_callable(func, f"add_task({task_id!r}, func, …)")
        hash(task_id)
        seconds = require_seconds("timeout", timeout)
        session = self._require_session()
        former = self._records.get(task_id)
        if former is not None and not former.state.is_final:
            raise DuplicateTaskError(
                f"a task {task_id!r} is {former.state} already",
                hint="Choose another id, or cancel_task() and wait() for it first.",
            )
        record = Record(
            id=task_id,
            func=functools.partial(func, *args, **kwargs),
            in_thread=not is_async(func),
            timeout=self.default_timeout if seconds is None else seconds,
            context=contextvars.copy_context(),
        )
        slots = self._slots_of(session, record)
        if slots.taken >= slots.capacity and self._counts[TaskState.QUEUED] >= self.max_queue:
            raise QueueFullError(
                f"task {task_id!r} was not added: {self.max_queue:,} tasks wait already",
                hint="Wait for some to end, or give the manager a larger max_queue.",
            )
        self._records.pop(task_id, None)  # so that the new one stands last in status()
        self._records[task_id] = record
        self._counts[TaskState.QUEUED] += 1
        slots.request(record, functools.partial(self._begin, session, record))
        return record.info()

    def cancel_task(self, task_id: Hashable) -> bool:
        """Cancel a task that is queued or running.

        A queued one is `cancelled` at once, a running one when its function has let go: `wait`
        for that.

        Returns:
            False when there is nothing to cancel: no such task, or it has ended.

        Raises:
            TaskError: When called from another event loop.
        """
        record = self._records.get(task_id)
        if record is None or record.state.is_final:
            return False
        session = self._session
        if session is None:
            return False
        self._require_same_loop(session)
        if record.state is TaskState.QUEUED:
            self._withdraw(session, record)
        else:
            record.cancel()
        return True

    async def wait(self, task_id: Hashable, *, timeout: float | None = None) -> TaskInfo:
        """Wait until a task has ended, and return how: it does not raise what the task raised.

        Args:
            task_id: The task.
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            TaskError: When there is no such task (any more), or it is the task that asks.
            TimeoutError: When `timeout` passes first; the task goes on.
        """
        seconds = require_seconds("timeout", timeout)
        record = self._records.get(task_id)
        if record is None:
            raise TaskError(
                f"there is no task {task_id!r}",
                hint=f"Of ended tasks, the latest {self.max_history:,} are kept (max_history).",
            )
        if record is current_record.get():
            raise TaskError(f"task {task_id!r} cannot wait for its own end")
        with anyio.move_on_after(seconds) as limit:
            await record.wait()
        if limit.cancelled_caught:
            raise NbhttpTimeoutError(
                f"task {task_id!r} is still {record.state} after {seconds:g} s"
            )
        return record.info()

    def status(self) -> StatusTable:
        """Return how each task stands, by id; the dict prints as a table."""
        return StatusTable((task_id, record.info()) for task_id, record in self._records.items())

    def __repr__(self) -> str:
        counts = describe_counts(self._counts)
        if self._session is None:
            return f"AnyioTaskManager: not started{counts and '; '}{counts}"
        return f"AnyioTaskManager: {counts or 'nothing to do'}"

    def _view(self) -> "Shown":
        return self.status()._view(repr(self))  # noqa: SLF001 - the table with a title

    def _begin(self, session: _Session, record: Record) -> None:
        """Start the record's task; its slot has been granted."""
        self._counts[TaskState.QUEUED] -= 1
        self._counts[TaskState.RUNNING] += 1
        record.begin()
        record.context.run(session.group.start_soon, self._run, session, record)

    async def _run(self, session: _Session, record: Record) -> None:
        """Run the record's function and note how it ended; raises only at a shutdown."""
        current_record.set(record)
        slots = self._slots_of(session, record)
        if record.is_cancel_requested:
            slots.release()
            self._finish(record, TaskState.CANCELLED)
            return
        state, result = TaskState.CANCELLED, None
        exception: BaseException | None = None
        try:
            with anyio.CancelScope() as record.scope, anyio.move_on_after(record.timeout) as limit:
                result = await _invoke(record, slots, session.loop)
                state = TaskState.COMPLETED
            if limit.cancelled_caught:
                state = TaskState.TIMEOUT
                exception = NbhttpTimeoutError(
                    f"task {record.id!r} ran longer than {record.timeout:g} s"
                )
        except GeneratorExit:  # the loop is closed under the task
            raise
        except anyio.get_cancelled_exc_class():
            if is_cancelled():
                raise
        except BaseException as error:  # noqa: BLE001 - also a KeyboardInterrupt ends this task only
            state, exception = TaskState.FAILED, error
        finally:
            self._finish(record, state, result=result, exception=exception)

    def _withdraw(self, session: _Session, record: Record) -> None:
        self._slots_of(session, record).withdraw(record)
        self._finish(record, TaskState.CANCELLED)

    def _finish(
        self,
        record: Record,
        state: TaskState,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if record.state.is_final:  # the loop was closed under the task, then the task under us
            return
        self._counts[record.state] -= 1
        self._counts[state] += 1
        record.finish(state, result=result, exception=exception)
        self._history.append(record)
        while len(self._history) > self.max_history:
            oldest = self._history.popleft()
            if self._records.get(oldest.id) is oldest:
                del self._records[oldest.id]

    def _slots_of(self, session: _Session, record: Record) -> Slots:
        return session.limits.threads if record.in_thread else session.limits.tasks

    def _require_session(self) -> _Session:
        session = self._session
        if session is None or not session.ready.is_set():
            raise TaskError(
                "the task manager is not started",
                hint="Call start() first (AnyioTaskManager: await it), or use it in a with block.",
            )
        if session.is_closing:
            raise TaskError("the task manager is shutting down")
        self._require_same_loop(session)
        return session

    def _require_same_loop(self, session: _Session) -> None:
        if not session.loop.is_same(Loop.current()):
            raise TaskError(
                "the task manager was started on another event loop",
                hint="Call it there, or use nbhttp.TaskManager, which any thread may call.",
            )


async def _invoke(record: Record, slots: Slots, loop: Loop) -> Any:
    """Run the function in the slot that the record holds, and see to it that it is released."""
    if record.in_thread:
        return await finish_awaitable(await run_in_slot(record.func, slots, loop))
    try:
        return await record.func()
    finally:
        slots.release()
