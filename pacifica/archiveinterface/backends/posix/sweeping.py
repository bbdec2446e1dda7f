"""What killed processes left half-written: finding it, and removing it when a service starts."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...exception import ArchiveInterfaceError, MissingFileError
from ...globals import LOG_NAME
from .notes import forget_sidecar
from .partial import PARTIAL
from .tree import Tree

_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_log = logging.getLogger(LOG_NAME)


def orphans(tree: Tree) -> Iterator[str]:
    """Yield the names, below ``.partial``, of files whose writer has died."""
    try:
        with tree.directory(PARTIAL) as directory:
            for name in sorted(os.listdir(directory)):
                with suppress(OSError), _abandoned(name, directory):
                    yield name
    except (FileNotFoundError, MissingFileError):
        return
    except PermissionError as error:
        _log.warning("%s/%s is not searched for left-overs: %s", tree.root, PARTIAL, error)


def sweep(tree: Tree) -> None:
    """Remove what killed processes left half-written below *tree*; the log tells what, and what cannot be removed.

    Makes no directory: a server may call this before it becomes the user whose the archive is.
    """
    try:
        with tree.directory(PARTIAL) as directory:
            if os.fstat(directory).st_mode & 0o077:
                os.fchmod(directory, 0o700)  # earlier releases let other users in
            for name in sorted(os.listdir(directory)):
                _sweep(tree, directory, name)
    except FileNotFoundError:
        return
    except (OSError, ArchiveInterfaceError) as error:
        _log.warning("%s/%s cannot be used, so nothing can be stored: %s", tree.root, PARTIAL, error)


def _sweep(tree: Tree, directory: int, name: str) -> None:
    try:
        with _abandoned(name, directory) as found:
            if found.st_nlink == 1:  # else another name of a file that is stored
                forget_sidecar(tree, found)
            os.unlink(name, dir_fd=directory)
    except (BlockingIOError, FileNotFoundError):
        return  # its writer is running, or has just published it
    except OSError as error:
        _log.warning("%s/%s may be left half-written and cannot be removed: %s", PARTIAL, name, error)
        return
    _log.warning("removed %s/%s, left half-written by a process that died", PARTIAL, name)


@contextmanager
def _abandoned(name: str, directory: int) -> Iterator[os.stat_result]:
    """Give what stat says of a file that no process writes. Raises BlockingIOError when one does."""
    # For reading and shared: a finished upload is read-only, and NFS gives no exclusive lock to readers.
    fd = os.open(name, _OLD, dir_fd=directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield os.fstat(fd)
    finally:
        os.close(fd)
