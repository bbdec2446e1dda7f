"""A private MariaDB server: its own data directory, a socket and a free port of the loopback address.

It runs as the user who runs the tests, from the programs of Debian's mariadb-server-core, and reads no configuration
of the machine.
"""

import atexit
import functools
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql

from tests.support.server_process import free_ports

SYSTEM_SQL = [Path("/usr/share/mysql"), Path("/usr/share/mariadb")]
START_TIMEOUT = 60.0  # seconds


class MariaDBError(Exception):
    """The server could not be installed, started or stopped."""


class MariaDB:
    """A server that keeps its data in *directory*, which must not be there or be empty at first.

    It is started with *options* besides its own.
    """

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self.directory = directory
        self.options = options
        self.socket = directory / "s"
        self.host = "127.0.0.1"
        (self.port,) = free_ports(1)
        self._password_file = directory / "root-password"
        self._process: subprocess.Popen[bytes] | None = None
        if not self._password_file.exists():
            self._install()

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._command(),
                    f"--socket={self.socket}",
                    f"--bind-address={self.host}",
                    f"--port={self.port}",
                    "--innodb-flush-log-at-trx-commit=2",
                    "--max-connections=100",
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Ask the server to end and wait for it."""
        if self._process:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(60)
            self._process = None

    def restart(self) -> None:
        """Stop the server, if it runs, and start it again on the same port."""
        self.stop()
        self.start()

    @contextmanager
    def administrator(self, database: str | None = None) -> Iterator["pymysql.Connection[Any]"]:
        """Give a connection that may do everything, closed at the end."""
        connection = pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            password=self._password_file.read_text(),
            database=database,
            charset="latin1",
            use_unicode=False,
            autocommit=True,
            ssl_disabled=True,  # reading the machine's certificates takes longer than all the rest
        )
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run *statements* as the administrator and return the rows of the last one."""
        with self.administrator(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> None:
        """Create the latin1 database *name*, empty."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`", f"CREATE DATABASE `{name}` CHARACTER SET latin1")

    def create_account(self, user: str, password: str, grant: str, host: str = "", require: str = "NONE") -> None:
        """Create or replace *user*, who may do what *grant* says: ``SELECT ON samdb.*``."""
        account = f"`{user}`@`{host or self.host}`"
        self.execute(
            f"CREATE OR REPLACE USER {account} IDENTIFIED BY '{password}' REQUIRE {require}",
            f"GRANT {grant} TO {account}",
        )

    def kill_connections(self, user: str) -> int:
        """End every connection of *user*, as ``KILL`` does, and return how many there were."""
        ids = [row[0] for row in self.execute(f"SELECT id FROM information_schema.processlist WHERE user = '{user}'")]
        for connection_id in ids:
            with suppress(pymysql.err.OperationalError):  # it has ended meanwhile
                self.execute(f"KILL {int(connection_id)}")
        return len(ids)

    def connections(self, user: str) -> int:
        """Return how many connections *user* has open."""
        [[count]] = self.execute(f"SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'")
        return int(count)

    def _command(self) -> list[str]:
        program = shutil.which("mariadbd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        if not program:
            raise MariaDBError("mariadbd is not there: apt-get install mariadb-server-core")
        command = [
            program,
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--tmpdir={self.directory}",
            f"--pid-file={self.directory / 'pid'}",
            f"--plugin-dir={self.directory}",
            "--innodb-buffer-pool-size=16M",
            "--innodb-log-file-size=8M",
            "--innodb-doublewrite=0",
            "--innodb-flush-method=nosync",  # only the machine's crash could lose anything
            "--debug-no-sync",  # nor are the files synced that InnoDB does not write
            "--innodb-file-per-table=OFF",  # tables are made all the time: without files of their own, in a third
            "--innodb-stats-persistent=OFF",  # of the time
            "--performance-schema=OFF",
            "--skip-log-bin",
            "--skip-name-resolve",
        ]
        return [*command, "--user=root"] if os.geteuid() == 0 else command

    def _install(self) -> None:
        (self.directory / "data").mkdir(parents=True)
        self.directory.chmod(0o700)
        password = secrets.token_hex(16)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(password)
        script = "\n".join(
            [
                "CREATE DATABASE mysql;\nUSE mysql;",
                "SET @auth_root_socket = NULL;\nSET @skip_auth_anonymous = 1;",
                _system_sql("mysql_system_tables.sql"),
                _system_sql("mysql_system_tables_data.sql"),
                "DELETE FROM global_priv WHERE User = 'root' AND Host <> 'localhost';",
                f"FLUSH PRIVILEGES;\nALTER USER root@localhost IDENTIFIED BY '{password}';\n",
            ]
        )
        done = subprocess.run(
            [*self._command(), "--bootstrap", "--skip-networking"],
            input=script.encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise MariaDBError(f"mariadbd --bootstrap failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self.execute("SELECT 1")
            except pymysql.err.OperationalError as error:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    log = (self.directory / "server.log").read_text(errors="replace")
                    raise MariaDBError(f"mariadbd did not start: {log[-2000:]}") from error
                time.sleep(0.05)
            else:
                return


@functools.cache
def shared_server() -> MariaDB:
    """Return the server that the tests of this process share; it runs until they end."""
    directory = tempfile.mkdtemp(prefix="mariadb-")
    server = MariaDB(Path(directory) / "server")
    server.start()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    return server


def _system_sql(name: str) -> str:
    """Return the script *name* that came with the server."""
    for directory in SYSTEM_SQL:
        if (directory / name).exists():
            return (directory / name).read_text()
    raise MariaDBError(f"{name} is not there: apt-get install mariadb-server-core")
