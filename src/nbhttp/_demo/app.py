"""The demo API as an ASGI application."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nbhttp._demo import access, exchange, files, pages, records, streams, trouble
from nbhttp._demo.replies import ProblemError, problem_reply
from nbhttp._demo.state import DemoState
from nbhttp._demo.table import Endpoint, Group, Handler

__all__ = ["GROUPS", "make_app"]

GROUPS: tuple[Group, ...] = (
    records.group,
    records.exports,
    files.group,
    files.documents,
    streams.group,
    exchange.group,
    exchange.encodings,
    access.group,
    trouble.group,
    trouble.redirects,
    pages.group,
)


def make_app(state: DemoState, groups: Sequence[Group] = GROUPS) -> Starlette:
    """Return the application.

    Args:
        state: The records and counters that it works on.
        groups: The endpoints that it answers, and lists on its index page.
    """
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in (endpoint for group in groups for endpoint in group.endpoints):
        by_path.setdefault(endpoint.path, {}).update(methods_of(endpoint))
    app = Starlette(
        routes=[route(path, handlers) for path, handlers in by_path.items()],
        exception_handlers={ProblemError: on_problem, HTTPException: on_http_exception},
    )
    app.router.redirect_slashes = False
    app.state.demo = state
    app.state.groups = groups
    return app


def methods_of(endpoint: Endpoint) -> dict[str, Handler]:
    """Return what answers each method of an endpoint."""
    return dict.fromkeys(endpoint.methods, endpoint.handler)


def route(path: str, handlers: dict[str, Handler]) -> Route:
    """Return one route for all methods of a path, so that a 405 names them all in Allow."""

    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return Route(path, answer, methods=sorted(handlers))


async def on_problem(request: Request, exc: Exception) -> Response:
    """Answer a request that an endpoint refused."""
    assert isinstance(exc, ProblemError)  # noqa: S101 - registered for it
    return problem_reply(request, exc)


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """Answer a path or a method that is not in the table."""
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for it
    if exc.status_code == 404:
        detail = f"Nothing is at {request.url.path}; the list of endpoints is at /."
    else:
        detail = f"{request.method} is not answered here."
    title = {404: "Not found", 405: "Method not allowed"}.get(exc.status_code, exc.detail)
    problem = ProblemError(exc.status_code, title, detail, headers=exc.headers)
    return problem_reply(request, problem)
