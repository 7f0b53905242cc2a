"""What the searches ask of the rules in force."""

from collections.abc import Callable
from typing import Protocol

from nbhttp._redaction.names import Kind

__all__ = ["Rules"]


class Rules(Protocol):
    """Names that mark secrets: the built-in ones and those that were added."""

    @property
    def stems(self) -> tuple[str, ...]:
        """What every secret name holds one of."""
        ...

    @property
    def kind(self) -> Callable[[str], Kind]:
        """Where a name marks its value as secret."""
        ...
