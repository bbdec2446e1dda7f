"""Running the launcher's server in this process until a signal ends it."""

import os
import queue
import signal
import threading
import time
from contextlib import suppress

from .launcher import ArchiveServer
from .supervisor import DRAIN_SIGNAL, STOP_SIGNALS

_POLL = 0.5  # seconds


class Running:
    """A server at work. It stops at SIGTERM and SIGINT, when it fails, and when its supervisor has ended."""

    def __init__(self, server: ArchiveServer, supervisor: int | None = None) -> None:
        """Take the signals; *server* is prepared, *supervisor* is a process id."""
        self._server = server
        self._supervisor = supervisor
        # Not an Event: a second signal may interrupt the thread that holds its lock.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._drained_by = float("inf")
        for number in (*STOP_SIGNALS, DRAIN_SIGNAL):
            signal.signal(number, lambda number, _: self._signals.put(number))

    def serve(self) -> int:
        """Serve until it is time to stop, let requests in flight finish, and return the exit code."""
        thread = threading.Thread(target=self._server.serve, name="connections")
        thread.start()
        while thread.is_alive() and not self._has_to_stop():
            pass
        failed = not thread.is_alive()
        self._server.stop()
        thread.join()
        return int(failed)

    def _has_to_stop(self) -> bool:
        if self._supervisor not in (None, os.getppid()) or time.monotonic() > self._drained_by:
            return True
        if self._server.is_draining and not self._server.has_clients():
            return True
        with suppress(queue.Empty):
            if self._signals.get(timeout=_POLL) in STOP_SIGNALS:
                return True
            self._server.drain()
            self._drained_by = time.monotonic() + self._server.shutdown_timeout
        return False
