"""A process dies, or loses its connection, at each statement, commit and call of the storage; another goes on.

Every few points here; RECALL_CRASHES=all stops at each of them.
"""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface.exception import BackendUnavailableError, MissingRequestError
from pacifica.archiveinterface.recalls.tables import Request
from tests.recalls.conftest import Open
from tests.support.crashes import Points, die, lose_connection, passing, runs_to_the_end
from tests.support.recall_site import Site, wishes
from tests.support.tape import Tape

STRIDE = 1 if os.getenv("RECALL_CRASHES") == "all" else 61
KINDS = ("good", "late", "fails", "lost", "cancelled", "deleted")


class Life:
    """A service and its clients, from the first request to the last release; what was answered is in a file."""

    def __init__(self, site: Site, point: int, answers: Path) -> None:
        self._site, self._point, self._answers = site, point, answers

    def prepare(self) -> None:
        """Put the files on tape."""
        for place, kind in enumerate(KINDS):
            fates = [kind, "arrives"] if kind in ("fails", "lost") else ["arrives"]
            self._site.tape.add(self.name(kind), volume="AB"[place % 2], position=place, fates=fates)

    def name(self, kind: str) -> str:
        """Return the id of the file of a *kind*."""
        return f"{kind}-{self._point}"

    def live(self) -> None:
        """Have files recalled, failed, cancelled and released."""
        service = self._site.service
        first = self._submit("first", "good", "fails", "lost", "cancelled", "404")
        self._work()
        second = self._submit("second", "good", "late")
        third = self._submit("third", "deleted", "cancelled")
        self._work()
        service.cancel(first, wishes(self.name("cancelled")))
        service.cancel(third, wishes(self.name("cancelled")))
        self._tell("cancelled", "")
        service.delete(third)
        self._tell("deleted", "")
        for _ in range(5):
            self._work()
            self._site.tape.run()
        service.release(first, wishes(self.name("good")))
        service.release(second, wishes(self.name("good")))
        self._tell("released", "")
        self._work()

    def _submit(self, told: str, *kinds: str) -> str:
        request = self._site.submit(*map(self.name, kinds))
        self._tell(told, request)
        return request

    def _tell(self, told: str, request: str) -> None:
        with self._answers.open("a") as file:
            file.write(f"{told} {request}\n")

    def _work(self) -> None:
        for _ in range(2):
            self._site.recaller.turn()
        self._site.clock.go_on(6)

    def tell_of_calls(self, points: Points) -> None:
        """Count each call of the storage as a point."""
        self._site.archive.called = lambda verb, file_id: points.reach()

    def live_on(self) -> None:
        """Live, up to the first request that is answered with an error."""
        with suppress(BackendUnavailableError):
            self.live()

    def answers(self) -> dict[str, str]:
        """Return what was answered: the ids of requests, and what became of them."""
        lines = self._answers.read_text().splitlines() if self._answers.exists() else []
        return dict(line.split(" ") for line in lines)

    def check(self) -> None:
        """Let a new recaller end what was begun; nothing that was answered is lost, and nothing is done twice."""
        self._site.clock.go_on(40)
        self._site.recaller.turn()
        self._site.clock.go_on(40)
        self._site.recall(60, step=12)
        answers = self.answers()
        self._check_requests(answers)
        self._check_storage(answers)

    def _check_requests(self, answers: dict[str, str]) -> None:
        for request in answers.keys() & {"first", "second"}:
            self._check_states(answers[request], answers)
        for (request,) in self._site.store.rows(Request.select(Request.id).tuples()):
            assert len(self._site.files(request)) in (5, 2)  # whole, also if nobody was answered
        if "third" in answers and "deleted" in answers:
            with pytest.raises(MissingRequestError):
                self._site.service.progress(answers["third"])
        report = self._site.service.report()
        assert (report.new_files, report.waiting_files, report.started_files) == (0, 0, 0)

    def _check_states(self, request: str, answers: dict[str, str]) -> None:
        for name, state in self._site.states(request).items():
            kind = name.partition("-")[0]
            expected = {"404": {"FAILED"}, "cancelled": {"CANCELLED"}}.get(kind, {"COMPLETED"})
            if "cancelled" not in answers and kind == "cancelled":
                expected = {"CANCELLED", "COMPLETED"}
            assert state in expected, (name, state, answers)

    def _check_storage(self, answers: dict[str, str]) -> None:
        recalls = {kind: self._site.tape.recalls.get(self.name(kind), 0) for kind in KINDS}
        least = {"good": "first", "late": "second", "fails": "first", "lost": "first"}
        for kind, count in recalls.items():
            most = 2 if kind in ("fails", "lost") else 1
            assert count <= most, recalls
            assert count == most or least.get(kind) not in answers, (recalls, answers)
        assert not self._site.tape.under_way
        if "released" in answers:
            assert self.name("good") not in self._site.tape.online


def test_a_recaller_that_dies_at_any_point_is_followed_by_another(open_site: Open, tape: Tape, tmp_path: Path) -> None:
    site = open_site(evict="released")
    site.store.prepare()
    is_alive, point = False, 1
    while not is_alive:
        site.start_anew()
        life = Life(site, point, tmp_path / f"answers-{point}")
        life.prepare()
        is_alive = runs_to_the_end(partial(_live_until, life, point))
        life.check()
        point += STRIDE
    assert point > 100
    print(f"{len(range(1, point - STRIDE, STRIDE))} points of about {point - STRIDE}")


def _live_until(life: Life, point: int) -> None:
    points = Points(point, die)
    life.tell_of_calls(points)
    with passing(points):
        life.live()


@pytest.mark.parametrize("url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("after", [False, True])
def test_a_connection_that_is_lost_at_any_point_loses_nothing(
    open_site: Open, tape: Tape, tmp_path: Path, after: bool
) -> None:
    site = open_site(evict="released")
    points, point = Points(1, lose_connection), 1
    while point == 1 or points.was_reached:
        life = Life(site, point, tmp_path / f"answers-{point}")
        life.prepare()
        points = Points(point, lose_connection)
        with passing(points, after=after):
            life.live_on()
        life.check()
        point += STRIDE
    assert point > 100
    print(f"{len(range(1, point - STRIDE, STRIDE))} points of about {point - STRIDE}")
