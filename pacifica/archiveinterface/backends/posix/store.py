"""What the open files of one archive share: the tree, the durability of its files, and their statuses."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ...exception import ConflictError, ForbiddenPathError, MissingFileError, NoSpaceError, NotARegularFileError
from ..abstract.archive import Guard
from ..abstract.options import ArchiveOptions
from ..abstract.status import AbstractStatus
from .durability import Durability
from .notes import Notes, read_notes
from .status import PosixStatus
from .tree import Tree, open_regular, split

Describe = Callable[[os.stat_result, str], AbstractStatus]
"""Makes the status of the file at a path from what stat said of it."""

_NOT_A_FILE = "something that is not a file has this name"


class Old(NamedTuple):
    """A stored file that is about to be replaced or removed, as it was *found*; *fd* is open for it, if it can be."""

    found: os.stat_result
    fd: int | None


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
        status = self._describe(found, os.path.join(self.tree.root, path))
        status.digests, status.damaged = notes
        return status

    def stored_status(self, path: str) -> AbstractStatus | None:
        """Return the status of *path*, None when nothing is there; ConflictError when it is not a file."""
        directory, name = split(path)
        try:
            with self.tree.directory(directory) as parent:
                return self.entry_status(parent, name, path)
        except (FileNotFoundError, MissingFileError):
            return None

    def entry_status(self, parent: int, name: str, path: str) -> AbstractStatus | None:
        """Return the status of *name* in the open directory *parent*, as `stored_status` does."""
        try:
            fd, _ = open_regular(name, parent)
        except FileNotFoundError:
            return None
        except (ForbiddenPathError, NotARegularFileError) as error:
            raise ConflictError(_NOT_A_FILE) from error
        try:
            return self.status_of(fd, path)
        finally:
            os.close(fd)

    @contextmanager
    def admitted(self, guard: Guard | None, parent: int, name: str, path: str) -> Iterator[Old | None]:
        """Let *guard* decide over what has the *name* in *parent* now; give what that is, None for nothing.

        It stays open within the block, so that its inode number is not another file's before its notes are removed.
        """
        if guard:
            guard(self.entry_status(parent, name, path))
        found = entry(parent, name)
        if found is None:
            yield None
            return
        fd = None
        with suppress(OSError, ForbiddenPathError, NotARegularFileError):  # it need not be readable to be replaced
            fd, found = open_regular(name, parent)
        try:
            yield Old(found, fd)
        finally:
            if fd is not None:
                os.close(fd)

    def check_space(self, fd: int, length: int) -> None:
        """Raise NoSpaceError when *length* more bytes would use the reserve that is to be kept free."""
        if self.options.reserve_bytes:
            free = os.fstatvfs(fd)
            if free.f_bavail * free.f_frsize < self.options.reserve_bytes + length:
                raise NoSpaceError("the archive keeps the space that is left as its reserve")


def entry(parent: int, name: str) -> os.stat_result | None:
    """Return what stat says of *name* in *parent*, None for nothing; ConflictError when it is not a regular file."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ConflictError(_NOT_A_FILE)
    return found
