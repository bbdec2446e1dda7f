"""Publishing what was written, under the conditions of the request and of the archive."""

from datetime import datetime, timezone
from typing import Protocol

from ....digests import Digests
from ....exception import ArchiveInterfaceError, BackendUnavailableError, MissingFileError, StorageError
from ...abstract.precondition import Precondition
from ...abstract.replacing import OtherBytesError, may_replace
from ...abstract.status import NOTHING_REPLACED, Replaced
from ..calls.bucket import ALWAYS, Answer, Condition
from ..calls.dates import time_of
from ..calls.errors import ConcurrentWriteError, StoreConditionError
from ..changes.removing import forget
from ..notes import Kept, kept_in_metadata
from ..reading import digests_of
from ..status import S3Status
from ..store import Store


class Publishable(Protocol):
    """A new object of *size* bytes, an upload or a copy, that the last call to the store publishes.

    *token* is in the metadata of this object and of no other.
    """

    filepath: str
    token: str
    size: int

    @property
    def kept(self) -> Kept:
        """What is kept with the object."""

    @property
    def is_in_parts(self) -> bool:
        """Whether the object was sent in parts, which the last call puts together."""

    def content_digests(self) -> Digests:
        """Return digests that identify the content."""

    def put(self, condition: Condition) -> Answer:
        """Have the store publish the object if the *condition* holds."""

    def discard(self) -> None:
        """Remove what was sent."""


def condition_for(store: Store, existing: S3Status | None, precondition: Precondition | None) -> Condition:
    """Return the condition that lets the store replace *existing*, None for nothing, and nothing else.

    Raises PreconditionError when the request's *precondition* does not hold.
    """
    if precondition:
        precondition.check(existing)
    if existing is None:
        return Condition(is_new=bool(precondition) or not store.options.may_replace)
    return Condition(existing.store_etag) if precondition else ALWAYS


def publish(store: Store, new: Publishable, precondition: Precondition | None) -> S3Status:
    """Publish *new* as the file, and return its status.

    Raises PreconditionError, OtherBytesError when it may not replace what is there.
    """
    # Most files are new. If one is not, the store says so, and then the old one is looked at.
    is_taken_for_new = not (precondition or new.is_in_parts) and store.options.may_replace
    existing = None if is_taken_for_new else store.existing(new.filepath)
    condition = Condition(is_new=True) if is_taken_for_new else condition_for(store, existing, precondition)
    for left in reversed(range(1 + store.s3.attempts)):
        if existing and not may_replace(store.options, precondition):
            return _same(store, existing, new)
        try:
            answer = new.put(condition)
        except ArchiveInterfaceError as error:
            stored = store.existing(new.filepath)
            if stored and stored.kept.token == new.token:  # only the answer was lost, and boto3 has repeated the call
                return _published(store, new, existing, stored)
            if not left or not isinstance(error, (StoreConditionError, ConcurrentWriteError)):
                raise
            existing, condition = stored, condition_for(store, stored, precondition)
        else:
            told = _told(store, new, answer)
            return _published(store, new, existing, _verified(store, new, told) if new.is_in_parts else told)
    raise AssertionError


def _published(store: Store, new: Publishable, replaced: S3Status | None, status: S3Status) -> S3Status:
    """Return the *status* of what was published, once the notes of what it has *replaced* are removed."""
    if replaced and (replaced.has_notes or new.is_in_parts):
        forget(store, replaced, new.token)
    status.replaced = Replaced.of(replaced)
    return status


def _verified(store: Store, new: Publishable, told: S3Status) -> S3Status:
    """Return the status of what was published in parts, or what the store *told* when it cannot be asked any more."""
    try:
        answer = store.bucket.head(store.key(new.filepath))
    except (BackendUnavailableError, MissingFileError):
        return told
    if kept_in_metadata(answer.get("Metadata", {})).token != new.token:
        return told  # it has been replaced already
    if answer["ContentLength"] != new.size:
        raise StorageError("the storage did not store all that was written")
    return S3Status.of(new.filepath, answer, new.kept, store.s3.archive_classes)


def _told(store: Store, new: Publishable, answer: Answer) -> S3Status:
    """Return the status of an object from the *answer* to its upload, without another call."""
    said = {
        "ETag": answer["ETag"],
        "ContentLength": new.size,
        "LastModified": datetime.fromtimestamp(time_of(answer), timezone.utc),
        "StorageClass": store.s3.storage_class,
    }
    return S3Status.of(new.filepath, said, new.kept, store.s3.archive_classes)


def _same(store: Store, existing: S3Status, new: Publishable) -> S3Status:
    """Return *existing* if it has the bytes that were written. Raises OtherBytesError."""
    existing.replaced = NOTHING_REPLACED
    if existing.kept.token == new.token:
        return existing
    if existing.filesize != new.size or not _is_content_of(store, existing, new.content_digests()):
        raise OtherBytesError
    new.discard()
    return existing


def _is_content_of(store: Store, existing: S3Status, written: Digests) -> bool:
    common = existing.digests.keys() & written.keys()
    if common:
        return all(existing.digests[name] == written[name] for name in common)
    if not existing.residency.is_online:
        return False
    return digests_of(store, existing, written) == written
