"""Values that options take, refused at the call when they are wrong."""

from operator import index
from typing import Any

from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

__all__ = ["check_count", "check_seconds", "check_switch"]


def check_count(name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number of at least `least`; numpy's are taken too.

    Raises:
        ConfigError: It is less.
        TypeError: It is no whole number.
    """
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} takes a whole number, not {redact_repr(value)}")
    if number < least:
        raise ConfigError(f"{name} must be at least {least}, not {number}")
    return number


def check_seconds(name: str, value: Any, *, may_be_0: bool = True) -> float:
    """Return seconds, 0 or more; for a limit to what runs, more than 0.

    Raises:
        ConfigError: It is negative, 0 where that may not be, or not a number (NaN).
        TypeError: It is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} takes seconds, not {redact_repr(value)}")
    if not (value >= 0 if may_be_0 else value > 0):
        least = "0 seconds or more" if may_be_0 else "more than 0 seconds"
        raise ConfigError(f"{name} must be {least}, not {value!r}")
    return float(value)


def check_switch(name: str, value: Any) -> bool:
    """Return True or False.

    Raises:
        TypeError: It is neither: "false" from an environment variable would count as true.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} takes True or False, not {redact_repr(value)}")
    return value
