"""Well-known shapes of secrets: the tokens of services, JWTs, private keys."""

import re
from functools import cache

from nbhttp._redaction.masks import IS_MASKED, MASK

__all__ = ["hide_shapes", "mask_of"]

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
_CREDENTIALS = r" {1,2})(?=[^\s\d‹]{0,200}(?:\d|(?<=[\w.~+/-])‹))[\w.~+/=-]{8,}"
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


def hide_shapes(text: str) -> str:
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
    if not value or IS_MASKED.fullmatch(value):
        return value
    token = _token_regex(_BOUNDARY).match("\n" + value)
    if token and token.end() == len(value) + 1:
        return _token_mask(value)
    if "PRIVATE KEY" in value and _PEM.fullmatch(value):
        return _PEM_MASK
    return MASK
