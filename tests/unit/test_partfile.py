"""The unfinished download on disk: what survives, and what is never resumed."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbhttp import ConfigError
from nbhttp._core.destination import resolve
from nbhttp._core.identity import Identity, selecting
from nbhttp._core.partfile import Part
from nbhttp._core.ranges import Done
from nbhttp._core.record import read_record
from nbhttp._core.sidecar import Sidecar, boot_token, find_by_url, part_path
from nbhttp._core.validators import Validators

URL = "https://example.org/data.bin?version=3"
HERE = Identity(URL)
V1 = Validators('"1"', "Wed, 21 Oct 2015 07:28:00 GMT")


def begun(path: Path, *spans: tuple[int, int], url: str = URL, total: int | None = 100) -> Part:
    """Leave a part as a killed process does: with notes, without an end."""
    part = Part(path)
    assert part.try_lock()
    part.open(Sidecar(Identity(url), V1, total, path.name), keep=False)
    os.pwrite(part.fd or 0, b"x" * 100, 0)
    for index in range(len(spans)):
        part.note(Done(spans[: index + 1]))
    part.close()
    part.unlock()
    return part


def test_what_was_noted_is_found_again(tmp_path: Path):
    """Version, size and spans come back."""
    begun(tmp_path / "f", (0, 10), (50, 60))
    found = Part(tmp_path / "f").load(HERE)
    assert found is not None
    assert (found.validators, found.total) == (V1, 100)
    assert found.done.spans == ((0, 10), (50, 60))


def test_a_torn_last_line_is_ignored(tmp_path: Path):
    """A kill in the middle of a note costs that note."""
    begun(tmp_path / "f", (0, 10), (50, 60))
    sidecar = tmp_path / "f.part.json"
    whole = sidecar.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        sidecar.write_bytes(whole[:-cut])
        found = Part(tmp_path / "f").load(HERE)
        assert found is not None
        assert found.done.spans == ((0, 10),)


@settings(deadline=None)  # it writes files
@given(st.binary(max_size=200))
def test_any_sidecar_is_read_or_ignored(noise: bytes):
    """What is no sidecar of ours resumes nothing, and raises nothing."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        begun(path, (0, 10))
        sidecar = path.with_name("f.part.json")
        head = sidecar.read_bytes().splitlines(keepends=True)[0]
        sidecar.write_bytes(noise)
        assert Part(path).load(HERE) is None
        sidecar.write_bytes(head + noise)
        found = Part(path).load(HERE)
        assert found is None or found.done.size <= 100


@pytest.mark.parametrize(
    "url", ["https://example.org/data.bin?version=4", "https://example.com/data.bin?version=3"]
)
def test_a_part_of_another_url_is_not_resumed(tmp_path: Path, url: str):
    """The same name does not make it the same file."""
    begun(tmp_path / "f", (0, 10), url=url)
    assert Part(tmp_path / "f").load(HERE) is None


def test_a_signed_url_is_the_same_file_when_it_is_signed_anew(tmp_path: Path):
    """Signatures and dates of signing do not count; everything else does."""
    url = "https://b.example.org/k?X-Amz-Date=1&X-Amz-Signature=aaa&v=1"
    begun(tmp_path / "f", (0, 10), url=url)
    again = url.replace("aaa", "bbb").replace("Date=1", "Date=2")
    assert Part(tmp_path / "f").load(Identity(again)) is not None
    assert Part(tmp_path / "f").load(Identity(url.replace("v=1", "v=2"))) is None


def test_no_secret_is_kept(tmp_path: Path):
    """Neither the sidecar nor the finished file's record holds a credential."""
    url = "https://user:pa55word@example.org/f?api_key=s3cr3t-value&sig=s1gnature"
    identity = Identity(url)
    begun(tmp_path / "f", (0, 100), url=url)
    sidecar = (tmp_path / "f.part.json").read_text()
    part = Part(tmp_path / "f")
    part.try_lock()
    part.open(part.load(identity) or pytest.fail("nothing to resume"), keep=True)
    part.seal(100, identity=identity, validators=V1, mtime=None)
    part.settle()
    part.name()
    part.unlock()
    record = b""
    if hasattr(os, "getxattr"):
        record = b"".join(os.getxattr(tmp_path / "f", n) for n in os.listxattr(tmp_path / "f"))
    for secret in ("pa55word", "s3cr3t-value"):
        assert secret not in sidecar
        assert secret.encode() not in record


def test_a_sidecar_without_its_file_resumes_nothing(tmp_path: Path):
    """Somebody deleted the `.part`: the notes are worthless."""
    begun(tmp_path / "f", (0, 10))
    (tmp_path / "f.part").unlink()
    assert Part(tmp_path / "f").load(HERE) is None


def test_notes_beyond_the_file_do_not_count(tmp_path: Path):
    """Somebody cut the `.part`: what is not there is fetched."""
    begun(tmp_path / "f", (0, 10), (50, 60))
    os.truncate(tmp_path / "f.part", 55)
    found = Part(tmp_path / "f").load(HERE)
    assert found is not None
    assert found.done.spans == ((0, 10), (50, 55))


