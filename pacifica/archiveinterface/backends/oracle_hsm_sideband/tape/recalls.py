"""The recalls that this process submits: through libsam at once, otherwise in threads, since a stager may block.

A recall that was submitted is not remembered: the recall service has it in its database, and the storage does not
queue a file twice. Only the latest failures are remembered, because only this process knows why a command or a read
failed.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from ....exception import ArchiveInterfaceError, StorageBusyError
from ...abstract.residency import RecallState
from .running import Request, UnsupportedError, outcomes

MOST_FAILURES = 10_000  # files

Key = tuple[int, ...]
"""Identifies one content of a file: inode and times."""
Outcomes = dict[Key, ArchiveInterfaceError | None]


@dataclass(frozen=True)
class Limits:
    """*threads* calls of the stager at a time, each for up to *batch* files, and *queue* files that wait for a call."""

    threads: int
    queue: int
    batch: int = 1


class Recalls:
    """Submits recalls, each file at most once at a time; a forked child starts anew."""

    def __init__(self, at_once: Request | None, in_threads: Request, limits: Limits) -> None:
        """Use *at_once*, which does not block, where it is supported, else *in_threads* within *limits*."""
        self._at_once = at_once
        self._in_threads = in_threads
        self._limits = limits
        self._crew = _Crew(os.getpid(), in_threads, limits)

    def submit(self, files: Mapping[Key, str]) -> Outcomes:
        """Have *files*, their paths by their keys, recalled; return None for each, or why it cannot be.

        What fails later is told by `state_of`.
        """
        done: Outcomes = {}
        if self._at_once:
            told = outcomes(self._at_once, list(files.values()), 1)
            done = {key: told[path] for key, path in files.items() if not isinstance(told[path], UnsupportedError)}
        rest = {key: path for key, path in files.items() if key not in done}
        return done | (self._own_crew().take(rest) if rest else {})

    def state_of(self, key: Key) -> tuple[RecallState, str]:
        """Return QUEUED while *key* waits for the stager, ACTIVE while that runs, FAILED and why after that."""
        return self._own_crew().state_of(key)

    def withdraw(self, key: Key) -> bool:
        """Forget the file *key*; return whether it was still waiting for the stager, which is not asked for it now."""
        return self._own_crew().withdraw(key)

    def _own_crew(self) -> "_Crew":
        if self._crew.process != os.getpid():
            self._crew = _Crew(os.getpid(), self._in_threads, self._limits)
        return self._crew


class _Crew:
    """The threads of one process and what they work on."""

    def __init__(self, process: int, stager: Request, limits: Limits) -> None:
        self.process = process
        self._stager = stager
        self._limits = limits
        self._has_work = threading.Condition()
        self._waiting: OrderedDict[Key, str] = OrderedDict()
        self._begun: set[Key] = set()
        self._failures: OrderedDict[Key, str] = OrderedDict()
        self._threads = 0

    def take(self, files: Mapping[Key, str]) -> Outcomes:
        with self._has_work:
            new = [key for key in files if key not in self._waiting and key not in self._begun]
            room = max(self._limits.queue - len(self._waiting), 0)
            for key in new[:room]:
                self._failures.pop(key, None)
                self._waiting[key] = files[key]
            self._start_threads()
            self._has_work.notify_all()
        refusal = StorageBusyError("too many files wait to be recalled from tape, try again later")
        return {**dict.fromkeys(files), **dict.fromkeys(new[room:], refusal)}

    def state_of(self, key: Key) -> tuple[RecallState, str]:
        with self._has_work:
            if key in self._waiting:
                return RecallState.QUEUED, ""
            if key in self._begun:
                return RecallState.ACTIVE, ""
            if key in self._failures:
                return RecallState.FAILED, self._failures[key]
            return RecallState.UNKNOWN, ""

    def withdraw(self, key: Key) -> bool:
        with self._has_work:
            return self._waiting.pop(key, None) is not None

    def _start_threads(self) -> None:
        while self._threads < min(self._limits.threads, len(self._waiting) + len(self._begun)):
            # It may wait for a tape, and must not keep the process from ending.
            threading.Thread(target=self._work, name="recall", daemon=True).start()
            self._threads += 1

    def _work(self) -> None:
        while True:
            with self._has_work:
                self._has_work.wait_for(lambda: self._waiting)
                some = min(self._limits.batch, len(self._waiting))
                files = dict(self._waiting.popitem(last=False) for _ in range(some))
                self._begun.update(files)
            told = outcomes(self._stager, list(files.values()), len(files))
            with self._has_work:
                self._begun.difference_update(files)
                for key, path in files.items():
                    self._note(key, told[path])

    def _note(self, key: Key, error: ArchiveInterfaceError | None) -> None:
        if error:
            self._failures[key] = str(error)
            if len(self._failures) > MOST_FAILURES:
                self._failures.popitem(last=False)
