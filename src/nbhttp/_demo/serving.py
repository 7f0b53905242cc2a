"""Run an ASGI application in a thread of its own, on loopback."""

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import Future
from typing import Any

import anyio
import uvicorn
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["ServerThread"]


class ServerThread:
    """A running server: one daemon thread, one event loop, one listening socket.

    Args:
        app: The ASGI application.
        port: The port on 127.0.0.1; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, app: Any, port: int = 0) -> None:
        listener = socket.create_server(("127.0.0.1", port), backlog=512)
        # asyncio would do it, but not for sockets that were accepted from one like this; without
        # it the body waits 40 ms for the head's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = listener.getsockname()[1]
        self._server = _Server(app)
        name = f"nbhttp demo server :{self.port}"
        self._thread = threading.Thread(target=self._run, args=(listener,), name=name, daemon=True)
        self._thread.start()
        self._server.ready.result()

    def stop(self) -> None:
        """Break off every answer, close every connection and end the thread."""
        self._server.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        try:
            with listener, asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(self._server.serve(sockets=[listener]))
        except BaseException as exc:
            if self._server.ready.done():
                raise
            self._server.ready.set_exception(exc)


class _Config(uvicorn.Config):
    """A configuration that leaves uvicorn's loggers alone: they belong to the program."""

    def configure_logging(self) -> None:
        pass


class _Protocol(HttpToolsProtocol):
    """A connection that logs no access, whatever handlers the program has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False


class _Server(uvicorn.Server):
    """A uvicorn that stops at once: open answers are cut off, not waited for."""

    def __init__(self, app: Any) -> None:
        self.ready: Future[None] = Future()
        self._scopes: set[anyio.CancelScope] = set()
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app = app
        config = _Config(
            self._stoppable,
            http=_Protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            server_header=False,
            headers=[("Server", "nbhttp-demo")],
            timeout_keep_alive=60,
        )
        super().__init__(config)

    def stop(self) -> None:
        """End `serve`; callable from any thread, also twice."""
        if self._loop is None or self._wake is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended already
            self._loop.call_soon_threadsafe(self._wake.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self.ready.set_result(None)

    async def main_loop(self) -> None:
        # uvicorn's own looks ten times a second whether it should stop; this one waits to be
        # told, and wakes for the Date field alone.
        assert self._wake is not None  # noqa: S101 - set in startup
        while not self._wake.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the transports report it, so that a cut answer is no error
        for scope in self._scopes:
            scope.cancel()
        await super().shutdown(sockets)

    async def _stoppable(self, scope: Any, receive: Any, send: Any) -> None:
        with anyio.CancelScope() as cancel_scope:
            self._scopes.add(cancel_scope)
            try:
                await self._app(scope, receive, send)
            except ClientDisconnect:
                pass  # a cancelled upload is no error worth a traceback in the notebook
            finally:
                self._scopes.discard(cancel_scope)
