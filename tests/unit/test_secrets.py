"""Secrets are found where they belong, used as values, and never shown."""

import copy
import doctest
import getpass
import json
import os
import pickle
import select
import subprocess
import sys
import types
import warnings
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp import redaction, secrets
from nbhttp.errors import ConfigError
from nbhttp.redaction import MASK, redact_text
from nbhttp.secrets import Secret, basic, bearer, parse_dotenv, reveal, secret

VALUE = "correct-horse-battery"
NAME = "NBHTTP_TEST_TOKEN"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test starts in an empty project, with nothing entered and nothing registered."""
    monkeypatch.setattr(redaction, "_rules", redaction._Rules())
    monkeypatch.setattr(redaction, "_values", type(redaction._values)())
    monkeypatch.setattr(secrets, "_entered", {})
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.delenv(NAME, raising=False)
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)


def answer(monkeypatch: pytest.MonkeyPatch, *values: str) -> list[str]:
    """Type these at the prompts, as in a notebook; returns what was asked."""
    asked: list[str] = []
    left = list(values)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return left.pop(0)

    monkeypatch.setattr(getpass, "getpass", ask)
    return asked


# --- never shown


@pytest.mark.parametrize(
    "show",
    [str, repr, "{}".format, "{!r:>40}".format, "%s".__mod__, lambda s: f"{s}", lambda s: str([s])],
)
def test_a_secret_prints_as_a_mask(show: Callable[[Secret], str]):
    """In whatever way it becomes text."""
    assert VALUE not in show(Secret(VALUE, name=NAME))
    assert MASK in show(Secret(VALUE, name=NAME))


@pytest.mark.parametrize("encode", [json.dumps, orjson.dumps, pickle.dumps, vars])
def test_a_secret_is_not_serialised(encode: Callable[[object], object]):
    """JSON and pickle refuse it, so that no file holds its value."""
    with pytest.raises(TypeError) as info:
        encode({"a": Secret(VALUE)} if encode is not vars else Secret(VALUE))
    assert VALUE not in str(info.value)


def test_a_secret_reveals_its_value_when_asked():
    """And `reveal` lets every other value pass."""
    found = Secret(f" {VALUE}\n", name=NAME)
    assert found.reveal() == reveal(found) == VALUE
    assert found.name == NAME
    assert reveal(7) == 7
    assert copy.copy(found) is copy.deepcopy(found) is found


def test_secrets_compare_by_value_and_only_with_secrets():
    """Two names of one value are equal; a plain string never is."""
    assert Secret(VALUE, name="A") == Secret(VALUE, name="B")
    assert hash(Secret(VALUE)) == hash(Secret(VALUE))
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE
    assert Secret("pä") == Secret("pä")


def test_text_joins_a_secret_with_plus():
    """The result is a secret too; an f-string would send the mask."""
    joined = "Token " + Secret(VALUE, name=NAME) + "!"
    assert isinstance(joined, Secret)
    assert joined.reveal() == f"Token {VALUE}!"
    assert joined.name == NAME
    with pytest.raises(TypeError):
        Secret(VALUE) + 1  # type: ignore[operator]


def test_a_secret_is_masked_where_it_is_echoed():
    """Creating it registers it with the redactor."""
    Secret(VALUE)
    assert redact_text(f"you sent {VALUE}") == f"you sent {MASK}"


def test_an_empty_secret_is_refused():
    """Nothing would be sent, and nothing could be masked."""
    for empty in ("", " \n"):
        with pytest.raises(ConfigError, match="empty"):
            Secret(empty)
    with pytest.raises(TypeError, match="bytes"):
        Secret(b"x")  # type: ignore[arg-type]


def test_the_examples_run():
    """The docstrings' examples are true."""
    assert doctest.testmod(secrets).failed == 0


# --- where it is found


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Before the .env file; an empty variable counts as absent."""
    (tmp_path / ".env").write_text(f"{NAME}=from-dotenv-file")
    monkeypatch.setenv(NAME, VALUE)
    assert secret(NAME).reveal() == VALUE
    monkeypatch.setenv(NAME, " ")
    assert secret(NAME).reveal() == "from-dotenv-file"


def test_dotenv_is_sought_up_to_the_repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The nearest file that sets the name; above the one with .git nothing is read."""
    inner = tmp_path / "project" / "notebooks"
    inner.mkdir(parents=True)
    (tmp_path / ".env").write_text(f"{NAME}=outside-the-project")
    (tmp_path / "project" / ".git").mkdir()
    (tmp_path / "project" / ".env").write_text(f"{NAME}=of-the-project")
    (inner / ".env").write_text(f"OTHER=1\n{NAME}=\n")
    monkeypatch.chdir(inner)
    assert secret(NAME).reveal() == "of-the-project"
    (tmp_path / "project" / ".env").unlink()
    (inner / ".env").unlink()
    (inner / ".env").mkdir()
    with pytest.raises(ConfigError, match=NAME):
        secret(NAME, prompt=False)


