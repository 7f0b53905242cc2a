"""Where the engines differ: the one table, which docs/engines.md repeats and test_differences proves.

Everything else in this folder runs over both engines and expects the same.
"""

from typing import NamedTuple


class Difference(NamedTuple):
    """One line of the table."""

    what: str
    httpx: str
    direct: str


DIFFERENCES = (
    Difference("HTTP/2 (`http2=True`)", "spoken", "refused when the client is made"),
    Difference("a proxy, given or from the environment", "used", "refused"),
    Difference("`transport=` and `mounts=`", "used", "refused when the client is made"),
    Difference("trio", "runs", "refused"),
    Difference("`extensions={'trace': …}`", "called", "ignored"),
    Difference(
        "the wording of an error about malformed HTTP",
        "h11's",
        "nbhttp's own; the type is the same",
    ),
    Difference(
        "a piece of a streamed request body that is no bytes",
        "TypeError",
        "TypeError, worded otherwise",
    ),
)
