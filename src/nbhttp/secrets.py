"""Secrets that a notebook uses without showing them.

`secret("GITHUB_TOKEN")` finds a value where values belong (the environment, a `.env` file, the
keyring, Colab's userdata) or asks for it, and gives a `Secret`: headers, parameters and `auth`
accept it, everything that prints it shows a mask.
"""

import getpass
import hmac
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from nbhttp._credentials import remember
from nbhttp.errors import ConfigError
from nbhttp.redaction import mask_of, redact_text, register

if TYPE_CHECKING:
    from collections.abc import Generator

    import httpx

__all__ = ["Secret", "basic", "bearer", "parse_dotenv", "reveal", "secret"]

T = TypeVar("T")


class Secret:
    """A value that is used but never shown.

    `str()`, `repr()`, `format()` and thus f-strings give a mask; pickling is refused and JSON
    encoders do not know it. The value is registered with the redactor, so that it is also masked
    where a server echoes it. Text is put before or after it with ``+``, which gives a new secret:

    >>> token = Secret("not-a-real-token", name="DEMO")
    >>> {"Authorization": "Token " + token}
    {'Authorization': Secret('DEMO', ‹redacted›)}

    Args:
        value: The value; white space around it is dropped, pasted tokens often bring some.
        name: What it is called where it is shown.

    Raises:
        TypeError: `value` or `name` is not a string.
        ConfigError: `value` is empty.
    """

    __slots__ = ("_name", "_value")

    def __init__(self, value: str, *, name: str = "secret") -> None:
        if not isinstance(value, str):
            raise TypeError(f"the value of a Secret must be a str, not {type(value).__name__}")
        if not isinstance(name, str):
            raise TypeError(f"the name of a Secret must be a str, not {type(name).__name__}")
        value = value.strip()
        if not value:
            raise ConfigError(f"the value of the secret {name!r} is empty")
        register(value)
        self._name = redact_text(name)
        self._value = value

    @property
    def name(self) -> str:
        """What the secret is called."""
        return self._name

    def reveal(self) -> str:
        """The value itself; whatever prints it shows it."""
        return self._value

    def __str__(self) -> str:
        return mask_of(self._value)

    def __repr__(self) -> str:
        return f"Secret({self._name!r}, {mask_of(self._value)})"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __add__(self, text: str) -> "Secret":
        if not isinstance(text, str):
            return NotImplemented
        return Secret(self._value + text, name=self._name)

    def __radd__(self, text: str) -> "Secret":
        if not isinstance(text, str):
            return NotImplemented
        return Secret(text + self._value, name=self._name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the secret {self._name!r} is not pickled: the file would hold its value; "
            "call nbhttp.secret() again where it is needed"
        )


def reveal(value: "Secret | T") -> "str | T":
    """The value of a `Secret`; anything else stays what it is."""
    return value.reveal() if isinstance(value, Secret) else value


_entered: dict[str, Secret] = {}
_prompting = threading.Lock()


