"""What all methods of authentication have in common."""

from collections.abc import Mapping
from typing import Any, Protocol

from .permissions import Principal


class Method(Protocol):
    """One way in which a client can say who it is."""

    challenge: str
    """What the client is told to send: a value for WWW-Authenticate, without an error; empty if it cannot be told."""

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return who sent the request in *environ* (PEP 3333).

        None if the request has no credentials of this kind. Raises UnauthenticatedError, with the challenge of this
        method alone, if it has wrong ones. A principal whose *grants* are not empty has those and no others, else
        those in the file of the permissions.
        """


def authorization(environ: Mapping[str, Any]) -> tuple[str, str]:
    """Return the scheme, in lower case, and the credentials that the request sends in Authorization; or two ``""``."""
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    return scheme.lower(), credentials.strip()


def bearer_challenge(realm: str, error: str = "") -> str:
    """Return the challenge of Bearer tokens (RFC 6750), with *error* if a token was sent: ``invalid_token``."""
    return f'Bearer realm="{realm}"' + (f', error="{error}"' if error else "")


def basic_challenge(realm: str) -> str:
    """Return the challenge of names and passwords (RFC 7617)."""
    return f'Basic realm="{realm}", charset="UTF-8"'
