"""What the tape API does, and tells, for a principal that may not do all."""

from collections.abc import Callable, Sequence

from ..auth.permissions import Permission, Principal
from ..exception import MissingRequestError
from ..recalls.progress import FileProgress, RequestProgress
from ..recalls.requests import NO_REQUEST, Wish

_SEEING = (Permission.STAGE, Permission.POLL)

IdOf = Callable[[str], str | None]
"""Returns the id that a path of the API means, None for none."""


def with_refusals(wishes: list[Wish], principal: Principal | None, *permissions: Permission) -> list[Wish]:
    """Return *wishes*, with an error for each file for which *principal* has none of *permissions*."""
    if principal is None:
        return wishes
    refused = f"not allowed: {permissions[0].value}"
    return [
        wish
        if wish.file_id is None or _may(principal, permissions, wish.file_id)
        else wish._replace(file_id=None, error=refused)
        for wish in wishes
    ]


def require_all(wishes: list[Wish], principal: Principal | None) -> list[Wish]:
    """Return *wishes*. Raises NotAllowedError, UnauthenticatedError unless *principal* may stage each file."""
    for wish in wishes:
        if principal is not None and wish.file_id is not None:
            principal.require(Permission.STAGE, wish.file_id)
    return wishes


def require_whole(progress: RequestProgress, principal: Principal, id_of: IdOf) -> None:
    """Raise an error unless *principal* may stage each file of the request: MissingRequestError if it may see none."""
    require_some(progress, principal, id_of)
    for file in progress.files:
        if file.was_asked_for:
            principal.require(Permission.STAGE, id_of(file.path))


def visible(progress: RequestProgress, principal: Principal, id_of: IdOf) -> RequestProgress:
    """Return *progress* with those files of the request that *principal* may see."""
    return progress._replace(files=[file for file in progress.files if _may_see(principal, file, id_of)])


def require_some(progress: RequestProgress, principal: Principal, id_of: IdOf) -> None:
    """Raise MissingRequestError, as if there were none, unless *principal* may see one of the files of the request."""
    if progress.files and not any(_may_see(principal, file, id_of) for file in progress.files):
        raise MissingRequestError(NO_REQUEST)


def _may_see(principal: Principal, file: FileProgress, id_of: IdOf) -> bool:
    # A path that was refused tells nothing but what was sent.
    return not file.was_asked_for or _may(principal, _SEEING, id_of(file.path))


def _may(principal: Principal, permissions: Sequence[Permission], file_id: str | None) -> bool:
    return any(principal.may(permission, file_id) for permission in permissions)
