"""The pytest plugin of nbhttp: the fixture `nbhttp_demo`, a running demo API.

pytest loads this at every start where nbhttp is installed, so it imports nothing else of it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nbhttp.testing import DemoServer

__all__ = ["nbhttp_demo"]


@pytest.fixture(scope="session")
def nbhttp_demo() -> "Iterator[DemoServer]":
    """Run the demo API for the whole session; call its `reset()` where a test changes its data."""
    from nbhttp.testing import DemoServer

    with DemoServer() as server:
        yield server
