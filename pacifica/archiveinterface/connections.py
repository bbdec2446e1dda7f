"""Connections to a database that the threads of a process share: a pool, time-outs and a circuit breaker.

A connection is a peewee database of its own that one thread at a time uses. The pool is not playhouse.pool:
peewee and that pool hold a lock while they connect, so that with a server that does not answer all threads
would wait for each other's time-outs, and the pool asks the server about a connection before each use.
"""

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from peewee import (
    SQL,
    Database,
    InterfaceError,
    OperationalError,
    PeeweeException,
    PostgresqlDatabase,
    Select,
    SqliteDatabase,
)

from .exception import BackendUnavailableError
from .globals import LOG_NAME

_MAX_IDLE = 300  # seconds; firewalls drop connections that are idle for longer
_GRACE = 1.0  # seconds; PostgreSQL itself ends a statement that takes too long, unless it hangs
# PyMySQL has no class of its own for a socket's errors and for a login method that it lacks.
_CONNECTION_ERRORS = (PeeweeException, OSError, RuntimeError)

_log = logging.getLogger(LOG_NAME)


class DatabaseUnavailableError(BackendUnavailableError):
    """The database did not answer, or not with what was asked; the log tells why."""


@dataclass(frozen=True)
class Limits:
    """How many connections a process may open, and how many seconds it waits.

    *read_timeout* is for each statement, with PostgreSQL for all of a transaction, too. For *retry_seconds* after a
    failure nobody asks the database. After *idle_timeout*, unless it is 0, the server ends a transaction whose client
    says nothing, because it was suspended or its host has failed, so that nobody waits for its locks.
    """

    pool_size: int = 10
    pool_timeout: float = 1.0
    connect_timeout: float = 2.0
    read_timeout: float = 2.0
    retry_seconds: float = 5.0
    idle_timeout: float = 0.0


Make = Callable[[], Database]
"""Makes a peewee database that is not connected yet."""


class Connections:
    """The connections of a process to one database, opened when first needed.

    Safe to share between threads; a forked child opens connections of its own.
    """

    def __init__(self, make: Make, name: str, server: str, limits: Limits) -> None:
        """Connect with what *make* returns; it is called *name* in messages to clients and *server* in the log."""
        self._make, self._name, self._limits = make, name, limits
        self._breaker = _Breaker(name, server, limits.retry_seconds)
        self._pool = _Pool(make, limits)
        self._inherited: list[_Pool] = []

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """Return the rows that *query* selects. Raises DatabaseUnavailableError.

        A query is repeated, once, when an idle connection turns out to be lost, so it must not change anything.
        """
        with self._connection() as connection:
            return connection.rows(query)

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Give a connected database for the statements of one transaction: ``query.execute(database)``.

        Raises DatabaseUnavailableError. An error that the database answers with, because of a constraint or a
        deadlock, is peewee's.
        """
        with self._connection() as connection, connection.transaction() as database:
            yield database

    @contextmanager
    def _connection(self) -> Iterator["_Connection"]:
        self._breaker.check()
        if self._pool.process != os.getpid():
            # The parent's connections are kept: closing them here would disturb the parent.
            self._inherited.append(self._pool)
            self._pool = _Pool(self._make, self._limits)
        with self._pool.taken(self._name) as connection:
            # The wait for the connection may have been a wait for others to find the server down.
            self._breaker.check()
            try:
                yield connection
            except _NoAnswerError as error:
                self._breaker.open(error.__cause__)
                raise DatabaseUnavailableError(f"{self._name} does not answer") from error.__cause__
            self._breaker.close()


class _NoAnswerError(Exception):
    """The connection cannot be used; the cause is the driver's error."""


