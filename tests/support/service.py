"""A running service for tests, and ways to speak to it."""

import atexit
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.archiveinterface.audit.log import AuditLog
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.backends.oracle_hsm_sideband.extended_file_factory import SamQfsTree
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.backends.posix.options import PosixOptions
from pacifica.archiveinterface.backends.posix.store import Store
from pacifica.archiveinterface.http.options import HttpOptions
from pacifica.archiveinterface.limits.service import LimitService
from pacifica.archiveinterface.pages.options import PagesOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.servers.launcher import ArchiveServer
from pacifica.archiveinterface.servers.options import LauncherOptions
from pacifica.archiveinterface.tape.options import TapeOptions
from pacifica.archiveinterface.web.application import ArchiveApplication, make_application
from pacifica.archiveinterface.web.settings import Settings
from tests.backends.hpss import support as hpss
from tests.samqfs_emulator.host import HsmHost
from tests.support import waiting
from tests.support.mariadb import shared_server
from tests.support.needs import need

TIMEOUT = waiting.TIMEOUT  # seconds


def _forge_xattr(path: Path) -> None:
    os.setxattr(path, "user.pacifica.digest.sha-256", b"00" * 32)


Make = Callable[[Path, ArchiveOptions | None], AbstractBackendArchive]
"""Makes an archive below a directory; without options, the defaults hold."""


@dataclass
class Backend:
    """A kind of archive that the suites run on.

    *whole_seconds*: it keeps no fractions of modification times.
    *keeps_reserve*: it can keep space free.
    *forge_notes* leaves a digest with a file as the backend would, as somebody who may write there can.
    *leave* ends what runs for the archive, which nobody uses any more.
    """

    name: str
    make_with: Make
    whole_seconds: bool = False
    keeps_reserve: bool = True
    forge_notes: Callable[[Path], None] = _forge_xattr
    leave: Callable[[], None] = lambda: None

    def __str__(self) -> str:
        return self.name

    def make(self, prefix: Path, options: ArchiveOptions | None = None) -> AbstractBackendArchive:
        """Return an archive below *prefix*."""
        return self.make_with(prefix, options)


def _posix(use_id2filename: bool) -> Make:
    def make(prefix: Path, options: ArchiveOptions | None) -> AbstractBackendArchive:
        prefix.mkdir(exist_ok=True)
        return PosixBackendArchive(str(prefix), options, PosixOptions(use_id2filename=use_id2filename))

    return make


class _HsmHosts:
    """An emulated SAM-QFS host whose updater is at work, for the last prefix asked for."""

    def __init__(self) -> None:
        self._host: HsmHost | None = None
        atexit.register(self.stop)

    def make(self, prefix: Path, options: ArchiveOptions | None) -> AbstractBackendArchive:
        """Make an archive on a host that mounts *prefix*."""
        need("cc", "mariadbd")
        if self._host is None or self._host.filesystem.mount != prefix:
            self.stop()
            self._host = HsmHost(Path(tempfile.mkdtemp(prefix="sam-")), shared_server(), mount=prefix)
            self._host.daemons.start()
        return HsmSidebandBackendArchive(str(prefix), options, self._host.options())

    def stop(self) -> None:
        """End the host, whose daemons look after its files all the time."""
        if self._host:
            self._host.daemons.stop()
            shutil.rmtree(self._host.filesystem.root)
            self._host = None


class SidecarStore(Store):
    """Has no extended attributes."""

    tree_type = SamQfsTree


class SidecarArchive(PosixBackendArchive):
    """Keeps digests in files of their own, as on a file system without extended attributes."""

    store_type = SidecarStore


@dataclass(frozen=True)
class Meanwhile(Precondition):
    """Holds unless *deed* raises, which is done when all of an upload is there and gets its name next."""

    deed: Callable[[AbstractStatus | None], object] = lambda existing: None

    def check(self, existing: AbstractStatus | None) -> None:
        """Do it."""
        self.deed(existing)


POSIX_FLAT = Backend("posix-flat", _posix(False))
POSIX_TREE = Backend("posix-tree", _posix(True))


def _hpss(flavour: str) -> Backend:
    def make(prefix: Path, options: ArchiveOptions | None) -> AbstractBackendArchive:
        return hpss.archive_on(hpss.simulator_of(flavour, prefix), prefix, archive=options)

    def forge(path: Path) -> None:
        hpss.client_of(flavour).set_user_attributes(str(path), [("/hpss/pacifica/notes", f"sha-256={'00' * 32}")])

    return Backend(f"hpss-{flavour}", make, whole_seconds=True, keeps_reserve=False, forge_notes=forge)


