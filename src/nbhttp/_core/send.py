"""One logical call: redirects, authentication, cookies and hooks around an engine's exchanges.

The order is httpx's: a redirection starts a new request; each request may be answered by an
authentication scheme with another; each of those is one exchange, for which a slot is taken.
"""

import contextlib
import time
from collections.abc import AsyncIterable, Coroutine
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from nbhttp._core import cookies, events
from nbhttp._core.bodies import Body
from nbhttp._core.callers import AuthFlow, Caller
from nbhttp._core.engines import Purpose
from nbhttp._core.fields import is_chunked
from nbhttp._core.live import Live
from nbhttp._core.redirects import next_request
from nbhttp._core.request import Prepared
from nbhttp._core.translate import is_of_rest, time_limit_error
from nbhttp._core.uploading import UploadReport, UploadWatcher, body_size, file_names
from nbhttp._engines.base import EngineRequest, Head, Phases, RawHeaders
from nbhttp._engines.decoding import decode_all
from nbhttp.errors import (
    BodyTooLargeError,
    NbhttpError,
    RequestError,
    TooManyRedirectsError,
)
from nbhttp.result import Redirect, RequestResult, RequestSent, Timing

if TYPE_CHECKING:
    import httpx

    from nbhttp._core.engines import EngineSet
    from nbhttp._core.state import ClientState

__all__ = ["Conversation", "announce", "fetch"]

Answer = tuple[Head, bytes, str | None]  # its body is b"" when it is left on the wire

_request_numbers = count(1)


