"""From what users give as `auth` to a scheme."""

from typing import TYPE_CHECKING, Any

from nbhttp._core.values import revealed
from nbhttp._credentials import remember

if TYPE_CHECKING:
    import httpx

__all__ = ["make_auth"]


def make_auth(auth: Any) -> "httpx.Auth | None":
    """Turn what a user gives as `auth` into a scheme; passwords are registered as secrets.

    Raises:
        TypeError: It is no `httpx.Auth`, `(user, password)` pair, function or None.
    """
    if auth is None:
        return None
    import httpx

    if isinstance(auth, httpx.Auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2:
        user, password = (_as_text(revealed(part)) for part in auth)
        scheme = httpx.BasicAuth(user, password)
        remember(password, owner=scheme)
        return scheme
    if callable(auth):
        return _FunctionAuth.make(auth)
    is_token = isinstance(auth, str) or hasattr(auth, "reveal")
    hint = "; for a token write auth=nbhttp.bearer(token)" if is_token else ""
    raise TypeError(
        "auth takes (user, password), an httpx.Auth, a function or None, "
        f"not {type(auth).__name__}{hint}"
    )


class _FunctionAuth:
    """A plain function of the request as an auth scheme."""

    @staticmethod
    def make(function: Any) -> "httpx.Auth":
        import httpx

        class FunctionAuth(httpx.Auth):
            def auth_flow(self, request: httpx.Request) -> Any:
                signed = function(request)
                if not isinstance(signed, httpx.Request):
                    raise TypeError(
                        "an auth function returns the request that it was given, "
                        f"not {type(signed).__name__}"
                    )
                yield signed

        return FunctionAuth()


def _as_text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise TypeError(f"auth takes text as user and password, not {type(value).__name__}")
    return value.decode("utf-8") if isinstance(value, bytes) else value
