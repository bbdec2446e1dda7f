"""What is known of an object of the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ..abstract.status import AbstractStatus
from .calls.bucket import Answer
from .notes import Kept
from .tape.restoring import restoring_of

if TYPE_CHECKING:
    from typing_extensions import Self

DISK, TAPE = "disk", "tape"


class S3Status(AbstractStatus):
    """The status of one object; *store_etag* is the entity tag that the store gives it, *kept* is what we keep.

    *has_notes*: some of that is in an object of its own.
    """

    store_etag = storage_class = ""
    kept = Kept()
    has_notes = False

    def define_levels(self) -> Sequence[str]:
        """Return the media: objects in an archive class count as on tape."""
        return (DISK, TAPE)

    @classmethod
    def of(cls, filepath: str, answer: Answer, kept: Kept, archive_classes: Collection[str]) -> Self:
        """Return the status of the object *filepath*, of which the store gave the *answer* to HEAD or GET."""
        stored_at = answer["LastModified"].timestamp()
        restoring = restoring_of(answer, archive_classes)
        # Some stores say 0 of an object that they have sent to tape.
        size = answer["ContentLength"] if kept.size is None or not restoring.is_archived else kept.size
        levels = restoring.bytes_per_level(size)
        status = cls(stored_at if kept.mtime is None else kept.mtime, stored_at, levels, size)
        status.filepath = filepath
        status.store_etag, status.kept = answer["ETag"], kept
        status.storage_class = answer.get("StorageClass", "")
        status.digests, status.damaged = dict(kept.digests), kept.damaged
        if kept.size not in (None, size):
            status.damaged = f"it has {size} bytes, {kept.size} were stored"
        status.version = kept.token or f"{answer['ETag']}-{stored_at:.0f}".replace('"', "")
        status.recall, status.disk_seconds = restoring.state, restoring.seconds
        return status

    @property
    def is_archived(self) -> bool:
        """Whether the object cannot be read before it is restored."""
        return not self.residency.is_online

    @property
    def notes_name(self) -> str:
        """The name of its object of notes."""
        return self.kept.token or self.store_etag.strip('"')
