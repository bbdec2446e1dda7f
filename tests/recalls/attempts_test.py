"""What becomes of recalls that fail, hang, get lost or meet a storage that does not answer."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.exception import BackendUnavailableError
from tests.recalls.conftest import Open, on_sqlite
from tests.support.crashes import Points, between_transactions, passing
from tests.support.recall_site import Site, wishes
from tests.support.tape import ALL_TRAITS, Tape

MUTE = RecallTraits()  # tells nothing, withdraws nothing


TWICE = ["fails", "lost"]


@pytest.mark.parametrize(
    ("url", "fates"),
    [
        *[("sqlite", fates) for fates in (["fails"], ["lost"], ["busy"], TWICE)],
        *[("mariadb", TWICE), ("postgresql", TWICE)],
    ],
    indirect=["url"],
)
def test_a_failed_attempt_is_followed_by_another(site: Site, tape: Tape, fates: Sequence[str]) -> None:
    tape.add("1", volume="A", fates=[*fates, "arrives"])
    request = site.submit("1")
    site.recall(60, step=5)
    assert site.states(request) == {"1": "COMPLETED"}
    assert site.files(request)["1"].error == ""


@on_sqlite
def test_what_is_wrong_is_told_while_the_next_attempt_waits(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A", fates=["fails", "arrives"])
    request = site.submit("1")
    site.recall(2)
    file = site.files(request)["1"]
    assert (file.state, file.error) == ("SUBMITTED", "the tape is torn")


@on_sqlite
def test_the_time_between_attempts_doubles(open_site: Open, tape: Tape) -> None:
    site = open_site(attempts=5, retry_seconds=10.0)
    tape.add("1", volume="A", fates=["fails"])
    request = site.submit("1")
    began: list[float] = []
    for _ in range(100):
        site.work(2, step=2)
        tape.run()
        if len(tape.order) > len(began):
            began.append(site.clock.time())
    waits = [later - earlier for earlier, later in pairwise(began)]
    assert [round(wait, -1) for wait in waits] == [10, 20, 40, 80]
    assert (site.files(request)["1"].state, site.files(request)["1"].error) == ("FAILED", "the tape is torn")


@on_sqlite
@pytest.mark.parametrize(
    ("fate", "recalls", "said"),
    [
        ("fails", 3, "the tape is torn"),
        ("lost", 3, "the storage has lost the recall"),
        ("hangs", 3, "the recall took longer than 20 seconds"),
        ("refused", 0, "the storage refuses the file"),
        ("busy", 0, "the storage is busy"),
    ],
)
def test_a_bad_file_fails_in_the_end_and_holds_up_no_other(
    open_site: Open, tape: Tape, fate: str, recalls: int, said: str
) -> None:
    site = open_site(timeout=20.0, retry_seconds=5.0, volume_files=2, in_flight=2)
    tape.add("bad", volume="A", fates=[fate])
    tape.add("1", "2", "3", "4", volume="A", position=1)
    request = site.submit("bad", "1", "2", "3", "4")
    site.recall(8, step=2)
    states = site.states(request)
    assert [states[name] for name in "1234"] == ["COMPLETED"] * 4
    assert states["bad"] != "COMPLETED"
    site.recall(100, step=5)
    file = site.files(request)["bad"]
    assert (file.state, file.error[: len(said)]) == ("FAILED", said)
    assert tape.recalls.get("bad", 0) == recalls
    assert site.service.progress(request).completed_at


@on_sqlite
def test_a_bad_file_that_is_known_to_be_so_can_be_asked_for_again(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A", fates=["fails", "fails", "fails", "arrives"])
    first = site.submit("1")
    site.recall(60, step=5)
    second = site.submit("1")
    site.recall()
    assert (site.states(first), site.states(second)) == ({"1": "FAILED"}, {"1": "COMPLETED"})


@on_sqlite
def test_nothing_is_started_longer_than_its_time_out(open_site: Open, tape: Tape) -> None:
    site = open_site(timeout=20.0, attempts=1, traits=MUTE)
    tape.add("1", "2", volume="A", fates=["hangs"])
    request, cancelled = site.submit("1"), site.submit("2")
    site.work()
    site.service.cancel(cancelled, wishes("2"))
    site.work(18)
    assert site.states(request) == {"1": "STARTED"}
    site.work(5)
    assert site.states(request) == {"1": "FAILED"}
    assert site.states(cancelled) == {"2": "CANCELLED"}
    assert site.service.report().started_files == 0


@on_sqlite
def test_a_recall_that_takes_too_long_is_withdrawn(open_site: Open, tape: Tape) -> None:
    site = open_site(timeout=20.0, retry_seconds=1000.0)
    tape.add("1", volume="A", fates=["hangs"])
    site.submit("1")
    site.work(10)
    assert tape.under_way == {"1"}
    site.work(15)
    assert tape.under_way == set()


@on_sqlite
def test_a_storage_that_does_not_answer_costs_no_attempt(open_site: Open, tape: Tape) -> None:
    site = open_site(attempts=1, retry_seconds=5.0)
    tape.add("1", "2", volume="A")
    request = site.submit("1")
    site.archive.is_down = True
    site.work(100, step=10)
    site.archive.is_down = False
    site.work(6)
    assert site.states(request) == {"1": "STARTED"}
    site.archive.is_down = True
    site.submit("2")
    site.work(100, step=10)
    assert site.states(request) == {"1": "STARTED"}
    site.archive.is_down = False
    site.recall(20, step=5)
    assert tape.online == {"1", "2"}
    assert tape.recalls == {"1": 1, "2": 1}


@on_sqlite
def test_a_storage_that_tells_nothing_is_asked_again_after_a_while(open_site: Open, tape: Tape) -> None:
    site = open_site(traits=MUTE, timeout=5000.0)
    tape.add("1", volume="A", fates=["lost", "arrives"])
    request = site.submit("1")
    site.recall()
    assert site.states(request) == {"1": "STARTED"}
    site.work(700, step=50.0)
    site.recall()
    assert site.states(request) == {"1": "COMPLETED"}


@pytest.mark.parametrize("traits", [ALL_TRAITS, MUTE])
@on_sqlite
def test_a_file_that_went_again_before_its_arrival_was_seen_is_recalled_again(
    open_site: Open, tape: Tape, traits: RecallTraits
) -> None:
    site = open_site(traits=traits, timeout=5000.0)
    tape.add("1", "2", volume="A")
    first = site.submit("1")
    site.service.ask("2")
    site.work(3)
    assert site.states(first) == {"1": "STARTED"}
    tape.run()
    for file_id in ("1", "2"):
        tape.release(file_id)
    second = site.submit("1")
    assert not site.service.ask("2")
    site.recall(60, step=5)
    assert (site.states(first), site.states(second)) == ({"1": "COMPLETED"}, {"1": "COMPLETED"})
    assert tape.online == {"1", "2"}
    assert tape.recalls == {"1": 2, "2": 2}


@on_sqlite
def test_asking_again_and_again_does_not_keep_a_lost_recall_alive(open_site: Open, tape: Tape) -> None:
    site = open_site(traits=RecallTraits(tells_state=True), retry_seconds=5.0)
    tape.add("1", volume="A", fates=["lost"])
    request = site.submit("1")

    def ask_all_the_time() -> None:
        for _ in range(100):
            site.service.ask("1")
            site.work(1, step=1)
            tape.run()

    with pytest.raises(BackendUnavailableError, match="has lost the recall"):
        ask_all_the_time()
    assert site.states(request) == {"1": "FAILED"}


def test_a_cancelled_file_that_fails_in_the_storage_is_not_tried_again(open_site: Open, tape: Tape) -> None:
    site = open_site(traits=RecallTraits(tells_state=True))
    tape.add("1", volume="A", fates=["fails", "arrives"])
    request = site.submit("1")
    site.work()
    site.service.cancel(request, wishes("1"))
    site.recall(60, step=5)
    assert (tape.recalls, tape.online) == ({"1": 1}, set())
    assert site.service.report().started_files == site.service.report().waiting_files == 0


@pytest.mark.parametrize("verb", ["residency", "stage", "cancel"])
def test_a_file_may_be_cancelled_and_asked_for_again_at_any_moment(site: Site, tape: Tape, verb: str) -> None:
    tape.add("1", "2", volume="A")
    requests = [site.submit("1", "2")]

    def disturb(called: str, file_id: str) -> None:
        if (called, file_id) == (verb, "1") and len(requests) < 6:
            site.service.cancel(requests[-1], wishes("1"))
            requests.append(site.submit("1"))

    site.archive.called = disturb
    site.work()
    if verb == "cancel":
        site.service.cancel(requests[-1], wishes("1"))
    site.recall(10)
    assert site.states(requests[-1]) == {"1": "COMPLETED"}
    assert [site.states(request)["1"] for request in requests[:-1]] == ["CANCELLED"] * (len(requests) - 1)
    assert tape.online == {"1", "2"}


@pytest.mark.parametrize("verb", ["residency", "stage"])
def test_a_file_that_is_cancelled_at_any_moment_is_not_tried_again(site: Site, tape: Tape, verb: str) -> None:
    tape.add("1", volume="A", fates=["fails"])
    request = site.submit("1")

    def cancel(called: str, file_id: str) -> None:
        if called == verb:
            site.service.cancel(request, wishes("1"))

    site.archive.called = cancel
    site.recall(60, step=5)
    assert site.states(request) == {"1": "CANCELLED"}
    assert sum(tape.recalls.values()) <= 1
    assert tape.under_way == set()


def test_a_file_that_was_cancelled_before_it_was_started_is_not_asked_for(site: Site, tape: Tape) -> None:
    tape.add("1", "2", volume="A")
    request = site.submit("1", "2")
    seen = []

    def cancel(verb: str, file_id: str) -> None:
        seen.append((verb, file_id))
        if len(seen) == 2:  # it was looked where both are
            site.service.cancel(request, wishes("1"))

    site.archive.called = cancel
    site.recall()
    assert ("stage", "2") in seen
    assert ("stage", "1") not in seen


@on_sqlite
@pytest.mark.parametrize("point", range(16, 30))
def test_what_is_cancelled_before_it_was_noted_as_started_is_not_asked_for(
    open_site: Open, tape: Tape, point: int
) -> None:
    site, other = open_site(), open_site()
    tape.add("1", "2", volume="A")
    request = site.submit("1", "2")
    other.store.prepare()
    with passing(Points(point, between_transactions(lambda: other.service.cancel(request, wishes("1"))))):
        site.work()
    started = {name for name, file in site.files(request).items() if file.started_at}
    assert set(tape.order) == started
    site.recall()
    assert tape.under_way == set()


def test_a_storage_with_odd_names_of_volumes_and_large_numbers(site: Site, tape: Tape) -> None:
    volumes = ["a", "A", "a ", "é", "e", "x" * 500, "n\0ul", "\udcff", "\t", "🖉"]
    for number, volume in enumerate(volumes):
        tape.add(str(number), volume=volume, position=2**62)
    tape.add("huge", volume="A", size=2**62)
    request = site.submit("huge", *map(str, range(len(volumes))))
    site.work(20)
    assert set(site.states(request).values()) <= {"STARTED", "SUBMITTED"}
    assert {"a", "A", "é", "e"} <= {volume.name for volume in site.service.report().volumes}
    site.recall(50)
    assert set(site.states(request).values()) == {"COMPLETED"}
    assert set(tape.recalls.values()) == {1}


def test_an_error_of_any_characters_is_told(site: Site, tape: Tape) -> None:
    said = "torn \0 \udcff " + "x" * 100_000
    tape.add("1", volume="A", fates=["fails"])
    request = site.submit("1")
    tape.fault = said
    site.recall(60, step=5)
    assert site.files(request)["1"].error == said
