"""For each test an emulated SAM-QFS host with a sideband database of its own, on the MariaDB of the run."""

from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.oracle_hsm_sideband.connecting import connections_of
from pacifica.archiveinterface.backends.oracle_hsm_sideband.options import HsmSidebandOptions
from pacifica.archiveinterface.backends.oracle_hsm_sideband.sideband import Sideband
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.host import HsmHost
from tests.samqfs_emulator.updater import Updater
from tests.support.mariadb import MariaDB, shared_server
from tests.support.needs import need


class Clock:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 1_500_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def mariadb() -> MariaDB:
    need("mariadbd")
    return shared_server()


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The stubs libsam.so and libsamread.so."""
    need("cc")
    return stubs.build(tmp_path_factory.mktemp("stubs"))


@pytest.fixture(params=["offset"])
def host(mariadb: MariaDB, tmp_path: Path, request: pytest.FixtureRequest) -> HsmHost:
    """The host, its daemons not running: a test says when they do their work."""
    return HsmHost(tmp_path / "sam", mariadb, offset=request.param)


@pytest.fixture
def filesystem(host: HsmHost) -> SamQfs:
    return host.filesystem


@pytest.fixture
def updater(host: HsmHost) -> Updater:
    return host.updater


@pytest.fixture
def options(host: HsmHost) -> HsmSidebandOptions:
    """How the service reaches the database, with an account that may only read."""
    return host.options()


@pytest.fixture
def sideband(options: HsmSidebandOptions) -> Sideband:
    return Sideband(connections_of(options))
