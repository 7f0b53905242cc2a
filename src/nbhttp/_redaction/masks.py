"""What stands for a secret."""

import re

__all__ = ["IS_MASK", "IS_MASKED", "MASK", "MASKS_APART", "MASK_SOURCE"]

MASK = "‹redacted›"
"""What stands for a secret of no known kind."""

MASK_SOURCE = r"‹redacted(?: [\w .-]{1,16})?›"
IS_MASK = re.compile(MASK_SOURCE)
IS_MASKED = re.compile(rf"{MASK_SOURCE}[)\]}}.,;:!?]*+")  # the end of a clause is no secret
MASKS_APART = re.compile(f"({MASK_SOURCE})")
