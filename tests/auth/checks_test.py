"""Few checks of passwords run at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

import pytest

from pacifica.archiveinterface.auth.files.checks import Checks, TooManyChecksError
from tests.support.waiting import TIMEOUT

ATTACKER, OTHER = "192.0.2.1", "192.0.2.2"


class Check:
    """A check that ends when the test says so; *most* is how many have run at a time."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_begun = threading.Semaphore(0)
        self.running = self.most = self.count = 0
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        """Wait."""
        with self._lock:
            self.count += 1
            self.running += 1
            self.most = max(self.most, self.running)
        self.has_begun.release()
        assert self.may_end.wait(TIMEOUT)
        with self._lock:
            self.running -= 1
        return True

    def await_begun(self, count: int) -> None:
        """Return when so many more have begun."""
        for _ in range(count):
            assert self.has_begun.acquire(timeout=TIMEOUT)


class Key(bytes):
    """Tells when it is looked up."""

    looked_up = threading.Semaphore(0)

    def __hash__(self) -> int:
        self.looked_up.release()
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.fixture
def check() -> Check:
    """A check."""
    return Check()


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    """Threads for the requests of a test."""
    return ThreadPoolExecutor(32)


def starting(pool: ThreadPoolExecutor, checks: Checks, check: Check) -> Callable[[bytes, str], "Future[bool]"]:
    """Return what starts to check a key of a client."""
    return lambda key, client: pool.submit(partial(checks.outcome, key, client, check))


@pytest.mark.parametrize("at_once", [1, 2])
def test_few_run_at_a_time(at_once: int, pool: ThreadPoolExecutor, check: Check) -> None:
    start = starting(pool, Checks(at_once), check)
    started = [start(bytes([number]), str(number)) for number in range(8)]
    check.await_begun(at_once)
    check.may_end.set()
    assert [one.result(TIMEOUT) for one in started] == [True] * 8
    assert (check.count, check.most) == (8, at_once)


def test_requests_with_the_same_credentials_share_one(pool: ThreadPoolExecutor, check: Check) -> None:
    start, key = starting(pool, Checks(1), check), Key(b"key")
    first = start(key, ATTACKER)
    check.await_begun(1)
    while Key.looked_up.acquire(blocking=False):
        pass
    others = [start(key, ATTACKER) for _ in range(20)]
    for _ in others:
        assert Key.looked_up.acquire(timeout=TIMEOUT)
    check.may_end.set()
    assert {one.result(TIMEOUT) for one in (first, *others)} == {True}
    assert check.count == 1


def test_one_client_cannot_use_up_the_room_for_others(pool: ThreadPoolExecutor, check: Check) -> None:
    start = starting(pool, Checks(8), check)
    guesses = [start(bytes([number]), ATTACKER) for number in range(4)]
    check.await_begun(4)
    with pytest.raises(TooManyChecksError) as caught:
        start(b"fifth", ATTACKER).result(TIMEOUT)
    assert caught.value.retry_after == 1
    other = start(b"other", OTHER)
    check.await_begun(1)
    check.may_end.set()
    assert [one.result(TIMEOUT) for one in (*guesses, other)] == [True] * 5
    assert start(b"fifth", ATTACKER).result(TIMEOUT)


def test_many_clients_cannot_occupy_all_threads(pool: ThreadPoolExecutor, check: Check) -> None:
    start = starting(pool, Checks(16), check)
    guesses = [start(bytes([number]), str(number)) for number in range(16)]
    check.await_begun(16)
    with pytest.raises(TooManyChecksError):
        start(b"one more", OTHER).result(TIMEOUT)
    check.may_end.set()
    assert len(wait(guesses, TIMEOUT).done) == 16


def test_a_check_that_fails_leaves_no_trace(check: Check) -> None:
    checks = Checks(1)
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            checks.outcome(b"key", ATTACKER, lambda: 1 // 0 == 0)
    check.may_end.set()
    assert checks.outcome(b"key", ATTACKER, check)
