"""Bearer tokens that the issuers of a site have signed."""

from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import Any

import jwt

from ...exception import UnauthenticatedError
from ..files.watched import Watched
from ..methods import authorization, bearer_challenge
from ..permissions import Grant, IdRanges, Principal
from ..scopes import PROFILES, Scopes, granted_by, limited
from .claims import Token, TokenError, read_token
from .keys import KeySet, fetch_keys
from .sections import Issuer, read_issuers

# The nearest ancestor in the table says what is wrong; PyJWT's own texts show what the token has.
_REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience than this service",
    jwt.MissingRequiredClaimError: "a claim of the token is empty",
    jwt.InvalidSignatureError: "the signature of the token is wrong",
    Exception: "the token is malformed",
}
_HOUR = 3600.0  # seconds


class SignedTokens:
    """Authentication by a JWT of an issuer in the file of the issuers."""

    def __init__(self, path: str, realm: str) -> None:
        """Accept tokens of the issuers in the file at *path*; *realm* is for the challenge.

        A change of the file holds at once. Raises ConfigurationError.
        """
        self.challenge = bearer_challenge(realm)
        self._wrong = bearer_challenge(realm, "invalid_token")
        self._issuers = Watched(path, lambda _: read_issuers(path))
        self._key_sets: dict[str, tuple[Issuer, KeySet]] = {}
        self._lock = Lock()

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return whom the token is about, with what it grants; None without a Bearer token that has a dot in it.

        Raises UnauthenticatedError for a wrong one, BackendUnavailableError if the keys of its issuer cannot be had.
        """
        scheme, text = authorization(environ)
        if scheme != "bearer" or "." not in text:
            return None
        try:
            return self._verified(read_token(text))
        except TokenError as error:
            raise UnauthenticatedError(str(error), self._wrong, "wrong_credentials") from error

    def _verified(self, token: Token) -> Principal:
        issuer = self._issuers.current().get(token.issuer)
        if issuer is None:
            raise TokenError("the issuer of the token is not one of those that this service accepts")
        if token.algorithm not in issuer.algorithms:
            raise TokenError("the algorithm of the token is not one of those that its issuer may use here")
        _verify(token, issuer, self._key_set(token.issuer, issuer).find(token.kid, token.algorithm))
        return Principal(token.subject, "jwt", token.issuer, grants_of(token, issuer))

    def _key_set(self, name: str, issuer: Issuer) -> KeySet:
        with self._lock:
            read, keys = self._key_sets.get(name, (None, None))
            if keys is None or read != issuer:  # a new version of the file has changed it
                fetch = partial(fetch_keys, name, issuer.jwks_uri, issuer.keys_timeout)
                patience = 2 * issuer.keys_timeout  # the discovery document, and the keys
                keys = KeySet(name, fetch, issuer.keys_refresh, issuer.keys_kept * _HOUR, patience)
                self._key_sets[name] = issuer, keys
            return keys


def _verify(token: Token, issuer: Issuer, key: Any) -> None:
    """Raise TokenError unless *key* has signed the token, it holds now, and it is for this service."""
    try:
        jwt.decode(
            token.text,
            key,
            algorithms=[token.algorithm],
            audience=issuer.audience,
            issuer=token.issuer,
            leeway=issuer.leeway,
            options={"require": ["exp", "iss", "sub", "aud"]},
        )
    except jwt.PyJWTError as error:
        raise TokenError(next(_REASONS[kind] for kind in type(error).__mro__ if kind in _REASONS)) from error


def grants_of(token: Token, issuer: Issuer) -> tuple[Grant, ...]:
    """Return what *token* grants; nothing if that is for the file of the permissions to say.

    A token with storage scopes asks for what these name, any other for what the claims in the section of its issuer
    are given. It gets the part of that which the ``permissions`` and the ``ids`` of the section allow, and nothing
    beside it. A token with neither is one that only says who its principal is.
    """
    known: Scopes = {name: given for profile in issuer.scopes for name, given in PROFILES[profile].items()}
    asked = granted_by(token.scopes(), known, issuer.base_path)
    if asked is None:
        asked = tuple(rule.grant for rule in issuer.claims if rule.value in token.words(rule.claim))
    most = Grant(issuer.permissions, None if issuer.ids is None else IdRanges(issuer.ids))
    return limited(asked, most) if asked else ()
