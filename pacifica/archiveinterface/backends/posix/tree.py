"""Directories below a root, entered one component at a time so that no symbolic link leads out."""

import ctypes
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ...exception import ForbiddenPathError, MissingFileError, NotARegularFileError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO or a device must not hold the request up before it is recognised.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPENAT2 = 437  # the number of the system call, the same on every machine; Linux 5.6 has it
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW = _OpenHow(flags=_FILE, resolve=_RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
_libc = ctypes.CDLL(None)


class Tree:
    """A root directory; paths below it are relative, with ``/`` between names.

    The root itself may be reached through links; a link below it raises ForbiddenPathError.
    """

    has_attributes = True  # extended ones; False where they cannot be relied on

    def __init__(self, root: str) -> None:
        """Hold *root* open. Raises OSError."""
        self.root = root
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_at_hand(self, found: os.stat_result) -> bool:
        """Return whether reading the file of which stat said *found* waits for no tape."""
        return True

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """Return a descriptor, for reading, of the regular file *path*, and what stat says of it.

        Raises OSError, MissingFileError, ForbiddenPathError, NotARegularFileError.
        """
        fd = _open_in_one_go(self._fd, path)
        if fd < 0:
            # By steps, which tell why it cannot be done, or do it where the kernel is an old one.
            directory, name = split(path)
            with self.directory(directory) as parent:
                fd = os.open(name, _FILE, dir_fd=parent)
        return fd, _regular(fd)

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
    _regular(fd)
    return fd


def _open_in_one_go(directory: int, path: str) -> int:
    """Return a descriptor of *path* below *directory*, reached through no link; negative when there is none."""
    how = ctypes.byref(_HOW)
    fd: int = _libc.syscall(_OPENAT2, directory, os.fsencode(path), how, ctypes.c_size_t(ctypes.sizeof(_OpenHow)))
    return fd


def _regular(fd: int) -> os.stat_result:
    """Return what stat says of the open file *fd*; close it and raise NotARegularFileError if it is none."""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotARegularFileError("this is no regular file")
    except BaseException:
        os.close(fd)
        raise
    return found


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
