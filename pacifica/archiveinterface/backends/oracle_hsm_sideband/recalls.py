"""The recalls of this process: one for each file, a bounded number at a time, none in a request's thread."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...exception import ArchiveInterfaceError, BackendUnavailableError, archive_error
from ..abstract.residency import RecallState
from .stagers import HungStagerError, Stager

MOST_ENDED = 20_000  # files that are remembered after the stager has been asked for them
# Long enough to hear of an error at once, and for a thread to start where others may run only meanwhile (uWSGI).
GRACE = 0.2  # seconds
SUBMIT_AGAIN = 60.0  # seconds; a request may have been cancelled by hand, and SAM-QFS queues nothing twice
TOLD_FOR = 3600.0  # seconds; an older failure does not say what the next attempt will give

Key = tuple[int, ...]
"""Identifies one content of a file: inode and times."""


@dataclass(frozen=True)
class Limits:
    """*threads* calls of the stager at a time, each for up to *batch* files, and *queue* files that wait for a call."""

    threads: int
    queue: int
    batch: int = 1


class Recalls:
    """Runs a stager in a few threads, which a forked child starts anew."""

    def __init__(self, stager: Stager, limits: Limits) -> None:
        """Use *stager*, within *limits*."""
        self._stager = stager
        self._limits = limits
        self._crew = _Crew(os.getpid(), stager, limits)

    def ask(self, key: Key, filepath: str) -> None:
        """Have the file *key* at *filepath* recalled unless that is under way.

        Raises what the stager raised, if it failed at once or since the last request for the file.
        """
        self._own_crew().ask(key, filepath)

    def is_under_way(self, key: Key) -> bool:
        """Return whether the file *key* was asked for and is not known to be back."""
        recall = self._own_crew().find(key)
        return recall is not None and recall.is_under_way()

    def state_of(self, key: Key) -> RecallState:
        """Return QUEUED while the file *key* waits for the stager, ACTIVE after that, else UNKNOWN."""
        recall = self._own_crew().find(key)
        if recall is None or not recall.is_under_way():
            return RecallState.UNKNOWN
        return RecallState.ACTIVE if recall.has_begun else RecallState.QUEUED

    def was_submitted(self, key: Key) -> bool:
        """Return whether the stager has been asked for the file *key* and did not fail, within the last hour."""
        recall = self._own_crew().find(key)
        return recall is not None and recall.was_submitted()

    def forget(self, key: Key) -> None:
        """Note that the recall of the file *key* is over, if the stager has been asked for it."""
        self._own_crew().forget(key)

    def withdraw(self, key: Key) -> bool:
        """Forget the file *key*; return whether it was still waiting for the stager, which is not asked for it now."""
        return self._own_crew().withdraw(key)

    def _own_crew(self) -> "_Crew":
        if self._crew.process != os.getpid():
            self._crew = _Crew(os.getpid(), self._stager, self._limits)
        return self._crew


class _Crew:
    """The threads of one process and what they work on.

    *_open* holds what waits for the stager or is with it, *_ended* the rest in the order of ending.
    """

    def __init__(self, process: int, stager: Stager, limits: Limits) -> None:
        self.process = process
        self._stager = stager
        self._limits = limits
        self._lock = threading.Lock()
        self._has_work = threading.Condition(self._lock)
        self._has_ended = threading.Condition(self._lock)
        self._open: dict[Key, _Recall] = {}
        self._ended: dict[Key, _Recall] = {}
        self._waiting: deque[_Recall] = deque()
        self._threads = 0
        self._hung_in_a_row = 0

    def find(self, key: Key) -> "_Recall | None":
        return self._open.get(key) or self._ended.get(key)

    def forget(self, key: Key) -> None:
        if key in self._ended:
            with self._lock:
                self._ended.pop(key, None)

    def withdraw(self, key: Key) -> bool:
        with self._lock:
            self._ended.pop(key, None)
            recall = self._open.get(key)
            if recall is None or recall not in self._waiting:
                return False
            self._waiting.remove(recall)
            del self._open[key]
            return True

    def ask(self, key: Key, filepath: str) -> None:
        with self._lock:
            recall = self.find(key)
            if recall is None or not (recall.is_under_way() or recall.has_failed()):
                recall = self._submit(key, filepath)
            error = recall.error
            if error:
                self._ended.pop(key, None)
        if error:
            raise type(error)(*error.args) from error

    def _submit(self, key: Key, filepath: str) -> "_Recall":
        if len(self._waiting) >= self._limits.queue:
            raise BackendUnavailableError("too many files wait to be recalled from tape, try again later")
        is_next = len(self._open) < self._limits.threads
        self._start_thread()
        recall = _Recall(key, filepath)
        self._ended.pop(key, None)
        self._open[key] = recall
        self._waiting.append(recall)
        self._has_work.notify()
        if is_next:
            self._has_ended.wait_for(lambda: recall.end, GRACE)
        return recall

    def _start_thread(self) -> None:
        if self._threads < self._limits.threads:
            # It may wait for a tape, and must not keep the process from ending.
            threading.Thread(target=self._work, name="recall", daemon=True).start()
            self._threads += 1

    def _work(self) -> None:
        while True:
            with self._lock:
                self._has_work.wait_for(lambda: self._waiting)
                some = min(self._limits.batch, len(self._waiting))
                recalls = [self._waiting.popleft() for _ in range(some)]
            for recall in recalls:
                recall.has_begun = True
            self._stage(recalls)

    def _stage(self, recalls: Sequence["_Recall"]) -> None:
        error = self._error_of(recalls)
        is_hung = isinstance(error, HungStagerError)
        if error and not is_hung and len(recalls) > 1:
            # A command does not tell which of the files it refused.
            for recall in recalls:
                self._stage([recall])
            return
        with self._lock:
            self._end(recalls, error)
            self._hung_in_a_row = self._hung_in_a_row + 1 if is_hung else 0
            if self._hung_in_a_row >= self._limits.threads:
                self._end_waiting(error)

    def _error_of(self, recalls: Sequence["_Recall"]) -> ArchiveInterfaceError | None:
        try:
            self._stager([recall.filepath for recall in recalls])
        except ArchiveInterfaceError as error:
            return error
        except OSError as error:
            return archive_error(error)
        return None

    def _end_waiting(self, error: ArchiveInterfaceError | None) -> None:
        """End all that wait: the stager hangs, and clients should not be told for long that recalls are under way."""
        self._end(self._waiting, error)
        self._waiting.clear()
        self._hung_in_a_row = 0

    def _end(self, recalls: Iterable["_Recall"], error: ArchiveInterfaceError | None) -> None:
        for recall in recalls:
            recall.error, recall.end = error, time.monotonic()
            self._ended[recall.key] = recall  # first, so that find() sees it in one of the two
            del self._open[recall.key]
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._has_ended.notify_all()


class _Recall:
    """One file that was asked for; *end* is when the stager had been asked, 0 before."""

    __slots__ = ("end", "error", "filepath", "has_begun", "key")

    def __init__(self, key: Key, filepath: str) -> None:
        self.key = key
        self.filepath = filepath
        self.has_begun = False
        self.end = 0.0
        self.error: ArchiveInterfaceError | None = None

    def is_under_way(self) -> bool:
        return not self.end or (not self.error and self._age() < SUBMIT_AGAIN)

    def was_submitted(self) -> bool:
        return bool(self.end) and not self.error and self._age() < TOLD_FOR

    def has_failed(self) -> bool:
        return bool(self.error) and self._age() < TOLD_FOR

    def _age(self) -> float:
        return time.monotonic() - self.end
