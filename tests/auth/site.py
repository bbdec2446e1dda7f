"""A site with users whom others vouch for."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pacifica.archiveinterface.auth.methods import Method
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.auth.outside import outside_methods
from pacifica.archiveinterface.auth.permissions import Permission, Principal
from pacifica.archiveinterface.exception import ArchiveInterfaceError, UnauthenticatedError
from pacifica.archiveinterface.http.errors import status_of


class Answer(NamedTuple):
    """What a client is told."""

    status: int
    message: str
    challenge: str = ""
    retry_after: int | None = None


class Site:
    """Asks the methods of authentication as the service does."""

    def __init__(self, options: AuthOptions) -> None:
        self.issuers_file = Path(options.issuers_file)
        self._methods: list[Method] = list(outside_methods(options))

    def principal(self, environ: Mapping[str, str]) -> Principal | None:
        """Return who sends a request."""
        return next((found for method in self._methods if (found := method.principal(environ))), None)

    def holder(self, token: str) -> Principal:
        """Return who sends *token*."""
        found = self.principal({"HTTP_AUTHORIZATION": f"Bearer {token}"})
        assert found
        return found

    def allows(self, token: str, permission: Permission, file_id: str | None) -> bool:
        """Return whether *token* grants *permission* for *file_id*."""
        return self.holder(token).may(permission, file_id)

    def read(self, token: str, scheme: str = "Bearer") -> Answer:
        """Ask for file 7 with *token*."""
        try:
            found = self.principal({"HTTP_AUTHORIZATION": f"{scheme} {token}"})
            assert found
            found.require(Permission.READ, "7")
        except ArchiveInterfaceError as error:
            challenge = error.scheme if isinstance(error, UnauthenticatedError) else ""
            return Answer(status_of(error), str(error), challenge, error.retry_after)
        return Answer(200, "")
