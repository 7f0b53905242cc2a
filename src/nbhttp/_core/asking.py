"""The requests of one download, and their answers with the body still on the wire."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from nbhttp._core.answers import Facts, Ruling, read_facts
from nbhttp._core.callers import Caller
from nbhttp._core.live import ERROR_BODY_S, Live
from nbhttp._core.ranges import Range
from nbhttp._core.request import Prepared
from nbhttp._core.runtime import time_limit
from nbhttp._core.send import Conversation, announce
from nbhttp.errors import DownloadError, NbhttpError, ProtocolError, RequestError

if TYPE_CHECKING:
    from nbhttp._core.state import ClientState, Flight
    from nbhttp._engines.base import Head

__all__ = ["Answer", "Asker", "UsersError"]

_EXPLANATION_BYTES = 4096


class UsersError(Exception):
    """What the user's own hook or auth scheme raised, which may look like a failing disk.

    Args:
        error: It.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Answer(NamedTuple):
    """An answer whose body is on the wire, and what its head says."""

    live: Live
    head: "Head"
    facts: Facts
    conversation: Conversation
    started: float

    @property
    def url(self) -> str:
        """The URL that answered, after redirections."""
        return self.conversation.request.url.text

    def completed(self, error: NbhttpError) -> NbhttpError:
        """Return `error` with the request that it belongs to."""
        self.conversation.result(self.started, error=error)
        return error

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as sent."""
        while piece := await self.live.exchange.read():
            yield piece

    async def error(self, ruling: Ruling) -> NbhttpError:
        """Make the error of an answer that brings no file, with the server's own explanation."""
        if ruling.reason:
            return self.completed(ProtocolError(ruling.reason))
        if self.facts.status < 400:
            status = self.facts.status
            return self.completed(DownloadError(f"the answer has no file (status {status})"))
        body = b"" if self.facts.codings else await self._explanation()
        exception = self.conversation.result(self.started, self.head, body).exception
        assert exception is not None  # noqa: S101 - the status is above 399
        return exception

    async def _explanation(self) -> bytes:
        body = b""
        try:
            async with time_limit(ERROR_BODY_S):
                async for piece in self.pieces():
                    body += piece
                    if len(body) >= _EXPLANATION_BYTES:
                        break
        except (RequestError, TimeoutError):
            pass  # what came is enough
        return body


class Asker:
    """Sends the requests of one download.

    Args:
        state: The client's.
        request: What to ask for, without ranges and conditions.
        caller: Where the user's code runs.
        flight: The download's: `cancel_all()` cancels the whole, not one read.

    Attributes:
        last: The main answer; None when the last request brought none.
    """

    def __init__(
        self, state: "ClientState", request: Prepared, caller: Caller, flight: "Flight"
    ) -> None:
        self._state = state
        self._request = request
        self._caller = caller
        self._flight = flight
        self.last: Answer | None = None

    async def ask(
        self, wanted: Range | None = None, conditions: Sequence[tuple[bytes, str]] = ()
    ) -> Answer:
        """Ask for the file or a part; the answer becomes the main one.

        Args:
            wanted: The part; None asks for the whole.
            conditions: Names and values of further fields.

        Raises:
            NbhttpError: No usable answer came.
            UsersError: The user's own code failed.
        """
        self.last = None
        self.last = await self.ask_beside(wanted, conditions)
        return self.last

    async def ask_beside(
        self, wanted: Range | None, conditions: Sequence[tuple[bytes, str]] = ()
    ) -> Answer:
        """Ask for a part beside the main answer; see `ask`."""
        fields = [(name, value.encode("latin-1", "replace")) for name, value in conditions]
        if wanted is not None:
            start, stop = wanted
            last = "" if stop is None else str(stop - 1)
            fields.append((b"Range", f"bytes={start}-{last}".encode()))
        request = self._request
        if fields:
            request = replace(request, headers=[*request.headers, *fields])
        return await self._open(request)

    async def _open(self, request: Prepared) -> Answer:
        state = self._state
        started = time.perf_counter()
        finish: Any = announce(state, request) if state.events.is_heard else None
        conversation = Conversation(
            state, request, self._caller, "download", stream_of=self._flight.call
        )
        try:
            head, _, peer = await conversation.run()
        except BaseException as exc:
            if isinstance(exc, NbhttpError):
                conversation.result(started, error=exc)  # completes the error
            if finish is not None:
                finish(None, exc)
            if isinstance(exc, Exception) and not isinstance(exc, NbhttpError):
                raise UsersError(exc) from exc
            raise
        if finish is not None:
            finish(conversation.result(started, head, b"", peer), None)
        live = conversation.live
        assert live is not None  # noqa: S101 - a conversation that streams leaves one
        live.flight = self._flight
        return Answer(live, head, read_facts(head), conversation, started)
