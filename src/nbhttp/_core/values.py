"""Values as users give them: secrets, pairs, and what goes into a query or a form."""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbhttp.errors import ConfigError
from nbhttp.redaction import MASK, redact_repr

__all__ = ["MULTIPART", "revealed", "revealed_params", "split_pair"]

MULTIPART = "data beside files"
"""The option whose values may be any bytes."""


def revealed_params(params: Any, option: str = "params") -> Any:
    """Return parameters or form fields with the values of secrets, as httpx takes them.

    Args:
        params: As the user gave them; None for none.
        option: What they were given as, for the messages.

    Raises:
        TypeError: A name or value is nothing that can be sent.
        ConfigError: As `revealed`.
    """
    if isinstance(params, str):
        return params.removeprefix("?")  # it begins the query and is none of it
    if params is None or isinstance(params, bytes):
        return params
    if isinstance(params, Mapping):
        return {
            key: [_value(option, key, v) for v in value]
            if isinstance(value, list | tuple)
            else _value(option, key, value)
            for key, value in params.items()
        }
    if isinstance(params, Sequence):
        pairs = (split_pair(option, pair) for pair in params)
        return [(key, _value(option, key, value)) for key, value in pairs]
    if hasattr(params, "multi_items"):
        return params
    hint = f"; write {option}=….to_dict()" if hasattr(params, "to_dict") else ""
    raise TypeError(f"{option} takes a mapping, pairs or text, not {type(params).__name__}{hint}")


def _value(option: str, key: Any, value: Any) -> Any:
    """Return one value of a query or form, which is sent as `str()` has it."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bytes):
        return _decoded(option, key, value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        # A dict, a set, a column of a table: their `str()` is nothing that a server expects.
        raise TypeError(
            f"{option} takes text, a number or a list of them for {key!r}, "
            f"not {type(value).__name__}"
        )
    return revealed(value)


def _decoded(option: str, key: Any, value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if option == MULTIPART:
            return value
        raise TypeError(
            f"{option} takes text for {key!r}, not bytes that are no UTF-8; "
            "send them with content= or files="
        ) from None


def revealed(value: Any) -> Any:
    """Return the value of a `Secret`, else the value itself.

    Raises:
        ConfigError: Text holds a mask: a `Secret` was formatted into it, which never shows it.
    """
    if isinstance(value, str):
        if MASK in value:
            raise ConfigError(
                f"{value!r} holds a mask where a secret was meant: formatting a Secret never "
                "shows it; write 'Bearer ' + secret, or give nbhttp.bearer(secret) as auth"
            )
        return value
    return value.reveal() if hasattr(value, "reveal") else value


def split_pair(option: str, pair: Any) -> tuple[Any, Any]:
    """Return the two items of a pair.

    Raises:
        TypeError: It is none.
    """
    if isinstance(pair, str | bytes) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise TypeError(f"{option} takes a mapping or (name, value) pairs, not {redact_repr(pair)}")
    return pair[0], pair[1]