class _Breaker:
    """A circuit breaker: it opens when the database fails, and stays open for some seconds."""

    def __init__(self, name: str, server: str, seconds: float) -> None:
        self._name, self._server, self._seconds = name, server, seconds
        self._open_until = 0.0

    def check(self) -> None:
        if time.monotonic() < self._open_until:
            raise DatabaseUnavailableError(f"{self._name} failed a moment ago")

    def open(self, error: BaseException | None) -> None:
        if not self._open_until:
            _log.warning("%s does not answer: %s", self._server, error)
        self._open_until = time.monotonic() + self._seconds

    def close(self) -> None:
        if self._open_until:
            _log.warning("%s answers again", self._server)
            self._open_until = 0.0


class _Pool:
    """The connections of one process. No lock is held while one connects or waits for an answer."""

    def __init__(self, make: Make, limits: Limits) -> None:
        self.process = os.getpid()
        self._timeout = limits.pool_timeout
        # The connection used last goes out first, so that a quiet service keeps few of them.
        self._free: queue.LifoQueue[_Connection] = queue.LifoQueue()
        for _ in range(limits.pool_size):
            self._free.put(_Connection(make(), limits.read_timeout))

    @contextmanager
    def taken(self, name: str) -> Iterator["_Connection"]:
        try:
            connection = self._free.get(timeout=self._timeout)
        except queue.Empty:
            raise DatabaseUnavailableError(f"all connections to {name} are in use") from None
        try:
            yield connection
        finally:
            self._free.put(connection)


class _Connection:
    """A connection that one thread at a time uses."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._last_used = 0.0

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        if time.monotonic() - self._last_used > _MAX_IDLE:
            self._close()
        try:
            return self._ask_twice(query)
        except _CONNECTION_ERRORS as error:
            raise _NoAnswerError from error

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        # A connection that was lost is found before anything depends on it.
        self.rows(_one())
        begin = ("IMMEDIATE",) if isinstance(self._database, SqliteDatabase) else ()
        try:
            with self._deadline(), self._database.atomic(*begin):
                yield self._database
        except PeeweeException as error:
            first = _first(error)
            if not self._answers():
                raise _NoAnswerError from first
            if first is error:
                raise
            raise first from None

    def _ask_twice(self, query: Any) -> list[tuple[Any, ...]]:
        is_new = self._database.is_closed()
        try:
            return self._ask(query)
        except (OperationalError, InterfaceError):
            if is_new:
                raise
        return self._ask(query)

    def _ask(self, query: Any) -> list[tuple[Any, ...]]:
        try:
            self._database.connect(reuse_if_open=True)
            with self._deadline():
                rows = list(query.tuples().execute(self._database))
        except BaseException:
            # What is left of an answer must not meet the next question.
            self._close()
            raise
        self._last_used = time.monotonic()
        return rows

    def _answers(self) -> bool:
        """Return whether the connection can go on after an error; it is closed if not."""
        with suppress(PeeweeException):
            if self._database.is_connection_usable():
                with self._deadline():
                    list(_one().tuples().execute(self._database))
                return True
        self._close()
        return False

    def _close(self) -> None:
        with suppress(PeeweeException):
            self._database.close()

    def _deadline(self) -> AbstractContextManager[None]:
        # The other drivers have time-outs of their own.
        if isinstance(self._database, PostgresqlDatabase):
            return _cut_after(self._database, self._seconds + _GRACE)
        return nullcontext()


def _first(error: PeeweeException) -> PeeweeException:
    """Return the error that *error* followed: SQLite ends a transaction by itself, whose rollback fails then."""
    first, earlier = error, error.__context__
    while earlier:
        first, earlier = earlier if isinstance(earlier, PeeweeException) else first, earlier.__context__
    return first


def _one() -> Select:
    return Select(columns=[SQL("1")])


@contextmanager
def _cut_after(database: Any, seconds: float) -> Iterator[None]:
    """Shut the socket of *database* down if the block takes longer than *seconds*; psycopg would wait for ever."""

    def cut() -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    # A duplicate, because a connection that is lost closes its descriptor, and another file may get the number.
    with socket.socket(fileno=os.dup(database.connection().fileno())) as connection:
        timer = threading.Timer(seconds, cut)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
