"""Keeping with a stored object what is learnt later: its digests, or that it is damaged."""

from ..notes import Kept
from ..status import S3Status
from ..store import Store


def annotate(store: Store, status: S3Status, kept: Kept) -> None:
    """Keep *kept* with the object of *status*, in the place where its notes are.

    The metadata of a small object are changed by a copy of the object to itself. Raises StoreConditionError when the
    object has been replaced.
    """
    if status.has_notes or not status.kept.is_complete:
        store.write_notes(status.filepath, status.notes_name, kept)
        return
    key = store.key(status.filepath)
    source = store.bucket.source(key, status.store_etag)
    store.bucket.copy(key, source, kept.metadata(), storage_class=status.storage_class)
