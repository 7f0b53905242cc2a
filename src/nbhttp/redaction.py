"""The redactor that stands before every text that leaves the library.

What it hides, in this order:

1. *registered values*, however they are spelled: raw, percent-encoded, JSON- or HTML-escaped,
   base64 (also of ``user:value``);
2. *well-known shapes*: GitHub, AWS, Slack, Google, Stripe … tokens, JWTs, PEM private keys; and
   what the user's own patterns match;
3. *userinfo* in URLs;
4. *by name*: header fields, query and form parameters, JSON keys, ``name=value`` in prose, pairs
   of a name and a value, a form's inputs, options of command lines, YAML.

A mask says nothing about the secret but its kind: ``‹redacted›``, or ``‹redacted ghp_›`` where
the kind is public. The same value always gives the same mask, and a mask is never masked again.

The module is the bottom layer: standard library only. Its state (registered values, added names
and patterns) is one snapshot, replaced under a lock, so readers need none. Each rule
is guarded by a test that costs nanoseconds, and no expression can backtrack more than linearly.
"""

import base64
import html
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cache, lru_cache, partial
from itertools import chain
from typing import Any
from urllib.parse import unquote

__all__ = [
    "MASK",
    "add_name",
    "add_pattern",
    "is_credential_name",
    "mask_of",
    "name_for",
    "redact_body",
    "redact_headers",
    "redact_json",
    "redact_repr",
    "redact_text",
    "redact_url",
    "register",
    "remove_name",
    "remove_pattern",
    "unregister",
]

MASK = "‹redacted›"
"""What stands for a secret of no known kind."""

_MASK_SOURCE = r"‹redacted(?: [\w .-]{1,16})?›"
_IS_MASK = re.compile(_MASK_SOURCE)
_IS_MASKED = re.compile(rf"{_MASK_SOURCE}[)\]}}.,;:!?]*+")  # the end of a clause is no secret
_MASKS_APART = re.compile(f"({_MASK_SOURCE})")


# --- names ---------------------------------------------------------------------------------


class _Kind(IntEnum):
    """Where a name marks its value as secret; each kind includes the ones before it."""

    NONE = 0
    PARAMETER = 1
    """A URL or form parameter or a header field: `key`, `code`; in JSON these are everyday words."""
    DATA = 2
    """Also a JSON key or `name=value`, but not `name: value` in prose: `session`, `auth`."""
    ANYWHERE = 3


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Names are compared as their letters and digits, lower-case: "X-Api-Key" is "xapikey".
_PARAMETER_NAMES = _words(
    """
    key code sig signature sign hmac otp totp mfa_code sas appid jwt assertion
    client_assertion samlresponse samlrequest ticket
    """
)
_DATA_NAMES = _words(
    """
    auth session aiohttpsession usersession symfony connectsid xforwardedfor csrf xcsrf xsrf
    """
)
_SECRET_NAMES = _words(
    """
    pwd mysqlpwd pass userpass passphrase xhubsignature xhubsignature256 stripesignature
    xamzsignature xgoogsignature xamzcfsignature awsaccesskeyid wwwauthenticate
    proxyauthenticate authenticationinfo proxyauthenticationinfo phpsessid jsessionid
    sessionid sessid cookies setcookie2 passwords secrets passwordhash secwebsocketkey
    """
)
_SECRET_ENDINGS = _words(
    """
    token secret password passwd passphrase authorization credential credentials cookie
    apikey secretkey privatekey accesskey accountkey authkey appkey applicationkey
    subscriptionkey functionskey consumerkey signingkey encryptionkey sharedkey masterkey
    servicekey licensekey rapidapikey fastlykey storagekey sessionkey clientkey tokensecret
    """
)
# A place in a list, not a credential: what debugging a pagination needs to see.
_PLACE_ENDINGS = ("pagetoken", "nexttoken", "continuationtoken", "synctoken", "cursortoken")
_AUTH_FIELDS = frozenset(
    ["authorization", "proxyauthorization", "wwwauthenticate", "proxyauthenticate"]
)
_COOKIE_FIELDS = frozenset(["cookie", "setcookie"])

_BUILT_IN = (
    {name.replace("_", ""): _Kind.PARAMETER for name in _PARAMETER_NAMES}
    | dict.fromkeys(_DATA_NAMES, _Kind.DATA)
    | dict.fromkeys(_SECRET_NAMES, _Kind.ANYWHERE)
)
_NOT_LETTER_OR_DIGIT = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def _normalise(name: str) -> str:
    if "%" in name:
        name = unquote(name)
    return _NOT_LETTER_OR_DIGIT.sub("", name).lower()


def _classify(name: str, added: frozenset[str]) -> _Kind:
    plain = _normalise(name)
    if plain in added:
        return _Kind.ANYWHERE
    if plain in _BUILT_IN:
        return _BUILT_IN[plain]
    if plain.endswith(_SECRET_ENDINGS) and not plain.endswith(_PLACE_ENDINGS):
        return _Kind.ANYWHERE
    if plain.endswith("signature"):
        return _Kind.PARAMETER
    return _Kind.NONE


# --- shapes of well-known tokens -----------------------------------------------------------

