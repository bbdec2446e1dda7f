"""Storage that fails: a true answer, nothing lost, nothing left behind, and the next request works."""

import os
import shutil
from collections.abc import Iterator
from itertools import cycle, islice, product
from pathlib import Path

import pytest
from requests import Response

from tests.backends.posix.ordeals import (
    NEW,
    OLD,
    ORDEALS,
    Ordeal,
    Site,
    calls_of,
    error_faults,
    ids_of,
    left_overs,
    site_in,
)
from tests.support.mounts import mounted_new, require_mounts
from tests.support.tracing import DISK_CALLS, READING_CALLS, SYNCS, Call, Trace, ends_of_runs, require_tracing, traced

EVERY_CALL = os.getenv("FAULTS") == "all"
STATUS_OF = {"EIO": 500, "ENOSPC": 507, "EDQUOT": 507}
TAKES_NO_SPACE = ("unlink", "unlinkat", "fchmod", "utimensat")
# A move over a file makes no call that an overwrite and a move do not make; make test-faults tries these, too.
TRIED = [ordeal for ordeal in ORDEALS if EVERY_CALL or not (ordeal.source and ordeal.old)]
_ATTEMPTS = 5


@pytest.fixture
def _traceable() -> None:
    require_tracing()


@pytest.mark.usefixtures("_traceable")
@pytest.mark.parametrize("ordeal", TRIED, ids=str)
def test_a_failing_call_is_told_and_harms_nothing(tmp_path: Path, far: Path, ordeal: Ordeal) -> None:
    ids = ids_of(ordeal)
    with site_in(tmp_path, far, ordeal.options) as site:
        tried = list(errors_of(calls_of(ordeal, site, ids, DISK_CALLS)))
        before = site.descriptors()
        faults = [fault for call, error in tried for fault in fail_at(call, error, ordeal, site, ids)]
        all_closed = site.await_descriptors(before)
    print(f"\n{ordeal}: {len(tried)} errors, {len(faults)} faults")
    assert not faults, "\n".join(faults)
    assert tried
    assert all_closed


def errors_of(calls: list[Call]) -> Iterator[tuple[Call, str]]:
    """Yield the calls that are to fail, each with its error.

    Without EVERY_CALL, space lacks only where it is taken, and its two errors take turns; of calls that only find or
    lock, the first of each kind fails: those that change something beside the others fail, too.
    """
    if EVERY_CALL:
        yield from product(calls, STATUS_OF)
        return
    lack_of_space, found = cycle(["ENOSPC", "EDQUOT"]), set[str]()
    for call in ends_of_runs(calls):
        if not call.changes_names_or_files:
            if call.kind in found:
                continue
            found.add(call.kind)
        yield call, "EIO"
        if call.changes_names_or_files and call.name not in TAKES_NO_SPACE:
            yield call, next(lack_of_space)


def fail_at(call: Call, error: str, ordeal: Ordeal, site: Site, ids: Iterator[int]) -> list[str]:
    """Let *call* of the ordeal fail with *error* and return what is wrong then."""
    for file_id in islice(ids, _ATTEMPTS):
        ordeal.prepare(site, file_id)
        with traced(site.server.pid, {call.name, *SYNCS}, f"{call.name}:error={error}:when={call.number}") as trace:
            answer = ordeal.send(site, file_id)
        if trace.hit:
            faults = list(faults_after(error, ordeal, site, file_id, answer, trace))
            return [f"{error} from {call}: {fault}" for fault in swept(call, faults, site)]
        # The request made fewer such calls than the traced one did: it is no trial.
    return [f"{error} from {call}: the call did not come again in {_ATTEMPTS} requests"]


def faults_after(
    error: str, ordeal: Ordeal, site: Site, file_id: int, answer: Response | None, trace: Trace
) -> Iterator[str]:
    """Yield what is wrong after a call has failed with *error* and the client was given *answer*."""
    yield from ordeal.faults(site, file_id, answer)
    if answer is None:
        yield "no answer came"
    elif not answer.ok:
        yield from error_faults(answer, STATUS_OF[error])
    elif trace.calls[trace.failed].name in SYNCS:
        yield f"answered with {answer.status_code}, though it may not survive a power cut"
    yield from (f"and then: {fault}" for fault in ordeal.repeat(site, file_id))


def swept(failed: Call, faults: list[str], site: Site) -> list[str]:
    """Return *faults*, but for what was left because removing it was what *failed*: the next start removes it."""
    if not (failed.name == "unlinkat" and "/.partial>" in failed.text):
        return faults
    site.start()
    return [fault for fault in faults if not fault.endswith(" was left")] + list(left_overs(site))


