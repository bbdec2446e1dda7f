"""The limits of an archive: the quotas of what is stored, and the gate that requests pass."""

from typing import NamedTuple

from ..auth.permissions import ANONYMOUS
from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import MissingFileError
from ..stores import Store
from .allowances import Allowance, read_allowances
from .changes import Changes
from .counted import CountedFile
from .gate import Gate
from .holding import Holding
from .options import LimitOptions
from .recount import Found, Recount
from .tables import ALL, LIMITS, NOBODY, Usage
from .usage import UNOWNED, Owner, Quotas


class Used(NamedTuple):
    """What is stored for a principal, and what may be; None for any amount. NOBODY has files without an owner."""

    name: str
    bytes: int
    files: int
    most_bytes: int | None
    most_files: int | None


class LimitService:
    """The limits of an archive, for the threads of a process. The database is opened when it is first needed."""

    def __init__(self, archive: AbstractBackendArchive, name: str, options: LimitOptions, quotas: Quotas) -> None:
        """Keep what is done with *archive*, which has this *name* in the database, to *quotas*."""
        self._quotas = quotas
        self._store = Store(LIMITS, name, options.database, options.database_timeout)
        self._archive = archive
        holding = Holding(self._store, options.lease_seconds)
        self._changes = Changes(self._store, self._quotas, holding, self._size_of)
        self._gate = Gate(self._store, self._quotas, holding)

    @property
    def has_quotas(self) -> bool:
        """Whether what is stored is counted."""
        return self._quotas.has_any

    @property
    def gate(self) -> Gate | None:
        """What lets requests pass; None if it lets all pass."""
        return self._gate if self._quotas.has_rates else None

    def require_database(self) -> None:
        """Raise BackendUnavailableError when the database does not answer."""
        self._store.rows(Usage.select(Usage.key).limit(1).tuples())

    def file(self, file_id: str, name: str) -> CountedFile:
        """Return the file *file_id* for changes by the principal with this *name*. Raises FileIdError."""
        return CountedFile(self._changes, self._archive, file_id, Owner.named(name or ANONYMOUS))

    def usage(self) -> tuple[Used, list[Used]]:
        """Return what is stored in all, and for each owner by its name, files without an owner last."""
        self._changes.reclaim()
        query = Usage.select(Usage.key, Usage.name, Usage.bytes, Usage.files)
        rows = {row[0]: row[1:] for row in self._store.rows(query.tuples())}
        in_all, nobody = rows.pop(ALL), rows.pop(NOBODY)
        owners = [(Owner(key, row[0]), row) for key, row in rows.items()]
        used = [_used(self._quotas.of_owner(owner), *row) for owner, row in sorted(owners, key=lambda each: each[1])]
        return _used(self._quotas.in_all, *in_all), [*used, _used(self._quotas.of_owner(UNOWNED), *nobody)]

    def recount(self) -> Found:
        """Count all files of the archive as they are. Raises ConfigurationError when it cannot list them."""
        return Recount(self._store, self._size_of).run(self._archive)

    def _size_of(self, file_id: str) -> int | None:
        try:
            return self._archive.file(file_id).status().filesize
        except MissingFileError:
            return None


def limits_of(archive: AbstractBackendArchive, name: str, options: LimitOptions) -> LimitService | None:
    """Return the limits that *options* set on *archive*, known by this *name*; None for none.

    Raises ConfigurationError.
    """
    by_name = read_allowances(options.principals_file, options.principal) if options.principals_file else {}
    in_all = Allowance(bytes=options.quota_bytes, files=options.quota_files)
    quotas = Quotas(in_all, options.principal, by_name)
    return LimitService(archive, name, options, quotas) if quotas.has_any or quotas.has_rates else None


def _used(most: Allowance, name: str, size: int, files: int) -> Used:
    return Used(name, size, files, most.bytes, most.files)
