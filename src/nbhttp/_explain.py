"""What a server says about its own error, found in the body; and what to do about a status."""

from typing import Any

from nbhttp.redaction import redact_body, redact_text

__all__ = ["explain", "opening", "status_hint"]

_MAX_CHARACTERS = 300
_MAX_BODY = 256 * 1024  # an explanation is short; a megabyte of JSON is data

_HINTS = {
    400: "the server did not understand the request: look at r.text",
    401: "credentials are missing or wrong: give nbhttp.bearer(token) or (user, password) as auth",
    403: "the credentials do not allow this",
    404: "check the path; r.url is what was asked",
    405: "the resource does not take this method; see the Allow header",
    406: "the server has no such representation: check the Accept header",
    408: "the server waited too long for the request; try again",
    409: "the resource is in another state than the request expects",
    410: "the resource is gone for good",
    411: "the server wants a Content-Length: pass the body as bytes",
    412: "a precondition (If-Match, If-Unmodified-Since) does not hold",
    413: "the request body is too large for the server",
    414: "the URL is too long: send the parameters in a body",
    415: "check the Content-Type: json= sends JSON, data= a form",
    422: "the server understood the request but not its values: look at r.json()",
    429: "too many requests: slow down",
    431: "the request's headers are too large (cookies?)",
    500: "the fault is on the server's side; try again later",
    501: "the server does not support this method",
    502: "a gateway got no valid answer from the server behind it; try again later",
    503: "the server is overloaded or down for maintenance; try again later",
    504: "a gateway got no answer in time from the server behind it; try again later",
}


def status_hint(status: int, retry_after: str = "") -> str | None:
    """Say what to do about a 4xx or 5xx; None when there is nothing general to say."""
    hint = _HINTS.get(status)
    if retry_after and status in {429, 503}:
        wait = f"after {retry_after} s" if retry_after.strip().isdigit() else f"at {retry_after}"
        return f"{hint}; it may be retried {wait[:60]}"
    return hint


def explain(body: bytes, content_type: str, reason: str = "") -> str:
    """Return ": what the server says", or "" when it says nothing that can be recognised.

    What repeats `reason`, the status's own phrase, is left out.

    Problem details (RFC 9457), OAuth errors (RFC 6749 section 5.2), GraphQL errors and the usual
    `error`, `message`, `detail` fields; plain text when it is one short line.
    """
    if not body or len(body) > _MAX_BODY:
        return ""
    if "json" in content_type or body.lstrip()[:1] == b"{":
        found = _from_json(body)
    elif content_type == "text/plain":
        found = body.decode("utf-8", "replace").strip()
        found = "" if "\n" in found else found
    else:
        found = ""
    repeated = len(reason) + 2
    if reason and found[:repeated].casefold() == f"{reason}: ".casefold():
        found = found[repeated:]
    is_news = found and found.casefold() != reason.casefold()
    return f": {clip(redact_text(found))}" if is_news else ""


def opening(body: bytes, content_type: str) -> str:
    """Return "; body starts '…'", redacted, or "" for an empty body."""
    if not body.strip():
        return ""
    from nbhttp._charset import decode

    text = redact_body(decode(body[:512], content_type), content_type)
    return f"; body starts {clip(text, 80)!r}"


def clip(text: str, most: int = _MAX_CHARACTERS) -> str:
    """Shorten `text` to `most` characters on one line, with an ellipsis where it was cut."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _from_json(body: bytes) -> str:
    from nbhttp._json import JsonError, loads

    try:
        return _from_value(loads(body))
    except JsonError:
        return ""


def _from_value(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth > 3:
        return ""
    if isinstance(value, list):
        parts = [_from_value(item, depth + 1) for item in value[:3]]
        return "; ".join(part for part in parts if part)
    if not isinstance(value, dict):
        return ""
    title, detail = value.get("title"), value.get("detail")
    if isinstance(title, str) and isinstance(detail, str) and title != detail:
        return f"{title.rstrip('.')}: {detail}" + _field_errors(value)
    for key in (
        "detail",
        "error_description",
        "message",
        "msg",
        "title",
        "error",
        "errors",
        "reason",
    ):
        found = _from_value(value.get(key), depth + 1)
        if found:
            where = value.get("loc") or value.get("field")
            prefix = f"{_path(where)}: " if depth and isinstance(where, str | list) else ""
            return prefix + found
    return ""


def _field_errors(problem: dict[str, Any]) -> str:
    found = _from_value(problem.get("errors"), 1)
    return f" ({found})" if found else ""


def _path(where: str | list[Any]) -> str:
    return where if isinstance(where, str) else ".".join(str(part) for part in where)