_hosts = _HsmHosts()
HSM_SIDEBAND = Backend("hsm-sideband", _hosts.make, leave=_hosts.stop)
HPSS = [_hpss(flavour) for flavour in hpss.FLAVOURS]
# The newest HPSS only: above the extension all flavours are the same.
BACKENDS = [POSIX_FLAT, POSIX_TREE, HSM_SIDEBAND, HPSS[-1]]
# For what is decided before the storage is asked, and for what depends on the layout alone.
ONCE = pytest.mark.parametrize("backend", [POSIX_TREE], ids=str, indirect=True)
EACH_LAYOUT = pytest.mark.parametrize("backend", [POSIX_FLAT, POSIX_TREE], ids=str, indirect=True)


# Words in lower case, unless the first is a name, without a full stop.
_NAME = r"File missing|(Content|If|Last|Want|Repr)-[A-Za-z-]+|Digest|Expect|Host|Range|HTTP\S*|HPSS|PUT"
_MESSAGE = re.compile(rf"([a-z{{'\"\d\[]\S*|({_NAME}):?) .*[a-z].*[^.\s]", re.DOTALL)
_NOT_FOR_CLIENTS = re.compile(r"Traceback|site-packages|\.py\b")
NOT_FOR_READERS = re.compile(r"(?<![-\w])None(?![-\w])|XX")


def check_error(answer: requests.Response) -> None:
    """Fail unless *answer* is JSON of the shape that errors have there, with a message for the client in it."""
    content = answer.json()
    if answer.headers["Content-Type"] == "application/problem+json":
        assert list(content) == ["type", "title", "status", "detail"], content
        assert content["status"] == answer.status_code, content
        message = content["detail"]
    else:
        assert [key for key in content if key != "checks"] == ["status", "message", "traceback", "version"], content
        assert content["status"].startswith(f"{answer.status_code} "), content
        message = content["message"]
    assert _MESSAGE.fullmatch(message), content
    assert not _NOT_FOR_CLIENTS.search(message), content
    assert not NOT_FOR_READERS.search(message), content


class Client:
    """Ways to speak to a service on a port of the loopback interface."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request for *path*, spelled as given; requests would tidy dot segments away."""
        with requests.Session() as session:
            session.trust_env = False  # looking for proxies takes a quarter of the time of a small request
            prepared = session.prepare_request(requests.Request(method, self.url, **options))
            prepared.url = self.url + path
            answer = session.send(prepared, timeout=TIMEOUT, allow_redirects=False)
        if answer.status_code >= 400 and answer.content:
            check_error(answer)
        return answer

    def raw(self, request: bytes) -> bytes:
        """Send *request* as it is, end the sending side, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))


class Service(Client):
    """An archive served from this process."""

    def __init__(self, archive: AbstractBackendArchive, application: ArchiveApplication, port: int) -> None:
        super().__init__(port)
        self.archive = archive
        self.application = application


@contextmanager
def serving(
    archive: AbstractBackendArchive,
    settings: Settings | None = None,
    http: HttpOptions | None = None,
    recalls: RecallService | None = None,
    tape: TapeOptions | None = None,
    pages: PagesOptions | None = None,
    limits: LimitService | None = None,
    auth: AuthOptions | None = None,
    audit: AuditLog | None = None,
) -> Iterator[Service]:
    """Serve *archive* from this process until the block is left."""
    quick = {"server.socket_port": 0, "server.thread_pool": 8, "server.socket_timeout": 20}
    settings = {**(settings or {}), "global": {**quick, **(settings or {}).get("global", {})}}
    application = make_application(archive, settings, http, recalls, tape, pages, limits, auth, audit)
    server = ArchiveServer(application, LauncherOptions(), drain_seconds=5)
    server.expiration_interval = 0.02  # seconds; also how long stopping takes
    with at_work(server):
        yield Service(archive, application, server.bind_addr[1])


@contextmanager
def at_work(server: ArchiveServer) -> Iterator[None]:
    """Let *server* serve from this process until the block is left."""
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield
    finally:
        server.stop()
        thread.join()


def tree_of(root: Path) -> dict[str, bytes | None]:
    """Return every path below *root* with its content, None for directories; empty upload directories left out."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if path.name != ".partial"
    }


def stored_files(prefix: Path) -> list[Path]:
    """Return the files below *prefix*; what a backend keeps beside them in directories with a dot left out."""
    found = [path for path in prefix.rglob("*") if path.is_file()]
    return [path for path in found if not path.relative_to(prefix).parts[0].startswith(".")]


def descriptors() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def open_files(*below: str | Path) -> Counter[str]:
    """Return how often this process has each path open, of those below the directories *below*.

    What earlier tests left running opens and closes files of its own meanwhile.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return Counter(path for path in found if path.startswith(tuple(map(str, below))))


def await_service(process: subprocess.Popen[Any], url: str) -> None:
    """Return when the service at *url*, which *process* runs, answers."""
    deadline = time.monotonic() + TIMEOUT
    while not _answers(url):
        assert process.poll() is None, f"{process.args!r} has ended"
        assert time.monotonic() < deadline, f"{process.args!r} does not answer"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=TIMEOUT).ok
    except requests.ConnectionError:
        return False


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on, for a process that cannot choose its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
