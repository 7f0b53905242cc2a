"""Answers that several endpoints give: JSON, problems, conditional and encoded ones."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

__all__ = [
    "ProblemError",
    "integer",
    "json_body",
    "json_reply",
    "number",
    "problem_reply",
    "with_etag",
]


class ProblemError(Exception):
    """A request that cannot be served; becomes an RFC 9457 `application/problem+json` answer.

    Args:
        status: The status code.
        title: What kind of problem it is.
        detail: What is wrong with this request, and what would be right.
        headers: Fields to send along, such as `Retry-After`.
        **more: Members beyond the standard ones, such as `errors`.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.headers = dict(headers or {})
        self.members = {"title": title, "status": status, "detail": detail, **more}


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(value), status, dict(headers or {}), "application/json")


def problem_reply(request: Request, problem: ProblemError) -> Response:
    """Answer with a problem."""
    members = {"type": "about:blank", **problem.members, "instance": request.url.path}
    body = orjson.dumps(members)
    return Response(body, problem.status, problem.headers, "application/problem+json")


def number(
    request: Request, name: str, default: float, *, least: float = 0, most: float = 60
) -> float:
    """Return a number from the query.

    Raises:
        ProblemError: 422, when it is not one or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if least <= value <= most:
        return value
    raise invalid({name: f"expected a number from {least:g} to {most:g}, not {text!r}"})


def integer(
    request: Request, name: str, default: int, *, least: int = 1, most: int = 10_000
) -> int:
    """Return a whole number from the query.

    Raises:
        ProblemError: 422, when it is not one or out of bounds.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isdecimal() and least <= int(text) <= most:
        return int(text)
    raise invalid({name: f"expected a whole number from {least} to {most}, not {text!r}"})


def invalid(errors: Mapping[str, str]) -> ProblemError:
    """Return the 422 that names each wrong field."""
    fields = [{"field": field, "message": message} for field, message in errors.items()]
    named = ", ".join(errors)
    return ProblemError(
        422, "Invalid input", f"These fields are not right: {named}.", errors=fields
    )


async def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body.

    Raises:
        ProblemError: 400 when it is not JSON, 415 when it is not said to be, 422 when it is JSON
            but no object.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ProblemError(415, "Unsupported media type", "Send Content-Type: application/json.")
    try:
        value = orjson.loads(await request.body())
    except orjson.JSONDecodeError as exc:
        raise ProblemError(400, "Malformed JSON", f"The body is not JSON: {exc}.") from None
    if not isinstance(value, dict):
        raise invalid({"": f"expected an object, not {type(value).__name__}"})
    return value


def etag_of(body: bytes) -> str:
    """Return a strong validator for these bytes (RFC 9110 section 8.8.3)."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


def matches(field: str, etag: str, *, weakly: bool) -> bool:
    """Say whether an If-Match or If-None-Match field names `etag` (RFC 9110 section 8.8.3.2)."""
    tags = [tag.strip() for tag in field.split(",")]
    if weakly:
        tags = [tag.removeprefix("W/") for tag in tags]
    return "*" in tags or etag in tags


def with_etag(request: Request, reply: Response) -> Response:
    """Give a reply its validator; answer 304 without a body when the client has it already."""
    etag = etag_of(bytes(reply.body))
    reply.headers["ETag"] = etag
    if matches(request.headers.get("if-none-match", ""), etag, weakly=True):
        kept = {
            k: v for k, v in reply.headers.items() if k not in ("content-length", "content-type")
        }
        return Response(None, 304, kept)
    return reply
