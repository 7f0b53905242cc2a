"""What a call gives back: the answer, or what went wrong, as one value."""

import os
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from nbhttp._habits import SaysHow, of_result
from nbhttp._json import JsonError, loads
from nbhttp._marks import visible
from nbhttp.errors import DecodeError, NbhttpError, StatusError
from nbhttp.redaction import redact_text, redact_url
from nbhttp.types import UNSET, Unset

if TYPE_CHECKING:
    import httpx
    from rich.text import Text

    from nbhttp._engines.base import Head
    from nbhttp._render.parts import TablePart, TreePart

__all__ = ["Attempt", "Redirect", "RequestResult", "Timing"]


class Timing(NamedTuple):
    """Where the time of a call went, in seconds; a phase that did not happen is 0.0.

    The exchanges of a call that was redirected or authenticated add up.

    Attributes:
        queue: Waiting for one of the client's `max_connections`.
        connect: Name look-up and TCP connect.
        tls: The TLS handshake.
        send: Writing the request.
        wait: From the last byte sent to the first byte of the answer.
        receive: From there to the last byte.
    """

    queue: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    send: float = 0.0
    wait: float = 0.0
    receive: float = 0.0

    @property
    def total(self) -> float:
        """The sum of all phases."""
        return sum(self)


class Attempt(NamedTuple):
    """One try of a call.

    Attributes:
        number: Counted from 1.
        status_code: None when no answer came.
        error: What went wrong, redacted; None when it succeeded.
        elapsed: Seconds it took.
        delay: Seconds waited before it.
    """

    number: int
    status_code: int | None
    error: str | None
    elapsed: float
    delay: float = 0.0


class Redirect(NamedTuple):
    """A redirection that was followed.

    Attributes:
        status_code: 301, 302, 303, 307 or 308.
        method: Of the request that was redirected.
        url: The URL that was asked.
        location: The URL that it pointed to, absolute.
    """

    status_code: int
    method: str
    url: str
    location: str

    def __repr__(self) -> str:
        where = f"{redact_url(self.url)!r}, location={redact_url(self.location)!r}"
        return f"Redirect(status_code={self.status_code}, method={self.method!r}, url={where})"


class RequestSent(NamedTuple):
    """The request as it went out, for the result to show and to make an `httpx.Request` of."""

    method: str
    url: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | None  # None: it was streamed and is not kept


