"""Who sent the request that is being answered, and whether it may be."""

from collections.abc import Sequence
from typing import Any

import cherrypy

from ..auth.authenticator import Authenticator
from ..auth.permissions import Permission, Principal


def principal() -> Principal | None:
    """Return who sent the request; None when the service has no users."""
    # Requests of other applications than ours have none.
    found: Principal | None = getattr(cherrypy.serving.request, "principal", None)
    return found


def require(permission: Permission, file_id: str | None) -> None:
    """Raise NotAllowedError or UnauthenticatedError unless the request may be answered; None: all files."""
    found = principal()
    if found is not None:
        found.require(permission, file_id)


def require_one(permissions: Sequence[Permission], file_id: str) -> None:
    """Raise NotAllowedError or UnauthenticatedError unless one of *permissions* holds; the error names the first."""
    found = principal()
    if found is not None and not any(found.may(permission, file_id) for permission in permissions):
        raise found.refusal(permissions[0])


def authenticate(request: Any, authenticator: Authenticator, path: str) -> None:
    """Give CherryPy's *request* for *path* its principal. Raises UnauthenticatedError."""
    is_probe = request.method in ("GET", "HEAD") and not path.strip("/")
    request.login = None
    request.principal = found = authenticator.principal(request.wsgi_environ, is_open=is_probe)
    request.login = found.name
