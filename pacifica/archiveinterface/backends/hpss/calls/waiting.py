"""Limits on how many requests wait for HPSS at a time, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ....exception import BackendUnavailableError

_UNANSWERED = "HPSS does not answer, try again later"


class Room:
    """Limits how many threads are inside at a time; one more is refused at once."""

    def __init__(self, most: int) -> None:
        """Begin empty."""
        self._most = most
        self._inside = 0
        self._lock = threading.Lock()

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Be inside within the block. Raises BackendUnavailableError when it is full."""
        with self._lock:
            self._require(self._most)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1

    def require_fewer(self, most: int) -> None:
        """Raise BackendUnavailableError unless fewer than *most* are inside."""
        with self._lock:
            self._require(most)

    def _require(self, most: int) -> None:
        if self._inside >= most:
            raise BackendUnavailableError("too many requests wait for HPSS, try again later")


class Gate:
    """Lets any number of threads pass, or one that has closed it and waited until the others are out."""

    def __init__(self) -> None:
        """Begin open."""
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def passing(self, timeout: float) -> Iterator[None]:
        """Be inside within the block, once the gate is open. Raises BackendUnavailableError after *timeout* seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._closed, timeout):
                raise BackendUnavailableError(_UNANSWERED)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self, patience: float) -> Iterator[None]:
        """Keep others out within the block, which begins when all are out, or after *patience* seconds.

        One at a time: the caller has a lock for it.
        """
        with self._changed:
            self._closed = True
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._inside, patience)
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


class PathLocks:
    """A lock for each path that a thread asks for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}  # and how many hold it or wait for it

    @contextmanager
    def holding(self, path: str, timeout: float) -> Iterator[None]:
        """Hold the lock of *path* within the block. Raises BackendUnavailableError after *timeout* seconds."""
        lock = self._join(path)
        try:
            with acquired(lock, timeout):
                yield
        finally:
            self._leave(path)

    def _join(self, path: str) -> threading.Lock:
        with self._lock:
            lock, users = self._locks.get(path, (threading.Lock(), 0))
            self._locks[path] = (lock, users + 1)
            return lock

    def _leave(self, path: str) -> None:
        with self._lock:
            lock, users = self._locks.pop(path)
            if users > 1:
                self._locks[path] = (lock, users - 1)


@contextmanager
def acquired(lock: threading.Lock, timeout: float) -> Iterator[None]:
    """Hold *lock* within the block. Raises BackendUnavailableError after *timeout* seconds."""
    if not lock.acquire(timeout=timeout):
        raise BackendUnavailableError(_UNANSWERED)
    try:
        yield
    finally:
        lock.release()
