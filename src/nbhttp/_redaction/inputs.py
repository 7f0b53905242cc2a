"""Secrets in the forms of a page."""

import re
from functools import partial

from nbhttp._redaction.names import Kind
from nbhttp._redaction.rules import Rules
from nbhttp._redaction.shapes import mask_of

__all__ = ["hide_inputs"]

_INPUT = re.compile(r"<input\b(?:[^<>\"']|\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)){0,4096}+")
_ATTRIBUTE = re.compile(
    r"(?<=[\s\"'])([a-z]{1,20})\s{0,4}=\s{0,4}(?:\"([^\"]*+)|'([^']*+)|([^\s\"'/>]++))"
)
_LABELLED = frozenset(["submit", "button", "reset", "image", "checkbox", "radio"])


def hide_inputs(text: str, rules: Rules) -> str:
    """Mask the values of forms' `<input>`s."""
    return _INPUT.sub(partial(_mask_input, rules), text)


def _mask_input(rules: Rules, match: re.Match[str]) -> str:
    """A form's `<input>` with its value masked, where its name or its type makes it secret."""
    tag = match[0]
    found = {attribute[1]: attribute for attribute in _ATTRIBUTE.finditer(tag)}
    name, kind, value = (
        (found[key][found[key].lastindex or 0], found[key]) if key in found else ("", None)
        for key in ("name", "type", "value")
    )
    is_secret = kind[0] == "password" or rules.kind(name[0]) >= Kind.DATA
    if value[1] is None or not is_secret or kind[0] in _LABELLED:  # a button's value is its label
        return tag
    start, end = value[1].span(value[1].lastindex or 0)
    return tag[:start] + mask_of(value[0]) + tag[end:]
