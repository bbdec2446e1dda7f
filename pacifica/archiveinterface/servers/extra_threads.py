"""Threads that the launcher adds while others wait for slow clients, so that the next client is answered at once."""

import heapq
import logging
import threading
import time

from cheroot.workers.threadpool import ThreadPool

from ..globals import LOG_NAME
from .patience import Patience, Waits

_LOG_INTERVAL = 10  # seconds
_LOOK_AGAIN = 1.0  # seconds, while there are too few threads and no more can be added
_log = logging.getLogger(LOG_NAME)


class ExtraThreads(Waits):
    """Keeps half as many threads as the pool began with from waiting for clients.

    When no more can be added and requests wait for a thread, the slowest transfers are broken off. The threads
    stay in the pool for the next time.
    """

    def __init__(self, pool: ThreadPool, most: int, grace: float) -> None:
        """Add at most *most* threads to *pool*; a transfer is broken off when it is *grace* seconds old or more."""
        self._pool = pool
        self._most = most
        self._grace = grace
        self._begun_with: int = pool.min
        self._needed_free: int = max(1, self._begun_with // 2)
        self.added = 0
        self._waiting: set[Patience] = set()
        self._is_needed = threading.Event()
        self._is_stopping = False
        self._logged = float("-inf")
        self._thread = threading.Thread(target=self._run, name="extra threads", daemon=True)

    def start(self) -> None:
        """Begin, once the pool has its threads."""
        self._thread.start()

    def stop(self) -> None:
        """Add no more threads."""
        self._is_stopping = True
        self._is_needed.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self, patience: Patience) -> None:
        """Take note that a thread waits, with *patience*, and add others if too few are left."""
        self._waiting.add(patience)
        if self._lacking() > 0:
            self._is_needed.set()

    def end(self, patience: Patience) -> None:
        """Take note that it waits no more."""
        self._waiting.discard(patience)

    def _lacking(self) -> int:
        free = self._begun_with + self.added - len(self._waiting)
        return self._needed_free - free

    def _run(self) -> None:
        pause = None
        while not self._is_stopping:
            self._is_needed.wait(pause)
            self._is_needed.clear()
            pause = None
            lacking = self._lacking()
            if lacking > 0 and self.added < self._most:
                self._add(lacking + self._pool.qsize)
            elif lacking > 0:
                self._break_off(min(lacking, self._pool.qsize))
                pause = _LOOK_AGAIN

    def _add(self, count: int) -> None:
        count = min(count, self._most - self.added)
        try:
            self._pool.grow(count)
        except RuntimeError as error:
            self._most = self.added
            _log.error("cannot start more threads: %s; raise the limit (TasksMax, ulimit -u)", error)
        else:
            self.added += count

    def _break_off(self, count: int) -> None:
        candidates = [patience for patience in list(self._waiting) if patience.is_older_than(self._grace)]
        slowest = heapq.nsmallest(count, candidates, key=Patience.bytes_a_second)
        for patience in slowest:
            patience.end()
        if slowest and time.monotonic() - self._logged > _LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.warning("all threads wait for slow clients, the slowest transfers are broken off: extra_threads")
