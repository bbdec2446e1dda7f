"""A whole emulated SAM-QFS host: mount, daemons and sideband database, for the service to stand on."""

from pathlib import Path
from typing import Any

from pacifica.archiveinterface.backends.oracle_hsm_sideband.options import HsmSidebandOptions
from tests.samqfs_emulator.daemons import Daemons
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.updater import Updater
from tests.support.mariadb import MariaDB

SCHEMA = "samdb"
READER, READER_PASSWORD = "reader", "its secret"
WRITER, WRITER_PASSWORD = "updater", "another secret"


class HsmHost:
    """The file system *mount*, all else below *root*, the database in *server*, emptied before.

    The daemons run between :meth:`start` and :meth:`stop`.
    """

    def __init__(self, root: Path, server: MariaDB, *, mount: Path | None = None, offset: str = "offset") -> None:
        self.server = server
        self.filesystem = SamQfs(root, mount)
        server.kill_connections(READER)  # of services that have ended, but not the process they ran in
        _empty_database(server, offset)
        account = {"user": WRITER, "password": WRITER_PASSWORD}
        self.updater = Updater(
            self.filesystem, {"host": server.host, "port": server.port, "database": SCHEMA, **account}, offset
        )
        self.updater.create_tables()
        self.daemons = Daemons(self.filesystem, self.updater)

    def options(self, **changes: Any) -> HsmSidebandOptions:
        """Return the options with which the service finds this host, some of them changed."""
        found = {
            "sam_qfs_prefix": "/",
            "host": self.server.host,
            "port": self.server.port,
            "user": READER,
            "password": READER_PASSWORD,
            "schema": SCHEMA,
            "retry_seconds": 0.0,
        }
        return HsmSidebandOptions(**{**found, **changes})


def _empty_database(server: MariaDB, offset: str) -> None:
    """Leave an empty database; making tables takes longer than most tests, so those that fit stay."""
    found = server.execute(
        "SELECT column_name FROM information_schema.columns"
        f" WHERE table_schema = '{SCHEMA}' AND column_name LIKE 'off%'"
    )
    if found == [(offset.encode(),)]:
        tables = [row[0].decode() for row in server.execute(f"SHOW TABLES FROM {SCHEMA}")]
        server.execute(*(f"DELETE FROM {table}" for table in tables), database=SCHEMA)
        return
    server.create_database(SCHEMA)
    server.create_account(READER, READER_PASSWORD, f"SELECT ON {SCHEMA}.*")
    server.create_account(WRITER, WRITER_PASSWORD, f"ALL ON {SCHEMA}.*")
