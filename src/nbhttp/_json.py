"""JSON in and out: orjson's speed, the standard library's exactness.

orjson reads first, and the standard library takes over where orjson refuses (NaN and Infinity,
lone surrogates, UTF-16 and UTF-32, numbers beyond a double's range, nesting past 1024) or would
lose digits: it silently turns an integer beyond 64 bits into a float. So the result is always
what `json.loads` gives, only sooner, and whatever is wrong is one `JsonError`.
"""

import gc
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from nbhttp.errors import ConfigError

__all__ = ["JsonError", "dumps", "has_long_integer", "loads"]

# Parsing this many bytes makes objects enough for the collector to run many times in vain.
_PAUSE_FROM = 256 * 1024

# What numbers are made of becomes 0 and all else a space, so that long ones are a plain search:
# 64 bits hold any 19 digits without a sign, but not always 20 characters.
_SHAPE = bytes(0x30 if byte in b"-0123456789" else 0x20 for byte in range(256))
_TOO_LONG = b"0" * 20
_MAY_BE_LONG = b"0" * 4  # of 20 digits in a row every fifth byte is one
_LIST = "list(…)"
# By the first part of the type's module and its name, so that nothing has to be imported.
_WRITE_INSTEAD = {
    "builtins.set": _LIST,
    "builtins.frozenset": _LIST,
    "builtins.range": _LIST,
    "builtins.generator": _LIST,
    "builtins.map": _LIST,
    "builtins.filter": _LIST,
    "builtins.zip": _LIST,
    "builtins.dict_keys": _LIST,
    "builtins.dict_values": _LIST,
    "collections.deque": _LIST,
    "builtins.bytes": ".decode() for text, or send it as content=",
    "builtins.bytearray": ".decode() for text, or send it as content=",
    "decimal.Decimal": "float(…), or str(…) to keep every digit",
    "fractions.Fraction": "float(…)",
    "datetime.timedelta": ".total_seconds()",
    "pathlib.PurePath": "str(…)",
    "pandas.DataFrame": '.to_dict("records")',
    "pandas.Series": ".to_list(), or .to_dict()",
    "pandas.Index": ".to_list()",
    "pandas.NAType": "None",
    "pandas.NaTType": "None",
    "numpy.datetime64": "None where there is no time",
    "numpy.ndarray": ".tolist()",
    "polars.DataFrame": ".to_dicts()",
    "polars.Series": ".to_list()",
    "nbhttp.RequestResult": ".json()",
    "nbhttp.Secret": ".reveal(), which stays hidden in what is shown",
}
_NULL_HINT = (
    "write None for what is missing; of a DataFrame: "
    "df.replace({float('nan'): None}).to_dict('records')"
)
_BEFORE_A_NUMBER = b" \t\r\n,:["
_NOT_ZERO = re.compile(b"[^0]")


class JsonError(ValueError):
    """These bytes are not JSON that Python can hold.

    Attributes:
        reason: What is wrong, without any of the content.
        position: Where, counted from 0 in characters (bytes when the text is not valid UTF-8);
            None when the place is not known.
    """

    def __init__(self, reason: str, position: int | None = None, where: str = "") -> None:
        super().__init__(f"{reason} at {where}" if where else reason)
        self.reason = reason
        self.position = position


