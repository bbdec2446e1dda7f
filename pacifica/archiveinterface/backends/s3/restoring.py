"""Whether an object can be read: its storage class, and what the store says of its restore."""

import re
from collections.abc import Collection
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from ..abstract.residency import RecallState
from .calls.bucket import Answer

_ONGOING = re.compile(r'ongoing-request\s*=\s*"?true', re.IGNORECASE)
_EXPIRY = re.compile(r'expiry-date\s*=\s*"([^"]+)"', re.IGNORECASE)


class Restoring(NamedTuple):
    """An object in an archive class or not, whether it can be read now, and until when, in epoch seconds."""

    is_archived: bool
    is_readable: bool
    state: RecallState = RecallState.NONE
    until: float | None = None


def restoring_of(answer: Answer, archive_classes: Collection[str]) -> Restoring:
    """Return what the *answer* to HEAD or GET says.

    The class stays an archive class while a restored copy is there: x-amz-restore decides. Without that header, an
    object in an archive class was never restored, or its copy has expired; an empty one says that it is offline.
    """
    header = answer.get("Restore")
    is_archived = answer.get("StorageClass", "") in archive_classes or bool(answer.get("ArchiveStatus"))
    if header is None:
        return Restoring(is_archived, not is_archived)
    if _ONGOING.search(header):
        return Restoring(True, False, RecallState.ACTIVE)
    if not header.strip():
        return Restoring(True, False)
    return _restored(header)


def _restored(header: str) -> Restoring:
    found = _EXPIRY.search(header)
    until = parsedate_to_datetime(found.group(1)).timestamp() if found else None
    return Restoring(True, True, RecallState.NONE, until)
