"""Worker processes that serve one port, started, watched, replaced and ended by a supervisor.

The supervisor opens one listening socket, and the workers inherit it: a connection that waits in its queue is taken
by any of them. With a socket for each worker (SO_REUSEPORT) a worker that ends would reset what waits in its own.
The supervisor has no threads and opens no archive: each worker makes its own after the fork.
"""

import logging
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from ..exception import ConfigurationError
from ..globals import LOG_NAME
from .systemd import Watchdog, leave_systemd, notify_ready, notify_reloading, notify_stopping

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
DRAIN_SIGNAL = signal.SIGUSR1
"""Asks a worker to accept no more connections, and to end when those it has are closed."""

_RELOAD_SIGNAL = signal.SIGHUP
_SIGNALS = (*STOP_SIGNALS, _RELOAD_SIGNAL, signal.SIGCHLD)
_RESTART_INTERVAL = 1.0  # seconds between two starts of one worker
_LONGEST_INTERVAL = 60.0  # it doubles up to here while workers do not start
_READY = b"\0"
_REFUSED = 2  # exit code
_log = logging.getLogger(LOG_NAME)


class Assignment(NamedTuple):
    """What a new worker gets: the listening socket, and what it calls when it is about to accept connections.

    *sweeps*: it is to remove what dead processes left half-written.
    """

    listener: socket.socket
    ready: Callable[[], None]
    sweeps: bool
    supervisor: int  # process id


Work = Callable[[Assignment], int]
"""Serves until a signal ends it, and returns the exit code. Raises ConfigurationError before it is ready."""


class _Worker(NamedTuple):
    pid: int
    report: int  # a pipe: _READY, or why the configuration is refused
    begun: float


class _StoppedError(Exception):
    """The supervisor was asked to stop."""


