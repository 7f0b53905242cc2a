"""What anyio leaves to the backend: a task that no caller owns, and calls from other threads."""

import contextvars
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from nbhttp.errors import TaskError

__all__ = ["Loop"]


@dataclass(frozen=True, slots=True)
class Loop:
    """The asyncio or trio run that the current thread is in.

    Attributes:
        key: The asyncio loop or the trio token; two handles of one run have the same.
    """

    key: object
    _soon: Callable[..., object]
    _spawn: Callable[[Callable[[], Coroutine[Any, Any, None]], str], object]

    @classmethod
    def current(cls) -> "Loop":
        """Return the handle of the run this thread is in.

        Raises:
            TaskError: When no event loop runs in this thread.
        """
        # Trio first: in guest mode an asyncio loop runs underneath.
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_run():
            return cls._of_trio()
        return cls._of_asyncio()

    @classmethod
    def _of_asyncio(cls) -> "Loop":
        import asyncio

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise TaskError(
                "no event loop is running in this thread",
                hint="Call it from async code, or use nbhttp.TaskManager from plain code.",
            ) from None

        def spawn(func: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
            return loop.create_task(func(), name=name)

        return cls(loop, loop.call_soon_threadsafe, spawn)

    @classmethod
    def _of_trio(cls) -> "Loop":
        import trio

        def spawn(func: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
            context = contextvars.copy_context()
            return trio.lowlevel.spawn_system_task(func, name=name, context=context)

        token = trio.lowlevel.current_trio_token()
        return cls(token, token.run_sync_soon, spawn)

    def is_same(self, other: "Loop | None") -> bool:
        """Tell whether both handles mean one run."""
        return other is not None and self.key is other.key

    def is_over(self) -> bool:
        """Tell whether the run has ended, so that nothing of it can come back."""
        return not self.call_soon(_nothing)

    def call_soon(self, func: Callable[[], object]) -> bool:
        """Call `func` in the loop's thread soon, from any thread; False when the run is over."""
        try:
            self._soon(func)
        except RuntimeError:  # asyncio: "Event loop is closed"; trio: RunFinishedError
            return False
        return True

    def spawn(self, func: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
        """Start a task outside every scope of the caller; it lasts as long as the run.

        A task group entered in it may be used from any other task of the run: this is what
        lets one notebook cell start and another one stop. `func` must not raise, there is
        nobody to raise to.

        Returns:
            The backend's task; keep it, asyncio holds tasks weakly.
        """
        return self._spawn(func, name)


def _nothing() -> None:
    """Do nothing."""
