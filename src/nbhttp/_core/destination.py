"""Where a download goes, checked before anything is sent."""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

__all__ = ["Destination", "check_target", "resolve"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A file, a directory whose file the server names, or a file object.

    Attributes:
        directory: Where the file will be; None for a file object.
        name: The file's name; None when the server names it.
        file: The user's binary file object; None for a path.
    """

    directory: Path | None = None
    name: str | None = None
    file: Any = None

    @property
    def target(self) -> Path | None:
        """The final path, when it is known."""
        if self.directory is None or self.name is None:
            return None
        return self.directory / self.name


def resolve(save_path: Any, *, mkdir: bool = False) -> Destination:
    """Read what the user calls a save path.

    Args:
        save_path: A file; an existing directory, or one whose name ends in "/", which is created;
            or an object with `write(bytes)`.
        mkdir: Whether a file's missing parent directories are created.

    Raises:
        ConfigError: The parent directory is missing or cannot be written, or something that is
            neither a file nor a directory is in the way.
        TypeError: It is no path and cannot be written to, or takes text.
    """
    if hasattr(save_path, "write") and not isinstance(save_path, str | os.PathLike):
        return Destination(file=_checked_file(save_path))
    if not isinstance(save_path, str | os.PathLike):
        raise TypeError(
            f"save_path takes a path or a writable binary file, not {redact_repr(save_path)}"
        )
    text = os.fspath(save_path)
    if not isinstance(text, str):
        raise TypeError(f"save_path takes text, not {redact_repr(text)}")
    if not text or "\0" in text:
        raise ConfigError(f"save_path={text!r} is no path")
    path = Path(text)
    if text == "~" or text.startswith("~/"):
        path = path.expanduser()
    ends_as_directory = text.endswith(("/", os.sep))
    try:
        return _resolve_path(path, mkdir=mkdir, is_directory=ends_as_directory)
    except OSError as exc:
        raise ConfigError(f"save_path={text!r} cannot be used: {exc.strerror or exc}") from exc


def _resolve_path(path: Path, *, mkdir: bool, is_directory: bool) -> Destination:
    if path.is_dir():
        return Destination(_writable(path))
    if is_directory:
        if os.path.lexists(path):
            raise ConfigError(f"{str(path)!r} is a file, not a directory")
        path.mkdir(parents=True)
        return Destination(_writable(path))
    parent = path.parent
    if not parent.exists():
        if not mkdir:
            raise ConfigError(
                f"the directory {str(parent)!r} does not exist",
                hint="create it, or pass mkdir=True",
            )
        parent.mkdir(parents=True)
    if not parent.is_dir():
        raise ConfigError(f"{str(parent)!r} is a file, not a directory")
    check_target(path)
    return Destination(_writable(parent), path.name)


def check_target(path: Path) -> None:
    """Refuse what a file cannot replace.

    Raises:
        ConfigError: A directory or a device stands there.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise ConfigError(f"{str(path)!r} is a directory; a file cannot replace it")
    if not stat.S_ISREG(mode):
        raise ConfigError(
            f"{str(path)!r} is no regular file; open it and pass the file object instead"
        )


def _writable(directory: Path) -> Path:
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"the directory {str(directory)!r} cannot be written")
    return directory


def _checked_file(file: Any) -> Any:
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"save_path is a text file ({redact_repr(file)}); open it with mode 'wb'")
    writable = getattr(file, "writable", None)
    if writable is not None and not writable():
        raise ConfigError(f"save_path is a file that is not open for writing: {file!r}")
    return file
