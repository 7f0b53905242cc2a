"""What every HTTP test needs: an engine by name, and clients that speak through it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from servers.counting import CountingServer, running_counting_server
from servers.scripted import ScriptedServer, running_scripted_server

import nbhttp

ENGINES = ("httpx", "direct")

MakeClient = Callable[..., nbhttp.AsyncHttpClient]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine; a test that takes it runs over each."""
    return str(request.param)


@pytest.fixture
async def make_client(engine: str, anyio_backend: str) -> AsyncIterator[MakeClient]:
    """Make clients over the engine, blind to the environment; they are closed after the test."""
    async with AsyncExitStack() as stack:

        def make(*args: Any, **options: Any) -> nbhttp.AsyncHttpClient:
            options = {"engine": engine, "trust_env": False, "timeout": 10.0} | options
            client = nbhttp.AsyncHttpClient(*args, **options)
            stack.push_async_callback(client.aclose)
            return client

        yield make


@pytest.fixture
async def client(make_client: MakeClient) -> nbhttp.AsyncHttpClient:
    """A client over the engine with default settings but for a shorter timeout."""
    return make_client()


@pytest.fixture(scope="module")
def _counting_server() -> Iterator[CountingServer]:
    with running_counting_server() as server:
        yield server


@pytest.fixture
def counting(_counting_server: CountingServer) -> CountingServer:
    """A server that knows what is open and under way; as new."""
    _counting_server.wait_for(lambda s: s.in_flight == 0)
    _counting_server.reset()
    return _counting_server


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedServer]:
    """A server that says what it is told."""
    with running_scripted_server() as server:
        yield server
