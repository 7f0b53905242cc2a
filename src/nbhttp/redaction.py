"""The redactor that stands before every text that leaves the library.

What it hides, in this order:

1. *registered values*, however they are spelled: raw, percent-encoded, JSON- or HTML-escaped,
   base64 (also of ``user:value``);
2. *well-known shapes*: GitHub, AWS, Slack, Google, Stripe … tokens, JWTs, PEM private keys; and
   what the user's own patterns match;
3. *userinfo* in URLs;
4. *by name*: header fields, query and form parameters, JSON keys, ``name=value`` in prose, pairs
   of a name and a value, a form's inputs, options of command lines, YAML.

A mask says nothing about the secret but its kind: ``‹redacted›``, or ``‹redacted ghp_›`` where
the kind is public. The same value always gives the same mask, and a mask is never masked again.

The module is the bottom layer: standard library only. How each kind is found is in
`nbhttp._redaction`; here is what is in force, and what the library calls. The state (registered values, added names and
patterns) is one snapshot, replaced under a lock, so readers need none. Each rule is guarded by a
test that costs nanoseconds, and no expression can backtrack more than linearly.
"""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from nbhttp._redaction.fields import mask_field
from nbhttp._redaction.inputs import hide_inputs
from nbhttp._redaction.masks import MASK, MASKS_APART
from nbhttp._redaction.named import BARE_USERINFO, STEMS, hide_named, hide_userinfo, stem
from nbhttp._redaction.names import Kind, classify, normalise
from nbhttp._redaction.needles import SHORTEST, Needles
from nbhttp._redaction.options import hide_options
from nbhttp._redaction.shapes import hide_shapes, mask_of

__all__ = [
    "MASK",
    "add_name",
    "add_pattern",
    "is_credential_name",
    "mask_of",
    "name_for",
    "redact_body",
    "redact_headers",
    "redact_json",
    "redact_repr",
    "redact_text",
    "redact_url",
    "register",
    "remove_name",
    "remove_pattern",
    "unregister",
]

# --- the rules in force --------------------------------------------------------------------


# The same URL, message and fields come again in events, logs, `repr` and errors. What is
# remembered goes with the snapshot: nothing older than the last registered value.
_REMEMBERED_CHARS = 1024
_REMEMBERED_TEXTS = 256
_REMEMBERED_FIELDS = 1024


class _Rules:
    """A snapshot of what is hidden, with its expressions compiled and what they gave."""

    def __init__(
        self,
        needles: Needles | None = None,
        names: frozenset[str] = frozenset(),
        patterns: tuple[re.Pattern[str], ...] = (),
    ) -> None:
        self.needles = Needles() if needles is None else needles
        self.names = names
        self.patterns = patterns
        self.kind: Callable[[str], Kind] = lru_cache(maxsize=4096)(
            lambda name: classify(name, names)
        )
        self.text: Callable[[str], str] = lru_cache(maxsize=_REMEMBERED_TEXTS)(
            partial(self.redact, is_url=False)
        )
        self.url: Callable[[str], str] = lru_cache(maxsize=_REMEMBERED_TEXTS)(
            partial(self.redact, is_url=True)
        )
        self.fields: dict[tuple[str, str], tuple[str, str]] = {}
        self.stems = (*STEMS, *sorted(map(stem, names)))

    def redact(self, text: str, *, is_url: bool) -> str:
        if len(text) >= self.needles.shortest:
            text = self.needles.hide(text)
        text = hide_shapes(text)
        if self.patterns:
            text = self.hide_patterns(text)
        if "@" in text or ("%" in text and "%40" in text):
            if is_url:
                text = BARE_USERINFO.sub(lambda match: f"{mask_of(match[1])}@", text)
            text = hide_userinfo(text)
        has_options = "-" in text and ("--" in text or "curl" in text)
        if has_options or "=" in text or ":" in text or "%" in text or "(" in text or "</" in text:
            text = hide_named(text, self, is_url=is_url)
        if "<" in text and "<input" in text:
            text = hide_inputs(text, self)
        if has_options:
            text = hide_options(text, self)
        return text

    def hide_patterns(self, text: str) -> str:
        parts = MASKS_APART.split(text)
        for i in range(0, len(parts), 2):
            for pattern in self.patterns:
                parts[i] = "".join(
                    piece if j % 2 else pattern.sub(_mask_match, piece)
                    for j, piece in enumerate(MASKS_APART.split(parts[i]))
                )
        return "".join(parts)


