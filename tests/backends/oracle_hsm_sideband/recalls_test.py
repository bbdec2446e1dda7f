"""What a process remembers of the recalls that it submits: what it is about to, and why the latest failed."""

import threading
from collections.abc import Callable, Sequence

from pacifica.archiveinterface.backends.abstract.residency import RecallState
from pacifica.archiveinterface.backends.oracle_hsm_sideband.tape.recalls import MOST_FAILURES, Key, Limits, Recalls
from pacifica.archiveinterface.backends.oracle_hsm_sideband.tape.running import UnsupportedError
from pacifica.archiveinterface.exception import BackendUnavailableError, ConflictError
from tests.support.waiting import await_true

FAILED = (RecallState.FAILED, "no copy")
UNKNOWN = (RecallState.UNKNOWN, "")


class Stager:
    """Notes what it is asked for, and waits or fails if it is told to."""

    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self.fails = False

    def __call__(self, filepaths: Sequence[str]) -> None:
        self.asked.append(filepaths)
        self.may_end.wait()
        if self.fails:
            raise ConflictError("no copy")


def files(*numbers: int) -> dict[Key, str]:
    return {(number,): f"/{number}" for number in numbers}


def is_over(recalls: Recalls, key: Key) -> Callable[[], bool]:
    return lambda: not recalls.state_of(key)[0].is_under_way


def test_a_file_is_submitted_once_at_a_time() -> None:
    stager = Stager()
    stager.may_end.clear()
    recalls = Recalls(None, stager, Limits(threads=2, queue=10, batch=10))
    assert recalls.submit(files(1)) == {(1,): None}
    await_true(lambda: stager.asked == [["/1"]])
    assert recalls.state_of((1,)) == (RecallState.ACTIVE, "")
    recalls.submit(files(1, 2))
    await_true(lambda: stager.asked == [["/1"], ["/2"]])
    recalls.submit(files(1, 3, 4))
    recalls.submit(files(3, 4))
    assert recalls.state_of((3,)) == (RecallState.QUEUED, "")
    stager.may_end.set()
    await_true(is_over(recalls, (4,)))
    assert stager.asked == [["/1"], ["/2"], ["/3", "/4"]]
    recalls.submit(files(1))
    await_true(lambda: len(stager.asked) == 4)


def test_what_does_not_fit_into_the_queue_is_refused() -> None:
    stager = Stager()
    stager.may_end.clear()
    recalls = Recalls(None, stager, Limits(threads=1, queue=2))
    recalls.submit(files(1))
    await_true(lambda: bool(stager.asked))
    answers = recalls.submit(files(1, 2, 3, 4))
    assert [answers[key] for key in files(1, 2, 3)] == [None] * 3
    assert isinstance(answers[(4,)], BackendUnavailableError)
    stager.may_end.set()


def test_a_failure_is_told_until_the_file_is_asked_for_again() -> None:
    stager = Stager()
    stager.fails = True
    recalls = Recalls(None, stager, Limits(threads=1, queue=10))
    recalls.submit(files(1))
    await_true(lambda: recalls.state_of((1,)) == FAILED)
    stager.fails = False
    recalls.submit(files(1))
    await_true(is_over(recalls, (1,)))
    assert recalls.state_of((1,)) == UNKNOWN


def test_of_recalls_that_have_failed_the_oldest_are_forgotten() -> None:
    stager = Stager()
    stager.fails = True
    recalls = Recalls(None, stager, Limits(threads=1, queue=2 * MOST_FAILURES))
    recalls.submit(files(*range(MOST_FAILURES + 1)))
    await_true(lambda: recalls.state_of((MOST_FAILURES,)) == FAILED)
    assert recalls.state_of((0,)) == UNKNOWN
    assert recalls.state_of((1,)) == FAILED


def test_what_is_supported_at_once_needs_no_thread() -> None:
    def refuse(filepaths: Sequence[str]) -> None:
        if filepaths == ["/2"]:
            raise ConflictError("no copy")
        if filepaths == ["/3"]:
            raise UnsupportedError("no such call")

    stager = Stager()
    recalls = Recalls(refuse, stager, Limits(threads=1, queue=10))
    answers = recalls.submit(files(1, 2, 3))
    assert [type(answers[key]) for key in files(1, 2, 3)] == [type(None), ConflictError, type(None)]
    await_true(lambda: stager.asked == [["/3"]])


def test_what_waits_can_be_withdrawn() -> None:
    stager = Stager()
    stager.may_end.clear()
    recalls = Recalls(None, stager, Limits(threads=1, queue=10))
    recalls.submit(files(1, 2, 3))
    await_true(lambda: bool(stager.asked))
    assert [recalls.withdraw(key) for key in files(1, 2, 4)] == [False, True, False]
    stager.may_end.set()
    await_true(is_over(recalls, (3,)))
    assert stager.asked == [["/1"], ["/3"]]