class Conversation:
    """The exchanges of one call, from its first request to the answer that stands.

    Args:
        state: The client's.
        caller: Where the user's code runs.
        purpose: What the answer is for; decides the engine.
    """

    __slots__ = (
        "_call",
        "_caller",
        "_engines",
        "_first_origin",
        "_is_stream",
        "_purpose",
        "_spent",
        "_state",
        "engine",
        "engine_reason",
        "history",
        "live",
        "phases",
        "queued",
        "redirects",
        "request",
        "sent_headers",
        "upload",
        "withheld_from",
    )

    def __init__(
        self,
        state: "ClientState",
        request: Prepared,
        caller: Caller,
        purpose: Purpose,
        *,
        stream_of: object = None,
    ) -> None:
        self._state = state
        self._caller = caller
        self._purpose = purpose
        self._call = stream_of
        self._is_stream = stream_of is not None
        self._engines: EngineSet = state.engines.here()
        self._first_origin = request.url.origin
        self._spent = 0.0
        self.request = request
        self.sent_headers = request.headers
        self.engine = self.engine_reason = ""
        self.phases: Phases | None = None
        self.queued = 0.0
        self.redirects: tuple[Redirect, ...] = ()
        self.history: tuple[RequestResult, ...] = ()
        self.withheld_from: str | None = None
        self.live: Live | None = None
        self.upload: UploadReport | None = None

    async def run(self) -> Answer:
        """Go on until an answer stands.

        Returns:
            Its head, its body (b"" when it is left on the wire, in `live`), and the peer.

        Raises:
            RequestError: No usable answer came.
        """
        answer = await self.ask()
        return await self.follow(answer) if self.is_redirected(answer[0]) else answer

    def ask(self) -> Coroutine[Any, Any, Answer]:
        """Send the present request, with its hooks and authentication."""
        if self.request.auth is None and not self._state.config.event_hooks:
            return self._exchange()
        return self._authenticated()

    def is_redirected(self, head: Head) -> bool:
        """Whether an answer may lead on: then `follow` is to be called."""
        return 300 <= head.status < 400 and self.request.follow_redirects

    async def follow(self, answer: Answer) -> Answer:
        """Follow redirections from `answer` until one stands; see `run`."""
        while self.is_redirected(answer[0]):
            head, body, _ = answer
            following = next_request(self.request, head, self._first_origin)
            if following is None:
                break
            await self._leave(head, body, following.request.url.text)
            if following.is_stripped:
                self.withheld_from = following.request.url.text
            self.request = following.request
            answer = await self.ask()
        return answer

    async def _leave(self, head: Head, body: bytes, location: str) -> None:
        """Note a redirection and drop its answer."""
        if self.live is not None:
            await self.live.aclose()
            self.live = None
        most = self._state.config.max_redirects
        if len(self.redirects) >= most:
            raise TooManyRedirectsError(
                f"more than {most} redirects; the last one pointed to {location}",
                hint="the server may redirect in a circle: look at r.redirects, "
                "or raise max_redirects=",
            )
        request = self.request
        self.redirects += (Redirect(head.status, request.method, request.url.text, location),)
        self.history += (RequestResult(request=self._sent(), head=head, body=body),)
        hub = self._state.events
        if hub.is_heard:
            from nbhttp.redaction import redact_url

            hub.emit(
                events.RedirectFollowed(
                    request_id=self._state.request_id.get(),
                    client=self._state.name,
                    method=request.method,
                    url=redact_url(request.url.text),
                    status_code=head.status,
                    location=redact_url(location),
                )
            )

    # Authentication

    async def _authenticated(self) -> Answer:
        auth = self.request.auth
        if auth is None:
            return await self._hooked()
        flow = self._caller.auth_flow(auth, self.request.to_httpx())
        try:
            return await self._answer_challenges(flow)
        finally:
            await flow.close()

    async def _answer_challenges(self, flow: AuthFlow) -> tuple[Head, bytes, str | None]:
        response: httpx.Response | None = None
        answer: Answer | None = None
        unsigned = self.request
        while True:
            signed = await flow.advance(response)
            if signed is None:
                if answer is None:
                    raise RequestError("the auth scheme ended without sending a request")
                return answer
            if self.live is not None:
                await self.live.aclose()
                self.live = None
            self.request = unsigned.with_httpx(signed)
            if response is not None and self.request.body is unsigned.body:
                unsigned.rewind(f"{response.status_code}")
            answer = await self._hooked()
            # Redirects start from the unsigned request: each signs its own.
            self.request = replace(unsigned, url=self.request.url, method=self.request.method)
            response = self._as_httpx(answer[0], answer[1], signed)

    def _as_httpx(self, head: Head, body: bytes, request: "httpx.Request") -> "httpx.Response":
        made = RequestResult(request=self._sent(), head=head, body=body).response
        response = cast("httpx.Response", made)
        response.request = request
        return response

    # Hooks and cookies

    async def _hooked(self) -> Answer:
        hooks = self._state.config.event_hooks
        if not hooks:
            return await self._exchange()
        made = self.request.to_httpx()
        for hook in hooks.get("request", ()):
            await self._caller.run(hook, made)
        self.request = self.request.with_httpx(made)
        answer = await self._exchange()
        response = self._as_httpx(answer[0], answer[1], made)
        try:
            for hook in hooks.get("response", ()):
                await self._caller.run(hook, response)
        except BaseException:
            if self.live is not None:
                await self.live.aclose()
            raise
        return answer

    def _fields(self) -> list[tuple[bytes, bytes]]:
        """Return the request's fields with what the cookie jar adds."""
        request, jar = self.request, self._state.defaults.jar
        headers, own = request.headers, request.cookies
        has_jar = bool(jar.jar._cookies)  # type: ignore[attr-defined] # noqa: SLF001 - len() walks it
        if not own and not has_jar and request.jar is None:
            return headers
        pairs = [f"{name}={value}" for name, value in own]
        for more in (request.jar, jar):
            if more is not None:
                names = {pair.partition("=")[0] for pair in pairs}
                found = cookies.fields_for(more, request.url.url)
                pairs += [pair for pair in found if pair.partition("=")[0] not in names]
        if not pairs:
            return headers
        given = [value for name, value in headers if name.lower() == b"cookie"]
        value = b"; ".join([*given, "; ".join(pairs).encode("utf-8")])
        return [*(f for f in headers if f[0].lower() != b"cookie"), (b"Cookie", value)]

    # The exchange itself

    async def _exchange(self) -> Answer:
        request, state = self.request, self._state
        engine, usage = self._engines.select(state.engines, request.url.origin, self._purpose)
        self.engine, self.engine_reason = engine.name, usage.choice.reason
        usage.number += 1
        self.sent_headers = self._fields()
        wire = self._wire_request(self.sent_headers)
        if not state.gate.try_acquire():
            await self._wait_in_queue()
        started = time.perf_counter()
        is_held = True
        try:
            if self._is_stream:
                exchange = await engine.open(wire)
                self.live = Live(exchange, state, self._engines.loop, self._call)
                is_held = False
                head, body, peer = exchange.head, b"", exchange.peer
                self._add(exchange.phases.copy())  # it goes on while the body is read
            else:
                answer = await engine.fetch(wire, request.max_body)
                head, body, peer = answer.head, answer.body, answer.peer
                self._add(answer.phases)
        except NbhttpError as exc:
            phases = exc.phases
            if phases is not None:
                self._add(phases)
                if is_of_rest(exc, self._spent, wire.total):
                    total = request.limits.total
                    raise time_limit_error(total, phases.running, phases.proxy) from exc.__cause__
            raise
        finally:
            self._spent += time.perf_counter() - started
            if is_held:
                state.gate.release()
        if head.has(b"set-cookie"):
            cookies.keep(state.defaults.jar, head, self.request.to_httpx())
        if body and head.has(b"content-encoding"):
            value = b", ".join(head.values(b"content-encoding")).decode("latin-1")
            body = decode_all(body, value, max_size=request.max_body)
        return head, body, peer

    async def _wait_in_queue(self) -> None:
        started = time.perf_counter()
        seconds = self.request.limits.queue
        try:
            await self._state.gate.acquire(seconds)
        except TimeoutError as exc:
            raise time_limit_error(seconds, "queue") from exc
        finally:
            self.queued += time.perf_counter() - started

    def _wire_request(self, headers: list[tuple[bytes, bytes]]) -> EngineRequest:
        request = self.request
        limits = request.limits
        total = limits.total
        if self._is_stream:
            total = None  # each read has its own limit
        if total is not None:
            # One limit for the whole attempt, however many exchanges; the queue does not count.
            total = max(total - self._spent, 0.001)
        body = request.body
        return EngineRequest(
            request.method,
            request.url.origin,
            request.url.target,
            headers,
            self._framed(headers, body),
            limits.per_read if self._is_stream else limits.phases,
            total,
            request.is_replayable,
            request.extensions,
        )

    def _framed(self, headers: RawHeaders, body: Body) -> "bytes | AsyncIterable[bytes]":
        """Return the body as engines take it: pieces, where it is chunked or watched."""
        if self.upload is not None and body != b"":
            pieces = body if isinstance(body, bytes) else self._caller.iterate(body)
            return self.upload.counted(pieces, body_size(headers, body))
        if not isinstance(body, bytes):
            return self._caller.iterate(body)
        if is_chunked(headers):
            return self._caller.iterate([body] if body else [])
        return body

    def _add(self, phases: Phases) -> None:
        """Book the phases of an exchange that is over; they are not touched any more."""
        mine = self.phases
        if mine is None:
            self.phases = phases
            return
        mine.connect += phases.connect
        mine.tls += phases.tls
        mine.send += phases.send
        mine.wait += phases.wait
        mine.receive += phases.receive

    def _sent(self) -> RequestSent:
        request = self.request
        body = request.body if isinstance(request.body, bytes) else None
        return RequestSent(request.method, request.url.text, self.sent_headers, body)

    def timing(self) -> Timing:
        """Return where the time went so far."""
        p = self.phases
        if p is None:
            return Timing(self.queued)
        return Timing(self.queued, p.connect, p.tls, p.send, p.wait, p.receive)

    def result(
        self,
        started: float,
        head: Head | None = None,
        body: bytes = b"",
        peer: str | None = None,
        error: NbhttpError | None = None,
    ) -> RequestResult:
        """Make the call's result."""
        result = RequestResult(
            request=self._sent(),
            head=head,
            body=body,
            exception=error,
            elapsed=time.perf_counter() - started,
            timing=self.timing(),
            redirects=self.redirects,
            history=self.history,
            engine=self.engine,
            engine_reason=self.engine_reason,
            peer=peer,
            withheld_from=self.withheld_from,
        )
        if error is not None:
            _locate(error, result)
        return result