@pytest.mark.anyio
async def test_after_a_restart_of_the_machine_only_synced_bytes_count(tmp_path: Path):
    """A power cut may lose bytes that were noted, never bytes that were synced."""
    part = Part(tmp_path / "f")
    part.try_lock()
    part.open(Sidecar(HERE, V1, 100, "f"), keep=False)
    os.pwrite(part.fd or 0, b"x" * 100, 0)
    await part.sync(Done([(0, 30)]))
    part.note(Done([(0, 60)]))
    part.close()
    part.unlock()
    found = Part(tmp_path / "f").load(HERE)
    assert found is not None
    assert found.done.spans == ((0, 60),)
    sidecar = tmp_path / "f.part.json"
    sidecar.write_text(sidecar.read_text().replace(boot_token(), "another boot"))
    found = Part(tmp_path / "f").load(HERE)
    assert found is not None
    assert found.done.spans == ((0, 30),)


def test_many_notes_do_not_grow_the_sidecar(tmp_path: Path):
    """The journal is written anew from time to time, and says the same."""
    part = Part(tmp_path / "f")
    part.try_lock()
    part.open(Sidecar(HERE, V1, 10**9, "f"), keep=False)
    os.ftruncate(part.fd or 0, 10**9)
    for number in range(1, 20_000):
        part.note(Done([(0, number), (10**8, 10**8 + number)]))
    part.close()
    part.unlock()
    assert (tmp_path / "f.part.json").stat().st_size < 300_000
    found = Part(tmp_path / "f").load(HERE)
    assert found is not None
    assert found.done.spans == ((0, 19_999), (10**8, 10**8 + 19_999))


def test_starting_anew_does_not_follow_a_link(tmp_path: Path):
    """A link under the part's name is replaced, not written through."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "f.part").symlink_to(tmp_path / "victim")
    part = Part(tmp_path / "f")
    part.try_lock()
    part.open(Sidecar(HERE, V1, 4, "f"), keep=False)
    os.write(part.fd or 0, b"data")
    part.seal(4, identity=HERE, validators=V1, mtime=None)
    part.settle()
    part.name()
    part.unlock()
    assert (tmp_path / "victim").read_text() == "precious"
    assert (tmp_path / "f").read_bytes() == b"data"


def test_only_one_holds_the_lock(tmp_path: Path):
    """The second is told who does; afterwards nothing is left beside the file."""
    first, second = Part(tmp_path / "f"), Part(tmp_path / "f")
    assert first.try_lock()
    assert not second.try_lock()
    assert "another process" in str(second.locked_error())
    first.open(Sidecar(HERE, V1, 100, "f"), keep=False)
    assert str(os.getpid()) in str(second.locked_error())
    first.discard()
    first.unlock()
    assert second.try_lock()
    assert not Part(tmp_path / "f").try_lock()
    second.unlock()
    assert not list(tmp_path.iterdir())


def test_a_finished_file_is_recognised(tmp_path: Path):
    """The record says from where and which version, and whether the file changed since."""
    begun(tmp_path / "f", (0, 100))
    part = Part(tmp_path / "f")
    part.try_lock()
    part.open(part.load(HERE) or pytest.fail("nothing to resume"), keep=True)
    part.seal(100, identity=HERE, validators=V1, mtime=1e9)
    part.settle()
    part.name()
    part.unlock()
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").stat().st_mtime == 1e9
    if not hasattr(os, "getxattr"):
        return
    record = read_record(tmp_path / "f", HERE)
    assert record is not None
    assert (record.validators, record.is_same_request) == (V1, True)
    other = read_record(tmp_path / "f", Identity("https://example.org/other"))
    assert other is not None
    assert not other.is_same_request
    assert other.is_untouched
    (tmp_path / "f").write_bytes(b"y" * 100)
    touched = read_record(tmp_path / "f", HERE)
    assert touched is not None
    assert not touched.is_untouched


@pytest.mark.parametrize("what", ["cut", "replaced", "removed"])
def test_a_part_that_others_touched_gets_no_name(tmp_path: Path, what: str):
    """The bytes under the name are those that were written."""
    part = Part(tmp_path / "f")
    part.try_lock()
    fd = part.open(Sidecar(HERE, V1, 100, "f"), keep=False)
    os.write(fd, b"x" * 100)
    if what == "cut":
        os.truncate(part.path, 10)
    else:
        part.path.unlink()
    if what == "replaced":
        part.path.write_bytes(b"y" * 100)

    def finish() -> None:
        part.seal(100, identity=HERE, validators=V1)
        part.name()

    with pytest.raises(OSError, match="somebody else"):
        finish()
    part.unlock()
    assert not (tmp_path / "f").exists()


def test_an_unfinished_download_is_found_by_its_url(tmp_path: Path):
    """In a directory, the name of a part is known before the server is asked."""
    begun(tmp_path / "named-by-server", (0, 10))
    assert find_by_url(tmp_path, HERE) == "named-by-server"
    assert find_by_url(tmp_path, Identity("https://example.org/other")) is None
    sidecar = tmp_path / "named-by-server.part.json"
    lines = sidecar.read_text().splitlines(keepends=True)
    head = json.loads(lines[0]) | {"target": "../elsewhere"}
    sidecar.write_text(json.dumps(head) + "\n" + "".join(lines[1:]))
    sidecar.rename(tmp_path / "elsewhere.part.json")
    assert find_by_url(tmp_path, HERE) is None


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_part_names_fit(name: str):
    """Whatever a file system takes as a name, it takes the part's names too."""
    if len(name.encode()) > 255:
        return
    made = Path(part_path(Path(name))).name
    assert len(made.encode()) <= 250
    assert made.endswith(".part")


