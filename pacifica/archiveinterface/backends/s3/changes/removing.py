"""Removing an object, and what is kept with it."""

import logging

from ....exception import ArchiveInterfaceError, MissingFileError
from ....globals import LOG_NAME
from ..calls.bucket import Condition
from ..calls.errors import StoreConditionError
from ..status import S3Status
from ..store import Store

_log = logging.getLogger(LOG_NAME)


def remove(store: Store, existing: S3Status, condition: Condition) -> None:
    """Remove the object *existing* if the *condition* holds. Raises StoreConditionError when there is another one."""
    try:
        store.bucket.delete(store.key(existing.filepath), condition)
    except (StoreConditionError, MissingFileError) as error:
        # Perhaps only the answer was lost, and boto3 has asked again.
        if store.existing(existing.filepath):
            raise StoreConditionError("the file was changed meanwhile") from error
    if existing.kept.token or existing.has_notes:  # an object from elsewhere has none
        forget(store, existing)


def forget(store: Store, replaced: S3Status, current: str = "") -> None:
    """Remove the notes of an object that was *replaced* or removed, and notes that older objects have left.

    *current* is the name of the new object's notes. What cannot be removed does no harm.
    """
    try:
        store.remove_notes(replaced.filepath, replaced.notes_name)
        store.remove_old_notes(replaced.filepath, current)
    except ArchiveInterfaceError as error:
        _log.warning("%s: the notes of the old object could not be removed: %s", replaced.filepath, error)
