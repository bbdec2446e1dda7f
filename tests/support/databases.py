"""Private servers of databases, one of each kind for the tests of a process, and databases in them."""

import atexit
import functools
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.mariadb import MariaDB
from tests.support.needs import need, refuse_or_skip
from tests.support.postgresql import PostgreSQL, PostgreSQLError, program
from tests.support.processes import suspend

USER = "recall"
_PASSWORD = "p@ss/word"  # with characters that a URL has to escape

_numbers = itertools.count(1)


class DatabaseServer:
    """What a test does to a database server, MariaDB or PostgreSQL; *url* is that of its first database."""

    def __init__(self, server: MariaDB | PostgreSQL) -> None:
        self.server = server
        self._host = f"127.0.0.1:{server.port}"
        if isinstance(server, MariaDB):
            server.create_account(USER, _PASSWORD, f"ALL ON `{USER}%`.*")
            self._url = f"mariadb://{USER}:p%40ss%2Fword@{self._host}/{{}}?ssl_disabled=true"
            server.execute(f"CREATE DATABASE {USER} CHARACTER SET utf8mb4")
        else:
            password = server.create_account(USER)
            self._url = f"postgresql://{USER}:{password}@{self._host}/{{}}"
        self.url = self._url.format(USER)

    def new_database(self, character_set: str = "utf8mb4") -> str:
        """Return the URL of a new database; the *character_set* is for MariaDB, PostgreSQL has UTF-8 always."""
        name = f"{USER}_{next(_numbers)}"
        if isinstance(self.server, MariaDB):
            self.server.execute(f"CREATE DATABASE {name} CHARACTER SET {character_set}")
        else:
            self.server.execute(f"CREATE DATABASE {name} OWNER {USER}")
        return self._url.format(name)

    def new_url(self) -> str:
        """Return the URL of an empty database, or of an empty schema.

        A user of PostgreSQL gets a schema for it, because a database costs much: it has hundreds of files.
        """
        if isinstance(self.server, MariaDB):
            return self.new_database()
        name = f"{USER}_{next(_numbers)}"
        return f"postgresql://{name}:{self.server.create_schema(name, USER)}@{self._host}/{USER}"

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Stop the server, and let it go on after the block."""
        pids = self.server.pids if isinstance(self.server, PostgreSQL) else [self.server.pid or 0]
        suspend(*pids)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @property
    def deadlocks(self) -> int:
        """How many transactions were ended because of deadlocks."""
        if isinstance(self.server, MariaDB):
            [(_, count)] = self.server.execute("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
        else:
            [(count,)] = self.server.execute("SELECT SUM(deadlocks) FROM pg_stat_database")
        return int(count)

    def kill_connections(self) -> None:
        """Close all connections of the tests."""
        if isinstance(self.server, MariaDB):
            self.server.kill_connections(USER)
        else:
            self.server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE %s", f"{USER}%"
            )


@functools.cache
def mariadb_server() -> DatabaseServer:
    """Return the MariaDB server of this process, which runs until it ends."""
    need("mariadbd")
    directory = _directory("mariadb-")
    server = MariaDB(directory / "server")
    server.start()
    atexit.register(server.kill)  # at once: pytest-xdist gives its workers ten seconds to end
    return DatabaseServer(server)


@functools.cache
def postgresql_server() -> DatabaseServer:
    """Return the PostgreSQL server of this process, which runs until it ends."""
    try:
        program("postgres")
    except PostgreSQLError as error:
        refuse_or_skip(str(error))
    directory = _directory("postgresql-")
    directory.chmod(0o711)  # nobody has to find the way
    server = PostgreSQL(directory / "server")
    server.start()
    atexit.register(server.kill)  # at once: pytest-xdist gives its workers ten seconds to end
    return DatabaseServer(server)


NEW_URL: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda directory: f"sqlite:///{directory / 'database.sqlite3'}",
    "mariadb": lambda directory: mariadb_server().new_url(),
    "postgresql": lambda directory: postgresql_server().new_url(),
}
"""Return the URL of a place for tables of each kind; that of SQLite is in the directory given."""


def _directory(prefix: str) -> Path:
    directory = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)
