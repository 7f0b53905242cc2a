"""The error tree: built-in parents, pickling, no secret in any text."""

import builtins
import copy
import pickle
import traceback

import pytest

from nbhttp import errors


def build(kind: type[errors.NbhttpError]) -> errors.NbhttpError:
    options = {"method": "GET", "url": "https://u:pass-word@h/?token=abcdefgh", "hint": "do so"}
    if issubclass(kind, errors.StatusError):
        options["status_code"] = 404
    return kind("went wrong with https://u:pass-word@h/", **options)


KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_pickles_and_copies(kind: type[errors.NbhttpError]) -> None:
    """Type, text, hint, URL and notes survive."""
    error = build(kind)
    error.add_note("a note")
    for other in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert (other.method, other.url, other.hint) == (error.method, error.url, "do so")
        assert other.__notes__ == ["hint: do so", "a note"]


def test_a_traceback_ends_with_the_hint() -> None:
    """Once, and not where the message has it already."""
    error = errors.ConfigError("no folder 'x'", hint="pass mkdir=True")
    error.add_note("hint: pass mkdir=True")
    assert traceback.format_exception_only(error)[1:] == ["hint: pass mkdir=True\n"]
    said = errors.ConfigError("no folder 'x'; pass mkdir=True", hint="pass mkdir=True")
    assert not hasattr(said, "__notes__")


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_holds_a_password(kind: type[errors.NbhttpError]) -> None:
    """Text, arguments and URL are redacted when the error is made."""
    error = build(kind)
    shown = f"{error!s}{error!r}{error.args}{error.url}{error.__dict__}"
    assert "pass-word" not in shown
    assert "abcdefgh" not in shown


def test_built_in_parents() -> None:
    """`except ValueError`, `TimeoutError` and `ImportError` catch what they should."""
    assert issubclass(errors.TimeoutError, builtins.TimeoutError)
    assert issubclass(errors.DecodeError, ValueError)
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert all(issubclass(kind, errors.NbhttpError) for kind in KINDS)


def test_an_error_and_its_result_name_each_other() -> None:
    """The cycle is kept by a pickle."""
    error = errors.StatusError("404", status_code=404)
    error.result = [error]  # type: ignore[assignment] # any holder will do
    other = pickle.loads(pickle.dumps(error))
    assert other.result[0] is other
