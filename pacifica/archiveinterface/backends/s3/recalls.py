"""Asking the store for readable copies of archived objects."""

from contextlib import suppress

from .calls.errors import NotArchivedError, RestoreRunningError
from .store import Store


def restore(store: Store, key: str) -> None:
    """Ask for a copy of the object *key*. A copy that is under way, or there, is as good."""
    tier = "" if store.s3.restore_tier == "none" else store.s3.restore_tier
    with suppress(RestoreRunningError, NotArchivedError):
        store.bucket.restore(key, store.s3.restore_days, tier)