def test_dotenv_is_sought_up_to_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Without a repository the user's own directory is the last."""
    home = tmp_path / "home"
    (home / "notebooks").mkdir(parents=True)
    (tmp_path / ".env").write_text(f"{NAME}=of-somebody-else")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(home / "notebooks")
    with pytest.raises(ConfigError):
        secret(NAME, prompt=False)
    (home / ".env").write_text(f"{NAME}=of-the-user")
    assert secret(NAME).reveal() == "of-the-user"


def test_the_keyring_is_asked_when_installed(monkeypatch: pytest.MonkeyPatch):
    """Service nbhttp; a locked or missing keyring means "not there"."""
    keyring = types.ModuleType("keyring")
    keyring.get_password = lambda service, name: f"{service}-{name}-value"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert secret(NAME).reveal() == f"nbhttp-{NAME}-value"

    def locked(service: str, name: str) -> str:
        raise RuntimeError("locked")

    keyring.get_password = locked  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="keyring"):
        secret(NAME, prompt=False)


def test_colab_userdata_is_asked_in_colab(monkeypatch: pytest.MonkeyPatch):
    """A refused access means "not there", and the message names the place."""
    given_values = {NAME: VALUE}
    userdata = types.ModuleType("google.colab.userdata")
    userdata.get = given_values.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setitem(sys.modules, "google.colab.userdata", userdata)
    assert secret(NAME).reveal() == VALUE
    given_values.clear()
    with pytest.raises(ConfigError, match="Colab"):
        secret(NAME, prompt=False)


def test_a_prompt_asks_once(monkeypatch: pytest.MonkeyPatch):
    """A re-run cell uses what was entered; `again` asks anew."""
    asked = answer(monkeypatch, f" {VALUE} ", "second-value")
    assert secret(NAME).reveal() == VALUE
    assert secret(NAME).reveal() == VALUE
    assert asked == [f"{NAME}: "]
    assert secret(NAME, again=True).reveal() == "second-value"
    assert secret(NAME, prompt=False).reveal() == "second-value"


def test_entering_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch):
    """And is not remembered."""
    answer(monkeypatch, "", VALUE)
    with pytest.raises(ConfigError, match="nothing was entered"):
        secret(NAME)
    assert secret(NAME).reveal() == VALUE


@pytest.mark.parametrize(
    "problem", [EOFError(), NotImplementedError(), OSError("no tty"), getpass.GetPassWarning()]
)
def test_a_prompt_that_cannot_hide_is_an_error(monkeypatch: pytest.MonkeyPatch, problem: Exception):
    """A frontend without input, or a terminal that would echo."""

    def ask(prompt: str) -> str:
        if isinstance(problem, Warning):
            warnings.warn("echoes", type(problem), stacklevel=1)
            return VALUE
        raise problem

    monkeypatch.setattr(getpass, "getpass", ask)
    with pytest.raises(ConfigError, match="without showing the answer"):
        secret(NAME)


def test_without_a_terminal_the_error_says_where_was_looked(tmp_path: Path):
    """In a script or a job there is nobody to ask."""
    code = f"from nbhttp.secrets import secret; secret({NAME!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    message, hint = done.stderr.strip().splitlines()[-2:]
    assert message.startswith("nbhttp.errors.ConfigError: no secret")
    for place in ("the environment", str(tmp_path), "the keyring", "cannot ask"):
        assert place in message
    assert hint.startswith("hint: Set the environment variable")