# (prefix, body): the prefix is public and becomes the mask's label. Every token has at least 12
# characters of [A-Za-z0-9_.-] after a boundary, and 12 of [A-Za-z0-9_-] at its beginning or
# after a dot: that run is what the search looks for first.
_W = "[A-Za-z0-9]"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TOKENS = (
    (r"gh[pousr]_", rf"{_W}{{30,}}"),
    (r"github_pat_", r"\w{22,}"),
    (r"gl(?:pat|dt|ft|soat|rt|rtr|ffct|ptt|agent|oas|imt|cbt)-", r"[\w-]{18,}(?:\.\w{2,12}){0,2}"),
    (r"GR1348941", r"[\w-]{20,}"),
    (r"glsa_", rf"{_W}{{32,}}"),
    (r"glc_", r"[A-Za-z0-9+/]{32,}"),
    (r"xox[a-z]-", rf"(?:{_W}{{1,}}-){{0,5}}{_W}{{8,}}"),
    (r"xapp-", r"\d-[A-Z0-9]{8,}"),
    (r"A(?:KIA|SIA|BIA|CCA)", r"[A-Z0-9]{16}"),
    (r"AIza", r"[\w-]{35}"),
    (r"GOCSPX-", r"[\w-]{28}"),
    (r"ya29\.", r"[\w-]{20,}"),
    (r"sk-(?:proj|svcacct|admin|ant|or|lf)-", r"[\w-]{20,}"),
    (r"sk-", rf"{_W}{{20,}}"),
    (r"sk_(?:live|test|prod)_", rf"{_W}{{10,}}"),
    (r"rk_(?:live|test|prod)_", rf"{_W}{{10,}}"),
    (r"whsec_", rf"{_W}{{24,}}"),
    (r"hf_", rf"{_W}{{30,}}"),
    (r"api_org_", rf"{_W}{{30,}}"),
    (r"npm_", rf"{_W}{{10,}}"),
    (r"pypi-", r"AgE[\w-]{40,}"),
    (r"SG\.", r"[\w-]{12}[\w=-]{4,}\.?[\w=.-]{16,}"),
    (r"sntry[su]_", r"[\w+/=]{40,}"),
    (r"shp(?:at|ca|pa|ss)_", r"[a-fA-F0-9]{32}"),
    (r"do[opr]_v1_", r"[a-f0-9]{64}"),
    (r"dp\.(?:pt|st|ct|sa|scim|audit)\.", rf"{_W}{{30,}}"),
    (r"hvs\.|hvb\.", r"[\w-]{20,}"),
    (r"s\.", r"(?=[a-z]*\d)[a-z0-9]{24}(?![\w.-])"),
    (r"pul-", r"[a-f0-9]{40}"),
    (r"pscale_(?:pw|oauth|tkn)_", r"[\w=.-]{28,}"),
    (r"pplx-", rf"{_W}{{40,}}"),
    (r"ntn_|secret_", r"[A-Za-z0-9]{43}"),
    (r"lin_api_", rf"{_W}{{40}}"),
    (r"rdme_", r"[a-z0-9]{60,}"),
    (r"rubygems_", r"[a-f0-9]{48}"),
    (r"xkeysib-", r"[a-f0-9]{64}-\w{16}"),
    (r"sgp_", r"(?:(?:[a-fA-F0-9]{16}|local)_)?[a-fA-F0-9]{40}"),
    (r"sm_(?:sat|pat|aat)_", rf"{_W}{{16}}"),
    (r"duffel_(?:live|test)_", r"[\w=-]{40,}"),
    (r"EZ[AT]K", r"[A-Za-z0-9]{54}"),
    (r"FLWSECK(?:_TEST)?-", r"[a-zA-Z0-9]{12,}"),
    (r"fio-u-", r"[\w=-]{60,}"),
    (r"ico-", rf"{_W}{{32}}"),
    (r"API-", r"[A-Z0-9]{26}"),
    (r"LTAI", rf"{_W}{{20}}"),
    (r"AKCp", rf"{_W}{{60,}}"),
    (r"cmVm", r"d[A-Za-z0-9]{59}"),
    (r"SK", r"[a-fA-F0-9]{32}"),
    (r"4b1d", rf"{_W}{{38}}(?![\w-])"),
    (r"PMAK-", r"[a-f0-9]{24}-[a-f0-9]{34}"),
    (r"NRAK-", r"[A-Z0-9]{27}"),
    (r"gsk_|xai-|r8_|tvly-|nvapi-", r"[\w-]{20,}"),
    (r"A3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    (r"ops_", r"eyJ[\w+/-]{60,}"),
    (r"AGE-SECRET-KEY-", r"1[A-Z0-9]{58}"),
    (r"pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    (r"pat\.|sat\.", r"[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    (r"pat-(?:na1|eu1)-", _UUID),
    (r"access-(?:sandbox|development|production)-", _UUID),
    (r"amzn\.mws\.", _UUID),
    (r"dapi", r"[a-f0-9]{32}(?:-\d)?"),
    (r"HRKU-AA", r"[\w-]{40,}"),
    (r"s-s4t2(?:ud|af)-", r"[a-f0-9]{64}"),
    (r"p8e-", r"[a-z0-9]{32}"),
    (r"pnu_", rf"{_W}{{36}}"),
    (r"sq0(?:atp|csp)-", r"[\w-]{22,60}"),
    (r"sq[upa]_", r"[a-f0-9]{40}"),
    (r"FLWPUBK(?:_TEST)?-", r"[a-zA-Z0-9]{12,}"),
    (r"bedrock-api-key-", r"[\w+/=-]{20,}"),
    (r"ABSK", r"[A-Za-z0-9+/]{100,}"),
    (r"A3T", r"[A-Z0-9]{17}(?![\w-])"),
    (r"ATATT3|ATCTT3", r"[\w=-]{60,}"),
    (r"ATBB", rf"{_W}{{32}}"),
    (r"ATTA", r"[a-f0-9]{64}"),
    (r"sl\.", r"[\w=-]{130,}"),
    (r"tfp_", rf"{_W}{{40,}}"),
    (r"t1\.", r"[\w-]{12,}={0,2}\.[\w-]{80,}"),
    (r"AQVN", r"[\w-]{35,38}"),
    (r"YC", r"[\w-]{38}(?![\w-])"),
    (r"pk\.", r"[A-Za-z0-9]{60,}\.[\w-]{22}"),
    (r"NRJS-", r"[a-f0-9]{19}"),
    (r"NRII-", r"[\w-]{32}"),
    (r"CLOJARS_", rf"{_W}{{60}}"),
    (r"v1\.0-", r"[a-f0-9]{24}-[a-f0-9]{100,}"),
    (r"dt0c01\.", rf"{_W}{{24}}\.{_W}{{64}}"),
    (r"dnkey-", r"[\w=-]{26}-[\w=-]{52}"),
    (r"fo1_", r"[\w-]{43}"),
    (r"fm1r_|fm1a_|fm2_", r"[A-Za-z0-9+/]{100,}"),
    (r"ZXlK", r"[A-Za-z0-9+/]{80,}"),
    (r"oy2", r"[a-z0-9]{43}(?![\w-])"),
    (r"tk-us-", r"[\w-]{48}"),
    (r"shippo_(?:live|test)_", r"[a-f0-9]{40}"),
    (r"live_|test_", r"[a-f0-9]{35}(?![\w-])"),
    (r"key-|pubkey-", r"[a-f0-9]{32}(?![\w-])"),
    (r"figd_", r"[\w-]{40}"),
    (r"dckr_pat_", r"[\w-]{27}"),
    (r"lsv2_(?:pt|sk)_", r"[a-f0-9]{32}_[a-f0-9]{10}"),
    (r"sbp_", r"[a-f0-9]{40}"),
    (r"tskey-(?:auth|api|client|scim|webhook)-", rf"{_W}{{8,}}-{_W}{{20,}}"),
    (r"ph[xc]_", rf"{_W}{{40,}}"),
    (r"EAA", r"[A-Za-z0-9]{60,}"),
    (
        r"sc_|ext_|scauth_|authress_",
        r"[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][\w-]{8}[\w=+/.-]{32,}",
    ),
)
# Tokens that are recognised by their form, not by a public prefix: (label, beginning, rest).
_FORMS = (
    ("JWT", r"ey[A-Za-z0-9_]{15}", r"[A-Za-z0-9_]*+\.ey[\w/-]{10,}+(?:\.[\w/-]*+)*+"),
    ("eyJrIjoi", r"eyJrIjoi", r"[A-Za-z0-9]{70,}"),
    ("", r"[MNO][\w-]{22}", r"[\w-]{0,3}\.[\w-]{6}\.[\w-]{27,38}"),
    ("", r"[a-f0-9]{32}-us", r"\d{1,2}(?![\w-])"),
    ("", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", r"(?![\w-])"),
)
# Before a token stands no letter or digit, or an escape that ends in one. The class comes first
# in an expression: the search skips all else in C.
_BOUNDARY = r"[\x00-/:-@\[-^`{-\x7f\u2018-\u203a]"
_ESCAPE = r"[%\\](?:(?<=%)[0-9A-Fa-f]{2}|(?<=\\)[nrt])"
_LONG_ENOUGH = r"(?=[0-9A-Za-z_.-]{12})"


def _by_first_letter(*, whole: bool) -> dict[str, str]:
    """Expressions for what follows the first letter of a token, or of its beginning alone."""
    groups: dict[str, list[str]] = {}
    for prefix, body in _TOKENS:
        for start in [prefix] if "(" in prefix else prefix.split("|"):
            groups.setdefault(start[0], []).append(start[1:] + body * whole)
    return {first: f"(?:{'|'.join(rest)})" for first, rest in groups.items()}


def _known(*, whole: bool) -> str:
    # By first letter: each group costs one comparison when it does not apply.
    tokens = [first + rest for first, rest in _by_first_letter(whole=whole).items()]
    return "|".join(tokens + [start + rest * whole for _, start, rest in _FORMS])


@cache  # compiled when first needed, as many processes never do
def _token_regex(boundary: str) -> re.Pattern[str]:
    # The tail takes the rest of the word, so that a match never makes a new boundary.
    tail = r"[\w-]*+(?:=++(?![\w-]))?"
    return re.compile(rf"{boundary}{_LONG_ENOUGH}(?:{_known(whole=True)}){tail}", re.ASCII)


def _sign_regex() -> re.Pattern[str]:
    """The boundary where a token may begin, by its first characters."""
    # Two forms have no first letter, but a long word: so no date and no UUID is looked at twice.
    letters = "".join(_by_first_letter(whole=False)) + "eMNO0"
    known = rf"{_known(whole=False)}|(?<=:){_TELEGRAM_BODY}|(?<=//){_GOOGLE_BODY}"
    return re.compile(rf"{_BOUNDARY}(?=[{letters}]|\w{{32}}){_LONG_ENOUGH}(?:{known})", re.ASCII)


_TELEGRAM_BODY = r"A[\w-]{33}"
_GOOGLE_BODY = r"0[\w-]{30}"
_SIGN = _sign_regex()


@cache
def _labels() -> re.Pattern[str]:
    """What a found token is called: its public prefix is a group."""
    return re.compile("|".join(f"({prefix}){body}" for prefix, body in _TOKENS), re.ASCII)


@cache
def _form_labels() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((label, re.compile(start + rest, re.ASCII)) for label, start, rest in _FORMS)


_PEM_MASK = "‹redacted PRIVATE KEY›"
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----"
    r"[^-]*+(?:-(?!----)[^-]*+)*+(?:-----END [A-Z0-9 ]{0,60}-----)?"
)
_SLACK_HOOK = re.compile(
    r"(hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/)[\w+/-]{20,}"
)
_DISCORD_HOOK = re.compile(r"(/api/(?:v\d{1,2}/)?webhooks/\d{10,20}/)[\w-]{40,}")
_TEAMS_HOOK = re.compile(r"(/webhookb2/)[\w@/-]{60,}")
_TERRAFORM = re.compile(r"(?<!\w)\w{14}\.atlasv1\.[\w=-]{40,}", re.ASCII)
_OPENSHIFT = re.compile(r"(?<!\w)(sha256~)[\w-]{43}", re.ASCII)
_FACEBOOK = re.compile(r"(?<!\w)\d{15,16}(?:\||%7C)[\w-]{27,40}(?![\w-])", re.ASCII)
_TELEGRAM = re.compile(rf"(?<!\d)\d{{5,16}}:{_TELEGRAM_BODY}[\w-]*+", re.ASCII)
_AZURE = re.compile(r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,}")
_GOOGLE_REFRESH = re.compile(rf"(?<!\w)1//{_GOOGLE_BODY}[\w-]*+", re.ASCII)
# Words have no digit in them; but what stands before a mask is a part of the same secret.
_CREDENTIALS = r" {1,2})(?=[^\s\d‹]{0,200}[\d‹])[\w.~+/=-]{8,}"
_BEARER = re.compile(r"([Bb]earer" + _CREDENTIALS)
_BASIC = re.compile(r"([Bb]asic" + _CREDENTIALS)
# (a substring without which the expression cannot match, the expression, the mask)
_GUARDED: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("hooks.slack", _SLACK_HOOK, rf"\1{MASK}"),
    ("/webhooks/", _DISCORD_HOOK, rf"\1{MASK}"),
    ("/webhookb2/", _TEAMS_HOOK, rf"\1{MASK}"),
    (".atlasv1.", _TERRAFORM, MASK),
    ("sha256~", _OPENSHIFT, rf"\1{MASK}"),
    ("|", _FACEBOOK, MASK),
    ("%7C", _FACEBOOK, MASK),
    (":A", _TELEGRAM, MASK),
    ("Q~", _AZURE, MASK),
    ("1//0", _GOOGLE_REFRESH, MASK),
    ("earer ", _BEARER, rf"\1{MASK}"),
    ("asic ", _BASIC, rf"\1{MASK}"),
)
# What has a sign, too, or a rare character that costs nothing to seek.
_SIGNED = (_TELEGRAM, _AZURE, _GOOGLE_REFRESH)
_WITHOUT_SIGN = tuple(rule for rule in _GUARDED if rule[1] not in _SIGNED)
# Every token begins in a run of 12 and more of these, or before it where a dot comes first. To
# find long runs costs a tenth of what the expressions cost, and much text has few or none.
_RUN_BYTES = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_~-"
_RUN_CLASSES = bytes(b" w"[byte in _RUN_BYTES] for byte in range(256))
_LONG_RUN = re.compile(b" wwwwwwwwwwww" + b"w*")
_MOST_BEFORE_DOT = 50


def _long_runs(padded: str) -> list[tuple[int, int]]:
    """The spans of the long runs, each with the character before it.

    Text that hardly consists of anything else, such as base64, is one span.
    """
    classes = padded.encode("latin-1", "replace").translate(_RUN_CLASSES)
    if classes.count(b" ") * 16 < len(classes):
        return [(0, len(padded))]
    return [match.span() for match in _LONG_RUN.finditer(classes)]


def _masked_token(match: re.Match[str]) -> str:
    return match[0][0] + _token_mask(match[0][1:])


def _masked_escaped_token(match: re.Match[str]) -> str:
    size = 3 if match[0][0] == "%" else 2
    return match[0][:size] + _token_mask(match[0][size:])


def _token_mask(token: str) -> str:
    if named := _labels().match(token):
        return _labelled(named[named.lastindex or 0])
    labels = (label for label, form in _form_labels() if form.match(token))
    return _labelled(next(labels, ""))


def _labelled(label: str) -> str:
    return f"‹redacted {label}›" if label else MASK


def _hide_shapes(text: str) -> str:
    if len(text) < 16:
        return text
    if "PRIVATE KEY" in text:  # first: its dashes would lengthen a token that stands before it
        text = _PEM.sub(_PEM_MASK, text)
    rules = _WITHOUT_SIGN
    padded = "\n" + text  # a boundary before the first character
    if runs := _long_runs(padded):
        signs = _signs(padded, runs)
        if signs:
            text = _hide_tokens(padded, signs)[1:]
        if "%" in text or "\\" in text:
            text = _token_regex(_ESCAPE).sub(_masked_escaped_token, text)
        if signs or "~" in text:
            rules = _GUARDED
    for needed, pattern, mask in rules:
        if needed in text:
            text = pattern.sub(mask, text)
    return text


def _signs(padded: str, runs: list[tuple[int, int]]) -> list[int]:
    """Every position where a token may begin, with the boundary before it."""
    found: list[int] = []
    at = 0
    for start, end in runs:
        at = max(at, start - _MOST_BEFORE_DOT) if padded[start] == "." else start
        while sign := _SIGN.search(padded, at, end):
            found.append(sign.start())
            at = found[-1] + 1
    return found


def _hide_tokens(padded: str, signs: list[int]) -> str:
    done = 0
    out: list[str] = []
    for sign in signs:
        if sign >= done and (token := _token_regex(_BOUNDARY).match(padded, sign)):
            out += (padded[done:sign], _masked_token(token))
            done = token.end()
    return "".join(out) + padded[done:]


def mask_of(value: str) -> str:
    """The mask that stands for `value`.

    Args:
        value: A whole secret; an empty one and a mask stay what they are.
    """
    if not value or _IS_MASKED.fullmatch(value):
        return value
    token = _token_regex(_BOUNDARY).match("\n" + value)
    if token and token.end() == len(value) + 1:
        return _token_mask(value)
    if "PRIVATE KEY" in value and _PEM.fullmatch(value):
        return _PEM_MASK
    return MASK


# --- registered values ---------------------------------------------------------------------

_SHORTEST = 4
_SHORTEST_ANYWHERE = 8
_SHORTEST_BASE64 = 6
_RUN = re.compile(r"[A-Za-z0-9]+")
_FEW = 8
_PIECE_CHARS = 5
_LONG_ANCHOR = 12
_STRIDE = _LONG_ANCHOR - _PIECE_CHARS + 1
_JSON_SHORT = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def _spellings(char: str) -> str:
    """An expression for one character as any encoder may have written it."""
    if char.isascii() and char.isalnum():
        return char
    escaped = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    ways = [re.escape(char), "(?i:" + escaped.replace("%", "%(?:25){0,3}") + ")"]
    units = char.encode("utf-16-be", "surrogatepass").hex()
    ways.append(
        "(?i:" + "".join(rf"\\{{1,7}}u{units[i : i + 4]}" for i in range(0, len(units), 4)) + ")"
    )
    ways.append(f"(?i:&#(?:x0{{0,4}}{ord(char):x}|0{{0,4}}{ord(char)});)")
    named = html.escape(char)
    if named != char:
        ways.append(named)
    if char in "\"'/\\":
        ways.append(rf"\\{{1,7}}{re.escape(char)}")
    if char == '"':
        ways.append('""')  # CSV
    if char in _JSON_SHORT:
        ways.append(rf"\\{{1,7}}{_JSON_SHORT[char]}")
    if char == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _base64_cores(value: str) -> set[str]:
    """Base64 of `value` wherever in a longer text it begins, without what its neighbours shape."""
    raw = value.encode("utf-8", "surrogatepass")
    cores = set()
    for shift, unsure in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        sure_end = len(encoded) - (1 if (shift + len(raw)) % 3 else 0)
        cores.add(encoded[unsure:sure_end])
    return {core for core in cores if len(core) >= _SHORTEST_BASE64}


def _base64_regex(core: str) -> str:
    spelled = core.replace("+", r"(?:[+-]|%2[Bb])").replace("/", r"(?:[/_]|%2[Ff]|\\/)")
    return spelled + r"[\w+/-]*+(?:={1,2}|(?:%3[Dd]){1,2})?"


def _anchor(value: str) -> str:
    """A long run of letters and digits: they are the same in every encoding.

    The last one, as tokens differ in their ends: all JWTs of a service begin alike.
    """
    runs: list[str] = _RUN.findall(value)
    return max(reversed(runs), key=lambda run: min(len(run), _LONG_ANCHOR), default="")


class _Needle:
    """One registered value: how to find it, and its mask."""

    __slots__ = ("_cores", "_pattern", "anchors", "mask", "value")

    def __init__(self, value: str) -> None:
        self.value = value
        self._cores = sorted(_base64_cores(value))
        self.anchors = tuple(dict.fromkeys(map(_anchor, [value, *self._cores])))
        self.mask = mask_of(value)
        self._pattern: re.Pattern[str] | None = None

    def hide(self, text: str) -> str:
        for anchor in self.anchors:
            if anchor in text:
                return self.pattern.sub(self._masked, text)
        return text

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compiled when it is first needed: most values appear nowhere."""
        if self._pattern is None:
            direct = "".join(map(_spellings, self.value))
            if len(self.value) < _SHORTEST_ANYWHERE:  # "admin" is not hidden in "administrator"
                direct = rf"(?<![A-Za-z0-9_]){direct}(?![A-Za-z0-9_])"
            sources = [_MASK_SOURCE, direct, *map(_base64_regex, self._cores)]
            self._pattern = re.compile("|".join(sources), re.ASCII)
        return self._pattern

    def _masked(self, match: re.Match[str]) -> str:
        found = match[0]
        return found if _IS_MASK.fullmatch(found) else self.mask


class _Needles:
    """The registered values: which of them may be in a text.

    A few are sought one after another. Many are looked up: wherever an anchor's last 12
    characters stand in a text, one of the text's pieces of 5 that begin at each 8th position
    lies within them. So ten thousand values cost what ten do, but for those with a short anchor.

    Changed under the lock; read without it. After each single assignment every value is found
    that was registered before and stays: what is read together is assigned together.
    """

    def __init__(self) -> None:
        self._all: dict[str, _Needle] = {}
        self._few: tuple[tuple[str, ...], tuple[_Needle, ...]] | None = ((), ())
        """Their anchors, and they themselves; None when they are many."""
        self._by_piece: dict[str, tuple[_Needle, ...]] = {}
        self._with_short_anchor: tuple[_Needle, ...] = ()
        self.shortest = sys.maxsize
        """No shorter text holds any of them."""

    def __contains__(self, value: str) -> bool:
        return value in self._all

    def add(self, value: str) -> None:
        needle = _Needle(value)
        if _has_short_anchor(needle):
            self._with_short_anchor = (*self._with_short_anchor, needle)
        else:
            for piece in _pieces_of(needle):
                self._by_piece[piece] = (*self._by_piece.get(piece, ()), needle)
        self._all[value] = needle
        self._note_few()

    def remove(self, value: str) -> None:
        needle = self._all.pop(value)
        self._with_short_anchor = _without(self._with_short_anchor, needle)
        for piece in () if _has_short_anchor(needle) else _pieces_of(needle):
            if rest := _without(self._by_piece[piece], needle):
                self._by_piece[piece] = rest
            else:
                del self._by_piece[piece]
        self._note_few()

    def _note_few(self) -> None:
        if len(self._all) > _FEW:
            self.shortest = 0
            self._few = None
            return
        few = self._all.values()
        anchors = tuple({anchor for needle in few for anchor in needle.anchors})
        self._few = anchors, _longest_first(few)
        self.shortest = min(map(len, anchors), default=sys.maxsize)

    def hide(self, text: str) -> str:
        for needle in self._may_be_in(text):
            text = needle.hide(text)
        return text

    def _may_be_in(self, text: str) -> tuple[_Needle, ...]:
        few = self._few
        if few is not None:
            anchors, needles = few
            for anchor in anchors:
                if anchor in text:
                    return needles
            return ()
        pieces = [text[i : i + _PIECE_CHARS] for i in range(0, len(text), _STRIDE)]
        found = chain.from_iterable(filter(None, map(self._by_piece.get, pieces)))
        return _longest_first({*self._with_short_anchor, *found})


def _has_short_anchor(needle: _Needle) -> bool:
    return min(map(len, needle.anchors)) < _LONG_ANCHOR


def _pieces_of(needle: _Needle) -> set[str]:
    ends = [anchor[-_LONG_ANCHOR:] for anchor in needle.anchors]
    return {end[i : i + _PIECE_CHARS] for end in ends for i in range(_STRIDE)}


def _without(needles: tuple[_Needle, ...], needle: _Needle) -> tuple[_Needle, ...]:
    return tuple(other for other in needles if other is not needle)


def _longest_first(needles: Iterable[_Needle]) -> tuple[_Needle, ...]:
    return tuple(sorted(needles, key=lambda needle: len(needle.value), reverse=True))


# --- the rules in force --------------------------------------------------------------------


# Every name of kind DATA or ANYWHERE holds one of these; finding them is a search for plain text.
_STEMS = _words("secret pwd auth credential srf signature symfony connect.sid forwarded")
# Those that share a rare part are found by it, at once. "key" alone is a parameter's name at
# most, and common in JSON.
_JOINED_STEMS = (
    ("k", re.compile(r"k(?:en(?<=token)|ie(?<=cookie)|ey(?<![\"' ]key))")),
    ("ss", re.compile(r"ss(?<=pass|sess)")),
)
# The names of kind PARAMETER are everyday words: sought only before an equals sign, which may be
# percent-encoded once or more (`?next=https%3A%2F%2Fh%2F%3Fcode%3D…`). In lower-case text.
_EVERYDAY_ENDS = "|".join(sorted({name[-3:] for name in _PARAMETER_NAMES}))
_EQUALS_AFTER_NAME = re.compile(rf"=(?<=(?:{_EVERYDAY_ENDS})=)")
_ENCODED_EQUALS_AFTER_NAME = re.compile(rf"%(?<=(?:{_EVERYDAY_ENDS})%)(?:25){{0,3}}3d")


def _stem(name: str) -> str:
    return name[-2:]  # no spelling has a separator there


# The same URL, message and fields come again in events, logs, `repr` and errors. What is
# remembered goes with the snapshot: nothing older than the last registered value.
_REMEMBERED_CHARS = 1024
_REMEMBERED_TEXTS = 256
_REMEMBERED_FIELDS = 1024


class _Rules:
    """A snapshot of what is hidden, with its expressions compiled and what they gave."""

    def __init__(
        self,
        needles: _Needles | None = None,
        names: frozenset[str] = frozenset(),
        patterns: tuple[re.Pattern[str], ...] = (),
    ) -> None:
        self.needles = _Needles() if needles is None else needles
        self.names = names
        self.patterns = patterns
        self.kind: Callable[[str], _Kind] = lru_cache(maxsize=4096)(
            lambda name: _classify(name, names)
        )
        self.text: Callable[[str], str] = lru_cache(maxsize=_REMEMBERED_TEXTS)(
            partial(self.redact, is_url=False)
        )
        self.url: Callable[[str], str] = lru_cache(maxsize=_REMEMBERED_TEXTS)(
            partial(self.redact, is_url=True)
        )
        self.fields: dict[tuple[str, str], tuple[str, str]] = {}
        self.stems = (*_STEMS, *sorted(map(_stem, names)))

    def redact(self, text: str, *, is_url: bool) -> str:
        if len(text) >= self.needles.shortest:
            text = self.needles.hide(text)
        text = _hide_shapes(text)
        if self.patterns:
            text = self.hide_patterns(text)
        if "@" in text or ("%" in text and "%40" in text):
            if is_url:
                text = _BARE_USERINFO.sub(lambda match: f"{mask_of(match[1])}@", text)
            text = _hide_userinfo(text)
        has_options = "-" in text and ("--" in text or "curl" in text)
        if has_options or "=" in text or ":" in text or "%" in text or "(" in text or "</" in text:
            text = _hide_named(text, self, is_url=is_url)
        if "<" in text and "<input" in text:
            text = _INPUT.sub(partial(_mask_input, self), text)
        if has_options:
            text = _hide_options(text, self)
        return text

    def hide_patterns(self, text: str) -> str:
        parts = _MASKS_APART.split(text)
        for i in range(0, len(parts), 2):
            for pattern in self.patterns:
                parts[i] = "".join(
                    piece if j % 2 else pattern.sub(_mask_match, piece)
                    for j, piece in enumerate(_MASKS_APART.split(parts[i]))
                )
        return "".join(parts)


def _mask_match(match: re.Match[str]) -> str:
    return mask_of(match[0])


_lock = threading.Lock()
_values: Counter[str] = Counter()
_rules = _Rules()


def _replace_rules(
    *,
    names: frozenset[str] | None = None,
    patterns: tuple[re.Pattern[str], ...] | None = None,
) -> None:
    global _rules  # noqa: PLW0603 - the one snapshot that readers take
    _rules = _Rules(
        _rules.needles,
        _rules.names if names is None else names,
        _rules.patterns if patterns is None else patterns,
    )


def register(value: str) -> None:
    """Hide `value` in every text from now on, however it is encoded there.

    Found are the value as it is, percent-encoded, JSON- and HTML-escaped, and in base64 alone
    or within a longer text (``user:value``). A value of 8 and more characters is found
    anywhere; one of 4 to 7 only as a whole word, so that the password ``admin`` leaves
    ``administrator`` readable; a shorter one is not sought: a text full of masks would
    tell it. Registering a value again counts; see `unregister`.

    Args:
        value: The secret. White space around it is ignored; an empty one does nothing.

    Raises:
        TypeError: `value` is not a string.
    """
    value = _checked_value(value)
    if len(value) < _SHORTEST:
        return
    with _lock:
        _values[value] += 1
        if value in _rules.needles:
            return
        _rules.needles.add(value)
        _replace_rules()


def unregister(value: str) -> None:
    """Take one registration of `value` back; the last one makes it visible again.

    Args:
        value: What was given to `register`; an unknown one does nothing.

    Raises:
        TypeError: `value` is not a string.
    """
    value = _checked_value(value)
    with _lock:
        if value not in _rules.needles:
            return
        _values[value] -= 1
        if _values[value] > 0:
            return
        del _values[value]
        _rules.needles.remove(value)
        _replace_rules()


def _checked_value(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a secret to hide must be a str, not {type(value).__name__}")
    return value.strip()


def add_name(name: str) -> Callable[[], None]:
    """Hide the values of this name: header field, parameter, JSON key or ``name=value``.

    Upper and lower case, ``-``, ``_`` and ``.`` make no difference.

    Args:
        name: Such as ``"X-Tenant-Key"``.

    Returns:
        A function that takes the name back, like `remove_name`.

    Raises:
        ConfigError: The name has no letter or digit.
    """
    plain = _checked_name(name)
    with _lock:
        _replace_rules(names=_rules.names | {plain})
    return lambda: remove_name(name)


def remove_name(name: str) -> None:
    """Take back what `add_name` added; the built-in names stay.

    Args:
        name: The name in any spelling; an unknown one does nothing.

    Raises:
        ConfigError: The name has no letter or digit.
    """
    plain = _checked_name(name)
    with _lock:
        _replace_rules(names=_rules.names - {plain})


def _checked_name(name: str) -> str:
    plain = _normalise(name) if isinstance(name, str) else ""
    if not plain:
        from nbhttp.errors import ConfigError

        raise ConfigError(f"a name to hide needs a letter or a digit, got {name!r}")
    return plain


def add_pattern(pattern: str | re.Pattern[str]) -> Callable[[], None]:
    r"""Hide whatever this regular expression matches, wholly.

    Args:
        pattern: Such as ``r"acme-[0-9a-f]{32}"``; an expression that backtracks without end
            on some text will do so here too.

    Returns:
        A function that takes the pattern back, like `remove_pattern`.

    Raises:
        ConfigError: The pattern does not compile, is for bytes, or matches the empty text.
    """
    compiled = _checked_pattern(pattern)
    with _lock:
        if compiled not in _rules.patterns:
            _replace_rules(patterns=(*_rules.patterns, compiled))
    return lambda: remove_pattern(compiled)


def remove_pattern(pattern: str | re.Pattern[str]) -> None:
    """Take back what `add_pattern` added.

    Args:
        pattern: The pattern's text or the compiled pattern; an unknown one does nothing.

    Raises:
        ConfigError: The pattern could never have been added.
    """
    compiled = _checked_pattern(pattern)
    with _lock:
        _replace_rules(patterns=tuple(p for p in _rules.patterns if p != compiled))


def _checked_pattern(pattern: Any) -> re.Pattern[str]:
    from nbhttp.errors import ConfigError

    if isinstance(pattern, bytes) or isinstance(getattr(pattern, "pattern", None), bytes):
        raise ConfigError(f"the pattern to hide {pattern!r} must be text, not bytes")
    try:
        compiled: re.Pattern[str] = re.compile(pattern)
    except (re.error, TypeError, OverflowError, RecursionError) as exc:
        raise ConfigError(f"the pattern to hide {pattern!r} does not compile: {exc}") from exc
    if compiled.match(""):
        raise ConfigError(
            f"the pattern to hide {compiled.pattern!r} matches the empty text; "
            "ask for at least one character"
        )
    return compiled


def is_credential_name(name: str) -> bool:
    """Whether a header field or parameter of this name carries a credential.

    Args:
        name: The name in any case, with ``-``, ``_`` or neither.
    """
    return _rules.kind(name) is not _Kind.NONE


# --- texts ---------------------------------------------------------------------------------


def redact_text(text: str) -> str:
    """The text with every secret in it masked.

    Args:
        text: Any text: prose, a URL, an HTTP message, JSON whole or cut off.
    """
    rules = _rules
    if len(text) > _REMEMBERED_CHARS:
        return rules.redact(text, is_url=False)
    return rules.text(text)


def redact_repr(value: object) -> str:
    """The value's `repr` for a message, masked: what was put in the wrong place may be secret.

    Args:
        value: Anything, such as an argument that is refused.
    """
    return redact_text(repr(value))


def redact_url(url: str) -> str:
    """The URL with userinfo, secret parameters and every other known secret masked.

    Parameters are those of the query, the fragment and path segments (``;token=…``), also in a
    URL that is itself a parameter. The path stays, but for registered values and known shapes.

    Args:
        url: An absolute, relative or broken URL.
    """
    rules = _rules
    if len(url) > _REMEMBERED_CHARS:
        return rules.redact(url, is_url=True)
    return rules.url(url)


# RFC 3986 section 3.2.1; a raw "@" in the password is an error that people make.
_USERINFO = re.compile(r"//([^\s/?#\"<>\\]*)@")
_USERINFO_BACKWARDS = re.compile(r"@[^\s/?#\"<>\\@]*//")  # "@" is rarer than "//"
_BARE_USERINFO = re.compile(r"\A(?!mailto:)([^\s/?#:@]*+:[^\s/?#]*)@")  # the scheme was forgotten
_ESCAPED_USERINFO = re.compile(r"\\/\\/([^\s/?#\"<>\\]*)@")
_ENCODED_USERINFO = re.compile(r"(%2F%2F)(?:[^\s/?#&%]|%(?!2F|3F|23|26|40)..)*+%40", re.IGNORECASE)


def _hide_userinfo(text: str) -> str:
    if "//" in text and _USERINFO_BACKWARDS.search(text[::-1]):
        text = _USERINFO.sub(lambda match: f"//{mask_of(match[1])}@", text)
    if "\\" in text and "\\/\\/" in text:
        text = _ESCAPED_USERINFO.sub(lambda match: f"\\/\\/{mask_of(match[1])}@", text)
    if "%" in text and "%40" in text:
        text = _ENCODED_USERINFO.sub(rf"\1{MASK}%40", text)
    return text


_Secrets = list[tuple[int, int, str]]
"""What to mask in a text: (start, end, mask)."""

_ENCODED_EQUALS = r"%(?:25){0,3}3[Dd]"
# From within a name to what separates it from its value.
_TO_SEPARATOR = re.compile(
    rf"([\w.$~\[\]-]{{0,40}}+(?:%5[Dd])?)(\\{{0,7}}[\"'])?[ \t]{{0,4}}(:=|=>|[=:,>]|{_ENCODED_EQUALS})",
    re.ASCII,
)
# A name read backwards from its end, with the `[field]` that some frameworks put there.
_NAME_BACKWARDS = re.compile(r"(?:(?:\]|[Dd]5%)[\w.-]{0,40}(?:\[|[Bb]5%))?[\w.$~-]{1,64}", re.ASCII)
_ENCODED_DELIMITER = re.compile(r"%(?:25){0,3}(?:3[FBfb]|2[36])")
_CHARS = r"[^\s\"'<>&;]"
# After `=` or `:`; a string may be cut off by the end of the text.
_QUOTED = re.compile(
    r"\s{0,4}b?(?:\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)|'([^'\\]*+(?:\\.[^'\\]*+)*+))", re.DOTALL
)
_ESCAPED = re.compile(r"\s{0,4}(\\{1,7})([\"'])")
_ESCAPED_QUOTE = re.compile(r"(\\++)([\"'])")
_WORD = re.compile(rf"[ \t]{{0,4}}((?:{_MASK_SOURCE}|{_CHARS})++)")
_LINE = re.compile(r"[ \t]{0,4}([^\r\n\"']++)")
_SCALAR = re.compile(r"\s{0,4}(-?\d[\d.eE+-]*+)")
_OPEN = re.compile(r"\s{0,4}[\[{(]")
_PIECE = re.compile(
    r"(?:\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\"?|'([^'\\]*+(?:\\.[^'\\]*+)*+)'?)(\s{0,4}:)?"
    r"|([\[{(])|([\]})])|(-?\d[\d.eE+-]*+)",
    re.DOTALL,
)
_BARE_WORDS = frozenset(["null", "None", "true", "True", "false", "False"])


def _value_regex(stop: str, *, is_url: bool) -> re.Pattern[str]:
    if is_url:
        return re.compile(rf"(?:{stop}[^&#])*+")
    return re.compile(rf"(?:{_MASK_SOURCE}|{stop}(?:[^&#\s\"<>'\\]|'(?=\w)|\\(?=\w)))*+")


# A parameter's value by what it stands in: the query or fragment, a path segment, a URL that was
# encoded once or more. A "&" encoded more often than the "=" belongs to the value.
_VALUE = {
    (delimiter, is_url): _value_regex(stop, is_url=is_url)
    for is_url in (False, True)
    for delimiter, stop in (
        ("&", ""),
        (";", "(?![?/;])"),
        ("; ", "(?!;)"),  # in a connection string, where a key may have slashes
        *((f"%{times}", rf"(?!%(?:25){{0,{times}}}2[36])") for times in range(4)),
    )
}


def _hide_named(text: str, rules: _Rules, *, is_url: bool) -> str:
    """Mask values by the name before them: `?a=v`, `A: v`, `"a": "v"`, `('a', 'v')`, `<a>v</a>`.

    And by the name beside them: `{"name": "a", "value": "v"}`.
    """
    found = _separators(text, rules)
    if not found:
        return text
    done = 0
    out: list[str] = []
    for at in sorted(found):
        if at < done:
            continue
        for start, end, mask in _secrets_after(text, at, found[at], rules, is_url=is_url):
            out += (text[done:start], mask)
            done = end
    return "".join(out) + text[done:] if out else text


def _separators(text: str, rules: _Rules) -> dict[int, re.Match[str]]:
    """By position of a separator: what ends the name that may make secret what follows it."""
    # Lower-casing keeps every position, but for the one letter that becomes two.
    low = (text if text.isascii() else text.replace("İ", "I")).lower()
    found: dict[int, re.Match[str]] = {}
    for end in _name_ends(low, rules.stems):
        if match := _TO_SEPARATOR.match(text, end):
            found[match.start(3)] = match
            if match[2] and match[3] == "," and (colon := _colon_of_pair(text, match)):
                found[colon] = match
    return found


def _name_ends(low: str, stems: tuple[str, ...]) -> list[int]:
    """Where in lower-case text a name that may be secret ends, or its stem does."""
    ends: list[int] = []
    for part, joined in _JOINED_STEMS:
        if part in low:
            ends += [match.end() for match in joined.finditer(low)]
    for stem in stems:
        if stem in low:
            ends += [match.end() for match in re.finditer(re.escape(stem), low)]
    if "=" in low and _EQUALS_AFTER_NAME.search(low):
        ends += [match.start() for match in _EQUALS_AFTER_NAME.finditer(low)]
    if "%" in low:
        ends += [match.start() for match in _ENCODED_EQUALS_AFTER_NAME.finditer(low)]
    return ends


_QUOTE = r"\\{0,7}[\"']"
_PAIR_NAME_BEFORE = re.compile(rf"[\"'](?:[Nn]ame|[Kk]ey){_QUOTE}\s{{0,4}}:\s{{0,4}}{_QUOTE}\Z")
# From behind the name to the value, past other members that are plain: the names of HAR, of
# Postman and of cookie stores, as JSON or as Python shows them.
_TO_PAIR_VALUE = re.compile(
    rf",\s{{0,40}}(?:(?!{_QUOTE}[Vv]alue){_QUOTE}[\w$.-]{{1,40}}{_QUOTE}\s{{0,4}}:\s{{0,4}}"
    rf"(?:{_QUOTE}[^\"'\\]{{0,200}}{_QUOTE}|[\w.+-]{{1,40}})\s{{0,40}},\s{{0,40}}){{0,9}}+"
    rf"{_QUOTE}[Vv]alue{_QUOTE}\s{{0,4}}(?=:)"
)


def _colon_of_pair(text: str, separator: re.Match[str]) -> int | None:
    """Where the value of `{"name": "password", "value": …}` begins; None when it is no such pair."""
    start, _ = _name_span(text, separator.end(1))
    if not _PAIR_NAME_BEFORE.search(text[max(0, start - 40) : start]):
        return None
    match = _TO_PAIR_VALUE.match(text, separator.start(3))
    return match.end() if match else None


def _secrets_after(
    text: str, at: int, separator: re.Match[str], rules: _Rules, *, is_url: bool
) -> _Secrets:
    """What to mask of what follows position `at`, for the name that `separator` ends."""
    name_start, name_end = _name_span(text, separator.end(1))
    delimiter, name_start = _delimiter_before(text, name_start)
    name = text[name_start:name_end]
    kind = rules.kind(name)
    if kind is _Kind.NONE:
        return []
    if delimiter and separator[3][0] in "=%":
        if delimiter == ";" and not (is_url or _is_in_url(text, name_start)):
            delimiter = "; "
        return _parameter_secret(text, separator, delimiter, is_url=is_url)
    if kind < _Kind.DATA:
        return []
    if at > separator.start(3):
        return _quoted_secret(text, at + 1, name) or _scalar_or_nested(text, at + 1, kind)
    return _value_secret(text, separator, kind, name_start, name)


def _value_secret(
    text: str, separator: re.Match[str], kind: _Kind, name_start: int, name: str
) -> _Secrets:
    """What to mask behind the separator of a name that stands in no query."""
    kind_of_separator, at = separator[3][0], separator.end()
    if kind_of_separator == "%":
        return []
    is_quoted = separator[2] is not None
    if kind_of_separator == ">":
        return _element_secret(text, name_start, at)
    if kind_of_separator == ",":
        is_pair = is_quoted and text[max(0, name_start - 3) : name_start].endswith(_PAIR_STARTS)
        is_pair = is_pair or (is_quoted and kind is _Kind.ANYWHERE and name.startswith("--"))
        return _quoted_secret(text, at, name) if is_pair else []
    if secrets := _quoted_secret(text, at, name):
        return secrets
    if separator[3] == "=>":
        return []  # an arrow function's
    if is_quoted:
        return _scalar_or_nested(text, at, kind)
    if kind_of_separator == "=":
        return _word_secret(text, at, name)
    if kind is not _Kind.ANYWHERE:
        return []
    return _colon_secret(text, name_start, at, name)


_CONTENT = re.compile(r"([^<>]{1,4096})</")


def _element_secret(text: str, name_start: int, at: int) -> _Secrets:
    """What stands in an XML element of this name."""
    match = _CONTENT.match(text, at) if text[name_start - 1 : name_start] in {"<", ":"} else None
    return [(at, match.end(1), mask_of(match[1]))] if match and match[1].strip() else []


_PAIR_STARTS = ("('", '("', "(b'", '(b"')


def _name_span(text: str, end: int) -> tuple[int, int]:
    match = _NAME_BACKWARDS.match(text[max(0, end - 120) : end][::-1])
    return (end - match.end() if match else end), end


def _delimiter_before(text: str, start: int) -> tuple[str, int]:
    """What makes a name a parameter (`&`, `;`, `%` or nothing), and where the name begins."""
    before = text[start - 1 : start]
    if before == "%" and (match := _ENCODED_DELIMITER.match(text, start - 1)):
        return "%", match.end()
    if before == ";" and not text.endswith("&amp;", 0, start):
        return ";", start
    return ("&", start) if before and before in "?&#;" else ("", start)


def _parameter_secret(
    text: str, separator: re.Match[str], delimiter: str, *, is_url: bool
) -> _Secrets:
    if delimiter == "%":
        times = 3 if separator[3] == "=" else (len(separator[3]) - 3) // 2
        delimiter = f"%{times}"
    at = separator.end()
    match = _VALUE[delimiter, is_url].match(text, at)
    return [(at, match.end(), mask_of(match[0]))] if match else []


_URL_BACKWARDS = re.compile(r"[^\s\"'<>]*?//:[\w+.-]+(?=$|[\s\"'<>()])", re.ASCII)


def _is_in_url(text: str, end: int) -> bool:
    """Whether what ends here is a URL so far: `https://h/a;` is, `Endpoint=sb://h/;` is not."""
    return _URL_BACKWARDS.match(text[max(0, end - 2048) : end][::-1]) is not None


def _colon_secret(text: str, name_start: int, at: int, name: str) -> _Secrets:
    """After `Name: `: the line in an HTTP message, the word in prose."""
    if text[name_start - 1 : name_start] in ("'", '"'):  # curl -H 'Name: value'
        return _line_secret(text, at, name)
    line_start = text[max(0, name_start - 80) : name_start].rpartition("\n")
    if (line_start[1] or name_start <= 80) and not line_start[2].strip("<>* \t\r-"):
        return _block_secret(text, at, len(line_start[2])) or _line_secret(text, at, name)
    if _normalise(name) in _AUTH_FIELDS | _COOKIE_FIELDS:
        return _line_secret(text, at, name)
    return _word_secret(text, at, name)


_BLOCK = re.compile(r"[ \t]{0,4}(?:[|>][-+1-9]{0,2}[ \t]{0,4}(?:#[^\r\n]{0,200})?)?\r?\n")
_ONE_WORD = re.compile(rf"(?:{_MASK_SOURCE}|[^\s:#\[\]{{}}&*!|>'\"-][^\s]*(?<!:))")


def _block_secret(text: str, at: int, column: int) -> _Secrets:
    """What stands below `name:` in YAML: a block (`|`, `>`), or a single word.

    Args:
        text: The text.
        at: Behind the colon.
        column: Where in its line the name begins: what belongs to it is indented more.
    """
    head = _BLOCK.match(text, at)
    if head is None:
        return []
    has_sign = not head[0].isspace()
    start = line_start = end = head.end()
    while line_start < len(text):
        line_end = text.find("\n", line_start) + 1 or len(text)
        line = text[line_start:line_end]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) <= column:
                break
            if end > start and not has_sign:
                return []
            end = line_start + len(line.rstrip())
        line_start = line_end
    value = text[start:end].lstrip()
    if not value or not (has_sign or _ONE_WORD.fullmatch(value)):
        return []
    return [(end - len(value), end, mask_of(value))]


def _span(match: re.Match[str], group: int, name: str) -> _Secrets:
    return [(match.start(group), match.end(group), _mask_field(name, match[group]))]


def _quoted_secret(text: str, at: int, name: str) -> _Secrets:
    if match := _QUOTED.match(text, at):
        return _span(match, match.lastindex or 0, name)
    if match := _ESCAPED.match(text, at):  # JSON within a JSON string
        end = _end_of_escaped(text, match.end(), len(match[1]), match[2])
        return [(match.end(), end, _mask_field(name, text[match.end() : end]))]
    return []


def _end_of_escaped(text: str, start: int, backslashes: int, quote: str) -> int:
    """Where a string ends whose quotes stand behind so many backslashes (1, 3, 7).

    Encoding once more doubles backslashes: a quote within the string has `2 * backslashes + 1`,
    and a backslash at its end adds `2 * (backslashes + 1)`.
    """
    for match in _ESCAPED_QUOTE.finditer(text, start):
        if match[2] == quote and len(match[1]) % (2 * backslashes + 2) == backslashes:
            return match.end(1) - backslashes
    return len(text)


def _word_secret(text: str, at: int, name: str) -> _Secrets:
    match = _WORD.match(text, at)
    if not match:
        return []
    value = match[1].rstrip("),.]}")
    if value in _BARE_WORDS:
        return []
    if value.lower() in _SCHEMES and _normalise(name).endswith(tuple(_AUTH_FIELDS)):
        return _word_secret(text, match.end(), "")  # `Authorization: Basic …` in escaped text
    start = match.start(1)
    return [(start, start + len(value), _mask_field(name, value))]


def _line_secret(text: str, at: int, name: str) -> _Secrets:
    match = _LINE.match(text, at)
    return _span(match, 1, name) if match else []


def _scalar_or_nested(text: str, at: int, kind: _Kind) -> _Secrets:
    if match := _SCALAR.match(text, at):
        return [(match.start(1), match.end(1), f'"{MASK}"')]
    if kind is not _Kind.ANYWHERE or not _OPEN.match(text, at):
        return []
    return _nested_secrets(text, at)


def _nested_secrets(text: str, at: int) -> _Secrets:
    """Every string and number of the JSON array or object that begins at `at`."""
    found: _Secrets = []
    depth, end = 0, len(text)
    for match in _PIECE.finditer(text, at):
        if match[4]:
            depth += 1
        elif match[5]:
            depth -= 1
        elif match[6]:
            found.append((match.start(), match.end(), f'"{MASK}"'))
        elif not match[3]:  # no key
            group = 1 if match[1] is not None else 2
            found.append((*match.span(group), mask_of(match[group])))
        if depth <= 0:
            end = match.end()
            break
    found.append((end, end, ""))  # all of it is done, so that no part is searched again
    return found


# --- forms and command lines ---------------------------------------------------------------

_INPUT = re.compile(r"<input\b(?:[^<>\"']|\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)){0,4096}+")
_ATTRIBUTE = re.compile(
    r"(?<=[\s\"'])([a-z]{1,20})\s{0,4}=\s{0,4}(?:\"([^\"]*+)|'([^']*+)|([^\s\"'/>]++))"
)
_LABELLED = frozenset(["submit", "button", "reset", "image", "checkbox", "radio"])


def _mask_input(rules: _Rules, match: re.Match[str]) -> str:
    """A form's `<input>` with its value masked, where its name or its type makes it secret."""
    tag = match[0]
    found = {attribute[1]: attribute for attribute in _ATTRIBUTE.finditer(tag)}
    name, kind, value = (
        (found[key][found[key].lastindex or 0], found[key]) if key in found else ("", None)
        for key in ("name", "type", "value")
    )
    is_secret = kind[0] == "password" or rules.kind(name[0]) >= _Kind.DATA
    if value[1] is None or not is_secret or kind[0] in _LABELLED:  # a button's value is its label
        return tag
    start, end = value[1].span(value[1].lastindex or 0)
    return tag[:start] + mask_of(value[0]) + tag[end:]


_WORD_OR_QUOTED = (
    r"(?:\"((?:[^\"\\\n]|\\[^\n])*+)|'([^'\n]*+)|\\{1,7}[\"']([^\"'\\\n]*+)"
    rf"|((?:{_MASK_SOURCE}|[^\s\"'<>|;&()`\\]|\\(?![\"'nrt]))++))"
)
_OPTION = re.compile(rf"--(?<![\w-]--)([A-Za-z][\w-]{{1,40}})[ \t]{{1,4}}(?!-){_WORD_OR_QUOTED}")
_CURL_USER = re.compile(rf"(?<=\s)(?:-[uU]|--user|--proxy-user)[ \t=]{{1,4}}{_WORD_OR_QUOTED}")
# What follows an option's name where that is only spoken of.
_SPOKEN = frozenset(
    _words(
        """
        a an and are as at be by can flag for from has if in instead into is it may must not of on
        option options or parameter argument set should so that the then this to use was when which
        will with you your value here needs requires takes
        """
    )
)
_NO_VALUE = ("no-", "ask-", "skip-", "without-", "show-", "prompt-")  # such as --no-password


def _hide_options(text: str, rules: _Rules) -> str:
    """Mask the values of options: `--password v`, `--token 'v'`; and `user:v` of curl's `-u`."""

    def masked(match: re.Match[str]) -> str:
        name, value = match[1], match[match.lastindex or 0]
        if rules.kind(name) is not _Kind.ANYWHERE or name.lower().startswith(_NO_VALUE):
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


def _is_spoken(match: re.Match[str], value: str, rules: _Rules) -> bool:
    """Whether it is a word of a sentence, `PASSWORD` in a usage line, a variable of a shell."""
    word = value.rstrip(".,:!?]}")
    is_metavar = word.isupper() and rules.kind(word) is _Kind.ANYWHERE
    return word[:1] in "$%[" or (_is_bare(match) and (is_metavar or word.lower() in _SPOKEN))


def _masked_value(match: re.Match[str], value: str) -> str:
    if _is_bare(match):  # the end of a clause is no part of it
        value = value.rstrip("),.]}")
    start = match.start(match.lastindex or 0) - match.start()
    return match[0][:start] + mask_of(value) + match[0][start + len(value) :]


# --- header fields, JSON, bodies -----------------------------------------------------------

# RFC 9110 section 11.1 and the registry; anything else in the scheme's place may be the secret.
_SCHEMES = _words(
    """
    basic bearer digest dpop hoba mutual negotiate ntlm oauth scram-sha-1 scram-sha-256
    vapid token apikey aws4-hmac-sha256 signature hawk ssws googlelogin privatetoken
    """
)
_COOKIE_ATTRIBUTES = _words(
    """
    path domain expires max-age secure httponly samesite partitioned priority
    """
)


def _mask_field(name: str, value: str) -> str:
    """A secret field's value, keeping what helps: the scheme, the cookies' names."""
    plain = _normalise(name)
    if plain in _AUTH_FIELDS:
        scheme, space, credentials = value.partition(" ")
        if space and scheme.lower() in _SCHEMES:
            return f"{scheme} {mask_of(credentials)}"
    if plain in _COOKIE_FIELDS:
        return "; ".join(
            _mask_cookie(part, is_attribute=plain == "setcookie" and i > 0)
            for i, part in enumerate(value.split("; "))
        )
    return mask_of(value)


def _mask_cookie(part: str, *, is_attribute: bool) -> str:
    name, equals, value = part.partition("=")
    if is_attribute and name.strip().lower() in _COOKIE_ATTRIBUTES:
        return part
    return f"{name}={mask_of(value)}" if equals else mask_of(part)


def redact_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Header fields with secret values masked.

    ``Authorization`` keeps its scheme, ``Cookie`` and ``Set-Cookie`` their names and attributes;
    every other value passes `redact_text`.

    Args:
        headers: Pairs of name and value; their order and repetition stay.
    """
    rules = _rules
    known = rules.fields.get
    fields = [(name, value) for name, value in headers]
    return [known(field) or _redact_field(rules, field) for field in fields]


def _redact_field(rules: _Rules, field: tuple[str, str]) -> tuple[str, str]:
    name, value = field
    if rules.kind(name) is not _Kind.NONE:
        value = _mask_field(name, value)
    redacted = name, rules.redact(value, is_url=False)
    if len(field[1]) <= _REMEMBERED_CHARS:
        if len(rules.fields) >= _REMEMBERED_FIELDS:
            rules.fields.clear()
        rules.fields[field] = redacted
    return redacted


def redact_json(value: Any) -> Any:
    """A copy of a decoded JSON value with secrets masked; the original stays.

    Strings and numbers below a secret key are masked (all of them, where it holds an object or
    an array), ``null`` and booleans stay; every other string passes `redact_text`.

    Args:
        value: Dicts, lists, tuples and scalars, nested as deep as memory allows; objects of
            other types stay as they are.
    """
    rules = _rules
    root: list[Any] = [value]
    # Each entry: a fresh container whose children are still the originals, the name that makes
    # everything below it secret or "".
    todo: list[tuple[Any, str]] = [(root, "")]
    while todo:
        container, secret_name = todo.pop()
        is_dict = isinstance(container, dict)
        for key, child in list(container.items() if is_dict else enumerate(container)):
            name = secret_name
            if is_dict and not name and isinstance(key, str):
                name = _secret_json_name(rules, name_for(container, key), child)
            if isinstance(child, dict):
                fresh: Any = {_redact_key(k): v for k, v in child.items()}
                todo.append((fresh, name))
            elif isinstance(child, (list, tuple)):
                fresh = list(child)
                todo.append((fresh, name))
            else:
                fresh = _redact_leaf(child, name)
            container[key] = fresh
    return root[0]


_PAIRS = {"value": ("name", "key"), "Value": ("Name", "Key")}
_PAIR_NAME = re.compile(r"[\w.$~:\[\]-]{1,64}")


def name_for(mapping: Mapping[Any, Any], key: str) -> str:
    """The name that says whether what stands below `key` is secret: mostly the key itself.

    Of a pair such as ``{"name": "password", "value": …}``, as HAR and Postman have it, it is the
    one that the pair gives.
    """
    for other in _PAIRS.get(key, ()):
        name = mapping.get(other)
        if isinstance(name, str) and _PAIR_NAME.fullmatch(name):
            return name
    return key


def _secret_json_name(rules: _Rules, key: str, child: Any) -> str:
    needed = _Kind.ANYWHERE if isinstance(child, (dict, list, tuple)) else _Kind.DATA
    return key if rules.kind(key) >= needed else ""


def _redact_key(key: Any) -> Any:
    return redact_text(key) if isinstance(key, str) else key


def _redact_leaf(value: Any, secret_name: str) -> Any:
    if isinstance(value, str):
        return _mask_field(secret_name, value) if secret_name else redact_text(value)
    if secret_name and isinstance(value, (int, float)) and not isinstance(value, bool):
        return MASK
    return value


_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)
# RFC 7578 section 4.2: the field's name stands in its Content-Disposition.
_PART = re.compile(
    r"(name=\"([^\"\r\n]{1,200})\"[^\r\n]{0,500}+(?:\r?\n[^\r\n]{1,500}+){0,8}+\r?\n\r?\n)"
    r"([^\r\n]*+(?:\r?\n(?!--)[^\r\n]*+)*+)"
)


def redact_body(data: bytes | str, content_type: str) -> str:
    """A request's or response's body as text, with secrets masked.

    JSON is masked by key without being parsed, so that its layout stays and a body that is cut
    off or invalid is masked as well; a form by parameter; anything else as text.

    Args:
        data: The body or its beginning; bytes are decoded by `content_type`'s charset or as
            UTF-8, and what is not valid becomes U+FFFD.
        content_type: The Content-Type field; empty when there is none.
    """
    text = data if isinstance(data, str) else _decode(data, content_type)
    essence = content_type.partition(";")[0].strip().lower()
    if essence == "application/x-www-form-urlencoded":
        return "&".join(map(_redact_form_field, _rules.needles.hide(text).split("&")))
    if essence.startswith("multipart/"):
        text = _PART.sub(_mask_part, text)
    elif essence in _SHEETS:
        text = _hide_columns(text, _SHEETS[essence])
    return redact_text(text)


# Media types of tables, and what may separate their cells.
_SHEETS = {
    "text/csv": ",;\t|",
    "application/csv": ",;\t|",
    "text/tab-separated-values": "\t",
}
# RFC 4180; whatever follows the quotes of a cell belongs to it.
_CELLS = {
    separator: re.compile(
        r"((?:\"[^\"]*+(?:\"\"[^\"]*+)*+\"?+)?+"
        rf"[^{re.escape(separator)}\r\n]*+)({re.escape(separator)}|\r?\n|\r|\Z)"
    )
    for separator in ",;\t|"
}


def _hide_columns(text: str, separators: str) -> str:
    """A table's text with the cells masked that stand below a secret name."""
    head = text.partition("\n")[0]
    separator = max(separators, key=head.count)
    secret: set[int] = set()
    out: list[str] = []
    column, is_head = 0, True
    for match in _CELLS[separator].finditer(text):
        cell, end = match.groups()
        if is_head and _rules.kind(cell.strip(' "\ufeff')) >= _Kind.DATA:
            secret.add(column)
        is_secret = not is_head and column in secret
        out += (mask_of(cell) if is_secret else cell, end)
        column += 1
        if end != separator:
            if not secret:
                return text
            column, is_head = 0, False
    return "".join(out)


def _redact_form_field(field: str) -> str:
    name, equals, value = field.partition("=")
    if equals and is_credential_name(name):
        return f"{name}={mask_of(value)}"
    return redact_text(field)


def _decode(data: bytes, content_type: str) -> str:
    match = _CHARSET.search(content_type)
    try:
        return data.decode(match[1] if match else "utf-8", "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _mask_part(match: re.Match[str]) -> str:
    if not is_credential_name(match[2]):
        return match[0]
    return match[1] + mask_of(match[3])
