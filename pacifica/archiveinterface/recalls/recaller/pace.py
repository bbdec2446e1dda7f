"""How many files are recalled in a second."""

from peewee import Database

from ..store import Store
from ..tables import Lease
from .lease import HeldLease

_SPAN = 10.0  # seconds of the recaller's clock between two measurements
_WEIGHT = 0.3  # of the last one


class Pace:
    """Measures it, and writes it into the row of the lease."""

    def __init__(self, store: Store) -> None:
        """Read and write *store*."""
        self._store = store
        self._since, self._files, self._rate = 0.0, 0, 0.0

    def take_over(self, lease: HeldLease) -> None:
        """Begin with what the last recaller measured."""
        columns = (Lease.completed_files, Lease.files_per_second)
        [(self._files, self._rate)] = self._store.rows(Lease.select(*columns).tuples())
        self._since = lease.now()

    def __call__(self, lease: HeldLease) -> None:
        """Measure, if it is time to. While nothing is recalled the last rate stays."""
        seconds = lease.now() - self._since
        if seconds < _SPAN:
            return
        [(files,)] = self._store.rows(Lease.select(Lease.completed_files).tuples())
        if files > self._files:
            rate = (files - self._files) / seconds
            self._rate = _WEIGHT * rate + (1 - _WEIGHT) * self._rate if self._rate else rate
            lease.change(self._write)
        self._since, self._files = lease.now(), files

    def _write(self, database: Database) -> None:
        Lease.update(files_per_second=self._rate).execute(database)
