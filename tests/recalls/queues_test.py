"""In which order files are recalled, when a volume is started, and how much is asked for at a time."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.recalls.conftest import Open, on_sqlite
from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape

NAMES = [str(number) for number in range(12)]


def volume_of(name: str) -> str:
    """Return the volume that a file of `three_volumes` is on."""
    return "ABC"[int(name) % 3]


@pytest.fixture
def three_volumes(tape: Tape) -> Tape:
    """Twelve files on three volumes, those with higher numbers first."""
    for place, name in enumerate(reversed(NAMES)):
        tape.add(name, volume=volume_of(name), position=place)
    return tape


def volumes(site: Site) -> dict[str, tuple[bool, int, int]]:
    """Return of each volume whether it is read, how many files wait and how many are in flight."""
    return {
        volume.name: (volume.is_active, volume.waiting_files, volume.in_flight)
        for volume in site.service.report().volumes
    }


def test_the_files_of_a_volume_are_asked_for_together_and_by_position(open_site: Open, three_volumes: Tape) -> None:
    site = open_site()
    site.submit(*NAMES)
    site.work()
    order = three_volumes.order
    assert [volume_of(name) for name in order] == sorted(
        map(volume_of, order), key=list(dict.fromkeys(map(volume_of, order))).index
    )
    for volume in "ABC":
        mine = [int(name) for name in order if volume_of(name) == volume]
        assert mine == sorted(mine, reverse=True)


def test_files_without_a_place_go_by_priority_and_then_as_they_came(open_site: Open, tape: Tape) -> None:
    site = open_site(activities=(("urgent", 5), ("idle", -5)), quiet_seconds=20.0)
    tape.add(*NAMES)
    site.submit(*NAMES[:3])
    site.submit(*NAMES[3:6], activity="idle")
    site.submit(*NAMES[6:9], activity="urgent")
    site.submit(*NAMES[9:], activity="unknown")
    site.recall(30, step=25)
    assert tape.order == NAMES[6:9] + NAMES[:3] + NAMES[9:] + NAMES[3:6]


@on_sqlite
def test_files_of_low_priority_are_not_passed_by_for_ever(open_site: Open, tape: Tape) -> None:
    site = open_site(activities=(("urgent", 5),), aging_seconds=10.0, in_flight=1)
    tape.add("low")
    tape.add(*[f"high-{number}" for number in range(200)])
    site.submit("low")
    for number in range(0, 200, 2):
        site.submit(f"high-{number}", f"high-{number + 1}", activity="urgent")
        site.recall(2)
        if "low" in tape.order:
            break
    assert "low" in tape.order


@on_sqlite
@pytest.mark.parametrize(
    ("options", "starts_at"),
    [
        ({"quiet_seconds": 30.0}, 60),  # a file comes every ten seconds until then
        ({"quiet_seconds": 30.0, "max_age": 20.0}, 20),
        ({"quiet_seconds": 30.0, "enough_files": 2}, 10),
        ({"quiet_seconds": 30.0, "enough_bytes": 25}, 20),
    ],
)
def test_a_volume_waits_until_it_is_quiet_old_or_worth_a_mount(
    open_site: Open, tape: Tape, options: Mapping[str, Any], starts_at: float
) -> None:
    site = open_site(**options)
    tape.add(*NAMES, volume="A")
    began: list[int] = []
    for second in range(0, 100, 10):
        if second <= 30:
            site.submit(NAMES[second // 10])
        site.work(0)
        site.work(1)
        site.clock.go_on(9)
        if tape.order and not began:
            began.append(second)
    assert began == [starts_at]


@on_sqlite
def test_so_many_volumes_are_read_at_a_time(open_site: Open, three_volumes: Tape) -> None:
    site = open_site(volumes=2)
    site.submit(*NAMES)
    site.work()
    assert len({volume_of(name) for name in three_volumes.under_way}) == 2
    three_volumes.run()
    site.work(2)
    assert len({volume_of(name) for name in three_volumes.order}) == 3


@on_sqlite
def test_a_volume_has_so_many_files_in_flight(open_site: Open, three_volumes: Tape) -> None:
    site = open_site(volume_files=3)
    site.submit(*NAMES)
    site.work(2)
    assert {state[1:] for state in volumes(site).values()} == {(1, 3)}
    three_volumes.run()
    site.work(2)
    assert len(three_volumes.order) == 12


@on_sqlite
def test_so_many_files_are_in_flight_in_all(open_site: Open, three_volumes: Tape) -> None:
    site = open_site(in_flight=5)
    site.submit(*NAMES)
    seen = []
    for _ in range(4):
        site.work(2)
        seen.append(len(three_volumes.under_way))
        three_volumes.run()
    assert seen == [5, 5, 2, 0]


def test_the_disk_cache_is_not_filled_beyond_its_bytes(open_site: Open, tape: Tape) -> None:
    site = open_site(cache_bytes=35, evict="released")
    tape.add("online", volume="A", size=10)
    tape.put_online("online")
    tape.add("0", "1", "2", "3", "large", volume="A", position=1, size=10)
    tape.add("huge", volume="A", position=9, size=1000)
    request = site.submit("online", "0", "1", "2", "3", "large", "huge", lifetime=1000.0)
    site.work(2)
    assert tape.under_way == {"0", "1", "2"}  # the next one would begin above the bound
    site.recall(5)
    assert len(tape.order) == 3
    site.service.release(request, wishes("0", "1"))
    site.recall(5)
    assert tape.order[3:] == ["3", "large"]
    site.service.release(request, wishes("online", "2", "3", "large"))
    site.recall(5)
    assert site.states(request)["huge"] == "COMPLETED"


@on_sqlite
def test_nothing_is_started_while_the_disk_is_full(open_site: Open, tape: Tape) -> None:
    site = open_site(disk_full_percent=90.0)
    tape.add("1", volume="A")
    request = site.submit("1")
    site.archive.full = 0.91
    site.work(100, step=20)
    assert site.states(request) == {"1": "SUBMITTED"}
    site.archive.full = 0.9
    site.work()
    assert site.states(request) == {"1": "STARTED"}


@on_sqlite
def test_a_volume_is_left_alone_for_a_while_after_its_queue_was_empty(open_site: Open, tape: Tape) -> None:
    site = open_site(remount_seconds=100.0)
    tape.add(*NAMES, volume="A")
    tape.add("other", volume="B")
    site.submit("1")
    site.recall()
    request = site.submit("2", "other")
    site.recall(80, step=10)
    assert site.states(request) == {"2": "SUBMITTED", "other": "COMPLETED"}
    successor = open_site(remount_seconds=100.0)
    successor.work(31, step=31)
    successor.recall(40, step=10)
    assert site.states(request) == {"2": "COMPLETED", "other": "COMPLETED"}


@on_sqlite
@pytest.mark.parametrize("favoured", "ABC")
def test_volumes_with_urgent_files_go_first(open_site: Open, three_volumes: Tape, favoured: str) -> None:
    site = open_site(volumes=1, activities=(("urgent", 5),), quiet_seconds=10.0)
    site.submit(*NAMES)
    site.submit(str("ABC".index(favoured)), activity="urgent")
    site.recall(60, step=10)
    assert volume_of(three_volumes.order[0]) == favoured


@on_sqlite
def test_the_default_activity_has_a_priority_too(open_site: Open, tape: Tape) -> None:
    site = open_site(activities=(("default", 5),), quiet_seconds=10.0)
    tape.add("1", "2")
    site.submit("1", activity="other")
    site.submit("2", activity="default")
    site.recall(30, step=15)
    assert tape.order == ["2", "1"]


@on_sqlite
def test_a_volume_with_a_long_queue_makes_way_for_others(open_site: Open, tape: Tape) -> None:
    site = open_site(volumes=1, volume_files=1, max_age=20.0)
    tape.add(*[f"long-{number}" for number in range(200)], volume="LONG")
    tape.add(*[f"short-{number}" for number in range(10)], volume="SHORT")
    site.submit(*[f"long-{number}" for number in range(200)])
    site.recall(4)
    site.submit("short-0")
    site.recall(40)
    assert "short-0" in tape.online
    assert tape.order.index("short-0") < 60
    site.recall(5)
    assert tape.order[-1].startswith("long")


@on_sqlite
def test_a_volume_of_low_priority_is_served_in_the_end(open_site: Open, tape: Tape) -> None:
    site = open_site(volumes=1, volume_files=1, max_age=10.0, aging_seconds=10.0, activities=(("urgent", 3),))
    tape.add(*[f"{number}" for number in range(200)], volume="URGENT")
    tape.add("low", volume="LOW")
    site.submit("low")
    for number in range(0, 200, 4):
        site.submit(*[f"{number + one}" for one in range(4)], activity="urgent")
        site.recall(2)
        if "low" in tape.order:
            break
    assert "low" in tape.order


@on_sqlite
def test_a_successor_takes_no_more_drives_than_there_are(open_site: Open, three_volumes: Tape) -> None:
    options: dict[str, Any] = {"volumes": 1, "volume_files": 2, "activities": (("urgent", 5),)}
    first, second = open_site(**options), open_site(**options)
    first.submit(*NAMES)
    asked: list[str] = []

    def die(verb: str, file_id: str) -> None:
        if verb == "stage":
            asked.append(file_id)
            raise KeyboardInterrupt

    first.archive.called = die
    with pytest.raises(KeyboardInterrupt):
        first.work()
    second.submit(*[name for name in NAMES if volume_of(name) != volume_of(asked[0])], activity="urgent")
    second.work(70, step=31)
    assert {volume_of(name) for name in three_volumes.under_way} == set(map(volume_of, asked))
