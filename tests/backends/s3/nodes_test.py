"""Three nodes on one store: whichever server is killed under load, nothing that was acknowledged is lost.

NODES_SECONDS is how long servers are killed; without it, one of each kind is.
"""

import itertools
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.s3.nodes_load import Load
from tests.backends.s3.support import archive_on
from tests.s3_demo.site import BUCKET, PREFIX, S3Site
from tests.support.mariadb import MariaDB
from tests.support.needs import need
from tests.support.processes import WITHOUT_PSYCOPG
from tests.support.server_process import ServerProcess, free_ports

SECONDS = float(os.getenv("NODES_SECONDS", "0"))
PROCESSES = 4 if SECONDS else 1  # of each node
ANSWERS = 20  # while a server is away, and again when it is back


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Site]:
    """A site that runs; its paths are short enough for sockets."""
    need(Path(sys.executable).with_name("uwsgi"), "nginx", "mariadbd")
    monkeypatch.setenv("PYTHONPATH", WITHOUT_PSYCOPG)
    directory = Path(tempfile.mkdtemp(prefix="nodes-"))
    site = S3Site(directory, free_ports(1)[0], PROCESSES)
    with site.running():
        yield site
    shutil.rmtree(directory)


def victims(site: S3Site) -> Iterator[tuple[str, ServerProcess | MariaDB]]:
    """Yield the servers to kill: one of each kind, and others for as long as was asked for."""
    end = time.monotonic() + SECONDS
    for _ in itertools.takewhile(lambda round: not round or time.monotonic() < end, itertools.count()):
        yield "node", random.choice(site.nodes)
        yield "volume server", random.choice(site.store.volume_servers)
        yield "gateway", site.store.gateway
        yield "filer", site.store.filer
        yield "database", site.database


def test_nothing_acknowledged_is_lost_when_a_server_is_killed(site: S3Site) -> None:
    load = Load(site.url)
    with load.at_work():
        load.tally.await_good(ANSWERS)
        for kind, victim in victims(site):
            repeated = load.tally.repeated
            victim.kill()
            load.tally.await_more(ANSWERS)
            began = time.monotonic()
            victim.start()  # as systemd would
            load.tally.await_good(ANSWERS)
            assert kind == "node" or load.tally.repeated == repeated
            print(f"{kind}: {load.tally}; well again after {time.monotonic() - began:.1f} s")
    load.check()
    archive_on(site.store, PREFIX, abandoned_seconds=0).sweep()
    assert "Uploads" not in site.store.client().list_multipart_uploads(Bucket=BUCKET)
    load.check()
