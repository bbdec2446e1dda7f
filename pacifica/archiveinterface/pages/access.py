"""Who may read a page: everybody, local clients, who sends a token, or administrators; on every port or on one."""

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cherrypy

from ..auth.permissions import Permission
from ..exception import ConfigurationError, MissingPageError, NotAllowedError, UnauthenticatedError
from ..http.headers.request_head import is_loopback
from ..web.principals import require
from .options import LOCAL, TOKEN, USERS, PagesOptions

# What reverse proxies add.
_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")


class Access:
    """Lets the clients pass that *rule*, a word of the options, allows."""

    def __init__(self, rule: str, options: PagesOptions) -> None:
        """Keep to the *options*, which name the token and the port. Raises ConfigurationError."""
        self._rule = rule
        self._token_file = Path(options.token_file)
        self._port = str(options.address[1]) if options.address else ""
        if rule == TOKEN and not (options.token_file and self._token()):
            raise ConfigurationError("[pages] token_file: no file with a token is named")

    def require(self, environ: Mapping[str, Any]) -> None:
        """Raise MissingPageError, NotAllowedError or UnauthenticatedError unless the client may pass."""
        if self._port not in ("", environ["SERVER_PORT"]):
            raise MissingPageError("this page is on another port ([pages] address)")
        if self._rule == LOCAL and not _is_local(environ):
            raise NotAllowedError(
                "only clients on the host of the service may read this page ([pages] in config.ini)", "not_local"
            )
        if self._rule == USERS:
            require(Permission.ADMIN, None)
        if self._rule == TOKEN:
            self._require_token(environ.get("HTTP_AUTHORIZATION", ""))

    def _require_token(self, credentials: str) -> None:
        if not self._is_token(credentials):
            raise UnauthenticatedError(
                "send the token of this page: Authorization: Bearer TOKEN",
                "Bearer",
                "wrong_credentials" if credentials else "no_credentials",
            )

    def _is_token(self, credentials: str) -> bool:
        scheme, _, given = credentials.partition(" ")
        token = self._token()
        is_same = hmac.compare_digest(given.strip().encode(), token)
        return bool(token) and scheme.lower() == "bearer" and is_same

    def _token(self) -> bytes:
        try:
            return self._token_file.read_bytes().strip()
        except OSError as error:
            raise ConfigurationError(f"[pages] token_file: {(error.strerror or 'unreadable').lower()}") from error


def guarded(page: object, access: Access) -> object:
    """Return *page*, with the methods that it has, for those who pass *access*; others get 401, 403 or 404."""

    def behind(handler: Callable[..., Any]) -> Callable[..., Any]:
        def answer(**query: Any) -> Any:
            access.require(cherrypy.serving.request.wsgi_environ)
            return handler(**query)

        return answer

    return SimpleNamespace(**{name: behind(getattr(page, name)) for name in dir(page) if name.isupper()})


def _is_local(environ: Mapping[str, Any]) -> bool:
    address = environ.get("REMOTE_ADDR", "")
    return (not address or is_loopback(address)) and not any(name in environ for name in _FORWARDED)
