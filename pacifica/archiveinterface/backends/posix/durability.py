"""Bringing files and names to stable storage, together with whoever else is waiting for that."""

import ctypes
import errno
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import groupby

from .tree import Tree

# From this many waiters on, one syncfs() of the file system costs less than an fsync() of each.
_SHARED_FROM = 2
_REMEMBERED_DIRECTORIES = 1 << 14
# While others keep coming, the next few milliseconds bring more of them.
_GATHER_SECONDS = 0.002
_WAIT_BEFORE = 1  # SYNC_FILE_RANGE_WAIT_BEFORE

_libc = ctypes.CDLL(None, use_errno=True)


class Durability:
    """Keeps the promise of ``[archive] durability`` for the files below one root."""

    def __init__(self, level: str) -> None:
        """Promise *level*: ``full`` files and names, ``file`` the bytes of files, ``none`` nothing."""
        self._files = level != "none"
        self._names = level == "full"
        self._commits: dict[int, GroupCommit] = {}  # by device
        self._durable = _Recent(_REMEMBERED_DIRECTORIES)

    def sync_file(self, fd: int) -> None:
        """Return when the open file is on stable storage. Raises OSError."""
        if self._files:
            self._sync([fd])

    def sync_names(self, tree: Tree, directories: Iterable[str]) -> None:
        """Return when the entries of *directories*, and these themselves, are on stable storage. Raises OSError.

        A directory above is synced once in a process: whoever made the one below it may have
        been killed before it came to that.
        """
        if not self._names:
            return
        below = set(directories)
        above = {
            parent for path in below for parent, child in _steps(path) if f"{tree.root}/{child}" not in self._durable
        }
        with ExitStack() as stack:
            self._sync([stack.enter_context(tree.directory(path)) for path in below | above])
        for path in below:
            self._durable.update(f"{tree.root}/{child}" for _, child in _steps(path))

    def _sync(self, descriptors: list[int]) -> None:
        # Files may be moved in from other file systems, which a shared sync does not reach.
        for device, group in groupby(sorted(descriptors, key=_device), _device):
            commit = self._commits.get(device) or self._commits.setdefault(device, GroupCommit())
            commit.sync(list(group))


def _device(fd: int) -> int:
    return os.fstat(fd).st_dev


def _steps(path: str) -> list[tuple[str, str]]:
    """Return each directory above *path* with the one that it names: ``a/b`` -> (``""``, ``a``), (``a``, ``a/b``)."""
    names = path.split("/") if path else []
    return [("/".join(names[:depth]), "/".join(names[: depth + 1])) for depth in range(len(names))]


class _Recent:
    """The paths last added, a bounded number of them; safe with threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._paths: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def update(self, paths: Iterable[str]) -> None:
        with self._lock:
            for path in paths:
                self._paths[path] = None
                self._paths.move_to_end(path)
            while len(self._paths) > self._most:
                self._paths.popitem(last=False)


class _Batch:
    """Descriptors that are synced at one go."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self.waiters = 0
        self.over = False
        self.shared = False
        self.synced: set[int] = set()
        self.errors: dict[int, OSError] = {}

    def commit(self) -> None:
        if self.waiters >= _SHARED_FROM and _can_share():
            self.shared = _sync_file_system(self.descriptors[0])
        if not self.shared:
            for fd in self.descriptors:
                self._sync(fd)

    def _sync(self, fd: int) -> None:
        # Once and no more: the kernel tells an error of writing once, and the next fsync() finds nothing amiss.
        try:
            os.fsync(fd)
        except OSError as error:
            self.errors[fd] = error
        else:
            self.synced.add(fd)

    def settle(self, fd: int) -> None:
        """Raise the error that *fd* met; sync it alone if whoever led the batch was stopped before it."""
        if fd in self.errors:
            raise self.errors[fd]
        if self.shared:
            _raise_write_error(fd)
        elif fd not in self.synced:
            os.fsync(fd)


class GroupCommit:
    """Syncs for all threads that ask while another sync is under way, with one call for all of them."""

    def __init__(self) -> None:
        """Wait for nobody yet."""
        self._changed = threading.Condition()
        self._running = False
        self._waiting = _Batch()
        self._gather = 0.0  # seconds

    def sync(self, descriptors: list[int]) -> None:
        """Return when what was written through *descriptors*, of one file system, is on stable storage.

        Raises OSError when it may not be.
        """
        batch = self._join(descriptors)
        if self._leads(batch):
            try:
                batch.commit()
            finally:
                self._finish(batch)
        for fd in descriptors:
            batch.settle(fd)

    def _join(self, descriptors: list[int]) -> _Batch:
        with self._changed:
            self._waiting.descriptors += descriptors
            self._waiting.waiters += 1
            return self._waiting

    def _leads(self, batch: _Batch) -> bool:
        with self._changed:
            while self._running and not batch.over:
                self._changed.wait()
            if batch.over:
                return False
            self._running = True
        if self._gather:
            time.sleep(self._gather)
        with self._changed:
            self._waiting = _Batch()
            self._gather = _GATHER_SECONDS if batch.waiters > 1 else 0.0
            return True

    def _finish(self, batch: _Batch) -> None:
        with self._changed:
            batch.over = True
            self._running = False
            self._changed.notify_all()


def _can_share() -> bool:
    # Before 5.8, syncfs() did not report write errors.
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return os.uname().sysname == "Linux" and release is not None and (int(release[1]), int(release[2])) >= (5, 8)


def _sync_file_system(fd: int) -> bool:
    """Return whether all of the file system is on stable storage; what failed need not be a file of ours."""
    return not _libc.syncfs(fd)


def _raise_write_error(fd: int) -> None:
    """Raise the error, if any, that writing back this file met; the shared sync told it to one descriptor only."""
    whole_file = ctypes.c_int64(0)
    if _libc.sync_file_range(ctypes.c_int(fd), whole_file, whole_file, ctypes.c_uint(_WAIT_BEFORE)):
        raise OSError(ctypes.get_errno(), "sync_file_range")


def preallocate(fd: int, length: int) -> None:
    """Reserve *length* bytes for the open file, as far as the file system knows how. Raises OSError for no space."""
    keep_size = 1  # FALLOC_FL_KEEP_SIZE
    if not hasattr(_libc, "fallocate"):
        return
    if _libc.fallocate(ctypes.c_int(fd), ctypes.c_int(keep_size), ctypes.c_int64(0), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINTR):
            raise OSError(number, "fallocate")
