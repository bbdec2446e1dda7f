"""A private PostgreSQL server: its own data directory, a socket and a free port of the loopback address.

It runs as the user who runs the tests, or as nobody for root, whom PostgreSQL refuses, from the programs of Debian's
postgresql, and reads no configuration of the machine.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.support.process_tree import children
from tests.support.processes import suspend
from tests.support.service import free_port
from tests.support.waiting import await_true

ADMINISTRATOR = "administrator"
START_TIMEOUT = 60.0  # seconds


class PostgreSQLError(Exception):
    """The server could not be installed or started."""


def program(name: str) -> str:
    """Return the path of a program of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        raise PostgreSQLError(f"{name} is not there: apt-get install postgresql")
    return str(found[-1])


class PostgreSQL:
    """A server that keeps its data in *directory*, which must not be there at first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = "127.0.0.1"
        self.port = free_port()
        self._user = "nobody" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700)
        if self._user:
            shutil.chown(directory, self._user)
        command = [program("initdb"), "-D", str(directory / "data"), "-U", ADMINISTRATOR, "-E", "UTF8", "--locale=C"]
        command += ["--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
        done = subprocess.run(command, user=self._user, cwd="/", capture_output=True, check=False)
        if done.returncode:
            raise PostgreSQLError(f"initdb failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def start(self) -> None:
        """Start the server and return when it answers."""
        log = self.directory / "server.log"
        command = [program("postgres"), "-D", str(self.directory / "data"), "-k", str(self.directory)]
        command += ["-h", self.host, "-p", str(self.port), "-c", "fsync=off"]
        command += ["-c", "autovacuum=off"]  # a process for each of many databases, every minute
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgreSQLError(f"postgres did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and all its connections, and wait for it."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._process:
            suspend(self._process.pid)  # it starts no more processes then
            pids = self.pids
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(60)
            self._process = None
            await_true(lambda: not any(map(_has_memory, pids)))  # which the next server would find in use

    @property
    def pids(self) -> list[int]:
        """The server and the processes that serve its connections."""
        assert self._process
        return [self._process.pid, *children(self._process.pid)]

    def execute(self, statement: str, *parameters: object, database: str = "postgres") -> list[Any]:
        """Run a statement as the administrator and return its rows."""
        with self._administrator(database) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def create_account(self, user: str) -> str:
        """Create *user* with a database of the same name, and return the user's password."""
        return self._create(user, "postgres", "CREATE DATABASE {0} OWNER {0}")

    def create_schema(self, user: str, database: str) -> str:
        """Create *user* with a schema for the user's tables in the *database*, and return the user's password."""
        return self._create(user, database, "CREATE SCHEMA AUTHORIZATION {0}")

    def _create(self, user: str, database: str, place: str) -> str:
        password = secrets.token_hex(16)
        with self._administrator(database) as connection:
            for text in ("CREATE USER {0} PASSWORD {1}", place):
                connection.execute(psycopg.sql.SQL(text).format(psycopg.sql.Identifier(user), password))
        return password

    @contextmanager
    def _administrator(self, database: str) -> Iterator["psycopg.Connection[Any]"]:
        connection = psycopg.connect(
            host=str(self.directory), port=self.port, user=ADMINISTRATOR, dbname=database, autocommit=True
        )
        try:
            yield connection
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _has_memory(pid: int) -> bool:
    with suppress(OSError):  # it has ended
        return bool(Path(f"/proc/{pid}/maps").read_text())
    return False
