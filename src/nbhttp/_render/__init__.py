"""How results look in notebooks and terminals.

A view reads an answer once (`views`) and gives `blocks`; `html` and `text` write the same blocks
in their way; `bundle` makes them fit. Everything is redacted and shortened in the views, made
visible and escaped where it is written.
"""

from nbhttp._render.options import options

__all__ = ["options"]
