"""Where a download goes, checked before anything is sent."""

import inspect
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbhttp.errors import ConfigError
from nbhttp.redaction import redact_repr

__all__ = ["Destination", "check_path", "check_target", "resolve"]


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
    text = check_path("save_path", save_path)
    path = Path(text)
    if text == "~" or text.startswith("~/"):
        path = path.expanduser()
    ends_as_directory = text.endswith(("/", os.sep))
    try:
        return _resolve_path(path, mkdir=mkdir, is_directory=ends_as_directory)
    except OSError as exc:
        raise ConfigError(f"save_path={text!r} cannot be used: {exc.strerror or exc}") from exc


def check_path(name: str, path: "str | os.PathLike[str]") -> str:
    """Return a path as text.

    Raises:
        ConfigError: It is empty, or has what no path can have.
        TypeError: It is made of bytes.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"{name} takes text, not {redact_repr(text)}")
    try:
        is_path = bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        is_path = False
    if not is_path:
        raise ConfigError(f"{name}={text!r} is no path")
    return text


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
    if isinstance(file, type):
        raise TypeError(f"save_path takes an open file, not the class {file.__name__}")
    if isinstance(file, io.TextIOBase) or hasattr(file, "encoding"):  # wrappers have that too
        raise TypeError(f"save_path is a text file ({redact_repr(file)}); open it with mode 'wb'")
    if inspect.iscoroutinefunction(file.write):
        raise TypeError(
            f"save_path is a file whose write() is awaited ({redact_repr(file)}); pass its path, "
            "or a plain file: files on disk are written without stalling the loop"
        )
    if getattr(file, "closed", False) is True:
        raise ConfigError(f"save_path is a closed file: {redact_repr(file)}")
    writable = getattr(file, "writable", None)
    if writable is not None and not writable():
        raise ConfigError(f"save_path is a file that is not open for writing: {file!r}")
    return file