@pytest.mark.usefixtures("_traceable")
@pytest.mark.parametrize("options", ["", "verify_reads = true\n"])
def test_a_read_that_fails_gives_no_wrong_bytes(tmp_path: Path, far: Path, options: str) -> None:
    with site_in(tmp_path, far, options) as site:
        site.put(7, NEW)
        assert site.content(7) == NEW  # the first time makes calls of its own
        with traced(site.server.pid, READING_CALLS) as trace:
            assert site.content(7) == NEW
        calls = [call for call in trace.calls if "<socket:" not in call.text]
        faults = [fault for call in calls for fault in fail_reading_at(call, site)]
    print(f"\nreading: {len(calls)} errors, {len(faults)} faults")
    assert not faults, "\n".join(faults)
    assert calls


def fail_reading_at(call: Call, site: Site) -> Iterator[str]:
    """Let *call* of a GET fail with EIO and yield what is wrong then."""
    for _ in range(_ATTEMPTS):
        with traced(site.server.pid, [call.name], f"{call.name}:error=EIO:when={call.number}") as trace:
            answer = site.request("GET", 7)
        if trace.hit:
            break  # else this thread did not read the end of the connection before: it is no trial
    else:
        yield f"EIO from {call}: the call did not come again in {_ATTEMPTS} requests"
    if answer is not None and answer.ok and answer.content != NEW:
        yield f"EIO from {call}: {len(answer.content)} wrong bytes"
    if answer is not None and not answer.ok:
        yield from (f"EIO from {call}: {fault}" for fault in error_faults(answer, 500))
    if site.content(7) != NEW:
        yield f"EIO from {call}: the next GET is wrong"


@pytest.fixture
def small_site(tmp_path: Path, far: Path) -> Iterator[Site]:
    """An archive at work on a file system of 16 MiB."""
    require_mounts()
    with mounted_new(tmp_path, "ext4", 16 << 20) as root, site_in(root, far) as site:
        yield site


def fill(site: Site) -> list[int]:
    """Store files until no space is left, and return their ids."""
    for file_id in range(1000, 2000):
        answer = site.request("PUT", file_id, data=NEW)
        assert answer is not None
        if not answer.ok:
            assert list(error_faults(answer, 507)) == []
            return list(range(1000, file_id))
    raise AssertionError("the file system is never full")


def test_a_full_disk_is_told_and_what_is_stored_stays(small_site: Site) -> None:
    stored = fill(small_site)
    assert stored
    assert small_site.content(stored[-1] + 1) is None
    assert all(small_site.content(file_id) == NEW for file_id in stored)
    assert list(left_overs(small_site)) == []


@pytest.mark.usefixtures("_traceable")
def test_a_length_that_does_not_fit_takes_no_space_from_others(small_site: Site) -> None:
    """ext4 would take all that is free before it refuses."""
    with traced(small_site.server.pid, ["fallocate"]) as trace:
        answer = small_site.request("PUT", 7, data=bytes(32 << 20))
        assert answer is not None
        assert list(error_faults(answer, 507)) == []
        assert small_site.request("PUT", 8, data=bytes(2 << 20))
    assert len(trace.calls) == 1


def test_an_overwrite_that_finds_no_space_leaves_the_old_file(small_site: Site) -> None:
    small_site.put(7, OLD)
    fill(small_site)
    answer = small_site.request("PUT", 7, data=NEW)
    assert answer is not None
    assert list(error_faults(answer, 507)) == []
    assert small_site.content(7) == OLD


def test_a_move_that_finds_no_space_leaves_the_file_where_it_was(small_site: Site) -> None:
    fill(small_site)
    move = next(ordeal for ordeal in ORDEALS if ordeal.source == "far")
    move.prepare(small_site, 7)
    answer = move.send(small_site, 7)
    assert answer is not None
    assert list(error_faults(answer, 507)) == []
    assert list(move.faults(small_site, 7, answer)) == []


def test_a_full_disk_can_be_emptied_and_filled_again(small_site: Site) -> None:
    for file_id in fill(small_site):
        answer = small_site.request("DELETE", file_id)
        assert answer is not None
        assert answer.status_code == 200
    assert fill(small_site)


def test_the_reserve_stays_free(tmp_path: Path, far: Path) -> None:
    require_mounts()
    reserve = 8 << 20
    with (
        mounted_new(tmp_path, "ext4", 16 << 20) as root,
        site_in(root, far, f"reserve_bytes = {reserve}\n") as site,
    ):
        stored = fill(site)
        assert stored
        assert all(site.content(file_id) == NEW for file_id in stored)
        assert list(left_overs(site)) == []
        assert shutil.disk_usage(root).free >= reserve
