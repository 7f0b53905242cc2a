"""What is used of loguru's private parts is there, in the versions that are allowed."""

import ast
import inspect
import re
import tomllib
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import nbhttp.logs
from nbhttp.logs._loguru import RotatingFile, make_logger

ROOT = Path(__file__).parents[2]


def test_the_version_is_bounded_and_installed_within() -> None:
    """Another minor version may differ inside: it needs this test to pass first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = [
        requirement.specifier
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == "loguru"
    ]
    assert str(bound) == "<0.8,>=0.7.3"
    assert bound.contains(version("loguru"))


def test_one_module_alone_touches_it() -> None:
    """Nothing else in the package imports a private module of loguru."""
    folder = Path(nbhttp.logs.__file__).parents[1]
    touching = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and re.match(r"loguru\._", node.module or "")
    ]
    assert set(touching) == {"logs/_loguru.py"}


def test_the_private_logger_is_a_logger_of_its_own() -> None:
    """It has all methods of the public one, no handler at first, and shares none."""
    from loguru import logger as public

    private = make_logger()
    heard: list[str] = []
    public_heard: list[str] = []
    number = public.add(public_heard.append, format="{message}")  # type: ignore[arg-type]
    try:
        private.error("nobody listens")
        private.add(heard.append, format="{message} {extra[a]}")  # type: ignore[arg-type]
        private.bind(a=1).info("x {}", 2)
        public.info("theirs")
    finally:
        public.remove(number)
    assert heard == ["x 2 1\n"]
    assert public_heard == ["theirs\n"]
    assert type(private) is type(public)


def test_the_private_logger_is_made_with_all_of_its_options() -> None:
    """A new option of loguru's constructor would show here."""
    from loguru._logger import Core, Logger

    assert [*inspect.signature(Logger).parameters] == [
        "core",
        "exception",
        "depth",
        "record",
        "lazy",
        "colors",
        "raw",
        "capture",
        "patchers",
        "extra",
    ]
    assert not inspect.signature(Core).parameters


def test_the_file_sink_has_what_is_looked_at(tmp_path: Path) -> None:
    """The open file, the watching and the size limit are where we look for them."""
    file = RotatingFile(tmp_path / "a.log", rotation="64 KB", retention=None, compression=None)
    sink: Any = file._sink
    assert sink._file.name == str(tmp_path / "a.log")
    assert sink._watch is True
    assert file.chunk_size == 64_000 // 16
    file.close()
    assert sink._file is None


@pytest.mark.parametrize("rotation", ["1 day", "00:00", "monday at 12:00", None])
def test_rotation_by_time_is_understood(rotation: str | None, tmp_path: Path) -> None:
    """It asks the text for its time, and nothing rotates at once."""
    file = RotatingFile(tmp_path / "a.log", rotation=rotation, retention=1, compression="gz")
    file.write("one\n")
    file.write("two\n")
    file.close()
    assert (tmp_path / "a.log").read_text() == "one\ntwo\n"


def test_a_passed_time_rotates(tmp_path: Path) -> None:
    """The moment that was set has come: a new file begins."""
    file = RotatingFile(tmp_path / "a.log", rotation="1 day", retention=None, compression=None)
    file.write("one\n")
    sink: Any = file._sink
    sink._rotation_function._limit = datetime(2000, 1, 1)  # noqa: DTZ001 - as loguru keeps it
    file.write("two\n")
    file.close()
    assert (tmp_path / "a.log").read_text() == "two\n"
    assert len(list(tmp_path.glob("a.*.log"))) == 1


def test_a_failed_rotation_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the old file cannot be packed, the text goes to the new one."""
    file = RotatingFile(tmp_path / "a.log", rotation=40, retention=None, compression="gz")
    file.write("x" * 30 + "\n")

    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    sink: Any = file._sink
    monkeypatch.setattr(sink, "_compression_function", full)
    file.write("y" * 30 + "\n")
    file.close()
    kept = "".join(sorted(path.read_text() for path in tmp_path.iterdir()))
    assert kept == "x" * 30 + "\n" + "y" * 30 + "\n"
