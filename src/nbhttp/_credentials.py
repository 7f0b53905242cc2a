"""Remembers the credentials that requests carry, so that an echoed one is masked too."""

import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from nbhttp.redaction import is_credential_name, register, unregister

__all__ = ["remember", "remember_echoed"]

_MOST = 2048  # tokens that rotate must not fill the memory
_MOST_SHORT = 256  # values without a long run are sought one by one, in every text
_LONG_RUN = 12
_LOOKED_AT = 16  # values that are in use, before memory is let grow
_LEAST_ECHO = 12  # "en" or "stations" is no secret, and would mask ordinary words
_MOST_SENT = 256 * 1024  # a login is short; a megabyte is data
_RUN = re.compile(r"[A-Za-z0-9]+")

_Memory = OrderedDict[str, "weakref.ref[object] | None"]
"""By value: what the credential belongs to, where that is known. Least recently used first."""

_known: _Memory = OrderedDict()
_known_short: _Memory = OrderedDict()
_lock = threading.Lock()


def remember(value: str, *, owner: object = None) -> None:
    """Have the redactor mask `value` wherever it appears.

    The least recently used of 2,048 values, or of 256 short ones, is forgotten; but not while
    its owner is there.

    Args:
        value: The credential; one of less than 4 characters is not sought.
        owner: Such as the auth scheme that sends it; None where there is none.
    """
    if len(value) < 4 or not value.strip():
        return
    with _lock:
        memory = _memory_for(value)
        if value in memory:
            memory.move_to_end(value)
        else:
            register(value)
            memory[value] = None
        if owner is not None:
            memory[value] = weakref.ref(owner)
        if len(memory) > (_MOST if memory is _known else _MOST_SHORT):
            _forget_one(memory)


def _memory_for(value: str) -> _Memory:
    if value in _known:
        return _known
    if value in _known_short or len(_longest_run(value)) < _LONG_RUN:
        return _known_short
    return _known


def _forget_one(memory: _Memory) -> None:
    """Forget the first whose owner is gone; those looked at before it are put last."""
    for _ in range(_LOOKED_AT):
        oldest, owner = memory.popitem(last=False)
        if owner is None or owner() is None:
            unregister(oldest)
            return
        memory[oldest] = owner


def _longest_run(value: str) -> str:
    return max(_RUN.findall(value), key=len, default="")


def remember_echoed(
    urls: Iterable[str],
    headers: Iterable[tuple[bytes, bytes]],
    sent: bytes | None,
    answer: bytes,
) -> None:
    """Remember what a request carried under a credential's name and the answer repeats.

    Called when an answer is about to be shown. Remembering every signature of ten thousand
    signed URLs would make redaction slow; those that a server quotes are few.

    Args:
        urls: What was asked: the query and its fragment count.
        headers: The request's fields; cookies and the type of its body count.
        sent: The request's body; None when it was streamed.
        answer: The answer's body, decoded.
    """
    if not answer:
        return
    for value in _carried(urls, headers, sent):
        if len(value) >= _LEAST_ECHO and _may_hold(answer, value):
            remember(value)


def _may_hold(answer: bytes, value: str) -> bool:
    """Whether the part of `value` that no encoding changes stands in `answer`."""
    return (_longest_run(value) or value).encode() in answer


def _carried(
    urls: Iterable[str], headers: Iterable[tuple[bytes, bytes]], sent: bytes | None
) -> Iterator[str]:
    for url in urls:
        if "=" in url:
            parts = urlsplit(url)
            yield from _named(parse_qsl(parts.query))
            yield from _named(parse_qsl(parts.fragment))
    content_type = b""
    for name, field in headers:
        lower = name.lower()
        if lower == b"cookie":
            for pair in field.decode("utf-8", "replace").split("; "):
                yield pair.partition("=")[2]
        elif lower == b"content-type":
            content_type = field.lower()
    if sent and len(sent) <= _MOST_SENT:
        yield from _in_body(sent, content_type)


def _named(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (value for name, value in pairs if is_credential_name(name))


def _in_body(sent: bytes, content_type: bytes) -> Iterator[str]:
    if b"x-www-form-urlencoded" in content_type:
        yield from _named(parse_qsl(sent.decode("utf-8", "replace")))
    elif b"json" in content_type:
        from nbhttp._json import JsonError, loads

        try:
            document = loads(sent)
        except JsonError:
            return
        yield from _in_json(document)


def _in_json(document: Any) -> Iterator[str]:
    """Yield each text below a key with a credential's name."""
    todo = [(document, False)]
    while todo:
        value, is_secret = todo.pop()
        if isinstance(value, dict):
            todo += [(v, is_secret or is_credential_name(k)) for k, v in value.items()]
        elif isinstance(value, list):
            todo += [(v, is_secret) for v in value]
        elif is_secret and isinstance(value, str):
            yield value
