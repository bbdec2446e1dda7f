"""Bringing files and names to stable storage."""

import ctypes
import errno
import os
from collections.abc import Iterable

from ...metrics.definitions import SYNC_SECONDS, Timed
from .tree import Tree

_libc = ctypes.CDLL(None, use_errno=True)


class Durability:
    """Keeps the promise of ``[archive] durability``."""

    def __init__(self, level: str) -> None:
        """Promise *level*: ``full`` files and names, ``file`` the bytes of files, ``none`` nothing."""
        self._files = level != "none"
        self._names = level == "full"

    def sync_file(self, fd: int) -> None:
        """Return when the open file is on stable storage. Raises OSError."""
        if self._files:
            with Timed(SYNC_SECONDS, "file"):
                os.fsync(fd)

    def sync_names(self, tree: Tree, directories: Iterable[str]) -> None:
        """Return when the entries of *directories*, and these themselves, are on stable storage. Raises OSError.

        The entry of a directory in the one above is synced once in a process, and again when this
        process has made it anew: the process that made it first may have been killed before its sync.
        """
        if not self._names:
            return
        below = set(directories)
        steps = {step for path in below for step in _steps(path)}
        above = {parent for parent, child in steps if child not in tree.durable}
        for path in below | above:
            with tree.directory(path) as fd, Timed(SYNC_SECONDS, "directory"):
                os.fsync(fd)
        tree.durable.update(child for _, child in steps)


def _steps(path: str) -> list[tuple[str, str]]:
    """Return each directory above *path* with the one that it names: ``a/b`` -> (``""``, ``a``), (``a``, ``a/b``)."""
    names = path.split("/") if path else []
    return [("/".join(names[:depth]), "/".join(names[: depth + 1])) for depth in range(len(names))]


def preallocate(fd: int, length: int) -> None:
    """Reserve *length* bytes for the open file, as far as the file system supports it. Raises OSError for no space."""
    keep_size = 1  # FALLOC_FL_KEEP_SIZE
    if not hasattr(_libc, "fallocate"):
        return
    if _libc.fallocate(ctypes.c_int(fd), ctypes.c_int(keep_size), ctypes.c_int64(0), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        if number not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINTR):
            raise OSError(number, os.strerror(number))


def sync_file_system(fd: int) -> None:
    """Return when all that was changed on the file system of the open *fd* is on stable storage. Raises OSError."""
    if not hasattr(_libc, "syncfs"):
        os.sync()
    elif _libc.syncfs(ctypes.c_int(fd)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
