"""What the open files of one archive share: the tree, how safe it is kept, and what is known of its entries."""

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...config import ArchiveOptions
from ...exception import ConflictError, MissingFileError, NoSpaceError, NotARegularFileError
from ..abstract.archive import Guard
from ..abstract.status import AbstractStatus
from .durability import Durability
from .notes import Notes, read_notes
from .status import PosixStatus
from .tree import Tree, open_regular, split

Describe = Callable[[os.stat_result, str], AbstractStatus]
"""Makes the status of the file at a path from what stat said of it."""

_lock_of_this_process = threading.Lock()


class Store:
    """The files below *tree*, kept as *options* say; shared by all threads."""

    def __init__(self, tree: Tree, options: ArchiveOptions | None = None, describe: Describe = PosixStatus.of) -> None:
        """Keep files below *tree*; *describe* makes their statuses."""
        self.tree = tree
        self.options = options or ArchiveOptions()
        self.durability = Durability(self.options.durability)
        self._describe = describe

    @property
    def may_replace(self) -> bool:
        """Whether a stored file may give way to another one."""
        return self.options.overwrite == "replace"

    def status_of(self, fd: int, path: str) -> AbstractStatus:
        """Return the status of the open file *fd*, stored as *path*, with its notes. Raises OSError."""
        return self.status_of_found(os.fstat(fd), fd, path)

    def status_of_found(self, found: os.stat_result, fd: int, path: str) -> AbstractStatus:
        """Return the status of the open file *fd*, stored as *path*, of which stat said *found*. Raises OSError."""
        return self.describe(found, path, read_notes(self.tree, fd))

    def describe(self, found: os.stat_result, path: str, notes: Notes) -> AbstractStatus:
        """Return the status of *path*, of which stat said *found* and *notes* are kept."""
        status = self._describe(found, f"{self.tree.root.rstrip('/')}/{path}")
        status.digests, status.damaged = notes
        return status

    def stored_status(self, path: str) -> AbstractStatus | None:
        """Return the status of *path*, None when nothing is there; ConflictError when it is no file."""
        directory, name = split(path)
        try:
            with self.tree.directory(directory) as parent:
                return self.entry_status(parent, name, path)
        except (FileNotFoundError, MissingFileError):
            return None

    def entry_status(self, parent: int, name: str, path: str) -> AbstractStatus | None:
        """Return the status of *name* in the open directory *parent*, as `stored_status` does."""
        if not entry(parent, name):
            return None
        try:
            fd = open_regular(name, parent)
        except NotARegularFileError as error:
            raise ConflictError("something that is no file has this name") from error
        try:
            return self.status_of(fd, path)
        finally:
            os.close(fd)

    def admit(self, guard: Guard | None, parent: int, name: str, path: str) -> os.stat_result | None:
        """Let *guard* decide over what has the *name* in *parent* now; return what that is, None for nothing."""
        if guard:
            guard(self.entry_status(parent, name, path))
        return entry(parent, name)

    def check_space(self, fd: int, length: int) -> None:
        """Raise NoSpaceError when *length* more bytes would use the reserve that is to be kept free."""
        if self.options.reserve_bytes:
            free = os.fstatvfs(fd)
            if free.f_bavail * free.f_frsize < self.options.reserve_bytes + length:
                raise NoSpaceError("the archive keeps the space that is left as its reserve")


def entry(parent: int, name: str) -> os.stat_result | None:
    """Return what stat says of *name* in *parent*, None for nothing; ConflictError when it is no regular file."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ConflictError("something that is no file has this name")
    return found


@contextmanager
def exclusive(directory: int) -> Iterator[None]:
    """Keep every other writer, of any process, from changing entries of *directory* within the block.

    What a guard saw is then what is replaced. Where the file system knows no locks (some network
    file systems), only the threads of this process are kept out.
    """
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
