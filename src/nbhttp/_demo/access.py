"""Endpoints that ask who you are; the credentials are public, they guard nothing."""

import base64
import binascii
import secrets

from starlette.requests import Request
from starlette.responses import Response

from nbhttp._demo.exchange import form_fields
from nbhttp._demo.replies import ProblemError, json_body, json_reply
from nbhttp._demo.state import state_of
from nbhttp._demo.table import Group

__all__ = ["CREDENTIALS", "group"]

USER, PASSWORD, TOKEN, KEY = "demo", "harbour", "demo-token", "demo-key"
CREDENTIALS = {"user": USER, "password": PASSWORD, "token": TOKEN, "api_key": KEY}

group = Group(
    "Access",
    f"User {USER!r}, password {PASSWORD!r}, bearer token {TOKEN!r}, API key {KEY!r}.",
)


def refused(detail: str, challenge: str | None = None) -> ProblemError:
    """Return the 401, with the challenge of the scheme (RFC 9110 section 11.6.1)."""
    headers = {} if challenge is None else {"WWW-Authenticate": challenge}
    return ProblemError(401, "Unauthorized", detail, headers=headers)


def same(given: str, right: str) -> bool:
    """Compare without telling by the time it takes."""
    return secrets.compare_digest(given.encode(), right.encode())


def basic_credentials(field: str) -> str:
    """Return `user:password` from an Authorization field; empty when there is none."""
    scheme, _, encoded = field.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


@group.answers("GET /auth/basic", "Asks for user and password (RFC 7617).")
async def basic(request: Request) -> Response:
    """Answer who came in, or 401."""
    if same(basic_credentials(request.headers.get("authorization", "")), f"{USER}:{PASSWORD}"):
        return json_reply({"authenticated": True, "user": USER})
    raise refused("Send user and password.", 'Basic realm="Harbour Bikes", charset="UTF-8"')


@group.answers("GET /auth/bearer", "Asks for the bearer token (RFC 6750).")
async def bearer(request: Request) -> Response:
    """Answer who came in, or 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and same(token, TOKEN):
        return json_reply({"authenticated": True, "user": USER})
    raise refused("Send the bearer token.", 'Bearer realm="Harbour Bikes"')


@group.answers("GET /auth/key", "Asks for the API key in X-API-Key.")
async def api_key(request: Request) -> Response:
    """Answer who came in, or 401."""
    if same(request.headers.get("x-api-key", ""), KEY):
        return json_reply({"authenticated": True, "user": USER})
    raise refused("Send the API key in X-API-Key.")


@group.answers("POST /login", "Takes user and password, as form or JSON; sets a session cookie.")
async def login(request: Request) -> Response:
    """Open a session, or answer 401."""
    kind = request.headers.get("content-type", "")
    fields = await json_body(request) if "json" in kind else await form_fields(request)
    given = f"{fields.get('user', '')}:{fields.get('password', '')}"
    if not same(given, f"{USER}:{PASSWORD}"):
        raise refused("User or password is wrong.")
    reply = json_reply({"user": USER})
    session = state_of(request).log_in(USER)
    reply.set_cookie("session", session, max_age=3600, httponly=True, samesite="lax")
    reply.set_cookie("greeting", "ahoy", max_age=3600)
    return reply


@group.answers("GET /me", "Whose session it is; needs the cookie from POST /login.")
async def me(request: Request) -> Response:
    """Answer the session's user, or 401."""
    user = state_of(request).sessions.get(request.cookies.get("session", ""))
    if user is None:
        raise refused("Log in with POST /login first.")
    return json_reply({"user": user, "cookies": sorted(request.cookies)})


@group.answers("POST /logout", "Ends the session and deletes its cookie.")
async def logout(request: Request) -> Response:
    """Close the session."""
    state_of(request).sessions.pop(request.cookies.get("session", ""), None)
    reply = Response(status_code=204)
    reply.delete_cookie("session")
    reply.delete_cookie("greeting")
    return reply
