"""Files that are still being written, in a directory of their own that no id reaches.

Each is locked (flock) by the process that writes it, so that a starting process can tell the
left-overs of a killed one from the uploads of its living neighbours, and remove them.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from ...globals import LOG_NAME
from .tree import Tree

PARTIAL = ".partial"  # below the prefix; ids and plain file names start with no dot

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_log = logging.getLogger(LOG_NAME)


class Partial:
    """One file being written: *fd* is open for it until `close`."""

    def __init__(self, tree: Tree) -> None:
        """Start an empty file below *tree*. Raises OSError."""
        self.name = secrets.token_hex(16)
        self._open = ExitStack()
        with self._open:
            self._directory = self._open.enter_context(tree.directory(PARTIAL, create=True))
            self.fd = self._locked_file()
            self._open = self._open.pop_all()

    def _locked_file(self) -> int:
        while True:
            fd = os.open(self.name, _NEW, 0o600, dir_fd=self._directory)
            with suppress(OSError):  # a file system without locks: nobody sweeps there
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)  # swept between the two calls

    def move_to(self, directory: int, name: str, *, replace: bool) -> None:
        """Give the file its place, *name* in *directory*, at once and whole.

        Raises FileExistsError unless it may *replace* what is there.
        """
        move(self._directory, self.name, directory, name, replace=replace)

    def remove(self) -> None:
        """Forget the file, if it has not been given a place."""
        with suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self._directory)

    def close(self) -> None:
        """Let go of the descriptors and the lock."""
        with self._open:
            os.close(self.fd)


def move(source: int, old: str, target: int, new: str, *, replace: bool) -> None:
    """Move *old* in directory *source* to *new* in *target*. Raises FileExistsError unless *replace*."""
    if replace:
        # Readers see the old file or the new one, never half of either.
        os.rename(old, new, src_dir_fd=source, dst_dir_fd=target)
    else:
        os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        try:
            os.unlink(old, dir_fd=source)
        except BaseException:
            # Under two names, whoever writes to the old one would change what is stored.
            os.unlink(new, dir_fd=target)
            raise


def sweep(tree: Tree) -> None:
    """Remove what killed processes left half-written below *tree*."""
    for name in orphans(tree, remove=True):
        _log.warning("removed %s/%s, left half-written by a process that died", PARTIAL, name)


def orphans(tree: Tree, *, remove: bool = False) -> Iterator[str]:
    """Yield the names, below ``.partial``, of files whose writer has died; *remove* them on the way."""
    with suppress(FileNotFoundError), tree.directory(PARTIAL) as directory:
        for name in sorted(os.listdir(directory)):
            with suppress(OSError), _claimed(name, directory):
                if remove:
                    os.unlink(name, dir_fd=directory)
                yield name


@contextmanager
def _claimed(name: str, directory: int) -> Iterator[None]:
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
