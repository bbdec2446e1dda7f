"""What a principal, a user or a program, may do, and with which files."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..exception import FileIdError, NotAllowedError, UnauthenticatedError
from ..id2filename import LARGEST_ID, parse_file_id

ANONYMOUS = "anonymous"


class Permission(str, Enum):
    """One thing that a principal may do."""

    READ = "read"
    STAT = "stat"  # what HEAD tells; reading includes it
    WRITE = "write"  # new files only
    REPLACE = "replace"  # existing files only
    STAGE = "stage"
    POLL = "poll"
    DELETE = "delete"
    MOVE = "move"
    ADMIN = "admin"


@dataclass(frozen=True)
class IdRanges:
    """Sorted ranges of ids, both ends included, that do not touch each other.

    Only the canonical decimal spelling of an id is in a range; a file that has a name instead of an id is in none.
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "IdRanges":
        """Return the ids that *texts* name: ``7``, ``1-999`` or ``5000-``, in any order. Raises ValueError."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(map(_range, texts)):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def __contains__(self, file_id: str) -> bool:
        """Return whether *file_id* is an id in one of the ranges."""
        try:
            number = parse_file_id(file_id)
        except FileIdError:
            return False
        place = bisect_right(self.ranges, (number, LARGEST_ID))
        return place > 0 and number <= self.ranges[place - 1][1]


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    try:
        start = parse_file_id(first)
        end = parse_file_id(last) if last else LARGEST_ID if dash else start
    except FileIdError:
        raise ValueError(f"{text!r} is not an id or a range of ids, such as 7, 1-999 or 5000-") from None
    if end < start:
        raise ValueError(f"the range {text} ends before it begins")
    return start, end


@dataclass(frozen=True)
class Grant:
    """Permissions, for the files in *ids*, or for all files if that is None."""

    permissions: frozenset[Permission]
    ids: IdRanges | None = None

    def covers(self, permission: Permission, file_id: str | None) -> bool:
        """Return whether this grants *permission* for *file_id*, or for all files if that is None."""
        if permission not in self.permissions:
            return False
        return self.ids is None or (file_id is not None and file_id in self.ids)


@dataclass(frozen=True)
class Principal:
    """Who sent a request.

    *how* is ``password``, ``token``, ``jwt``, ``certificate``, ``proxy`` or ``anonymous``. *issuer* is who vouches
    for the name where that is not the service itself. *challenges* is a value for WWW-Authenticate: that of a
    client which has not said who it is, and may do more when it does.
    """

    name: str
    how: str
    issuer: str = ""
    grants: tuple[Grant, ...] = ()
    challenges: str = ""

    def may(self, permission: Permission, file_id: str | None) -> bool:
        """Return whether the principal has *permission* for *file_id*, or for all files if that is None."""
        return any(grant.covers(permission, file_id) for grant in self.grants)

    def require(self, permission: Permission, file_id: str | None) -> None:
        """Raise `refusal` unless the principal has *permission* for *file_id*, or for all files if that is None."""
        if not self.may(permission, file_id):
            raise self.refusal(permission)

    def refusal(self, permission: Permission) -> NotAllowedError | UnauthenticatedError:
        """Return the error that names the lacking *permission*, and tells nothing of the file.

        It is UnauthenticatedError for a client that has not said who it is.
        """
        if self.challenges:
            return UnauthenticatedError(
                f"say who you are: this needs the permission {permission.value}", self.challenges, "no_credentials"
            )
        return NotAllowedError(f"not allowed: this needs the permission {permission.value}", "no_permission")
