"""Costly checks of credentials, of which few run at a time."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

from ...exception import TooManyRequestsError

_MOST_OF_CLIENT = 4  # different credentials of one client that are checked or wait
_MOST = 16  # of all


class TooManyChecksError(TooManyRequestsError):
    """So many passwords wait to be checked that more would occupy the threads of the service."""

    retry_after = 1


class Checks:
    """Runs at most *at_once* checks at a time; requests with the same credentials share one."""

    def __init__(self, at_once: int) -> None:
        """Let so many run *at_once*."""
        self._slots = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._running: dict[bytes, Future[bool]] = {}
        self._of_client: Counter[str] = Counter()

    def outcome(self, key: bytes, client: str, check: Callable[[], bool]) -> bool:
        """Return what *check*, for the credentials that *key* stands for, returns.

        Waits for those before it. Raises TooManyChecksError if they are many, of all or of the one *client*.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                own = self._enter(key, client)
        if running is not None:
            return running.result()
        try:
            with self._slots:
                own.set_result(check())
        except BaseException as error:
            own.set_exception(error)
            raise
        finally:
            self._leave(key, client)
        return own.result()

    def _enter(self, key: bytes, client: str) -> "Future[bool]":
        if self._of_client[client] >= _MOST_OF_CLIENT or len(self._running) >= _MOST:
            raise TooManyChecksError("too many passwords are being checked, try again later")
        self._of_client[client] += 1
        self._running[key] = own = Future[bool]()
        return own

    def _leave(self, key: bytes, client: str) -> None:
        with self._lock:
            del self._running[key]
            self._of_client[client] -= 1
            if not self._of_client[client]:
                del self._of_client[client]
