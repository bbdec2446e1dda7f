"""Asking the store for readable copies of archived objects, and to keep those."""

import logging
import threading
from contextlib import suppress
from math import ceil
from zlib import crc32

from ....exception import ConflictError, OfflineError, StorageError
from ....globals import LOG_NAME
from ..calls.errors import NotArchivedError, RestoreRunningError, UnknownCallError, reason_of
from ..status import S3Status
from ..store import Store

DAY = 86400  # seconds
_WITHOUT_DAYS = "INTELLIGENT_TIERING"  # the class whose objects come back for good
_LOCKS = tuple(threading.Lock() for _ in range(64))

_log = logging.getLogger(LOG_NAME)


def stage(store: Store, filepath: str) -> bool:
    """Ask for a copy of the object unless it can be read or a copy is under way; return whether it can be read.

    Raises StorageBusyError, ConflictError when the store does not restore it.
    """
    # Many threads may ask for one object. Other processes do it rarely, and AWS restores it once then as well.
    with _lock_of(filepath):
        status = store.whereabouts(filepath)
        if status.residency.is_online or status.recall.is_under_way:
            return status.residency.is_online
        days = 0 if status.storage_class == _WITHOUT_DAYS else store.s3.restore_days
        try:
            _restore(store, status, days)
        except (NotArchivedError, OfflineError) as error:
            return _looked_at_again(store, status, error)
    return False


def keep(store: Store, filepath: str, seconds: float) -> None:
    """Have the restored copy of the object stay for *seconds* from now, if it would go before."""
    with _lock_of(filepath):
        status = store.whereabouts(filepath)
        if status.disk_seconds is not None and status.disk_seconds < seconds:
            with suppress(NotArchivedError):
                _restore(store, status, ceil(seconds / DAY))


def _restore(store: Store, status: S3Status, days: int) -> None:
    """Ask for a copy. One that is under way is as good: AWS answers that with 409, others with 200."""
    tier = "" if store.s3.restore_tier == "none" else store.s3.restore_tier
    try:
        store.bucket.restore(store.key(status.filepath), days, tier)
    except RestoreRunningError:
        pass
    except UnknownCallError as error:
        raise ConflictError("the storage restores no objects") from error
    except StorageError as error:
        _log.warning("%s: the store refuses to restore it: %s", status.filepath, reason_of(error))
        raise


def _looked_at_again(store: Store, status: S3Status, refusal: Exception) -> bool:
    """Return whether the object can be read that the store does not restore: it may have been restored meanwhile."""
    again = store.whereabouts(status.filepath)
    if not again.residency.is_online and not again.recall.is_under_way:
        raise ConflictError(f"the storage does not restore objects of the class {again.storage_class}") from refusal
    return again.residency.is_online


def _lock_of(filepath: str) -> threading.Lock:
    return _LOCKS[crc32(filepath.encode()) % len(_LOCKS)]
