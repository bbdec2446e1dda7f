"""What a principal may do with the file that its request stores."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from ..auth.permissions import Permission, Principal
from ..backends.abstract.precondition import ANY, Precondition
from ..exception import AbsentFileError, ExistingFileError

_KNOWING = (Permission.READ, Permission.STAT, Permission.STAGE, Permission.POLL)


def require_known(principal: Principal | None, file_id: str, own: Precondition | None) -> None:
    """Raise the principal's refusal if its *own* precondition would tell it what it may not know: the time of a file.

    An entity tag tells nothing new: whoever does not know it cannot guess it.
    """
    if principal and own and own.unmodified_since is not None and not _knows(principal, file_id):
        raise principal.refusal(Permission.READ)


def kept_to_permissions(
    principal: Principal | None, creating: Permission, file_id: str, own: Precondition | None
) -> AbstractContextManager[Precondition | None]:
    """Give the precondition of a request that stores *file_id* within the block: its *own*, and the permissions.

    The store keeps to it atomically. *creating* is the permission that a new file needs; one that is there needs
    ``replace``. The error of the block for what the *principal* may not do is its refusal.
    """
    return nullcontext(own) if principal is None else _kept(principal, creating, file_id, own)


@contextmanager
def _kept(
    principal: Principal, creating: Permission, file_id: str, own: Precondition | None
) -> Iterator[Precondition | None]:
    may_create, may_replace = principal.may(creating, file_id), principal.may(Permission.REPLACE, file_id)
    if not (may_create or may_replace):
        raise principal.refusal(creating)
    if may_replace:
        require_known(principal, file_id, own)
    if may_create and may_replace:
        yield own
        return
    own, knows = own or Precondition(), _knows(principal, file_id)
    if not (may_replace or knows):
        if own.match and ANY not in own.match:
            raise principal.refusal(Permission.REPLACE)
        own = _untelling(own)
    try:
        yield replace(own, only_new=not may_replace, only_existing=not may_create, hides_size=not knows)
    except ExistingFileError as error:
        raise (error if may_replace else principal.refusal(Permission.REPLACE)) from error
    except AbsentFileError as error:
        raise principal.refusal(creating) from error


def _untelling(own: Precondition) -> Precondition:
    """Return *own* without what would tell of the bytes and the time of a file: whether it is there is enough."""
    return Precondition(_any(own.match), _any(own.none_match))


def _any(tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (ANY,) if tags and ANY in tags else None


def _knows(principal: Principal, file_id: str) -> bool:
    """Return whether *principal* may learn of the file that it is there, and its size and time."""
    return any(principal.may(permission, file_id) for permission in _KNOWING)
