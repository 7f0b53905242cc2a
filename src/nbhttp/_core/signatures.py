"""Signatures that name every option, for `help()`, Shift-Tab and completion in a cell."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ForwardRef, TypeVar

from nbhttp.types import UNSET

__all__ = ["spells_out"]

F = TypeVar("F", bound=Callable[..., Any])

_FIRST = ("params", "json", "data", "headers", "timeout")  # what is looked for most


def spells_out(options: type) -> Callable[[F], F]:
    """Have a function that takes `**options: Unpack[…]` show each of them, to people and tools.

    Type checkers read the annotation; `inspect.signature` would say `**options` and no more.

    Args:
        options: The `TypedDict` that is unpacked.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined] # what `inspect` looks for
            parameters=[*named, *_parameters(options)]
        )
        return function

    return decorate


@lru_cache
def _parameters(options: type) -> list[inspect.Parameter]:
    types = options.__annotations__
    names = sorted(types, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    return [_parameter(name, types[name]) for name in names]


def _parameter(name: str, annotation: object) -> inspect.Parameter:
    if isinstance(annotation, ForwardRef):
        text = annotation.__forward_arg__
    else:
        text = inspect.formatannotation(annotation)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=UNSET, annotation=text)
