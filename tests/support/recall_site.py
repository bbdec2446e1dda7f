"""A recall service with its recaller, driven step by step, and how far its files are."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from typing import Any

from pacifica.archiveinterface.backends.abstract.archive import outcome_of
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.progress import FileProgress, RequestProgress
from pacifica.archiveinterface.recalls.recaller.recaller import Recaller
from pacifica.archiveinterface.recalls.requests import Wish
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.support.service import TIMEOUT
from tests.support.tape import ALL_TRAITS, Tape, TapeArchive

ARCHIVE = "tape /archive"
_QUICK: dict[str, Any] = {
    "quiet_seconds": 0.0,
    "poll_seconds": 0.05,
    "retry_seconds": 10.0,
    "timeout": 1000.0,
    "lease_seconds": 30.0,
    "database_timeout": 10.0,
}


class Clock:
    """The two clocks of a process: *time*, which is set by the host, and *monotonic*."""

    def __init__(self, time: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._time, self._monotonic = time, monotonic
        self._passed, self._set_by = 0.0, 0.0

    def time(self) -> float:
        return self._time() + self._passed + self._set_by

    def monotonic(self) -> float:
        return self._monotonic() + self._passed

    def go_on(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self._passed += seconds

    def set_by(self, seconds: float) -> None:
        """Set the clock of the host *seconds* forth, or back."""
        self._set_by += seconds


def recall_options(url: str, **given: Any) -> RecallOptions:
    """Return the options of a service that keeps its recalls at *url*, with short times unless they are *given*."""
    return RecallOptions(**{"database": url, **_QUICK, **given})


class Site:
    """A service on a *tape* and the database at *url*, and a recaller, whose turns the test makes."""

    def __init__(self, url: str, tape: Tape, clock: Clock | None = None, **given: Any) -> None:
        self.tape, self.clock = tape, clock or Clock(time.time, time.monotonic)
        self.archive = TapeArchive(tape, given.pop("traits", ALL_TRAITS))
        self.options = recall_options(url, **given)
        self.store = Store(ARCHIVE, self.options)
        self.service = RecallService(self.archive, self.store, self.options)
        self.recaller: Recaller = self.service.recaller()

    def start_anew(self) -> None:
        """Have another recaller from now on, as after a restart."""
        self.recaller = self.service.recaller()

    def submit(self, *file_ids: str, **details: Any) -> str:
        """Ask for the files, all with the same *details*, and return the id of the request."""
        return self.service.submit([Wish(f"/{file_id}", file_id, **details) for file_id in file_ids])

    def files(self, request: str, since: float = 0.0) -> dict[str, FileProgress]:
        """Return how far the files of the *request* are, by their ids."""
        return {file.path[1:]: file for file in self.service.progress(request, since).files}

    def states(self, request: str) -> dict[str, str]:
        """Return the states of the files of the *request*."""
        return {name: file.state for name, file in self.files(request).items()}

    def has(self, *requests: str) -> list[bool]:
        """Return for each of *requests* whether it is there."""
        return [
            isinstance(outcome_of(partial(self.service.progress, request)), RequestProgress) for request in requests
        ]

    def await_all(self, *requests: str) -> None:
        """Wait until all files of the *requests* have ended."""
        deadline = time.monotonic() + TIMEOUT
        for request in requests:
            while not self.service.progress(request).completed_at:
                assert time.monotonic() < deadline, Counter(self.states(request).values())
                time.sleep(0.05)

    def work(self, seconds: float = 1.0, step: float = 1.0) -> None:
        """Let the recaller do all that is due now, and again after each *step* until *seconds* have passed."""
        self._turn()
        for _ in range(ceil(seconds / step)):
            self.clock.go_on(step)
            self._turn()

    def _turn(self) -> None:
        while not self.recaller.turn():
            pass

    def recall(self, seconds: float = 3.0, step: float = 1.0) -> None:
        """Let the recaller work, and the tape go on after each *step*, until *seconds* have passed."""
        self._turn()
        for _ in range(ceil(seconds / step)):
            self.clock.go_on(step)
            self._turn()
            self.tape.run()
        self.work()


def wishes(*file_ids: str) -> Sequence[Wish]:
    """Return wishes for the files, as they are cancelled or released."""
    return [Wish(f"/{file_id}", file_id) for file_id in file_ids]
