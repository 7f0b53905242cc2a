"""Our own files of JSON lines, which anybody may have cut or changed."""

import json
from typing import Any

__all__ = ["parse_object"]


def parse_object(line: str) -> dict[str, Any] | None:
    """Return the object that a line holds; None when it is none, or torn."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
