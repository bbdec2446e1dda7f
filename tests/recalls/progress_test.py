"""What clients are told of files that wait or have changed, and of all that is under way."""

import pytest

from pacifica.archiveinterface.exception import TooManyRequestsError
from tests.recalls.conftest import Open, on_sqlite
from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape

NAMES = [str(number) for number in range(10)]


def test_only_what_has_changed_since_a_time_is_told(site: Site, tape: Tape) -> None:
    tape.add("1", "2", "3", volume="A")
    tape.add("hangs", "cancelled", volume="A", position=5, fates=["hangs"])
    request = site.submit("1", "2", "3", "hangs", "cancelled", "404")
    assert len(site.files(request, since=site.clock.time() - 100)) == 6
    site.work()
    site.clock.go_on(10)
    then = site.clock.time()
    assert site.files(request, since=then) == {}
    tape.run(2)
    site.work()
    assert {name: file.state for name, file in site.files(request, since=then).items()} == {
        "1": "COMPLETED",
        "2": "COMPLETED",
    }
    later = site.clock.time()
    site.service.cancel(request, wishes("cancelled"))
    assert set(site.files(request, since=later)) == {"cancelled"}
    assert site.service.progress(request, since=later).completed_at is None
    assert site.files(request, since=site.clock.time() + 1000) == {}


def test_files_that_wait_are_told_how_many_are_before_them(open_site: Open, tape: Tape) -> None:
    site = open_site(volumes=1, volume_files=2, in_flight=2, quiet_seconds=0.0)
    tape.add(*reversed(NAMES), volume="A")
    tape.add("other", volume="B")
    request = site.submit(*NAMES)
    assert {file.position for file in site.files(request).values()} <= set(range(10))
    site.work(2)
    last = site.submit("other")
    site.work(4)
    files = site.files(request)
    assert {name: file.position for name, file in files.items() if file.state == "STARTED"} == {"9": None, "8": None}
    waiting = [name for name in reversed(NAMES) if files[name].state == "SUBMITTED"]
    assert [files[name].position for name in waiting] == list(range(8))
    assert site.files(last)["other"].position == 8
    assert files["0"].seconds is None  # nothing is known of the rate
    site.recall(60, step=5)
    assert site.files(request)["0"].position is None


@on_sqlite
def test_the_time_that_a_file_will_wait_is_told_once_the_rate_is_known(open_site: Open, tape: Tape) -> None:
    site = open_site(volume_files=1, in_flight=1)
    names = [f"{number}" for number in range(100)]
    tape.add(*names, volume="A")
    request = site.submit(*names)
    site.recall(40)
    report = site.service.report()
    assert 0.1 < report.files_per_second < 2
    files = [file for file in site.files(request).values() if file.position]
    assert files
    for file in files:
        assert file.seconds == pytest.approx((file.position or 0) / report.files_per_second)


def test_the_report_tells_what_waits_and_what_is_under_way(open_site: Open, tape: Tape) -> None:
    site = open_site(volumes=1)
    tape.add("1", "2", "3", volume="A", size=100)
    tape.add("4", "5", volume="B", size=10)
    tape.add("bad", volume="A", fates=["refused"])
    site.submit("1", "2", "3", "bad")
    assert site.service.report().new_files == 4
    site.work()
    site.submit("4", "5", "404")
    site.work(20)
    report = site.service.report()
    assert report.has_recaller
    assert (report.new_files, report.waiting_files, report.started_files, report.failed_files) == (0, 2, 3, 2)
    assert [(volume.name, volume.is_active) for volume in report.volumes] == [("A", True), ("B", False)]
    assert [(volume.waiting_files, volume.waiting_bytes, volume.in_flight) for volume in report.volumes] == [
        (0, 0, 3),
        (2, 20, 0),
    ]
    assert report.oldest_seconds == report.volumes[1].oldest_seconds >= 5  # as of the last beat
    site.recall(10)
    last = site.service.report()
    assert (last.completed_files, last.completed_bytes, last.volumes) == (5, 320, [])
    site.recaller.stop()
    site.recaller.run()
    assert not site.service.report().has_recaller


def test_no_more_files_may_wait_than_the_site_says(open_site: Open, tape: Tape) -> None:
    site = open_site(most_waiting=10)
    tape.add(*NAMES, "11", volume="A")
    site.submit(*NAMES[:6])
    with pytest.raises(TooManyRequestsError):
        site.submit(*NAMES[:5])
    site.submit(*NAMES[6:])
    with pytest.raises(TooManyRequestsError):
        site.service.ask("11")
    assert site.service.report().new_files == 10
    site.recall()
    site.clock.go_on(20)
    assert not site.service.ask("11")


@on_sqlite
def test_a_request_that_waits_without_a_recaller_is_told_as_submitted(site: Site, tape: Tape) -> None:
    tape.add("1", volume="A")
    request = site.submit("1")
    site.clock.go_on(1000)
    file = site.files(request)["1"]
    assert (file.state, file.started_at, file.finished_at) == ("SUBMITTED", None, None)
    assert not site.service.report().has_recaller
