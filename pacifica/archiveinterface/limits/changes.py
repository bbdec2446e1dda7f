"""Changes of files while they are under way: what they need is kept free, and is counted when they have been made.

A change is announced before anything happens, has its turn while it is published, one change of a file at a time, and
is settled afterwards. Of a process that has died, what it has announced is forgotten, and what it was publishing is
looked at in the archive.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from peewee import Database

from ..exception import BackendUnavailableError, QuotaError
from ..globals import LOG_NAME
from ..stores import Store, key_of
from .holding import FAILURES, Holding, living
from .tables import Change, Holder, Transfer
from .usage import Need, Owner, Quotas, account, counted

_LONGEST_TURN = 120.0  # seconds to wait for others that publish the same file
_log = logging.getLogger(LOG_NAME)

SizeOf = Callable[[str], int | None]
"""Returns how many bytes the archive has of a file id; None for no file."""
Begin = Callable[[Database, float], object]
"""Announces changes in the database, at a time of its clock."""


@dataclass
class Pending:
    """A change of the file *file_id* that is under way; its bytes will be those of *owner*.

    That is the owner of the file, or, if it has none, *asker*, the principal that has asked.
    *size* is how many bytes the file will have, as far as is known, and None for one that will be gone.
    """

    file_id: str
    asker: Owner
    size: int | None = None
    has_turn: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Begin without an owner of the file."""
        self.owner = self.asker

    @property
    def key(self) -> str:
        """The key of the file."""
        return key_of(self.file_id)