async def fetch(
    state: "ClientState",
    request: Prepared,
    caller: Caller,
    purpose: Purpose = "single",
    watcher: UploadWatcher | None = None,
) -> RequestResult:
    """Send `request` and return its result, whatever happens on the network.

    Args:
        state: The client's.
        request: What to send.
        caller: Where the user's code runs.
        purpose: What the answer is for; decides the engine.
        watcher: Shows how much of the body was sent; None for none.

    Raises:
        BaseException: Cancellation, and what the user's own hooks, auth schemes and body raise.
    """
    started = time.perf_counter()
    hub = state.events
    finish = announce(state, request) if hub.is_heard else None
    conversation = Conversation(state, request, caller, purpose)
    if request.on_upload is not None or watcher is not None:
        conversation.upload = _upload_report(state, request, caller, watcher)
    try:
        try:
            answer = await conversation.ask()  # not `run`: each layer costs
            if conversation.is_redirected(answer[0]):
                answer = await conversation.follow(answer)
        except (RequestError, BodyTooLargeError) as exc:
            result = conversation.result(started, error=exc)
        else:
            result = conversation.result(started, *answer)
        if conversation.upload is not None:
            await conversation.upload.end(result.success, result.error)
    except BaseException as exc:
        if conversation.upload is not None:
            await conversation.upload.stop(exc)
        if finish is not None:
            finish(None, exc)
        raise
    if finish is not None:
        finish(result, None)
    return result


