"""Reading a signed token (JWT, RFC 7519) before its signature is verified: its form, its header, its claims."""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
EDWARDS = "EdDSA"
ALGORITHMS = (*RSA, *CURVES.values(), EDWARDS)
"""What an issuer may sign with (RFC 7518, RFC 8037): all with a public key. Each is for one kind of key alone."""

_MOST_CHARACTERS = 16_384
_LONGEST_NAME = 255  # characters
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
_TIMES = ("exp", "nbf", "iat")


class TokenError(ValueError):
    """A token that is not accepted; the message is for the client, and shows nothing of the token."""


class Token(NamedTuple):
    """What a token says of itself. Nothing of it is verified but its form."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def algorithm(self) -> str:
        """The algorithm of the signature that the header names."""
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        """The name of the key that the header gives."""
        return self.header.get("kid")

    @property
    def issuer(self) -> str:
        """Who says to have issued it."""
        return str(self.claims["iss"])

    @property
    def subject(self) -> str:
        """Whom it is about."""
        return str(self.claims["sub"])

    def words(self, claim: str) -> tuple[str, ...]:
        """Return the values of *claim*, which may be a text or a list of texts.

        A text of scopes is one of several words. A dot in the name leads into an object, unless a claim has the whole
        name: ``realm_access.roles``.
        """
        found = self.claims.get(claim, _within(self.claims, claim))
        if isinstance(found, str):
            return tuple(found.split(" ")) if claim in ("scope", "scp") else (found,)
        return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()

    def scopes(self) -> tuple[str, ...]:
        """Return the scopes: those of ``scope``, or of ``scp`` in a token that has no ``scope``."""
        return self.words("scope" if "scope" in self.claims else "scp")


def _within(claims: Mapping[str, Any], name: str) -> Any:
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def read_token(text: str) -> Token:
    """Return what the token *text* says. Raises TokenError unless it is a signed JWT of the expected form."""
    if len(text) > _MOST_CHARACTERS:
        raise TokenError(f"the token has more than {_MOST_CHARACTERS} characters")
    if text.count(".") == 4:
        raise TokenError("the token is encrypted; send a signed one")
    match = _COMPACT.fullmatch(text)
    if not match:
        raise TokenError("the token is not a signed JWT in the compact form")
    token = Token(text, _json_object(match[1], "header"), _json_object(match[2], "payload"))
    _check_header(token.header)
    _check_claims(token.claims)
    return token


def _json_object(part: str, name: str) -> dict[str, Any]:
    """Return the JSON object in a part of a token. Raises TokenError."""
    try:
        found = json.loads(
            base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True).decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except (binascii.Error, ValueError, RecursionError) as error:
        reason = "has a member twice" if isinstance(error, _TwiceError) else "is not base64url of JSON"
        raise TokenError(f"the {name} of the token {reason}") from error
    if not isinstance(found, dict):
        raise TokenError(f"the {name} of the token is not a JSON object")
    return found


class _TwiceError(ValueError):
    """A JSON object with two members of one name: recipients differ in which of them they take."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _TwiceError
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_header(header: Mapping[str, Any]) -> None:
    if not isinstance(header.get("alg"), str):
        raise TokenError("the header of the token has no alg")
    if not isinstance(header.get("kid", ""), str):
        raise TokenError("kid in the header of the token is not a text")
    # RFC 7515, 4.1.11: what is not understood must not be accepted.
    for extension in ("crit", "b64", "zip"):
        if extension in header:
            raise TokenError(f"the token needs an extension that is not supported: {extension}")
    if str(header.get("cty", "")).lower().endswith("jwt"):
        raise TokenError("the token holds another token")


def _check_claims(claims: Mapping[str, Any]) -> None:
    for name in ("exp", "iss", "sub", "aud"):
        if name not in claims:
            raise TokenError(f"the token has no claim {name}")
    for name in ("iss", "sub"):
        value = claims[name]
        if not (isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()):
            raise TokenError(f"the claim {name} is not a text of 1 to {_LONGEST_NAME} printable characters")
    for name in _TIMES:
        value = claims.get(name, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise TokenError(f"the claim {name} is not a number")
    if not isinstance(claims.get("scope", ""), str | list):
        raise TokenError("the claim scope is not a text")
