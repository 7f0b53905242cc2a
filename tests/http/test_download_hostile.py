"""What a download must not trust: odd answers, other people's files, what an earlier run left."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from servers import FaultServer
from servers.scripted import ScriptedServer, chunk, running_scripted_server

import nbhttp
from nbhttp import ConfigError, HttpClient
from nbhttp import events as public_events

SIZE = 1_500_000
OLD = "Last-Modified: Mon, 02 Jan 2023 00:00:00 GMT"
A, B = b"a" * SIZE, b"b" * SIZE


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with running_scripted_server() as running:
        yield running


@pytest.fixture
def client(engine: str) -> HttpClient:
    return HttpClient(engine=engine, trust_env=False, timeout=20.0)


def head(status: str, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def first_byte(request: str) -> int | None:
    """The beginning of the range that a request asks for; None when it asks for the whole."""
    found = re.search(r"range: bytes=(\d+)-", request, re.IGNORECASE)
    return int(found[1]) if found else None


def serving(body: bytes, *fields: str, cut: int | None = None) -> Callable[[str], Sequence[Any]]:
    """A script of a file with ranges; its whole answer is cut after `cut` bytes."""

    def script(request: str) -> Sequence[Any]:
        start = first_byte(request)
        if start is None:
            whole = body if cut is None else body[:cut]
            return [head("200 OK", f"Content-Length: {len(body)}", *fields), whole]
        span = f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}"
        return [head("206 P", f"Content-Length: {len(body) - start}", span, *fields), body[start:]]

    return script


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Answers


def test_a_shorter_part_than_asked_for_is_gone_on_with(client: HttpClient, server: ScriptedServer):
    """A file object is complete as well, whatever the parts are."""

    def script(request: str) -> Sequence[Any]:
        start = first_byte(request)
        if start is None:
            return serving(A, 'ETag: "1"', cut=500_000)(request)
        stop = min(start + 400_000, SIZE)
        span = f"Content-Range: bytes {start}-{stop - 1}/{SIZE}"
        fields = (f"Content-Length: {stop - start}", span, 'ETag: "1"')
        return [head("206 P", *fields), A[start:stop]]

    sink = io.BytesIO()
    result = client.download_file(server.play(script), sink, progress=False)
    assert result.success, result.error
    assert (sink.getvalue() == A, result.size) == (True, SIZE)


@pytest.mark.parametrize("framing", ["chunked", "closed"])
def test_parts_that_bring_nothing_use_up_the_attempts(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, framing: str
):
    """They end early without a word, again and again."""

    def script(request: str) -> Sequence[Any]:
        start = first_byte(request)
        if start is None:
            return serving(A, 'ETag: "1"', cut=1_200_000)(request)
        span = f"Content-Range: bytes {start}-{SIZE - 1}/{SIZE}"
        if framing == "closed":
            return [head("206 P", span, 'ETag: "1"').replace(b"HTTP/1.1", b"HTTP/1.0")]
        return [head("206 P", span, 'ETag: "1"', "Transfer-Encoding: chunked"), b"0\r\n\r\n"]

    url = server.play(script)
    result = client.download_file(url, tmp_path / "f", max_attempts=3, progress=False)
    assert isinstance(result.exception, nbhttp.TruncatedError)
    assert len(server.heads) == 3
    assert names(tmp_path) == ["f.part", "f.part.json"]


def test_a_part_without_its_end_is_complete_all_the_same(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """All bytes of the range came; only what ends the chunks is missing."""

    def script(request: str) -> Sequence[Any]:
        start = first_byte(request)
        if start != 1_200_000:
            return serving(A, 'ETag: "1"', cut=1_200_000)(request)
        span = f"Content-Range: bytes {start}-{SIZE - 1}/{SIZE}"
        rest = chunk(A[start:])
        return [head("206 P", span, 'ETag: "1"', "Transfer-Encoding: chunked"), rest]

    result = client.download_file(server.play(script), tmp_path / "f", progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == A


def test_several_parts_at_once_are_not_a_file(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """A multipart answer to a range is not written into the file."""

    def script(request: str) -> Sequence[Any]:
        start = first_byte(request)
        if start is None:
            return serving(A, 'ETag: "1"', cut=None if len(server.heads) > 1 else 1_200_000)(
                request
            )
        span = f"Content-Range: bytes {start}-{SIZE - 1}/{SIZE}"
        kind = "Content-Type: multipart/byteranges; boundary=x"
        body = b"x" * (SIZE - start)
        return [head("206 P", span, kind, 'ETag: "1"', f"Content-Length: {len(body)}"), body]

    result = client.download_file(server.play(script), tmp_path / "f", progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == A
    assert "several parts" in result.restarts[0]


def test_the_digest_of_the_first_answer_counts_to_the_end(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Also when a later part completes the file and states none."""
    wrong = f"Content-Digest: sha-256=:{'A' * 43}=:"

    def script(request: str) -> Sequence[Any]:
        stated = (wrong,) if first_byte(request) is None else ()
        return serving(A, 'ETag: "1"', *stated, cut=1_200_000)(request)

    url = server.play(script)
    result = client.download_file(url, tmp_path / "f", max_attempts=2, progress=False)
    assert not result.success
    assert not (tmp_path / "f").exists()


