"""An Oracle HSM archive to try out: MariaDB, the emulated mount with its daemons, and the service.

``run`` starts all three and ends them together; ``tape ID...`` puts files on tape only, from another terminal.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from pacifica.archiveinterface.id2filename import id2filename, parse_file_id
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.host import HsmHost
from tests.support.mariadb import MariaDB

FILES_PER_VOLUME = 10
HINT = """
Oracle HSM, emulated: files in {mount}, tapes in {tape}
Put file 5, and ask where it is:
    curl -T README.md {url}/5
    curl -sI {url}/5
In a second terminal, have it on tape only:  make hsm-demo-tape ID=5
Then ask again where it is, recall it, and read it {delay:g} seconds later:
    curl -s -X POST {url}/5
    curl -s {url}/5
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo, or put files of the running one on tape; return the exit status."""
    parser = argparse.ArgumentParser("demo", description=__doc__)
    parser.add_argument("directory", type=Path, help="where everything is kept")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run")
    run.add_argument("--port", type=int, default=8080)
    run.add_argument("--tape-delay", type=float, default=3.0, metavar="SECONDS")
    verbs.add_parser("tape").add_argument("ids", nargs="+")
    given = parser.parse_args(arguments)
    root = given.directory.resolve()
    if given.verb == "run":
        return _run(root, given.port, given.tape_delay)
    filesystem = SamQfs(root / "sam")
    return max(_tape(filesystem, file_id) for file_id in given.ids)


def _run(root: Path, port: int, tape_delay: float) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    # The database knows nothing of an earlier run's files.
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    server = MariaDB(root / "mariadb")
    try:
        server.start()
        host = HsmHost(root / "sam", server)
        host.filesystem.library.change(drives=2, mount_seconds=tape_delay, files_per_volume=FILES_PER_VOLUME)
        with host.daemons:
            return _serve(root, host, port, tape_delay)
    finally:
        server.stop()


def _serve(root: Path, host: HsmHost, port: int, tape_delay: float) -> int:
    library, _ = stubs.build(root / "stubs")
    config = root / "config.ini"
    options = vars(host.options(residency="database", stager="libsam", libsam=str(library)))
    changed = ("sam_qfs_prefix", "schema", "host", "user", "password", "port", "residency", "stager", "libsam")
    recalls = (f"database = sqlite:///{root}/recalls", "quiet_seconds = 0.5", "poll_seconds = 0.5")
    backend = (f"{name} = {options[name]}" for name in changed)
    config.write_text("\n".join(["[recalls]", *recalls, "[hsm_sideband]", *backend]) + "\n")
    command = [sys.executable, "-m", "pacifica.archiveinterface", "-t", "hsmsideband", "-a", "127.0.0.1"]
    service = subprocess.Popen(
        [*command, "-p", str(port), "--prefix", str(host.filesystem.mount), "-c", str(config)],
        env={**os.environ, "SAMQFS_EMULATOR": str(host.filesystem.root)},
    )
    url = f"http://127.0.0.1:{port}"
    print(
        HINT.format(mount=host.filesystem.mount, tape=host.filesystem.tape, url=url, delay=tape_delay),
        flush=True,
    )
    try:
        return service.wait()
    finally:
        service.terminate()
        service.wait()


def _tape(filesystem: SamQfs, file_id: str) -> int:
    path = filesystem.mount / id2filename(parse_file_id(file_id))[1:]
    if not path.exists():
        print(f"there is no file {file_id} in {filesystem.mount}; put it first", file=sys.stderr)
        return 1
    filesystem.archive(path)
    if not filesystem.release(path):
        print(f"file {file_id} was not released: it is empty, or on tape already", file=sys.stderr)
        return 1
    print(f"file {file_id} is on tape only: {path} has {path.stat().st_blocks} blocks")
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    # A second signal must not break off what ends server and service.
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
