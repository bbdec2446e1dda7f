"""Open files on a POSIX file system, to read and to replace."""

import os
from collections.abc import Callable
from contextlib import closing

from ...digests import Digests
from ...exception import MissingFileError, ModTimeError, NotARegularFileError, translated_os_errors
from ..abstract.file import PUBLISHED_MODE, Reader, Writer
from ..abstract.notes import Notes
from ..abstract.precondition import Precondition
from ..abstract.replacing import OtherBytesError, refuse_early
from ..abstract.status import NOTHING_REPLACED, AbstractStatus
from ..abstract.undoing import UndoOnError
from .notes import add_notes, forget_sidecar, read_notes, write_notes
from .partial import Partial
from .placing import Placement
from .store import Store
from .tree import split

_COMPARE_SIZE = 1 << 20  # bytes
_PREALLOCATED_FROM = 1 << 20  # bytes; smaller files find their space as quickly when they are written
_SPACE_CHECK_SIZE = 1 << 24  # bytes between two looks at the reserve


def extended_file_factory(filepath: str, mode: str) -> Reader | Writer:
    """Return the file at the absolute path *filepath* open to read (``r``) or to replace (``w``).

    Raises MissingFileError, ForbiddenPathError when the last component is a symbolic link, ValueError
    for another *mode*.
    """
    with translated_os_errors():
        store = Store(os.path.dirname(filepath))
    return open_stored(store, os.path.basename(filepath), mode)


def open_stored(store: Store, path: str, mode: str) -> Reader | Writer:
    """Return *path* in *store* open to read (``r``) or to replace (``w``). Raises ValueError for another *mode*."""
    if mode == "r":
        return PosixReader(store, path)
    if mode == "w":
        return PosixWriter(store, path)
    raise ValueError(f"mode is r or w, not {mode!r}")


