"""How much of an answer is shown, and in which colours."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from nbhttp.errors import ConfigError

__all__ = ["Display", "Options", "Settings", "Theme", "options"]

Theme = Literal["auto", "light", "dark"]

_RANGES = {"depth": (1, 100), "rows": (1, 1000), "characters": (20, 1_000_000)}


@dataclass(frozen=True, slots=True)
class Settings:
    """What `nbhttp.options.display` holds; an output never grows beyond its size limit by it.

    Attributes:
        depth: Levels of a JSON tree.
        rows: Rows of a table, and items of a list in a tree.
        characters: Characters of a text body; one string in a tree or a cell gets a tenth.
        theme: "auto" takes the notebook's colours; "light" and "dark" bring their own.
    """

    depth: int = 5
    rows: int = 10
    characters: int = 2000
    theme: Theme = "auto"

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(
                    f"display {name} must be a whole number from {least} to {most:,}, not {value!r}"
                )
        if self.theme not in get_args(Theme):
            raise ConfigError(
                f"display theme must be 'auto', 'light' or 'dark', not {self.theme!r}"
            )

    def changed(self, changes: dict[str, Any]) -> "Settings":
        """Return these settings with some replaced.

        Raises:
            ConfigError: There is no such setting, or its value is out of range.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            if name not in known:
                raise ConfigError(f"display has no setting {name!r}; it has {', '.join(known)}")
        return replace(self, **changes)


# A block's settings belong to its task or thread; an assignment is for the whole process.
_of_block: ContextVar[Settings | None] = ContextVar("nbhttp_display", default=None)


class Display:
    """The settings in force; assign to change them for good, call to change them for a block.

    Examples:
        >>> from nbhttp._render import options
        >>> with options.display(depth=2):
        ...     options.display.depth
        2
    """

    __slots__ = ("_settings",)
    _settings: Settings

    def __init__(self) -> None:
        object.__setattr__(self, "_settings", Settings())

    @property
    def settings(self) -> Settings:
        """All settings in force here and now."""
        return _of_block.get() or self._settings

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.settings, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # In a block the assignment ends with the block, as everything set there does.
        block = _of_block.get()
        if block is not None:
            _of_block.set(block.changed({name: value}))
        else:
            object.__setattr__(self, "_settings", self._settings.changed({name: value}))

    @contextmanager
    def _changed(self, settings: Settings) -> Iterator["Display"]:
        token = _of_block.set(settings)
        try:
            yield self
        finally:
            _of_block.reset(token)

    def __call__(self, **changes: Any) -> Any:
        """Return a context manager that sets `changes` for a block.

        Raises:
            ConfigError: There is no such setting, or its value is out of range.
        """
        return self._changed(self.settings.changed(changes))

    def __dir__(self) -> list[str]:
        return [field.name for field in fields(Settings)]

    def __repr__(self) -> str:
        return repr(self.settings).replace("Settings(", "nbhttp.options.display(")


class Options:
    """What can be set for the whole of nbhttp."""

    __slots__ = ("display",)

    def __init__(self) -> None:
        self.display = Display()

    def __repr__(self) -> str:
        return f"<nbhttp.options: {self.display!r}>"


options = Options()
