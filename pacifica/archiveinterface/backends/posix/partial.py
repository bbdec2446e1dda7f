"""Files that are still being written, in a directory of their own that no id reaches.

Each is locked (flock) by the process that writes it, so that a starting process can tell the
files that a killed process left from the uploads of running ones, and remove them. The directory
is the service's alone (mode 0700): other users could lock files that they can open, and block the service.
"""

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from ...exception import ConflictError
from ...globals import LOG_NAME
from ..abstract.undoing import UndoOnError
from .tree import Tree, open_regular

PARTIAL = ".partial"  # below the prefix; ids and plain file names start with no dot

_MODE = 0o700
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CLAIM = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(LOG_NAME)
_lock_of_this_process = threading.Lock()


class Partial:
    """One file without a place in the archive: *fd* is open for it until `close`."""

    def __init__(self, tree: Tree) -> None:
        """Start an empty file below *tree*. Raises OSError."""
        self._directory = tree.open_directory(PARTIAL, create=True, mode=_MODE)
        with UndoOnError(lambda: os.close(self._directory)):
            self.name, self.fd = self._make()

    def _make(self) -> tuple[str, int]:
        while True:
            name = secrets.token_hex(16)
            fd = os.open(name, _NEW, 0o600, dir_fd=self._directory)
            if lock(fd) and os.fstat(fd).st_nlink:
                return name, fd
            # Between the two calls a sweep took the file for one that was left.
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._directory)
            os.close(fd)

    def move_to(self, directory: int, name: str, *, replace: bool) -> None:
        """Give the file its place, *name* in *directory*, at once and whole.

        Raises FileExistsError unless it may *replace* what is there.
        """
        move(self._directory, self.name, directory, name, replace=replace)

    def keep(self, directory: int, name: str) -> str:
        """Give another file, *name* in *directory*, a second name beside this one, and return that."""
        kept = secrets.token_hex(16)
        os.link(name, kept, src_dir_fd=directory, dst_dir_fd=self._directory, follow_symlinks=False)
        return kept

    def put_back(self, kept: str, directory: int, name: str) -> None:
        """Let *name* in *directory* be the file that was *kept*."""
        os.rename(kept, name, src_dir_fd=self._directory, dst_dir_fd=directory)

    def forget(self, kept: str) -> None:
        """Remove the second name of a file that was *kept*."""
        _forget(self._directory, kept)

    def remove(self) -> None:
        """Forget the file, if it has not been given a place."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._directory)

    def exclusive(self) -> AbstractContextManager[None]:
        """Do as the function `exclusive` does."""
        return _locked(self._directory)

    def close(self) -> None:
        """Let go of the descriptors and the lock."""
        try:
            os.close(self.fd)
        finally:
            os.close(self._directory)


class LinkedPartial(Partial):
    """A second name of a file that is to be moved into the archive; it keeps the first one."""

    def __init__(self, tree: Tree, directory: int, name: str) -> None:
        """Link *name* in *directory*, whatever it is now. Raises OSError, NotARegularFileError."""
        self._source = directory, name
        super().__init__(tree)

    def _make(self) -> tuple[str, int]:
        link = self.keep(*self._source)
        with UndoOnError(lambda: self.forget(link)):
            fd, _ = open_regular(link, self._directory)
        lock(fd)
        return link, fd


def partials(tree: Tree) -> AbstractContextManager[int]:
    """Give the descriptor of the directory of unfinished files below *tree*, which is made if need be."""
    return tree.directory(PARTIAL, create=True, mode=_MODE)


@contextmanager
def exclusive(tree: Tree) -> Iterator[None]:
    """Keep every other writer, of any process, from changing names in the archive within the block.

    What a precondition was compared with is then what is replaced. Where the file system has no locks (some network
    file systems), only the threads of this process are kept out.
    """
    with partials(tree) as directory, _locked(directory):
        yield


@contextmanager
def _locked(directory: int) -> Iterator[None]:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
    except OSError:
        with _lock_of_this_process:
            yield
        return
    try:
        yield
    finally:
        fcntl.flock(directory, fcntl.LOCK_UN)


@contextmanager
def claimed(tree: Tree, found: os.stat_result) -> Iterator[None]:
    """Keep every other request, of any process, from moving the file of which stat said *found* within the block.

    Raises ConflictError when another one is moving it.
    """
    name = f"moving-{found.st_dev:x}-{found.st_ino:x}"
    with partials(tree) as directory:
        fd = _claim(directory, name)
        try:
            yield
        finally:
            _forget(directory, name)
            os.close(fd)


def _claim(directory: int, name: str) -> int:
    while True:
        fd = os.open(name, _CLAIM, 0o600, dir_fd=directory)
        if not lock(fd):
            os.close(fd)
            raise ConflictError("another request is moving this file")
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # the request that held it has just ended


def lock(fd: int) -> bool:
    """Lock the file and return True; False when another process has done so. Some file systems have no locks."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _forget(directory: int, name: str) -> None:
    """Remove a file that is not needed any more; a failure is logged."""
    try:
        os.unlink(name, dir_fd=directory)
    except OSError as error:
        _log.warning("%s/%s stays until a service starts: %s", PARTIAL, name, error)


def move(source: int, old: str, target: int, new: str, *, replace: bool) -> None:
    """Move *old* in directory *source* to *new* in *target*. Raises FileExistsError unless *replace*."""
    if replace:
        # Readers see the old file or the new one, never half of either.
        os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
        return
    os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    # With two names, what is written to the old one would change what is stored.
    with UndoOnError(lambda: os.unlink(new, dir_fd=target)):
        os.unlink(old, dir_fd=source)
