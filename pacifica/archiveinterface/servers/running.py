"""Running the launcher's server in this process until a signal ends it."""

import os
import queue
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress

from .launcher import ArchiveServer
from .supervisor import DRAIN_SIGNAL, STOP_SIGNALS
from .systemd import Watchdog, notify_stopping

_POLL = 0.5  # seconds


class Running:
    """A server at work. It stops at SIGTERM and SIGINT, when it fails, and when its supervisor has ended."""

    def __init__(
        self, server: ArchiveServer, supervisor: int | None = None, others: Sequence[ArchiveServer] = ()
    ) -> None:
        """Take the signals; *server* is prepared, as *others* are that run beside it; *supervisor* is a process id."""
        self._server = server
        self._others = others
        self._supervisor = supervisor
        self._watchdog = Watchdog(server.socket, encrypted=server.ssl_adapter is not None)
        # Not an Event: a second signal may interrupt the thread that holds its lock.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in (*STOP_SIGNALS, DRAIN_SIGNAL):
            signal.signal(number, lambda number, _: self._signals.put(number))

    def serve(self) -> int:
        """Serve until it is time to stop, let requests in flight finish, and return the exit code."""
        servers = (self._server, *self._others)
        threads = [threading.Thread(target=server.serve, name="connections") for server in servers]
        for thread in threads:
            thread.start()
        while threads[0].is_alive() and not self._has_to_stop():
            self._watchdog.tend()
        failed = not threads[0].is_alive()
        notify_stopping()
        for server in self._others:
            server.is_draining = True  # they answer, and tell it, until the first has stopped
        for server in servers:
            server.stop()
        for thread in threads:
            thread.join()
        return int(failed)

    def _has_to_stop(self) -> bool:
        if self._supervisor not in (None, os.getppid()):
            return True
        if self._server.is_draining and not self._server.has_clients():
            return True
        with suppress(queue.Empty):
            if self._signals.get(timeout=_POLL) in STOP_SIGNALS:
                return True
            for server in (self._server, *self._others):
                server.drain()
        return False
