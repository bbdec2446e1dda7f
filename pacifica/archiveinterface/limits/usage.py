"""What is stored and what is kept free, within a transaction that runs alone."""

import uuid
from collections.abc import Mapping
from typing import NamedTuple

from peewee import Database, fn

from ..exception import QuotaError
from ..stores import key_of
from .allowances import Allowance
from .holding import living
from .tables import ALL, NOBODY, Change, StoredFile, Usage


class Owner(NamedTuple):
    """A principal that files are counted for: the key of its usage, and its name; NOBODY has no name."""

    key: str
    name: str

    @classmethod
    def named(cls, name: str) -> "Owner":
        """Return the owner with this *name*."""
        return cls(key_of(name), name)


UNOWNED = Owner(NOBODY, "")


class Counted(NamedTuple):
    """A file that is counted: its owner, and its bytes."""

    owner: Owner
    bytes: int


class Need(NamedTuple):
    """What the change with this *id* needs to be free: *bytes* and *files* of the owner."""

    id: str
    owner: Owner
    bytes: int
    files: int


def counted(database: Database, key: str) -> Counted | None:
    """Return what is counted of the file with this *key*."""
    query = StoredFile.select(StoredFile.owner, Usage.name, StoredFile.bytes)
    query = query.join(Usage, on=Usage.key == StoredFile.owner).where(StoredFile.key == key)
    for owner, name, size in query.tuples().execute(database):
        return Counted(Owner(owner, name), size)
    return None


def account(database: Database, file_id: str, owner: Owner, size: int | None, run: str = "") -> None:
    """Count the file *file_id* for *owner*, with *size* bytes, or no more if that is None; a recount has a *run*."""
    key = key_of(file_id)
    old = counted(database, key)
    if old:
        StoredFile.delete().where(StoredFile.key == key).execute(database)
        _add(database, old.owner, -old.bytes, -1)
    if size is not None:
        row = {"key": key, "file_id": file_id, "owner": owner.key, "bytes": size, "run": run}
        StoredFile.insert(**row, stamp=uuid.uuid4().hex).execute(database)
        Usage.insert(key=owner.key, name=owner.name, bytes=0, files=0).on_conflict_ignore().execute(database)
        _add(database, owner, size, 1)


def _add(database: Database, owner: Owner, size: int, files: int) -> None:
    more = {"bytes": Usage.bytes + size, "files": Usage.files + files}
    Usage.update(more).where(Usage.key.in_([ALL, owner.key])).execute(database)


class Quotas:
    """What may be stored, in all and for each principal."""

    def __init__(self, in_all: Allowance, default: Allowance, by_name: Mapping[str, Allowance]) -> None:
        """Let all together store what *in_all* says, and each principal what *by_name* says, or *default*."""
        self._in_all, self._default, self._by_name = in_all, default, by_name

    def of(self, name: str) -> Allowance:
        """Return what the principal with this *name* may use."""
        return self._by_name.get(name, self._default)

    @property
    def has_any(self) -> bool:
        """Whether what is stored has a limit at all."""
        return any(each.has_quota for each in (self._in_all, self._default, *self._by_name.values()))

    @property
    def has_rates(self) -> bool:
        """Whether requests or transfers have a limit at all."""
        return any(each.has_rates for each in (self._default, *self._by_name.values()))

    def of_owner(self, owner: Owner) -> Allowance:
        """Return what may be stored for *owner*."""
        return Allowance() if owner == UNOWNED else self.of(owner.name)

    @property
    def in_all(self) -> Allowance:
        """What may be stored in all."""
        return self._in_all

    def require(self, database: Database, now: float, need: Need) -> None:
        """Raise QuotaError unless what the change needs is free at the time *now*."""
        _require(database, now, need, ALL, self._in_all, "of the archive")
        _require(database, now, need, need.owner.key, self.of_owner(need.owner), "of the owner of the file")


def _require(database: Database, now: float, need: Need, key: str, quota: Allowance, whose: str) -> None:
    if not quota.has_quota or not (need.bytes or need.files):
        return
    used = [sum(each) for each in zip(_stored(database, key), _kept_free(database, now, need.id, key), strict=True)]
    for noun, most, taken, more in zip(
        ("bytes", "files"), (quota.bytes, quota.files), used, (need.bytes, need.files), strict=True
    ):
        if most is not None and more and taken + more > most:
            left = max(0, most - taken)
            raise QuotaError(f"the quota {whose}, {most} {noun}, has room for {left} more and not for {more}")


def _stored(database: Database, key: str) -> tuple[int, int]:
    for found in Usage.select(Usage.bytes, Usage.files).where(Usage.key == key).tuples().execute(database):
        return found[0], found[1]
    return 0, 0


def _kept_free(database: Database, now: float, without: str, key: str) -> tuple[int, int]:
    # What was being published when its process died may be there, until somebody has looked.
    counts = (Change.id != without) & (Change.turn.is_null(False) | Change.holder.in_(living(now)))
    if key != ALL:
        counts &= Change.owner == key
    query = Change.select(fn.SUM(Change.bytes), fn.SUM(Change.files)).where(counts)
    [(size, files)] = query.tuples().execute(database)
    return int(size or 0), int(files or 0)
