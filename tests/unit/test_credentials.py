"""Credentials that requests carry are masked where an answer repeats them."""

import gc
import hashlib
import json

import pytest

import nbhttp
from nbhttp import redaction
from nbhttp._core.authentication import make_auth
from nbhttp._credentials import remember, remember_echoed
from nbhttp.redaction import MASK, redact_text
from nbhttp.secrets import Secret

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


# --- what is remembered is bounded


def fresh_token(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_a_token_for_each_request_does_not_fill_the_memory():
    """A process that runs for weeks and refreshes its token remembers the last 2,048."""
    before = len(redaction._values)
    tokens = [fresh_token(i) for i in range(2200)]
    for token in tokens:
        nbhttp.bearer(token)
    assert len(redaction._values) <= before + 2048
    assert tokens[0] in redact_text(tokens[0])
    assert all(redact_text(token) == MASK for token in tokens[-2000:])


def test_short_values_are_bounded_to_fewer():
    """They are sought one by one."""
    before = len(redaction._values)
    for i in range(400):
        remember(f"otp-{i:04}")
    assert len(redaction._values) <= before + 256
    assert redact_text("otp-0399") == MASK
    assert redact_text("otp-0000") == "otp-0000"


def test_what_is_used_again_is_kept():
    """The least recently used is forgotten, not the oldest."""
    remember("the-token-in-use-0123456789ab")
    for i in range(2100):
        remember(fresh_token(i))
        if i % 500 == 0:
            remember("the-token-in-use-0123456789ab")
    assert redact_text("the-token-in-use-0123456789ab") == MASK


@pytest.mark.parametrize("is_pair", [True, False])
def test_credentials_in_use_are_kept(is_pair: bool):
    """What an auth scheme sends is masked as long as the scheme is there."""
    password = "gravel-otter-mosaic-lantern"
    scheme = make_auth(("ada", password)) if is_pair else nbhttp.basic("ada", password)
    for i in range(2200):
        remember(fresh_token(i))
        remember(f"otp-{i:04}")
    assert redact_text(f"{password} ") == f"{MASK} "
    del scheme
    gc.collect()
    for i in range(2200):
        remember(fresh_token(-i))
        remember(f"pin-{i:04}")
    assert redact_text(f"{password} ") == f"{password} "


def test_a_secret_stays_masked():
    """What a user calls secret is not forgotten, also once `bearer` has used it."""
    value = "a-secret-of-the-user-0123456789"
    nbhttp.bearer(Secret(value))
    for i in range(2200):
        remember(fresh_token(i))
    assert redact_text(value) == MASK
