"""How the tables of recalls come into being, and how they change with the versions of the program."""

from functools import partial
from pathlib import Path

import pytest
from peewee import Database, RawQuery

from pacifica.archiveinterface.connections import Limits
from pacifica.archiveinterface.database import connections_to
from pacifica.archiveinterface.exception import ConfigurationError
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.store import MIGRATIONS, RECALLS, Store
from pacifica.archiveinterface.stores import migrate
from tests.recalls.conftest import Open
from tests.support.crashes import Points, die, ends_well, passing, runs_to_the_end, started
from tests.support.databases import mariadb_server
from tests.support.recall_site import ARCHIVE, Site, recall_options
from tests.support.tape import Tape

PROCESSES = 4


def newer(database: Database) -> None:
    """Change a table, as a later version of the program may."""
    RawQuery("ALTER TABLE recall_request ADD COLUMN colour VARCHAR(10)").execute(database)


def version_after(url: str, *more: object) -> None:
    """Bring the tables to a version that has *more* migrations than this program."""
    with connections_to(url, "the database", Limits()).transaction() as database:
        migrate(database, RECALLS, ARCHIVE, [*MIGRATIONS, *[newer for _ in more]])


def test_tables_of_an_older_version_are_migrated_and_keep_what_they_hold(open_site: Open, url: str, tape: Tape) -> None:
    tape.add("1", volume="A")
    site = open_site()
    request = site.submit("1")
    version_after(url, "another")
    site.recall()
    assert site.states(request) == {"1": "COMPLETED"}
    rows = site.store.rows(RawQuery("SELECT id, colour FROM recall_request"))
    assert rows == [(request, None)]
    version_after(url, "another")  # which does nothing now


def test_tables_of_a_newer_version_are_refused(open_site: Open, url: str) -> None:
    open_site().submit("1")
    version_after(url, "another")
    with pytest.raises(ConfigurationError, match="newer than this program"):
        open_site().submit("1")


@pytest.mark.parametrize("other", ["tape /other", "tape /archive ", "TAPE /archive", "tape /\udcff"])
def test_the_tables_of_another_archive_are_refused(open_site: Open, url: str, other: str) -> None:
    open_site().submit("1")
    with pytest.raises(ConfigurationError, match="name another"):
        Store(other, recall_options(url)).prepare()
    Store(ARCHIVE, recall_options(url)).prepare()


def test_several_processes_make_the_tables_at_once(url: str, tape: Tape) -> None:
    tape.add("1", volume="A")
    children = [started(lambda: Site(url, tape).submit("1")) for _ in range(PROCESSES)]
    assert all(map(ends_well, children))
    site = Site(url, tape)
    assert site.service.report().new_files == 1


def test_a_process_that_dies_while_it_makes_the_tables_leaves_them_to_the_next(open_site: Open, url: str) -> None:
    is_made, point = False, 1
    while not is_made:
        is_made = runs_to_the_end(partial(_prepare_until, url, point))
        point += 3
    assert point > 9
    site = open_site()
    assert site.states(site.submit("1")) == {"1": "SUBMITTED"}


def _prepare_until(url: str, point: int) -> None:
    with passing(Points(point, die)):
        Store(ARCHIVE, recall_options(url)).prepare()


def test_the_default_is_a_file_of_the_archives_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'state'}:/nowhere")
    for archive in ("posix /one", "posix /two", "posix /\udcff", "posix /one"):
        Store(archive, RecallOptions()).prepare()
    assert len(list((tmp_path / "state").glob("recalls-*.sqlite3"))) == 3
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("character_set", ["latin1", "utf8mb4"])
def test_a_mariadb_database_of_any_character_set_will_do(character_set: str, tape: Tape) -> None:
    site = Site(mariadb_server().new_database(character_set), tape)
    tape.add("é", "🖉", "\udcff", volume="🖉")
    request = site.submit("é", "🖉", "\udcff")
    site.work()
    assert set(site.states(request).values()) == {"STARTED"}
    assert [volume.name for volume in site.service.report().volumes] == ["🖉"]
