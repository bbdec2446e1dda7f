"""Whether an object can be read: its storage class, and what the store says of its restore.

AWS, Ceph RGW, NooBaa and MinIO keep the archive class while a restored copy is there, and tell its end in
x-amz-restore; without the header, such an object is offline. Ceph RGW can restore for good: the header then has no
end, or the class changes. Intelligent-Tiering tells x-amz-archive-status while an object is in an archive tier.
versitygw sends an empty header, or only a word, for an offline file, and another class once the file is on disk.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from ...abstract.residency import RecallState
from ..calls.bucket import Answer
from ..calls.dates import parse_date, time_of

_ONGOING = re.compile(r'ongoing-request\s*=\s*"?\s*(true|false)', re.IGNORECASE)
_RUNNING = re.compile(r'\s*"?true"?\s*', re.IGNORECASE)
_EXPIRY = re.compile(r'expiry-date\s*=\s*"([^"]*)"', re.IGNORECASE)


class Restoring(NamedTuple):
    """Whether an object is in an archive class, and whether it can be read now.

    *seconds* is how long a restored copy still stays, None when it has no known end.
    """

    is_archived: bool
    is_readable: bool
    state: RecallState = RecallState.NONE
    seconds: float | None = None

    def bytes_per_level(self, size: int) -> tuple[int, int]:
        """Return how many of the *size* bytes are on disk and on tape."""
        return (size if self.is_readable else 0, size if self.is_archived else 0)


_UNDER_WAY = Restoring(True, False, RecallState.ACTIVE)
_OFFLINE = Restoring(True, False)


def restoring_of(answer: Answer, archive_classes: Collection[str]) -> Restoring:
    """Return what the *answer* to HEAD or GET says."""
    header = answer.get("Restore")
    is_archived = answer.get("StorageClass", "") in archive_classes or bool(answer.get("ArchiveStatus"))
    if header is None:
        return Restoring(is_archived, not is_archived)
    if not header.strip():
        return _OFFLINE
    ongoing = _ONGOING.search(header)
    if _RUNNING.fullmatch(header) or (ongoing and ongoing.group(1).lower() == "true"):
        return _UNDER_WAY
    expiry = _EXPIRY.search(header)
    if not ongoing and not expiry:
        return Restoring(is_archived, not is_archived)
    return _restored(is_archived, parse_date(expiry.group(1)) if expiry else None, time_of(answer))


def restoring_in_list(entry: Answer, now: float, archive_classes: Collection[str]) -> Restoring:
    """Return what an *entry* of a list says that the store made at *now*, if it lists the state of restores."""
    status = entry.get("RestoreStatus", {})
    is_archived = entry.get("StorageClass", "") in archive_classes
    if status.get("IsRestoreInProgress"):
        return _UNDER_WAY
    expiry = status.get("RestoreExpiryDate")
    return _restored(is_archived, expiry.timestamp(), now) if expiry else Restoring(is_archived, not is_archived)


def _restored(is_archived: bool, until: float | None, now: float) -> Restoring:
    """Return what holds with a restored copy that stays *until* then; the store may tell of one that has gone."""
    if not is_archived or until is None:
        return Restoring(is_archived, True)
    return Restoring(True, True, seconds=until - now) if until > now else _OFFLINE
