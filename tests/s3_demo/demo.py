"""The archive on an S3 store with three nodes, to try out: SeaweedFS, MariaDB, three services under uWSGI, and nginx.

It runs until it is interrupted, and then ends all of them.
"""

import argparse
import queue
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.s3_demo.site import S3Site

PROCESSES = 4  # of each node
RESTART_PAUSE = 5.0  # seconds
HINT = """
Three nodes of the archive on one S3 store answer on {url}
Put file 5 and read it:
    curl -T README.md {url}/5
    curl {url}/5
End a node, a server of the store or the database, and go on; it is started again after {pause:g} seconds:
    kill -9 $(cat {root}/node1/pid)
    kill -9 $(cat {root}/store/volume1/pid)
    kill -9 $(cat {root}/mariadb/pid)
The store is {endpoint}, its keys are in {credentials}
Ctrl-C ends everything.
"""


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser("demo", description=__doc__)
    parser.add_argument("directory", type=Path, help="where everything is kept; it is emptied first")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    # No signal breaks off what starts and ends the servers.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    root = given.directory.resolve()
    shutil.rmtree(root, ignore_errors=True)
    site = S3Site(root, given.port, PROCESSES)
    with site.running():
        print(_hint(site, given.directory), flush=True)
        while not _comes(signals):
            _restart_what_has_ended(site)
    return 0


def _comes(signals: queue.SimpleQueue[int]) -> bool:
    """Return whether a signal comes within the pause."""
    with suppress(queue.Empty):
        signals.get(timeout=RESTART_PAUSE)
        return True
    return False


def _restart_what_has_ended(site: S3Site) -> None:
    for server in site.servers:
        if not server.is_running:
            server.start()
            print(f"started again, with process id {server.pid}", flush=True)


def _hint(site: S3Site, root: Path) -> str:
    return HINT.format(
        url=site.url,
        root=root,
        pause=RESTART_PAUSE,
        endpoint=site.store.endpoint,
        credentials=site.store.write_credentials(),
    )


if __name__ == "__main__":
    sys.exit(main())
