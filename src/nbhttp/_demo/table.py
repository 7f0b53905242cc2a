"""The table of endpoints: what routes requests also lists and describes them."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Endpoint", "Group", "Handler"]

Handler = Callable[[Request], Awaitable[Response]]
ANY_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of the table.

    Attributes:
        method: The method, or "ANY" for all of `ANY_METHODS`. GET answers HEAD too.
        path: The path, with parameters as Starlette writes them: `/stations/{id:int}`.
        group: The heading it stands under.
        summary: One sentence on what it answers.
        query: Query parameters and what they mean.
        sample: A path with query that works as it stands.
        handler: What answers.
    """

    method: str
    path: str
    group: str
    summary: str
    query: Mapping[str, str]
    sample: str
    handler: Handler

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it answers."""
        return ANY_METHODS if self.method == "ANY" else (self.method,)

    @property
    def shown_path(self) -> str:
        """The path as people and OpenAPI write it: `/stations/{id}`."""
        return re.sub(r"\{(\w+):\w+\}", r"{\1}", self.path)


class Group:
    """Endpoints under one heading; its methods are decorators that add to them.

    Args:
        title: The heading.
        about: One sentence on what they have in common.
    """

    def __init__(self, title: str, about: str) -> None:
        self.title = title
        self.about = about
        self.endpoints: list[Endpoint] = []

    def answers(
        self, line: str, summary: str, *, sample: str | None = None, **query: str
    ) -> Callable[[Handler], Handler]:
        """Make the decorated handler answer `line`, such as `"GET /trips"`.

        Args:
            line: Method and path.
            summary: One sentence on what it answers.
            sample: A path that works as it stands; None means the path itself.
            **query: Query parameters and what they mean.
        """
        method, path = line.split(" ")

        def add(handler: Handler) -> Handler:
            shown = path if sample is None else sample
            self.endpoints.append(
                Endpoint(method, path, self.title, summary, query, shown, handler)
            )
            return handler

        return add
