"""One recaller is at work, whatever processes there are; another follows when it ends, dies or stands still.

RECALL_KILLS is how many recallers are killed under load.
"""

import logging
import os
import signal
import threading
import time
from contextlib import ExitStack

import pytest

from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.recalls.tables import Lease
from tests.recalls.conftest import Open, on_sqlite
from tests.support.crashes import Points, between_transactions, passing
from tests.support.processes import suspend
from tests.support.recall_process import RecallProcess, recall_process, wait_for_work
from tests.support.recall_site import Site, wishes
from tests.support.tape import ALL_TRAITS, Tape
from tests.support.waiting import await_true

on_servers = pytest.mark.parametrize("url", ["mariadb", "postgresql"], indirect=True)
"""A process that stands still within a transaction keeps all others from a SQLite file."""

BEAT = Lease.select(Lease.beat).tuples()
KILLS = int(os.getenv("RECALL_KILLS", "2"))


def test_one_recaller_is_at_work_and_another_stands_by(open_site: Open, tape: Tape) -> None:
    first, second = open_site(), open_site()
    tape.add("1", volume="A")
    first.work()
    request = first.submit("1")
    second.work(20, step=5)
    assert first.states(request) == {"1": "SUBMITTED"}
    first.work()
    assert first.states(request) == {"1": "STARTED"}


def test_a_recaller_that_is_stopped_hands_over_at_once(open_site: Open, tape: Tape) -> None:
    first, second = open_site(), open_site()
    tape.add("1", volume="A")
    request = first.submit("1")
    first.work()
    second.work(0)
    first.recaller.stop()
    first.recaller.run()
    second.work(0)
    tape.run()
    second.work()
    assert first.states(request) == {"1": "COMPLETED"}
    assert tape.recalls == {"1": 1}


def test_a_recaller_that_says_nothing_is_followed_after_its_lease(open_site: Open, tape: Tape) -> None:
    first, second = open_site(lease_seconds=30.0), open_site(lease_seconds=30.0)
    tape.add("1", volume="A")
    first.work()
    request = first.submit("1")
    second.work(25, step=5)
    assert first.states(request) == {"1": "SUBMITTED"}
    second.work(10, step=5)
    assert first.states(request) == {"1": "STARTED"}


def test_a_recaller_that_works_is_not_followed_however_clocks_are_set(open_site: Open, tape: Tape) -> None:
    first, second = open_site(lease_seconds=30.0), open_site(lease_seconds=30.0)
    first.work()
    for jump in (86400.0, -86400.0, 1e8, -2e8):
        first.clock.set_by(jump)
        for _ in range(5):
            first.clock.go_on(10)
            first.work(0)
            second.work(0)
    tape.add("1", volume="A")
    request = first.submit("1")
    second.work(0)
    assert first.states(request) == {"1": "SUBMITTED"}


@pytest.mark.parametrize("point", range(2, 16))
@on_sqlite
def test_of_two_who_take_the_lease_at_once_one_has_it(
    open_site: Open, caplog: pytest.LogCaptureFixture, point: int
) -> None:
    caplog.set_level(logging.INFO)
    first, second = open_site(), open_site()
    second.store.prepare()
    with passing(Points(point, between_transactions(second.recaller.turn))):
        first.recaller.turn()
    second.recaller.turn()
    assert caplog.text.count("this process recalls files from tape") == 1


@on_sqlite
@pytest.mark.parametrize("traits", [ALL_TRAITS, RecallTraits()])
def test_what_was_noted_and_not_asked_for_is_asked_for_by_the_next(
    open_site: Open, tape: Tape, traits: RecallTraits
) -> None:
    first, second = open_site(traits=traits), open_site(traits=traits)
    tape.add("1", "2", volume="A")

    def die(verb: str, file_id: str) -> None:
        if verb == "stage":
            raise KeyboardInterrupt

    first.archive.called = die
    request = first.submit("1", "2")
    with pytest.raises(KeyboardInterrupt):
        first.work(0)
    assert first.states(request) == {"1": "STARTED", "2": "STARTED"}
    second.work(40, step=40)
    second.recall()
    assert second.states(request) == {"1": "COMPLETED", "2": "COMPLETED"}
    assert tape.recalls == {"1": 1, "2": 1}


