"""A MariaDB for the run, and for each test an emulated SAM-QFS mount with a sideband database of its own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.oracle_hsm_sideband.orm import Sideband, SidebandConnection
from tests.mariadb import MariaDB
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.updater import Updater

SCHEMA = "samdb"
READER, READER_PASSWORD = "reader", "its secret"
WRITER, WRITER_PASSWORD = "updater", "another secret"


class Clock:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1_500_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    server = MariaDB(tmp_path_factory.mktemp("mariadb") / "server")
    server.start()
    server.create_account(READER, READER_PASSWORD, f"SELECT ON {SCHEMA}.*")
    server.create_account(WRITER, WRITER_PASSWORD, f"ALL ON {SCHEMA}.*")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The stubs libsam.so and libsamread.so."""
    return stubs.build(tmp_path_factory.mktemp("stubs"))


@pytest.fixture
def filesystem(tmp_path: Path) -> SamQfs:
    return SamQfs(tmp_path / "sam")


@pytest.fixture(params=["offset"])
def updater(mariadb: MariaDB, filesystem: SamQfs, request: pytest.FixtureRequest) -> Updater:
    mariadb.create_database(SCHEMA)
    account = {"user": WRITER, "password": WRITER_PASSWORD}
    server = {"host": mariadb.host, "port": mariadb.port, "database": SCHEMA}
    updater = Updater(filesystem, {**server, **account}, request.param)
    updater.create_tables()
    return updater


@pytest.fixture
def connection(mariadb: MariaDB) -> SidebandConnection:
    """How the service reaches the database, with an account that may only read."""
    return SidebandConnection(mariadb.host, mariadb.port, READER, READER_PASSWORD, SCHEMA, retry_after=0.0)


@pytest.fixture
def sideband(updater: Updater, connection: SidebandConnection) -> Iterator[Sideband]:
    sideband = Sideband(replace(connection))
    yield sideband
    sideband.close()
