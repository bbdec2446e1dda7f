"""Directories below a root, entered one component at a time so that no symbolic link leads out."""

import os
import stat
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from ...exception import (
    BackendUnavailableError,
    ForbiddenPathError,
    MissingFileError,
    NotARegularFileError,
    StorageError,
)
from ..abstract.undoing import UndoOnError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Should a FIFO or a device get the name of a file just before it is opened, opening does not wait for it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REMEMBERED_DIRECTORIES = 1 << 14


class Tree:
    """A root directory; paths below it are relative, with ``/`` between names.

    The root itself may be reached through links; a link below it raises ForbiddenPathError.
    `durable` holds the directories whose names are known to be on stable storage.
    """

    has_attributes = True  # extended ones; False where they cannot be relied on

    def __init__(self, root: str) -> None:
        """Hold *root* open. Raises OSError."""
        self.root = root
        self.durable = Recent(_REMEMBERED_DIRECTORIES)
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._closing = weakref.finalize(self, os.close, self._fd)
        self._found = os.fstat(self._fd)

    def is_at_hand(self, found: os.stat_result) -> bool:
        """Return whether reading the file of which stat said *found* waits for no tape."""
        return True

    def open_file(self, path: str) -> tuple[int, os.stat_result]:
        """Return a descriptor, for reading, of the regular file *path*, and what stat says of it.

        Raises OSError, MissingFileError, ForbiddenPathError, NotARegularFileError.
        """
        directory, name = split(path)
        with self.directory(directory) as parent:
            return open_regular(name, parent)

    def close(self) -> None:
        """Let go of the root; so does the end of the last reference to the tree."""
        self._closing()

    def open_directory(self, path: str, *, create: bool = False, mode: int = 0o777) -> int:
        """Open the directory *path* and return its descriptor, which the caller closes.

        Missing directories are made on *create*, with the permissions *mode* as far as the umask
        allows; else MissingFileError is raised. Raises BackendUnavailableError when the root
        is not there any more.
        """
        self.require_root()
        fd, entered = self._fd, ""
        for name in path.split("/") if path else (".",):
            parent, entered = fd, f"{entered}/{name}" if entered else name
            try:
                fd = self._make(parent, name, entered, mode) if create else _enter(parent, name)
            finally:
                if parent != self._fd:
                    os.close(parent)
        return fd

    @contextmanager
    def directory(self, path: str, *, create: bool = False, mode: int = 0o777) -> Iterator[int]:
        """Give a descriptor of the directory *path*, open within the block; all callers share that of the root.

        Options and errors are those of `open_directory`.
        """
        if not path:
            self.require_root()
            yield self._fd
            return
        fd = self.open_directory(path, create=create, mode=mode)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def entries(self, path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Give what is in the directory *path*, in no order, within the block. Raises as `open_directory`."""
        fd = self.open_directory(path)  # two listings of one descriptor would share their position
        try:
            with os.scandir(fd) as found:
                yield found
        finally:
            os.close(fd)

    def require_root(self) -> None:
        """Raise BackendUnavailableError when another directory, or none, has the path of the root now."""
        try:
            found = os.stat(self.root)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BackendUnavailableError("the directory of the archive is not there") from error
        except PermissionError:
            return  # a service that has dropped its privileges may not be allowed to stat what it has opened
        if not os.path.samestat(found, self._found):
            raise BackendUnavailableError("another directory has taken the place of the archive; restart the service")

    def _make(self, parent: int, name: str, path: str, mode: int) -> int:
        try:
            with suppress(FileNotFoundError):
                return _enter(parent, name)
            self.durable.discard(path)
            with suppress(FileExistsError):  # another request made it just now
                os.mkdir(name, mode, dir_fd=parent)
            return _enter(parent, name)
        except MissingFileError as error:
            raise StorageError("the archive has a file where this needs a directory") from error
        except FileNotFoundError as error:
            raise BackendUnavailableError("a directory of the archive is being removed, try again later") from error


class Recent:
    """The paths last added, a bounded number of them; safe with threads."""

    def __init__(self, most: int) -> None:
        """Keep *most* paths."""
        self._most = most
        self._paths: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, path: str) -> bool:
        """Return whether *path* is among them."""
        return path in self._paths

    def update(self, paths: Iterable[str]) -> None:
        """Add *paths*."""
        with self._lock:
            for path in paths:
                self._paths[path] = None
                self._paths.move_to_end(path)
            while len(self._paths) > self._most:
                self._paths.popitem(last=False)

    def discard(self, path: str) -> None:
        """Remove *path*, if it is there."""
        with self._lock:
            self._paths.pop(path, None)


def _enter(parent: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except NotADirectoryError as error:
        raise _why_not_entered(parent, name) from error


def _why_not_entered(parent: int, name: str) -> Exception:
    with suppress(OSError):
        if stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode):
            return ForbiddenPathError("the path leads through a symbolic link")
    return MissingFileError("no such file in the archive")


def stat_regular(name: str, directory: int) -> os.stat_result:
    """Return what stat says of the regular file *name* in *directory*.

    Raises OSError, ForbiddenPathError for a symbolic link, NotARegularFileError.
    """
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise ForbiddenPathError("the path leads through a symbolic link")
    _require_regular(found)
    return found


def open_regular(name: str, directory: int) -> tuple[int, os.stat_result]:
    """Return a descriptor, for reading, of the regular file *name* in *directory*, and what stat says of it.

    Nothing else is opened: to open a device may have an effect. Raises as `stat_regular` does.
    """
    stat_regular(name, directory)
    fd = os.open(name, _FILE, dir_fd=directory)
    with UndoOnError(lambda: os.close(fd)):
        found = os.fstat(fd)  # the name may belong to another file now
        _require_regular(found)
    return fd, found


def _require_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotARegularFileError("this is not a regular file")


def split(path: str) -> tuple[str, str]:
    """Return directory and name of *path*: ``39/3039`` -> (``39``, ``3039``)."""
    directory, _, name = path.rpartition("/")
    return directory, name


def children(tree: Tree, directory: str, start: str) -> list[tuple[str, bool]]:
    """Return the names in *directory* from *start* on, in order, each with whether it is a directory."""
    with tree.entries(directory) as found:
        return sorted((child.name, child.is_dir(follow_symlinks=False)) for child in found if child.name >= start)