def _mask_match(match: re.Match[str]) -> str:
    return mask_of(match[0])


_lock = threading.Lock()
_values: Counter[str] = Counter()
_rules = _Rules()


def _replace_rules(
    *,
    names: frozenset[str] | None = None,
    patterns: tuple[re.Pattern[str], ...] | None = None,
) -> None:
    global _rules  # noqa: PLW0603 - the one snapshot that readers take
    _rules = _Rules(
        _rules.needles,
        _rules.names if names is None else names,
        _rules.patterns if patterns is None else patterns,
    )


def register(value: str) -> None:
    """Hide `value` in every text from now on, however it is encoded there.

    Found are the value as it is, percent-encoded, JSON- and HTML-escaped, and in base64 alone
    or within a longer text (``user:value``). A value of 8 and more characters is found
    anywhere; one of 4 to 7 only as a whole word, so that the password ``admin`` leaves
    ``administrator`` readable; a shorter one is not sought: a text full of masks would
    tell it. Registering a value again counts; see `unregister`.

    Args:
        value: The secret. White space around it is ignored; an empty one does nothing.

    Raises:
        TypeError: `value` is not a string.
    """
    value = _checked_value(value)
    if len(value) < SHORTEST:
        return
    with _lock:
        _values[value] += 1
        if value in _rules.needles:
            return
        _rules.needles.add(value)
        _replace_rules()


def unregister(value: str) -> None:
    """Take one registration of `value` back; the last one makes it visible again.

    Args:
        value: What was given to `register`; an unknown one does nothing.

    Raises:
        TypeError: `value` is not a string.
    """
    value = _checked_value(value)
    with _lock:
        if value not in _rules.needles:
            return
        _values[value] -= 1
        if _values[value] > 0:
            return
        del _values[value]
        _rules.needles.remove(value)
        _replace_rules()


