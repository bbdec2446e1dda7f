"""This process's login to HPSS: every call goes through it.

Calls are made by threads of the session's own, so that their number is capped and a call that
never returns holds up no more than itself. When the credentials run out, new calls wait, those
under way end, the open files are closed, HPSS is logged into again, and all go on.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from ...config import HpssOptions
from ...exception import BackendUnavailableError
from ...globals import LOG_NAME

T = TypeVar("T")

PING_PERIOD = 1.0  # seconds that one answer of the core server counts for
_ATTEMPTS = 8  # of a call whose credentials run out again and again
_LOCKS = 64
_log = logging.getLogger(LOG_NAME)


class Workers:
    """At most *most* threads that run actions; idle ones end with this object."""

    def __init__(self, most: int) -> None:
        """Start no thread yet."""
        self._room = threading.Semaphore(most)
        self._idle = threading.Semaphore(0)
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        weakref.finalize(self, _end, self._tasks, most).atexit = False

    def run(self, action: Callable[[], T], timeout: float) -> T:
        """Return what *action* returns. Raises BackendUnavailableError after *timeout* seconds; it may run on then."""
        future: Future[T] = Future()
        self._tasks.put((future, action))
        if not self._idle.acquire(blocking=False) and self._room.acquire(blocking=False):
            # A daemon: a call that hangs must not keep the process from ending.
            threading.Thread(target=_work, args=(self._tasks, self._idle), name="hpss", daemon=True).start()
        try:
            return future.result(timeout)
        except (FutureTimeoutError, CancelledError) as error:
            if not future.done():
                future.cancel()
                raise BackendUnavailableError("HPSS does not answer, try again later") from error
            raise


def _work(tasks: queue.SimpleQueue[Any], idle: threading.Semaphore) -> None:
    while task := tasks.get():
        future, action = task
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(action())
            except BaseException as error:
                future.set_exception(error)
        del task, future, action
        idle.release()


def _end(tasks: queue.SimpleQueue[Any], count: int) -> None:
    for _ in range(count):
        tasks.put(None)


class Gate:
    """Lets any number pass, or one who has it closed behind the last of them."""

    def __init__(self) -> None:
        """Begin open."""
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def passing(self, timeout: float) -> Iterator[None]:
        """Be inside within the block, once the gate is open."""
        with self._changed:
            self._wait(lambda: not self._closed, timeout)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self, timeout: float) -> Iterator[None]:
        """Be alone within the block: nobody enters, and all who were inside have left."""
        with self._changed:
            self._wait(lambda: not self._closed, timeout)
            self._closed = True
        try:
            with self._changed:
                self._wait(lambda: not self._inside, timeout)
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        if not self._changed.wait_for(condition, timeout):
            raise BackendUnavailableError("HPSS does not answer, try again later")


class Session:
    """The calls of one process to HPSS; made before a fork, it logs in after it."""

    def __init__(self, client: Any, options: HpssOptions) -> None:
        """Call nothing yet: HPSS wants its login in the process that uses it."""
        self.client = client
        self.options = options
        self._starting = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._workers = Workers(self.options.calls)
        self._pinger = Workers(1)  # its question waits behind no transfer
        self._gate = Gate()
        self._generation = 0  # of the login; 0 before the first
        self._login_lock = threading.Lock()
        self._ping_lock = threading.Lock()
        self._answer = (float("-inf"), float("-inf"))  # when the core server was last asked, and answered
        self._server: bytes | None = None
        self._descriptors: weakref.WeakSet[Any] = weakref.WeakSet()
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def lock_for(self, path: str) -> threading.Lock:
        """Return the lock that this process holds while it changes what *path* names."""
        return self._locks[hash(path) % _LOCKS]

    def open(self, *arguments: Any) -> Any:
        """Return a new descriptor, which a new login will close; to be used within `call`."""
        descriptor = self.client.open(*arguments)
        self._descriptors.add(descriptor)
        return descriptor

    def call(self, action: Callable[[], T], timeout: float | None = None, workers: Workers | None = None) -> T:
        """Return what *action*, which calls HPSS, returns; after a new login when the old one has run out.

        *timeout* is in seconds, ``call_timeout`` when None. Raises HPSSError, an OSError;
        BackendUnavailableError when HPSS does not answer or lets nobody in.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            generation = self._logged_in()
            try:
                return self._pass(action, timeout, workers)
            except self.client.HPSSError as error:
                if attempt == _ATTEMPTS or error.errno != errno.EACCES or not self._has_run_out(generation):
                    raise
            self._log_in(generation)
        raise AssertionError("unreachable")

    def ping(self) -> tuple[float, float]:
        """Return when the core server was last asked and when it answered, in seconds of the monotonic clock.

        One answer counts for PING_PERIOD. The server's own clock, which it sends along, may be wrong.
        """
        self._logged_in()
        with self._ping_lock:
            if time.monotonic() - self._answer[1] > PING_PERIOD:
                begun = time.monotonic()
                try:
                    self.call(self._ask_core_server, self.options.accept_latency + 1, self._pinger)
                except self.client.HPSSError as error:
                    raise BackendUnavailableError("the HPSS core server does not answer, try again later") from error
                finally:
                    self._answer = (begun, time.monotonic())
            return self._answer

    def _ask_core_server(self) -> None:
        if self._server is None:
            self._server = self.client.lookup_root_cs(self.options.sitename)
        self.client.ping_core(self._server)

    def _pass(self, action: Callable[[], T], timeout: float | None = None, workers: Workers | None = None) -> T:
        with self._gate.passing(self.options.call_timeout):
            return (workers or self._workers).run(action, timeout or self.options.call_timeout)

    def _logged_in(self) -> int:
        """Return the generation of a login, which is made if there is none in this process."""
        if self._process != os.getpid():
            with self._starting:
                if self._process != os.getpid():
                    self._start()
        return self._generation or self._log_in(0)

    def _has_run_out(self, generation: int) -> bool:
        """Return whether a refusal under login *generation* was for its credentials, not for the one file."""
        if self._generation != generation:
            return True
        try:
            self._pass(lambda: self.client.stat("/"))
        except self.client.HPSSError as error:
            return bool(error.errno == errno.EACCES)
        return self._generation != generation

    def _log_in(self, generation: int) -> int:
        """Log in, unless somebody did since *generation*; return the new generation."""
        with self._login_lock:
            if self._generation != generation:
                return self._generation
            with self._gate.closed(self.options.call_timeout):
                try:
                    self._workers.run(lambda: self._change_login(generation), self.options.call_timeout)
                except self.client.HPSSError as error:
                    _log.error("HPSS refuses the login of %s: %s", self.options.user, error)
                    raise BackendUnavailableError("HPSS does not let the service in, try again later") from error
                self._generation = generation + 1
            return self._generation

    def _change_login(self, generation: int) -> None:
        options = self.options
        if generation:
            # A descriptor that HPSS forgets in the reset may be the number of another file after it.
            for descriptor in list(self._descriptors):
                with suppress(self.client.HPSSError):
                    descriptor.close()
            self._descriptors.clear()
            self.client.reset()
            self.client.purge_login()
            _log.info("the credentials of %s have run out; logging in again", options.user)
        self.client.configure(options.retries, options.busy_delay, options.busy_retries)
        self.client.login(options.user, options.mechanism, "keytab", options.auth)
        # Modes are set by name; HPSS's own umask has no say.
        self.client.umask(0)
        self._server = None
