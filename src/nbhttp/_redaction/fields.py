"""The values of header fields, masked but for what helps."""

from nbhttp._redaction.names import AUTH_FIELDS, COOKIE_FIELDS, normalise, words
from nbhttp._redaction.shapes import mask_of

__all__ = ["SCHEMES", "mask_field"]

# RFC 9110 section 11.1 and the registry; anything else in the scheme's place may be the secret.
SCHEMES = words(
    """
    basic bearer digest dpop hoba mutual negotiate ntlm oauth scram-sha-1 scram-sha-256
    vapid token apikey aws4-hmac-sha256 signature hawk ssws googlelogin privatetoken
    """
)
_COOKIE_ATTRIBUTES = words(
    """
    path domain expires max-age secure httponly samesite partitioned priority
    """
)


def mask_field(name: str, value: str) -> str:
    """A secret field's value, keeping what helps: the scheme, the cookies' names."""
    plain = normalise(name)
    if plain in AUTH_FIELDS:
        scheme, space, credentials = value.partition(" ")
        if space and scheme.lower() in SCHEMES:
            return f"{scheme} {mask_of(credentials)}"
    if plain in COOKIE_FIELDS:
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