def _checked_value(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a secret to hide must be a str, not {type(value).__name__}")
    return value.strip()


def add_name(name: str) -> Callable[[], None]:
    """Hide the values of this name: header field, parameter, JSON key or ``name=value``.

    Upper and lower case, ``-``, ``_`` and ``.`` make no difference.

    Args:
        name: Such as ``"X-Tenant-Key"``.

    Returns:
        A function that takes the name back, like `remove_name`.

    Raises:
        ConfigError: The name has no letter or digit.
    """
    plain = _checked_name(name)
    with _lock:
        _replace_rules(names=_rules.names | {plain})
    return lambda: remove_name(name)


def remove_name(name: str) -> None:
    """Take back what `add_name` added; the built-in names stay.

    Args:
        name: The name in any spelling; an unknown one does nothing.

    Raises:
        ConfigError: The name has no letter or digit.
    """
    plain = _checked_name(name)
    with _lock:
        _replace_rules(names=_rules.names - {plain})


def _checked_name(name: str) -> str:
    plain = normalise(name) if isinstance(name, str) else ""
    if not plain:
        from nbhttp.errors import ConfigError

        raise ConfigError(f"a name to hide needs a letter or a digit, got {name!r}")
    return plain


def add_pattern(pattern: str | re.Pattern[str]) -> Callable[[], None]:
    r"""Hide whatever this regular expression matches, wholly.

    Args:
        pattern: Such as ``r"acme-[0-9a-f]{32}"``; an expression that backtracks without end
            on some text will do so here too.

    Returns:
        A function that takes the pattern back, like `remove_pattern`.

    Raises:
        ConfigError: The pattern does not compile, is for bytes, or matches the empty text.
    """
    compiled = _checked_pattern(pattern)
    with _lock:
        if compiled not in _rules.patterns:
            _replace_rules(patterns=(*_rules.patterns, compiled))
    return lambda: remove_pattern(compiled)


def remove_pattern(pattern: str | re.Pattern[str]) -> None:
    """Take back what `add_pattern` added.

    Args:
        pattern: The pattern's text or the compiled pattern; an unknown one does nothing.

    Raises:
        ConfigError: The pattern could never have been added.
    """
    compiled = _checked_pattern(pattern)
    with _lock:
        _replace_rules(patterns=tuple(p for p in _rules.patterns if p != compiled))


def _checked_pattern(pattern: Any) -> re.Pattern[str]:
    from nbhttp.errors import ConfigError

    if isinstance(pattern, bytes) or isinstance(getattr(pattern, "pattern", None), bytes):
        raise ConfigError(f"the pattern to hide {pattern!r} must be text, not bytes")
    try:
        compiled: re.Pattern[str] = re.compile(pattern)
    except (re.error, TypeError, OverflowError, RecursionError) as exc:
        raise ConfigError(f"the pattern to hide {pattern!r} does not compile: {exc}") from exc
    if compiled.match(""):
        raise ConfigError(
            f"the pattern to hide {compiled.pattern!r} matches the empty text; "
            "ask for at least one character"
        )
    return compiled


def is_credential_name(name: str) -> bool:
    """Whether a header field or parameter of this name carries a credential.

    Args:
        name: The name in any case, with ``-``, ``_`` or neither.
    """
    return _rules.kind(name) is not Kind.NONE


# --- texts ---------------------------------------------------------------------------------


def redact_text(text: str) -> str:
    """The text with every secret in it masked.

    Args:
        text: Any text: prose, a URL, an HTTP message, JSON whole or cut off.
    """
    rules = _rules
    if len(text) > _REMEMBERED_CHARS:
        return rules.redact(text, is_url=False)
    return rules.text(text)


def redact_repr(value: object) -> str:
    """The value's `repr` for a message, masked: what was put in the wrong place may be secret.

    Args:
        value: Anything, such as an argument that is refused.
    """
    return redact_text(repr(value))


def redact_url(url: str) -> str:
    """The URL with userinfo, secret parameters and every other known secret masked.

    Parameters are those of the query, the fragment and path segments (``;token=…``), also in a
    URL that is itself a parameter. The path stays, but for registered values and known shapes.

    Args:
        url: An absolute, relative or broken URL.
    """
    rules = _rules
    if len(url) > _REMEMBERED_CHARS:
        return rules.redact(url, is_url=True)
    return rules.url(url)


# --- header fields, JSON, bodies -----------------------------------------------------------


def redact_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Header fields with secret values masked.

    ``Authorization`` keeps its scheme, ``Cookie`` and ``Set-Cookie`` their names and attributes;
    every other value passes `redact_text`.

    Args:
        headers: Pairs of name and value; their order and repetition stay.
    """
    rules = _rules
    known = rules.fields.get
    fields = [(name, value) for name, value in headers]
    return [known(field) or _redact_field(rules, field) for field in fields]


def _redact_field(rules: _Rules, field: tuple[str, str]) -> tuple[str, str]:
    name, value = field
    if rules.kind(name) is not Kind.NONE:
        value = mask_field(name, value)
    redacted = name, rules.redact(value, is_url=False)
    if len(field[1]) <= _REMEMBERED_CHARS:
        if len(rules.fields) >= _REMEMBERED_FIELDS:
            rules.fields.clear()
        rules.fields[field] = redacted
    return redacted


def redact_json(value: Any) -> Any:
    """A copy of a decoded JSON value with secrets masked; the original stays.

    Strings and numbers below a secret key are masked (all of them, where it holds an object or
    an array), ``null`` and booleans stay; every other string passes `redact_text`.

    Args:
        value: Dicts, lists, tuples and scalars, nested as deep as memory allows; objects of
            other types stay as they are.
    """
    rules = _rules
    root: list[Any] = [value]
    # Each entry: a fresh container whose children are still the originals, the name that makes
    # everything below it secret or "".
    todo: list[tuple[Any, str]] = [(root, "")]
    while todo:
        container, secret_name = todo.pop()
        is_dict = isinstance(container, dict)
        for key, child in list(container.items() if is_dict else enumerate(container)):
            name = secret_name
            if is_dict and not name and isinstance(key, str):
                name = _secret_json_name(rules, name_for(container, key), child)
            if isinstance(child, dict):
                fresh: Any = {_redact_key(k): v for k, v in child.items()}
                todo.append((fresh, name))
            elif isinstance(child, (list, tuple)):
                fresh = list(child)
                todo.append((fresh, name))
            else:
                fresh = _redact_leaf(child, name)
            container[key] = fresh
    return root[0]


_PAIRS = {"value": ("name", "key"), "Value": ("Name", "Key")}
_PAIR_NAME = re.compile(r"[\w.$~:\[\]-]{1,64}")


def name_for(mapping: Mapping[Any, Any], key: str) -> str:
    """The name that says whether what stands below `key` is secret: mostly the key itself.

    Of a pair such as ``{"name": "password", "value": …}``, as HAR and Postman have it, it is the
    one that the pair gives.
    """
    for other in _PAIRS.get(key, ()):
        name = mapping.get(other)
        if isinstance(name, str) and _PAIR_NAME.fullmatch(name):
            return name
    return key


def _secret_json_name(rules: _Rules, key: str, child: Any) -> str:
    needed = Kind.ANYWHERE if isinstance(child, (dict, list, tuple)) else Kind.DATA
    return key if rules.kind(key) >= needed else ""


def _redact_key(key: Any) -> Any:
    return redact_text(key) if isinstance(key, str) else key


def _redact_leaf(value: Any, secret_name: str) -> Any:
    if isinstance(value, str):
        return mask_field(secret_name, value) if secret_name else redact_text(value)
    if secret_name and isinstance(value, (int, float)) and not isinstance(value, bool):
        return MASK
    return value


_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)
# RFC 7578 section 4.2: the field's name stands in its Content-Disposition.
_PART = re.compile(
    r"(name=\"([^\"\r\n]{1,200})\"[^\r\n]{0,500}+(?:\r?\n[^\r\n]{1,500}+){0,8}+\r?\n\r?\n)"
    r"([^\r\n]*+(?:\r?\n(?!--)[^\r\n]*+)*+)"
)


def redact_body(data: bytes | str, content_type: str) -> str:
    """A request's or response's body as text, with secrets masked.

    JSON is masked by key without being parsed, so that its layout stays and a body that is cut
    off or invalid is masked as well; a form by parameter; anything else as text.

    Args:
        data: The body or its beginning; bytes are decoded by `content_type`'s charset or as
            UTF-8, and what is not valid becomes U+FFFD.
        content_type: The Content-Type field; empty when there is none.
    """
    text = data if isinstance(data, str) else _decode(data, content_type)
    essence = content_type.partition(";")[0].strip().lower()
    if essence == "application/x-www-form-urlencoded":
        return "&".join(map(_redact_form_field, _rules.needles.hide(text).split("&")))
    if essence.startswith("multipart/"):
        text = _PART.sub(_mask_part, text)
    elif essence in _SHEETS:
        text = _hide_columns(text, _SHEETS[essence])
    return redact_text(text)


# Media types of tables, and what may separate their cells.
_SHEETS = {
    "text/csv": ",;\t|",
    "application/csv": ",;\t|",
    "text/tab-separated-values": "\t",
}
# RFC 4180; whatever follows the quotes of a cell belongs to it.
_CELLS = {
    separator: re.compile(
        r"((?:\"[^\"]*+(?:\"\"[^\"]*+)*+\"?+)?+"
        rf"[^{re.escape(separator)}\r\n]*+)({re.escape(separator)}|\r?\n|\r|\Z)"
    )
    for separator in ",;\t|"
}


def _hide_columns(text: str, separators: str) -> str:
    """A table's text with the cells masked that stand below a secret name."""
    head = text.partition("\n")[0]
    separator = max(separators, key=head.count)
    secret: set[int] = set()
    out: list[str] = []
    column, is_head = 0, True
    for match in _CELLS[separator].finditer(text):
        cell, end = match.groups()
        if is_head and _rules.kind(cell.strip(' "\ufeff')) >= Kind.DATA:
            secret.add(column)
        is_secret = not is_head and column in secret
        out += (mask_of(cell) if is_secret else cell, end)
        column += 1
        if end != separator:
            if not secret:
                return text
            column, is_head = 0, False
    return "".join(out)


def _redact_form_field(field: str) -> str:
    name, equals, value = field.partition("=")
    if equals and is_credential_name(name):
        return f"{name}={mask_of(value)}"
    return redact_text(field)


def _decode(data: bytes, content_type: str) -> str:
    match = _CHARSET.search(content_type)
    try:
        return data.decode(match[1] if match else "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _mask_part(match: re.Match[str]) -> str:
    if not is_credential_name(match[2]):
        return match[0]
    return match[1] + mask_of(match[3])
