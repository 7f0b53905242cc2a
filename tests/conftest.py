"""Fixtures for all tests: servers on loopback, each started once a session, when first asked for."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from servers import (
    FaultServer,
    Nginx,
    TlsFiles,
    find_nginx,
    make_tls_files,
    running_fault_server,
    running_httpbin,
    running_nginx,
)

if TYPE_CHECKING:
    from nbhttp.testing import DemoServer


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio; a test that matters on trio too parametrizes this."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _forgetful_redactor() -> Iterator[None]:
    """What a test registers as secret is ordinary text again in the next one."""
    from nbhttp import _credentials, redaction

    values = Counter(redaction._values)
    memories = [
        (memory, set(memory)) for memory in (_credentials._known, _credentials._known_short)
    ]
    yield
    for value, times in (redaction._values - values).items():
        for _ in range(times):
            redaction.unregister(value)
    for memory, known in memories:
        for value in set(memory) - known:
            del memory[value]


@pytest.fixture(autouse=True)
def _asyncio_as_it_is() -> Iterator[None]:
    """Nesting changes asyncio for good: a test that needs it has a process of its own."""
    yield
    assert not hasattr(asyncio, "_nest_patched"), "this test nested loops in the tests' process"


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """Certificates for loopback and the authority to trust."""
    return make_tls_files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def fault(tls: TlsFiles) -> Iterator[FaultServer]:
    """The server that misbehaves on request; its log and counters are cleared before each test."""
    with running_fault_server(tls) as server:
        yield server


@pytest.fixture(autouse=True)
def _fresh_fault_server(request: pytest.FixtureRequest) -> None:
    if "fault" in request.fixturenames:
        request.getfixturevalue("fault").reset()


@pytest.fixture(scope="session")
def _demo_server() -> "Iterator[DemoServer]":
    from nbhttp.testing import DemoServer

    with DemoServer() as server:
        yield server


@pytest.fixture
def demo(_demo_server: "DemoServer") -> "DemoServer":
    """The demo API, with its data and counters as new."""
    _demo_server.reset()
    return _demo_server


@pytest.fixture(scope="session")
def httpbin() -> Iterator[str]:
    """The URL of a real httpbin."""
    with running_httpbin() as url:
        yield url


@pytest.fixture(scope="session")
def nginx(tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A real nginx that serves an empty folder, plain and over TLS."""
    program = find_nginx()
    if program is None:
        pytest.skip("nginx is not installed; on Debian: apt-get install nginx-light")
    with running_nginx(program, tmp_path_factory.mktemp("nginx"), tls) as server:
        yield server
