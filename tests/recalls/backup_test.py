"""The database of recalls is copied and restored by the commands of the manual."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.commands.tape import TapeSite
from tests.support.databases import DatabaseServer, mariadb_server, postgresql_server
from tests.support.needs import need
from tests.support.page import typed


def _type(step: str, url: str, dump: Path) -> None:
    """Type the *step* of the manual in for the database at *url*, with *dump* as its copy."""
    database = urlsplit(url)
    places = {
        "db.example.com": str(database.hostname),
        "recalls.sql": str(dump),
        "recalls.dump": str(dump),
        " pacifica ": f" {database.username} ",
        " recalls": f" {database.path[1:]}",
    }
    password, port = unquote(str(database.password)), str(database.port)
    variables = {"MYSQL_PWD": password, "MYSQL_TCP_PORT": port, "PGPASSWORD": password, "PGPORT": port}
    typed("docs/recalls.md", step, 8080, {**os.environ, **variables}, places=places)


@pytest.mark.parametrize(
    ("kind", "server_of"),
    [("mariadb", mariadb_server), ("postgresql", postgresql_server)],
    ids=["mariadb", "postgresql"],
)
def test_recalls_go_on_from_a_restored_database(
    kind: str, server_of: Callable[[], DatabaseServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("mariadb-dump", "pg_dump")
    used, empty = (server_of().new_database() for _ in range(2))
    site = TapeSite(tmp_path, "5", "6", database=used)
    site.run("stage", "5", "6")
    request = capsys.readouterr().out.strip()
    _type(f"{kind} dump", used, tmp_path / "dump")
    _type(f"{kind} restore", empty, tmp_path / "dump")
    site.library.offline.pop()  # one of the two has come to disk since the copy was made
    options = RecallOptions(database=empty, quiet_seconds=0, poll_seconds=0.05)
    site.recalls = RecallService(site.archive, Store("tape", options), options)
    with site.reading():
        assert site.run("stage", "--follow", request) == 0
    assert capsys.readouterr().out.strip() == "2 completed"
