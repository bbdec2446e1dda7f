"""The recalls of this process: one for each file, a bounded number at a time, none in a request's thread."""

import os
import queue
import threading
import time
from dataclasses import dataclass, field

from ...exception import ArchiveInterfaceError, BackendUnavailableError
from .stagers import Stager

MOST_WAITING = 10_000  # files
MOST_REMEMBERED = 20_000  # files
# Long enough to hear of an error at once, and for a thread to start where others may run only meanwhile (uWSGI).
GRACE = 0.2  # seconds
SUBMIT_AGAIN = 60.0  # seconds; a request may have been cancelled by hand, and SAM-QFS queues nothing twice

Key = tuple[int, ...]
"""Tells one content of a file from the next: inode and times."""


@dataclass
class _Recall:
    """One file that was asked for."""

    key: Key
    filepath: str
    ended: threading.Event = field(default_factory=threading.Event)
    end: float = 0.0
    error: Exception | None = None

    def is_under_way(self) -> bool:
        return not self.ended.is_set() or (self.error is None and time.monotonic() - self.end < SUBMIT_AGAIN)


class Recalls:
    """Runs a stager in at most *most* threads, which a forked child starts anew."""

    def __init__(self, stager: Stager, most: int) -> None:
        """Use *stager*."""
        self._stager = stager
        self._most = most
        self._crew = _Crew(os.getpid(), stager, most)

    def ask(self, key: Key, filepath: str) -> None:
        """Have the file *key* at *filepath* recalled unless that is under way.

        Raises what the stager raised if it failed at once, or behind the back of whoever asked last.
        """
        if self._crew.process != os.getpid():
            self._crew = _Crew(os.getpid(), self._stager, self._most)
        self._crew.ask(key, filepath)

    def is_under_way(self, key: Key) -> bool:
        """Return whether the file *key* was asked for and is not known to be back."""
        recall = self._crew.recalls.get(key)
        return recall is not None and recall.is_under_way()

    def forget(self, key: Key) -> None:
        """Note that the file *key* is back on disk."""
        recall = self._crew.recalls.get(key)
        if recall and recall.ended.is_set():
            self._crew.recalls.pop(key, None)


class _Crew:
    """The threads of one process and what they work on."""

    def __init__(self, process: int, stager: Stager, most: int) -> None:
        self.process = process
        self.recalls: dict[Key, _Recall] = {}
        self._stager = stager
        self._most = most
        self._lock = threading.Lock()
        self._waiting: queue.Queue[_Recall] = queue.Queue(MOST_WAITING)
        self._threads = 0

    def ask(self, key: Key, filepath: str) -> None:
        with self._lock:
            recall = self.recalls.get(key)
            is_new = recall is None or (recall.error is None and not recall.is_under_way())
            if is_new or recall is None:
                recall = self._submit(key, filepath)
        if is_new:
            recall.ended.wait(GRACE)
        if recall.ended.is_set() and recall.error:
            self.recalls.pop(key, None)
            raise recall.error

    def _submit(self, key: Key, filepath: str) -> _Recall:
        recall = _Recall(key, filepath)
        try:
            self._waiting.put_nowait(recall)
        except queue.Full:
            raise BackendUnavailableError("too many files wait to be recalled from tape, try again later") from None
        if len(self.recalls) >= MOST_REMEMBERED:
            self.recalls = {old.key: old for old in self.recalls.values() if old.is_under_way()}
        self.recalls[key] = recall
        if self._threads < self._most:
            self._threads += 1
            # A reader of a tape may block for minutes, and must not keep the process from ending.
            threading.Thread(target=self._work, name="recall", daemon=True).start()
        return recall

    def _work(self) -> None:
        while True:
            recall = self._waiting.get()
            try:
                self._stager(recall.filepath)
            except (ArchiveInterfaceError, OSError) as error:
                recall.error = error
            finally:
                recall.end = time.monotonic()
                recall.ended.set()
