"""Pickle for calls to other processes: functions that no module holds travel by value.

A new process cannot import what a notebook's cells define. Such a function (also a lambda, a
nested function, one of a script's `__main__`) is sent as its code, with the globals it names,
its defaults and its closure, each by the same rules. Everything else is ordinary pickle. Classes
stay by reference; one defined in a cell is refused, with what to do.

Both ends run the same interpreter, so marshalled code is safe to send. What is unpickled comes
from our own process over a pipe, never from elsewhere.
"""

import importlib
import io
import marshal
import pickle
import sys
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["dumps", "loads"]


def dumps(value: object) -> bytes:
    """Return `value` as bytes.

    Raises:
        Exception: When a part cannot be sent: whatever pickle or the part's own code raises.
    """
    buffer = io.BytesIO()
    _Shipper(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """Return what `dumps` was given."""
    return pickle.loads(data)  # noqa: S301 - from the worker we started, or from who started us


class _Shipper(pickle.Pickler):
    def __init__(self, file: io.BytesIO, *, protocol: int) -> None:
        super().__init__(file, protocol=protocol)
        # One new namespace for each old one. They are empty when sent and filled as their
        # functions arrive, so that functions of one module share their globals again.
        self._namespaces: dict[int, dict[str, Any]] = {}

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, FunctionType) and not _is_importable(value):
            return self._reduce_function(value)
        if isinstance(value, ModuleType):
            return importlib.import_module, (value.__name__,)
        if isinstance(value, CellType):
            return _make_cell, (), _cell_state(value), None, None, _fill_cell
        if isinstance(value, type) and value.__module__ == "__main__":
            raise pickle.PicklingError(
                f"the class {value.__qualname__} is defined in this notebook or script, where "
                "another process cannot import it; put it into a module (a .py file)"
            )
        return NotImplemented

    def _reduce_function(self, func: FunctionType) -> tuple[Any, ...]:
        namespace = self._namespaces.setdefault(id(func.__globals__), {})
        names = set(_global_names(func.__code__))
        state = {
            "globals": {name: func.__globals__[name] for name in names & func.__globals__.keys()},
            "modules": sorted(set(_submodules(func))),
            "kwdefaults": func.__kwdefaults__,
            "attributes": {k: v for k, v in func.__dict__.items() if k != "__wrapped__"},
        }
        arguments = (
            marshal.dumps(func.__code__),
            namespace,
            func.__qualname__,
            func.__defaults__,
            func.__closure__,
        )
        return _make_function, arguments, state, None, None, _fill_function


def _is_importable(func: FunctionType) -> bool:
    """Tell whether another process finds this very function by its module and name."""
    if func.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(func.__module__)
    for name in func.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is func


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _global_names(code: CodeType) -> Iterator[str]:
    """Yield the names that the code looks up in its globals (and not those of attributes)."""
    import dis

    for part in _codes(code):
        for instruction in dis.get_instructions(part):
            if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
                yield instruction.argval


def _submodules(func: FunctionType) -> Iterator[str]:
    """Yield the submodules that the code reaches through a package: `xml.etree` for `xml`."""
    words = {name for part in _codes(func.__code__) for name in part.co_names}
    for name in words:
        package = func.__globals__.get(name)
        if not isinstance(package, ModuleType):
            continue
        prefix = package.__name__ + "."
        for module in tuple(sys.modules):
            if module.startswith(prefix) and words.issuperset(module[len(prefix) :].split(".")):
                yield module


def _make_function(
    code: bytes,
    namespace: dict[str, Any],
    qualname: str,
    defaults: tuple[Any, ...] | None,
    closure: tuple[CellType, ...] | None,
) -> FunctionType:
    namespace.setdefault("__name__", "__main__")
    func = FunctionType(
        marshal.loads(code),  # noqa: S302 - from the process that started this one
        namespace,
        argdefs=defaults,
        closure=closure,
    )
    func.__qualname__ = qualname
    return func


def _fill_function(func: FunctionType, state: dict[str, Any]) -> None:
    for name in state["modules"]:
        importlib.import_module(name)
    func.__globals__.update(state["globals"])
    func.__kwdefaults__ = state["kwdefaults"]
    func.__dict__.update(state["attributes"])


def _make_cell() -> CellType:
    return CellType()  # the type itself cannot be pickled by name


def _cell_state(cell: CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # a name that is not bound yet
        return ()


def _fill_cell(cell: CellType, state: tuple[Any, ...]) -> None:
    if state:
        cell.cell_contents = state[0]
