"""Names that mark a value as secret."""

import re
from enum import IntEnum
from functools import lru_cache
from urllib.parse import unquote

__all__ = [
    "AUTH_FIELDS",
    "COOKIE_FIELDS",
    "PARAMETER_NAMES",
    "Kind",
    "classify",
    "normalise",
    "words",
]


class Kind(IntEnum):
    """Where a name marks its value as secret; each kind includes the ones before it."""

    NONE = 0
    PARAMETER = 1
    """A URL or form parameter or a header field: `key`, `code`; in JSON these are everyday words."""
    DATA = 2
    """Also a JSON key or `name=value`, but not `name: value` in prose: `session`, `auth`."""
    ANYWHERE = 3


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Names are compared as their letters and digits, lower-case: "X-Api-Key" is "xapikey".
PARAMETER_NAMES = words(
    """
    key code sig signature sign hmac otp totp mfa_code sas appid jwt assertion
    client_assertion samlresponse samlrequest ticket
    """
)
_DATA_NAMES = words(
    """
    auth session aiohttpsession usersession symfony connectsid xforwardedfor csrf xcsrf xsrf
    """
)
_SECRET_NAMES = words(
    """
    pwd mysqlpwd pass userpass passphrase xhubsignature xhubsignature256 stripesignature
    xamzsignature xgoogsignature xamzcfsignature awsaccesskeyid wwwauthenticate
    proxyauthenticate authenticationinfo proxyauthenticationinfo phpsessid jsessionid
    sessionid sessid cookies setcookie2 passwords secrets passwordhash secwebsocketkey
    """
)
_SECRET_ENDINGS = words(
    """
    token secret password passwd passphrase authorization credential credentials cookie
    apikey secretkey privatekey accesskey accountkey authkey appkey applicationkey
    subscriptionkey functionskey consumerkey signingkey encryptionkey sharedkey masterkey
    servicekey licensekey rapidapikey fastlykey storagekey sessionkey clientkey tokensecret
    """
)
# A place in a list, not a credential: what debugging a pagination needs to see.
_PLACE_ENDINGS = ("pagetoken", "nexttoken", "continuationtoken", "synctoken", "cursortoken")
AUTH_FIELDS = frozenset(
    ["authorization", "proxyauthorization", "wwwauthenticate", "proxyauthenticate"]
)
COOKIE_FIELDS = frozenset(["cookie", "setcookie"])

_BUILT_IN = (
    {name.replace("_", ""): Kind.PARAMETER for name in PARAMETER_NAMES}
    | dict.fromkeys(_DATA_NAMES, Kind.DATA)
    | dict.fromkeys(_SECRET_NAMES, Kind.ANYWHERE)
)
_NOT_LETTER_OR_DIGIT = re.compile(r"[\W_]+")


@lru_cache(maxsize=4096)
def normalise(name: str) -> str:
    if "%" in name:
        name = unquote(name)
    return _NOT_LETTER_OR_DIGIT.sub("", name).lower()


def classify(name: str, added: frozenset[str]) -> Kind:
    plain = normalise(name)
    if plain in added:
        return Kind.ANYWHERE
    if plain in _BUILT_IN:
        return _BUILT_IN[plain]
    if plain.endswith(_SECRET_ENDINGS) and not plain.endswith(_PLACE_ENDINGS):
        return Kind.ANYWHERE
    if plain.endswith("signature"):
        return Kind.PARAMETER
    return Kind.NONE
