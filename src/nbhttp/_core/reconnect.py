"""When an event stream is opened again, and when it has ended: decisions without any I/O.

WHATWG HTML section 9.2.3 says what a browser does. nbhttp does the same with two additions for
code that waits for the end: what was ended cleanly by a server that gave no sign of wanting its
client back has ended, and a server that is restarting (502, 503, …) is asked again.
"""

from typing import Literal, NamedTuple

from nbhttp._core.retry import RETRYABLE
from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

__all__ = ["Ending", "checked_reconnect", "delay_s", "judge", "wants_client_back"]

MEDIA_TYPE = "text/event-stream"

_FIRST_DELAY_S = 1.0
_MOST_DELAY_S = 30.0  # of our own backoff; a server's `retry` may be longer
_MOST_RETRY_S = 3600.0
_SPREAD = 0.25  # so that the clients of a restarted server do not all return at once


class Ending(NamedTuple):
    """How one connection of an event stream ended.

    Attributes:
        is_broken: By a failure, not by the end of its body.
        is_within_event: In the middle of an event.
        has_id: After the server had sent an event ID, on this or an earlier connection.
        has_retry: Likewise a reconnection time.
    """

    is_broken: bool
    is_within_event: bool
    has_id: bool
    has_retry: bool


def wants_client_back(ending: Ending) -> bool:
    """Whether more is to come on another connection.

    An answer of a language model ends cleanly and has no IDs: to ask again would repeat it.
    """
    return any(ending)


def judge(
    status: int, content_type: str, *, is_first: bool
) -> Literal["read", "end", "again", "status", "type"]:
    """Say what the head of an answer means.

    Args:
        status: Its status.
        content_type: The value of Content-Type; "" for none.
        is_first: Whether no connection of this stream was open before.

    Returns:
        "read" it; "end": the server has no more; "again": ask later; "status" or "type": fail.
    """
    if status == 204:
        return "end"
    if status >= 400:
        return "again" if status in RETRYABLE and not is_first else "status"
    media_type = content_type.partition(";")[0].strip().lower()
    return "read" if media_type == MEDIA_TYPE else "type"


def delay_s(
    retry_ms: int | None, failures: int, chance: float, retry_after_s: float = 0.0
) -> float:
    """Return the seconds to wait before the next connection.

    Args:
        retry_ms: The server's reconnection time; None when it sent none.
        failures: Connections in a row that brought no event.
        chance: From 0 to 1; spreads the clients, and never shortens what the server asked for.
        retry_after_s: The least, if the server refused with Retry-After.
    """
    asked = _FIRST_DELAY_S if retry_ms is None else min(retry_ms / 1000, _MOST_RETRY_S)
    backoff = 0.0
    if failures:
        backoff = min(max(asked, 0.1) * 2.0 ** min(failures, 16), _MOST_DELAY_S)
    least = max(asked, backoff, min(retry_after_s, _MOST_RETRY_S))
    return least * (1 + _SPREAD * chance)


def checked_reconnect(reconnect: object, *, is_replayable: bool) -> float:
    """Return how many connections in a row may fail; 0 for no reconnecting.

    Args:
        reconnect: True for any number, False for none, or a number.
        is_replayable: Whether the request may be sent again unasked; a POST may not.

    Raises:
        ConfigError: The number is negative.
        TypeError: It is no number.
    """
    if not isinstance(reconnect, int):
        raise TypeError(
            f"reconnect takes True, False or a number of attempts, not {redact_repr(reconnect)}"
        )
    if reconnect < 0:
        raise ConfigError(f"reconnect must not be negative, got {reconnect}")
    if not is_replayable:
        return 0
    return float("inf") if reconnect is True else reconnect
