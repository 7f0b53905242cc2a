"""What an answer says of asking again: whether, and when. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

__all__ = ["RETRYABLE", "http_date", "retry_after_s"]

RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})
"""The statuses of servers that cannot now."""


@lru_cache(maxsize=64)  # all answers of a second have one date
def http_date(value: str | None) -> datetime | None:
    """Read an HTTP date (RFC 9110 section 5.6.7); None when it is none."""
    if not value:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return date


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks to wait (RFC 9110 section 10.2.3).

    None when it is absent or invalid. A date is compared with the server's own clock.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    date = http_date(value)
    if date is None:
        return None
    now = http_date(headers.get("date")) or datetime.now(UTC)
    return max((date - now).total_seconds(), 0.0)