class PosixReader(Reader):
    """A stored file, open for reading; it keeps its bytes when the file is replaced meanwhile."""

    def __init__(self, store: Store, path: str) -> None:
        """Open *path* in *store*. Raises MissingFileError, ForbiddenPathError."""
        self.filepath = store.filepath(path)
        self._store = store
        self._path = path
        with translated_os_errors():
            try:
                self._fd, self.found = store.tree.open_file(path)
            except NotARegularFileError as error:
                raise MissingFileError("no such file in the archive") from error

    def status(self) -> AbstractStatus:
        """Return the status of the open file."""
        with translated_os_errors():
            return self._store.status(self._fd, self._path)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        with translated_os_errors():
            return os.read(self._fd, size)

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        with translated_os_errors():
            os.lseek(self._fd, offset, os.SEEK_SET)

    def descriptor(self) -> int | None:
        """Return the descriptor of the open file."""
        # sendfile() must not bypass a subclass that overrides read().
        return self._fd if type(self).read is PosixReader.read else None

    def set_digests(self, digests: Digests) -> None:
        """Note the digests that the content was found to have."""
        self._note(Notes(digests))

    def mark_damaged(self, finding: str) -> None:
        """Note that the content is not what was stored."""
        with translated_os_errors():
            digests = read_notes(self._store.tree, self._fd).digests
        self._note(Notes(digests, finding))

    def _note(self, notes: Notes) -> None:
        with translated_os_errors():
            directories = write_notes(self._store.tree, self._fd, notes)
            self._store.durability.sync_file(self._fd)
            self._store.durability.sync_names(self._store.tree, directories)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class PosixWriter(Writer):
    """A file being written beside the stored ones; `close` puts it in its place."""

    def __init__(
        self, store: Store, path: str, length: int | None = None, precondition: Precondition | None = None
    ) -> None:
        """Start to write what is to be *path* in *store*, *length* bytes long if known.

        Refuses at once what the *precondition*, a file that may not be replaced, or the lack of space would
        refuse at the end, as far as that can be told now.
        """
        self.filepath = store.filepath(path)
        self._store = store
        self._path = path
        self._precondition = precondition
        self._mode: int | None = None
        self._digests: Digests = {}
        self._unchecked = 0
        self._published: AbstractStatus | None = None
        with translated_os_errors():
            if precondition or not store.options.may_replace:
                refuse_early(store.options, precondition, store.stored_status(path), length)
            self._partial = Partial(store.tree)
        self._fd = self._partial.fd
        with UndoOnError(self.discard):
            self._find_space(length or 0)

    def _find_space(self, length: int) -> None:
        self._store.check_space(self._fd, length)
        if length >= _PREALLOCATED_FROM:
            self._store.reserve_space(self._fd, length)

    def write(self, buf: bytes) -> int:
        """Append the whole *buf*. Raises NoSpaceError."""
        with translated_os_errors():
            rest = memoryview(buf)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._unchecked += len(buf)
        if self._unchecked >= _SPACE_CHECK_SIZE:
            self._unchecked = 0
            self._store.check_space(self._fd, 0)
        return len(buf)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time. Raises ModTimeError when the file system cannot hold it."""
        nanoseconds = round(mod_time * 1e6) * 1000  # a float of today's seconds is exact to the microsecond
        with translated_os_errors():
            os.utime(self._fd, ns=(nanoseconds, nanoseconds))
            kept = os.fstat(self._fd).st_mtime_ns
        if abs(kept - nanoseconds) > 2e9:  # the coarsest file system counts in two seconds
            raise ModTimeError("the file system of the archive cannot hold this Last-Modified")

    def set_file_permissions(self, mode: int = PUBLISHED_MODE) -> None:
        """Let the file have the permission bits *mode* when it is published."""
        self._mode = mode

    def set_digests(self, digests: Digests) -> None:
        """Let the file be published with the digests of its content."""
        self._digests = digests

    def status(self) -> AbstractStatus:
        """Return the status of what was published, or of what has been written so far."""
        with translated_os_errors():
            return self._published or self._store.status(self._fd, self._path)

    def close(self) -> None:
        """Put the file in its place. Raises ConflictError, PreconditionError and leaves the old one."""
        self.close_with(lambda: None)

    def close_with(self, action: Callable[[], object]) -> None:
        """Publish the file and call *action*; if that fails, the old file is put back."""
        with UndoOnError(self.discard), translated_os_errors():
            self._published = self._publish(action)
        self._partial.close()

    def discard(self) -> None:
        """Forget what was written."""
        with closing(self._partial), translated_os_errors():
            self._remove_partial()

    def _publish(self, action: Callable[[], object]) -> AbstractStatus:
        changed = [split(self._path)[0], *add_notes(self._store.tree, self._fd, Notes(self._digests))]
        if self._mode is not None:
            os.fchmod(self._fd, self._mode)
        self._store.durability.sync_file(self._fd)
        with Placement(self._store, self._partial, self._path) as placement:
            try:
                placement.take(self._precondition)
            except FileExistsError:
                stored = self._equal_stored_file()
                action()
                return stored
            self._store.durability.sync_names(self._store.tree, changed)
            action()
        published = self._store.status_with(Notes(self._digests), self._fd, self._path)
        published.replaced = placement.replaced
        return published

    def _equal_stored_file(self) -> AbstractStatus:
        """Return the status of the file in the way if it holds the same bytes; it stays either way."""
        with PosixReader(self._store, self._path) as stored:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while (block := os.read(self._fd, _COMPARE_SIZE)) == stored.read(_COMPARE_SIZE):
                if not block:
                    self._remove_partial()
                    self._store.durability.sync_names(self._store.tree, [split(self._path)[0]])
                    found = stored.status()
                    found.replaced = NOTHING_REPLACED
                    return found
        raise OtherBytesError

    def _remove_partial(self) -> None:
        self._partial.remove()
        forget_sidecar(self._store.tree, os.fstat(self._fd))
