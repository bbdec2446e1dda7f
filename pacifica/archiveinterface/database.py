"""A peewee database from a URL, or from the parameters of its driver: SQLite, MySQL and MariaDB, PostgreSQL."""

from collections.abc import Callable
from importlib.util import find_spec
from math import ceil
from typing import Any
from urllib.parse import unquote, urlsplit

from peewee import Database, MySQLDatabase, PostgresqlDatabase, SqliteDatabase
from playhouse.db_url import parse

from .connections import Connections, Limits
from .exception import ConfigurationError

_LOCK_SHARE = 0.5  # of the time for an answer: a lock may be waited for so long, so that this is told from a failure


def connections_to(url: str, name: str, limits: Limits | None = None) -> Connections:
    """Return the connections to the database at *url*, which messages call *name*.

    ``sqlite:////path/of/file``, ``mysql://user:password@host/database``, the same with ``mariadb``, or
    ``postgresql://user:password@host/database``; special characters in user and password are percent-encoded. What
    follows a ``?`` are parameters of the driver, for example those of TLS. Raises ConfigurationError, which does not
    show the URL.
    """
    limits = limits or Limits()
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
        parameters = parse(url, unquote_password=True)
    except ValueError:  # its text may show the password
        raise ConfigurationError(f"the URL of {name}: host or port is malformed") from None
    make = _MAKERS.get(scheme)
    if make is None:
        raise ConfigurationError(f"the URL of {name}: the scheme is not one of {', '.join(_MAKERS)}")
    if parameters["database"] in ("", ":memory:"):
        raise ConfigurationError(f"the URL of {name}: no database is named")
    if make is postgresql and not find_spec("psycopg"):
        raise ConfigurationError("postgresql needs psycopg: pip install 'pacifica-archiveinterface[postgresql]'")
    if "user" in parameters:
        parameters["user"] = unquote(parameters["user"])
    if "passwd" in parameters:  # an old name that PyMySQL warns of
        parameters["password"] = parameters.pop("passwd")
    server = f"{name[:1].upper()}{name[1:]} at {host or parameters['database']}"
    return Connections(lambda: make(limits, **parameters), name, server, limits)


def sqlite(limits: Limits, database: str, **parameters: Any) -> Database:
    """Return the SQLite database in the file *database*, in WAL mode: readers and a writer do not block each other."""
    given = {"timeout": limits.read_timeout, "pragmas": {"journal_mode": "wal"}, **parameters}
    # One thread after the other uses a connection of the pool.
    return SqliteDatabase(database, thread_safe=False, autoconnect=False, check_same_thread=False, **given)


def mysql(limits: Limits, database: str, **parameters: Any) -> Database:
    """Return the MySQL or MariaDB *database*, with *parameters* of PyMySQL."""
    given = {
        **({"init_command": _bounded(limits)} if limits.idle_timeout else {}),
        "charset": "utf8mb4",
        "connect_timeout": limits.connect_timeout,
        "read_timeout": limits.read_timeout,
        "write_timeout": limits.read_timeout,
        **parameters,
    }
    # Its TEXT ends at 64 KiB; that of the others has no bound.
    types = {"TEXT": "MEDIUMTEXT"}
    return MySQLDatabase(database, thread_safe=False, autoconnect=False, field_types=types, **given)


def _bounded(limits: Limits) -> str:
    """Return the statement that bounds how long locks are waited for, and held by who says nothing.

    The first comment is for MariaDB only, the second for MySQL only, which can but end idle connections.
    """
    wait, idle = ceil(_LOCK_SHARE * limits.read_timeout), ceil(limits.idle_timeout)
    return (
        f"SET SESSION innodb_lock_wait_timeout = {wait}"
        f" /*M!100301 , idle_transaction_timeout = {idle} */ /*!80000 , wait_timeout = {idle} */"
    )


def postgresql(limits: Limits, database: str, **parameters: Any) -> Database:
    """Return the PostgreSQL *database*, with *parameters* of libpq."""
    settings = {
        "statement_timeout": limits.read_timeout,
        "lock_timeout": _LOCK_SHARE * limits.read_timeout,
        "idle_in_transaction_session_timeout": limits.idle_timeout,
    }
    given = {
        "connect_timeout": ceil(limits.connect_timeout),
        "options": " ".join(f"-c {name}={ceil(seconds * 1000)}" for name, seconds in settings.items()),
        **parameters,
    }
    return PostgresqlDatabase(database, thread_safe=False, autoconnect=False, prefer_psycopg3=True, **given)


_MAKERS: dict[str, Callable[..., Database]] = {
    "sqlite": sqlite,
    "mysql": mysql,
    "mariadb": mysql,
    "postgresql": postgresql,
}
