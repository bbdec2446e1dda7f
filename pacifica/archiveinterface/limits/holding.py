"""What a process holds in the database while it lives: the space of its uploads, and its transfers.

It counts until the time that the row of the process names, by the database's clock, which the process moves on from a
thread while it holds anything. Of a process that was killed nothing counts any more when that time has come.
"""

import logging
import os
import socket
import threading
import uuid
from collections import deque
from collections.abc import Callable

from peewee import Database, MySQLDatabase, PeeweeException, PostgresqlDatabase, RawQuery, Select

from ..exception import ArchiveInterfaceError
from ..globals import LOG_NAME
from ..stores import Store
from .tables import Change, Holder, Transfer

_BEATS = 3  # in the time of a lease
FAILURES = (ArchiveInterfaceError, PeeweeException)
_log = logging.getLogger(LOG_NAME)


def clock(database: Database) -> float:
    """Return the time of the database's clock in seconds."""
    if isinstance(database, PostgresqlDatabase):
        query = "SELECT EXTRACT(EPOCH FROM clock_timestamp())"
    elif isinstance(database, MySQLDatabase):  # not UNIX_TIMESTAMP(), which depends on the time zone
        query = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6"
    else:
        query = "SELECT (julianday('now') - 2440587.5) * 86400"
    [(seconds,)] = RawQuery(query).tuples().execute(database)
    return float(seconds)


def living(now: float) -> Select:
    """Return the query for the names of the holders that count at the time *now*."""
    return Holder.select(Holder.name).where(Holder.until > now)


class Holding:
    """The row of this process, for its threads; a forked child has a row of its own."""

    def __init__(self, store: Store, seconds: float) -> None:
        """Let what is held count for *seconds* after the last sign of life."""
        self._store, self._seconds = store, seconds
        self._mine = _Mine()
        self.at_beats: Callable[[], object] = lambda: None
        """Is called by the thread that shows that the process lives, at its start and from time to time."""

    def renew(self, database: Database) -> float:
        """Let what this process holds count for another lease, and return the time of the database."""
        now, name = clock(database), self.name
        if not Holder.update(until=now + self._seconds).where(Holder.name == name).execute(database):
            Holder.insert(name=name, until=now + self._seconds).on_conflict_ignore().execute(database)
        return now

    @property
    def name(self) -> str:
        """The name of the row of this process."""
        return self._process().name

    def begin(self, *ids: str) -> None:
        """Hold the changes or the transfer with these *ids*, until `end`."""
        mine = self._process()
        with mine.lock:
            mine.held.update(ids)
        self._keep_alive(mine)

    def end(self, *ids: str, is_lost: bool = False) -> None:
        """Hold them no more. *is_lost*: the database did not answer, and may still have their rows."""
        mine = self._process()
        with mine.lock:
            mine.held.difference_update(ids)
            mine.has_lost |= is_lost
        if is_lost:
            self._keep_alive(mine)

    def finish(self, action: Callable[[], object], again: Callable[[], object] | None = None) -> None:
        """Do *action*; if the database does not answer, do it, or what *again* does, when it answers again."""
        try:
            action()
        except FAILURES as error:
            _log.warning("a change of what is counted is put off: %s", error)
            mine = self._process()
            mine.unfinished.append(again or action)
            self._keep_alive(mine)

    def _process(self) -> "_Mine":
        if self._mine.pid != os.getpid():
            self._mine = _Mine()
        return self._mine

    def _keep_alive(self, mine: "_Mine") -> None:
        with mine.lock:
            if not mine.has_thread:
                mine.has_thread = True
                threading.Thread(target=self._beat, args=(mine,), name="limits", daemon=True).start()

    def _beat(self, mine: "_Mine") -> None:
        pause = threading.Event()  # which nobody sets
        while mine.is_needed():
            try:
                self._store.change(self.renew, Holder.select(Holder.name).where(Holder.name == mine.name))
                self.at_beats()
                mine.finish_all()
                if mine.has_lost:
                    self._remove_lost(mine)
            except FAILURES as error:
                _log.warning("what this process holds may not count for long: %s", error)
            pause.wait(self._seconds / _BEATS)

    def _remove_lost(self, mine: "_Mine") -> None:
        """Remove the rows of this process that nothing stands for. What is being published is never lost."""
        mine.has_lost = False
        held = mine.ids()
        change = Change.delete().where((Change.holder == mine.name) & Change.turn.is_null() & Change.id.not_in(held))
        transfer = Transfer.delete().where((Transfer.holder == mine.name) & Transfer.id.not_in(held))
        try:
            self._store.change(lambda database: [query.execute(database) for query in (change, transfer)])
        except BaseException:
            mine.has_lost = True
            raise


class _Mine:
    """What one process knows of its row."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.name = f"{socket.gethostname()[:20]}/{self.pid}/{uuid.uuid4().hex[:16]}"
        self.lock = threading.Lock()
        self.held: set[str] = set()
        self.has_lost = False
        self.has_thread = False
        self.unfinished: deque[Callable[[], object]] = deque()

    def is_needed(self) -> bool:
        """Return whether anything is held; if not, the thread ends."""
        with self.lock:
            self.has_thread = bool(self.held or self.unfinished or self.has_lost)
            return self.has_thread

    def ids(self) -> list[str]:
        """Return the ids of what is held."""
        with self.lock:
            return list(self.held)

    def finish_all(self) -> None:
        """Do what has been put off, each as soon as it can be done."""
        for _ in range(len(self.unfinished)):
            self.unfinished.rotate(-1)
            action = self.unfinished[-1]
            action()
            self.unfinished.remove(action)
