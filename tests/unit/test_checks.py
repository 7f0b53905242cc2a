"""Values of options: what is taken, and what a wrong one is told."""

import math
from typing import Any

import pytest

from nbhttp import ConfigError
from nbhttp._checks import check_count, check_seconds, check_switch


class FourBytes:
    """A whole number as numpy has them."""

    def __index__(self) -> int:
        return 4


def test_right_values_pass():
    """They come back as Python's own types."""
    assert type(check_count("n", FourBytes())) is int
    assert (check_count("n", 1), check_count("n", 0, least=0)) == (1, 0)
    assert (check_seconds("s", 0), check_seconds("s", math.inf)) == (0.0, math.inf)
    assert check_switch("b", False) is False


@pytest.mark.parametrize(
    ("check", "value", "error", "message"),
    [
        (check_count, 0, ConfigError, "x must be at least 1, not 0"),
        (check_count, True, TypeError, "x takes a whole number, not True"),
        (check_count, 2.0, TypeError, "x takes a whole number, not 2.0"),
        (check_count, "3", TypeError, "x takes a whole number, not '3'"),
        (check_seconds, -1, ConfigError, "x must be 0 seconds or more, not -1"),
        (check_seconds, math.nan, ConfigError, "x must be 0 seconds or more, not nan"),
        (check_seconds, True, TypeError, "x takes seconds, not True"),
        (check_switch, 1, TypeError, "x takes True or False, not 1"),
        (check_switch, "false", TypeError, "x takes True or False, not 'false'"),
    ],
)
def test_wrong_values_are_refused(check: Any, value: object, error: type, message: str):
    """The message has the option's name and the value."""
    with pytest.raises(error) as caught:
        check("x", value)
    assert str(caught.value) == message


def test_0_seconds_may_be_too_few():
    """For a limit to what runs."""
    assert check_seconds("s", 0.1, may_be_0=False) == 0.1
    with pytest.raises(ConfigError, match="s must be more than 0 seconds, not 0"):
        check_seconds("s", 0, may_be_0=False)
