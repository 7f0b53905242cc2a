"""What a server says about its own error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhttp._explain import clip, explain, opening, status_hint
from nbhttp.redaction import redact_text

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"title": "Nope", "detail": "why"}, ": Nope: why"),
        ({"detail": "why"}, ": why"),
        ({"title": "Same", "detail": "Same"}, ": Same"),
        ({"error": "invalid_grant", "error_description": "expired"}, ": expired"),
        ({"error": {"code": 3, "message": "deep"}}, ": deep"),
        ({"errors": [{"message": "one"}, {"message": "two"}]}, ": one; two"),
        ({"detail": [{"loc": ["body", "name"], "msg": "missing"}]}, ": body.name: missing"),
        ({"message": "m\n  m"}, ": m m"),
        (["one", "two"], ": one; two"),
        ("text", ": text"),
        ({"a": 1}, ""),
        ({"error": None, "message": ""}, ""),
        (42, ""),
        ({"title": "T", "detail": "D", "errors": [{"field": "f", "message": "bad"}]},
         ": T: D (f: bad)"),
    ],
)  # fmt: skip
def test_the_usual_shapes_are_found(body: object, text: str) -> None:
    """Problem details, OAuth, GraphQL, FastAPI and plain messages."""
    assert explain(json.dumps(body).encode(), JSON) == text


def test_other_bodies() -> None:
    """One line of plain text counts; HTML, pages of text and megabytes do not."""
    assert explain(b"no such user", "text/plain") == ": no such user"
    assert explain(b"a\nb", "text/plain") == ""
    assert explain(b"<h1>x</h1>", "text/html") == ""
    assert explain(b'{"message": "m"}', "text/html") == ": m"
    assert explain(b"{", JSON) == ""
    assert explain(b'{"message": "' + b"x" * 300_000 + b'"}', JSON) == ""
    assert len(explain(b'{"message": "' + b"x y " * 1000 + b'"}', JSON)) <= 302


def test_an_echoed_token_is_masked() -> None:
    """A server may quote what it was sent."""
    body = json.dumps({"message": "bad token=ghp_" + "a1B2" * 9}).encode()
    assert "a1B2a1B2" not in explain(body, JSON)
    assert "a1B2a1B2" not in opening(body, JSON)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "message", "detail", "title", "errors", "loc", "x"]),
                c,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_explained_in_one_line(value: object) -> None:
    """No shape is an exception or a second line."""
    text = explain(json.dumps(value).encode(), JSON)
    assert len(text.splitlines()) <= 1
    assert len(text) <= 302


@given(st.binary(max_size=300), st.sampled_from([JSON, "text/plain", "", "text/html"]))
def test_any_bytes_are_explained(body: bytes, kind: str) -> None:
    """Nor is any other body."""
    explain(body, kind)
    assert len(opening(body, kind)) < 600


def test_clip() -> None:
    """At most so many characters, on one line."""
    assert clip("a  b\nc") == "a b c"
    assert clip("x" * 10, 5) == "xxxx…"


def test_hints() -> None:
    """A common status says what to do, with the wait that the server asks for."""
    assert "slow down" in (status_hint(429) or "")
    assert "after 7 s" in (status_hint(429, "7") or "")
    assert "at Wed" in (status_hint(503, "Wed, 21 Oct 2015 07:28:00 GMT") or "")
    assert status_hint(418) is None


@pytest.mark.parametrize("status", range(400, 600))
def test_no_hint_is_taken_for_a_secret(status: int) -> None:
    """The redactor, which every shown text passes, leaves it as it is."""
    hint = status_hint(status) or ""
    assert redact_text(hint) == hint


def test_what_repeats_the_status_is_left_out():
    """A problem whose title is the status's phrase (RFC 9457, about:blank) says it once."""
    body = b'{"title": "Not Found", "detail": "There is no station 7."}'
    assert explain(body, "application/problem+json", "Not Found") == ": There is no station 7."
    assert explain(b'{"error": "Not Found"}', "application/json", "Not Found") == ""
    body = b'{"title": "Not found", "detail": "There is no station 7."}'
    assert explain(body, "application/problem+json", "Not Found") == ": There is no station 7."
    assert explain(b'{"error": "not found"}', "application/json", "Not Found") == ""
