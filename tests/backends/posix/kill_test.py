"""The service killed at each system call of a request: the old file or the new one, whole, and nothing else."""

import os
from pathlib import Path

import pytest

from tests.backends.posix.ordeals import ORDEALS, Ordeal, Site, calls_of, ids_of, site_in
from tests.support.tracing import DISK_CALLS, Call, ends_of_runs, require_tracing, traced

# A kill before a call that only finds or locks leaves what a kill before the next change leaves; make test-faults
# tries these too.
EVERY_CALL = os.getenv("FAULTS") == "all"
# A move over a file makes no call that an overwrite and a move do not make.
KILLED = [ordeal for ordeal in ORDEALS if EVERY_CALL or not (ordeal.source and ordeal.old)]


@pytest.fixture(autouse=True)
def _traceable() -> None:
    require_tracing()


@pytest.mark.parametrize("ordeal", KILLED, ids=str)
def test_a_kill_leaves_the_old_file_or_the_new_one(
    users_place: Path, ordinary_user: str | None, far: Path, ordeal: Ordeal
) -> None:
    ids = ids_of(ordeal)
    # Not as root, whom no permission keeps from anything.
    with site_in(users_place, far, ordeal.options, user=ordinary_user) as site:
        calls = calls_of(ordeal, site, ids, (*DISK_CALLS, "sendto"))  # the last ones tell the client
        changing = [call for call in ends_of_runs(calls) if call.changes_names_or_files]
        deadly = calls if EVERY_CALL else changing
        faults = [fault for call in deadly for fault in kill_at(call, ordeal, site, next(ids))]
    print(f"\n{ordeal}: {len(deadly)} kills, {len(faults)} faults")
    assert not faults, "\n".join(faults)
    assert deadly


def kill_at(call: Call, ordeal: Ordeal, site: Site, file_id: int) -> list[str]:
    """Kill the service at *call* of the ordeal, start it again, and return what is wrong then."""
    ordeal.prepare(site, file_id)
    with traced(site.server.pid, [call.name], f"{call.name}:signal=SIGKILL:when={call.number}"):
        answer = ordeal.send(site, file_id)
        site.server.process.wait()
    site.start()
    faults = list(ordeal.faults(site, file_id, answer))
    faults += [f"and then: {fault}" for fault in ordeal.repeat(site, file_id)]
    return [f"killed at {call}: {fault}" for fault in faults]
