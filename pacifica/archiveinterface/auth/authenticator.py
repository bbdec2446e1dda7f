"""Who sent a request, and what that principal may do."""

import logging
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..exception import AuthFailure, ConfigurationError, UnauthenticatedError
from ..globals import LOG_NAME
from .files.passwords import Passwords
from .files.permissions_file import Permissions
from .files.tokens import Tokens
from .files.watched import Watched
from .methods import Method, authorization, bearer_challenge
from .options import AuthOptions
from .outside import outside_methods
from .permissions import ANONYMOUS, Principal

_log = logging.getLogger(LOG_NAME)
_WRONG: AuthFailure = "wrong_credentials"


class Authenticator:
    """Asks the methods of the site in their order."""

    def __init__(self, methods: Sequence[Method], permissions: Watched[Permissions], options: AuthOptions) -> None:
        """Take the principal from the first of *methods* that finds one, and what it may do from *permissions*."""
        self._methods = methods
        self._permissions = permissions
        self._realm = options.realm
        self._challenges = [method.challenge for method in methods]
        told = [_scheme(challenge) for challenge in self._challenges if challenge]
        self.schemes = [*dict.fromkeys(told), *(["mutualTLS"] if options.client_certificates == "names" else [])]
        """How clients can say who they are, in the words of the OpenAPI document."""

    def principal(self, environ: Mapping[str, Any], *, is_open: bool = False) -> Principal:
        """Return who sent the request in *environ* (PEP 3333), with its grants.

        Without credentials that is ``anonymous``, if the permissions grant anything to it or what is asked for
        *is_open*. Raises UnauthenticatedError, with the challenges of all methods.
        """
        found = self._found(environ)
        permissions = self._permissions.current()
        if found:
            return found if found.grants else replace(found, grants=permissions.granted(found))
        if any(authorization(environ)):
            raise self._not_understood(environ)
        if not (permissions.anonymous or is_open):
            raise UnauthenticatedError("say who you are: this service has users", self._joined(""), "no_credentials")
        return Principal(ANONYMOUS, ANONYMOUS, grants=permissions.anonymous, challenges=self._joined(""))

    def _found(self, environ: Mapping[str, Any]) -> Principal | None:
        for method in self._methods:
            try:
                principal = method.principal(environ)
            except UnauthenticatedError as error:
                raise UnauthenticatedError(str(error), self._joined(error.scheme), _WRONG) from error
            if principal:
                return principal
        return None

    def _not_understood(self, environ: Mapping[str, Any]) -> UnauthenticatedError:
        scheme, _ = authorization(environ)
        own = bearer_challenge(self._realm, "invalid_token") if scheme == "bearer" else ""
        return UnauthenticatedError("this service does not take credentials of this kind", self._joined(own), _WRONG)

    def _joined(self, first: str) -> str:
        """Return a value for WWW-Authenticate: *first*, and the challenges of all methods with other schemes."""
        by_scheme: dict[str, str] = {}
        for challenge in filter(None, (first, *self._challenges)):
            by_scheme.setdefault(_scheme(challenge), challenge)
        return ", ".join(by_scheme.values())


def _scheme(challenge: str) -> str:
    return challenge.partition(" ")[0].lower()


def make_authenticator(options: AuthOptions) -> Authenticator | None:
    """Return what tells the principals of a service with *options*; None without users. Raises ConfigurationError."""
    if not options.enabled:
        return None
    permissions = _permissions(options)
    methods = list(outside_methods(options, _own_methods(options)))
    if not methods and not permissions.current().anonymous:
        raise ConfigurationError(
            "[auth] enabled: no user could log in; name a password_file, a token_file or another method"
        )
    return Authenticator(methods, permissions, options)


def named_principals(options: AuthOptions) -> int | None:
    """Return how many principals the permissions name; None without users. Raises ConfigurationError."""
    return len(_permissions(options).current()) if options.enabled else None


def _permissions(options: AuthOptions) -> Watched[Permissions]:
    if not options.permissions_file:
        raise ConfigurationError("[auth] permissions_file: with users, a file has to say what they may do")
    return Watched(options.permissions_file, Permissions.parse)


def _own_methods(options: AuthOptions) -> list[Method]:
    """Return the methods that rest on files of the service itself."""
    methods: list[Method] = []
    if options.token_file:
        methods.append(Tokens(options.token_file, options.realm))
        _warn_of_readers(options.token_file)
    if options.password_file:
        methods.append(Passwords(options.password_file, options.realm, options.password_checks))
        _warn_of_readers(options.password_file)
    return methods


def _warn_of_readers(path: str) -> None:
    if os.stat(path).st_mode & stat.S_IROTH:
        _log.warning("[auth] %s can be read by all users of this host: chmod o= %s", path, path)
