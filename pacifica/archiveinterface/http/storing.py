"""What a principal may do with the file that its request stores."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..auth.permissions import Permission, Principal
from ..backends.abstract.precondition import ANY, Precondition
from ..exception import AbsentFileError, ExistingFileError

_KNOWING = (Permission.READ, Permission.STAT, Permission.STAGE, Permission.POLL)


@contextmanager
def kept_to_permissions(
    principal: Principal | None, creating: Permission, file_id: str, own: Precondition | None
) -> Iterator[Precondition | None]:
    """Give the precondition of a request that stores *file_id* within the block: its *own*, and the permissions.

    The store keeps to it atomically. *creating* is the permission that a new file needs; one that is there needs
    ``replace``. The error of the block for what the *principal* may not do is its refusal.
    """
    if principal is None:
        yield own
        return
    may_create, may_replace = principal.may(creating, file_id), principal.may(Permission.REPLACE, file_id)
    if not (may_create or may_replace):
        raise principal.refusal(creating)
    if may_create and may_replace:
        yield own
        return
    knows = any(principal.may(permission, file_id) for permission in _KNOWING)
    own = own or Precondition()
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