def secret(name: str, *, prompt: bool = True, again: bool = False) -> Secret:
    """Find a secret, or ask for it.

    Looked up in this order; an empty value counts as absent:

    1. the environment variable `name`;
    2. `.env` in the current directory, which is the notebook's, or in the nearest parent that
       sets `name`, up to the one with a ``.git`` or the home directory;
    3. the keyring (service ``nbhttp``), when the keyring package is installed;
    4. Colab's userdata, in Colab;
    5. what was entered for this name before in this session;
    6. a prompt that does not echo.

    Args:
        name: Such as ``"GITHUB_TOKEN"``.
        prompt: Whether to ask when nothing is found; False raises instead.
        again: Whether to ask again although a value was entered before.

    Returns:
        The secret, registered with the redactor.

    Raises:
        ConfigError: `name` is empty; or nothing was found and there is nobody to ask, or
            nothing was entered. The message says where was looked.
        TypeError: `name` is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"a secret's name must be a str, not {type(name).__name__}")
    if not name.strip() or "\0" in name:
        raise ConfigError(f"a secret needs a name, such as 'GITHUB_TOKEN', not {name!r}")
    for find in (_from_environment, _from_dotenv, _from_keyring, _from_colab):
        if value := (find(name) or "").strip():
            return Secret(value, name=name)
    with _prompting:
        if name in _entered and not again:
            return _entered[name]
        if not prompt:
            raise _not_found(name, "and was told not to ask")
        _entered[name] = Secret(_ask(name), name=name)
        return _entered[name]


def _not_found(name: str, why: str) -> ConfigError:
    places = ["the environment", f".env in {Path.cwd()} and above", "the keyring"]
    if "google.colab" in sys.modules:
        places.append("Colab's userdata")
    return ConfigError(
        f"no secret {name!r}: looked in {', '.join(places)}, {why}",
        hint=f"Set the environment variable {name} or write it into a .env file.",
    )


def _from_environment(name: str) -> str | None:
    return os.environ.get(name)


def _from_dotenv(name: str) -> str | None:
    for path in _dotenv_files(Path.cwd()):
        try:
            text = path.read_text("utf-8-sig", "replace")
        except OSError:  # absent, a directory, not ours to read
            continue
        if value := parse_dotenv(text).get(name):
            return value
    return None


def _dotenv_files(start: Path) -> Iterator[Path]:
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    for directory in (start, *start.parents):
        yield directory / ".env"
        if (directory / ".git").exists() or str(directory) == home:
            return


# A quoted value may go over several lines, as private keys do.
_ASSIGNMENT = re.compile(
    r"^[ \t]*+(?:export[ \t]++)?([A-Za-z_][\w.-]*+)[ \t]*+=[ \t]*+"
    r"(?:'([^']*+)'|\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\"|([^\r\n]*+))",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"(?:^|\s)#.*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def parse_dotenv(text: str) -> dict[str, str]:
    r"""Read the assignments of a `.env` file.

    Known are ``NAME=value``, ``export``, comments after ``#``, single quotes (literal) and
    double quotes (``\n``, ``\"``, ``\\``), both over several lines. Variables are not expanded.
    The last assignment of a name holds; lines that are no assignment are skipped.

    Args:
        text: The file's text.
    """
    found: dict[str, str] = {}
    for match in _ASSIGNMENT.finditer(text):
        name, literal, quoted, bare = match.groups()
        if literal is not None:
            found[name] = literal
        elif quoted is not None:
            found[name] = _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), quoted)
        else:
            found[name] = _COMMENT.sub("", bare).strip()
    return found


def _from_keyring(name: str) -> str | None:
    try:
        keyring = import_module("keyring")
        found = keyring.get_password("nbhttp", name)
    except Exception:  # noqa: BLE001 - not installed, no backend, locked: all mean "not there"
        return None
    return found if isinstance(found, str) else None


def _from_colab(name: str) -> str | None:
    if "google.colab" not in sys.modules:  # Colab's kernel has loaded it
        return None
    try:
        found = import_module("google.colab.userdata").get(name)
    except Exception:  # noqa: BLE001 - no such secret, or the notebook has no access to it
        return None
    return found if isinstance(found, str) else None


def _ask(name: str) -> str:
    if not _can_prompt():
        raise _not_found(name, "and cannot ask: no terminal or notebook to type into")
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would echo
        try:
            value = getpass.getpass(f"{name}: ").strip()
        except (EOFError, OSError, NotImplementedError, getpass.GetPassWarning) as exc:
            raise _not_found(name, "and could not ask without showing the answer") from exc
    if not value:
        raise _not_found(name, "and nothing was entered")
    return value


def _can_prompt() -> bool:
    # A kernel replaces getpass while a cell runs; its standard input is no terminal.
    if getpass.getpass.__module__ != "getpass":
        return True
    return sys.stdin is not None and sys.stdin.isatty()


def bearer(token: "Secret | str") -> "httpx.Auth":
    """Authentication with ``Authorization: Bearer …`` (RFC 6750 section 2.1).

    Args:
        token: The token; it is masked while this is in use, and long after.

    Returns:
        What `auth=` takes.

    Raises:
        ConfigError: The token is empty or holds white space or a control character.
        TypeError: The token is neither a string nor a `Secret`.
    """
    value = _text_of(token, "token")
    if not value or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in value):
        raise ConfigError("a bearer token must not be empty or hold white space")
    auth = _bearer_auth()(value)
    remember(value, owner=auth)
    return auth


def basic(user: "Secret | str", password: "Secret | str | bytes") -> "httpx.Auth":
    """Authentication with ``Authorization: Basic …`` (RFC 7617), encoded as UTF-8.

    Args:
        user: The user's name, without ``:``. Where the password is empty it is the secret.
        password: The password; it is masked while this is in use, and long after.

    Returns:
        What `auth=` takes.

    Raises:
        ConfigError: The user's name holds ``:`` (RFC 7617 section 2).
        TypeError: One of them is not text.
    """
    import httpx

    if isinstance(password, bytes):
        password = password.decode("utf-8", "surrogateescape")
    hidden = _text_of(password, "password")
    name = reveal(user)
    if not isinstance(name, str):
        raise TypeError(f"the user must be a str or a Secret, not {type(user).__name__}")
    if ":" in name:
        raise ConfigError("the user's name for basic authentication must not hold ':'")
    auth = httpx.BasicAuth(
        name.encode("utf-8", "surrogateescape"), hidden.encode("utf-8", "surrogateescape")
    )
    for value in (hidden, f"{name}:{hidden}") if hidden else (name,):
        remember(value, owner=auth)
    return auth


def _text_of(value: "Secret | str", role: str) -> str:
    text = reveal(value)
    if not isinstance(text, str):
        raise TypeError(f"the {role} must be a str or a Secret, not {type(value).__name__}")
    return text


@lru_cache(maxsize=1)
def _bearer_auth() -> "Callable[[str], httpx.Auth]":
    import httpx

    class BearerAuth(httpx.Auth):
        """Adds ``Authorization: Bearer …`` to each request."""

        def __init__(self, token: str) -> None:
            self._header = f"Bearer {token}"

        def auth_flow(
            self, request: httpx.Request
        ) -> "Generator[httpx.Request, httpx.Response, None]":
            request.headers["Authorization"] = self._header
            yield request

        def __repr__(self) -> str:
            return f"bearer({mask_of(self._header.removeprefix('Bearer '))})"

    return BearerAuth
