"""Counting the files of an archive as they are, while the service runs.

Files are looked at some at a time. One that a request changes meanwhile is counted by that request.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from peewee import Database, fn

from ..backends.abstract.archive import AbstractBackendArchive
from ..stores import BATCH, Store, key_of
from .tables import ALL, Change, StoredFile, Usage
from .usage import UNOWNED, Owner, account

SizeOf = Callable[[str], int | None]


class Found(NamedTuple):
    """How many *files* the archive has, and of how many files the count was *corrected*."""

    files: int
    corrected: int


class Recount:
    """One recount of the files of an archive."""

    def __init__(self, store: Store, size_of: SizeOf) -> None:
        """Correct what *store* has; *size_of* looks into the archive, and returns None for no file."""
        self._store, self._size_of = store, size_of
        self._run = uuid.uuid4().hex

    def run(self, archive: AbstractBackendArchive) -> Found:
        """Count all files of *archive*; those whose owner is not known have none.

        Raises ConfigurationError when the backend cannot list its files.
        """
        files = corrected = 0
        ids = (entry.file_id for entry in archive.entries() if entry.file_id is not None and not entry.is_partial)
        while some := list(islice(ids, BATCH)):
            files += len(some)
            corrected += self._correct(some)
        for some in self._not_found():
            corrected += self._correct(some)
        self._store.change(_add_up)
        return Found(files, corrected)

    def _not_found(self) -> Iterator[list[str]]:
        """Yield the ids of files that are counted and that the walk has not found: removed, or stored after it."""
        last = ""
        while True:
            query = StoredFile.select(StoredFile.key, StoredFile.file_id).where(
                (StoredFile.key > last) & (StoredFile.run != self._run)
            )
            rows = self._store.rows(query.order_by(StoredFile.key).limit(BATCH).tuples())
            if not rows:
                return
            last = rows[-1][0]
            yield [file_id for _, file_id in rows]

    def _correct(self, file_ids: Sequence[str]) -> int:
        """Count the files as they are now; return how many were counted wrongly."""
        keys = [key_of(file_id) for file_id in file_ids]
        known = {row[0]: row for row in self._store.rows(_query(keys))}
        sizes = [self._size_of(file_id) for file_id in file_ids]

        def correct(database: Database) -> int:
            now = {row[0]: row for row in _query(keys).execute(database)}
            changing = Change.select(Change.turn).where(Change.turn.in_(keys)).tuples()
            busy = {key for (key,) in changing.execute(database)}
            corrected = 0
            for key, file_id, size in zip(keys, file_ids, sizes, strict=True):
                row = now.get(key)
                if key in busy or row != known.get(key) or size == (row and row[2]):
                    continue
                account(database, file_id, Owner(row[1], "") if row else UNOWNED, size, self._run)
                corrected += 1
            StoredFile.update(run=self._run).where(StoredFile.key.in_(keys)).execute(database)
            return corrected

        return self._store.change(correct)


def _query(keys: Sequence[str]) -> Any:
    columns = (StoredFile.key, StoredFile.owner, StoredFile.bytes, StoredFile.stamp)
    return StoredFile.select(*columns).where(StoredFile.key.in_(keys)).tuples()


def _add_up(database: Database) -> None:
    """Let each usage be the sum of its files."""
    sums = StoredFile.select(StoredFile.owner, fn.SUM(StoredFile.bytes), fn.COUNT(StoredFile.key))
    found = {row[0]: (int(row[1]), int(row[2])) for row in sums.group_by(StoredFile.owner).tuples().execute(database)}
    found[ALL] = (sum(size for size, _ in found.values()), sum(files for _, files in found.values()))
    for (key,) in list(Usage.select(Usage.key).tuples().execute(database)):
        size, files = found.get(key, (0, 0))
        Usage.update(bytes=size, files=files).where(Usage.key == key).execute(database)
