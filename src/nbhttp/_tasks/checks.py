"""Arguments of the task manager, refused at the call when they are wrong."""

import functools
import inspect
import math
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

from nbhttp._checks import check_seconds
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_text

__all__ = [
    "is_async",
    "name_of",
    "require_callable",
    "require_on_error",
    "require_plain",
    "require_seconds",
    "require_work",
]


def is_async(func: Callable[..., Any]) -> bool:
    while isinstance(func, functools.partial):
        func = func.func
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
        getattr(func, "__call__", None)  # noqa: B004 - the method, not whether it is there
    )


def name_of(func: Callable[..., Any]) -> str:
    return redact_text(getattr(func, "__qualname__", None) or repr(func))


def require_callable(func: object, where: str) -> None:
    if inspect.iscoroutine(func):
        func.close()
        raise TypeError(
            f"{where} takes the function and its arguments, not a call: "
            f"{func.__qualname__}, … instead of {func.__qualname__}(…)"
        )
    if not callable(func):
        raise TypeError(f"{where}: {redact_text(repr(func))} is not a function")


def require_plain(func: Callable[..., Any], where: str) -> None:
    require_callable(func, where)
    if is_async(func):
        raise TypeError(f"{where} takes a plain function; {name_of(func)} is async")


def require_work(func: object, items: object, task_timeout: float | None, jitter: float) -> None:
    require_callable(func, "func")
    if not isinstance(items, Iterable | AsyncIterable):
        raise TypeError(f"expected items to iterate over, not {type(items).__name__}")
    require_seconds("task_timeout", task_timeout)
    if check_seconds("jitter", jitter) == math.inf:
        raise ConfigError("jitter must be finite")


def require_on_error(on_error: str) -> None:
    if on_error not in {"collect", "raise"}:
        raise ConfigError(f"on_error must be 'collect' or 'raise', not {on_error!r}")


def require_seconds(name: str, value: float | None) -> float | None:
    return None if value is None else check_seconds(name, value, may_be_0=False)
