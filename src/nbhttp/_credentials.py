"""Remembers the credentials that requests carry, so that an echoed one is masked too."""

import threading
from collections import OrderedDict

from nbhttp.redaction import register, unregister

__all__ = ["remember"]

_MOST = 256  # tokens that rotate must not make every redaction slower and slower

_known: OrderedDict[str, None] = OrderedDict()
_lock = threading.Lock()


def remember(value: str) -> None:
    """Have the redactor mask `value` wherever it appears; the oldest of 256 is forgotten."""
    if value in _known:
        return
    if len(value) < 4 or not value.strip():
        return
    with _lock:
        if value in _known:
            return
        _known[value] = None
        register(value)
        if len(_known) > _MOST:
            oldest, _ = _known.popitem(last=False)
            unregister(oldest)
