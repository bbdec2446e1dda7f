"""How long recalled files stay on disk, and who lets them go."""

import pytest

from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.exception import ConflictError
from tests.recalls.conftest import Open, on_sqlite
from tests.support.databases import NEW_URL
from tests.support.recall_site import Site, wishes
from tests.support.tape import ALL_TRAITS, Tape

DAY = 86400.0


def pinned(site: Site, *file_ids: str, lifetime: float | None = 100.0) -> str:
    """Return a request whose files are on disk."""
    request = site.submit(*file_ids, lifetime=lifetime)
    site.recall()
    assert set(site.states(request).values()) == {"COMPLETED"}
    return request


@pytest.mark.parametrize(
    ("url", "evict", "after_release", "after_expiry"),
    [
        ("sqlite", "never", True, True),
        *[(kind, "released", False, True) for kind in NEW_URL],
        *[(kind, "expired", False, False) for kind in NEW_URL],
    ],
    indirect=["url"],
)
def test_the_storage_frees_disk_copies_as_the_site_says(
    open_site: Open, tape: Tape, evict: str, after_release: bool, after_expiry: bool
) -> None:
    site = open_site(evict=evict)
    tape.add("released", "expired", volume="A")
    request = pinned(site, "released", "expired")
    site.service.release(request, wishes("released"))
    site.work()
    assert ("released" in tape.online, "expired" in tape.online) == (after_release, True)
    site.work(120, step=40)
    assert ("released" in tape.online, "expired" in tape.online) == (after_release, after_expiry)
    assert set(tape.releases.values()) <= {1}
    assert set(site.states(request).values()) == {"COMPLETED"}


def test_a_file_that_another_has_pinned_stays(open_site: Open, tape: Tape) -> None:
    site = open_site(evict="expired")
    tape.add("1", "2", volume="A")
    first, second = pinned(site, "1", "2"), pinned(site, "1", "2", lifetime=1000.0)
    site.service.release(first, wishes("1"))
    site.work(120, step=40)
    assert tape.online == {"1", "2"}
    site.service.release(second, wishes("1"))
    site.work()
    assert tape.online == {"2"}
    site.work(1000, step=400)
    assert tape.online == set()


@pytest.mark.parametrize("action", ["release", "cancel", "delete"])
def test_what_was_given_up_before_it_was_recalled_is_not_pinned(open_site: Open, tape: Tape, action: str) -> None:
    site = open_site(evict="released")
    tape.add("1", volume="A")
    first, second = site.submit("1"), site.submit("1")
    site.work()
    arguments = (first,) if action == "delete" else (first, wishes("1"))
    getattr(site.service, action)(*arguments)
    site.recall()
    assert site.states(second) == {"1": "COMPLETED"}
    assert tape.online == {"1"}
    site.service.release(second, wishes("1"))
    site.work()
    assert tape.online == set()


def test_deleting_a_request_unpins_its_files(open_site: Open, tape: Tape) -> None:
    site = open_site(evict="released")
    tape.add("1", "2", volume="A")
    first, _ = pinned(site, "1", "2"), pinned(site, "2")
    site.service.delete(first)
    site.work()
    assert tape.online == {"2"}


@on_sqlite
def test_any_id_releases_a_file_that_nobody_has_pinned(open_site: Open, tape: Tape) -> None:
    site = open_site(evict="released")
    tape.add("direct", "pinned", volume="A")
    pinned(site, "pinned")
    site.service.ask("direct")
    site.recall()
    site.service.release("gfal2-placeholder-id", wishes("direct", "pinned", "404"))
    site.work()
    assert tape.online == {"pinned"}


@on_sqlite
def test_a_file_that_is_being_recalled_is_not_freed(open_site: Open, tape: Tape) -> None:
    site = open_site(evict="released")
    tape.add("1", volume="A")
    request = site.submit("1")
    site.work()
    site.service.release("another", wishes("1"))
    site.recall()
    assert (site.states(request), tape.online) == ({"1": "COMPLETED"}, {"1"})


@on_sqlite
def test_a_file_without_a_tape_copy_stays(open_site: Open, tape: Tape) -> None:
    site = open_site(evict="released")
    tape.add("1", "2", volume="A")
    request = pinned(site, "1", "2")
    tape.lose_copies("1")
    site.service.release(request, wishes("1", "2"))
    site.work()
    assert tape.online == {"1"}


@on_sqlite
@pytest.mark.parametrize(("given", "seconds"), [(None, 50), (20.0, 20), (5000.0, 200), (0.0, 0)])
def test_a_lifetime_is_the_sites_unless_the_client_says_so_and_not_too_much(
    open_site: Open, tape: Tape, given: float | None, seconds: float
) -> None:
    site = open_site(evict="expired", pin_seconds=50.0, pin_seconds_most=200.0)
    tape.add("1", volume="A")
    request = site.submit("1", lifetime=given)
    site.work()
    tape.run()
    site.work()
    site.work(max(0, seconds - 10), step=5)
    assert ("1" in tape.online) is (seconds > 0)
    site.work(10, step=5)
    assert tape.online == set()
    assert site.states(request) == {"1": "COMPLETED"}


