"""The database of the recall service: made when it is first needed, and changed by transactions."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from peewee import (
    AutoField,
    Database,
    InternalError,
    MySQLDatabase,
    OperationalError,
    PeeweeException,
    PostgresqlDatabase,
    RawQuery,
    SchemaManager,
)

from ..connections import Connections, Limits
from ..database import connections_to
from ..exception import BackendUnavailableError, ConfigurationError
from ..globals import HOME, LOG_NAME
from .options import RecallOptions
from .tables import TABLES, Lease, Schema

T = TypeVar("T")
Migration = Callable[[Database], None]

NAME = "the database of recalls"
_LOCK = "pacifica_recalls"  # while tables are made
_MOST_TRIES = 5  # of a transaction that met others
BATCH = 500  # rows of one statement; SQLite and the drivers bound the parameters

_log = logging.getLogger(LOG_NAME)


def key_of(file_id: str) -> str:
    """Return what a file is known by in the tables, whatever characters are in its id."""
    return blake2b(file_id.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def in_batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Yield *items*, at most *size* at a time."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


def default_place(archive: str) -> Path:
    """Return the SQLite file for the *archive*, a kind of backend and a prefix."""
    directory = Path(os.getenv("STATE_DIRECTORY", "").partition(":")[0] or HOME)
    digest = blake2b(archive.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return directory / f"recalls-{digest}.sqlite3"


def insert_rows(database: Any, table: Any, rows: Sequence[Mapping[str, object]], *, ignores: bool = False) -> None:
    """Insert *rows*, by the names of their fields, into *table*; *ignores* those that have a unique key of another.

    peewee's insert_many takes most of the time of a request for thousands of files to write the statement.
    """
    fields = [field for field in table._meta.sorted_fields if not isinstance(field, AutoField)]
    quote, end = database.quote
    names = ", ".join(f"{quote}{field.column_name}{end}" for field in fields)
    marks = f"({', '.join([database.param] * len(fields))})"
    verb, clause = _insert_words(database) if ignores else ("INSERT INTO", "")
    for some in in_batches(rows):
        values = [field.db_value(row.get(field.name, field.default)) for row in some for field in fields]
        lines = ", ".join([marks] * len(some))
        statement = f"{verb} {quote}{table._meta.table_name}{end} ({names}) VALUES {lines} {clause}"
        database.execute_sql(statement, values)


def _insert_words(database: Any) -> tuple[str, str]:
    if isinstance(database, PostgresqlDatabase):
        return "INSERT INTO", "ON CONFLICT DO NOTHING"
    return "INSERT IGNORE INTO" if isinstance(database, MySQLDatabase) else "INSERT OR IGNORE INTO", ""


class Store:
    """The tables; any number of threads may share it."""

    def __init__(self, archive: str, options: RecallOptions) -> None:
        """Keep the recalls of *archive*, a name for backend and prefix. Raises ConfigurationError for a bad URL."""
        place = None if options.database else default_place(archive)
        url = options.database or f"sqlite:///{place}"
        seconds = options.database_timeout
        limits = Limits(read_timeout=seconds, pool_timeout=seconds, retry_seconds=1, idle_timeout=seconds)
        self._archive = archive
        self._directory = place and place.parent
        self._connections: Connections = connections_to(url, NAME, limits)
        self._lock = threading.Lock()
        self._is_ready = False

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """Return the rows that *query* selects. Raises DatabaseUnavailableError."""
        self.prepare()
        return self._connections.rows(query)

    def change(self, action: Callable[[Database], T]) -> T:
        """Return what *action* returns, which runs in a transaction, alone, again if it had to wait for too long.

        Raises DatabaseUnavailableError.
        """
        self.prepare()
        for rest in range(_MOST_TRIES - 1, -1, -1):
            try:
                with self._connections.transaction() as database:
                    _wait_for_others(database)
                    return action(database)
            except (OperationalError, InternalError) as error:  # a lock that was held for too long, a full disk
                if not rest:
                    _log.error("%s cannot be changed: %s", NAME, error)
                    raise BackendUnavailableError(f"{NAME} cannot be changed now, try again later") from error
        raise AssertionError("not reached")

    def prepare(self) -> None:
        """Make the tables, or bring them to this version, unless that was done. Raises ConfigurationError."""
        if self._is_ready:
            return
        with self._lock:
            if not self._is_ready:
                self._make_tables()
                self._is_ready = True

    def _make_tables(self) -> None:
        try:
            if self._directory:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._connections.transaction() as database, _alone(database):
                migrate(database, self._archive)
        except (PeeweeException, OSError) as error:
            _log.error("%s cannot be prepared: %s", NAME, error)
            raise BackendUnavailableError(f"{NAME} cannot be used, the log tells why") from error


def _wait_for_others(database: Database) -> None:
    """Let one transaction at a time change the tables, as SQLite does by itself.

    They need the same rows in different orders, and would end each other by deadlocks.
    """
    if database.for_update:
        list(Schema.select(Schema.id).for_update().tuples().execute(database))


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Keep other processes from making tables in the block; MySQL ends a transaction with each table."""
    if isinstance(database, PostgresqlDatabase):
        _ask(database, "SELECT pg_advisory_xact_lock(hashtext(%s))")
        yield
    elif isinstance(database, MySQLDatabase):
        _ask(database, "SELECT GET_LOCK(%s, 60)")
        try:
            yield
        finally:
            _ask(database, "SELECT RELEASE_LOCK(%s)")
    else:
        yield


def _ask(database: Database, query: str) -> None:
    list(RawQuery(query, (_LOCK,)).tuples().execute(database))


def _first_tables(database: Database) -> None:
    for manager in [SchemaManager(table, database) for table in TABLES]:
        manager.drop_table(safe=True)  # MySQL keeps what a process had made that died meanwhile
        manager.create_all(safe=False)
        if isinstance(database, MySQLDatabase):  # names of volumes that differ in case are different
            exact = "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            RawQuery(f"ALTER TABLE {manager.model._meta.table_name} {exact}").execute(database)
    Lease.insert(
        id=1, holder="", beat=0, clock=0, completed_files=0, completed_bytes=0, failed_files=0, files_per_second=0
    ).execute(database)


MIGRATIONS: tuple[Migration, ...] = (_first_tables,)
"""What leads from each version of the tables to the next; a database of version n has seen the first n of them."""


def migrate(database: Database, archive: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the tables of *archive* to the newest version. Raises ConfigurationError for tables that are not ours."""
    SchemaManager(Schema, database).create_all(safe=True)
    Schema.insert(id=1, version=0, archive=archive).on_conflict_ignore().execute(database)
    [(version, owner)] = Schema.select(Schema.version, Schema.archive).tuples().execute(database)
    if owner != archive:
        raise ConfigurationError(f"[recalls] database holds the recalls of {owner}, not of {archive}: name another")
    if version > len(migrations):
        raise ConfigurationError(f"[recalls] database is of version {version}, newer than this program knows")
    for number in range(version, len(migrations)):
        migrations[number](database)
        Schema.update(version=number + 1).execute(database)
