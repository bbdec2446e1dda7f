"""A file of the archive whose changes are counted."""

from collections.abc import Callable, Iterable, Iterator

from peewee import Database

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.precondition import Precondition
from ..backends.abstract.status import AbstractStatus, Replaced
from ..digests import Digests
from .changes import Changes, Pending
from .usage import UNOWNED, Owner, counted

_STEP = 1 << 24  # bytes of a body of unknown length between two looks at the quota


class CountedFile:
    """One file as the verbs change it: as `ArchiveFile` does, within the quotas."""

    def __init__(self, changes: Changes, archive: AbstractBackendArchive, file_id: str, owner: Owner) -> None:
        """Represent the file of *archive* that has this id, for a request of *owner*. Raises FileIdError."""
        self._changes, self._archive, self._file_id, self._owner = changes, archive, file_id, owner
        self._file = archive.file(file_id)

    def store(
        self,
        blocks: Iterable[bytes],
        mod_time: float,
        digests: Callable[[], Digests] = dict[str, bytes],
        *,
        length: int | None = None,
        precondition: Precondition | None = None,
    ) -> AbstractStatus:
        """Replace the file by *blocks*, as `ArchiveFile.store` does. Raises QuotaError."""
        change = Pending(self._file_id, self._owner, length or 0)

        def checked() -> Digests:
            found = digests()
            self._changes.take_turn(change)
            return found

        with self._changes.upload(change):
            body = blocks if length is not None else self._measured(blocks, change)
            status = self._file.store(body, mod_time, checked, length=length, precondition=precondition)
            change.size = status.filesize
        return status

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Remove the file, as `ArchiveFile.remove` does."""
        change = Pending(self._file_id, self._owner)

        def begin(database: Database, now: float) -> None:
            self._changes.announce(database, change)

        with self._changes.in_turn(change, begin=begin):
            return self._file.remove(precondition)

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Move a file here, as `ArchiveFile.move_in` does. Raises QuotaError.

        A file of the archive stays its owner's; one from elsewhere counts as an upload.
        """
        source = self._archive.source_of(old_path)
        if source.file_id == self._file_id:
            return self._file.move_in(old_path, precondition)
        change = Pending(self._file_id, self._owner, source.size or 0)
        changes = [change] if source.file_id is None else [change, Pending(source.file_id, UNOWNED)]

        def begin(database: Database, now: float) -> None:
            if source.file_id is None:
                self._changes.reserve(database, now, change)
                return
            old = counted(database, changes[1].key)
            change.owner = changes[1].owner = old.owner if old else UNOWNED
            for each in changes:
                self._changes.announce(database, each)

        with self._changes.in_turn(*changes, begin=begin):
            replaced = self._file.move_in(old_path, precondition)
            if source.size is None:
                change.size = self._file.status().filesize
        return replaced

    def _measured(self, blocks: Iterable[bytes], change: Pending) -> Iterator[bytes]:
        received, kept = 0, 0
        for block in blocks:
            received += len(block)
            change.size = received
            if received - kept >= _STEP:
                self._changes.keep_free(change)
                kept = received
            yield block
