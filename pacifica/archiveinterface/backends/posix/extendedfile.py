"""Open files on a POSIX file system, to read and to replace."""

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...exception import ConflictError, MissingFileError, ModTimeError, NotARegularFileError, translated_os_errors
from ..abstract.archive import ExtendedFile, Guard
from ..abstract.status import AbstractStatus
from .partial import Partial
from .status import PosixStatus
from .tree import Tree, open_regular, split

Describe = Callable[[os.stat_result, str], AbstractStatus]
"""Makes the status of the file at a path from what stat said of it."""

_COMPARE_SIZE = 1 << 20  # bytes
_lock_of_this_process = threading.Lock()


def extended_file_factory(filepath: str, mode: str) -> ExtendedFile:
    """Return the file at the absolute path *filepath* open to read (``r``) or to replace (``w``).

    Raises MissingFileError, ForbiddenPathError when the last component is a symbolic link.
    """
    with translated_os_errors():
        tree = Tree(os.path.dirname(filepath))
    name = os.path.basename(filepath)
    return PosixReader(tree, name) if mode == "r" else PosixWriter(tree, name)


class _PosixFile:
    """A descriptor and the place it belongs to."""

    def __init__(self, tree: Tree, path: str, describe: Describe) -> None:
        self._tree = tree
        self._path = path
        self._describe = describe
        self._fd = -1

    def status(self) -> AbstractStatus:
        """Return the status of the open file."""
        with translated_os_errors():
            return self._describe(os.fstat(self._fd), f"{self._tree.root}/{self._path}")


class PosixReader(_PosixFile):
    """A stored file, open for reading; it keeps its bytes though it be replaced meanwhile."""

    def __init__(self, tree: Tree, path: str, describe: Describe = PosixStatus.of) -> None:
        """Open *path* below *tree*. Raises MissingFileError, ForbiddenPathError."""
        super().__init__(tree, path, describe)
        directory, name = split(path)
        with translated_os_errors(), tree.directory(directory) as parent:
            try:
                self._fd = open_regular(name, parent)
            except NotARegularFileError as error:
                raise MissingFileError("no such file in the archive") from error

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        with translated_os_errors():
            return os.read(self._fd, size)

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        with translated_os_errors():
            os.lseek(self._fd, offset, os.SEEK_SET)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    discard = close

    def write(self, block: bytes) -> int:
        """Refuse: a stored file is replaced, never changed."""
        raise ConflictError("the file is open for reading")

    def set_mod_time(self, mod_time: float) -> None:
        """Refuse, as `write` does."""
        self.write(b"")

    def set_file_permissions(self, mode: int) -> None:
        """Refuse, as `write` does."""
        self.write(b"")


class PosixWriter(_PosixFile):
    """A file being written beside the stored ones; `close` puts it in its place."""

    def __init__(
        self,
        tree: Tree,
        path: str,
        describe: Describe = PosixStatus.of,
        *,
        length: int | None = None,
        guard: Guard | None = None,
        replace: bool = True,
    ) -> None:
        """Start to write what is to be *path* below *tree*, *length* bytes long if known.

        What *guard* or ``replace=False`` will refuse in the end is refused now when it can be told.
        """
        super().__init__(tree, path, describe)
        self._guard = guard
        self._replace = replace
        self._published: AbstractStatus | None = None
        with translated_os_errors():
            if guard or not replace:
                self._refuse_early(length)
            self._partial = Partial(tree)
        self._fd = self._partial.fd

    def _refuse_early(self, length: int | None) -> None:
        existing = stored_status(self._tree, self._path, self._describe)
        if self._guard:
            self._guard(existing)
        if existing and not self._replace and length not in (None, existing.filesize):
            raise ConflictError("the file exists with other bytes and may not be replaced")

    def write(self, block: bytes) -> int:
        """Append the whole *block*."""
        with translated_os_errors():
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        return len(block)

    def read(self, size: int) -> bytes:
        """Refuse: what is being written is nobody's to read."""
        raise ConflictError("the file is open for writing")

    def seek(self, offset: int) -> None:
        """Refuse: files are written from the first byte to the last."""
        self.read(0)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time. Raises ModTimeError when the file system cannot hold it."""
        nanoseconds = round(mod_time * 1e6) * 1000  # a float of today's seconds is exact to the microsecond
        with translated_os_errors():
            os.utime(self._fd, ns=(nanoseconds, nanoseconds))
            kept = os.fstat(self._fd).st_mtime_ns
        if abs(kept - nanoseconds) > 2e9:  # the coarsest file system counts in two seconds
            raise ModTimeError("the file system of the archive cannot hold this Last-Modified")

    def set_file_permissions(self, mode: int) -> None:
        """Set the permission bits."""
        with translated_os_errors():
            os.fchmod(self._fd, mode)

    def status(self) -> AbstractStatus:
        """Return the status of what was published, or of what has been written so far."""
        return self._published or super().status()

    def close(self) -> None:
        """Put the file in its place. Raises ConflictError, PreconditionError and leaves the old one."""
        try:
            with translated_os_errors():
                self._published = self._publish()
        except BaseException:
            self.discard()
            raise
        self._partial.close()

    def discard(self) -> None:
        """Forget what was written."""
        with translated_os_errors():
            try:
                self._partial.remove()
            finally:
                self._partial.close()

    def _publish(self) -> AbstractStatus:
        try:
            self._take_place()
        except FileExistsError:
            return self._equal_stored_file()
        return super().status()

    def _take_place(self) -> None:
        directory, name = split(self._path)
        with self._tree.directory(directory, create=True) as parent, exclusive(parent):
            admit(self._guard, parent, name, self._describe)
            self._partial.move_to(parent, name, replace=self._replace)

    def _equal_stored_file(self) -> AbstractStatus:
        """Return the status of the file in the way if it holds the same bytes; it stays either way."""
        stored = PosixReader(self._tree, self._path, self._describe)
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while (block := os.read(self._fd, _COMPARE_SIZE)) == stored.read(_COMPARE_SIZE):
                if not block:
                    self._partial.remove()
                    return stored.status()
        finally:
            stored.close()
        raise ConflictError("the file exists with other bytes and may not be replaced")


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
    else:
        yield  # closing the descriptor releases the lock


def stored_status(tree: Tree, path: str, describe: Describe) -> AbstractStatus | None:
    """Return the status of *path* below *tree*, None when nothing is there.

    Raises ConflictError when something other than a regular file is.
    """
    directory, name = split(path)
    try:
        with tree.directory(directory) as parent:
            return entry_status(parent, name, lambda found, _: describe(found, f"{tree.root}/{path}"))
    except (FileNotFoundError, MissingFileError):
        return None


def entry_status(directory: int, name: str, describe: Describe) -> AbstractStatus | None:
    """Return the status of *name* in *directory*, None when nothing is there. Raises ConflictError."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ConflictError("something that is no file has this name")
    return describe(found, name)


def admit(guard: Guard | None, directory: int, name: str, describe: Describe) -> None:
    """Let *guard* decide over what has the *name* in *directory* now. Raises what it raises."""
    existing = entry_status(directory, name, describe)
    if guard:
        guard(existing)
