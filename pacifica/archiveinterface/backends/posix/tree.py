"""Directories below a root, entered one component at a time so that no symbolic link leads out."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ...exception import ForbiddenPathError, MissingFileError, NotARegularFileError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO or a device must not hold the request up before it is recognised.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Tree:
    """A root directory; paths below it are relative, with ``/`` between names.

    The root itself may be reached through links; a link below it raises ForbiddenPathError.
    """

    def __init__(self, root: str) -> None:
        """Hold *root* open. Raises OSError."""
        self.root = root
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the root."""
        os.close(self._fd)

    @contextmanager
    def directory(self, path: str, *, create: bool = False) -> Iterator[int]:
        """Give the descriptor of the directory *path*, open within the block.

        Missing directories are made on *create*, else MissingFileError is raised.
        """
        # Not dup(): each caller locks the directory for itself, so each needs a description of its own.
        fd = os.open(".", _DIRECTORY, dir_fd=self._fd)
        try:
            for name in path.split("/") if path else ():
                parent = fd
                try:
                    fd = _enter(parent, name, create=create)
                finally:
                    if fd != parent:
                        os.close(parent)
            yield fd
        finally:
            os.close(fd)


def _enter(parent: int, name: str, *, create: bool) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    except NotADirectoryError as error:
        raise _why_not_entered(parent, name) from error
    with suppress(FileExistsError):  # another request made it just now
        os.mkdir(name, dir_fd=parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _why_not_entered(parent: int, name: str) -> Exception:
    with suppress(OSError):
        if stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode):
            return ForbiddenPathError("the path leads through a symbolic link")
    return MissingFileError("no such file in the archive")


def open_regular(name: str, directory: int) -> int:
    """Return a descriptor, for reading, of the regular file *name* in *directory*.

    Raises OSError (ELOOP for a symbolic link), NotARegularFileError.
    """
    fd = os.open(name, _FILE, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise NotARegularFileError("this is no regular file")
    except BaseException:
        os.close(fd)
        raise
    return fd


def split(path: str) -> tuple[str, str]:
    """Return directory and name of *path*: ``39/3039`` -> (``39``, ``3039``)."""
    directory, _, name = path.rpartition("/")
    return directory, name


def files_below(tree: Tree, directory: str = "", after: Sequence[str] = ()) -> Iterator[str]:
    """Yield the path of everything below *directory* that is no directory, by the names along the paths.

    Only what comes after the path of names *after* is looked at.
    """
    with tree.directory(directory) as fd, os.scandir(fd) as found:
        children = sorted((child.name, child.is_dir(follow_symlinks=False)) for child in found)
    for name, is_directory in children:
        if after and name < after[0]:
            continue
        path = f"{directory}/{name}" if directory else name
        begun = bool(after) and name == after[0]
        if is_directory:
            yield from files_below(tree, path, after[1:] if begun else ())
        elif not begun:
            yield path