class Supervisor:
    """Keeps *count* worker processes at work on *listener*."""

    def __init__(self, listener: socket.socket, count: int, configure: Callable[[], Work], watchdog: Watchdog) -> None:
        """Each worker does what *configure* returned last; it is called now and for each reload."""
        self._listener = listener
        self._watchdog = watchdog
        self._count = count
        self._configure = configure
        self._work = configure()
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []  # asked to end
        self._vacancies: list[float] = []  # when to start a worker in the place of one that died
        self._interval = _RESTART_INTERVAL
        self._reload_is_due = False
        self._signals = _Signals()

    def run(self, name: str) -> int:
        """Serve until SIGTERM or SIGINT and return the exit code; *name* stands for the service in the log.

        Raises ConfigurationError when a worker refuses to start.
        """
        try:
            self._workers = self._start_all(self._work)
            _log.info("%s, worker processes: %d", name, self._count)
            notify_ready(name)
            while True:
                self._reap()
                if self._fill_vacancies():
                    continue  # the signals of workers that ended meanwhile are taken already
                if self._reload_is_due:
                    self._reload(name)
                else:
                    self._await_signal()
        except _StoppedError:
            return 0
        finally:
            self._stop()

    def _start_all(self, work: Work) -> list[_Worker]:
        """Start the workers of one configuration, one after the other: the first sweeps, and may refuse it."""
        workers: list[_Worker] = []
        try:
            for number in range(self._count):
                workers.append(self._start(work, sweeps=number == 0))
                self._await_ready(workers[-1])
        except BaseException:
            self._dismiss(workers, signal.SIGTERM)
            raise
        return workers

    def _start(self, work: Work, *, sweeps: bool) -> _Worker:
        report, written = os.pipe()
        assignment = Assignment(self._listener, lambda: _report(written, _READY), sweeps, os.getpid())
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if not pid:
            _be_worker(lambda: self._signals.leave(blocked), work, assignment, written)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(written)
        return _Worker(pid, report, time.monotonic())

    def _await_ready(self, worker: _Worker) -> None:
        """Return when *worker* serves. Raises ConfigurationError when it refuses or dies."""
        said = b""
        with open(worker.report, "rb", buffering=0) as report:
            while said != _READY:
                if not self._signals.wait(self._watchdog.tend(), worker.report):
                    self._heed_signals()
                elif arrived := report.read(1 << 12):
                    said += arrived
                else:
                    raise ConfigurationError(said.decode() or "a worker process ended while it started")

    def _await_signal(self) -> None:
        due = min(self._vacancies, default=math.inf)
        self._signals.wait(min(max(0.0, due - time.monotonic()), self._watchdog.tend()))
        self._heed_signals()

    def _heed_signals(self) -> None:
        received = self._signals.take()
        if received.intersection(STOP_SIGNALS):
            raise _StoppedError
        self._reload_is_due = self._reload_is_due or _RELOAD_SIGNAL in received

    def _reload(self, name: str) -> None:
        """Start workers with the configuration as it is now, then let the old ones end; keep those if it is wrong."""
        self._reload_is_due = False
        notify_reloading()
        try:
            work = self._configure()
            workers = self._start_all(work)
        except ConfigurationError as error:
            _log.error("not reloaded, the worker processes go on as before: %s", error)
            notify_ready(f"goes on as before, not reloaded: {error}")
            return
        self._dismiss(self._workers, DRAIN_SIGNAL)
        self._workers, self._work, self._vacancies = workers, work, []
        self._interval = _RESTART_INTERVAL
        _log.info("reloaded: new worker processes have the new configuration")
        notify_ready(name)

    def _reap(self) -> None:
        self._leaving = [worker for worker in self._leaving if _end_of(worker) is None]
        for worker in list(self._workers):
            end = _end_of(worker)
            if end is not None:
                self._workers.remove(worker)
                self._vacancies.append(worker.begun + self._interval)
                _log.error("worker process %d has ended (%s), another one takes its place", worker.pid, end)

    def _fill_vacancies(self) -> bool:
        """Start the workers that are due, and return whether there were any."""
        due = [moment for moment in self._vacancies if moment <= time.monotonic()]
        for moment in due:
            self._vacancies.remove(moment)
            worker = self._start(self._work, sweeps=True)
            self._workers.append(worker)
            try:
                self._await_ready(worker)
                self._interval = _RESTART_INTERVAL
            except ConfigurationError as error:
                self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
                _log.error("a worker process does not start: %s; next attempt in %d seconds", error, self._interval)
        return bool(due)

    def _dismiss(self, workers: list[_Worker], number: int) -> None:
        for worker in workers:
            os.kill(worker.pid, number)
        self._leaving += workers

    def _stop(self) -> None:
        """Close the port and return when all workers have ended."""
        notify_stopping()
        self._listener.close()
        leaving, self._leaving = self._leaving, []
        self._dismiss(self._workers + leaving, signal.SIGTERM)
        for worker in self._leaving:
            os.waitpid(worker.pid, 0)


class _Signals:
    """The signals of the supervisor, waited for beside its pipes."""

    def __init__(self) -> None:
        self._arrivals, self._written = os.pipe()
        os.set_blocking(self._arrivals, False)
        os.set_blocking(self._written, False)
        signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: None)

    def leave(self, mask: set[int]) -> None:
        """Give up the signals, in a worker: they are those of a new process, *mask* blocked, but for the reload."""
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(_RELOAD_SIGNAL, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(self._arrivals)
        os.close(self._written)

    def wait(self, timeout: float, *pipes: int) -> list[int]:
        """Wait for a signal, or one of *pipes*, and return those that can be read; none after *timeout* seconds."""
        readable, _, _ = select.select([self._arrivals, *pipes], [], [], None if math.isinf(timeout) else timeout)
        return [pipe for pipe in readable if pipe != self._arrivals]

    def take(self) -> set[int]:
        """Return the signals that have arrived since."""
        try:
            return set(os.read(self._arrivals, 1 << 12))
        except BlockingIOError:
            return set()


def _be_worker(leave: Callable[[], None], work: Work, assignment: Assignment, report: int) -> None:
    """Do *work* in a new process, and end the process."""
    code = 1
    try:
        leave()
        leave_systemd()
        code = work(assignment)
    except ConfigurationError as error:
        _report(report, str(error).encode())
        code = _REFUSED
    except BaseException:
        _log.exception("a worker process fails")
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _report(pipe: int, words: bytes) -> None:
    os.write(pipe, words)
    os.close(pipe)


def _end_of(worker: _Worker) -> str | None:
    """Return how *worker* has ended, None while it lives."""
    pid, status = os.waitpid(worker.pid, os.WNOHANG)
    if not pid:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