# Where a download goes


def test_destinations(tmp_path: Path):
    """A directory, a directory to be made, a file."""
    (tmp_path / "d").mkdir()
    assert resolve(tmp_path / "d").name is None
    assert resolve(f"{tmp_path}/new/er/").directory == tmp_path / "new/er"
    assert (tmp_path / "new/er").is_dir()
    assert resolve(f"{tmp_path}/d/f").target == tmp_path / "d/f"
    assert resolve(tmp_path / "a/b/f", mkdir=True).target == tmp_path / "a/b/f"


def test_bad_destinations_are_refused(tmp_path: Path):
    """Each is told before anything is sent."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="does not exist") as caught:
        resolve(tmp_path / "no/f")
    assert caught.value.hint == "create it, or pass mkdir=True"
    with pytest.raises(ConfigError, match="is a file"):
        resolve(tmp_path / "file/f")
    with pytest.raises(ConfigError, match="is a file"):
        resolve(f"{tmp_path}/file/")
    with pytest.raises(ConfigError, match="no regular file"):
        resolve("/dev/null")
    with pytest.raises(ConfigError, match="no path"):
        resolve("")
    with pytest.raises(ConfigError, match="no path"):
        resolve("a\0b")
    with pytest.raises(TypeError, match="writable"):
        resolve(3)
    with (tmp_path / "file").open("w") as text, pytest.raises(TypeError, match="'wb'"):
        resolve(text)
    with (tmp_path / "file").open("rb") as binary, pytest.raises(ConfigError, match="writing"):
        resolve(binary)


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://user:pw@h.example/f?v=1#part", True),
        ("https://h.example/f?v=1&X-Amz-Date=20261124T0Z&X-Amz-Signature=00ff", True),
        ("https://h.example/f?sv=2&se=2026-11-24&sig=aa%2B&v=1", True),
        ("https://h.example/f?v=1&Expires=1&Signature=x&Key-Pair-Id=K", True),
        ("https://h.example/f?v=1&Expires=1&Signature=x&AWSAccessKeyId=A", True),
        ("https://h.example/f?v=1&api_key=x", False),
        ("https://h.example/f?v=1&key=x", False),
        ("https://h.example/f?v=1&token=x", False),
        ("https://h.example/f?v=1&se=x", False),
        ("https://h.example/f?v=1&Expires=1", False),
        ("https://h.example/f?v=2", False),
        ("https://h.example/g?v=1", False),
        ("http://h.example/f?v=1", False),
    ],
)
def test_what_counts_of_a_url(url: str, same: bool):
    """Not what signs it, not who asks, and not its fragment; all else may name another file."""
    identity = Identity("https://h.example/f?v=1")
    assert (Identity(url).hashed("00ff") == identity.hashed("00ff")) is same


def test_a_small_file_is_written_from_its_pieces(tmp_path: Path):
    """In their order, over what a killed run left, without a sidecar."""
    (tmp_path / "f.part").write_bytes(b"left by a killed run")
    (tmp_path / "f.part.lock").touch()
    part = Part(tmp_path / "f")
    assert part.try_lock()
    part.write_whole([b"one ", b"", b"two"])
    part.seal(7, identity=HERE, validators=V1)
    part.settle()
    part.name()
    part.unlock()
    assert (tmp_path / "f").read_bytes() == b"one two"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_request_is_its_url_and_what_selects_the_answer():
    """Fields count but for those of the asker, credentials and what each call has anew."""
    asked = [(b"Host", b"h"), (b"Accept", b"*/*"), (b"Accept-Encoding", b"identity")]
    assert selecting(asked) == ""
    of_each_call = [
        (b"Authorization", b"Bearer new"), (b"X-Api-Key", b"k2"), (b"Cookie", b"a=2"),
        (b"X-Request-ID", b"7"), (b"traceparent", b"00-7"), (b"X-Amz-Date", b"now"),
        (b"X-B3-TraceId", b"9"), (b"X-Nonce", b"5"), (b"User-Agent", b"me/2"),
    ]  # fmt: skip
    assert selecting(asked + of_each_call) == ""
    csv = selecting([*asked[:1], (b"ACCEPT", b"text/csv"), (b"X-V", b"1"), *of_each_call])
    assert csv == selecting([(b"x-v", b"1"), (b"Accept", b"text/csv")]) != ""
    plain, other = Identity(URL), Identity(URL, csv)
    assert other.hashed("00ff") == Identity(URL, csv).hashed("00ff") != plain.hashed("00ff")
    assert "csv" not in other.shown
