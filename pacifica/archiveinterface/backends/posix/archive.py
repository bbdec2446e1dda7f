"""The archive on a POSIX file system."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...config import Config
from ...exception import (
    ConfigurationError,
    ForbiddenPathError,
    MissingFileError,
    RequestError,
    translated_os_errors,
)
from ..abstract.archive import PUBLISHED_MODE, AbstractBackendArchive, Guard
from ..abstract.status import AbstractStatus
from .extendedfile import PosixReader, PosixWriter, admit, exclusive
from .partial import PARTIAL, move, sweep
from .status import PosixStatus
from .tree import Tree, open_regular, split

_COPY_SIZE = 1 << 20  # bytes


class Source(NamedTuple):
    """A file that PATCH moves: its directory and name, and itself, open for reading."""

    directory: int
    name: str
    fd: int


class PosixBackendArchive(AbstractBackendArchive):
    """Files below a directory; uploads grow in ``.partial`` beside them and are renamed into place."""

    def __init__(self, prefix: str, config: Config | None = None) -> None:
        """Open the directory *prefix* and sweep it of what a killed process left half-written."""
        super().__init__(prefix, config)
        self.use_id2filename = self.config.posix.use_id2filename
        try:
            self._tree = Tree(self.prefix or "/")
        except OSError as error:
            raise ConfigurationError(f"prefix {prefix!r}: {os.strerror(error.errno or 0).lower()}") from error
        sweep(self._tree)

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
        with translated_os_errors(), self._tree.directory(directory) as parent, exclusive(parent):
            admit(self._guard, parent, name, self.describe)
            os.unlink(name, dir_fd=parent)

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
        return self.describe(self._found(), self.filepath)

    def _found(self) -> os.stat_result:
        """Return what stat says of the bound file. Raises MissingFileError, ForbiddenPathError."""
        directory, name = split(self.path)
        with translated_os_errors(), self._tree.directory(directory) as parent:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise ForbiddenPathError("the path leads through a symbolic link")
        if not stat.S_ISREG(found.st_mode):
            raise MissingFileError("no such file in the archive")
        return found

    def _open_reader(self) -> PosixReader:
        return PosixReader(self._tree, self.path, self.describe)

    def _open_writer(self, length: int | None) -> PosixWriter:
        return PosixWriter(
            self._tree, self.path, self.describe, length=length, guard=self._guard, replace=self._may_replace
        )

    @property
    def _may_replace(self) -> bool:
        return self.config.archive.overwrite == "replace"

    @contextmanager
    def _source(self, old_path: str) -> Iterator[Source]:
        root, path = self._allowed_place(old_path)
        tree = Tree(root)
        try:
            directory, name = split(path)
            with tree.directory(directory) as parent:
                fd = open_regular(name, parent)
                try:
                    yield Source(parent, name, fd)
                finally:
                    os.close(fd)
        finally:
            tree.close()

    def _allowed_place(self, old_path: str) -> tuple[str, str]:
        """Return the root that *old_path* lies below and the path from there."""
        names = [name for name in old_path.split("/") if name not in ("", ".")]
        if not old_path.startswith("/") or "\0" in old_path or not _is_encodable(old_path):
            raise RequestError("path is no absolute path")
        if ".." in names or PARTIAL in names:
            raise ForbiddenPathError("path leads out of the places that files may be moved from")
        path = "/" + "/".join(names)
        for place in (self._tree.root, *self.config.archive.move_roots):
            for root in (place, os.path.realpath(place)):
                if path.startswith(root.rstrip("/") + "/"):
                    return root, path[len(root.rstrip("/")) + 1 :]
        raise ForbiddenPathError("path lies outside the places that files may be moved from")

    def _rename_here(self, source: Source) -> None:
        directory, name = split(self.path)
        before = os.fstat(source.fd)
        with self._tree.directory(directory, create=True) as parent, exclusive(parent):
            admit(self._guard, parent, name, self.describe)
            os.fchmod(source.fd, PUBLISHED_MODE)
            try:
                self._take(source, parent, name, before)
            except OSError:
                os.fchmod(source.fd, stat.S_IMODE(before.st_mode))
                raise

    def _take(self, source: Source, parent: int, name: str, found: os.stat_result) -> None:
        if _is_entry(parent, name, found) and not _is_same_place(source, parent, name):
            os.unlink(source.name, dir_fd=source.directory)  # rename() does nothing between two links of one file
        else:
            move(source.directory, source.name, parent, name, replace=self._may_replace)

    def _copy_here(self, source: Source) -> None:
        before = os.fstat(source.fd)
        writer = self._open_writer(before.st_size)
        try:
            while block := os.read(source.fd, _COPY_SIZE):
                writer.write(block)
            writer.set_mod_time(before.st_mtime_ns / 1e9)
            writer.set_file_permissions(PUBLISHED_MODE)
        except BaseException:
            writer.discard()
            raise
        writer.close()
        os.unlink(source.name, dir_fd=source.directory)


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


def _is_same_place(source: Source, parent: int, name: str) -> bool:
    return source.name == name and os.path.samestat(os.fstat(source.directory), os.fstat(parent))