class Changes:
    """The changes of an archive's files, for the threads of a process."""

    def __init__(self, store: Store, quotas: Quotas, holding: Holding, size_of: SizeOf) -> None:
        """Keep to *quotas*; *size_of* looks into the archive."""
        self._store, self._quotas, self._holding, self._size_of = store, quotas, holding, size_of
        holding.at_beats = self.reclaim

    @contextmanager
    def upload(self, change: Pending) -> Iterator[None]:
        """Keep free what *change* needs during the block, which takes the turn, and count it at the end.

        Raises QuotaError before the block, DatabaseUnavailableError.
        """
        with self._open([change], lambda: self._reserve_or_reclaim(change)):
            yield

    @contextmanager
    def in_turn(self, *changes: Pending, begin: Begin) -> Iterator[None]:
        """Have the turn of *changes* during the block; *begin* announces them."""
        with self._open(changes, lambda: self._await_turn(changes, begin)):
            yield

    @contextmanager
    def _open(self, changes: Sequence[Pending], begin: Callable[[], object]) -> Iterator[None]:
        ids = [change.id for change in changes]
        self._holding.begin(*ids)
        has_begun, is_known = False, True
        try:
            begin()
            has_begun = True
            yield
        except BaseException as error:
            was_refused = isinstance(error, QuotaError) and not has_begun  # nothing was written
            is_known = was_refused or self._give_back(changes)
            raise
        else:
            self._holding.finish(partial(self._settle, changes), partial(self._abandon, changes))
        finally:
            self._holding.end(*ids, is_lost=not is_known)

    def _give_back(self, changes: Sequence[Pending]) -> bool:
        """Keep nothing free any more for *changes*; return whether the database knows."""
        if any(change.has_turn for change in changes):
            self._holding.finish(partial(self._abandon, changes))
            return True
        try:
            self._forget(changes)
        except FAILURES:
            return False
        return True

    def keep_free(self, change: Pending) -> None:
        """Keep free what *change* needs as it is now. Raises QuotaError."""
        self._store.change(lambda database: self.reserve(database, self._holding.renew(database), change))

    def take_turn(self, change: Pending) -> None:
        """Wait until nobody else publishes the file, and keep others from it. Raises QuotaError."""
        self._await_turn([change], lambda database, now: self.reserve(database, now, change))

    def reserve(self, database: Database, now: float, change: Pending) -> None:
        """Keep free what *change* needs at the time *now*, in place of what it needed before. Raises QuotaError."""
        old = counted(database, change.key)
        change.owner = old.owner if old else change.asker
        size = max(0, (change.size or 0) - (old.bytes if old else 0))
        need = Need(change.id, change.owner, size, 0 if old else 1)
        self._quotas.require(database, now, need)
        self.announce(database, change, size, need.files)

    def announce(self, database: Database, change: Pending, size: int = 0, files: int = 0) -> None:
        """Write *change* into the database, with *size* bytes and *files* that it needs."""
        Change.delete().where(Change.id == change.id).execute(database)
        Change.insert(
            id=change.id,
            holder=self._holding.name,
            key=change.key,
            turn=change.key if change.has_turn else None,
            file_id=change.file_id,
            owner=change.owner.key,
            name=change.owner.name,
            bytes=size,
            files=files,
        ).execute(database)

    def _reserve_or_reclaim(self, change: Pending) -> None:
        try:
            self.keep_free(change)
        except QuotaError:
            if not self.reclaim():
                raise
            self.keep_free(change)

    def _await_turn(self, changes: Sequence[Pending], begin: Begin) -> None:
        deadline, pause = time.monotonic() + _LONGEST_TURN, 0.005
        while not self._store.change(partial(self._try_turn, changes=changes, begin=begin)):
            if time.monotonic() > deadline:
                raise BackendUnavailableError("other requests change this file, try again later")
            if not self.reclaim():
                time.sleep(pause)
                pause = min(2 * pause, 0.5)

    def _try_turn(self, database: Database, changes: Sequence[Pending], begin: Begin) -> bool:
        now = self._holding.renew(database)
        keys, ids = [change.key for change in changes], [change.id for change in changes]
        others = Change.select(Change.id).where(Change.turn.in_(keys) & Change.id.not_in(ids))
        if list(others.tuples().execute(database)):
            return False
        for change in changes:
            change.has_turn = True
        try:
            begin(database, now)
        except BaseException:
            for change in changes:
                change.has_turn = False
            raise
        return True

    def _settle(self, changes: Sequence[Pending]) -> None:
        self._store.change(partial(_settle, changes=changes))

    def _abandon(self, changes: Sequence[Pending]) -> None:
        """Forget changes that failed; what may have been published all the same is looked at."""
        for change in changes:
            if change.has_turn:
                self._look(change)
        self._forget(changes)

    def _forget(self, changes: Sequence[Pending]) -> None:
        ids = [change.id for change in changes]
        self._store.change(lambda database: Change.delete().where(Change.id.in_(ids)).execute(database))

    def _look(self, change: Pending) -> None:
        """Count the file of *change* as it is in the archive now."""
        found = self._size_of(change.file_id)

        def correct(database: Database) -> None:
            old = counted(database, change.key)
            # A file that is not counted, and is not what the change would have made, is an older one.
            if old or found == change.size:
                account(database, change.file_id, old.owner if old else change.owner, found)

        self._store.change(correct)

    def reclaim(self) -> bool:
        """Take over what processes that died have left; return whether something may be free now."""
        left = self._store.change(self._adopt)
        for change in left:
            self._holding.finish(partial(self._abandon, [change]))
        return bool(left)

    def _adopt(self, database: Database) -> list[Pending]:
        now = self._holding.renew(database)
        gone = Holder.name.not_in(living(now))
        dead = [name for (name,) in Holder.select(Holder.name).where(gone).tuples().execute(database)]
        if not dead:
            return []
        Transfer.delete().where(Transfer.holder.in_(dead)).execute(database)
        Change.delete().where(Change.holder.in_(dead) & Change.turn.is_null()).execute(database)
        query = Change.select().where(Change.holder.in_(dead)).dicts()
        left = [_pending_of(row) for row in query.execute(database)]
        Change.update(holder=self._holding.name).where(Change.holder.in_(dead)).execute(database)
        Holder.delete().where(Holder.name.in_(dead)).execute(database)
        return left


def _pending_of(row: Mapping[str, Any]) -> Pending:
    return Pending(row["file_id"], Owner(row["owner"], row["name"]), row["bytes"], has_turn=True, id=row["id"])


def _settle(database: Database, changes: Sequence[Pending]) -> None:
    for change in changes:
        account(database, change.file_id, change.owner, change.size)
        Change.delete().where(Change.id == change.id).execute(database)