def test_a_coding_that_cannot_be_undone_is_said(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """It is no broken connection, and asking again would not help."""
    body = head("200 OK", "Content-Encoding: unheard-of", f"Content-Length: {SIZE}")
    result = client.download_file(server.play([body, A]), tmp_path / "f", progress=False)
    assert result.error is not None
    assert "unheard-of" in result.error
    assert len(server.heads) == 1
    assert names(tmp_path) == []


def test_a_small_file_is_resumed_once_it_broke(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """A server that always cuts it costs it one more request."""
    small = A[:200_000]
    url = server.play(serving(small, 'ETag: "1"', cut=150_000))
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == small


def test_an_error_that_never_ends_is_not_waited_for(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The status is the news; what explains it has a few seconds."""
    monkeypatch.setattr("nbhttp._core.asking.ERROR_BODY_S", 0.2)
    url = server.play([head("404 No", "Content-Length: 900"), b"gone for good", "hold"])
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.status_code == 404
    server.wait_until_left()


def test_waits_are_in_the_attempts(client: HttpClient, server: ScriptedServer, tmp_path: Path):
    """As long as the server asked for."""
    busy = [head("503 Busy", "Retry-After: 1", "Content-Length: 0")]
    url = server.play(busy, serving(b"now", 'ETag: "1"'))
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.success
    assert [attempt.delay for attempt in result.attempts] == [0.0, 1.0]


# Which file it is


@pytest.mark.parametrize("name", ["key", "token", "code", "session", "se", "api_key", "expires"])
def test_a_parameter_may_name_another_file(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, name: str
):
    """Whatever it is called: their names, and what is there of them, stay apart."""

    def script(request: str) -> Sequence[Any]:
        return serving(b"A" if f"{name}=a" in request else b"B", 'ETag: "1"')(request)

    url = server.play(script)
    urls = [f"{url}get?{name}=a", f"{url}get?{name}=b"]
    for _ in range(2):
        batch = client.download_many(urls, tmp_path, progress=False)
        assert [r.path.read_bytes() for r in batch if r.path] == [b"A", b"B"]
    assert names(tmp_path) == [".nbhttp-manifest.jsonl", "get", "get-2"]
    assert len(server.heads) == 2


def test_a_part_of_another_file_is_not_gone_on_with(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Although size and date are the same."""
    url = server.play(serving(A, OLD, cut=1_200_000))
    assert not client.download_file(
        f"{url}?key=a", tmp_path / "f", max_attempts=1, progress=False
    ).success
    assert "f.part" in names(tmp_path)
    server.play(serving(B, OLD))
    result = client.download_file(f"{url}?key=b", tmp_path / "f", progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == B


def by_field(name: str, bodies: dict[str, bytes], *fields: str, cut: int | None = None) -> Any:
    """A script that serves one of `bodies`, by what the request has in field `name`."""

    def script(request: str) -> Sequence[Any]:
        found = re.search(rf"^{name}: (.*?)\r?$", request, re.IGNORECASE | re.MULTILINE)
        return serving(bodies[found[1] if found else ""], *fields, cut=cut)(request)

    return script


def test_a_part_that_was_asked_for_otherwise_is_not_gone_on_with(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """The same URL brings another file with another Accept; a new token brings the same."""
    bodies = {"text/csv": A, "application/json": B}
    url = server.play(by_field("accept", bodies, OLD, cut=1_200_000))

    def ask(accept: str, token: str, **options: Any) -> nbhttp.DownloadResult:
        headers = {"Accept": accept, "Authorization": f"Bearer {token}", "X-Request-ID": token}
        return client.download_file(url, tmp_path / "f", headers=headers, progress=False, **options)

    assert not ask("text/csv", "first-token-1", max_attempts=1).success
    server.play(by_field("accept", bodies, OLD))
    result = ask("application/json", "first-token-1")
    assert result.success, result.error
    assert ((tmp_path / "f").read_bytes() == B, result.resumed_from) == (True, 0)
    (tmp_path / "f").unlink()
    server.play(by_field("accept", bodies, OLD, cut=1_200_000))
    assert not ask("text/csv", "first-token-1", max_attempts=1).success
    server.play(by_field("accept", bodies, OLD))
    result = ask("text/csv", "second-token-2")
    assert result.success, result.error
    assert ((tmp_path / "f").read_bytes() == A, result.resumed_from > 1_000_000) == (True, True)
    refused = ask("application/json", "second-token-2")
    assert refused.error is not None
    assert "asked for with other headers" in refused.error


def test_items_that_differ_in_a_field_keep_their_files(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Also when the batch runs again, in whatever order, or one of them alone."""
    url = server.play(by_field("x-v", {"1": b"one", "2": b"two"}, 'ETag: "same"'))
    items = [{"url": f"{url}y", "headers": {"X-V": number}} for number in "12"]
    for asked in (items, items, items[::-1], items[1:], items[:1]):
        batch = client.download_many(asked, tmp_path, progress=False)
        bodies = [r.path.read_bytes() for r in batch if r.path]
        assert bodies == [{"1": b"one", "2": b"two"}[i["headers"]["X-V"]] for i in asked]
    assert names(tmp_path) == [".nbhttp-manifest.jsonl", "y", "y-2"]
    assert len(server.heads) == 2


def test_items_that_differ_in_credentials_alone_need_names(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """No manifest keeps credentials: the next run would take one's file for the other's."""
    tokens = {"Bearer token-one": b"one", "Bearer token-two": b"two"}
    url = server.play(by_field("authorization", tokens, 'ETag: "same"'))
    items = [{"url": f"{url}y", "headers": {"Authorization": token}} for token in tokens]
    with pytest.raises(ConfigError, match=r"items 0 and 1 .* both ask for .*/y, and differ only"):
        client.download_many(items, tmp_path / "new/", progress=False)
    assert (server.heads, names(tmp_path)) == ([], [])
    named = [{**item, "name": f"{n}.txt"} for n, item in enumerate(items)]
    for _ in range(3):
        batch = client.download_many(named, tmp_path, progress=False)
        assert [r.path.read_bytes() for r in batch if r.path] == [b"one", b"two"]
    assert client.download_many([items[0], items[0]], tmp_path / "same/", progress=False).success


@pytest.mark.parametrize("version", [(), (OLD,), ('ETag: W/"1"',)])
@pytest.mark.parametrize("segments", [1, 4])
def test_a_part_without_its_version_is_not_joined(
    client: HttpClient,
    server: ScriptedServer,
    tmp_path: Path,
    version: tuple[str, ...],
    segments: int,
):
    """The server ignores If-Range, and the file is another one of the same size meanwhile."""
    url = server.play(serving(A, 'ETag: "1"', cut=1_200_000))
    client.download_file(url, tmp_path / "f", max_attempts=1, progress=False)
    assert "f.part" in names(tmp_path)

    def script(request: str) -> Sequence[Any]:
        fields = ('ETag: "2"',) if first_byte(request) is None else version
        return serving(B, *fields)(request)

    server.play(script)
    result = client.download_file(url, tmp_path / "f", segments=segments, progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == B
    assert (result.resumed_from, result.received) == (0, SIZE)
    (restart,) = result.restarts
    assert "version" in restart or "changed upstream" in restart


def test_a_server_that_contradicts_itself_is_asked_for_no_parts(
    client: HttpClient, fault: FaultServer, tmp_path: Path
):
    """Its parts state another size than its whole file: in the end one connection brings that."""
    url = f"{fault.url}/file/a/{8 * SIZE}?badrange=total"
    result = client.download_file(url, tmp_path / "f", segments=8, progress=False)
    assert result.success, result.error
    assert hashlib.sha256((tmp_path / "f").read_bytes()).hexdigest() == fault.sha256("a", 8 * SIZE)
    assert "the file's size changed upstream" in result.restarts


@pytest.mark.parametrize("size", [5, SIZE], ids=["small", "large"])
def test_a_file_that_was_changed_here_is_not_current(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, size: int
):
    """It is refused, or replaced when that is wanted."""
    url = server.play(serving(A[:size], 'ETag: "1"', OLD))
    assert client.download_file(url, tmp_path / "f", progress=False).success
    (tmp_path / "f").write_bytes(B[:size])
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.error is not None
    assert "has other bytes than the server's file; it was not touched" in result.error
    assert (tmp_path / "f").read_bytes() == B[:size]
    assert names(tmp_path) == (["f"] if size == 5 else ["f", "f.part", "f.part.json"])
    assert client.download_file(url, tmp_path / "f", overwrite=True, progress=False).success
    assert (tmp_path / "f").read_bytes() == A[:size]
    assert names(tmp_path) == ["f"]


def test_a_digest_of_a_file_that_is_gone_is_an_error_of_ours(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """It is computed when it is asked for, and by then the file may be elsewhere."""
    result = client.download_file(server.play(serving(A)), tmp_path / "f", progress=False)
    (tmp_path / "f").unlink()
    with pytest.raises(nbhttp.DownloadError, match="cannot be read any more: no such file"):
        _ = result.sha256


def test_the_function_that_failed_is_named(
    client: HttpClient,
    server: ScriptedServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    """Also where a batch calls it."""

    def my_callback(event: Any) -> None:
        raise ValueError

    url = server.play(serving(b"x"))
    assert client.download_many([f"{url}f"], tmp_path, progress=my_callback).success
    assert caplog.text.count("my_callback failed and is not called again") == 1


@pytest.mark.parametrize("fields", [(), ('ETag: "1"', OLD)], ids=["no version", "touched"])
@pytest.mark.parametrize("size", [5, SIZE], ids=["small", "large"])
def test_what_cannot_be_told_is_fetched_and_compared(
    client: HttpClient,
    server: ScriptedServer,
    tmp_path: Path,
    fields: tuple[str, ...],
    size: int,
):
    """Running a cell again succeeds though the server states no version, or the file was touched."""
    url = server.play(serving(A[:size], *fields))
    assert client.download_file(url, tmp_path / "f", progress=False).success
    os.utime(tmp_path / "f", (1e9, 1e9))
    there = (tmp_path / "f").stat()
    again = client.download_file(url, tmp_path / "f", progress=False)
    assert again.success, again.error
    assert (again.skipped, again.received) == (False, size)
    now = (tmp_path / "f").stat()
    assert (now.st_ino, now.st_mtime_ns) == (there.st_ino, there.st_mtime_ns)
    assert again.sha256 == hashlib.sha256(A[:size]).hexdigest()
    assert names(tmp_path) == ["f"]
    third = client.download_file(url, tmp_path / "f", progress=False)
    assert third.skipped is bool(fields)  # what it is was noted


def test_dates_do_not_keep_what_is_to_be_replaced(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """A file of the same size from elsewhere is taken for current, but not with overwrite."""
    url = server.play(serving(b"right", 'ETag: "1"', OLD))
    (tmp_path / "f").write_bytes(b"other")
    assert client.download_file(url, tmp_path / "f", progress=False).skipped
    assert not client.download_file(url, tmp_path / "f", overwrite=True, progress=False).skipped
    assert (tmp_path / "f").read_bytes() == b"right"


def test_a_link_that_leads_nowhere_is_no_file(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Even when its text is as long as the file."""
    (tmp_path / "f").symlink_to("gone!")
    url = server.play(serving(b"right", 'ETag: "1"', OLD))
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.error is not None
    assert "leads nowhere" in result.error


@pytest.mark.parametrize("fields", [('ETag: "1"',), ("Last-Modified: {now}", "Date: {now}")])
def test_a_rerun_recognises_what_it_brought(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, fields: tuple[str, ...]
):
    """Also what came coded, and what was changed just before it was fetched."""
    now = "Tue, 24 Nov 2020 08:00:00 GMT"
    fields = tuple(field.format(now=now) for field in fields)
    packed = gzip.compress(A)
    coded = head("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(packed)}", *fields)
    for name, script in (("coded", [coded, packed]), ("plain", serving(A, *fields))):
        url = server.play(script)
        assert client.download_file(url, tmp_path / name, progress=False).success
        if name == "coded":
            if not fields[0].startswith("ETag"):
                continue
            url = server.play([head("304 Same", *fields)])
        again = client.download_file(url, tmp_path / name, progress=False)
        assert again.skipped, again.error


def test_what_is_complete_is_asked_about_before_it_gets_its_name(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """An earlier run was stopped just before its end, and the file changed since."""
    url = server.play(serving(A, 'ETag: "1"'))

    def in_the_way(received: int, total: int | None) -> None:
        (tmp_path / "f").write_bytes(b"mine")

    first = client.download_file(url, tmp_path / "f", on_progress=in_the_way, progress=False)
    assert first.error is not None
    assert "has other bytes" in first.error
    (tmp_path / "f").unlink()
    server.play(serving(B, 'ETag: "2"'))
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == B
    assert result.restarts == ("the file changed upstream",)


# Other people's files


def test_files_beside_it_are_left_alone(client: HttpClient, server: ScriptedServer, tmp_path: Path):
    """Whatever they are called, and wherever a link of that name leads."""
    (tmp_path / "f.part.new").write_text("mine")
    (tmp_path / "elsewhere").write_text("mine too")
    (tmp_path / "f.part.json.new").symlink_to(tmp_path / "elsewhere")
    result = client.download_file(
        server.play(serving(A, 'ETag: "1"')), tmp_path / "f", progress=False
    )
    assert result.success, result.error
    assert (tmp_path / "f.part.new").read_text() == "mine"
    assert (tmp_path / "elsewhere").read_text() == "mine too"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[" * 100_000,
        json.dumps({"nbhttp": 1, "id": 3, "salt": ["x"], "holder": "x"}),
        json.dumps({"nbhttp": 1, "id": "x", "salt": "not hex", "total": -1}),
        None,
    ],
    ids=["empty", "deep", "types", "salt", "fifo"],
)
def test_a_damaged_sidecar_means_a_new_start(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, line: str | None
):
    """Whatever is in it, or instead of it."""
    sidecar = tmp_path / "f.part.json"
    if line is None:
        os.mkfifo(sidecar)
    else:
        sidecar.write_text(line + "\n")
    (tmp_path / "f.part").write_bytes(b"?" * 1000)
    url = server.play(serving(A, 'ETag: "1"'))
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.success, result.error
    assert (tmp_path / "f").read_bytes() == A
    is_ours = line is not None and line.startswith('{"nbhttp":')
    assert names(tmp_path) == ["f", *([] if is_ours else ["f.part.json.old", "f.part.old"])]


@pytest.mark.parametrize("size", [5, SIZE], ids=["small", "large"])
def test_what_is_not_ours_is_moved_aside(
    client: HttpClient,
    server: ScriptedServer,
    tmp_path: Path,
    size: int,
    caplog: pytest.LogCaptureFixture,
):
    """A finished file that is called NAME.part, another program's, a folder, a lock with content."""
    url = server.play(serving(A[:size], 'ETag: "1"'))
    assert client.download_file(url, tmp_path / "f.part", progress=False).success
    (tmp_path / "f.part.lock").write_text("mine")
    result = client.download_file(url, tmp_path / "f", progress=False)
    assert result.success, result.error
    (tmp_path / "f").unlink()
    (tmp_path / "f.part").mkdir()
    (tmp_path / "f.part" / "kept").touch()
    assert client.download_file(url, tmp_path / "f", progress=False).success
    assert names(tmp_path) == ["f", "f.part.lock", "f.part.old", "f.part.old-2"]
    assert (tmp_path / "f.part.old").read_bytes() == (tmp_path / "f").read_bytes() == A[:size]
    assert names(tmp_path / "f.part.old-2") == ["kept"]
    assert (tmp_path / "f.part.lock").read_text() == "mine"
    assert caplog.text.count("was not made by nbhttp: it is now") == 2


def test_what_a_killed_process_left_goes_without_a_word(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Its lock is there: so a part without a sidecar is of a small file."""
    (tmp_path / "f.part").write_bytes(b"half")
    (tmp_path / "f.part.lock").touch()
    url = server.play(serving(b"whole", 'ETag: "1"'))
    assert client.download_file(url, tmp_path / "f", progress=False).success
    assert names(tmp_path) == ["f"]
    (tmp_path / "g.part").write_bytes(b"half")
    (tmp_path / "g.part.lock").touch()
    server.play([head("404 None"), b""])
    assert not client.download_file(url, tmp_path / "g", progress=False).success
    assert names(tmp_path) == ["f"]
    assert not caplog.text


def test_a_sidecar_puts_no_field_into_a_request(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """A validator with a line break in it is none."""
    url = server.play(serving(A, 'ETag: "1"', cut=1_200_000))
    client.download_file(url, tmp_path / "f", max_attempts=1, progress=False)
    sidecar = tmp_path / "f.part.json"
    lines = sidecar.read_text().splitlines()
    first = json.loads(lines[0]) | {"etag": '"1"\r\nX-Evil: 1'}
    sidecar.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    server.play(serving(A, 'ETag: "1"'))
    assert client.download_file(url, tmp_path / "f", progress=False).success
    assert not any("evil" in request.lower() for request in server.heads)


# File objects


class Reluctant(io.RawIOBase):
    """Takes 1,000 bytes in all."""

    left = 1000

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = min(len(data), self.left)
        self.left -= taken
        return taken


class Awaited:
    async def write(self, data: bytes) -> int:
        return len(data)


def test_a_file_object_that_takes_no_more_is_an_error(client: HttpClient, server: ScriptedServer):
    """What it did not take is not there."""
    result = client.download_file(server.play(serving(A, 'ETag: "1"')), Reluctant(), progress=False)
    assert result.error is not None
    assert "took 1,000 of" in result.error


class TextWrapper:
    """As `NamedTemporaryFile("w")` is: no text file by its type."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)


def closed_file() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (Awaited, TypeError),
        (closed_file, ConfigError),
        (lambda: io.BytesIO, TypeError),
        (TextWrapper, TypeError),
        (lambda: "half a pair \ud800", ConfigError),
    ],
)
def test_what_cannot_take_a_file_is_refused_before(
    client: HttpClient, server: ScriptedServer, make: Callable[[], Any], error: type
):
    """Nothing is sent."""
    url = server.play(serving(A, 'ETag: "1"'))
    with pytest.raises(error, match="save_path"):
        client.download_file(url, make(), progress=False)
    assert server.heads == []


def test_a_hooks_own_error_is_no_full_disk(server: ScriptedServer, tmp_path: Path, engine: str):
    """It is raised, as from any other call."""

    def hook(request: Any) -> None:
        Path("/nonexistent/token").read_text()

    url = server.play(serving(A, 'ETag: "1"'))
    client = HttpClient(engine=engine, trust_env=False, event_hooks={"request": [hook]})
    with pytest.raises(FileNotFoundError):
        client.download_file(url, tmp_path / "f", progress=False)


def test_a_name_that_comes_late_waits_without_its_slot(
    engine: str, server: ScriptedServer, tmp_path: Path
):
    """Two that the server names alike share the only connection: the first breaks and goes on."""
    name = "Content-Disposition: attachment; filename=x.bin"
    first_is_open = threading.Event()
    second_is_open = threading.Event()

    def first(request: str) -> Sequence[Any]:
        first_is_open.set()
        assert second_is_open.wait(20)
        return serving(A, 'ETag: "1"', name, cut=1_200_000)(request)

    client = HttpClient(engine=engine, trust_env=False, max_connections=1)
    url = server.play(first, serving(A, 'ETag: "1"', name))
    results: list[Any] = []

    def fetch(path: str) -> None:
        results.append(client.download_file(url + path, f"{tmp_path}/", progress=False))

    threads = [threading.Thread(target=fetch, args=(path,)) for path in ("one", "two")]
    threads[0].start()
    assert first_is_open.wait(20)
    threads[1].start()
    second_is_open.set()
    for thread in threads:
        thread.join(40)
    assert sorted(result.success for result in results) == [False, True]
    assert (tmp_path / "x.bin").read_bytes() == A
    assert not any(isinstance(r.exception, nbhttp.LockedError) for r in results)


# Batches


def test_the_same_file_twice_is_checked_as_the_second_asks(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """A checksum counts wherever it stands; two that differ are refused."""
    url = server.play(serving(b"x", 'ETag: "1"'))
    wrong, right = (f"sha256:{hashlib.sha256(t).hexdigest()}" for t in (b"y", b"x"))
    batch = client.download_many([url, {"url": url, "checksum": wrong}], tmp_path, progress=False)
    assert [r.success for r in batch] == [False, False]
    with pytest.raises(ConfigError, match="two checksums"):
        client.download_many(
            [{"url": url, "checksum": wrong}, {"url": url, "checksum": right}],
            tmp_path,
            progress=False,
        )


def test_other_fields_are_another_request(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Each item is sent with its own."""
    url = server.play(serving(b"x", 'ETag: "1"'))
    items = [{"url": url + "f", "headers": {"X-Tenant": tenant}} for tenant in "ab"]
    assert client.download_many(items, tmp_path, progress=False).success
    assert sorted(re.findall(r"x-tenant: (\w)", " ".join(server.heads).lower())) == ["a", "b"]
    assert names(tmp_path) == [".nbhttp-manifest.jsonl", "f", "f-2"]


def test_a_known_name_stays_its_files(client: HttpClient, server: ScriptedServer, tmp_path: Path):
    """A new URL in front of it gets a number; one that is asked for by name goes first."""
    url = server.play(serving(b"x", 'ETag: "1"'))
    assert client.download_many([url + "a/data.csv"], tmp_path, progress=False).success
    batch = client.download_many(
        [url + "b/data.csv", url + "a/data.csv", url + "x.csv", (url + "c", "x.csv")],
        tmp_path,
        progress=False,
    )
    assert batch.success, batch.failed[0].error
    found = [result.path.name for result in batch if result.path]
    assert found == ["data-2.csv", "data.csv", "x-2.csv", "x.csv"]
    assert batch[1].skipped


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ([("http://h/a", 5)], TypeError, "item 0 of download_many: a name is text, not 5"),
        (["http://h/a", ("http://h/b", "")], ConfigError, "name of item 1 .* is empty"),
        ([{"url": "http://h/a", 3: "x"}], ConfigError, r"item 0 of download_many has \['3'\]"),
        (["http://h/a", float("nan")], TypeError, "item 1 of download_many"),
        ({"f": "http://h/a"}, TypeError, "list of mappings"),
        ([("http://h/a", ".nbhttp-manifest.jsonl")], None, ""),
        ([("http://h/a", "m.jsonl")], ConfigError, "manifest's name"),
    ],
)
def test_odd_items_are_refused(
    tmp_path: Path, items: Any, error: type | None, message: str, engine: str
):
    """They are told apart by their number; nothing is sent."""
    client = HttpClient(engine=engine, trust_env=False, timeout=0.5)
    run = lambda: client.download_many(  # noqa: E731
        items, tmp_path, manifest=tmp_path / "m.jsonl", max_attempts=1, progress=False
    )
    if error is None:
        assert run()[0].path != tmp_path / ".nbhttp-manifest.jsonl"
        return
    with pytest.raises(error, match=message):
        run()


def test_no_name_is_the_urls(client: HttpClient, server: ScriptedServer, tmp_path: Path):
    """None and NaN ask for none."""
    url = server.play(serving(b"x", 'ETag: "1"'))
    items = [(url + "a", None), (url + "b", float("nan")), {"url": url + "c", "name": None}]
    batch = client.download_many(items, tmp_path, progress=False)
    assert [r.path.name for r in batch if r.path] == ["a", "b", "c"]


def test_nothing_is_made_before_an_option_is_right(client: HttpClient, tmp_path: Path):
    """Neither the directory nor the manifest; and no option of other calls passes for one."""
    for options in ({"segments": 99}, {"json": {}}, {"max_body": 1}, {"hashes_sha256": True}):
        with pytest.raises((ConfigError, TypeError), match=next(iter(options))):
            client.download_many(["http://h/a"], tmp_path / "new", **options)  # type: ignore[arg-type]
        with pytest.raises((ConfigError, TypeError), match=next(iter(options))):
            client.download_file("http://h/a", f"{tmp_path}/new/", **options)  # type: ignore[arg-type]
    assert names(tmp_path) == []


def test_a_file_that_is_gone_at_once_costs_no_other(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Who takes files away as they come does not stop the rest."""

    def take_away(event: Any) -> None:
        if isinstance(event, public_events.DownloadFinished) and event.path:
            Path(event.path).unlink()

    url = server.play(serving(b"x", 'ETag: "1"'))
    unsubscribe = client.subscribe(take_away)
    batch = client.download_many([url + n for n in "abc"], tmp_path, progress=False)
    unsubscribe()
    assert batch.success


@pytest.mark.parametrize(
    "damage", [{"salt": None}, {"salt": "../../x"}, "[" * 200_000], ids=["none", "bad", "deep"]
)
def test_a_damaged_manifest_is_refused(client: HttpClient, tmp_path: Path, damage: Any):
    """With its path, and what to do."""
    first = damage if isinstance(damage, str) else json.dumps({"nbhttp_manifest": 1} | damage)
    (tmp_path / "m").write_text(first + "\n")
    with pytest.raises(ConfigError, match="is no manifest"):
        client.download_many(["http://h/a"], tmp_path, manifest=tmp_path / "m")


def test_a_torn_line_costs_only_itself(client: HttpClient, server: ScriptedServer, tmp_path: Path):
    """The next run's lines begin on one of their own."""
    url = server.play(serving(b"x", 'ETag: "1"'))
    client.download_many([url + "a"], tmp_path, progress=False)
    manifest = tmp_path / ".nbhttp-manifest.jsonl"
    with manifest.open("a") as file:
        file.write('{"id":"torn')
    client.download_many([url + "b"], tmp_path, progress=False)
    sent = len(server.heads)
    client.download_many([url + "a", url + "b"], tmp_path, progress=False)
    assert len(server.heads) == sent


@pytest.mark.anyio
async def test_two_runs_at_once_share_a_manifest(
    engine: str, server: ScriptedServer, tmp_path: Path
):
    """Each finds its own lines again, whichever made the file."""
    url = server.play(serving(b"x", 'ETag: "1"'))
    async with nbhttp.AsyncHttpClient(engine=engine, trust_env=False) as client:
        runs = [client.download_many([url + n], tmp_path, progress=False) for n in "ab"]
        await asyncio.gather(*runs)
        sent = len(server.heads)
        await client.download_many([url + "a", url + "b"], tmp_path, progress=False)
    assert len(server.heads) == sent


# What is told


def test_a_function_hears_of_small_files_too(
    client: HttpClient, server: ScriptedServer, tmp_path: Path
):
    """Each begins and ends."""
    told: list[Any] = []
    url = server.play(serving(b"x", 'ETag: "1"'))
    client.download_many([url + n for n in "abc"], tmp_path, progress=told.append)
    kinds = [type(event).__name__ for event in told]
    assert (kinds.count("DownloadStarted"), kinds.count("DownloadFinished")) == (3, 3)


@pytest.mark.parametrize("progress", [False, [].append])
def test_a_batch_counts_what_it_fetched_itself(
    client: HttpClient, fault: FaultServer, tmp_path: Path, progress: Any
):
    """Not what an earlier run brought; and while a file is under way."""
    size = 4_000_000
    url = f"{fault.url}/file/batch/{size}?drip=20&step=65536"
    stopped = client.download_many(
        [f"{url}&truncate=2000000&fail=9"], tmp_path, max_attempts=1, progress=False
    )
    assert not stopped.success
    seen: list[int] = []
    totals: list[int] = []

    def hear(event: Any) -> None:
        if isinstance(event, public_events.BatchProgress):
            seen.append(event.received)
            totals.append(event.resumed_from)

    unsubscribe = client.subscribe(hear)
    fault.reset()
    part = client.download_many(
        [f"{url}&truncate=2000000&fail=9"], tmp_path, max_attempts=1, progress=progress
    )
    unsubscribe()
    fetched = sum(result.received for result in part)
    assert seen == sorted(seen)
    assert seen[-1] == fetched
    assert any(0 < count < fetched for count in seen)
    assert totals[-1] == part[0].resumed_from > 0


def test_a_standstill_is_told_too(
    client: HttpClient, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Else a speed would stay that is no more."""
    monkeypatch.setattr("nbhttp._core.reporting._REPEAT_S", 0.15)
    told: list[int] = []
    still = threading.Event()

    def listen(event: Any) -> None:
        if isinstance(event, public_events.DownloadProgress):
            told.append(event.received)
            if told.count(700_000) == 3:
                still.set()

    def script(request: str) -> Iterator[bytes]:
        yield head("200 OK", f"Content-Length: {SIZE}", 'ETag: "1"')
        yield A[:700_000]
        assert still.wait(20)
        yield A[700_000:]

    result = client.download_file(server.play(script), tmp_path / "f", progress=listen)  # type: ignore[arg-type]
    assert result.success, result.error
    assert still.is_set()


@pytest.mark.anyio
async def test_a_slow_callback_is_called_once_at_a_time(
    engine: str, server: ScriptedServer, tmp_path: Path
):
    """And has ended when the download has."""
    running = most = 0

    async def slowly(received: int, total: int | None) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.3)
        running -= 1

    def script(request: str) -> Iterator[bytes]:
        yield head("200 OK", f"Content-Length: {SIZE}", 'ETag: "1"')
        for start in range(0, SIZE, 500_000):
            yield A[start : start + 500_000]
            threading.Event().wait(0.12)

    url = server.play(script)  # type: ignore[arg-type]
    async with nbhttp.AsyncHttpClient(engine=engine, trust_env=False) as client:
        result = await client.download_file(url, tmp_path / "f", on_progress=slowly, progress=False)
    assert result.success, result.error
    assert (most, running) == (1, 0)
