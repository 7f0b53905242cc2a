r"""Paths into a JSON document: how a person types one, and how Python writes it.

`data.items[0].name` and `["a key.with dots"]["x"]` are typed; `r.json()["data"]["items"][0]` is
what Python evaluates, and is accepted as well, since that is what a tree shows to be copied.
"""

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeAlias

from nbhttp._marks import clip, visible
from nbhttp._render.units import count
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

__all__ = ["Path", "Step", "follow", "parse_path", "python_path", "python_step", "short_path"]

Step: TypeAlias = "str | int"
Path: TypeAlias = "str | Sequence[Step]"

_EXPRESSION = re.compile(r"\s*\w+\.json\(\)")
_STEP = re.compile(
    r"""
    \[ \s* (?P<index> -?\d{1,18} ) \s* \]
  | \[ \s* (?P<quoted> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' ) \s* \]
  | \.? (?P<name> [^.\[\]"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_NAME = re.compile(r"[^\W\d][\w-]*")
_PYTHON_ESCAPED = re.compile(
    "[\x7f-\xa0\xad\u034f\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    "\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def parse_path(path: Path) -> tuple[Step, ...]:
    """Return the steps of a path; "" is the whole document.

    Args:
        path: `data.items[0].name`, keys with dots or spaces as `["…"]`; or the steps themselves.

    Raises:
        ConfigError: It cannot be read as a path; says where.
        TypeError: A step is neither text nor a whole number.
    """
    if not isinstance(path, str):
        return _checked_steps(path)
    prefix = _EXPRESSION.match(path)
    position = prefix.end() if prefix else 0
    steps: list[Step] = []
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ConfigError(
                f"the path {clip(path, 80)!r} cannot be read at {clip(path[position:], 20)!r}: "
                'write it like data.items[0].name, other keys as ["…"]'
            )
        steps.append(_step_of(match))
        position = match.end()
    return tuple(steps)


def _checked_steps(path: Iterable[Any]) -> tuple[Step, ...]:
    steps = tuple(path)
    for step in steps:
        if not isinstance(step, str | int) or isinstance(step, bool):
            raise TypeError(f"a step of a path is text or a whole number, not {redact_repr(step)}")
    return steps


def _step_of(match: re.Match[str]) -> Step:
    if match["index"]:
        return int(match["index"])
    if match["name"]:
        return match["name"]
    return _ESCAPED.sub(_unescape, match["quoted"][1:-1])


_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U(00[01][0-9a-fA-F]{5})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    if code is None:
        return _LETTERS.get(match[3], match[3])
    number = int(code, 16)
    return chr(number) if number <= 0x10FFFF else match[0]


def follow(document: Any, path: Path) -> Any:
    """Return what stands at `path` in `document`.

    Raises:
        ConfigError: There is nothing; says where it stopped and what is there.
    """
    steps = parse_path(path)
    value = document
    for at, step in enumerate(steps):
        value = _below(value, step, steps[:at])
    return value


def _below(value: Any, step: Step, before: tuple[Step, ...]) -> Any:
    if isinstance(value, dict):
        if step in value:
            return value[step]
        raise ConfigError(f"no key {_shown(step)} in {_place(before)}: {_keys(value, step)}")
    if isinstance(value, list):
        index = int(step) if isinstance(step, str) and step.isascii() and step.isdigit() else step
        if isinstance(index, str):
            raise ConfigError(
                f"no key {_shown(step)} in {_place(before)}: it is a list of "
                f"{count(len(value), 'item')}; give a number, as in {_place((*before, 0))}"
            )
        if -len(value) <= index < len(value):
            return value[index]
        raise ConfigError(
            f"no item {index} in {_place(before)}: it has {count(len(value), 'item')}"
        )
    raise ConfigError(
        f"nothing below {_place(before)}, where {_shown(step)} was looked for: "
        f"it is {_scalar_kind(value)}"
    )


def _keys(value: dict[Any, Any], wanted: Step) -> str:
    if not value:
        return "it is an object without keys"
    some = [str(key) for key in islice(value, 1000)]
    near = get_close_matches(str(wanted)[:100], [key[:100] for key in some], n=1)
    listed = ", ".join(_shown(key) for key in some[:8])
    more = f" and {len(value) - 8:,} more" if len(value) > 8 else ""
    guess = f"; did you mean {_shown(near[0])}?" if near else ""
    return f"its keys are {listed}{more}{guess}"


def _shown(step: Step) -> str:
    return f'"{visible(clip(step, 40))}"' if isinstance(step, str) else str(step)


def _place(steps: tuple[Step, ...]) -> str:
    return visible(clip(short_path(steps), 120)) or "the document"


def _scalar_kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "text" if isinstance(value, str) else "a number"


def short_path(steps: Iterable[Step]) -> str:
    """Return steps as a person types them; `parse_path` reads them back.

    Examples:
        >>> short_path(("data", 0, "first name"))
        'data[0]["first name"]'
    """
    out: list[str] = []
    for step in steps:
        if isinstance(step, str) and _PLAIN_NAME.fullmatch(step):
            out.append(f".{step}" if out else step)
        else:
            out.append(python_step(step))
    return "".join(out)


def python_path(steps: Iterable[Step]) -> str:
    """Return the Python that gives what stands at `steps` in the answer `r`."""
    return "r.json()" + "".join(python_step(step) for step in steps)


def python_step(step: Step) -> str:
    r"""Return one step as Python writes it, with no character in it that cannot be seen.

    Examples:
        >>> python_step("id"), python_step(0), python_step("a\u202e")
        ('["id"]', '[0]', '["a\\u202e"]')
    """
    if isinstance(step, int):
        return f"[{step}]"
    return f"[{_PYTHON_ESCAPED.sub(_escape, json.dumps(step, ensure_ascii=False))}]"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
