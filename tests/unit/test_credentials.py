"""Credentials that requests carry are masked where an answer repeats them."""

import json

import pytest

from nbhttp._credentials import remember_echoed
from nbhttp.redaction import redact_text

JSON = ((b"Content-Type", b"application/json"),)
FORM = ((b"Content-Type", b"application/x-www-form-urlencoded"),)


@pytest.mark.parametrize(
    ("secret", "request_"),
    [
        ("in-the-query-7Hq2", {"urls": ["https://h/?api_key=in-the-query-7Hq2"]}),
        ("in-the fragment/8", {"urls": ["https://h/#access_token=in-the+fragment%2F8"]}),
        ("in-a-cookie-3Jx9k", {"headers": ((b"cookie", b"a=b; sid=in-a-cookie-3Jx9k"),)}),
        ("in-a-form-5Wm1c", {"headers": FORM, "sent": b"user=ada&password=in-a-form-5Wm1c"}),
        ("in-json-0Zp4v", {"headers": JSON, "sent": b'{"login":[{"password":"in-json-0Zp4v"}]}'}),
        ("below-json-6Ty", {"headers": JSON, "sent": b'{"secret":{"x":["below-json-6Ty"]}}'}),
    ],
)
def test_what_the_answer_repeats_is_masked(secret: str, request_: dict) -> None:
    """A value under a credential's name, found in the answer, is hidden from then on."""
    parts = {"urls": [], "headers": (), "sent": None} | request_
    remember_echoed(**parts, answer=b"nothing of it")
    assert secret in redact_text(f"the value {secret} here")
    remember_echoed(**parts, answer=json.dumps({"message": f"no {secret}"}).encode())
    assert secret not in redact_text(f"the value {secret} here")


@pytest.mark.parametrize(
    "request_",
    [
        {"urls": ["https://h/?key=stations&q=a-long-ordinary-word"]},
        {"headers": ((b"Cookie", b"lang=en"),)},
        {"headers": JSON, "sent": b'{"title": "a-long-ordinary-word"}'},
        {"headers": JSON, "sent": b'{"password": "a-long-ordinary-word"'},
        {"headers": FORM, "sent": b"title=a-long-ordinary-word"},
        {"sent": b"a-long-ordinary-word"},
    ],
)
def test_ordinary_words_stay(request_: dict) -> None:
    """Short values, other names and bodies that cannot be read hide nothing."""
    text = "stations en a-long-ordinary-word"
    remember_echoed(**({"urls": [], "headers": (), "sent": None} | request_), answer=text.encode())
    assert redact_text(text) == text
