"""The archive on a POSIX file system."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import ClassVar

from ...digests import SUPPORTED, Digests, Hasher
from ...exception import ConfigurationError, DamagedFileError, MissingFileError, translated_os_errors
from ..abstract.archive import AbstractBackendArchive, Entry, Space, absolute_prefix
from ..abstract.file import PUBLISHED_MODE, ArchiveFile
from ..abstract.layout import FLAT, LAYOUT, TREE
from ..abstract.moving import allowed_place, local_size, path_below, require_directories
from ..abstract.notes import Notes
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import Precondition
from ..abstract.status import NOTHING_REPLACED, AbstractStatus, Replaced
from ..abstract.undoing import UndoOnError
from ..abstract.walking import files_below
from .extendedfile import PosixReader, PosixWriter
from .layout import PosixLayoutKeeper
from .moving import Source, moving, roots_of
from .notes import NOTES, forget_sidecar, read_notes, write_notes
from .options import PosixOptions
from .partial import PARTIAL, LinkedPartial, exclusive
from .placing import NO_LINKS, Placement
from .store import Store
from .sweeping import orphans, sweep
from .tree import children, split

_COPY_SIZE = 1 << 20  # bytes


class PosixFile(ArchiveFile):
    """One file on a POSIX file system."""

    def __init__(self, archive: "PosixBackendArchive", path: str) -> None:
        """Represent the file at *path* in *archive*."""
        super().__init__(archive.prefix, path, archive.archive_options)
        self._archive = archive
        self._store = archive.store

    def status(self) -> AbstractStatus:
        """Return the status of the file. Raises MissingFileError."""
        with self._open_reader() as reader:
            return reader.status()

    def is_online(self) -> bool:
        """Return True: disk is all there is."""
        return True

    def stage(self) -> bool:
        """Return True: the file is on disk. Raises MissingFileError."""
        self.status()
        return True

    def _open_reader(self) -> PosixReader:
        return PosixReader(self._store, self.path)

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> PosixWriter:
        """Start to replace the file. Raises PreconditionError, NoSpaceError."""
        return PosixWriter(self._store, self.path, length, precondition)

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Remove the file and return what it was. Raises MissingFileError."""
        tree, (directory, name) = self._store.tree, split(self.path)
        with translated_os_errors(), ExitStack() as stack:
            parent = stack.enter_context(tree.directory(directory))
            os.stat(name, dir_fd=parent, follow_symlinks=False)  # a missing file makes no directory for the lock
            with exclusive(tree):
                old = stack.enter_context(self._store.admitted(precondition, parent, name, self.path))
                os.unlink(name, dir_fd=parent)
            self._store.durability.sync_names(tree, [directory])
            removed = self._store.replaced(old)
            if old and old.found.st_nlink == 1:
                forget_sidecar(tree, old.found)
        return removed

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Let the file at *old_path* become this file; between file systems by a copy that is published whole.

        Return what this file was; a failure leaves both as they were.
        """
        root, path = allowed_place(
            old_path, roots_of((self._store.tree.root, *self.options.move_roots)), (PARTIAL, NOTES, LAYOUT)
        )
        self._store.tree.require_root()
        with translated_os_errors(), moving(self._store.tree, root, path) as source:
            if self._is_place_of(source, precondition):
                return NOTHING_REPLACED
            # Of several names of a file, PATCH changes only the one it moves.
            has_one_name = source.found.st_nlink == 1
            replaced = (has_one_name and self._link_here(source, precondition)) or self._copy_here(source, precondition)
            self._store.durability.sync_names(source.tree, [source.path])
        return replaced

    def _is_place_of(self, source: Source, precondition: Precondition | None) -> bool:
        """Return whether *source* has the name of this file already, and may have it."""
        directory, name = split(self.path)
        try:
            with self._store.tree.directory(directory) as parent, exclusive(self._store.tree):
                if not source.is_at(parent, name):
                    return False
                with self._store.admitted(precondition, parent, name, self.path):
                    return True
        except (FileNotFoundError, MissingFileError):
            return False

    def _link_here(self, source: Source, precondition: Precondition | None) -> Replaced | None:
        """Move *source* within the file system, return what it replaced; None when only a copy of it can be stored."""
        try:
            link = LinkedPartial(self._store.tree, source.directory, source.name)
        except OSError as error:
            if error.errno not in (errno.EXDEV, *NO_LINKS):
                raise
            return None
        with closing(link), UndoOnError(link.remove):
            source.require_same(link.fd)
            try:
                os.fchmod(link.fd, PUBLISHED_MODE)
            except PermissionError:  # another owner's file
                link.remove()
                source.look_again()
                return None
            with UndoOnError(lambda: os.fchmod(link.fd, stat.S_IMODE(source.found.st_mode))):
                return self._place_link(source, link, precondition)

    def _place_link(self, source: Source, link: LinkedPartial, precondition: Precondition | None) -> Replaced:
        changed = [split(self.path)[0]]
        if not self._is_archived(source):
            # Its attributes were not written by this service: a digest in them may be wrong.
            changed += write_notes(self._store.tree, link.fd, Notes({}))
        self._store.durability.sync_file(link.fd)
        with Placement(self._store, link, self.path) as placement:
            placement.take(precondition)
            self._store.durability.sync_names(self._store.tree, changed)
            source.remove_into(self._store.tree)
        return placement.replaced

    def _is_archived(self, source: Source) -> bool:
        path = f"{source.path}/{source.name}" if source.path else source.name
        return source.tree.root == self._store.tree.root and self._archive.id_of(path) is not None

    def _copy_here(self, source: Source, precondition: Precondition | None) -> Replaced:
        known = read_notes(self._store.tree, source.fd).digests if self._is_archived(source) else {}
        known = {name: value for name, value in known.items() if name in SUPPORTED}
        hasher = Hasher({*self.options.digests, *known})

        def digests() -> Digests:
            source.require_unchanged()
            computed = hasher.digests()
            if known.items() - computed.items():
                raise DamagedFileError("the file is damaged: its bytes are not those that were stored")
            return computed

        writer = self.open_writer(source.found.st_size, precondition)
        with UndoOnError(writer.discard):
            blocks = iter(partial(os.read, source.fd, _COPY_SIZE), b"")
            writer.fill(hasher.hashed(blocks), source.found.st_mtime_ns / 1e9, digests)
        writer.close_with(lambda: source.remove_into(self._store.tree))
        return writer.status().replaced


class PosixBackendArchive(AbstractBackendArchive):
    """Files below a directory; uploads grow in ``.partial`` beside them and are renamed into place."""

    name = "posix"
    section = "posix"
    has_tape = False
    options_type: ClassVar[type] = PosixOptions
    has_local_files = True
    store_type: type[Store] = Store
    file_type: type[PosixFile] = PosixFile
    layouts: tuple[str, ...] = (FLAT, TREE)

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: PosixOptions | None = None
    ) -> None:
        """Keep files below the directory *prefix*, an absolute path, which exists."""
        super().__init__(absolute_prefix(prefix), archive_options)
        self.use_id2filename = (options or PosixOptions()).use_id2filename
        try:
            self.store = self.store_type(self.prefix or "/", self.archive_options)
        except OSError as error:
            raise ConfigurationError(f"prefix {prefix!r}: {os.strerror(error.errno or 0).lower()}") from error
        self.layout_keeper = PosixLayoutKeeper(self.store.tree, self.layouts)

    def file(self, file_id: str) -> PosixFile:
        """Return the file *file_id*. Raises FileIdError."""
        return self.file_type(self, self.path_of(file_id))

    def size_at(self, old_path: str) -> int | None:
        """Return the size of the file at *old_path*, None if there is none that may be moved."""
        return local_size(old_path, (self.prefix, *self.archive_options.move_roots))

    def path_below(self, old_path: str) -> str | None:
        """Return the path below the prefix of *old_path*, by whatever links it leads there; None if it is outside."""
        below = super().path_below(old_path)
        if below is not None:
            return below
        try:
            return path_below(os.path.realpath(self.prefix), os.path.realpath(old_path))
        except ValueError:  # not a path
            return None

    def checks(self) -> Mapping[str, Callable[[], object]]:
        """Return the checks of the directory and, with a reserve, of the space that is left."""
        reserve = {"free_space": self.store.check_reserve} if self.archive_options.reserve_bytes else {}
        return {"backend": self.store.tree.require_root, **reserve}

    def space(self) -> Space:
        """Return the bytes of the file system, without those that only root may use, as df counts."""
        with translated_os_errors():
            found = os.statvfs(self.store.tree.root)
        used = found.f_blocks - found.f_bfree
        return Space((used + found.f_bavail) * found.f_frsize, found.f_bavail * found.f_frsize)

    def require_usable(self) -> None:
        """Raise ConfigurationError unless files can be made below the prefix and ``move_roots`` are directories."""
        try:
            with tempfile.TemporaryFile(dir=self.prefix or "/"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"prefix {self.prefix!r} cannot be written: {os.strerror(error.errno or 0).lower()}"
            ) from error
        require_directories(self.archive_options.move_roots)

    def sweep(self) -> None:
        """Remove what killed processes left half-written."""
        sweep(self.store.tree)

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file below the prefix whose path comes after *after*, by the names along their paths."""
        with translated_os_errors():
            for name in orphans(self.store.tree):
                yield Entry(f"{PARTIAL}/{name}", None, is_partial=True)
            for path in files_below(partial(children, self.store.tree), after=after.split("/")):
                if path.split("/")[0] not in (PARTIAL, NOTES):
                    yield Entry(path, self.id_of(path))
