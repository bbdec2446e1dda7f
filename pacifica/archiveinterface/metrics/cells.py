"""Numbers that all processes of a service add to, kept in a file of which each process maps a slot of its own.

A process claims the first slot that no living process has, by a lock that the kernel takes away when the process ends,
and goes on with the numbers that it finds there. So nothing is lost when processes end and others take their places,
and the file has no more slots than processes have lived at a time.

The multi-process mode of prometheus_client has a file for each process that ever was, needs its directory before it is
imported, and takes eight times as long for a request.
"""

import fcntl
import logging
import mmap
import os
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from ..globals import LOG_NAME

_NUMBER = array("d").itemsize  # bytes
_log = logging.getLogger(LOG_NAME)

Change = tuple[int, float]
"""A cell, and what is added to it."""


class Cells:
    """So many numbers for each process, of which the process with the number in the first cell is the owner."""

    def __init__(self, cells: int, transient: Iterable[int] = ()) -> None:
        """Start at zero; a new owner of a slot sets the *transient* cells back to zero."""
        self._size = -(-cells * _NUMBER // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._transient = tuple(transient)
        self._lock = threading.Lock()
        self._descriptor = -1
        self._is_named, self._opened_by = False, 0  # process id
        self._own: Any = None  # the cells of this process
        self._slot, self._owner = -1, 0

    def share(self, path: str = "") -> None:
        """Share the cells with the processes that are forked from this one, or with all that name *path*.

        Raises OSError.
        """
        self._is_named, self._opened_by = bool(path), os.getpid()
        self._owner = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600) if path else os.memfd_create("metrics")

    @property
    def is_shared(self) -> bool:
        """Whether other processes of this service can have the same file."""
        return self._is_named or self._opened_by not in (0, os.getpid())

    def add(self, *changes: Change) -> None:
        """Make *changes*, all at once for the threads of this process."""
        with self._lock:
            if self._owner != os.getpid():
                self._claim()
            own = self._own
            for cell, amount in changes:
                own[cell] += amount

    def totals(self) -> list[float]:
        """Return each cell, summed over the slots of all processes."""
        return [sum(numbers) for numbers in zip(*self._slots().values(), strict=True)]

    def of_processes(self) -> Mapping[int, list[float]]:
        """Return the cells of each living process, by the number of its slot."""
        return {slot: numbers for slot, numbers in self._slots().items() if slot == self._slot or self._is_locked(slot)}

    def _slots(self) -> Mapping[int, list[float]]:
        self.add()  # with a slot of its own
        return dict(enumerate(self._read()))

    def _read(self) -> Iterator[list[float]]:
        for slot in range(os.fstat(self._descriptor).st_size // self._size):
            yield array("d", os.pread(self._descriptor, self._size, slot * self._size)).tolist()

    def _claim(self) -> None:
        if self._descriptor < 0:
            self.share()
        self._own = None  # unmapped before the lock is taken: closing its descriptor lets go of the locks of a process
        self._slot, self._owner = next(slot for slot in count() if self._takes(slot)), os.getpid()
        try:
            os.posix_fallocate(self._descriptor, self._slot * self._size, self._size)
            mapped: Any = mmap.mmap(self._descriptor, self._size, offset=self._slot * self._size)
        except OSError as error:
            _log.error("the metrics of this process are not counted: %s", error)
            mapped = bytearray(self._size)
        self._own = memoryview(mapped).cast("d")
        self._own[0] = self._owner
        for cell in self._transient:
            self._own[cell] = 0

    def _takes(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _is_locked(self, slot: int) -> bool:
        if not self._takes(slot):
            return True
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, slot)
        return False
