"""This process's login to HPSS, through which every call goes.

Calls are made by threads of the session's own, so that their number is capped and a call that
never returns holds up no more than itself. When the credentials run out, new calls wait, those
under way end, the open files are closed, HPSS is logged into again, and all go on.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ....exception import ArchiveInterfaceError, BackendUnavailableError
from ....globals import LOG_NAME
from ...abstract.archive import outcome_of
from ..options import HpssOptions
from .waiting import Gate, PathLocks, Room, acquired
from .workers import Workers

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

PING_PERIOD = 1.0  # seconds for which an answer of the core server, or its absence, is remembered
_ATTEMPTS = 8  # of a call whose credentials run out again and again
_SPARES = 16  # threads in the place of those whose calls never returned
_log = logging.getLogger(LOG_NAME)


class _LoginChangedError(Exception):
    """A new login came while a call on an open file was under way: nobody knows what it did."""


class _Ping(NamedTuple):
    asked: float
    ended: float
    error: Exception | None


class Session:
    """The calls of one process to HPSS; made before a fork, it logs in after it.

    *transfers* and *tape_reads* are the threads for reads and writes; other calls have threads and a time-out of
    their own, so that they wait for no transfer.
    """

    def __init__(self, client: Any, options: HpssOptions) -> None:
        """Call nothing yet: HPSS wants its login in the process that uses it."""
        self.client = client
        self.options = options
        self._starting = threading.Lock()
        self._start()

    def _start(self) -> None:
        options = self.options
        calls, seconds, short = options.calls, options.call_timeout, options.metadata_timeout
        self._process = os.getpid()
        self.transfers = Workers("transfers", calls, _SPARES, seconds)
        self.tape_reads = Workers("reads from tape", max(1, calls // 4), _SPARES, seconds)
        self._metadata = Workers("metadata", options.metadata_calls, _SPARES, short)
        self._pinger = Workers("sign of life", 1, _SPARES, options.accept_latency + 1)
        self._logger_in = Workers("login", 1, _SPARES, short)
        # A request that has begun may continue when new ones are refused.
        self._room = Room(options.waiting + max(1, options.waiting // 6))
        self._tape_room = Room(options.waiting)
        self._gate = Gate()
        self._locks = PathLocks()
        self._generation = 0  # of the login; 0 before the first
        self._login_lock = threading.Lock()
        self._login_attempt: object = None
        self._ping_lock = threading.Lock()
        self._ping = _Ping(float("-inf"), float("-inf"), None)
        self._server: bytes | None = None
        self._descriptors: weakref.WeakSet[Any] = weakref.WeakSet()
        self._descriptors_lock = threading.Lock()
        self._resets = 0

    def require_room(self) -> None:
        """Raise BackendUnavailableError when so many requests wait for HPSS that no more may begin to."""
        self._start_in_this_process()
        self._room.require_fewer(self.options.waiting)

    def require_room_for_tape(self) -> None:
        """Raise BackendUnavailableError when so many requests wait for tapes that no more may begin to."""
        self._tape_room.require_fewer(max(1, self.options.waiting // 3))

    @contextmanager
    def waiting_for_tape(self) -> Iterator[None]:
        """Count the caller among those who wait for tapes within the block."""
        with self._tape_room.occupied():
            yield

    @contextmanager
    def lock_for(self, path: str) -> Iterator[None]:
        """Hold the lock that this process has while it changes what *path* names. Raises BackendUnavailableError."""
        self._start_in_this_process()
        with ExitStack() as stack:
            with self._room.occupied():
                stack.enter_context(self._locks.holding(path, self.options.metadata_timeout))
            yield

    def open(self, *arguments: Any) -> Any:
        """Return a new descriptor, which a new login will close; call it within `call` or `use`."""
        before = self._resets
        descriptor = self.client.open(*arguments)
        with self._descriptors_lock:
            self._descriptors.add(descriptor)
            if self._resets == before:
                return descriptor
        descriptor.forget()
        raise _LoginChangedError

    def call(self, action: Callable[[], T], workers: Workers | None = None) -> T:
        """Return what *action*, which calls HPSS, returns; after a new login when the old one has run out.

        *workers* are those for metadata when None. Raises HPSSError, an OSError; BackendUnavailableError when HPSS
        does not answer or lets nobody in.
        """
        self._start_in_this_process()
        with self._room.occupied():
            for attempt in range(1, _ATTEMPTS + 1):
                generation = self._logged_in()
                try:
                    return self._pass(action, workers)
                except _LoginChangedError:
                    continue
                except self.client.HPSSError as error:
                    if attempt == _ATTEMPTS or error.errno != errno.EACCES or not self._has_run_out(generation):
                        raise
                self._log_in(generation)
        raise BackendUnavailableError("the login to HPSS does not last, try again later")

    def use(self, action: Callable[[], T], workers: Workers) -> T:
        """As `call`, for an *action* on an open file: after a new login meanwhile, it is done once more.

        A reset closes the descriptor, and its number may become another file's: such an answer is not used.
        """

        def watched() -> T:
            before = self._resets
            try:
                return action()
            finally:
                if self._resets != before:
                    raise _LoginChangedError

        return self.call(watched, workers)

    def at_once(self, action: Callable[[K], T], keys: Iterable[K]) -> dict[K, T | ArchiveInterfaceError]:
        """Return by key what *action*, which calls HPSS, returns for each of *keys*, or the error that it raises.

        As many keys at a time as there may be calls for metadata; one that waits does not delay the others.
        """
        wanted = list(keys)
        with ThreadPoolExecutor(self.options.metadata_calls) as pool:
            outcomes = pool.map(lambda key: outcome_of(partial(action, key)), wanted)
            return dict(zip(wanted, outcomes, strict=True))

    def ping(self) -> tuple[float, float]:
        """Return when the core server was last asked and when it answered, in seconds of the monotonic clock.

        One answer counts for PING_PERIOD. The server's own clock, which it sends along, may be wrong.
        Raises BackendUnavailableError when there was none.
        """
        self._start_in_this_process()
        patience = self.options.accept_latency + 1 + self._longest_login
        with self._room.occupied(), acquired(self._ping_lock, patience):
            if time.monotonic() - self._ping.ended > PING_PERIOD:
                self._ping = self._new_ping()
            asked, ended, error = self._ping
        if error:
            raise BackendUnavailableError("the HPSS core server does not answer, try again later") from error
        return asked, ended

    def _new_ping(self) -> _Ping:
        self._logged_in()
        asked = time.monotonic()
        try:
            return self.call(self._ask_core_server, self._pinger)
        except (self.client.HPSSError, BackendUnavailableError) as error:
            return _Ping(asked, time.monotonic(), error)

    def _ask_core_server(self) -> _Ping:
        asked = time.monotonic()  # here, so that it tells nothing of a new login
        if self._server is None:
            self._server = self.client.lookup_root_cs(self.options.sitename)
        self.client.ping_core(self._server)
        return _Ping(asked, time.monotonic(), None)

    def _pass(self, action: Callable[[], T], workers: Workers | None = None) -> T:
        with self._gate.passing(self._longest_login):
            return (workers or self._metadata).run(action)

    @property
    def _longest_login(self) -> float:
        """The seconds that a new login takes at most: waiting for calls under way, and for HPSS."""
        return 2 * self.options.metadata_timeout

    def _start_in_this_process(self) -> None:
        if self._process != os.getpid():
            with self._starting:
                if self._process != os.getpid():
                    self._start()

    def _logged_in(self) -> int:
        """Return the generation of a login, which is made if there is none in this process."""
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
        with acquired(self._login_lock, self._longest_login):
            if self._generation != generation:
                return self._generation
            # A call that does not end is left behind; what it has open is forgotten.
            with self._gate.closed(self.options.metadata_timeout):
                try:
                    self._logger_in.run(lambda: self._change_login(generation))
                except self.client.HPSSError as error:
                    _log.error("HPSS refuses the login of %s: %s", self.options.user, error)
                    raise BackendUnavailableError("HPSS does not let the service in, try again later") from error
                finally:
                    self._login_attempt = None
                self._generation = generation + 1
            return self._generation

    def _change_login(self, generation: int) -> None:
        attempt = self._login_attempt = object()
        for step in (*(self._steps_out() if generation else ()), *self._steps_in()):
            step()
            if self._login_attempt is not attempt:  # given up; another may be under way
                return

    def _steps_out(self) -> tuple[Callable[[], Any], ...]:
        _log.info("the credentials of %s have run out; logging in again", self.options.user)
        return (self._close_descriptors, self.client.reset, self.client.purge_login)

    def _steps_in(self) -> tuple[Callable[[], Any], ...]:
        client, options = self.client, self.options
        return (
            lambda: client.configure(options.retries, options.busy_delay, options.busy_retries),
            lambda: client.login(options.user, options.mechanism, "keytab", options.auth),
            lambda: client.umask(0),  # modes are set by chmod, not by the umask that HPSS keeps
            self._forget_server,
        )

    def _forget_server(self) -> None:
        self._server = None

    def _close_descriptors(self) -> None:
        with self._descriptors_lock:
            self._resets += 1
            descriptors = list(self._descriptors)
        for descriptor in descriptors:
            with suppress(self.client.HPSSError):
                descriptor.close()
            # After the reset, the number of a descriptor that is in use may belong to another file.
            descriptor.forget()
        with self._descriptors_lock:
            self._descriptors.difference_update(descriptors)
