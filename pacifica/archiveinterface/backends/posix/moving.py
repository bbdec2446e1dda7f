"""The file that PATCH moves into the archive: opening it, and removing it from where it was."""

import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from ...exception import ConflictError, StorageError
from ...globals import LOG_NAME
from ..abstract.undoing import UndoOnError
from .partial import claimed, move, partials
from .tree import Tree, open_regular, split

_log = logging.getLogger(LOG_NAME)


class Source:
    """A file to be moved, open as *fd*: *name* in *directory*, which is open and *path* below *tree*."""

    def __init__(self, tree: Tree, path: str, directory: int, name: str, fd: int) -> None:
        """Remember the file as it is now."""
        self.tree = tree
        self.path = path
        self.directory = directory
        self.name = name
        self.fd = fd
        self.found = os.fstat(fd)

    def require_unchanged(self) -> None:
        """Raise ConflictError unless the file is as it was when it was opened."""
        now = os.fstat(self.fd)
        if _content(now) != _content(self.found) or now.st_ctime_ns != self.found.st_ctime_ns:
            raise ConflictError(_CHANGED)

    def require_same(self, fd: int) -> None:
        """Raise ConflictError unless *fd* is open for the same file."""
        if not os.path.samestat(os.fstat(fd), self.found):
            raise ConflictError(_CHANGED)

    def require_removable(self) -> None:
        """Raise StorageError when the directory of the file cannot be written to."""
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self.directory, effective_ids=_EFFECTIVE_IDS):
            raise StorageError(_NOT_REMOVABLE)

    def is_at(self, directory: int, name: str) -> bool:
        """Return whether *name* in *directory* is the place of the file."""
        return self.name == name and os.path.samestat(os.fstat(directory), os.fstat(self.directory))

    def look_again(self) -> None:
        """Take the file as it is now, after a change of ours. Raises ConflictError when its content has changed."""
        now = os.fstat(self.fd)
        if _content(now) != _content(self.found):
            raise ConflictError(_CHANGED)
        self.found = now

    def remove(self, beside: int) -> None:
        """Remove the file, and no other one that has got its name meanwhile; it is in the directory *beside* last.

        Raises ConflictError, StorageError.
        """
        self._require_name(self.directory, self.name)
        # Others do not know this name: between the comparison and the removal it cannot get another file.
        aside = f".moved-{secrets.token_hex(16)}"
        place = self._set_aside(aside, beside)
        with UndoOnError(lambda: self._put_back(place, aside)):
            self._require_name(place, aside)
            os.unlink(aside, dir_fd=place)

    def remove_into(self, archive: Tree) -> None:
        """Remove the file as `remove` does, by way of the directory of unfinished files of *archive*."""
        with partials(archive) as beside:
            self.remove(beside)

    def _set_aside(self, aside: str, beside: int) -> int:
        """Give the file the name *aside* in the directory *beside* and return that.

        On another file system or mount than that, the file gets the name in its own directory.
        """
        try:
            self._rename(aside, beside)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._rename(aside, self.directory)
            return self.directory
        return beside

    def _rename(self, aside: str, directory: int) -> None:
        try:
            os.rename(self.name, aside, src_dir_fd=self.directory, dst_dir_fd=directory)
        except PermissionError as error:
            raise StorageError(_NOT_REMOVABLE) from error

    def _require_name(self, directory: int, name: str) -> None:
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not os.path.samestat(now, self.found) or _content(now) != _content(self.found):
            raise ConflictError(_CHANGED)

    def _put_back(self, place: int, aside: str) -> None:
        is_directory = stat.S_ISDIR(os.stat(aside, dir_fd=place, follow_symlinks=False).st_mode)
        try:
            # rename() never lets a directory replace a file.
            move(place, aside, self.directory, self.name, replace=is_directory)
        except OSError as error:
            os.rename(aside, aside, src_dir_fd=place, dst_dir_fd=self.directory)
            path = os.path.join(self.tree.root, self.path, self.name)
            _log.error("%s is now named %s: %s", path, aside, error)


_CHANGED = "the file changed while it was being moved"
_NOT_REMOVABLE = "the service may not remove the file from the directory that it is in"
_EFFECTIVE_IDS = os.access in os.supports_effective_ids


def _content(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def roots_of(places: Iterable[str]) -> Iterator[str]:
    """Yield the directories *places*, and each without the symbolic links that lead to it."""
    for place in places:
        yield place
        yield os.path.realpath(place)


@contextmanager
def removable(root: str, path: str) -> Iterator[Source]:
    """Give the file *path* below *root*, open within the block.

    Raises OSError, NotARegularFileError, ForbiddenPathError for a symbolic link below *root*, StorageError when the
    file cannot be removed from its directory.
    """
    directory, name = split(path)
    with closing(Tree(root)) as tree, tree.directory(directory) as parent:
        fd, _ = open_regular(name, parent)
        try:
            source = Source(tree, directory, parent, name, fd)
            source.require_removable()
            yield source
        finally:
            os.close(fd)


@contextmanager
def moving(archive: Tree, root: str, path: str) -> Iterator[Source]:
    """Give the file *path* below *root*, which no other request moves into *archive* within the block.

    Raises as `removable` does, and ConflictError when another request is moving it.
    """
    with removable(root, path) as source, claimed(archive, source.found):
        yield source