class _CollectorPause:
    """Counts who wants the garbage collector off, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._wanted_by = 0  # the collector is off, by us, exactly while this is above 0 …
        self._was_enabled = False  # … and it was on before

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._wanted_by == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._wanted_by += 1
        try:
            yield
        finally:
            with self._lock:
                self._wanted_by -= 1
                if self._wanted_by == 0 and self._was_enabled:
                    gc.enable()


_collector_paused = _CollectorPause()


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """Parse JSON, exactly as `json.loads` does.

    Args:
        data: UTF-8, UTF-16 or UTF-32 with or without a byte order mark, as `json.loads` detects
            it; or text. NaN, Infinity and -Infinity are accepted; of equal keys the last counts.

    Raises:
        JsonError: It is not JSON, not valid in its encoding, nested too deeply, or has an integer
            with more digits than Python converts (4300 by default).
    """
    if not isinstance(data, bytes):
        data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
    if len(data) < _PAUSE_FROM:
        return _parse(data)
    with _collector_paused():
        return _parse(data)


def has_long_integer(data: bytes) -> bool:
    """Tell whether JSON may hold an integer beyond 64 bits, which orjson would turn into a float.

    It takes about 6 % of orjson's time, or 2 % when no numbers are long. A long number in a string
    may be a false alarm; a float with many digits is none.
    """
    return _MAY_BE_LONG in data[::5].translate(_SHAPE) and _has_long_integer(data)


def _has_long_integer(data: bytes) -> bool:
    shape = data.translate(_SHAPE)
    return _TOO_LONG in shape and _has_integer(data, shape)


def _has_integer(data: bytes, shape: bytes) -> bool:
    start = shape.find(_TOO_LONG)
    while start >= 0:
        after = _NOT_ZERO.search(shape, start)
        end = after.start() if after else len(shape)
        starts_a_number = start == 0 or data[start - 1] in _BEFORE_A_NUMBER
        if starts_a_number and data[end : end + 1] not in (b".", b"e", b"E"):
            return True
        start = shape.find(_TOO_LONG, end)
    return False


def _parse(data: bytes) -> Any:
    # `has_long_integer` without the call, which a small document would feel.
    if _MAY_BE_LONG in data[::5].translate(_SHAPE) and _has_long_integer(data):
        return _parse_exactly(data)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parse_exactly(data)


def _parse_exactly(data: bytes) -> Any:
    try:
        return json.loads(data)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno} column {exc.colno}"
        raise JsonError(exc.msg.removesuffix(" at"), exc.pos, where) from None
    except UnicodeDecodeError as exc:
        where = f"byte {exc.start:,}"
        raise JsonError(f"not valid {exc.encoding}: {exc.reason}", exc.start, where) from None
    except RecursionError:
        raise JsonError("nested too deeply") from None
    except ValueError as exc:  # int() refuses past sys.get_int_max_str_digits()
        raise JsonError(f"an integer is too long: {str(exc).partition(';')[0]}") from None


def dumps(value: Any) -> bytes:
    """Return `value` as compact JSON in UTF-8.

    Beyond what `json.dumps` takes: dataclasses, enums, UUIDs, dates and times (ISO 8601; a naive
    one stays naive), NumPy scalars and arrays, and such keys. Integers of any size stay exact.

    Raises:
        ConfigError: NaN or an infinity is in it, which JSON has not and servers refuse; says where.
        TypeError: Something in it is not JSON; says what and where. Decimal is refused, since
            neither a float nor a string says the same: convert it.
        ValueError: It is nested too deeply or contains itself.
    """
    try:
        encoded = orjson.dumps(value, _plain, orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return _dumps_hard(value)
    if b"null" in encoded:  # which orjson writes for NaN and infinities too, without a word
        _check_finite(value)
    return encoded


def _dumps_hard(value: Any) -> bytes:
    """Encode what orjson refuses at first: keys that are no strings, then all the rest."""
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    try:
        encoded = orjson.dumps(value, _plain, options)
    except TypeError:
        return _dumps_exactly(value)
    if b"null" in encoded:  # which orjson writes for NaN and infinities too, without a word
        _check_finite(value)
    return encoded


def _dumps_exactly(value: Any) -> bytes:
    try:
        text = json.dumps(value, default=_plain, separators=(",", ":"))
        if "NaN" in text or "Infinity" in text:
            _check_finite(value)
    except ConfigError:
        raise
    except TypeError:
        path, culprit = _find_culprit(value, "$", 0)
        raise TypeError(
            f"{path} is {_article(culprit)}, which is not JSON{_instead(culprit)}"
        ) from None
    except RecursionError:
        raise ValueError("the value is nested too deeply for JSON") from None
    except ValueError as exc:
        raise ValueError(f"the value is not JSON: {str(exc).lower()}") from None
    return text.encode("ascii")


def _plain(value: Any) -> Any:
    """Return what stands for `value` in JSON; a TypeError when nothing does."""
    import dataclasses
    import datetime as dt
    import enum
    import uuid

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: getattr(value, field.name)
            for field in dataclasses.fields(value)
            if not field.name.startswith("_")
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.date | dt.time) and value == value:  # noqa: PLR0124 - pandas.NaT is not
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, tuple):  # a named tuple, to orjson
        return list(value)
    if type(value).__module__ == "numpy":
        return _plain_numpy(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _plain_numpy(value: Any) -> Any:
    import numpy as np

    is_time = isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "M"
    if is_time and np.isnat(value).any():
        raise TypeError("NaT is not JSON")
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        plain = value.tolist()
        if not isinstance(plain, np.generic | bytes | complex):
            return plain
    raise TypeError(f"numpy.{type(value).__name__} is not JSON")


def _check_finite(value: Any) -> None:
    if _has_nonfinite(value):
        path, culprit = _find_nonfinite(value, "$")
        raise ConfigError(f"{path} is {culprit}, which is not JSON; {_NULL_HINT}", hint=_NULL_HINT)


def _find_nonfinite(value: Any, path: str) -> tuple[str, float]:
    """Return the first NaN or infinity in a value that has one, and the path to it."""
    if isinstance(value, float):
        return path, value
    if isinstance(value, dict):
        if any(map(_has_nonfinite, value)):
            return f"a key of {path}", next(filter(_has_nonfinite, value))
        key = next(key for key, child in value.items() if _has_nonfinite(child))
        return _find_nonfinite(value[key], f"{path}.{key}")
    if isinstance(value, list | tuple):
        index = next(index for index, child in enumerate(value) if _has_nonfinite(child))
        return _find_nonfinite(value[index], f"{path}[{index}]")
    return _find_nonfinite(_plain(value), path)


def _has_nonfinite(value: Any) -> bool:
    if isinstance(value, float):
        return value - value != 0  # only NaN and the infinities
    if value is None or isinstance(value, str | int):
        return False
    if isinstance(value, dict):
        return any(map(_has_nonfinite, value)) or any(map(_has_nonfinite, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_nonfinite, value))
    return _has_nonfinite(_plain(value))


def _find_culprit(value: Any, path: str, depth: int) -> tuple[str, Any]:
    """Return the first thing that is not JSON, and the path to it."""
    if depth < 100 and isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str | int | float | bool | None):
                return f"a key of {path}", key
            if not _is_json(child):
                return _find_culprit(child, f"{path}.{key}", depth + 1)
    elif depth < 100 and isinstance(value, list | tuple):
        for index, child in enumerate(value):
            if not _is_json(child):
                return _find_culprit(child, f"{path}[{index}]", depth + 1)
    else:
        try:
            plain = _plain(value)
        except TypeError:
            return path, value
        return _find_culprit(plain, path, depth + 1)
    return path, value


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, default=_plain)
    except TypeError:
        return False
    except (ValueError, RecursionError):
        return True  # wrong in another way
    return True


def _instead(value: Any) -> str:
    """Say what to write for a value that is not JSON; "" when nothing can be said."""
    for kind in type(value).__mro__:
        said = _WRITE_INSTEAD.get(f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}")
        if said:
            return f"; write {said}"
    return ""


def _article(value: Any) -> str:
    kind = type(value)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
