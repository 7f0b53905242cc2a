"""Import an optional package, or say how to install it."""

from importlib import import_module
from types import ModuleType

__all__ = ["require"]


def require(module: str, *, extra: str, feature: str) -> ModuleType:
    """Return an optional module, imported.

    Args:
        module: The module to import, such as `"pandas"`.
        extra: The extra of nbhttp that brings it, such as `"pandas"`.
        feature: What the user asked for, such as `"to_pandas()"`; stands in the message.

    Returns:
        The module.

    Raises:
        MissingExtraError: When the module is not installed. A module that is installed but fails
            to import something of its own raises its own error, which says more.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise _missing(module, extra, feature) from exc


def _missing(module: str, extra: str, feature: str) -> Exception:
    from nbhttp.errors import MissingExtraError

    return MissingExtraError(
        f"{module} is needed for {feature}; install it with: pip install 'nbhttp[{extra}]'"
    )
