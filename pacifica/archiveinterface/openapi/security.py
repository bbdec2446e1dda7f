"""How a service with users protects its operations, as OpenAPI has it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .operation import Schema

SCHEMES: Mapping[str, Schema] = {
    "basic": {"type": "http", "scheme": "basic", "description": "a user and a password"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "a token, of the service or of an issuer"},
    "mutualTLS": {"type": "mutualTLS", "description": "a client certificate"},
}
"""The ways in which a client can say who it is. What a reverse proxy says of it is not the client's concern."""

OPEN_PATHS = ("/-/health", "/-/ready", "/-/version", "/-/openapi.json", "/.well-known/wlcg-tape-rest-api")
"""Paths that need no user and have no limits, so that monitoring, load balancers and clients can ask what is there."""


class Protection(NamedTuple):
    """Names of the SCHEMES that clients can use, none without users; whether requests and transfers are limited."""

    schemes: Sequence[str] = ()
    has_limits: bool = False

    def statuses(self, path: str) -> tuple[int, ...]:
        """Return the statuses of errors that the operations on *path* have for it."""
        if path in OPEN_PATHS:
            return ()
        return ((401, 403) if self.schemes else ()) + ((429,) if self.has_limits else ())

    def of_operation(self, path: str) -> dict[str, Any]:
        """Return the members of an operation on *path*, which override those of the document."""
        return {"security": []} if self.schemes and path in OPEN_PATHS else {}

    def of_document(self) -> dict[str, Any]:
        """Return the members of the document: any one of the schemes is enough."""
        return {"security": [{scheme: []} for scheme in self.schemes]} if self.schemes else {}

    def of_components(self) -> dict[str, Any]:
        """Return the members of the components."""
        return {"securitySchemes": {name: SCHEMES[name] for name in self.schemes}} if self.schemes else {}
