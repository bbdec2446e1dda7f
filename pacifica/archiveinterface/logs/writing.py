"""Writing lines at once, or a little later by a thread."""

import logging
import os
import select
import threading
from collections import deque

from ..globals import LOG_NAME
from .lines import LONGEST_LINE

_MOST_LINES = 10_000  # that wait for the thread
_INTERVAL = 0.05  # seconds in which lines are collected
_PATIENCE = 5  # seconds that the last lines may take

_log = logging.getLogger(LOG_NAME)


class QueuedLines:
    """Lines that a thread writes a little later, many at a time, so that no request waits for who reads them.

    If lines come faster than they are read, the latest are left out; how many they were is logged.
    """

    def __init__(self, descriptor: int) -> None:
        """Write to *descriptor*. The thread starts with the first line: a process that is forked until then has one."""
        self._descriptor = descriptor
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, line: str) -> None:
        """Have *line*, which has its end, written."""
        if len(self._waiting) >= _MOST_LINES:
            with self._lock:
                self._lost += 1
            return
        self._waiting.append(line)
        if not self._due.is_set():
            self._wake()

    def close(self) -> None:
        """Return when all lines are written, or after some seconds."""
        self._closing.set()
        if self._thread:
            self._due.set()
            self._thread.join(_PATIENCE)

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
                self._thread.start()
        self._due.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._due.wait()
            self._closing.wait(_INTERVAL)
            self._due.clear()
            self._write_waiting()

    def _write_waiting(self) -> None:
        while self._waiting:
            lines = self._next_lines()
            try:
                write(self._descriptor, "".join(lines))
            except OSError:
                with self._lock:
                    self._lost += len(lines)
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            _log.warning("the access log lacks %d requests: its lines are not read as fast as they come", lost)

    def _next_lines(self) -> list[str]:
        """Return the next lines, as many as one write keeps together."""
        lines = [self._waiting.popleft()]
        size = len(lines[0])
        while self._waiting and size + len(self._waiting[0]) <= LONGEST_LINE:
            size += len(self._waiting[0])
            lines.append(self._waiting.popleft())
        return lines


def write(descriptor: int, text: str) -> None:
    """Write the whole *text* to *descriptor*. Raises OSError."""
    rest = text.encode()
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # whoever shares the descriptor has set it so
            poll = select.poll()  # select() takes no descriptor above 1023
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
