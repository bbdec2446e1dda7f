"""Many who submit, poll, cancel, release and delete at once, while files are recalled.

RECALL_REQUESTS is how many requests of 200 files there are, as FTS makes them.
"""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from pacifica.archiveinterface.recalls.tables import Request
from tests.support.crashes import ends_well, started
from tests.support.databases import mariadb_server, postgresql_server
from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape

REQUESTS = int(os.getenv("RECALL_REQUESTS", "12"))
FILES = 200  # of a request
PROCESSES = 2
THREADS = 3  # of a process
SERVERS = {"mariadb": mariadb_server, "postgresql": postgresql_server}


class Client:
    """Submits its share of the requests, polls them, and changes its mind about some."""

    def __init__(self, site: Site, names: list[str], seed: int) -> None:
        self._site, self._names = site, names
        self._random = random.Random(seed)

    def run(self) -> None:
        """Submit requests, one after the other."""
        for _ in range(REQUESTS // PROCESSES // THREADS):
            self._one(self._random.sample(self._names, FILES))

    def _one(self, chosen: list[str]) -> None:
        service, request = self._site.service, self._site.submit(*chosen)
        assert set(self._site.files(request)) == set(chosen)
        fate = self._random.random()
        if fate < 0.1:
            service.delete(request)
        elif fate < 0.3:
            service.cancel(request, wishes(*chosen[:50]))
        elif fate < 0.5:
            service.release(request, wishes(*chosen[:50]))
        elif fate < 0.7:
            service.ask(chosen[0])


def clients(url: str, tape: Tape, names: list[str], process: int) -> None:
    """Run the clients of one process."""
    site = Site(url, tape)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda thread: Client(site, names, process * THREADS + thread).run(), range(THREADS)))


def _deadlocks(request: pytest.FixtureRequest) -> list[int]:
    return [server().deadlocks for name, server in SERVERS.items() if name in request.node.name]


def test_many_clients_at_once(url: str, tape: Tape, request: pytest.FixtureRequest) -> None:
    site = Site(url, tape, volume_files=1000)
    site.archive.is_quick = True
    names = [f"{number}" for number in range(max(1000, REQUESTS * FILES // 10))]
    for first in range(0, len(names), 100):
        tape.add(*names[first : first + 100], volume=f"V{first // 1000}", position=first)
    site.store.prepare()
    deadlocks = _deadlocks(request)  # those of the tests before
    began = time.monotonic()
    children = [started(partial(clients, url, tape, names, process)) for process in range(PROCESSES)]
    with site.service.at_work():
        assert all(map(ends_well, children))
        submitted = time.monotonic()
        requests = [id for (id,) in site.store.rows(Request.select(Request.id).tuples())]
        site.await_all(*requests)
    print(f"{REQUESTS} requests in {submitted - began:.1f} s, all files after {time.monotonic() - began:.1f} s")
    for each in requests:
        states = list(site.states(each).values())
        assert len(states) == FILES
        assert set(states) <= {"COMPLETED", "CANCELLED"}
    report = site.service.report()
    assert (report.new_files, report.waiting_files, report.started_files, report.failed_files) == (0, 0, 0, 0)
    assert not tape.under_way
    assert _deadlocks(request) == deadlocks
