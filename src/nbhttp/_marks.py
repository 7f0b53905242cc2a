"""Text from strangers, made safe to look at: what cannot be seen becomes a visible mark.

A server chooses header values, keys and cells; a terminal obeys escape sequences, and a bidi
override turns a line around. After `visible` no character is left that does more than show.
"""

import re

__all__ = ["clip", "one_line", "visible"]

# C0 and C1 controls, zero-width and bidi controls, line separators, interlinear annotations,
# invisible operators, tags, lone surrogates and non-characters. U+200C and U+200D stay: scripts
# and emoji need them, and they move nothing.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
# By name, since few fonts have the control pictures of U+2400.
_CONTROLS = """NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI
DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US""".split()
_MANY_ACCENTS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4,}"
)


def visible(text: str, *, keep: str = "") -> str:
    r"""Return `text` with every unseen character as a mark, `⟨ESC⟩` or `⟨U+202E⟩`.

    Args:
        text: Anything, lone surrogates included.
        keep: Characters that stay: "\n\t" where the layout is text's own.

    Examples:
        >>> visible("\x1b[31mred\u202e")
        '⟨ESC⟩[31mred⟨U+202E⟩'
    """
    if text.isascii() and text.isprintable():
        return text
    text = _MANY_ACCENTS.sub(_few_accents, text)
    return _UNSEEN.sub(lambda match: match[0] if match[0] in keep else _mark(match[0]), text)


def _mark(char: str) -> str:
    code = ord(char)
    if code < 0x20:
        return f"⟨{_CONTROLS[code]}⟩"
    return "⟨DEL⟩" if code == 0x7F else f"⟨U+{code:04X}⟩"


def _few_accents(match: re.Match[str]) -> str:
    """Keep three of a pile of combining marks, which would climb over the lines around."""
    pile = match[0]
    return f"{pile[:3]}⟨{len(pile) - 3} more accents⟩"


def one_line(text: str, most: int) -> str:
    """Return `text` on one line of at most `most` characters, made visible; "…" where it was cut."""
    return clip(visible(text[: most + 1]), most)


def clip(text: str, most: int) -> str:
    """Return at most `most` characters of `text`, ending in "…" when it was cut."""
    if len(text) <= most:
        return text
    return text[: max(0, most - 1)].rstrip() + "…"
