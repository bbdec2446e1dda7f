"""A service on each kind of archive, as a site of a grid runs it, with files on tape where there is one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacifica.archiveinterface.id2filename import id2filename
from tests.backends.hpss.support import NEWEST, install, simulator_of, write_config
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.host import HsmHost
from tests.support.mariadb import shared_server
from tests.support.needs import need
from tests.support.processes import launcher

# Clients ask whether a file is there after 1, 2, 4 ... seconds.
CONFIG = """
[http]
head = standard
[archive]
digests = sha-256 adler32
[recalls]
database = sqlite:///{database}
quiet_seconds = 0
poll_seconds = 0.1
pin_seconds = 0
evict = released
"""
HSM_OPTIONS = ("sam_qfs_prefix", "schema", "host", "user", "password", "port", "stager", "libsam", "residency")


@dataclass(frozen=True)
class Site:
    """The service at *url*; *to_tape* leaves a file on tape only, *recalls* counts what the tape library was asked for.

    *has_tape*: files can be on tape at all.
    """

    url: str
    to_tape: Callable[[str], object] = lambda file_id: None
    recalls: Callable[[], int] = lambda: 0
    has_tape: bool = True

    @property
    def before_recall(self) -> str:
        """Where a file is that is on tape only, in gfal2's words."""
        return "NEARLINE" if self.has_tape else "ONLINE"

    @property
    def after_recall(self) -> str:
        """Where a recalled file is."""
        return "ONLINE_AND_NEARLINE" if self.has_tape else "ONLINE"


@contextmanager
def posix_site(home: Path) -> Iterator[Site]:
    """Serve a directory, whose files are never on tape."""
    (home / "archive").mkdir()
    with _serving(home, home / "archive", "posix", "", {}) as url:
        yield Site(url, has_tape=False)


@contextmanager
def hpss_site(home: Path) -> Iterator[Site]:
    """Serve a simulated HPSS."""
    need("cc")
    archive = home / "archive"
    simulator = simulator_of(NEWEST, archive)

    def to_tape(file_id: str) -> None:
        path = f"{archive}{id2filename(int(file_id))}"
        simulator.migrate(path)
        simulator.purge(path)

    def recalls() -> int:
        counters = simulator.counters()
        return counters["stages"] + counters["duplicate_stages"]

    own = write_config(simulator).read_text()
    environment = {"HPSS_SIM_ROOT": str(simulator.root), "HPSS_SIM_NAMES": "/"}
    environment["PYTHONPATH"] = str(install(home / "installation" / "lib", NEWEST))
    with _serving(home, archive, "hpss", own, environment) as url:
        yield Site(url, to_tape, recalls)


@contextmanager
def hsm_site(home: Path) -> Iterator[Site]:
    """Serve an emulated Oracle HSM."""
    need("cc", "mariadbd")
    host = HsmHost(home / "sam", shared_server())
    filesystem = host.filesystem

    def to_tape(file_id: str) -> None:
        path = filesystem.mount / id2filename(int(file_id))[1:]
        filesystem.archive(path)
        assert filesystem.release(path)

    def recalls() -> int:
        return sum(line.startswith("queued ") for line in filesystem.stage_calls())

    library, _ = stubs.build(home / "stubs")
    options = host.options(stager="libsam", libsam=str(library), residency="database")
    own = "\n".join(["[hsm_sideband]", *(f"{name} = {getattr(options, name)}" for name in HSM_OPTIONS), ""])
    environment = {"SAMQFS_EMULATOR": str(filesystem.root)}
    with host.daemons, _serving(home, filesystem.mount, "hsmsideband", own, environment) as url:
        yield Site(url, to_tape, recalls)


@contextmanager
def _serving(home: Path, prefix: Path, kind: str, own: str, environment: Mapping[str, str]) -> Iterator[str]:
    config = home / "config.ini"
    config.write_text(CONFIG.format(database=home / "recalls.sqlite") + own)
    with launcher(prefix, "-t", kind, "-c", str(config), env=environment) as server:
        yield server.url
