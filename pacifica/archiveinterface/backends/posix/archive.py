"""The archive on a POSIX file system."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import ClassVar

from ...digests import SUPPORTED, Hasher
from ...exception import (
    ConfigurationError,
    DamagedFileError,
    ForbiddenPathError,
    MissingFileError,
    RequestError,
    translated_os_errors,
)
from ..abstract.archive import PUBLISHED_MODE, AbstractBackendArchive, Entry, Guard, absolute_prefix
from ..abstract.options import ArchiveOptions
from ..abstract.status import AbstractStatus
from .extendedfile import PosixReader, PosixWriter
from .moving import Source, moving
from .notes import NOTES, Notes, forget_sidecar, read_notes, write_notes
from .options import PosixOptions
from .partial import PARTIAL, LinkedPartial, exclusive
from .placing import NO_LINKS, Placement
from .status import PosixStatus
from .store import Store
from .sweeping import orphans, sweep
from .tree import Tree, files_below, split

_COPY_SIZE = 1 << 20  # bytes


class PosixBackendArchive(AbstractBackendArchive):
    """Files below a directory; uploads grow in ``.partial`` beside them and are renamed into place."""

    section = "posix"
    options_type: ClassVar[type] = PosixOptions
    has_local_files = True
    tree_type: type[Tree] = Tree

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: PosixOptions | None = None
    ) -> None:
        """Keep files below the directory *prefix*, an absolute path, which exists."""
        super().__init__(absolute_prefix(prefix), archive_options)
        self.use_id2filename = (options or PosixOptions()).use_id2filename
        try:
            self._tree = self.tree_type(self.prefix or "/")
        except OSError as error:
            raise ConfigurationError(f"prefix {prefix!r}: {os.strerror(error.errno or 0).lower()}") from error
        self._store = Store(self._tree, self.archive_options, self.describe)

    def sweep(self) -> None:
        """Remove what killed processes left half-written."""
        sweep(self._tree)

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file below the prefix whose path comes after *after*, by the names along their paths."""
        with translated_os_errors():
            for name in orphans(self._tree):
                yield Entry(f"{PARTIAL}/{name}", None, is_partial=True)
            for path in files_below(self._tree, after=after.split("/")):
                if path.split("/")[0] not in (PARTIAL, NOTES):
                    yield Entry(path, self.id_of(path))

    def describe(self, found: os.stat_result, filepath: str) -> AbstractStatus:
        """Return the status of the file at *filepath*, of which stat said *found*."""
        return PosixStatus.of(found, filepath)

    def is_online(self) -> bool:
        """Return True: disk is all there is."""
        return True

    def stage(self) -> bool:
        """Return True: the file is on disk. Raises MissingFileError."""
        self.status()
        return True

    def remove(self) -> None:
        """Remove the file. Raises MissingFileError."""
        directory, name = split(self.path)
        with translated_os_errors(), ExitStack() as stack:
            parent = stack.enter_context(self._tree.directory(directory))
            os.stat(name, dir_fd=parent, follow_symlinks=False)  # a missing file makes no directory for the lock
            with exclusive(self._tree):
                old = stack.enter_context(self._store.admitted(self._guard, parent, name, self.path))
                os.unlink(name, dir_fd=parent)
            self._store.durability.sync_names(self._tree, [directory])
            if old and old.found.st_nlink == 1:
                forget_sidecar(self._tree, old.found)

    def patch(self, file_id: str, old_path: str, guard: Guard | None = None) -> None:
        """Move the file at *old_path* to *file_id*; between file systems by a copy that is published whole.

        A failure leaves both as they were.
        """
        target = self.file(file_id, guard)
        root, path = self._allowed_place(old_path)
        self._tree.require_root()
        with translated_os_errors(), moving(self._tree, root, path) as source:
            if target._is_place_of(source):
                return
            # Of several names of a file, PATCH changes only the one it moves.
            if source.found.st_nlink > 1 or not target._link_here(source):
                target._copy_here(source)
            self._store.durability.sync_names(source.tree, [source.path])

    def _stat(self) -> AbstractStatus:
        with closing(self._open_reader()) as reader:
            return reader.status()

    def _open_reader(self) -> PosixReader:
        return PosixReader(self._store, self.path)

    def _open_writer(self, length: int | None) -> PosixWriter:
        return PosixWriter(self._store, self.path, length=length, guard=self._guard)

    def _allowed_place(self, old_path: str) -> tuple[str, str]:
        """Return the root that *old_path* lies below and the path from there."""
        names = [name for name in old_path.split("/") if name not in ("", ".")]
        if not old_path.startswith("/") or "\0" in old_path or not _is_encodable(old_path):
            raise RequestError("path is not an absolute path")
        if {"..", PARTIAL, NOTES} & set(names):
            raise ForbiddenPathError("path leads out of the places that files may be moved from")
        path = "/" + "/".join(names)
        for place in (self._tree.root, *self.archive_options.move_roots):
            for root in (place, os.path.realpath(place)):
                if path.startswith(root.rstrip("/") + "/"):
                    return root, path[len(root.rstrip("/")) + 1 :]
        raise ForbiddenPathError("path lies outside the places that files may be moved from")

    def _is_place_of(self, source: Source) -> bool:
        """Return whether *source* has the name of the bound file already, and may have it."""
        directory, name = split(self.path)
        try:
            with self._tree.directory(directory) as parent, exclusive(self._tree):
                if not source.is_at(parent, name):
                    return False
                with self._store.admitted(self._guard, parent, name, self.path):
                    return True
        except (FileNotFoundError, MissingFileError):
            return False

    def _link_here(self, source: Source) -> bool:
        """Move *source* within the file system and return True; False when only a copy of it can be stored."""
        try:
            partial = LinkedPartial(self._tree, source.directory, source.name)
        except OSError as error:
            if error.errno not in (errno.EXDEV, *NO_LINKS):
                raise
            return False
        with closing(partial):
            try:
                return self._place_link(source, partial)
            except BaseException:
                partial.remove()
                raise

    def _place_link(self, source: Source, partial: LinkedPartial) -> bool:
        source.require_same(partial.fd)
        changed = [split(self.path)[0]]
        try:
            os.fchmod(partial.fd, PUBLISHED_MODE)
        except PermissionError:  # another owner's file
            partial.remove()
            source.look_again()
            return False
        try:
            if not self._is_archived(source):
                # What stands beside it or in its attributes is not ours, and its digests need not be right.
                changed += write_notes(self._tree, partial.fd, Notes({}))
            self._store.durability.sync_file(partial.fd)
            with Placement(self._store, partial, self.path) as placement:
                placement.take(self._guard)
                self._store.durability.sync_names(self._tree, changed)
                source.remove()
        except BaseException:
            os.fchmod(partial.fd, stat.S_IMODE(source.found.st_mode))
            raise
        return True

    def _is_archived(self, source: Source) -> bool:
        path = f"{source.path}/{source.name}" if source.path else source.name
        return source.tree.root == self._tree.root and self.id_of(path) is not None

    def _copy_here(self, source: Source) -> None:
        known = read_notes(self._tree, source.fd).digests if self._is_archived(source) else {}
        known = {name: value for name, value in known.items() if name in SUPPORTED}
        writer = self._open_writer(source.found.st_size)
        hasher = Hasher({*self.archive_options.digests, *known})
        try:
            while block := os.read(source.fd, _COPY_SIZE):
                writer.write(block)
                hasher.update(block)
            source.require_unchanged()
            digests = hasher.digests()
            if known.items() - digests.items():
                raise DamagedFileError("the file is damaged: its bytes are not those that were stored")
            writer.set_mod_time(source.found.st_mtime_ns / 1e9)
            writer.set_file_permissions(PUBLISHED_MODE)
            writer.set_digests(digests)
        except BaseException:
            writer.discard()
            raise
        writer.close_with(source.remove)


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
