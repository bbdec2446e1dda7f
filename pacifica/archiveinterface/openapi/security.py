"""How a service with users protects its operations, as OpenAPI has it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from .operation import Schema

BASIC, BEARER, CERTIFICATE = "basic", "bearer", "mutualTLS"
SCHEMES: Mapping[str, Schema] = {
    BASIC: {"type": "http", "scheme": "basic", "description": "a name and a password"},
    BEARER: {"type": "http", "scheme": "bearer", "description": "a token, of the service or of an issuer"},
    CERTIFICATE: {"type": "mutualTLS", "description": "a client certificate"},
}
"""The ways in which a client can say who it is. What a reverse proxy says of it is not the client's concern."""

OPEN_PATHS = ("/-/health", "/-/ready", "/-/version", "/-/openapi.json", "/.well-known/wlcg-tape-rest-api")
"""Paths that need no user, so that monitoring, load balancers and clients can ask what is there."""

# Probes need no user here; what they send is looked at nevertheless.
_OPTIONAL = (("GET", "/"), ("HEAD", "/"))


class Protection(NamedTuple):
    """Whether a service has users, and limits on requests and transfers.

    *schemes* are the names of the SCHEMES that clients can use; *open_paths* need no user.
    """

    has_users: bool = False
    schemes: Sequence[str] = ()
    open_paths: Collection[str] = ()
    has_limits: bool = False

    def statuses(self, method: str, path: str) -> tuple[int, ...]:
        """Return the statuses of errors that the operation has for it."""
        needs_user = self.has_users and path not in self.open_paths
        # Checks of passwords have a limit of their own.
        is_limited = (self.has_limits and not path.startswith("/-/")) or (needs_user and BASIC in self.schemes)
        found = {401: needs_user, 403: needs_user and (method, path) not in _OPTIONAL, 429: is_limited}
        return tuple(status for status, is_possible in found.items() if is_possible)

    def of_operation(self, method: str, path: str) -> dict[str, Any]:
        """Return the members of the operation that override those of the document."""
        if self.schemes and path in self.open_paths:
            return {"security": []}
        return {"security": [{}, *self._any_scheme()]} if self.schemes and (method, path) in _OPTIONAL else {}

    def of_document(self) -> dict[str, Any]:
        """Return the members of the document: any one of the schemes is enough."""
        return {"security": self._any_scheme()} if self.schemes else {}

    def of_components(self) -> dict[str, Any]:
        """Return the members of the components."""
        return {"securitySchemes": {name: SCHEMES[name] for name in self.schemes}} if self.schemes else {}

    def _any_scheme(self) -> list[dict[str, list[str]]]:
        return [{scheme: []} for scheme in self.schemes]
