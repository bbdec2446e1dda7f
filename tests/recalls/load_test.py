"""Many who submit, poll, cancel, release and delete at once, while files are recalled."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape

REQUESTS = int(os.getenv("RECALL_REQUESTS", "24"))
FILES = 200  # of a request
CLIENTS = 6


class Client:
    """Submits its share of the requests, polls them, and changes its mind about some."""

    def __init__(self, site: Site, names: list[str], seed: int) -> None:
        self._site, self._names = site, names
        self._random = random.Random(seed)

    def run(self) -> dict[str, str]:
        """Return the last states of all requests that were not deleted, each with those who are in it."""
        kept = [request for _ in range(REQUESTS // CLIENTS) if (request := self._one())]
        return dict.fromkeys(kept, "")

    def _one(self) -> str:
        chosen = self._random.sample(self._names, FILES)
        request = self._site.submit(*chosen)
        assert len(self._site.files(request)) == FILES
        fate = self._random.random()
        if fate < 0.1:
            self._site.service.delete(request)
            return ""
        if fate < 0.3:
            self._site.service.cancel(request, wishes(*chosen[:50]))
        elif fate < 0.5:
            self._site.service.release(request, wishes(*chosen[:50]))
        elif fate < 0.7:
            self._site.service.ask(chosen[0])
        return request


def test_many_clients_at_once(url: str, tape: Tape, tmp_path: Path) -> None:
    site = Site(url, tape, evict="released", volume_files=1000)
    site.archive.is_quick = True
    names = [f"{number}" for number in range(max(1000, REQUESTS * FILES // 10))]
    for first in range(0, len(names), 100):
        tape.add(*names[first : first + 100], volume=f"V{first // 1000}", position=first)
    with site.service.at_work(), ThreadPoolExecutor(CLIENTS) as threads:
        done = threads.map(lambda seed: Client(site, names, seed).run(), range(CLIENTS))
        requests = [request for client in done for request in client]
        site.await_all(*requests)
    for request in requests:
        assert set(site.states(request).values()) <= {"COMPLETED", "CANCELLED"}
