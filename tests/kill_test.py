"""The service killed at each system call of a request: the old file or the new one, whole, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .ordeals import ORDEALS, Ordeal, Site, calls_of, ids_of, site_in
from .support import TIMEOUT
from .tracing import DISK_CALLS, Call, require_tracing, traced

# A kill before a call that only finds or locks leaves what a kill before the next change leaves; make test-faults
# tries these too.
EVERY_CALL = os.getenv("FAULTS") == "all"
HARMLESS = ("flock", "sync_file_range")


@pytest.fixture(autouse=True)
def _traceable() -> None:
    require_tracing()


@pytest.mark.parametrize("ordeal", ORDEALS, ids=str)
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path: Path, far: Path, ordeal: Ordeal) -> None:
    faults, kills = [], 0
    with site_in(tmp_path, far) as site:
        ids = ids_of(ordeal)
        # The last calls tell the client.
        for call in deadly(calls_of(ordeal, site, ids, (*DISK_CALLS, "sendto"))):
            faults += [f"killed at {call}: {fault}" for fault in kill_at(call, ordeal, site, next(ids))]
            kills += 1
    print(f"\n{ordeal}: {kills} kills, {len(faults)} faults")
    assert faults == []
    assert kills


def deadly(calls: list[Call]) -> Iterator[Call]:
    """Yield the calls to be killed at."""
    for call in calls:
        finds_only = call.name in HARMLESS or (call.name == "openat" and "O_CREAT" not in call.text)
        if EVERY_CALL or not finds_only:
            yield call


def kill_at(call: Call, ordeal: Ordeal, site: Site, file_id: int) -> list[str]:
    """Kill the service at *call* of the ordeal, start it again, and return what is wrong then."""
    ordeal.prepare(site, file_id)
    with traced(site.server.pid, [call.name], f"{call.name}:signal=SIGKILL:when={call.number}"):
        answer = ordeal.send(site, file_id)
        site.server.process.wait(TIMEOUT)
    site.start()
    faults = list(ordeal.faults(site, file_id, answer))
    again = ordeal.repeat(site, file_id)
    return faults + [f"and then: {fault}" for fault in again]