def test_a_recaller_whose_storage_takes_its_time_keeps_its_lease(url: str, tape: Tape) -> None:
    first, second = Site(url, tape, lease_seconds=1.0), Site(url, tape, lease_seconds=1.0)
    tape.add("1", volume="A")
    first.work()
    request = first.submit("1")
    answers, began = threading.Event(), first.store.rows(BEAT)[0][0]

    def wait(verb: str, file_id: str) -> None:
        answers.wait()

    first.archive.called, first.archive.is_quick = wait, True
    thread = threading.Thread(target=first.recaller.turn)
    thread.start()
    await_true(lambda: second.recaller.turn() and first.store.rows(BEAT)[0][0] > began + 4)
    answers.set()
    thread.join()
    await_true(lambda: first.recaller.turn() and first.states(request) == {"1": "COMPLETED"})
    assert tape.recalls == {"1": 1}


@pytest.mark.parametrize("verb", ["residency", "stage", "cancel", "release"])
def test_a_recaller_that_stood_still_past_its_lease_changes_nothing(
    open_site: Open, tape: Tape, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = open_site(evict="released"), open_site(evict="released")
    tape.add("1", "2", "gone", volume="A")
    request = first.submit("1", "2", "gone")
    first.work(0)
    seen: list[str] = []

    def stand_still(called: str, file_id: str) -> None:
        if called == verb and not seen:
            seen.append(verb)
            second.work(40, step=40)
            second.recall(5)
            seen.append(str(sorted(second.states(request).items())))

    if verb in ("cancel", "release"):
        first.service.cancel(request, wishes("gone"))
    if verb == "release":
        first.recall()
        first.service.release(request, wishes("1"))
    first.archive.called = stand_still
    if verb == "stage":
        tape.add("3", volume="A")
        later = first.submit("3")
    first.recall(5)
    assert "another recaller is at work now" in caplog.text
    second.recall(5)
    assert seen[1:] == [str(sorted(first.states(request).items()))]
    assert set(tape.recalls.values()) == {1}
    if verb == "stage":
        assert first.states(later) == {"3": "COMPLETED"}
    assert second.service.report().started_files == 0


def test_recallers_that_are_killed_under_load_forget_nothing_and_repeat_nothing(url: str, tape: Tape) -> None:
    site, waits, requests = Site(url, tape), [], []
    names = [str(number) for number in range(100 * (KILLS + 1))]
    tape.add(*names, volume="A")
    with ExitStack() as stack:
        processes = [stack.enter_context(recall_process(url, tape)) for _ in range(2)]
        for kill in range(KILLS + 1):
            leader = wait_for_work(*processes)
            requests += [site.submit(*names[100 * kill : 100 * (kill + 1)]), site.submit(*names[: 100 * (kill + 1)])]
            if kill < KILLS:
                time.sleep(0.03 * kill)  # into another part of its work
                leader.kill()
                died_at = time.monotonic()
                processes.remove(leader)
                wait_for_work(*processes)
                waits.append(time.monotonic() - died_at)
                processes.append(stack.enter_context(recall_process(url, tape)))
        site.await_all(*requests)
    print(f"{KILLS} kills, another at work after {', '.join(f'{wait:.1f}' for wait in waits)} seconds")
    assert {state for request in requests for state in site.states(request).values()} == {"COMPLETED"}
    assert tape.recalls == dict.fromkeys(names, 1)
    assert site.service.report().started_files == 0


@on_servers
def test_a_recaller_that_is_suspended_past_its_lease_goes_on_as_second(url: str, tape: Tape) -> None:
    site = Site(url, tape)
    names = [str(number) for number in range(300)]
    tape.add(*names, volume="A")
    with recall_process(url, tape) as first, recall_process(url, tape) as second:
        leader = wait_for_work(first, second)
        other = second if leader is first else first
        requests = [site.submit(*names[:150])]
        suspend(leader.process.pid)
        wait_for_work(other)
        requests.append(site.submit(*names))
        site.await_all(*requests)
        leader.send(signal.SIGCONT)
        _stop(leader)
        assert other.process.poll() is None
        assert leader.log.count("this process recalls") == 1
    assert tape.recalls == dict.fromkeys(names, 1)


def _stop(process: RecallProcess) -> None:
    process.send(signal.SIGTERM)
    assert process.process.wait(60) == 0
