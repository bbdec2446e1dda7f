"""Publishing what was written, under the conditions of the request and of the archive."""

from datetime import datetime, timezone
from typing import Protocol

from ....digests import Digests
from ....exception import ArchiveInterfaceError, BackendUnavailableError, MissingFileError, StorageError
from ...abstract.precondition import Precondition
from ...abstract.replacing import OtherBytesError
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
    for attempt in range(1 + store.s3.attempts):
        # Most files are new. If one is not, the store says so, and then the old one is looked at.
        is_taken_for_new = not (attempt or precondition or new.is_in_parts) and store.options.may_replace
        existing = None if is_taken_for_new else store.existing(new.filepath)
        condition = Condition(is_new=True) if is_taken_for_new else condition_for(store, existing, precondition)
        if existing and not store.options.may_replace:
            return _same(store, existing, new)
        try:
            status = _put(store, new, condition)
        except (StoreConditionError, ConcurrentWriteError):
            if attempt == store.s3.attempts:
                raise
        else:
            if existing and (existing.has_notes or new.is_in_parts):
                forget(store, existing, new.token)
            status.replaced = Replaced.of(existing)
            return status
    raise AssertionError


def _put(store: Store, new: Publishable, condition: Condition) -> S3Status:
    try:
        answer = new.put(condition)
    except ArchiveInterfaceError:
        # Perhaps only the answer was lost, and boto3 has repeated the call.
        stored = store.existing(new.filepath)
        if stored is None or stored.kept.token != new.token:
            raise
        return stored
    told = _told(store, new, answer)
    return _verified(store, new, told) if new.is_in_parts else told


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
