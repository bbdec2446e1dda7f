"""Giving a finished file its name in the archive, and removing one that may still be read."""

import errno

from ...abstract.precondition import Precondition
from ...abstract.replacing import may_replace
from ...abstract.status import NOTHING_REPLACED, Replaced
from ...abstract.undoing import UndoOnError
from ..store import Store


def publish(store: Store, source: str, target: str, precondition: Precondition | None) -> Replaced:
    """Give the file at *source* the name *target*; return what had it.

    Raises HPSSError, PreconditionError, FileExistsError when it may not replace what is there.
    """
    with store.session.lock_for(target):
        while (replaced := _publish_once(store, source, target, precondition)) is None:
            pass
    return replaced


def _publish_once(store: Store, source: str, target: str, precondition: Precondition | None) -> Replaced | None:
    """Publish it, or return None when another request has published a file meanwhile."""
    existing = store.existing(target)
    if precondition:
        precondition.check(existing)
    if may_replace(store.options, precondition) and not (precondition and existing is None):
        _keep_for_readers(store, target)
        # Readers see the old file or the new one, never half of either.
        store.rename(source, target)
        return Replaced.of(existing)
    try:
        store.link(source, target)  # of two processes that both found nothing here, one fails
    except store.client.HPSSError as error:
        if error.errno != errno.EEXIST:
            raise
        if may_replace(store.options, precondition):
            return None
        raise FileExistsError(errno.EEXIST, "the file exists") from error
    with UndoOnError(lambda: store.call(store.client.unlink, target)):
        store.call(store.client.unlink, source)
    return NOTHING_REPLACED


def _keep_for_readers(store: Store, path: str) -> None:
    if store.readers.any_of(path):
        aside = store.new_name()
        store.link(path, aside)
        store.readers.move(path, aside)


def withdraw(store: Store, path: str, precondition: Precondition | None) -> Replaced:
    """Remove the file at *path* and return what it was; who is reading it reads on.

    Raises HPSSError, PreconditionError.
    """
    with store.session.lock_for(path):
        existing = store.describe(path)
        if precondition:
            precondition.check(existing)
        if store.readers.any_of(path):
            aside = store.new_name()
            store.rename(path, aside)
            store.readers.move(path, aside)
        else:
            store.call(store.client.unlink, path)
    return Replaced.of(existing)
