"""The lock between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from nbhttp._core.pathlock import PathLock

HOLDER = """
import sys
from pathlib import Path
from nbhttp._core.pathlock import PathLock
print(PathLock(Path(sys.argv[1])).try_take(), flush=True)
"""


def test_one_at_a_time_holds_it(tmp_path: Path):
    """A second one, of the same process, has to wait until it is given back."""
    first, second = PathLock(tmp_path / "lock"), PathLock(tmp_path / "lock")
    assert first.try_take()
    assert not second.try_take()
    first.give_back()
    assert not (tmp_path / "lock").exists()
    assert second.try_take()
    second.give_back()


def test_it_holds_between_processes(tmp_path: Path):
    """Another process does not get it, and gets it afterwards; its end frees it."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    mine = PathLock(path)
    assert mine.try_take()
    assert subprocess.check_output(command, text=True).strip() == "False"
    mine.give_back()
    assert subprocess.check_output(command, text=True).strip() == "True"
    assert mine.try_take()  # it ended without giving it back
    mine.give_back()


@pytest.mark.skipif(sys.platform == "win32", reason="filelock itself is used there")
def test_it_excludes_filelock_and_the_other_way_round(tmp_path: Path):
    """Both lock the same file in the same way."""
    from filelock import FileLock, Timeout

    ours, theirs = PathLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert ours.try_take()
    with pytest.raises(Timeout):
        theirs.acquire(blocking=False)
    ours.give_back()
    with theirs:
        assert not ours.try_take()


def test_what_cannot_be_created_is_an_error(tmp_path: Path):
    """That is no reason to wait."""
    with pytest.raises(OSError):
        PathLock(tmp_path / "missing" / "lock").try_take()


def test_giving_back_what_is_not_held_leaves_it(tmp_path: Path):
    """Only the holder's lock is freed."""
    first, second = PathLock(tmp_path / "lock"), PathLock(tmp_path / "lock")
    assert first.try_take()
    assert not second.try_take()
    second.give_back()
    assert not second.try_take()
    first.give_back()
