"""The body of a request: from what users give to bytes, or to what gives them."""

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from io import TextIOBase
from typing import Any, cast

from nbhttp._core.fields import RawHeaders, check_headers, raw_field, raw_headers
from nbhttp._core.values import MULTIPART, revealed, revealed_params
from nbhttp._credentials import remember
from nbhttp._json import dumps
from nbhttp.errors import ConfigError
from nbhttp.redaction import is_credential_name

__all__ = ["Body", "check_framing", "encode_body", "is_multipart", "position_of"]

Body = bytes | Iterable[bytes] | AsyncIterable[bytes]


def is_multipart(body: object) -> bool:
    """Whether it is httpx's stream of a form with files: iterable both ways, and again and again."""
    return type(body).__name__ == "MultipartStream"


def encode_body(options: Mapping[str, Any], method: str) -> tuple[RawHeaders, Body]:
    """Return the fields that describe the body, and the body."""
    content, data = options.get("content"), options.get("data")
    files, json = options.get("files"), options.get("json")
    given = [name for name in ("content", "data", "files", "json") if options.get(name) is not None]
    if len(given) > 1 and set(given) != {"data", "files"}:
        raise ConfigError(f"a request has one body: {' and '.join(given)} were given")
    if isinstance(data, str | bytes):  # the habit from requests
        content, data = data, None
    if json is not None:
        body = dumps(json)
        return _framed(body, b"application/json"), body
    if isinstance(content, str):
        # As bytes, no Content-Type: often it is JSON, and servers refuse that as text/plain.
        body = content.encode("utf-8")
        return _framed(body), body
    if isinstance(content, bytes | bytearray | memoryview):
        body = bytes(content)
        return _framed(body), body
    if content is not None:
        return _stream_framing(content), content
    if data is not None or files is not None:
        return _encode_form(data, files, _boundary_source(options))
    return ([(b"Content-Length", b"0")] if method in {"POST", "PUT", "PATCH"} else []), b""


def check_framing(headers: RawHeaders, body: Body) -> None:
    """Refuse framing fields that the user set and that do not fit the body.

    A server would read the difference as another request (RFC 9112 section 11.2).

    Raises:
        ConfigError: Content-Length is wrong, or stands beside Transfer-Encoding.
    """
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    if not lengths and not codings:
        return
    if codings and (lengths or codings[1:] or codings[0].lower() != b"chunked"):
        raise ConfigError(
            "Transfer-Encoding can only be 'chunked', without a Content-Length; "
            "leave both out: they are set as the body needs them"
        )
    if lengths[1:] or (lengths and not lengths[0].isdigit()):
        raise ConfigError("Content-Length takes one number of bytes; leave it out: it is set")
    if lengths and isinstance(body, bytes) and int(lengths[0]) != len(body):
        raise ConfigError(
            f"Content-Length is {int(lengths[0]):,} but the body has {len(body):,} bytes; "
            "leave it out: it is set as the body needs it"
        )


def _framed(body: bytes, content_type: bytes | None = None) -> RawHeaders:
    fields = [(b"Content-Length", str(len(body)).encode("ascii"))]
    if content_type is not None:
        fields.append((b"Content-Type", content_type))
    return fields


def _stream_framing(content: Any) -> RawHeaders:
    """Content-Length where a file tells its size, else chunked."""
    if isinstance(content, TextIOBase):
        raise TypeError("content takes a binary file: open it with mode 'rb'")
    if isinstance(content, Mapping) or not isinstance(content, Iterable | AsyncIterable):
        raise TypeError(
            "content takes str, bytes, a binary file or an iterable of bytes, "
            f"not {type(content).__name__}; for a form use data=, for JSON json="
        )
    size = _remaining_bytes(content)
    if size is None:
        return [(b"Transfer-Encoding", b"chunked")]
    return [(b"Content-Length", str(size).encode("ascii"))]


def _remaining_bytes(content: Any) -> int | None:
    """Bytes from where a file stands to its end; None for what is no seekable file."""
    if not (hasattr(content, "read") and hasattr(content, "seek") and hasattr(content, "tell")):
        return None
    try:
        here: int = content.tell()
        end: int = content.seek(0, 2)
        content.seek(here)
    except (OSError, ValueError):
        return None
    return end - here


def position_of(body: Any) -> int:
    """Return where an open file stands; 0 for all else."""
    if isinstance(body, bytes) or not (hasattr(body, "seek") and hasattr(body, "tell")):
        return 0
    try:
        position: int = body.tell()
    except (OSError, ValueError):
        return 0
    return position


def _encode_form(data: Any, files: Any, boundary: dict[str, str]) -> tuple[RawHeaders, Body]:
    """Form fields and files, encoded by httpx."""
    import httpx

    if data is not None and not isinstance(data, Mapping):
        raise TypeError(
            "data takes a mapping (with lists for what repeats), str or bytes, "
            f"not {type(data).__name__}"
        )
    if files is not None:
        _remember_fields(data)
    try:
        request = httpx.Request(
            "POST",
            "http://body",
            data=revealed_params(data, "data" if files is None else MULTIPART),
            files=_checked_files(files),
            headers=boundary,
        )
    except (TypeError, ValueError, AttributeError) as exc:
        raise TypeError(f"cannot encode the form: {exc}") from exc
    fields = [
        (name, value)
        for name, value in request.headers.raw
        if name.lower() in {b"content-type", b"content-length", b"transfer-encoding"}
    ]
    if isinstance(request.stream, httpx.ByteStream):
        return fields, request.read()
    return fields, cast("Body", request.stream)  # iterable both ways


def _remember_fields(data: Any) -> None:
    """Have the credentials of a multipart form masked: its body is not kept to look them up."""
    for name, given in (data or {}).items():
        value = revealed(given)
        if isinstance(name, str) and isinstance(value, str) and is_credential_name(name):
            remember(value)


def _checked_files(files: Any) -> Any:
    """Refuse what httpx would only trip over while it sends."""
    if files is None:
        return None
    if not isinstance(files, Mapping | Sequence) or isinstance(files, str | bytes):
        raise TypeError(f"files takes a mapping or pairs, not {type(files).__name__}")
    for name, value in files.items() if isinstance(files, Mapping) else files:
        content = value[1] if isinstance(value, tuple) else value
        if isinstance(content, TextIOBase):
            raise TypeError(f"files: {name!r} is a text file: open it with mode 'rb'")
        if not isinstance(content, str | bytes) and not hasattr(content, "read"):
            raise TypeError(
                f"files: {name!r} takes bytes, text or a file that is opened with mode 'rb', "
                f"not {type(content).__name__}"
            )
        if isinstance(value, tuple) and len(value) > 2 and value[2] is not None:
            check_headers([raw_field("Content-Type", value[2])])
        if isinstance(value, tuple) and len(value) > 3:
            check_headers([raw_field(*field) for field in value[3].items()])
    return files


def _boundary_source(options: Mapping[str, Any]) -> dict[str, str]:
    """A multipart boundary that the user chose in Content-Type."""
    for name, value in raw_headers(options.get("headers")):
        if name.lower() == b"content-type" and b"boundary=" in value:
            return {"Content-Type": value.decode("latin-1")}
    return {}
