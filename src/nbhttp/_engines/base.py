"""The seam between the core and what puts a request on the wire.

An engine sends exactly one request and returns exactly one answer. It knows nothing of
redirects, cookies, authentication, content codings or results: those are the core's, and the same
over every engine. It does know framing, connections, TLS and time limits.

An engine belongs to one event loop: its connections were opened there and die there. It is never
asked for more than the client's `max_connections` at once; the core's gate stands in front.
"""

import re
from collections.abc import AsyncIterable, Awaitable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from nbhttp.config import PhaseLimits

__all__ = [
    "Authority",
    "BodySink",
    "Engine",
    "EngineRequest",
    "EngineResponse",
    "Exchange",
    "Head",
    "Origin",
    "PhaseLimits",
    "Phases",
    "RawHeaders",
]

RawHeaders = list[tuple[bytes, bytes]]
Authority = tuple[str, int]
"""A host, IPv6 without brackets, and its port."""

_FRAMING_FIELDS = (b"content-length", b"transfer-encoding", b"connection")
_FRAMING_LINE = re.compile(rb"\n(%b):[ \t]*([^\r\n]*)" % b"|".join(_FRAMING_FIELDS))


class Origin(NamedTuple):
    """Scheme, host and port: what a connection, a credential and a cookie are bound to.

    RFC 6454 section 4. The host is ASCII (punycode), lower case, IPv6 without brackets.
    """

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"


@dataclass(slots=True)
class Phases:
    """Where the time of one exchange went, in seconds, filled while it runs.

    A phase that did not happen (connect on a reused connection, TLS over plain TCP) stays 0.0.

    Attributes:
        connect: Name look-up and TCP connect.
        tls: The TLS handshake.
        send: Writing the request's head and body.
        wait: From the last byte sent to the first byte of the answer's head.
        receive: From there to the body's last byte.
        running: The phase under way; names the culprit when a time limit passes.
        proxy: The proxy that it is under way with, before anything reaches the target; else None.
    """

    connect: float = 0.0
    tls: float = 0.0
    send: float = 0.0
    wait: float = 0.0
    receive: float = 0.0
    running: str = "connect"
    proxy: Authority | None = None

    def copy(self) -> "Phases":
        """Return how far it is now; `dataclasses.replace` takes five times as long."""
        return Phases(
            self.connect, self.tls, self.send, self.wait, self.receive, self.running, self.proxy
        )


@dataclass(slots=True)
class EngineRequest:
    """One request, ready for the wire; never changed once made.

    Attributes:
        method: As sent, case kept.
        origin: Where to connect.
        target: The request target in origin form: path and query, percent-encoded.
        headers: Complete and validated, Host and framing fields (Content-Length or
            Transfer-Encoding) included.
        body: All of it, or an iterable of pieces. An iterable is consumed once; pieces are
            framed as `headers` say.
        limits: Seconds for each phase.
        total: Seconds from the call of `fetch` to the last byte; None is no limit.
            `open` ignores it.
        is_replayable: Whether the request may be sent again when a reused connection dies before
            any byte of the answer: the method is idempotent and the body is bytes
            (RFC 9112 section 9.3.1.1).
        extensions: What httpx calls extensions (`sni_hostname`, `trace`), passed on.
    """

    method: str
    origin: Origin
    target: bytes
    headers: RawHeaders
    body: "bytes | AsyncIterable[bytes]" = b""
    limits: PhaseLimits = PhaseLimits()
    total: float | None = None
    is_replayable: bool = True
    extensions: Mapping[str, Any] | None = None


