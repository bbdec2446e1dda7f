"""Files that wait for a tape, through HTTP: how far they are, what cancels them, and what they ask of the storage."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pacifica.archiveinterface.recalls.recaller.recaller import Recaller
from tests.support.recall_site import Clock
from tests.support.recalls import TapeClient, recalls_of
from tests.support.service import serving
from tests.support.tape import Tape, TapeArchive


class Site(NamedTuple):
    """A service on a *tape*; the *recaller* makes a turn when the test says so."""

    client: TapeClient
    tape: Tape
    archive: TapeArchive
    recaller: Recaller
    clock: Clock

    def work(self) -> None:
        """Let the recaller do what is due."""
        while not self.recaller.turn():
            pass
        self.clock.go_on(1)

    def recall(self) -> None:
        """Let everything arrive that was asked for."""
        for _ in range(3):
            self.work()
            self.tape.run()
        self.work()


Open = Callable[..., Site]


@pytest.fixture
def open_site(tmp_path: Path, clock: Clock) -> Iterator[Open]:
    """Return what makes a site with files 1 to 9 on a tape, with options as keywords."""
    with ExitStack() as stack:

        def start(**options: Any) -> Site:
            tape = Tape(tmp_path / "tape.sqlite3")
            tape.add(*map(str, range(1, 10)), volume="A")
            archive = TapeArchive(tape)
            given = {"retry_seconds": 3600.0, **options}
            recalls = recalls_of(archive, tmp_path, **given)
            client = TapeClient(stack.enter_context(serving(archive, recalls=recalls)))
            return Site(client, tape, archive, recalls.recaller(), clock)

        yield start


@pytest.fixture
def site(open_site: Open) -> Site:
    """A site with the usual options."""
    return open_site()


def test_a_file_waits_is_started_and_arrives(site: Site) -> None:
    request = site.client.stage("/2", "//1", "/1/")
    waiting = site.client.poll(request)
    assert "completedAt" not in waiting
    for file in waiting["files"]:
        assert list(file) == ["path", "state", "position"]
        assert file["state"] == "SUBMITTED"
    site.work()
    started = site.client.poll(request)
    assert "completedAt" not in started
    for file in started["files"]:
        assert list(file) == ["path", "state", "startedAt"]
        assert file["state"] == "STARTED"
    site.recall()
    ended = site.client.poll(request)
    assert ended["completedAt"] >= ended["startedAt"] >= ended["createdAt"]
    for file in ended["files"]:
        assert list(file) == ["path", "state", "startedAt", "finishedAt"]
        assert file["state"] == "COMPLETED"
    assert site.tape.recalls == {"1": 1, "2": 1}


def test_the_position_of_a_file_is_how_many_come_before_it(open_site: Open) -> None:
    site = open_site(quiet_seconds=3600.0)
    first, second = site.client.stage("/4", "/2", "/3"), site.client.stage("/1")
    site.work()
    assert {path: file["position"] for path, file in site.client.files(first).items()} == {"/2": 0, "/3": 1, "/4": 2}
    assert site.client.files(second)["/1"]["position"] == 0  # the first on the tape


def test_an_attempt_that_failed_is_no_error_while_there_is_another(site: Site) -> None:
    site.tape.add("20", volume="A", fates=["fails"])
    request = site.client.stage("/20")
    site.recall()
    assert site.tape.recalls == {"20": 1}
    [file] = site.client.files(request).values()
    assert file["state"] == "SUBMITTED"
    assert "error" not in file


def test_a_recall_that_failed_tells_why(open_site: Open) -> None:
    site = open_site(attempts=1)
    site.tape.add("20", volume="A", fates=["fails"])
    request = site.client.stage("/20", "/1", "/404")
    site.recall()
    files = site.client.files(request)
    assert {path: file["state"] for path, file in files.items()} == {
        "/20": "FAILED",
        "/1": "COMPLETED",
        "/404": "FAILED",
    }
    assert {path: file.get("error") for path, file in files.items()} == {
        "/20": "the tape is torn",
        "/1": None,
        "/404": "no such file in the archive",
    }


def test_files_are_cancelled_all_or_none(site: Site) -> None:
    request = site.client.stage("/1", "/2", "//3", "/x")
    site.work()
    assert site.client.call(f"/stage/{request}/cancel", ["/1", "/7"]) == 400
    assert set(site.client.states(request).values()) == {"STARTED", "FAILED"}
    assert site.client.call(f"/stage/{request}/cancel", ["/1", "/3", "/x"]) == 200
    files = site.client.files(request)
    assert {path: file["state"] for path, file in files.items()} == {
        "/1": "CANCELLED",
        "/2": "STARTED",
        "//3": "CANCELLED",
        "/x": "FAILED",
    }
    assert list(files["/1"]) == ["path", "state", "startedAt", "finishedAt"]
    assert site.client.call(f"/release/{request}", ["/1"]) == 200


def test_a_file_that_another_request_wants_is_recalled_all_the_same(site: Site) -> None:
    first, second = site.client.stage("/1", "/2"), site.client.stage("/2")
    assert site.client.call(f"/stage/{first}/cancel", ["/1", "/2"]) == 200
    site.recall()
    assert site.client.states(first) == {"/1": "CANCELLED", "/2": "CANCELLED"}
    assert site.client.states(second) == {"/2": "COMPLETED"}
    assert site.tape.recalls == {"2": 1}


def test_the_files_of_a_deleted_request_are_not_recalled(site: Site) -> None:
    request = site.client.stage("/1", "/2")
    assert site.client.ask("DELETE", f"/stage/{request}").status_code == 200
    site.recall()
    assert site.tape.recalls == {}
    assert site.client.ask("GET", f"/stage/{request}").status_code == 404


def test_a_poll_may_ask_for_what_has_changed(site: Site) -> None:
    def changed(since: float) -> list[str]:
        return [file["path"] for file in site.client.ask("GET", f"/stage/{request}?since={since}").json()["files"]]

    site.tape.add("20", volume="A", fates=["hangs"])
    request = site.client.stage("/1", "/2", "/20", "/x")
    site.clock.go_on(100)
    assert site.client.call(f"/stage/{request}/cancel", ["/2"]) == 200
    site.clock.go_on(100)
    first = site.client.poll(request)["nextSince"]
    site.recall()
    finished = site.client.files(request)["/1"]["finishedAt"]
    assert changed(0) == ["/1", "/2", "/20", "/x"]
    assert changed(first - 150) == ["/1", "/2", "/20"]
    assert changed(first) == ["/1", "/20"]
    assert changed(finished) == ["/1"]
    assert changed(finished + 1) == []


def test_the_estimate_is_the_position_at_the_rate_of_late(open_site: Open) -> None:
    site = open_site(volume_files=1, poll_seconds=5.0)
    request = site.client.stage(*(f"/{number}" for number in range(1, 10)))
    for _ in range(24):
        site.work()
        site.tape.run()
    waiting = [file for file in site.client.poll(request)["files"] if file["state"] == "SUBMITTED"]
    assert waiting
    for file in waiting:
        assert isinstance(file["estimatedSeconds"], int)
        assert file["position"] <= file["estimatedSeconds"] <= 10 * file["position"]


def test_polls_ask_nothing_of_the_storage(site: Site) -> None:
    request = site.client.stage("/1")
    asked: list[str] = []
    site.archive.called = lambda verb, file_id: asked.append(verb)
    assert site.client.states(request) == {"/1": "SUBMITTED"}
    assert site.client.call(f"/stage/{request}/cancel", ["/1"]) == 200
    assert site.client.call(f"/release/{request}", ["/1"]) == 200
    assert asked == []


def test_while_the_storage_does_not_answer_requests_are_taken_and_files_are_unavailable(site: Site) -> None:
    site.archive.is_down = True
    request = site.client.stage("/1", "/x")
    assert site.client.archiveinfo("/1", "/404", "/x") == [
        {"path": "/1", "locality": "UNAVAILABLE"},
        {"path": "/404", "locality": "UNAVAILABLE"},
        {"path": "/x", "error": site.client.files(request)["/x"]["error"]},
    ]
    site.work()
    assert site.client.states(request)["/1"] == "SUBMITTED"


def test_localities(site: Site) -> None:
    site.tape.put_online("2")
    site.tape.lose_copies("3", "4")
    site.tape.put_online("4")
    site.tape.add("30", size=0)
    assert site.client.archiveinfo("/1", "/2", "/3", "/4", "/30", "/404") == [
        {"path": "/1", "locality": "TAPE"},
        {"path": "/2", "locality": "DISK_AND_TAPE"},
        {"path": "/3", "locality": "LOST"},
        {"path": "/4", "locality": "DISK"},
        {"path": "/30", "locality": "NONE"},
        {"path": "/404", "error": "no such file in the archive"},
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        {"pacifica": {"activity": "urgent"}},
        {"default": {"activity": "urgent"}},
        {"default": {"activity": "other"}, "pacifica": {"activity": "urgent"}, "elsewhere": {"activity": "other"}},
        {"default": {"activity": "urgent"}, "pacifica": {"activity": ["other"]}},
    ],
)
def test_the_activity_of_a_request_is_its_priority(open_site: Open, metadata: dict[str, Any]) -> None:
    site = open_site(activities=(("urgent", 9), ("other", -1)), volumes=1)
    site.tape.add("20", volume="B")
    site.client.stage("/1", "/2")
    site.client.stage("/20", targetedMetadata=metadata)
    site.recall()
    assert site.tape.order == ["20", "1", "2"]


@pytest.mark.parametrize(("lifetime", "releases"), [("PT0S", {"1": 1}), ("PT1H", {}), (None, {})])
def test_a_file_stays_on_disk_for_its_lifetime(open_site: Open, lifetime: str | None, releases: dict[str, int]) -> None:
    site = open_site(evict="expired")
    site.client.stage("/1", diskLifetime=lifetime)
    site.recall()
    assert site.tape.releases == releases


def test_a_file_goes_from_disk_when_all_have_released_it(open_site: Open) -> None:
    site = open_site(evict="released")
    first, second = site.client.stage("/1", "/2"), site.client.stage("//1")
    site.recall()
    assert site.client.call(f"/release/{first}", ["/1"]) == 200
    assert site.client.call("/release/gfal2-placeholder-id", ["/2"]) == 200
    site.work()
    assert site.tape.releases == {}
    assert site.client.call(f"/release/{second}", ["/1"]) == 200
    site.work()
    assert site.tape.releases == {"1": 1}
