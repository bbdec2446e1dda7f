"""The end of pins, and the disk copies that may go then."""

import logging

from peewee import Database

from ...backends.abstract.archive import AbstractBackendArchive
from ...exception import ConflictError
from ...globals import LOG_NAME
from ..options import RecallOptions
from ..requests import offer
from ..store import Store
from ..tables import Eviction, Recall, RequestedFile
from .lease import HeldLease

_MOST_AT_ONCE = 200  # files that the storage is told of before the lease is renewed

_log = logging.getLogger(LOG_NAME)


class Pins:
    """Ends pins in time, and has the storage free the disk copies of files that nobody pins."""

    def __init__(self, archive: AbstractBackendArchive, store: Store, options: RecallOptions) -> None:
        """Do to *archive* what *options* say."""
        self._archive, self._store, self._options = archive, store, options
        if options.evict != "never" and not archive.recall_traits.releases:
            _log.warning("[recalls] evict = %s has no effect: this storage frees disk copies by itself", options.evict)

    def __call__(self, lease: HeldLease) -> bool:
        """End some pins and free some disk copies; return whether there may be more. Raises LeaseLostError."""
        return self._end_pins(lease) | self._evict(lease)

    def _end_pins(self, lease: HeldLease) -> bool:
        columns = (RequestedFile.request, RequestedFile.number, RequestedFile.key, Recall.file_id)
        query = RequestedFile.select(*columns).join(Recall, on=RequestedFile.recall == Recall.id)
        rows = self._store.rows(query.where(RequestedFile.pin_until <= lease.now()).limit(_MOST_AT_ONCE).tuples())
        if rows:
            lease.change(lambda database: self._write_end(database, rows))
        return len(rows) == _MOST_AT_ONCE

    def _write_end(self, database: Database, rows: list[tuple[str, int, str, str]]) -> None:
        for request, number, _, _ in rows:
            mine = (RequestedFile.request == request) & (RequestedFile.number == number)
            RequestedFile.update(pin_until=None).where(mine).execute(database)
        if self._options.evict == "expired":
            offer(database, {key: file_id for _, _, key, file_id in rows})

    def _evict(self, lease: HeldLease) -> bool:
        offered = dict(self._store.rows(Eviction.select(Eviction.key, Eviction.file_id).limit(_MOST_AT_ONCE).tuples()))
        if not offered:
            return False
        in_use = self._in_use(list(offered))
        free = {key: file_id for key, file_id in offered.items() if key not in in_use}
        for file_id, error in self._archive.release(free.values()).items():
            if error and not isinstance(error, ConflictError):  # that it has no copy on tape yet
                _log.warning("the disk copy of %s is kept: %s", file_id, error)
        lease.change(lambda database: Eviction.delete().where(Eviction.key.in_(list(offered))).execute(database))
        return len(offered) == _MOST_AT_ONCE

    def _in_use(self, keys: list[str]) -> set[str]:
        """Return those of *keys* whose files are pinned or being recalled."""
        pinned = RequestedFile.key.in_(keys) & RequestedFile.pin_until.is_null(False)
        rows = self._store.rows(RequestedFile.select(RequestedFile.key).where(pinned).tuples())
        rows += self._store.rows(Recall.select(Recall.key).where(Recall.active.in_(keys)).tuples())
        return {key for (key,) in rows}
