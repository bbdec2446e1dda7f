"""The archive on a POSIX file system."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from ...config import Config
from ...digests import Hasher
from ...exception import (
    ConfigurationError,
    ForbiddenPathError,
    RequestError,
    translated_os_errors,
)
from ..abstract.archive import PUBLISHED_MODE, AbstractBackendArchive, Entry, Guard
from ..abstract.status import AbstractStatus
from .extendedfile import PosixReader, PosixWriter
from .notes import NOTES, Notes, forget_sidecar, write_notes
from .partial import PARTIAL, move, orphans, sweep
from .status import PosixStatus
from .store import Store, exclusive
from .tree import Tree, files_below, open_regular, split

_COPY_SIZE = 1 << 20  # bytes


class _Source(NamedTuple):
    """A file that PATCH moves: the tree and path of its directory, that and itself open, and its name."""

    tree: Tree
    path: str
    directory: int
    name: str
    fd: int
    is_archived: bool


class PosixBackendArchive(AbstractBackendArchive):
    """Files below a directory; uploads grow in ``.partial`` beside them and are renamed into place."""

    has_local_files = True
    tree_type: type[Tree] = Tree

    def __init__(self, prefix: str, config: Config | None = None) -> None:
        """Keep files below the directory *prefix*, which exists."""
        super().__init__(prefix, config)
        self.use_id2filename = self.config.posix.use_id2filename
        try:
            self._tree = self.tree_type(self.prefix or "/")
        except OSError as error:
            raise ConfigurationError(f"prefix {prefix!r}: {os.strerror(error.errno or 0).lower()}") from error
        self._store = Store(self._tree, self.config.archive, self.describe)

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
        with translated_os_errors():
            with self._tree.directory(directory) as parent, exclusive(parent):
                found = self._store.admit(self._guard, parent, name, self.path)
                os.unlink(name, dir_fd=parent)
            self._store.durability.sync_names(self._tree, [directory])
            if found:
                forget_sidecar(self._tree, found)

    def patch(self, file_id: str, old_path: str, guard: Guard | None = None) -> None:
        """Move the file at *old_path* to *file_id*; between file systems by a copy that is published whole."""
        target = self.file(file_id, guard)
        with translated_os_errors(), self._source(old_path) as source:
            try:
                target._rename_here(source)
            except OSError as error:
                # Another file system, or another owner's file, whose mode is not ours to change.
                if error.errno not in (errno.EXDEV, errno.EPERM):
                    raise
                target._copy_here(source)

    def _stat(self) -> AbstractStatus:
        with closing(self._open_reader()) as reader:
            return reader.status()

    def _open_reader(self) -> PosixReader:
        return PosixReader(self._store, self.path)

    def _open_writer(self, length: int | None) -> PosixWriter:
        return PosixWriter(self._store, self.path, length=length, guard=self._guard)

    @contextmanager
    def _source(self, old_path: str) -> Iterator[_Source]:
        root, path = self._allowed_place(old_path)
        directory, name = split(path)
        with closing(Tree(root)) as tree, tree.directory(directory) as parent:
            fd = open_regular(name, parent)
            try:
                archived = root == self._tree.root and self.id_of(path) is not None
                yield _Source(tree, directory, parent, name, fd, archived)
            finally:
                os.close(fd)

    def _allowed_place(self, old_path: str) -> tuple[str, str]:
        """Return the root that *old_path* lies below and the path from there."""
        names = [name for name in old_path.split("/") if name not in ("", ".")]
        if not old_path.startswith("/") or "\0" in old_path or not _is_encodable(old_path):
            raise RequestError("path is no absolute path")
        if {"..", PARTIAL, NOTES} & set(names):
            raise ForbiddenPathError("path leads out of the places that files may be moved from")
        path = "/" + "/".join(names)
        for place in (self._tree.root, *self.config.archive.move_roots):
            for root in (place, os.path.realpath(place)):
                if path.startswith(root.rstrip("/") + "/"):
                    return root, path[len(root.rstrip("/")) + 1 :]
        raise ForbiddenPathError("path lies outside the places that files may be moved from")

    def _rename_here(self, source: _Source) -> None:
        directory, name = split(self.path)
        before = os.fstat(source.fd)
        changed = [directory]
        with self._tree.directory(directory, create=True) as parent, exclusive(parent):
            replaced = self._store.admit(self._guard, parent, name, self.path)
            os.fchmod(source.fd, PUBLISHED_MODE)
            try:
                if not source.is_archived:
                    # Whoever put the file there may have put anything beside it.
                    changed += write_notes(self._tree, source.fd, Notes({}))
                self._store.durability.sync_file(source.fd)
                self._take(source, parent, name, before)
            except BaseException:
                os.fchmod(source.fd, stat.S_IMODE(before.st_mode))
                raise
        self._store.durability.sync_names(self._tree, changed)
        self._store.durability.sync_names(source.tree, [source.path])
        if replaced and not os.path.samestat(replaced, before):
            forget_sidecar(self._tree, replaced)

    def _take(self, source: _Source, parent: int, name: str, found: os.stat_result) -> None:
        if _is_entry(parent, name, found) and not _is_same_place(source, parent, name):
            os.unlink(source.name, dir_fd=source.directory)  # rename() does nothing between two links of one file
        else:
            move(source.directory, source.name, parent, name, replace=self._store.may_replace)

    def _copy_here(self, source: _Source) -> None:
        before = os.fstat(source.fd)
        writer = self._open_writer(before.st_size)
        hasher = Hasher(self.config.archive.digests)
        try:
            while block := os.read(source.fd, _COPY_SIZE):
                writer.write(block)
                hasher.update(block)
            writer.set_mod_time(before.st_mtime_ns / 1e9)
            writer.set_file_permissions(PUBLISHED_MODE)
            writer.set_digests(hasher.digests())
        except BaseException:
            writer.discard()
            raise
        writer.close()
        os.unlink(source.name, dir_fd=source.directory)
        self._store.durability.sync_names(source.tree, [source.path])


def _is_encodable(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _is_entry(directory: int, name: str, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(name, dir_fd=directory, follow_symlinks=False), found)
    except FileNotFoundError:
        return False


def _is_same_place(source: _Source, parent: int, name: str) -> bool:
    return source.name == name and os.path.samestat(os.fstat(source.directory), os.fstat(parent))
