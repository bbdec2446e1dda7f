"""Bringing files and names to stable storage, together with whoever else is waiting for that."""

import ctypes
import errno
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack

from .tree import Tree

# From this many descriptors on, one syncfs() of the file system costs less than an fsync() of each.
_SHARED_FROM = 3
_REMEMBERED_DIRECTORIES = 1 << 14
_WAIT_BEFORE = 1  # SYNC_FILE_RANGE_WAIT_BEFORE

_libc = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class Durability:
    """Keeps the promise of ``[archive] durability`` for the files below one root."""

    def __init__(self, level: str) -> None:
        """Promise *level*: ``full`` files and names, ``file`` the bytes of files, ``none`` nothing."""
        self._files = level != "none"
        self._names = level == "full"
        self._commit = GroupCommit()
        self._durable = _Recent(_REMEMBERED_DIRECTORIES)

    def sync_file(self, fd: int) -> None:
        """Return when the open file is on stable storage. Raises OSError."""
        if self._files:
            self._commit.sync([fd])

    def sync_names(self, tree: Tree, directories: Iterable[str]) -> None:
        """Return when the entries of *directories*, and these themselves, are on stable storage. Raises OSError.

        A directory above is synced once in a process: whoever made the one below it may have
        been killed before it came to that.
        """
        if not self._names:
            return
        below = set(directories)
        above = {parent for path in below for parent, child in _steps(path) if child not in self._durable}
        with ExitStack() as stack:
            self._commit.sync([stack.enter_context(tree.directory(path)) for path in below | above])
        for path in below:
            self._durable.update(child for _, child in _steps(path))


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
        self.done = False
        self.error: OSError | None = None
        self.shared = False

    def commit(self) -> None:
        self.shared = len(self.descriptors) >= _SHARED_FROM and _can_share()
        try:
            if self.shared:
                _sync_file_system(self.descriptors[0])
            else:
                for fd in self.descriptors:
                    _flush(fd)
        except OSError as error:
            self.error = error


class GroupCommit:
    """Syncs for all threads that ask while another sync is under way, with one call for all of them."""

    def __init__(self) -> None:
        """Wait for nobody yet."""
        self._changed = threading.Condition()
        self._running = False
        self._waiting = _Batch()

    def sync(self, descriptors: list[int]) -> None:
        """Return when what was written through *descriptors*, of one file system, is on stable storage.

        Raises OSError when it may not be.
        """
        if self._leads(batch := self._join(descriptors)):
            try:
                batch.commit()
            finally:
                self._finish(batch)
        if batch.error:
            # It need not be ours: ask for our own.
            for fd in descriptors:
                _flush(fd)
        elif batch.shared:
            for fd in descriptors:
                _raise_write_error(fd)

    def _join(self, descriptors: list[int]) -> _Batch:
        with self._changed:
            self._waiting.descriptors += descriptors
            return self._waiting

    def _leads(self, batch: _Batch) -> bool:
        with self._changed:
            while self._running and not batch.done:
                self._changed.wait()
            if batch.done:
                return False
            self._running = True
            self._waiting = _Batch()
            return True

    def _finish(self, batch: _Batch) -> None:
        with self._changed:
            batch.done = True
            self._running = False
            self._changed.notify_all()


def _flush(fd: int) -> None:
    os.fsync(fd)


def _can_share() -> bool:
    # Before 5.8, syncfs() did not report write errors.
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return os.uname().sysname == "Linux" and release is not None and (int(release[1]), int(release[2])) >= (5, 8)


def _sync_file_system(fd: int) -> None:
    if _libc.syncfs(fd):
        raise OSError(ctypes.get_errno(), "syncfs")


def _raise_write_error(fd: int) -> None:
    """Raise the error, if any, that writing back this file met; the shared sync told it to one descriptor only."""
    if _libc.sync_file_range(
        *(kind(value) for kind, value in zip(_SYNC_FILE_RANGE, (fd, 0, 0, _WAIT_BEFORE), strict=True))
    ):
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
