"""A service on each kind of archive, as a site of a grid runs it, with files on tape where there is one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pacifica.archiveinterface.id2filename import id2filename
from tests.backends.hpss.forked import launcher_on
from tests.backends.hpss.support import NEWEST, simulator_of, write_config
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.host import HsmHost
from tests.support.forked import forked_launcher
from tests.support.mariadb import shared_server
from tests.support.needs import need

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
    with forked_launcher(home / "archive", "-c", _config(home)) as server:
        yield Site(server.url, has_tape=False)


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

    config = _config(home, write_config(simulator).read_text())
    with launcher_on(simulator, archive, "-c", config) as server:
        yield Site(server.url, to_tape, recalls)


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
    arguments, environment = ("-t", "hsmsideband", "-c", _config(home, own)), {"SAMQFS_EMULATOR": str(filesystem.root)}
    with host.daemons, forked_launcher(filesystem.mount, *arguments, env=environment) as server:
        yield Site(server.url, to_tape, recalls)


def _config(home: Path, own: str = "") -> str:
    """Return the path of a config.ini with the section *own* of the backend."""
    config = home / "config.ini"
    config.write_text(CONFIG.format(database=home / "recalls.sqlite") + own)
    return str(config)