def _upload_report(
    state: "ClientState", request: Prepared, caller: Caller, watcher: UploadWatcher | None
) -> UploadReport:
    from nbhttp.redaction import redact_url

    request_id = state.request_id.get() or f"{next(_request_numbers):06d}"
    identity = (request_id, state.name, request.method, redact_url(request.url.text))
    return UploadReport(caller, identity, request.on_upload, watcher, file_names(request.body))


def announce(state: "ClientState", request: Prepared, *, is_stream: bool = False) -> Any:
    """Emit `RequestStarted`; return the function that emits `RequestFinished`.

    Args:
        state: The client's.
        request: The call's.
        is_stream: The answer is read bit by bit: `received` says how much of it came, and who
            opened it gives the running code its own request ID back.
    """
    from nbhttp.redaction import redact_text, redact_url

    request_id = f"{next(_request_numbers):06d}"
    token = state.request_id.set(request_id)
    started = time.perf_counter()
    url = redact_url(request.url.text)
    state.events.emit(events.RequestStarted(request_id, state.name, request.method, url))

    def finish(
        result: RequestResult | None, exc: BaseException | None, received: int | None = None
    ) -> None:
        error = None if result is None else result.error
        if exc is not None:
            text = redact_text(f"{type(exc).__name__}: {exc}")
            error = text if isinstance(exc, Exception) else "cancelled"
        if received is None:
            received = 0 if result is None else len(result.content)
        state.events.emit(
            events.RequestFinished(
                request_id=request_id,
                client=state.name,
                method=request.method,
                url=url if result is None else redact_url(result.url),
                status_code=None if result is None else result.status_code,
                success=result is not None and result.success and exc is None,
                error=error,
                elapsed=time.perf_counter() - started,
                received=received,
                attempts=1 if result is None else len(result.attempts),
                redirects=0 if result is None else len(result.redirects),
                http_version=None if result is None else result.http_version,
                engine="" if result is None else result.engine,
                timing=None if result is None else result.timing,
                result=None if is_stream else result,
            )
        )
        if not is_stream:
            with contextlib.suppress(ValueError):  # ended in another context than it began in
                state.request_id.reset(token)

    return finish


def _locate(error: NbhttpError, result: RequestResult) -> None:
    """Complete an engine's error with the request that it belongs to."""
    from nbhttp.redaction import redact_url

    if error.method is None:
        error.method = result.method
        error.url = redact_url(result.url)
        error.message = f"{error.message} ({error.method} {error.url})"
        error.args = (error.message,)
    error.attempts = result.attempts
