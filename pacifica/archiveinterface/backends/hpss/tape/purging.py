"""Freeing the place of a file on disk, with a copy on tape made before or on demand."""

import os
import stat
from collections.abc import Callable
from typing import Any

from ....exception import ConflictError
from ...abstract.file import PUBLISHED_MODE
from ..status import DISK
from ..store import Store


def send_to_tape(store: Store, path: str) -> None:
    """Copy the file at *path* to tape now and free its place on disk, as HPSS does by itself in time.

    Raises HPSSError, ConflictError when it is not on disk: migrating would copy what is left there over the tape.
    """
    with store.session.lock_for(path):
        found = store.describe(path)
        if found.file_storage_media != DISK or found.is_read_from_tape:
            raise ConflictError("the file is on tape already, or is being staged")
        _use(store, path, lambda descriptor: (descriptor.migrate(0), descriptor.purge(0)))


def release(store: Store, path: str) -> None:
    """Free the place on disk of the file at *path*, which has a copy on tape. Raises HPSSError, ConflictError."""
    with store.session.lock_for(path):
        residency = store.describe(path).residency
        if residency.disk < residency.size or not residency.size:
            return
        if residency.tape < residency.size:
            raise ConflictError("the file has no copy on tape yet")
        if store.readers.any_of(path):
            raise ConflictError("the file is being read")
        _use(store, path, lambda descriptor: descriptor.purge(0))


def _use(store: Store, path: str, action: Callable[[Any], object]) -> None:
    """Open the file at *path* for writing, which its mode forbids, and do *action* with the descriptor."""

    def act() -> None:
        descriptor = store.session.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            action(descriptor)
        finally:
            descriptor.close()

    store.call(store.client.chmod, path, PUBLISHED_MODE | stat.S_IWUSR)
    try:
        store.session.call(act, store.session.transfers)
    finally:
        store.call(store.client.chmod, path, PUBLISHED_MODE)
