"""The archive on an S3 store with three nodes, to try out: SeaweedFS, MariaDB, three services under uWSGI, and nginx.

It runs until it is interrupted, and then ends all of them.
"""

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.s3_demo.site import S3Site

PROCESSES = 4  # of each node
RESTART_PAUSE = 5.0  # seconds
HINT = """
Three nodes of the archive on one S3 store answer on {url}
Put file 5, read it, and ask for its status:
    curl -T README.md {url}/5
    curl {url}/5
    curl -I {url}/5
End a node, a server of the store or the database, and go on: what has ended is started again after {pause:g} seconds.
{victims}
The objects are in {endpoint}, with the keys in {credentials}.
Ctrl-C ends everything.
"""


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser("demo", description=__doc__)
    parser.add_argument("directory", type=Path, help="where everything is kept; it is emptied first")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    root = given.directory.resolve()
    shutil.rmtree(root, ignore_errors=True)
    site = S3Site(root, given.port, PROCESSES)
    with site.running():
        print(_hint(site), flush=True)
        while True:
            time.sleep(RESTART_PAUSE)
            for server in site.servers:
                if not server.is_running:
                    server.start()
                    print(f"started again, with process id {server.pid}", flush=True)


def _hint(site: S3Site) -> str:
    killed = {"a node": site.nodes[0].pid, "a volume server": site.store.volume_servers[0].pid}
    victims = "\n".join(
        f"    kill -9 {pid}    # {name}" for name, pid in {**killed, "MariaDB": site.database.pid}.items()
    )
    return HINT.format(
        url=site.url,
        victims=victims,
        pause=RESTART_PAUSE,
        endpoint=site.store.endpoint,
        credentials=site.store.write_credentials(),
    )


def _leave(number: int, frame: FrameType | None) -> None:
    # A second signal must not break off what ends the servers.
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
