"""The public names of nbhttp: to be read, and changed knowingly."""

import tomllib
from pathlib import Path

import pytest

import nbhttp
from nbhttp.config import USER_AGENT

PUBLIC = """
AnyioTaskManager
AsyncDownloadManyResult
AsyncHttpClient
Attempt
BodyTooLargeError
BulkResult
ChangedError
ChecksumError
ConfigError
ConnectError
DecodeError
DownloadError
DownloadManyResult
DownloadResult
DuplicateTaskError
HttpClient
LockedError
LoggerManager
MissingExtraError
NbhttpError
ProtocolError
QueueFullError
Redirect
RequestError
RequestResult
Secret
ServerSentEvent
StatusError
StreamError
TaskError
TaskInfo
TaskManager
TimeoutError
Timing
TooManyRedirectsError
TruncatedError
UnexpectedContentTypeError
basic
bearer
delete
download_file
download_many
events
get
head
lines
live
ndjson
options
patch
post
put
redaction
request
run
secret
sse
stream_request
""".split()


def test_public_names():
    """`__all__` is sorted and holds these names, no more and no less."""
    assert nbhttp.__all__ == PUBLIC
    assert sorted(nbhttp.__all__) == nbhttp.__all__


def test_the_version_is_the_same_everywhere():
    """What is built, what `__version__` says and what servers read."""
    built = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert nbhttp.__version__ == built["project"]["version"]
    assert f"nbhttp/{nbhttp.__version__}" == USER_AGENT


def test_every_name_loads():
    """Each public name can be had, and `dir()` lists it."""
    for name in nbhttp.__all__:
        assert getattr(nbhttp, name) is not None
        assert name in dir(nbhttp)


def test_names_are_documented():
    """Each public class and function says what it does."""
    for name in nbhttp.__all__:
        doc = getattr(nbhttp, name).__doc__
        assert doc, name
        assert doc.strip().splitlines()[0].endswith((".", ":")), name


def test_an_unknown_name_is_an_attribute_error():
    """A typo is reported as Python does it."""
    with pytest.raises(AttributeError, match="gte"):
        nbhttp.gte  # noqa: B018 - the access is the test


def test_every_error_is_at_the_top():
    """Whatever is raised can be caught by a name of `nbhttp`."""
    from nbhttp import errors

    assert set(errors.__all__) <= set(nbhttp.__all__)
