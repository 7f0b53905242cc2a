"""What each host asks for, and gets."""

import re
import subprocess
import sys

import pytest
from render.answers import ANSWERS, answer

ESCAPE = "\x1b"


def test_bundle_makes_what_is_wanted() -> None:
    """`include` and `exclude` choose the types, as IPython's formatter asks."""
    result = answer(b"{}")
    assert set(result._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert set(result._repr_mimebundle_(include={"text/html"})) == {"text/html"}
    assert set(result._repr_mimebundle_(exclude=["text/html"])) == {"text/plain"}
    assert result._repr_mimebundle_(include=["image/png"]) == {}


def test_html_repr_is_the_bundles() -> None:
    """A host that knows `_repr_html_` alone gets the same page."""
    result = answer(b"{}")
    assert result._repr_html_() == result._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "tasks"])  # a table
def test_repr_is_one_line(name: str) -> None:
    """The plain repr stays one line without control characters."""
    shown = repr(ANSWERS[name]())
    assert shown.isprintable() or name == "hostile"
    assert "\n" not in shown


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from render.answers import ANSWERS
shell = TerminalInteractiveShell.instance()
shell.run_cell("ANSWERS = None", silent=True)
shell.push({{"r": ANSWERS["hostile"]()}})
shell.run_cell("r")
"""


def run_in_terminal(code: str, environment: dict[str, str]) -> str:
    """Run Python with a pseudo-terminal as its output; return what it wrote there."""
    import os
    import pty

    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=slave, stdin=slave, env=environment
        ) as process:
            os.close(slave)
            out = b""
            while chunk := read_or_end(master):
                out += chunk
            assert process.wait(timeout=60) == 0
    finally:
        os.close(master)
    return out.decode()


def read_or_end(master: int) -> bytes:
    import os

    try:
        return os.read(master, 65536)
    except OSError:  # Linux says EIO when the other side is closed
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_ipython_in_a_terminal_is_coloured(tmp_path: object) -> None:
    """IPython's terminal shows the view in colour, and no escape sequence of the server's."""
    import os
    from pathlib import Path

    code = SCRIPT.format(tests=str(Path(__file__).parents[1]))
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    shown = run_in_terminal(code, environment)
    assert "\x1b[1;32m200 <b>OK</b>⟨ESC⟩[31m\x1b[0m" in shown
    assert "\x1b]0;" not in shown
    plain = run_in_terminal(code, {**environment, "NO_COLOR": "1"})
    assert "200 <b>OK</b>⟨ESC⟩[31m  G<E>T" in plain
    assert not re.search("\x1b\\[1;32m", plain)


def test_text_outside_a_terminal_has_no_codes() -> None:
    """What a notebook saves has no escape code, even when IPython is loaded."""
    import IPython  # noqa: F401

    assert ESCAPE not in answer(b"{}")._repr_mimebundle_()["text/plain"]


def test_rich_shows_the_same_text() -> None:
    """With rich the same lines come with styles."""
    import io

    from rich.console import Console

    result = ANSWERS["problem"]()
    out = io.StringIO()
    Console(file=out, width=300, color_system=None).print(result)
    plain = result._repr_mimebundle_()["text/plain"]
    assert [line.rstrip() for line in out.getvalue().splitlines()] == plain.splitlines()


def test_marimo_finds_no_earlier_method() -> None:
    """Marimo asks `_display_` and `_mime_` first; without them it takes the IPython ones."""
    result = answer(b"{}")
    assert not hasattr(result, "_display_")
    assert not hasattr(result, "_mime_")


def test_no_secret_in_any_form() -> None:
    """Header, URL, cookie, JSON and form secrets are in no output, the curl command included."""
    for name in ("secrets", "problem", "form_sent", "redirected", "json_object"):
        result = ANSWERS[name]()
        for shown in (*result._repr_mimebundle_().values(), repr(result)):
            assert "s3cr3t" not in shown
            assert "hunter2" not in shown
