"""Signatures that name every option, for `help()`, Shift-Tab and completion in a cell.

A call that does not fit its signature, such as `get(url, {"a": 1})`, says what to write.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from types import MappingProxyType
from typing import Any, ForwardRef, TypeVar, cast

from nbhttp import _habits
from nbhttp.types import UNSET

__all__ = ["explains_misuse", "spells_out"]

F = TypeVar("F", bound=Callable[..., Any])

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Examples):$", re.MULTILINE)
_FIRST = ("params", "json", "data", "headers", "timeout")  # what is looked for most


def spells_out(
    options: type,
    like: Callable[..., Any] | None = None,
    *,
    defaults: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[F], F]:
    """Have a function that takes `**options: Unpack[…]` show each of them, to people and tools.

    Type checkers read the annotation; `inspect.signature` would say `**options` and no more.
    A call that does not fit is explained, see `explains_misuse`.

    Args:
        options: The `TypedDict` that is unpacked.
        like: A function with the same options whose docstring explains them: its sections stand
            in this one's too, where `help()` finds them. None leaves the docstring as it is.
        defaults: What an option is when it is not given, where that says something.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined] # what `inspect` looks for
            parameters=[*named, *(_with_default(p, defaults) for p in _parameters(options))]
        )
        if like is not None and function.__doc__:
            names = {p.name for p in named}
            function.__doc__ = _with_sections(inspect.getdoc(function) or "", like, names)
        return explains_misuse(function)

    return decorate


def explains_misuse(function: F) -> F:
    """Have a call that does not fit the signature say how it is written.

    Python's own error is raised before the function could say anything.
    """
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            try:
                coroutine = function(*args, **kwargs)
            except TypeError as exc:
                raise _misuse(function, args, kwargs) or exc from None
            return await coroutine

        return cast("F", awaited)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as exc:
            if exc.__traceback__ and exc.__traceback__.tb_next:  # it came from further down
                raise
            raise _misuse(function, args, kwargs) or exc from None

    return cast("F", called)


def _misuse(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> TypeError | None:
    """Make the error of a call that does not fit; None when there is nothing better to say."""
    example = _habits.CALLS.get(function.__name__)
    if example is None:
        return None
    parameters = dict(inspect.signature(function).parameters)
    given = len(args) - (parameters.pop("self", None) is not None)
    name = example.partition("(")[0]
    unknown = kwargs.keys() - parameters.keys()
    if unknown:
        habits = _habits.of_call.get(name, _habits.of_option)
        return _habits.unknown_option(unknown, parameters, name, habits)
    places = [p for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if given > len(places):
        taken = " and ".join(p.name for p in places)
        return TypeError(f"{name}() takes {taken} by position, the rest by name: {example}")
    missing = [p.name for p in places[given:] if p.default is p.empty and p.name not in kwargs]
    return TypeError(f"{name}() needs {' and '.join(missing)}: {example}") if missing else None


@lru_cache
def _parameters(options: type) -> list[inspect.Parameter]:
    types = options.__annotations__
    names = sorted(types, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    return [_parameter(name, types[name]) for name in names]


def _with_default(parameter: inspect.Parameter, defaults: Mapping[str, Any]) -> inspect.Parameter:
    if parameter.name not in defaults:
        return parameter
    return parameter.replace(default=defaults[parameter.name])


def _parameter(name: str, annotation: object) -> inspect.Parameter:
    if isinstance(annotation, ForwardRef):
        text = annotation.__forward_arg__
    else:
        text = inspect.formatannotation(annotation)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=UNSET, annotation=text)


def _with_sections(text: str, like: Callable[..., Any], names: set[str]) -> str:
    """Add the sections of `like` that a docstring does not have, but for what only it takes."""
    own = {"Examples", *_SECTION.findall(text)}
    own |= {"Returns"} if "Yields" in own else set()
    pieces = _SECTION.split(inspect.getdoc(like) or "")
    added = []
    for title, section in zip(pieces[1::2], pieces[2::2], strict=True):
        if title in own or "await" in section or "async" in section:
            continue
        lines = [line for line in section.rstrip().split("\n") if _is_taken(line, names)]
        added.append(f"{title}:" + "\n".join(lines))
    before, examples, after = text.partition("\nExamples:\n")
    return "\n\n".join([before.rstrip(), *added]) + (f"\n{examples}{after}" if examples else "")


def _is_taken(line: str, names: set[str]) -> bool:
    return "method" in names or not line.startswith("    method: ")
