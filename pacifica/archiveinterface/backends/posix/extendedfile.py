"""Open files on a POSIX file system, to read and to replace."""

import os
from collections.abc import Callable

from ...digests import Digests
from ...exception import ConflictError, MissingFileError, ModTimeError, NotARegularFileError, translated_os_errors
from ..abstract.archive import Guard
from ..abstract.extendedfile import ExtendedFile
from ..abstract.status import AbstractStatus
from .durability import preallocate
from .notes import Notes, add_notes, forget_sidecar, read_notes, write_notes
from .partial import Partial
from .placing import Placement
from .store import Store
from .tree import Tree, split

_COMPARE_SIZE = 1 << 20  # bytes
_PREALLOCATED_FROM = 1 << 20  # bytes; smaller files find their space as quickly when they are written
_SPACE_CHECK_SIZE = 1 << 24  # bytes between two looks at the reserve


def extended_file_factory(filepath: str, mode: str) -> ExtendedFile:
    """Return the file at the absolute path *filepath* open to read (``r``) or to replace (``w``).

    Raises MissingFileError, ForbiddenPathError when the last component is a symbolic link, ValueError
    for another *mode*.
    """
    with translated_os_errors():
        store = Store(Tree(os.path.dirname(filepath)))
    return open_stored(store, os.path.basename(filepath), mode)


def open_stored(store: Store, path: str, mode: str) -> ExtendedFile:
    """Return *path* in *store* open to read (``r``) or to replace (``w``). Raises ValueError for another *mode*."""
    if mode == "r":
        return PosixReader(store, path)
    if mode == "w":
        return PosixWriter(store, path)
    raise ValueError(f"mode is r or w, not {mode!r}")


class PosixReader(ExtendedFile):
    """A stored file, open for reading; it keeps its bytes when the file is replaced meanwhile."""

    def __init__(self, store: Store, path: str) -> None:
        """Open *path* in *store*. Raises MissingFileError, ForbiddenPathError."""
        self._store = store
        self._path = path
        self._found: os.stat_result | None
        with translated_os_errors():
            try:
                self._fd, self._found = store.tree.open_file(path)
            except NotARegularFileError as error:
                raise MissingFileError("no such file in the archive") from error

    def status(self) -> AbstractStatus:
        """Return the status of the open file; asked for the first time, as it was when it was opened."""
        with translated_os_errors():
            found, self._found = self._found or os.fstat(self._fd), None
            return self._store.status_of_found(found, self._fd, self._path)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        with translated_os_errors():
            return os.read(self._fd, size)

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        with translated_os_errors():
            os.lseek(self._fd, offset, os.SEEK_SET)

    def descriptor(self) -> int:
        """Return the descriptor of the open file."""
        return self._fd

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
        """Let go of the file."""
        os.close(self._fd)


class PosixWriter(ExtendedFile):
    """A file being written beside the stored ones; `close` puts it in its place."""

    def __init__(self, store: Store, path: str, *, length: int | None = None, guard: Guard | None = None) -> None:
        """Start to write what is to be *path* in *store*, *length* bytes long if known.

        Refuses at once what *guard*, a file that may not be replaced, or the lack of space would
        refuse at the end, as far as that can be told now.
        """
        self._store = store
        self._path = path
        self._guard = guard
        self._mode: int | None = None
        self._digests: Digests = {}
        self._unchecked = 0
        self._published: AbstractStatus | None = None
        with translated_os_errors():
            if guard or not store.may_replace:
                self._refuse_early(length)
            self._partial = Partial(store.tree)
        self._fd = self._partial.fd
        try:
            self._find_space(length or 0)
        except BaseException:
            self.discard()
            raise

    def _refuse_early(self, length: int | None) -> None:
        existing = self._store.stored_status(self._path)
        if self._guard:
            self._guard(existing)
        if existing and not self._store.may_replace and length not in (None, existing.filesize):
            raise ConflictError("the file exists with other bytes and may not be replaced")

    def _find_space(self, length: int) -> None:
        self._store.check_space(self._fd, length)
        if length >= _PREALLOCATED_FROM:
            with translated_os_errors():
                preallocate(self._fd, length)

    def write(self, block: bytes) -> int:
        """Append the whole *block*. Raises NoSpaceError."""
        with translated_os_errors():
            rest = memoryview(block)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        self._unchecked += len(block)
        if self._unchecked >= _SPACE_CHECK_SIZE:
            self._unchecked = 0
            self._store.check_space(self._fd, 0)
        return len(block)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time. Raises ModTimeError when the file system cannot hold it."""
        nanoseconds = round(mod_time * 1e6) * 1000  # a float of today's seconds is exact to the microsecond
        with translated_os_errors():
            os.utime(self._fd, ns=(nanoseconds, nanoseconds))
            kept = os.fstat(self._fd).st_mtime_ns
        if abs(kept - nanoseconds) > 2e9:  # the coarsest file system counts in two seconds
            raise ModTimeError("the file system of the archive cannot hold this Last-Modified")

    def set_file_permissions(self, mode: int) -> None:
        """Let the file have the permission bits *mode* when it is published."""
        self._mode = mode

    def set_digests(self, digests: Digests) -> None:
        """Let the file be published with the digests of its content."""
        self._digests = digests

    def status(self) -> AbstractStatus:
        """Return the status of what was published, or of what has been written so far."""
        with translated_os_errors():
            return self._published or self._store.status_of(self._fd, self._path)

    def close(self) -> None:
        """Put the file in its place. Raises ConflictError, PreconditionError and leaves the old one."""
        self.close_with(lambda: None)

    def close_with(self, deed: Callable[[], object]) -> None:
        """Put the file in its place and do *deed*; should that fail, the old file is put back."""
        try:
            with translated_os_errors():
                self._published = self._publish(deed)
        except BaseException:
            self.discard()
            raise
        self._partial.close()

    def discard(self) -> None:
        """Forget what was written."""
        with translated_os_errors():
            try:
                self._partial.remove()
                forget_sidecar(self._store.tree, os.fstat(self._fd))
            finally:
                self._partial.close()

    def _publish(self, deed: Callable[[], object]) -> AbstractStatus:
        changed = [split(self._path)[0], *add_notes(self._store.tree, self._fd, Notes(self._digests))]
        if self._mode is not None:
            os.fchmod(self._fd, self._mode)
        self._store.durability.sync_file(self._fd)
        with Placement(self._store, self._partial, self._path) as placement:
            try:
                placement.take(self._guard)
            except FileExistsError:
                stored = self._equal_stored_file()
                deed()
                return stored
            self._store.durability.sync_names(self._store.tree, changed)
            deed()
        return self._store.describe(os.fstat(self._fd), self._path, Notes(self._digests))

    def _equal_stored_file(self) -> AbstractStatus:
        """Return the status of the file in the way if it holds the same bytes; it stays either way."""
        stored = PosixReader(self._store, self._path)
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            while (block := os.read(self._fd, _COMPARE_SIZE)) == stored.read(_COMPARE_SIZE):
                if not block:
                    self._partial.remove()
                    forget_sidecar(self._store.tree, os.fstat(self._fd))
                    self._store.durability.sync_names(self._store.tree, [split(self._path)[0]])
                    return stored.status()
        finally:
            stored.close()
        raise ConflictError("the file exists with other bytes and may not be replaced")
