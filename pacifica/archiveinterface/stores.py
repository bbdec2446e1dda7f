"""Tables in a database: made when they are first needed, brought to the newest version, and changed by transactions.

What a room keeps in a database is a Store with tables of its own; SQLite, MariaDB and PostgreSQL serve it alike.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote

from peewee import (
    AutoField,
    Database,
    IntegerField,
    InternalError,
    Model,
    MySQLDatabase,
    OperationalError,
    PeeweeException,
    PostgresqlDatabase,
    RawQuery,
    SchemaManager,
    Select,
    TextField,
)

from . import globals as paths
from .connections import Connections, Limits
from .database import connections_to
from .exception import BackendUnavailableError, ConfigurationError
from .globals import LOG_NAME

T = TypeVar("T")
Migration = Callable[[Database], None]
"""Brings tables from one version to the next."""

_MOST_TRIES = 5  # of a transaction that met others
BATCH = 500  # rows of one statement; SQLite and the drivers bound the parameters

_log = logging.getLogger(LOG_NAME)


class EncodedField(TextField):
    """Text of a client or of the storage, percent-encoded: not every database stores every character."""

    def db_value(self, value: str | None) -> str | None:
        """Return what the database stores."""
        return None if value is None else quote(value, safe="/", errors="surrogatepass")

    def python_value(self, value: str | None) -> str | None:
        """Return the text."""
        return None if value is None else decoded(value)


def decoded(value: str) -> str:
    """Return the text that an EncodedField has stored as *value*."""
    return unquote(value, errors="surrogatepass") if "%" in value else value


class VersionRow(Model):
    """One row: the version of the tables, and the archive that they belong to. Each store has a subclass."""

    id = IntegerField(primary_key=True)
    version = IntegerField()
    archive = EncodedField()


class Kind(NamedTuple):
    """What a store keeps: *section* has its option ``database``, *noun* is what it holds; *version_row* its version.

    A database of version n has seen the first n of the *migrations*.
    """

    section: str
    noun: str
    version_row: type[VersionRow]
    migrations: Sequence[Migration]

    @property
    def name(self) -> str:
        """What the database is called in messages."""
        return f"the database of {self.noun}"

    @property
    def lock(self) -> str:
        """The name of the lock that is held while tables are made."""
        return f"pacifica_{self.section}"

    def default_place(self, archive: str) -> Path:
        """Return the SQLite file for the *archive*, a kind of backend and a prefix."""
        directory = Path(os.getenv("STATE_DIRECTORY", "").partition(":")[0] or paths.HOME)
        digest = blake2b(archive.encode(errors="surrogateescape"), digest_size=6).hexdigest()
        return directory / f"{self.section}-{digest}.sqlite3"


def key_of(text: str) -> str:
    """Return what a file or another name is known by in tables, whatever characters are in it."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def in_batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """Yield *items*, at most *size* at a time."""
    for first in range(0, len(items), size):
        yield items[first : first + size]


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


def make_tables(database: Database, tables: Sequence[type[Model]]) -> None:
    """Make *tables*, empty ones; the first migration of a store does this."""
    for manager in [SchemaManager(table, database) for table in tables]:
        manager.drop_table(safe=True)  # MySQL keeps what a process had made that died meanwhile
        manager.create_all(safe=False)
        if isinstance(database, MySQLDatabase):  # names of volumes that differ in case are different
            exact = "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            RawQuery(f"ALTER TABLE {manager.model._meta.table_name} {exact}").execute(database)


class Store:
    """The tables of one kind; any number of threads may share it."""

    def __init__(self, kind: Kind, archive: str, url: str, seconds: float) -> None:
        """Keep what belongs to *archive*, a name for backend and prefix, in the database at *url*.

        Without *url*, a SQLite file. The database may take *seconds* for an answer. Raises ConfigurationError for a
        bad URL.
        """
        place = None if url else kind.default_place(archive)
        limits = Limits(read_timeout=seconds, pool_timeout=seconds, retry_seconds=1, idle_timeout=seconds)
        self._kind, self._archive = kind, archive
        self._directory = place and place.parent
        self._connections: Connections = connections_to(url or f"sqlite:///{place}", kind.name, limits)
        self._lock = threading.Lock()
        self._is_ready = False

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """Return the rows that *query* selects. Raises DatabaseUnavailableError."""
        self.prepare()
        return self._connections.rows(query)

    def change(self, action: Callable[[Database], T], lock: Select | None = None) -> T:
        """Return what *action* returns, which runs in a transaction, again if it had to wait for too long.

        It runs alone, or beside others that do not *lock* the same rows. Raises DatabaseUnavailableError.
        """
        self.prepare()
        row = self._kind.version_row
        locked = row.select(row.id) if lock is None else lock
        for rest in range(_MOST_TRIES - 1, -1, -1):
            try:
                with self._connections.transaction() as database:
                    _wait_for_others(database, locked)
                    return action(database)
            except (OperationalError, InternalError) as error:  # a lock that was held for too long, a full disk
                if not rest:
                    _log.error("%s cannot be changed: %s", self._kind.name, error)
                    name = self._kind.name
                    raise BackendUnavailableError(f"{name} cannot be changed now, try again later") from error
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
            with self._connections.transaction() as database, _alone(database, self._kind.lock):
                migrate(database, self._kind, self._archive)
        except (PeeweeException, OSError) as error:
            _log.error("%s cannot be prepared: %s", self._kind.name, error)
            raise BackendUnavailableError(f"{self._kind.name} cannot be used, the log tells why") from error


def _wait_for_others(database: Database, locked: Select) -> None:
    """Let one transaction at a time change what *locked* stands for, as SQLite does by itself.

    They need the same rows in different orders, and would end each other by deadlocks.
    """
    if database.for_update:
        list(locked.for_update().tuples().execute(database))


@contextmanager
def _alone(database: Database, lock: str) -> Iterator[None]:
    """Keep other processes from making tables in the block; MySQL ends a transaction with each table."""
    if isinstance(database, PostgresqlDatabase):
        _ask(database, "SELECT pg_advisory_xact_lock(hashtext(%s))", lock)
        yield
    elif isinstance(database, MySQLDatabase):
        _ask(database, "SELECT GET_LOCK(%s, 60)", lock)
        try:
            yield
        finally:
            _ask(database, "SELECT RELEASE_LOCK(%s)", lock)
    else:
        yield


def _ask(database: Database, query: str, lock: str) -> None:
    list(RawQuery(query, (lock,)).tuples().execute(database))


def migrate(database: Database, kind: Kind, archive: str, migrations: Sequence[Migration] | None = None) -> None:
    """Bring the tables of *archive* to the newest version. Raises ConfigurationError for tables that are not ours."""
    migrations, row = kind.migrations if migrations is None else migrations, kind.version_row
    SchemaManager(row, database).create_all(safe=True)
    row.insert(id=1, version=0, archive=archive).on_conflict_ignore().execute(database)
    [(version, owner)] = row.select(row.version, row.archive).tuples().execute(database)
    place = f"[{kind.section}] database"
    if owner != archive:
        raise ConfigurationError(f"{place} holds the {kind.noun} of {owner}, not of {archive}: name another")
    if version > len(migrations):
        raise ConfigurationError(f"{place} is of version {version}, newer than this program knows")
    for number in range(version, len(migrations)):
        migrations[number](database)
        row.update(version=number + 1).execute(database)