@pytest.mark.parametrize(
    ("url", "pins", "lifetime", "seconds"),
    [
        ("sqlite", True, 20.0, 20),  # it stays for longer than anybody wants it
        *[(kind, True, 200.0, 200) for kind in NEW_URL],  # the storage keeps it
        ("sqlite", False, 20.0, 20),
        *[(kind, False, 200.0, 50) for kind in NEW_URL],  # it goes
    ],
    indirect=["url"],
)
def test_a_pin_ends_with_the_disk_copy_unless_the_storage_keeps_it(
    open_site: Open, tape: Tape, pins: bool, lifetime: float, seconds: float
) -> None:
    site = open_site(evict="expired", traits=ALL_TRAITS._replace(pins=pins))
    tape.add("1", volume="A")
    site.archive.stays = {"1": 50.0}
    request = site.submit("1", lifetime=lifetime)
    site.work()
    tape.run()
    site.work()
    assert site.archive.stays == {"1": max(50.0, lifetime if pins else 0.0)}
    site.work(seconds - 10, step=10)
    assert tape.online == {"1"}
    site.work(10, step=10)
    assert tape.online == set()
    assert site.states(request) == {"1": "COMPLETED"}


@on_sqlite
def test_a_file_on_disk_is_kept_for_the_longest_that_anybody_wants_it(open_site: Open, tape: Tape) -> None:
    site = open_site(traits=ALL_TRAITS._replace(pins=True))
    tape.add("1", "2", "3", volume="A")
    site.archive.stays = {"1": 50.0, "2": 50.0, "3": 50.0}
    cancelled = site.submit("3", lifetime=900.0)
    site.submit("1", "3", lifetime=200.0)
    site.submit("1", "2", lifetime=100.0)
    site.service.cancel(cancelled, wishes("3"))
    site.recall()
    assert site.archive.stays == {"1": 200.0, "2": 100.0, "3": 200.0}
    site.submit("1", "2", lifetime=150.0)
    site.work()
    assert site.archive.stays == {"1": 200.0, "2": 150.0, "3": 200.0}


@on_sqlite
def test_a_disk_copy_that_the_storage_does_not_keep_is_told_of(
    open_site: Open, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    site = open_site(evict="expired", traits=ALL_TRAITS._replace(pins=True))
    tape.add("1", volume="A")
    site.archive.stays = {"1": 50.0}

    def refuse_to_pin(verb: str, file_id: str) -> None:
        if verb == "pin":
            raise ConflictError("the storage keeps nothing for longer")

    site.archive.called = refuse_to_pin
    request = pinned(site, "1")
    assert "the disk copy of 1 goes before its pin ends: the storage keeps nothing for longer" in caplog.text
    site.work(60, step=5)
    assert (tape.online, site.states(request)) == (set(), {"1": "COMPLETED"})


@on_sqlite
def test_a_slow_storage_has_more_time_than_the_site_allows(open_site: Open, tape: Tape) -> None:
    site = open_site(timeout=100.0, attempts=1, traits=ALL_TRAITS._replace(slowest_seconds=500.0))
    tape.add("1", volume="A", fates=["hangs"])
    request = site.submit("1")
    site.work(400, step=100)
    assert site.states(request) == {"1": "STARTED"}
    site.work(200, step=100)
    assert site.files(request)["1"].error == "the recall took longer than 500 seconds"


def test_a_host_clock_that_jumps_neither_ends_pins_nor_recalls(open_site: Open, tape: Tape) -> None:
    site = open_site(evict="expired", timeout=100.0, retry_seconds=10.0)
    tape.add("1", volume="A")
    tape.add("2", volume="A", fates=["fails", "arrives"])
    tape.add("3", volume="A", fates=["hangs"])
    kept = pinned(site, "1", lifetime=1000.0)
    request = site.submit("2", "3")
    for jump in (3 * DAY, -6 * DAY, 30 * DAY, -300 * DAY):
        site.clock.set_by(jump)
        site.recall(4)
        assert (site.states(kept), site.states(request)["3"]) == ({"1": "COMPLETED"}, "STARTED")
        assert "1" in tape.online
    assert site.states(request) == {"2": "COMPLETED", "3": "STARTED"}
    assert tape.recalls == {"1": 1, "2": 2, "3": 1}
    site.work(1000, step=400)
    assert "1" not in tape.online


@on_sqlite
def test_a_storage_that_cannot_free_disk_copies_is_told_of(
    open_site: Open, tape: Tape, caplog: pytest.LogCaptureFixture
) -> None:
    open_site(evict="released", traits=RecallTraits())
    assert "evict = released has no effect" in caplog.text


def test_old_requests_are_removed_and_those_in_use_are_not(open_site: Open, tape: Tape) -> None:
    site = open_site(keep_days=2.0, timeout=100 * DAY)
    tape.add("1", "2", volume="A")
    tape.add("3", volume="A", fates=["hangs"])
    old, in_use = pinned(site, "1"), pinned(site, "2", lifetime=5 * DAY)
    running = site.submit("3", "404")
    site.work(1.5 * DAY, step=DAY / 2)
    assert site.states(old) == {"1": "COMPLETED"}
    site.work(1 * DAY, step=DAY / 2)
    assert site.has(in_use, running) == [True, True]
    assert site.has(old) == [False]
    site.service.cancel(running, wishes("3"))
    site.work(1 * DAY, step=DAY / 2)
    assert site.states(running) == {"3": "CANCELLED", "404": "FAILED"}
    site.work(3 * DAY, step=DAY / 2)
    assert site.has(in_use, running) == [False, False]


@on_sqlite
def test_a_failure_that_belongs_to_no_request_is_kept_for_a_day(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A", fates=["refused"])
    site.service.ask("1")
    site.work()
    site.work(3 * DAY, step=DAY / 2)
    assert not site.service.ask("1")
