"""Storage that fails: a true answer, nothing lost, nothing left behind, and the next request works."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .mounts import mounted_new, require_mounts
from .ordeals import NEW, OLD, ORDEALS, Ordeal, Site, calls_of, error_faults, ids_of, site_in
from .support import TIMEOUT
from .tracing import DISK_CALLS, READING_CALLS, Call, require_tracing, traced

ERRORS = {"EIO": 500, "ENOSPC": 507, "EDQUOT": 507}
SYNCS = ("fsync", "fdatasync", "syncfs", "sync_file_range", "sync")


@pytest.fixture
def site(tmp_path: Path, far: Path) -> Iterator[Site]:
    """An archive at work."""
    require_tracing()
    with site_in(tmp_path, far) as site:
        yield site


@pytest.mark.parametrize("ordeal", ORDEALS, ids=str)
def test_a_failing_call_is_told_and_harms_nothing(site: Site, ordeal: Ordeal) -> None:
    ids = ids_of(ordeal)
    calls = calls_of(ordeal, site, ids, DISK_CALLS)
    before = site.descriptors()  # none stays open
    tried = [(call, error) for call in calls for error in ERRORS]
    faults = [fault for call, error in tried for fault in fail_at(call, error, ordeal, site, next(ids))]
    print(f"\n{ordeal}: {len(tried)} errors, {len(faults)} faults")
    assert faults == []
    assert calls
    assert site.await_descriptors(before)


def fail_at(call: Call, error: str, ordeal: Ordeal, site: Site, file_id: int) -> list[str]:
    """Let *call* of the ordeal fail with *error* and return what is wrong then."""
    ordeal.prepare(site, file_id)
    with traced(site.server.pid, [call.name], f"{call.name}:error={error}:when={call.number}") as trace:
        answer = ordeal.send(site, file_id)
    faults = list(ordeal.faults(site, file_id, answer))
    if not trace.injected:
        faults.append("the call was not made")
    if answer is None:
        faults.append("no answer came")
    elif not answer.ok:
        faults += error_faults(answer, ERRORS[error])
    elif call.name in SYNCS:
        faults.append(f"answered with {answer.status_code}, though it may not survive a power cut")
    faults += [f"and then: {fault}" for fault in ordeal.repeat(site, file_id)]
    return [f"{error} from {call}: {fault}" for fault in faults]


def test_a_read_that_fails_gives_no_wrong_bytes(site: Site) -> None:
    site.put(7, NEW)
    with traced(site.server.pid, READING_CALLS) as trace:
        assert site.content(7) == NEW
    faults = [fault for call in trace.calls for fault in fail_reading_at(call, site)]
    print(f"\nreading: {len(trace.calls)} errors, {len(faults)} faults")
    assert faults == []
    assert trace.calls


def fail_reading_at(call: Call, site: Site) -> Iterator[str]:
    """Let *call* of a GET fail with EIO and yield what is wrong then."""
    with traced(site.server.pid, [call.name], f"{call.name}:error=EIO:when={call.number}") as trace:
        answer = site.request("GET", 7)
    if not trace.injected:
        yield f"{call} was not made"
    if answer is not None and answer.ok and answer.content != NEW:
        yield f"EIO from {call}: {len(answer.content)} wrong bytes"
    if answer is not None and not answer.ok:
        yield from (f"EIO from {call}: {fault}" for fault in error_faults(answer, 500))
    if site.content(7) != NEW:
        yield f"EIO from {call}: the next GET is wrong"