def read_until(terminal: int, ending: bytes) -> bytes:
    """What appears on the terminal up to `ending`."""
    screen = b""
    while ending not in screen:
        ready, _, _ = select.select([terminal], [], [], 60)
        if not ready:
            pytest.fail(f"{ending!r} did not appear: {screen!r}")
        screen += os.read(terminal, 1024)
    return screen


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_does_not_echo():
    """What is typed does not appear on the screen."""
    terminal, inner = os.openpty()
    code = (
        "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "from nbhttp.secrets import secret\n"
        f"found = secret({NAME!r}); print(found, len(found.reveal()), 'characters')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    try:
        screen = read_until(terminal, f"{NAME}: ".encode())
        os.write(terminal, f"{VALUE}\n".encode())
        screen += read_until(terminal, b"characters")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        os.close(inner)
    assert f"{MASK} {len(VALUE)}".encode() in screen
    assert VALUE.encode() not in screen


@pytest.mark.parametrize(
    ("name", "error"), [("", ConfigError), ("a\0", ConfigError), (7, TypeError)]
)
def test_a_bad_name_is_refused(name: str, error: type[Exception]):
    """Before anything is looked up."""
    with pytest.raises(error):
        secret(name)


# --- .env


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("  export  A = b c  # comment", "b c"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ("A='b\\n'", "b\\n"),
        ('A="b\\n\\"c\\" \\\\"', 'b\n"c" \\'),
        ('A="-----BEGIN\nB=c\n-----END"', "-----BEGIN\nB=c\n-----END"),
        ('A="open', '"open'),
        ("A=", ""),
        ("A=#c", ""),
        ("A=b=c==", "b=c=="),
        ("#A=x\r\nA=b\r\n", "b"),
        ("A=1\nA=2", "2"),
        ("A=$B${C}", "$B${C}"),
        ("not an assignment\n=x\nA=b", "b"),
    ],
)
def test_dotenv_lines(line: str, value: str):
    """What is known of the format."""
    assert parse_dotenv(line) == {"A": value}


@given(st.dictionaries(st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,8}\Z"), st.text()))
def test_quoted_dotenv_values_come_back(values: dict[str, str]):
    """Any text survives double quotes."""
    lines = (
        f'{name}="{value.translate({34: chr(92) + chr(34), 92: chr(92) * 2})}"'
        for name, value in values.items()
    )
    assert parse_dotenv("\n".join(lines)) == values


@given(st.text())
def test_any_text_is_a_dotenv_file(text: str):
    """Nonsense is skipped, never an error."""
    assert all(parse_dotenv(text))


# --- bearer and basic


def sent(auth: httpx.Auth) -> str:
    """The Authorization field that a request with this auth carries."""
    transport = httpx.MockTransport(lambda r: httpx.Response(200, text=r.headers["Authorization"]))
    with httpx.Client(transport=transport) as client:
        return client.get("http://h/", auth=auth).text


@pytest.mark.parametrize("token", [VALUE, Secret(VALUE)])
def test_bearer_sends_the_token_and_hides_it(token: Secret | str):
    """A plain string is registered too."""
    auth = bearer(token)
    assert sent(auth) == f"Bearer {VALUE}"
    assert VALUE not in repr(auth)
    assert redact_text(f"echo: {VALUE}") == f"echo: {MASK}"


@pytest.mark.parametrize("password", [VALUE, Secret(VALUE), VALUE.encode()])
def test_basic_sends_user_and_password_and_hides_them(password: Secret | str):
    """Also their base64 is masked wherever it appears."""
    auth = basic("me", password)
    encoded = b64encode(f"me:{VALUE}".encode()).decode()
    assert sent(auth) == f"Basic {encoded}"
    assert redact_text(f"echo {encoded} and {VALUE}") == f"echo {MASK} and {MASK}"


def test_basic_with_the_token_as_user():
    """Some APIs take a key as the user's name and no password."""
    auth = basic(Secret(VALUE), "")
    assert sent(auth) == "Basic " + b64encode(f"{VALUE}:".encode()).decode()
    assert redact_text(VALUE) == MASK
    assert sent(basic("pä", "wörd")) == "Basic " + b64encode("pä:wörd".encode()).decode()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: bearer(""), ConfigError),
        (lambda: bearer("a b"), ConfigError),
        (lambda: bearer("a\nb"), ConfigError),
        (lambda: bearer(None), TypeError),
        (lambda: basic("a:b", "c"), ConfigError),
        (lambda: basic("a", None), TypeError),
        (lambda: basic(None, "a"), TypeError),
    ],
)
def test_bad_credentials_are_refused(make: Callable[[], object], error: type[Exception]):
    """At the call, without the value in the message."""
    with pytest.raises(error) as info:
        make()
    assert "a\nb" not in str(info.value)


def test_a_formatted_secret_is_refused_before_it_is_sent():
    """A mask in a header or parameter is a mistake that the message explains."""
    import nbhttp

    token = Secret("a-long-token-value", name="TOKEN")
    with pytest.raises(nbhttp.ConfigError, match="'Bearer ' \\+ secret"):
        nbhttp.get("http://127.0.0.1:1/", headers={"Authorization": f"Bearer {token}"})
    with pytest.raises(nbhttp.ConfigError, match="mask"):
        nbhttp.get("http://127.0.0.1:1/", params={"q": f"{token}"})
