"""Configuration is checked when a client is made, and frozen."""

import dataclasses

import pytest

from nbhttp.config import ClientConfig, Limits, PhaseLimits, resolve_timeout
from nbhttp.errors import ConfigError


def test_a_configuration_is_frozen() -> None:
    """What a client was made with stays."""
    config = ClientConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.timeout = 1.0  # type: ignore[misc]
    assert config.limits == Limits(total=30.0)
    assert (config.max_connections, config.max_body) == (100, 256 * 1024 * 1024)


def test_timeouts_resolve() -> None:
    """Seconds, a tuple of httpx's four, or none."""
    assert resolve_timeout(1) == Limits(total=1.0)
    assert resolve_timeout((1, 2, None, 4)) == Limits(phases=PhaseLimits(1.0, 2.0), queue=4.0)
    assert resolve_timeout(None) == Limits()
    assert resolve_timeout(float("inf")) == Limits()


@pytest.mark.parametrize("value", [0, -1, -0.0, float("nan"), float("-inf"), (1, 2, 3, 0)])
def test_a_limit_is_above_zero(value: object) -> None:
    """The message shows the value, and says how to wait forever."""
    with pytest.raises(ConfigError, match="None waits forever"):
        resolve_timeout(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1", True, (1, 2), (1, 2, 3, "4"), [1, 2, 3, 4], object(), {}])
def test_a_limit_is_a_number(value: object) -> None:
    """Anything else is a type error."""
    with pytest.raises(TypeError, match="timeout"):
        resolve_timeout(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "hooks", [5, [print], {"request": print}, {"request": 5}, {"request": [5]}]
)
def test_hooks_of_another_kind_are_refused(hooks: object) -> None:
    """A TypeError that says what they are, when the client is made."""
    with pytest.raises(TypeError, match="event_hooks"):
        ClientConfig(event_hooks=hooks)  # type: ignore[arg-type] # what is tested
