"""curl commands do in a shell what the request did."""

import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhttp.formats.curl import quote, to_curl

needs_shell = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")


def words_of(command: str) -> list[str]:
    """Let a real shell split a command; return its words."""
    shower = f"{sys.executable} -c 'import sys, json; print(json.dumps(sys.argv[1:]))'"
    script = f'curl() {{ {shower} "$@"; }}\n{command}'
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    return list(json.loads(done.stdout))


@needs_shell
@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")),
        min_size=1,
        max_size=6,
    )
)
def test_any_text_is_one_word(texts: list[str]) -> None:
    """A POSIX shell reads each quoted text back as it was."""
    assert words_of("curl " + " ".join(quote(text) for text in texts)) == texts


@needs_shell
def test_command_has_method_headers_and_body() -> None:
    """Method, URL, fields and body arrive; what curl computes is left out."""
    command = to_curl(
        "PUT",
        "https://h/a?b=[1]&c='x'",
        [
            ("Host", "h"),
            ("X-A", "it's"),
            ("X-Empty", ""),
            ("Content-Length", "5"),
            ("Accept-Encoding", "gzip"),
        ],
        "@body\n\x1b",
    )
    assert words_of(command) == [
        "--globoff", "https://h/a?b=[1]&c='x'", "-X", "PUT", "-H", "X-A: it's", "-H", "X-Empty;",
        "--compressed", "--data-raw", "@body\n\x1b",
    ]  # fmt: skip
    assert "\x1b" not in command


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", None, ""),
        ("POST", "x", ""),
        ("POST", None, "-X POST"),
        ("HEAD", None, "--head"),
        ("GET", "x", "-X GET"),
    ],
)
def test_method_is_named_when_curl_would_guess_another(
    method: str, body: str | None, expected: str
) -> None:
    """GET without and POST with a body are curl's own."""
    command = to_curl(method, "https://h/", [], body)
    assert ("-X" in command or "--head" in command) == bool(expected)
    assert expected in command


def test_file_stands_for_what_is_no_text() -> None:
    """A body that is no text is sent from a file."""
    assert "--data-binary @body.bin" in to_curl("POST", "https://h/", [], body_file="body.bin")
