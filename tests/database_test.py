"""Connections to SQLite, MariaDB and PostgreSQL: bounds, time-outs, failures and what comes back after them."""

import logging
import os
import socket
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peewee import CharField, IntegerField, IntegrityError, Model, PeeweeException, RawQuery

from pacifica.archiveinterface.connections import Connections, DatabaseUnavailableError, Limits
from pacifica.archiveinterface.database import connections_to
from pacifica.archiveinterface.exception import ConfigurationError
from tests.support.databases import DatabaseServer, mariadb_server, postgresql_server
from tests.support.postgresql import PostgreSQL
from tests.support.service import TIMEOUT

LIMITS = Limits(pool_size=3, pool_timeout=TIMEOUT, connect_timeout=2, read_timeout=1, retry_seconds=0)


class Note(Model):
    """A row to write."""

    number = IntegerField(unique=True)
    text = CharField()


SERVERS = {"mariadb": mariadb_server, "postgresql": postgresql_server}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each server in turn."""
    return SERVERS[request.param]()


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return SERVERS[request.param]().url


def connect(url: str, **changes: Any) -> Connections:
    """Return connections with some of the limits changed."""
    return connections_to(url, "the test database", replace(LIMITS, **changes))


def one(connections: Connections) -> int:
    """Return 1, as the database says."""
    [(answer,)] = connections.rows(RawQuery("SELECT 1"))
    return int(answer)


@pytest.fixture
def notes(url: str) -> Connections:
    """Connections to a database with an empty table of notes."""
    connections = connect(url, read_timeout=TIMEOUT)
    with connections.transaction() as database, database.bind_ctx([Note]):
        database.drop_tables([Note])
        database.create_tables([Note])
    return connections


def numbers(connections: Connections) -> list[int]:
    """Return the numbers of all notes."""
    return [number for (number,) in connections.rows(Note.select(Note.number).order_by(Note.number))]


def write(connections: Connections, *numbers: int, then: Callable[[], object] = bool) -> None:
    """Write notes in one transaction, and do something before it ends."""
    with connections.transaction() as database:
        for number in numbers:
            Note.insert(number=number, text="🖉 é").execute(database)
        then()


def ask_after(connections: Connections, event: Callable[[], object]) -> None:
    """Ask in a transaction after something has happened."""
    with connections.transaction() as database:
        event()
        RawQuery("SELECT 1").execute(database)


def test_what_a_transaction_wrote_is_read(notes: Connections) -> None:
    write(notes, 1, 2)
    assert numbers(notes) == [1, 2]
    assert notes.rows(Note.select(Note.text).where(Note.number == 1)) == [("🖉 é",)]


def test_a_transaction_that_fails_wrote_nothing(notes: Connections) -> None:
    with pytest.raises(ZeroDivisionError):
        write(notes, 1, then=lambda: 1 // 0)
    assert numbers(notes) == []


def test_a_constraint_is_no_failure_of_the_database(notes: Connections) -> None:
    write(notes, 1)
    with pytest.raises(IntegrityError):
        write(notes, 2, 1)
    assert numbers(notes) == [1]


def test_threads_share_the_pool(notes: Connections) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: write(notes, number), range(40)))
        found = list(threads.map(lambda _: numbers(notes), range(8)))
    assert found == [list(range(40))] * 8


def test_the_pool_opens_no_more_connections_than_it_may(server: DatabaseServer) -> None:
    connections = connect(server.url)
    who = "SELECT pg_backend_pid()" if isinstance(server.server, PostgreSQL) else "SELECT CONNECTION_ID()"
    with ThreadPoolExecutor(12) as threads:
        found = [row for rows in threads.map(lambda _: connections.rows(RawQuery(who)), range(200)) for row in rows]
    assert len(found) == 200
    assert 1 <= len(set(found)) <= LIMITS.pool_size


def test_who_waits_too_long_for_a_connection_is_told(url: str) -> None:
    connections = connect(url, pool_size=1, pool_timeout=0.05)
    with connections.transaction(), pytest.raises(DatabaseUnavailableError, match="in use"):
        one(connections)
    assert one(connections) == 1


def test_a_forked_child_has_connections_of_its_own(url: str) -> None:
    connections = connect(url)
    assert one(connections) == 1
    child = os.fork()
    if child == 0:
        os._exit(0 if one(connections) == 1 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert one(connections) == 1


def test_a_server_that_was_killed_comes_back(server: DatabaseServer, caplog: pytest.LogCaptureFixture) -> None:
    connections = connect(server.url)
    assert one(connections) == 1
    server.server.kill()
    try:
        with pytest.raises(DatabaseUnavailableError, match="the test database does not answer"):
            one(connections)
        with pytest.raises(DatabaseUnavailableError):
            write(connections)
    finally:
        server.server.start()
    assert one(connections) == 1
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("The test database at 127.0.0.1 does not answer: ")
    assert told[-1] == "The test database at 127.0.0.1 answers again"


def test_a_transaction_whose_server_dies_fails(server: DatabaseServer) -> None:
    connections = connect(server.url)

    def restart() -> None:
        server.server.kill()
        server.server.start()

    with pytest.raises(DatabaseUnavailableError):
        ask_after(connections, restart)
    assert one(connections) == 1


@pytest.mark.parametrize("is_new", [True, False])
def test_a_server_that_is_stopped_is_not_waited_for(server: DatabaseServer, is_new: bool) -> None:
    connections = connect(server.url)
    if not is_new:
        assert one(connections) == 1
    with server.suspended(), pytest.raises(DatabaseUnavailableError):
        one(connections)
    assert one(connections) == 1


def test_a_transaction_does_not_wait_for_a_server_that_is_stopped(server: DatabaseServer) -> None:
    connections = connect(server.url)
    with ExitStack() as stack, pytest.raises(DatabaseUnavailableError):
        ask_after(connections, lambda: stack.enter_context(server.suspended()))
    assert one(connections) == 1


def test_a_statement_that_takes_too_long_ends(server: DatabaseServer) -> None:
    connections = connect(server.url)
    sleep = "SELECT pg_sleep(600)" if isinstance(server.server, PostgreSQL) else "SELECT SLEEP(600)"
    with pytest.raises(DatabaseUnavailableError):
        connections.rows(RawQuery(sleep))
    assert one(connections) == 1


def test_after_a_failure_nobody_asks_for_a_while(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("pacifica.archiveinterface.connections.time.monotonic", lambda: now[0])
    connections = connect(server.url, retry_seconds=5)
    with pytest.raises(DatabaseUnavailableError, match="does not answer"):
        connections.rows(RawQuery("SELECT nonsense FROM nowhere"))
    with pytest.raises(DatabaseUnavailableError, match="failed a moment ago"):
        one(connections)
    now[0] += 5
    assert one(connections) == 1


def test_an_idle_connection_that_the_server_closed_is_opened_again(server: DatabaseServer) -> None:
    connections = connect(server.url)
    assert one(connections) == 1
    server.kill_connections()
    ask_after(connections, bool)


def test_readers_do_not_wait_for_the_writer_of_sqlite(tmp_path: Path) -> None:
    connections = connect(f"sqlite:///{tmp_path / 'test.db'}")
    with connections.transaction() as database, database.bind_ctx([Note]):
        database.create_tables([Note])
    seen = []
    write(connections, 1, then=lambda: seen.extend(numbers(connections)))
    assert (seen, numbers(connections)) == ([], [1])


def test_a_writer_of_sqlite_waits_for_another_one_and_not_for_ever(tmp_path: Path) -> None:
    connections = connect(f"sqlite:///{tmp_path / 'test.db'}", read_timeout=0.1)
    assert one(connections) == 1
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(PeeweeException, match="locked"):
        write(connections)
    other.execute("ROLLBACK")
    other.close()
    write(connections)


def test_no_file_stays_open(tmp_path: Path) -> None:
    connections = connect(f"sqlite:///{tmp_path / 'test.db'}")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: one(connections), range(100)))
    files = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    assert sum(name == str(tmp_path / "test.db") for name in files) <= LIMITS.pool_size


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "scheme"),
        ("S3CRET", "scheme"),
        ("oracle://user:S3CRET@host/name", "scheme is not one of sqlite, mysql, mariadb, postgresql"),
        ("mysql://user:S3CRET@host", "no database is named"),
        ("mysql://user:S3CRET@host/", "no database is named"),
        ("mysql://user:S3CRET/name", "host or port is malformed"),
        ("postgresql://user:S3CRET@host:port/name", "host or port is malformed"),
        ("postgresql://user:S3CRET@[host/name", "host or port is malformed"),
        ("sqlite:///", "no database is named"),
        ("sqlite:///:memory:", "no database is named"),
    ],
)
def test_a_wrong_url_is_told_without_the_password(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="the URL of the test database: ") as caught:
        connect(url)
    assert said in str(caught.value)
    assert "S3CRET" not in str(caught.value)


def test_a_wrong_password_is_not_shown(server: DatabaseServer, caplog: pytest.LogCaptureFixture) -> None:
    user, _, rest = server.url.partition("@")
    wrong = f"{user.rpartition(':')[0]}:S3CRET@{rest}"
    with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseUnavailableError) as caught:
        one(connect(wrong))
    assert "S3CRET" not in str(caught.value)
    assert "S3CRET" not in caplog.text
    assert "does not answer: " in caplog.text


def test_a_host_that_accepts_and_says_nothing_is_given_up() -> None:
    for scheme in ("mysql", "postgresql"):
        with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(DatabaseUnavailableError):
            one(connect(f"{scheme}://user:password@127.0.0.1:{deaf.getsockname()[1]}/name"))
