"""What all files of one archive share: the tree, the durability of files, and how their status is made."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ...digests import Digests
from ...exception import (
    ConflictError,
    ForbiddenPathError,
    MissingFileError,
    NoSpaceError,
    NotARegularFileError,
    translated_os_errors,
)
from ..abstract.notes import Notes
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import Precondition
from ..abstract.status import NOTHING_REPLACED, AbstractStatus, Replaced
from .durability import Durability, preallocate
from .notes import read_notes
from .status import PosixStatus
from .tree import Tree, open_regular, split

_NOT_A_FILE = "something that is not a file has this name"


class Old(NamedTuple):
    """A stored file that is about to be replaced or removed, as it was *found*; *fd* is open for it, if it can be."""

    found: os.stat_result
    fd: int | None


class Store:
    """The files below a directory, kept as *options* say; shared by all threads."""

    tree_type: type[Tree] = Tree
    status_type: type[PosixStatus] = PosixStatus

    def __init__(self, root: str, options: ArchiveOptions | None = None) -> None:
        """Keep files below the directory *root*. Raises OSError."""
        self.tree = self.tree_type(root)
        self._start_of_paths = os.path.join(root, "")
        self.options = options or ArchiveOptions()
        self.durability = Durability(self.options.durability)

    def filepath(self, path: str) -> str:
        """Return the whole path of the file *path*."""
        return self._start_of_paths + path

    def status(self, fd: int, path: str) -> AbstractStatus:
        """Return the status of the open file *fd*, stored as *path*, with its notes. Raises OSError."""
        return self.status_with(read_notes(self.tree, fd), fd, path)

    def status_with(self, notes: Notes, fd: int, path: str) -> AbstractStatus:
        """Return the status of the open file *fd*, stored as *path*, of which *notes* are kept. Raises OSError."""
        status = self.status_type.of(os.fstat(fd), self.filepath(path))
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
            return self.status(fd, path)
        finally:
            os.close(fd)

    @contextmanager
    def admitted(self, precondition: Precondition | None, parent: int, name: str, path: str) -> Iterator[Old | None]:
        """Compare *precondition* with what has the *name* in *parent* now; give what that is, None for nothing.

        It stays open within the block, so that its inode number is not another file's before its notes are removed.
        """
        if precondition:
            precondition.check(self.entry_status(parent, name, path))
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

    def replaced(self, old: Old | None) -> Replaced:
        """Return what is known of the *old* file, None for no file, that is being replaced or removed."""
        if old is None:
            return NOTHING_REPLACED
        digests: Digests = {}
        if old.fd is not None:
            with suppress(OSError):  # notes that cannot be read do not keep a file from being removed
                digests = read_notes(self.tree, old.fd).digests
        return Replaced(True, digests)

    def check_space(self, fd: int, length: int) -> None:
        """Raise NoSpaceError when *length* more bytes would use the reserve that is to be kept free."""
        if self.options.reserve_bytes:
            self._require_free(os.fstatvfs(fd), length)

    def reserve_space(self, fd: int, length: int) -> None:
        """Reserve *length* bytes for the open file, as far as the file system supports it. Raises NoSpaceError."""
        # ext4 takes all that is free from other files before it says that there is not enough. What it keeps for root
        # (f_bfree - f_bavail) is not for files of the archive, and other users do not get it.
        found = os.fstatvfs(fd)
        if found.f_bavail * found.f_frsize < length:
            raise NoSpaceError("the archive has no space for so many bytes")
        with translated_os_errors():
            preallocate(fd, length)

    def check_reserve(self) -> None:
        """Raise NoSpaceError when nothing but the reserve is free."""
        with translated_os_errors():
            self._require_free(os.statvfs(self.tree.root), 1)

    def _require_free(self, found: os.statvfs_result, length: int) -> None:
        if found.f_bavail * found.f_frsize < self.options.reserve_bytes + length:
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
