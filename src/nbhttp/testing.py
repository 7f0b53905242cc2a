"""Things for tests and for trying out: the demo API server."""

import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nbhttp.integrations._require import require
from nbhttp.redaction import redact_repr

if TYPE_CHECKING:
    from nbhttp._demo.serving import ServerThread

__all__ = ["DemoServer"]


class DemoServer:
    """A small, realistic HTTP API on this machine, for notebooks, docs and tests.

    It plays the bike share of a made-up town: collections with pages in five styles, changes,
    files with ranges, streams, encodings, access, errors and waits. Its index page at `url` lists
    every endpoint, as HTML for a browser and as JSON for a client. The records are the same at
    every start; nothing leaves the machine and nothing is written to disk.

    It runs in a thread of its own, so it works in a notebook, a script and a test alike. Several
    can run at once. Stopping breaks off answers that are still under way.

    Example:
        >>> from urllib.request import urlopen
        >>> with DemoServer() as server:
        ...     with urlopen(f"{server.url}/stations/1") as answer:
        ...         answer.status
        200

    Args:
        port: The port on 127.0.0.1; 0 takes a free one, a new one at every start.

    Raises:
        TypeError: The port is no whole number.
        ValueError: It is not from 0 to 65535.
        MissingExtraError: starlette or uvicorn is missing (the extra `tour` brings them).
    """

    def __init__(self, *, port: int = 0) -> None:
        if isinstance(port, bool) or not isinstance(port, int):
            raise TypeError(f"port takes a whole number, not {redact_repr(port)}")
        if not 0 <= port <= 65535:
            raise ValueError(f"expected a port from 0 to 65535, not {port}")
        for module in ("starlette", "uvicorn"):
            require(module, extra="tour", feature="DemoServer")
        from nbhttp._demo.state import DemoState

        self._port = port
        self._state = DemoState()
        self._thread: ServerThread | None = None
        self._finalizer: weakref.finalize[[], DemoServer] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._thread is not None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end: `http://127.0.0.1:40123`.

        Raises:
            RuntimeError: It is not running.
        """
        if self._thread is None:
            raise RuntimeError("the demo server is not running; call start() or use `with`")
        return f"http://127.0.0.1:{self._thread.port}"

    def start(self) -> Self:
        """Start answering, and return itself; nothing happens when it runs already.

        Raises:
            OSError: The port is taken.
        """
        if self._thread is None:
            from nbhttp._demo.app import make_app
            from nbhttp._demo.serving import ServerThread

            self._thread = ServerThread(make_app(self._state), self._port)
            # A server whose last name is rebound (the cell ran again), or that is left running
            # at exit, stops too.
            self._finalizer = weakref.finalize(self, self._thread.stop)
        return self

    def stop(self) -> None:
        """Stop answering, breaking off what is under way; nothing happens when it has stopped."""
        if self._finalizer is not None:
            self._finalizer()
        self._thread = self._finalizer = None

    def reset(self) -> None:
        """Put all records back; forget counters, rate limits and sessions."""
        self._state.reset()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = f"at {self.url}" if self.is_running else "(stopped)"
        return f"<DemoServer {where}>"

    def _repr_html_(self) -> str:
        from nbhttp._demo.app import GROUPS
        from nbhttp._demo.pages import server_html

        return server_html(GROUPS, self.url if self.is_running else None)
