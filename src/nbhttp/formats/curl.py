"""A request as a curl command that a POSIX shell reads."""

import re
import shlex
from collections.abc import Iterable

__all__ = ["quote", "to_curl"]

# curl computes these itself, or they are about the connection and not the request.
_LEFT_OUT = frozenset(["content-length", "host", "connection", "transfer-encoding"])
_UNSEEN = re.compile(
    "([\x01-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]+)"
)


def to_curl(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: str | None = None,
    *,
    body_file: str = "",
) -> str:
    r"""Return a curl command, one option a line, that sends the same request.

    Nothing is redacted here: what may be shown is for the caller to decide.

    Args:
        method: As sent.
        url: Absolute.
        headers: Names and values; those that curl computes itself are left out.
        body: The content as text; None sends none.
        body_file: A file to send instead, for content that is no text.

    Examples:
        >>> print(to_curl("POST", "https://h/x", [("Accept", "*/*")], "it's"))
        curl https://h/x \
          -H 'Accept: */*' \
          --data-raw 'it'"'"'s'
    """
    has_body = body is not None or bool(body_file)
    options = [f"curl{_globbing(url)} {quote(url)}", *_method(method, has_body=has_body)]
    for name, value in headers:
        lowered = name.lower()
        if lowered == "accept-encoding":
            options.append("--compressed")
        elif lowered not in _LEFT_OUT:
            # "Name;" is how curl is told to send a field without a value.
            options.append(f"-H {quote(f'{name}: {value}' if value else f'{name};')}")
    if body_file:
        options.append(f"--data-binary {quote('@' + body_file)}")
    elif body is not None:
        options.append(f"--data-raw {quote(body)}")
    return " \\\n  ".join(options)


def _globbing(url: str) -> str:
    return " --globoff" if set(url) & set("[]{}") else ""


def _method(method: str, *, has_body: bool) -> list[str]:
    if method == "HEAD" and not has_body:
        return ["--head"]
    if method == ("POST" if has_body else "GET"):
        return []
    return [f"-X {quote(method)}"]


def quote(text: str) -> str:
    r"""Return `text` as one word of a POSIX shell, every unseen character written out.

    Line ends stay, inside quotes. NUL cannot be in a word and is left out.

    Examples:
        >>> print(quote("a b"), quote("a\x1b"))
        'a b' a"$(printf '\033')"
    """
    parts = _UNSEEN.split(text.replace("\x00", ""))
    words = [
        _printf(part) if at % 2 else shlex.quote(part) for at, part in enumerate(parts) if part
    ]
    return "".join(words) or "''"


def _printf(text: str) -> str:
    octal = "".join(f"\\{byte:03o}" for byte in text.encode("utf-8", "surrogatepass"))
    return f"\"$(printf '{octal}')\""
