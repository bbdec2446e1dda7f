"""The layout of files on a POSIX file system.

The marker is the name of an empty directory below ``.layout``: no file has to be read for it, which on a file system
with tapes might wait for one, and a rename changes it at once. Services hold a shared lock on ``.layout``, a
conversion an exclusive one. The directory is the service's alone: other users cannot lock it.
"""

import fcntl
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice

from ...exception import ConflictError, MissingFileError, translated_os_errors
from ..abstract.layout import FLAT, LAYOUT, TREE, LayoutKeeper, is_directory_of_tree
from .durability import sync_file_system
from .partial import exclusive
from .tree import Tree, children, split, stat_regular

_MODE = 0o700
_LOOKED_AT, _ENTERED = 10_000, 3  # of each directory: names, directories
_SAMPLE = 1000  # files


class PosixLayoutKeeper(LayoutKeeper):
    """Keeps the marker of the files below a directory, and moves them by renaming."""

    def __init__(self, tree: Tree, layouts: tuple[str, ...] = (FLAT, TREE)) -> None:
        """Keep the files below *tree*, which the backend serves in *layouts*."""
        self.layouts = layouts
        self._tree = tree

    def marker(self) -> str:
        """Return the marker; if two nodes with different options have started at once on an empty archive, both."""
        try:
            with translated_os_errors(), self._tree.directory(LAYOUT) as directory:
                return " and ".join(sorted(os.listdir(directory)))
        except MissingFileError:
            return ""

    def set_marker(self, marker: str, instead_of: str) -> None:
        """Set the marker if it is still *instead_of*. Raises ConflictError."""
        # No lock: a server that starts as root must not make the directory that `exclusive` locks.
        with translated_os_errors(), self._directory() as directory:
            self._require_marker(instead_of)
            sync_file_system(directory)
            if instead_of:
                with suppress(FileNotFoundError):  # it has just been changed
                    os.rename(instead_of, marker, src_dir_fd=directory, dst_dir_fd=directory)
            else:
                with suppress(FileExistsError):
                    os.mkdir(marker, _MODE, dir_fd=directory)
            self._require_marker(marker)
            os.fsync(directory)

    def _require_marker(self, marker: str) -> None:
        if self.marker() != marker:
            raise ConflictError("another process has changed the layout of the archive")

    @contextmanager
    def _directory(self) -> Iterator[int]:
        with self._tree.directory(LAYOUT, create=True, mode=_MODE) as directory, self._tree.directory("") as root:
            if os.geteuid() == 0:
                # A server may become the user whose the archive is only after it has started.
                owner = os.fstat(root)
                os.fchown(directory, owner.st_uid, owner.st_gid)
            os.fsync(root)
            yield directory

    def sample(self) -> Iterator[str]:
        """Return paths of some of the files; the first directories of each level are entered."""
        with translated_os_errors():
            return iter(list(islice(self._files(""), _SAMPLE)))

    def _files(self, directory: str) -> Iterator[str]:
        directories = []
        with self._tree.entries(directory) as found:
            for child in islice(found, _LOOKED_AT):
                path = os.path.join(directory, child.name)
                if child.is_file(follow_symlinks=False):
                    yield path
                elif child.is_dir(follow_symlinks=False) and is_directory_of_tree(child.name):
                    directories.append(path)
        for path in directories[:_ENTERED]:
            yield from self._files(path)

    def require_absent(self, path: str) -> None:
        """Raise ConflictError when anything has the *path*."""
        directory, name = split(path)
        with suppress(MissingFileError), translated_os_errors(), self._tree.directory(directory) as parent:
            found = _found(parent, name)
            # What is a directory now may be empty when the files in it are converted.
            if found and not stat.S_ISDIR(found.st_mode):
                raise ConflictError(f"{path} is there already")

    def move(self, old: str, new: str) -> None:
        """Rename the file at *old*. Notes belong to the inode. Raises ConflictError when anything is at *new*."""
        (old_directory, old_name), (new_directory, new_name) = split(old), split(new)
        tree = self._tree
        with translated_os_errors(), tree.directory(old_directory) as source, exclusive(tree):
            stat_regular(old_name, source)
            with tree.directory(new_directory, create=True) as target:
                found = _found(target, new_name)
                if found:
                    kind = "a directory that is not empty" if stat.S_ISDIR(found.st_mode) else "there already"
                    raise ConflictError(f"{new} is {kind}")
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)

    def remove_empty_directories(self) -> None:
        """Remove the directories of the tree in which nothing is left."""
        with translated_os_errors():
            self._remove_empty("")

    def _remove_empty(self, directory: str) -> None:
        for name, is_directory in children(self._tree, directory, ""):
            if is_directory and is_directory_of_tree(name):
                path = os.path.join(directory, name)
                self._remove_empty(path)
                with suppress(OSError), self._tree.directory(directory) as parent:  # something is in it
                    os.rmdir(name, dir_fd=parent)

    def serve(self) -> None:
        """Hold a shared lock as long as this object lives, here or in a forked process. Raises ConflictError."""
        with suppress(MissingFileError), translated_os_errors(), self._tree.directory(LAYOUT) as directory:
            held = os.dup(directory)
            weakref.finalize(self, os.close, held)
            _lock(held, fcntl.LOCK_SH, "the archive is being converted to another layout")

    @contextmanager
    def converting(self) -> Iterator[None]:
        """Hold the lock alone within the block. Raises ConflictError."""
        with translated_os_errors(), self._directory() as directory:
            _lock(directory, fcntl.LOCK_EX, "a service or another conversion is using the archive: stop it first")
            yield


def _found(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _lock(directory: int, kind: int, refusal: str) -> None:
    try:
        fcntl.flock(directory, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConflictError(refusal) from error
    except OSError:
        return  # a network file system without locks of directories
