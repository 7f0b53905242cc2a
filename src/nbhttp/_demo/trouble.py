"""Answers that a client has to cope with: statuses, redirects, waits, limits."""

import time
from collections.abc import AsyncIterator
from http import HTTPStatus

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from nbhttp._demo.replies import ProblemError, integer, invalid, json_reply, number
from nbhttp._demo.state import state_of
from nbhttp._demo.table import Group

__all__ = ["group", "redirects"]

group = Group("Trouble", "Errors, waits and limits, on request and with a happy end.")
redirects = Group("Redirects", "Ways to be sent elsewhere.")

PHRASES = {status.value: status.phrase for status in HTTPStatus}


@group.answers(
    "ANY /status/{code:int}",
    "The status you name, 200 to 599; 4xx and 5xx come as problem+json.",
    sample="/status/404",
)
async def status(request: Request) -> Response:
    """Answer with the status in the path."""
    code = request.path_params["code"]
    if not 200 <= code <= 599:
        raise invalid({"code": f"expected 200 to 599, not {code}"})
    phrase = PHRASES.get(code, "Unassigned")
    if code >= 400:
        raise ProblemError(code, phrase, f"You asked for status {code}.")
    if code in (204, 205, 304):
        return Response(status_code=code)
    return json_reply({"status": code, "title": phrase}, code)


@group.answers("GET /problem", "A 422 with several field errors (RFC 9457).")
async def problem(_request: Request) -> Response:
    """Answer the problem that a half-filled form gets."""
    raise invalid(
        {"name": "is required", "capacity": "expected a whole number from 1 to 100, not -3"}
    )


@group.answers("GET /broken", "A 500, as a server answers that has lost its database.")
async def broken(_request: Request) -> Response:
    """Answer a problem with a reference to quote."""
    raise ProblemError(
        500, "Internal server error", "The station database is not there.", reference="PE-2025-0601"
    )


@group.answers(
    "GET /slow",
    "Waits before it answers.",
    sample="/slow?seconds=0.2",
    seconds="how long, 0 to 60; 1 when left out",
)
async def slow(request: Request) -> Response:
    """Answer after a while."""
    seconds = number(request, "seconds", 1)
    await anyio.sleep(seconds)
    return json_reply({"waited_s": seconds})


@group.answers(
    "GET /drip",
    "Sends its body byte by byte.",
    sample="/drip?seconds=0.2&size=20",
    seconds="for the whole body, 0 to 60; 1 when left out",
    size="bytes, 1 to 10000; 10 when left out",
)
async def drip(request: Request) -> Response:
    """Answer with a known length and little haste."""
    size, seconds = integer(request, "size", 10), number(request, "seconds", 1)

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(size):
            await anyio.sleep(seconds / size)
            yield b"*"

    headers = {"Content-Length": str(size)}
    return StreamingResponse(drops(), headers=headers, media_type="text/plain")


@group.answers(
    "ANY /busy",
    "Fails with Retry-After a few times, then answers.",
    sample="/busy?failures=2&retry_after=0&key=mine",
    failures="attempts that fail; 2 when left out",
    status="status of a failed attempt, such as 429; 503 when left out",
    retry_after="seconds to wait; 0 when left out",
    key="attempts are counted for each key",
)
async def busy(request: Request) -> Response:
    """Answer the n-th attempt of a key; the count starts anew after a success."""
    failures = integer(request, "failures", 2, least=0, most=100)
    code = integer(request, "status", 503, least=400, most=599)
    wait_s = integer(request, "retry_after", 0, least=0, most=3600)
    key = request.query_params.get("key", "")
    attempts = state_of(request).attempts
    attempts[key] += 1
    attempt = attempts[key]
    if attempt > failures:
        del attempts[key]
        return json_reply({"attempt": attempt, "key": key})
    raise ProblemError(
        code,
        PHRASES.get(code, "Busy"),
        f"Attempt {attempt} fails; attempt {failures + 1} will be served.",
        headers={"Retry-After": str(wait_s)},
        attempt=attempt,
    )


@group.answers(
    "GET /limited",
    "A rate limit: 429 with Retry-After once the burst is spent.",
    sample="/limited?rate=100&burst=10",
    rate="requests a second; 5 when left out",
    burst="requests at once; 5 when left out",
    key="each key has its own limit",
)
async def limited(request: Request) -> Response:
    """Answer while there are tokens in the key's bucket."""
    rate = number(request, "rate", 5, least=0.1, most=10_000)
    burst = integer(request, "burst", 5)
    key = request.query_params.get("key", "")
    buckets, now = state_of(request).buckets, time.monotonic()
    tokens, then = buckets.get(key, (float(burst), now))
    tokens = min(float(burst), tokens + (now - then) * rate)
    is_served = tokens >= 1
    tokens -= is_served
    buckets[key] = (tokens, now)
    headers = {"X-RateLimit-Limit": str(burst), "X-RateLimit-Remaining": str(int(tokens))}
    if is_served:
        return json_reply({"served": True, "remaining": int(tokens)}, headers=headers)
    headers["Retry-After"] = str(max(1, round((1 - tokens) / rate)))
    raise ProblemError(429, "Too many requests", f"More than {rate:g} a second.", headers=headers)


@redirects.answers(
    "GET /redirects/{count:int}",
    "A chain of 302s, ending at /echo.",
    sample="/redirects/3",
)
async def chain(request: Request) -> Response:
    """Redirect to the rest of the chain."""
    count = request.path_params["count"]
    return RedirectResponse(f"/redirects/{count - 1}" if count > 1 else "/echo", 302)


@redirects.answers("GET /redirects/loop", "A redirect to itself, without end.")
async def loop(_request: Request) -> Response:
    """Redirect to the same path."""
    return RedirectResponse("/redirects/loop", 302)


@redirects.answers("ANY /redirects/see-other", "303: go on with GET, whatever the method was.")
async def see_other(_request: Request) -> Response:
    """Redirect and change the method to GET (RFC 9110 section 15.4.4)."""
    return RedirectResponse("/echo", 303)


@redirects.answers("ANY /redirects/temporary", "307: go on with the same method and body.")
async def temporary(_request: Request) -> Response:
    """Redirect and keep the method (RFC 9110 section 15.4.8)."""
    return RedirectResponse("/echo", 307)


@redirects.answers("ANY /redirects/permanent", "308: the same, for good.")
async def permanent(_request: Request) -> Response:
    """Redirect for good and keep the method (RFC 9110 section 15.4.9)."""
    return RedirectResponse("/echo", 308)
