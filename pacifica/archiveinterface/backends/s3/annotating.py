"""What is found out about a stored object later, kept with it: its digests, or that it is damaged."""

from .notes import Kept
from .status import S3Status
from .store import Store


def annotate(store: Store, status: S3Status, kept: Kept) -> None:
    """Keep *kept* with the object of *status*, in the place where its notes are.

    Metadata change by a copy of the object to itself, which is small then. Raises StoreConditionError when it has
    been replaced.
    """
    if status.has_notes or not status.kept.is_complete:
        store.write_notes(status.filepath, status.notes_name, kept)
        return
    key = store.key(status.filepath)
    source = store.bucket.source(key, status.store_etag)
    store.bucket.copy(key, source, kept.metadata(), storage_class=status.storage_class)
