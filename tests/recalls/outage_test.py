"""A database that is gone, stands still, is locked or full, and comes back."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface.connections import DatabaseUnavailableError
from pacifica.archiveinterface.exception import BackendUnavailableError
from pacifica.archiveinterface.recalls.tables import Recall, Request
from tests.recalls.conftest import Open
from tests.support.crashes import runs_to_the_end
from tests.support.databases import DatabaseServer, mariadb_server, postgresql_server
from tests.support.mounts import mounted_new, require_mounts
from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape

SERVERS = {"mariadb": mariadb_server, "postgresql": postgresql_server}


@contextmanager
def killed(server: DatabaseServer) -> Iterator[None]:
    """Have no server in the block."""
    server.server.kill()
    try:
        yield
    finally:
        server.server.start()


OUTAGES: dict[str, Callable[[DatabaseServer], AbstractContextManager[None]]] = {
    "killed": killed,
    "suspended": DatabaseServer.suspended,
}


@pytest.mark.parametrize("kind", OUTAGES)
@pytest.mark.parametrize(("url", "server"), [(name, name) for name in SERVERS], indirect=["url"])
def test_recalls_go_on_when_the_database_comes_back(open_site: Open, tape: Tape, server: str, kind: str) -> None:
    site = open_site(database_timeout=0.5, timeout=30.0)
    tape.add("1", "2", "3", "4", volume="A")
    started = site.submit("1", "2")
    site.work()
    waiting = site.submit("3")
    with OUTAGES[kind](SERVERS[server]()):
        with pytest.raises(DatabaseUnavailableError):
            site.submit("4")
        with pytest.raises(DatabaseUnavailableError):
            site.service.progress(started)
        for _ in range(2):
            site.clock.go_on(20)
            assert site.recaller.turn() > 0
        tape.run()
    site.clock.go_on(2)
    assert site.states(started) == {"1": "STARTED", "2": "STARTED"}
    site.recall(6)
    assert (site.states(started), site.states(waiting)) == ({"1": "COMPLETED", "2": "COMPLETED"}, {"3": "COMPLETED"})
    assert tape.recalls == {"1": 1, "2": 1, "3": 1}


@pytest.mark.parametrize(("url", "server"), [(name, name) for name in SERVERS], indirect=["url"])
def test_nothing_is_answered_without_the_database(open_site: Open, tape: Tape, server: str) -> None:
    site = open_site()
    tape.add("1", volume="A")
    request = site.submit("1")
    with killed(SERVERS[server]()):
        for action in (
            lambda: site.service.ask("1"),
            lambda: site.service.cancel(request, wishes("1")),
            lambda: site.service.release(request, wishes("1")),
            lambda: site.service.delete(request),
            site.service.report,
        ):
            site.clock.go_on(2)  # after a failure nobody asks for a second
            with pytest.raises(DatabaseUnavailableError):
                action()
    site.clock.go_on(2)
    assert site.states(request) == {"1": "SUBMITTED"}


@pytest.mark.parametrize(("url", "server"), [(name, name) for name in SERVERS], indirect=["url"])
def test_a_recaller_whose_connections_are_closed_goes_on(open_site: Open, tape: Tape, server: str) -> None:
    site = open_site()
    tape.add("1", volume="A")
    request = site.submit("1")
    for _ in range(4):
        SERVERS[server]().kill_connections()
        site.work()
        tape.run()
    assert site.states(request) == {"1": "COMPLETED"}


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_sqlite_file_that_is_locked_for_long_is_told_of_and_loses_nothing(
    open_site: Open, url: str, tape: Tape
) -> None:
    site = open_site(database_timeout=0.1)
    tape.add("1", volume="A")
    request = site.submit("1")
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BackendUnavailableError, match="cannot be changed now"):
        site.submit("1")
    assert site.recaller.turn() > 0
    assert site.states(request) == {"1": "SUBMITTED"}
    other.execute("ROLLBACK")
    site.recall()
    assert site.states(request) == {"1": "COMPLETED"}


def test_a_database_that_is_full_takes_no_half_request(tmp_path: Path, tape: Tape) -> None:
    require_mounts()
    with mounted_new(tmp_path, "ext4", 8 << 20) as root:
        # In a process of its own, because nothing may be open there at the end.
        assert runs_to_the_end(partial(_fill, root, tape))


def _fill(root: Path, tape: Tape) -> None:
    site = Site(f"sqlite:///{root / 'recalls.sqlite3'}", tape)
    names = [f"{number:0200}" for number in range(3000)]
    first = site.submit(*names[:10])
    ballast = root / "ballast"
    ballast.write_bytes(bytes(_free(root) - (1 << 20)))
    with pytest.raises(BackendUnavailableError, match="cannot be changed now") as caught:
        site.submit(*names)
    assert "full" in str(caught.value.__cause__)
    assert site.store.rows(Request.select(Request.id).tuples()) == [(first,)]
    assert len(site.store.rows(Recall.select(Recall.id).tuples())) == 10
    assert set(site.states(first).values()) == {"SUBMITTED"}
    ballast.unlink()
    assert len(site.files(site.submit(*names))) == len(names)


def _free(root: Path) -> int:
    found = os.statvfs(root)
    return found.f_bavail * found.f_frsize
