"""The result as a value: frozen, copied, pickled, saved, shown."""

import copy
import os
import pickle
import stat
import threading
from pathlib import Path

import pytest

from nbhttp._engines.base import Head
from nbhttp.errors import DecodeError, NbhttpError, StatusError, TimeoutError
from nbhttp.result import Attempt, Redirect, RequestResult, RequestSent, Timing


def make(status: int | None = 200, body: bytes = b'{"a": [1]}', **options) -> RequestResult:
    kind = options.pop("kind", b"application/json; charset=utf-8")
    head = None
    if status is not None:
        head = Head(status, b"", "HTTP/1.1", [(b"Content-Type", kind), (b"X-A", b"1")])
    sent = RequestSent("GET", "http://h/p?access_token=s3cret-token", [(b"Host", b"h")], b"")
    return RequestResult(request=sent, head=head, body=body, elapsed=0.5, **options)


def failed() -> RequestResult:
    return make(None, b"", exception=TimeoutError("too slow", method="GET", url="http://h/p"))


def test_success_is_truth() -> None:
    """Below 400 is a success; above, or no answer, is not."""
    assert make(200)
    assert make(302)
    assert not make(404)
    assert not failed()
    assert (failed().status_code, failed().response, failed().headers.raw) == (None, None, [])
    assert make().raise_for_status().status_code == 200


@pytest.mark.parametrize("name", ["status_code", "error", "success", "content", "headers", "new"])
def test_a_result_never_changes(name: str) -> None:
    """Nothing can be set, and what is handed out is no way in."""
    r = make()
    with pytest.raises(AttributeError):
        setattr(r, name, 1)
    r.headers["x-a"] = "2"
    assert r.headers["x-a"] == "1"


def test_json_is_parsed_once_or_gives_the_default() -> None:
    """The same object each time; a failure says status, type, place and beginning."""
    r = make()
    assert r.json() is r.json()
    bad = make(502, b"<html><body>Bad gateway", kind=b"text/html")
    with pytest.raises(DecodeError) as caught:
        bad.json()
    text = str(caught.value)
    assert text.startswith("502 from GET http://h/p")
    assert "text/html, not JSON" in text
    assert "body starts '<html>" in text
    assert "s3cret" not in text
    assert bad.json(default=None) is None
    with pytest.raises(DecodeError, match="no answer to decode: too slow"):
        failed().json()
    assert failed().json(default={}) == {}
    with pytest.raises(DecodeError, match="an empty body"):
        make(body=b" ").json()


def test_repr_is_one_line_without_secrets() -> None:
    """Method, redacted URL, status, type, size, seconds; or the error."""
    for r in (make(), make(404), make(None, exception=NbhttpError("a\nb")), failed()):
        assert "\n" not in repr(r).replace("a\nb", "")
        assert "s3cret" not in repr(r)
    assert repr(make()).endswith("200 OK, application/json, 10 bytes, 0.500 s>")


@pytest.mark.parametrize(
    "make_copy", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
@pytest.mark.parametrize(
    "r", [make(), make(404, b'{"detail": "no"}'), failed()], ids=["ok", "404", "timeout"]
)
def test_results_are_copied_and_pickled(r: RequestResult, make_copy) -> None:
    """Whether the error, the JSON and the response were looked at before or not."""
    for look in (False, True):
        if look:
            assert r.error is None or r.exception is not None
            r.json(default=None)
            assert r.response is None or r.response.status_code
        other = make_copy(r)
        assert other.status_code == r.status_code
        assert other.content == r.content
        assert other.error == r.error
        assert type(other.exception) is type(r.exception)
        assert other.json(default=None) == r.json(default=None)
        assert other.headers == r.headers
        if isinstance(other.exception, StatusError) and make_copy is not copy.copy:
            assert other.exception.result is other


def test_fields_have_their_types() -> None:
    """Tuples and floats, whatever happened."""
    row = Redirect(302, "GET", "http://a/", "http://b/")
    r = make(redirects=(row,), attempts=(Attempt(1, 200, None, 0.5),), timing=Timing(wait=0.5))
    assert r.redirects == (row,)
    assert r.attempts[0].number == 1
    assert r.timing.total == 0.5
    assert make().attempts == (Attempt(1, 200, None, 0.5),)
    assert failed().attempts[0].error == "too slow"
    assert isinstance(make().elapsed, float)


def test_the_response_is_httpxs() -> None:
    """Decoded body, all fields, request, elapsed, history; the same object each time."""
    r = make()
    response = r.response
    assert response is r.response
    assert response is not None
    assert response.json() == {"a": [1]}
    assert response.headers["x-a"] == "1"
    assert response.request.method == "GET"
    assert response.elapsed.total_seconds() == 0.5
    assert response.http_version == "HTTP/1.1"
    assert response.reason_phrase == "OK"


def test_save_writes_the_whole_body(tmp_path: Path) -> None:
    """The file appears at once, with the permissions of any new file; a failure writes none."""
    path = tmp_path / "out.json"
    assert make().save(path) == path
    assert path.read_bytes() == b'{"a": [1]}'
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    make(body=b"new").save(str(path))
    assert path.read_bytes() == b"new"
    with pytest.raises(StatusError):
        make(404).save(path)
    with pytest.raises(TimeoutError):
        failed().save(path)
    with pytest.raises(OSError, match="missing"):
        make().save(tmp_path / "missing" / "f")
    assert path.read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "plain"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    """Death between writing and renaming shows nobody half a file."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    script = (
        "import os, pathlib\n"
        "from nbhttp._engines.base import Head\n"
        "from nbhttp.result import RequestResult, RequestSent\n"
        "os.fsync = lambda fd: os._exit(9)\n"
        "r = RequestResult(request=RequestSent('GET', 'http://h/', [], b''),"
        " head=Head(200, b'', 'HTTP/1.1', []), body=b'x' * 1000)\n"
        f"r.save({str(path)!r})\n"
    )
    import subprocess
    import sys

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert path.read_bytes() == b"old"


def test_saving_from_threads_keeps_the_umask(tmp_path: Path) -> None:
    """The process's umask is never touched, not even for a moment."""
    before = os.umask(0o077)
    try:
        threads = [
            threading.Thread(target=make().save, args=(tmp_path / str(i),)) for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in tmp_path.iterdir())
    finally:
        assert os.umask(before) == 0o077
