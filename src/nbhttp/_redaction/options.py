"""Secrets on command lines."""

import re

from nbhttp._redaction.masks import MASK_SOURCE
from nbhttp._redaction.names import Kind, words
from nbhttp._redaction.rules import Rules
from nbhttp._redaction.shapes import mask_of

__all__ = ["hide_options"]

_WORD_OR_QUOTED = (
    r"(?:\"((?:[^\"\\\n]|\\[^\n])*+)|'([^'\n]*+)|\\{1,7}[\"']([^\"'\\\n]*+)"
    rf"|((?:{MASK_SOURCE}|[^\s\"'<>|;&()`\\]|\\(?![\"'nrt]))++))"
)
_OPTION = re.compile(rf"--(?<![\w-]--)([A-Za-z][\w-]{{1,40}})[ \t]{{1,4}}(?!-){_WORD_OR_QUOTED}")
_CURL_USER = re.compile(rf"(?<=\s)(?:-[uU]|--user|--proxy-user)[ \t=]{{1,4}}{_WORD_OR_QUOTED}")
# What follows an option's name where that is only spoken of.
_SPOKEN = frozenset(
    words(
        """
        a an and are as at be by can flag for from has if in instead into is it may must not of on
        option options or parameter argument set should so that the then this to use was when which
        will with you your value here needs requires takes
        """
    )
)
_NO_VALUE = ("no-", "ask-", "skip-", "without-", "show-", "prompt-")  # such as --no-password


def hide_options(text: str, rules: Rules) -> str:
    """Mask the values of options: `--password v`, `--token 'v'`; and `user:v` of curl's `-u`."""

    def masked(match: re.Match[str]) -> str:
        name, value = match[1], match[match.lastindex or 0]
        if rules.kind(name) is not Kind.ANYWHERE or name.lower().startswith(_NO_VALUE):
            return match[0]
        return match[0] if _is_spoken(match, value, rules) else _masked_value(match, value)

    def user_masked(match: re.Match[str]) -> str:
        value = match[match.lastindex or 0]
        is_id = value.replace(":", "").isdigit()  # docker's user and group
        is_other = is_id or "://" in value or value[:1] in "$%"
        return _masked_value(match, value) if ":" in value and not is_other else match[0]

    if "--" in text:
        text = _OPTION.sub(masked, text)
    return _CURL_USER.sub(user_masked, text) if "curl" in text else text


def _is_bare(match: re.Match[str]) -> bool:
    return match.lastindex == match.re.groups


def _is_spoken(match: re.Match[str], value: str, rules: Rules) -> bool:
    """Whether it is a word of a sentence, `PASSWORD` in a usage line, a variable of a shell."""
    word = value.rstrip(".,:!?]}")
    is_metavar = word.isupper() and rules.kind(word) is Kind.ANYWHERE
    return word[:1] in "$%[" or (_is_bare(match) and (is_metavar or word.lower() in _SPOKEN))


def _masked_value(match: re.Match[str], value: str) -> str:
    if _is_bare(match):  # the end of a clause is no part of it
        value = value.rstrip("),.]}")
    start = match.start(match.lastindex or 0) - match.start()
    return match[0][:start] + mask_of(value) + match[0][start + len(value) :]