class Head:
    """The head of an answer.

    Args:
        status: 200 to 599 (interim answers are skipped), or 101.
        reason: The reason phrase, raw; may be empty.
        http_version: "HTTP/1.1", "HTTP/1.0" or "HTTP/2".
        headers: Names and values as received; or the lines that they stand in, known to be valid
            and unfolded, behind the line feed that ends the status line. Few answers need more of
            those than a look for some names: they are split when somebody asks.
    """

    __slots__ = ("_headers", "_lines", "_names", "http_version", "reason", "status")

    def __init__(
        self, status: int, reason: bytes, http_version: str, headers: RawHeaders | bytes
    ) -> None:
        self.status = status
        self.reason = reason
        self.http_version = http_version
        self._lines = headers if isinstance(headers, bytes) else b""
        self._headers = None if isinstance(headers, bytes) else headers
        self._names: frozenset[bytes] | None = None

    def __repr__(self) -> str:
        return f"Head({self.status}, {self.reason!r}, {self.http_version!r}, {self.headers!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Head) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment] # its version may be corrected

    @property
    def headers(self) -> RawHeaders:
        """Names and values as received, order and case kept."""
        if self._headers is None:
            split = (line.partition(b":") for line in self._lines[1:-1].split(b"\n") if line)
            self._headers = [(name, value.strip()) for name, _, value in split]
        return self._headers

    def fields(self) -> dict[str, str]:
        """Return the values by name in lower case; of repeated fields joined by ", "."""
        if self._lines:
            lines = self._lines[1:-1].decode("latin-1").split("\n")
            pairs = [line.partition(":")[::2] for line in lines if line]
        else:
            pairs = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in self.headers]
        fields: dict[str, str] = {}
        for raw_name, raw_value in pairs:
            name, value = raw_name.lower(), raw_value.strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        return fields

    @property
    def field_count(self) -> int:
        """How many fields there are."""
        return self._lines.count(b"\n") - 1 if self._lines else len(self.headers)

    def framing(self) -> list[tuple[bytes, bytes]]:
        """Return the fields that frame the body, in lower case."""
        if self._lines:
            found: list[tuple[bytes, bytes]] = _FRAMING_LINE.findall(self._lines.lower())
            return found
        fields = [(name.lower(), value.lower()) for name, value in self.headers]
        return [field for field in fields if field[0] in _FRAMING_FIELDS]

    def has(self, name: bytes) -> bool:
        """Whether there is a field of this name, given in lower case."""
        if self._lines:
            return b"\n%b:" % name in self._lines.lower()
        names = self._names
        if names is None:
            names = self._names = frozenset([field_name.lower() for field_name, _ in self.headers])
        return name in names

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the fields of this name, given in lower case, in order."""
        if not self._lines:
            return [v for k, v in self.headers if k.lower() == name] if self.has(name) else []
        begin = b"\n%b:" % name
        lowered, values, at = self._lines.lower(), [], 0
        while (at := lowered.find(begin, at)) >= 0:
            start = at + len(begin)
            at = lowered.index(b"\n", start)
            values.append(self._lines[start:at].strip())
        return values


@dataclass(slots=True)
class EngineResponse:
    """A whole answer.

    Attributes:
        head: Status and fields.
        body: The content as sent, content codings still on it.
        phases: Where the time went.
        peer: Address and port that answered, "127.0.0.1:80"; None when the engine cannot know.
    """

    head: Head
    body: bytes
    phases: Phases
    peer: str | None = None


class BodySink(Protocol):
    """Takes a body as it arrives."""

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Take `data`, which is only valid during the call.

        Returns:
            None when more may come at once; an awaitable when reading has to pause until it is
            done. An exception ends the exchange and reaches the caller of `drain`.
        """
        raise NotImplementedError


class Exchange(Protocol):
    """An answer whose head has come and whose body is still on the wire.

    Exactly one of `read` (repeatedly) and `drain` is used, then `aclose`. Reading to the end gives
    the connection back; closing earlier closes it.
    """

    head: Head
    phases: Phases

    @property
    def peer(self) -> str | None:
        """Address and port that answered; None when unknown."""
        raise NotImplementedError

    async def read(self) -> bytes:
        """Return the next piece as sent, some KiB to 1 MiB; b"" at the end.

        Raises:
            TimeoutError: Nothing came for `limits.read` seconds.
            ProtocolError: The framing is broken, or the peer closed before the body's end.
        """
        raise NotImplementedError

    async def drain(self, sink: BodySink) -> None:
        """Write the whole body to `sink`, in as few and large pieces as the wire allows.

        Raises:
            TimeoutError: As `read`.
            ProtocolError: As `read`.
        """

    async def aclose(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""


class Engine(Protocol):
    """Sends requests over connections of one event loop.

    Cancelling `fetch` or `open` at any point closes the connection at once. A reused connection
    that dies before any byte of the answer is replaced once, silently, when the request
    `is_replayable`. A connection on which bytes follow a complete body is never reused.

    Both calls raise the errors of `nbhttp.errors` only: ConnectError, TimeoutError (saying the
    phase), ProtocolError, BodyTooLargeError; without method and URL, which the core adds.
    """

    name: str

    def fetch(
        self, request: EngineRequest, max_body: int | None
    ) -> Coroutine[Any, Any, EngineResponse]:
        """Send and receive everything.

        Args:
            request: What to send.
            max_body: Bytes of raw body above which BodyTooLargeError is raised, as soon as it is
                known (Content-Length) or reached; None is no bound.
        """
        raise NotImplementedError

    def open(self, request: EngineRequest) -> Coroutine[Any, Any, Exchange]:
        """Send the request and return when the answer's head has come."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close every connection; what is in flight fails."""

    def discard(self) -> None:
        """Do what `aclose` does at once and without waiting.

        Only on asyncio; on its loop, or anywhere once that has ended.
        """

    @property
    def connections(self) -> int:
        """Connections open now, idle ones included."""
        raise NotImplementedError


@dataclass(slots=True, frozen=True)
class EngineSettings:
    """What every engine is built with.

    Attributes:
        ssl_context: Makes the context for an origin's ALPN protocols, built once and shared.
        keepalive_expiry: Seconds after which an idle connection is closed.
        max_idle: Idle connections kept.
        max_header_bytes: Largest answer head accepted.
        max_header_fields: Most fields in an answer's head.
        local_address: Address to connect from; None lets the system choose.
    """

    ssl_context: Any
    keepalive_expiry: float = 30.0
    max_idle: int = 100
    max_header_bytes: int = 64 * 1024
    max_header_fields: int = 200
    local_address: str | None = None