class RequestResult(SaysHow):
    """The outcome of one call: a response, or what went wrong.

    True in a condition when the call succeeded: an answer came, with a status below 400. It never
    changes, and costs little: `response`, `text`, `json()` are made when asked for.

    Attributes are described at the properties below.

    Examples:
        >>> import nbhttp
        >>> from nbhttp.testing import DemoServer
        >>> with DemoServer() as server:
        ...     r = nbhttp.get(server.url + "/status/404")
        ...     r.success, r.status_code
        (False, 404)
    """

    __slots__ = (
        "__weakref__",
        "_attempts",
        "_body",
        "_elapsed",
        "_engine",
        "_engine_reason",
        "_exception",
        "_head",
        "_history",
        "_json",
        "_method",
        "_peer",
        "_redirects",
        "_request",
        "_response",
        "_timing",
        "_url",
        "_withheld_from",
    )

    def __init__(
        self,
        *,
        request: RequestSent,
        head: "Head | None" = None,
        body: bytes = b"",
        exception: NbhttpError | None = None,
        elapsed: float = 0.0,
        timing: Timing | None = None,
        attempts: tuple[Attempt, ...] | None = None,
        redirects: tuple[Redirect, ...] = (),
        history: "Sequence[RequestResult]" = (),
        engine: str = "",
        engine_reason: str = "",
        peer: str | None = None,
        withheld_from: str | None = None,
    ) -> None:
        self._request = request
        self._method = request.method
        self._url = request.url
        self._head = head
        self._body = body
        self._exception: NbhttpError | None = exception
        self._elapsed = elapsed
        self._timing = timing or Timing()
        self._attempts = attempts
        self._redirects = redirects
        self._history = history
        self._engine = engine
        self._engine_reason = engine_reason
        self._peer = peer
        self._withheld_from = withheld_from
        self._response: httpx.Response | None = None
        self._json: Any = UNSET

    # What happened

    @property
    def success(self) -> bool:
        """Whether an answer came and its status is below 400."""
        return self._exception is None and self._head is not None and self._head.status < 400

    def __bool__(self) -> bool:
        return self.success

    @property
    def status_code(self) -> int | None:
        """The status; None when no usable answer came."""
        return None if self._head is None else self._head.status

    @property
    def reason_phrase(self) -> str:
        """The reason as the server worded it, else the standard one; "" when neither is known."""
        if self._head is None:
            return ""
        if self._head.reason:
            return self._head.reason.decode("latin-1")
        import http

        try:
            return http.HTTPStatus(self._head.status).phrase
        except ValueError:
            return ""

    @property
    def error(self) -> str | None:
        """What went wrong in one line, with the server's own explanation; None on success."""
        exception = self.exception
        return None if exception is None else str(exception)

    @property
    def exception(self) -> NbhttpError | None:
        """The error that `raise_for_status()` raises; None on success."""
        if self._exception is None and self._head is not None and self._head.status >= 400:
            self._exception = self._status_error(self._head.status)
        return self._exception

    @property
    def hint(self) -> str | None:
        """One sentence on what to do about `error`; None when there is nothing useful to say."""
        exception = self.exception
        return None if exception is None else exception.hint

    def raise_for_status(self) -> Self:
        """Return this result when it is a success.

        Raises:
            StatusError: A response came, with 4xx or 5xx.
            RequestError: No usable response came.
        """
        exception = self.exception
        if exception is None:
            return self
        raise exception

    # What was asked

    @property
    def method(self) -> str:
        """The method of the last request sent."""
        return self._method

    @property
    def url(self) -> str:
        """The URL that answered, after redirects; userinfo went into the auth and is gone.

        A credential in its query is still there: this is data. Whatever nbhttp prints is redacted.
        """
        return self._url

    @property
    def redirects(self) -> tuple[Redirect, ...]:
        """The redirections that were followed, in order."""
        return self._redirects

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What was tried, in order; the last one gave this result."""
        if self._attempts is None:
            self._attempts = (Attempt(1, self.status_code, self.error, self._elapsed),)
        return self._attempts

    @property
    def elapsed(self) -> float:
        """Seconds from the call to its end, waiting in the queue included."""
        return self._elapsed

    @property
    def timing(self) -> Timing:
        """Where the time went."""
        return self._timing

    @property
    def engine(self) -> str:
        """The engine that sent the request: "httpx", "direct" or "transport"; "" when none did."""
        return self._engine

    @property
    def engine_reason(self) -> str:
        """Why that engine: "a bulk goes over the direct engine", say; "" when none sent it."""
        return self._engine_reason

    @property
    def peer(self) -> str | None:
        """Address and port that answered, "127.0.0.1:80"; None when unknown."""
        return self._peer

    # What came back

    @property
    def headers(self) -> "httpx.Headers":
        """The response's fields, by case-insensitive name; empty when no answer came."""
        import httpx

        return httpx.Headers([] if self._head is None else self._head.headers)

    @property
    def http_version(self) -> str | None:
        """The protocol, like "HTTP/1.1"; None when no answer came."""
        return None if self._head is None else self._head.http_version

    @property
    def content_type(self) -> str:
        """The media type, lower case and without parameters; "" when not declared."""
        return self._field(b"content-type").partition(";")[0].strip().lower()

    @property
    def content(self) -> bytes:
        """The body, content codings undone; empty when there is none."""
        return self._body

    @property
    def encoding(self) -> str:
        """The character set that `text` is decoded with."""
        from nbhttp._charset import choose

        return choose(self._body, self._field(b"content-type")).encoding

    @property
    def text(self) -> str:
        """The body as text; what is not valid in its character set shows as U+FFFD."""
        from nbhttp._charset import decode

        return decode(self._body, self._field(b"content-type"))

    @property
    def response(self) -> "httpx.Response | None":
        """The response as httpx would give it, `history` included; None when no answer came."""
        if self._response is None and self._head is not None:
            self._response = self._build_response(self._head)
        return self._response

    def json(self, *, default: Any = UNSET) -> Any:
        """Return the body decoded from JSON; parsed once, the same object every time.

        Numbers are exact: integers of any size stay integers.

        Args:
            default: Returned instead of raising when the body is not JSON.

        Raises:
            DecodeError: The body is not JSON, or no answer came; says where and what it is.
        """
        if self._json is not UNSET:
            return self._json
        try:
            self._json = loads(self._body)
        except JsonError as exc:
            if isinstance(default, Unset):
                raise self._not_json(exc) from None
            return default
        return self._json

    def save(self, path: "str | os.PathLike[str]") -> "os.PathLike[str]":
        """Write the body to a file, atomically: the whole of it appears at once, or nothing.

        Returns:
            The path written.

        Raises:
            NbhttpError: The call failed: an error's body is not data.
            OSError: The file cannot be written.
        """
        from errno import EISDIR, ENOENT
        from pathlib import Path
        from secrets import token_hex

        self.raise_for_status()
        target = Path(path)
        if target.is_dir():
            raise IsADirectoryError(EISDIR, "give the file a name, too", str(target))
        if not target.parent.is_dir():
            raise FileNotFoundError(ENOENT, "the folder does not exist", str(target.parent))
        # Made with the permissions that any new file gets, which tempfile would narrow.
        temporary = target.with_name(f".{target.name[:64]}.{token_hex(8)}.part")
        try:
            with temporary.open("xb") as file:
                file.write(self._body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return target

    def _habits_of(self, name: str) -> Mapping[str, str]:
        import sys

        httpx = sys.modules.get("httpx")
        if name not in of_result and httpx is not None and hasattr(httpx.Response, name):
            return {name: f"r.response, an httpx.Response, has it: r.response.{name}"}
        return of_result

    # How it looks

    def __repr__(self) -> str:
        what = f"{self._method} {redact_url(self._url)}"
        if self._head is None:
            return f"<RequestResult {what}: {self.error}>"
        status = f"{self._head.status} {visible(redact_text(self.reason_phrase))}".strip()
        if self._exception is not None and not isinstance(self._exception, StatusError):
            return f"<RequestResult {what}: {status}, {self.error}>"
        kind = visible(self.content_type or "no content type")
        size = f"{len(self._body):,} bytes"
        return f"<RequestResult {what}: {status}, {kind}, {size}, {self._elapsed:.3f} s>"

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        from nbhttp._render.bundle import mimebundle
        from nbhttp._render.views.card import Card

        self._hide_echoes()
        return mimebundle(lambda: Card(self), include, exclude)

    def _repr_html_(self) -> str:
        from nbhttp._render.bundle import html
        from nbhttp._render.views.card import Card

        self._hide_echoes()
        return html(Card(self))

    def __rich__(self) -> "Text":
        from nbhttp._render.bundle import rich_text
        from nbhttp._render.views.card import Card

        self._hide_echoes()
        return rich_text(Card(self))

    def tree(
        self,
        path: "str | Sequence[str | int]" = "",
        *,
        depth: int | None = None,
        max_items: int | None = None,
    ) -> "TreePart":
        """Show a part of the JSON body as a tree.

        Args:
            path: Where it begins: `data.items[0].name`, keys with dots or spaces as `["…"]`, the
                Python that a tree shows, or a sequence of keys; "" is the whole document.
            depth: Levels, 1 to 100; None takes `nbhttp.options.display.depth`.
            max_items: Items and keys shown of each list and object; None takes the display's.

        Raises:
            ConfigError: Nothing is at `path`; says where it stopped and what is there.
            DecodeError: The body is not JSON.
        """
        from nbhttp._render.parts import tree_of

        self._hide_echoes()
        return tree_of(self, path, depth, max_items)

    def table(
        self, path: "str | Sequence[str | int]" = "", *, rows: int | None = None
    ) -> "TablePart":
        """Show records of the body as a table: a JSON list of objects, CSV, TSV or NDJSON.

        Args:
            path: Where the list stands, as for `tree`; "" is the body, or the only list of
                records at its top level.
            rows: Rows shown, as many as fit; None takes `nbhttp.options.display.rows`.

        Raises:
            ConfigError: No records are at `path`; says what is there.
            DecodeError: The body holds no records.
        """
        from nbhttp._render.parts import table_of

        self._hide_echoes()
        return table_of(self, path, rows)

    # Private

    def _hide_echoes(self) -> None:
        """Have credentials of the request that the answer repeats masked, before it is shown."""
        from nbhttp._credentials import remember_echoed

        urls = [self._url, *(redirect.url for redirect in self._redirects)]
        remember_echoed(urls, self._request.headers, self._request.body, self._body)

    def _field(self, name: bytes) -> str:
        if self._head is None:
            return ""
        for key, value in self._head.headers:
            if key.lower() == name:
                return value.decode("latin-1")
        return ""

    def _status_error(self, status: int) -> StatusError:
        from nbhttp._explain import explain, status_hint

        self._hide_echoes()
        return StatusError(
            f"{status} {self.reason_phrase}".strip()
            + explain(self._body, self.content_type, self.reason_phrase)
            + f" ({self._method} {redact_url(self._url)})",
            status_code=status,
            result=self,
            method=self._method,
            url=self._url,
            attempts=self._attempts or (),
            hint=self._withheld_hint(status) or status_hint(status, self._field(b"retry-after")),
        )

    def _withheld_hint(self, status: int) -> str | None:
        if self._withheld_from is None or status not in {401, 403}:
            return None
        return (
            f"the redirect led to another origin, {redact_url(self._withheld_from)}, and "
            "credentials do not follow there; if they belong there, ask that URL"
        )

    def _not_json(self, exc: JsonError) -> DecodeError:
        if self._head is None:  # `exception` has the long story
            text = f"no answer to decode: {self.error}"
            return DecodeError(text, method=self._method, url=self._url)
        from nbhttp._explain import opening

        self._hide_echoes()
        where = f"{self._method} {redact_url(self._url)}"
        kind = self.content_type or "no content type"
        what = "an empty body" if not self._body.strip() else f"{exc}"
        return DecodeError(
            f"{self.status_code} from {where}: {kind}, not JSON ({what})"
            + opening(self._body, self._field(b"content-type")),
            hint=self.hint or "look at r.text; pass default= to json() to go on without",
            method=self._method,
            url=self._url,
        )

    def _build_response(self, head: "Head") -> "httpx.Response":
        import httpx

        request = httpx.Request(
            self._method,
            self._url,
            headers=list(self._request.headers),
            stream=httpx.ByteStream(self._request.body or b""),
        )
        # The body is decoded already: a Content-Encoding would make the constructor decode it again.
        coded = {b"content-encoding", b"transfer-encoding", b"content-length"}
        response = httpx.Response(
            head.status,
            headers=[(k, v) for k, v in head.headers if k.lower() not in coded],
            stream=httpx.ByteStream(self._body),
            request=request,
            extensions={"http_version": head.http_version.encode("ascii")}
            | ({"reason_phrase": head.reason} if head.reason else {}),
            history=[r.response for r in self._history if r.response is not None],
        )
        response.read()
        response.headers = httpx.Headers(head.headers)
        response.elapsed = timedelta(seconds=self._elapsed)
        return response
