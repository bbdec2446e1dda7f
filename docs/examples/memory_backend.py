"""A whole backend: an archive that keeps its files in memory, for as long as the process runs."""

import io
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import RLock

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive, Entry
from pacifica.archiveinterface.backends.abstract.file import PUBLISHED_MODE, ArchiveFile, Reader, Writer
from pacifica.archiveinterface.backends.abstract.moving import allowed_place
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.abstract.replacing import OtherBytesError, may_replace, refuse_early
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus, Replaced
from pacifica.archiveinterface.digests import Digests
from pacifica.archiveinterface.exception import MissingFileError, NotARegularFileError

_versions = itertools.count()


class MemoryStatus(AbstractStatus):
    """All bytes are on one level, and clients call it disk."""

    def define_levels(self) -> tuple[str, ...]:
        """Return the one level there is."""
        return ("disk",)


@dataclass
class Stored:
    """A file as it lies in memory; it is replaced, never changed."""

    content: bytes
    status: MemoryStatus


class MemoryReader(Reader):
    """A stored file, open for reading."""

    def __init__(self, stored: Stored) -> None:
        """Read *stored*, whatever becomes of its name meanwhile."""
        self.filepath = stored.status.filepath
        self._stored = stored
        self._stream = io.BytesIO(stored.content)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        return self._stream.read(size)

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        self._stream.seek(offset)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def status(self) -> AbstractStatus:
        """Return the status of the open file."""
        return self._stored.status

    def set_digests(self, digests: Digests) -> None:
        """Keep the digests that the content was found to have."""
        self._stored.status.digests, self._stored.status.damaged = digests, ""

    def mark_damaged(self, finding: str) -> None:
        """Keep that the content is not what was stored."""
        self._stored.status.damaged = finding


class MemoryWriter(Writer):
    """A file being written; `close` lets *file* have what was written."""

    def __init__(self, file: "MemoryFile", precondition: Precondition | None) -> None:
        """Start to write *file*."""
        self.filepath = file.filepath
        self._file = file
        self._precondition = precondition
        self._content = bytearray()
        self._mod_time = time.time()
        self._digests: Digests = {}
        self._stored: Stored | None = None

    def write(self, buf: bytes) -> int:
        """Append *buf*."""
        self._content += buf
        return len(buf)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time."""
        self._mod_time = mod_time

    def set_file_permissions(self, mode: int = PUBLISHED_MODE) -> None:
        """Do nothing: memory knows no permissions."""

    def set_digests(self, digests: Digests) -> None:
        """Keep the digests of the content with the file."""
        self._digests = digests

    def status(self) -> AbstractStatus:
        """Return the status of what was stored."""
        if self._stored is None:
            raise MissingFileError("no such file in the archive")
        return self._stored.status

    def close(self) -> None:
        """Put the file in its place."""
        self._stored = self._file.keep(bytes(self._content), self._mod_time, self._digests, self._precondition)

    def discard(self) -> None:
        """Forget what was written."""
        self._content.clear()


class MemoryFile(ArchiveFile):
    """One file in memory."""

    def __init__(self, archive: "MemoryBackendArchive", path: str) -> None:
        """Be the file at *path* in *archive*."""
        super().__init__(archive.prefix, path, archive.archive_options)
        self._archive = archive

    def status(self) -> AbstractStatus:
        """Return the status of the file. Raises MissingFileError."""
        return self._archive.find(self.filepath).status

    def stage(self) -> bool:
        """Return True: the file is at hand. Raises MissingFileError."""
        self.status()
        return True

    def _open_reader(self) -> MemoryReader:
        return MemoryReader(self._archive.find(self.filepath))

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> MemoryWriter:
        """Start to replace the file."""
        refuse_early(self.options, precondition, self._existing(), length)
        return MemoryWriter(self, precondition)

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Remove the file and return what it was. Raises MissingFileError."""
        with self._archive.lock:
            status = self.status()
            if precondition:
                precondition.check(status)
            del self._archive.stored[self.filepath]
        return Replaced.of(status)

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Let the file at *old_path* become this file; return what this one was."""
        root, path = allowed_place(old_path, (self._archive.prefix,), closed=())
        source = f"{root}/{path}"
        with self._archive.lock:
            if any(path.startswith(f"{source}/") for path in self._archive.stored):
                raise NotARegularFileError("this is a directory")
            moved = self._archive.find(source)
            kept = self.keep(moved.content, moved.status.mtime, moved.status.digests, precondition)
            kept.status.version = moved.status.version  # the same content
            if self.filepath != source:
                del self._archive.stored[source]
        return kept.status.replaced

    def keep(
        self, content: bytes, mod_time: float, digests: Digests, precondition: Precondition | None = None
    ) -> Stored:
        """Let the file have *content*, unless the *precondition* or ``overwrite`` forbids it."""
        with self._archive.lock:  # so that what the precondition is compared with is what is replaced
            existing = self._archive.stored.get(self.filepath)
            if precondition:
                precondition.check(existing.status if existing else None)
            if existing and not may_replace(self.options, precondition):
                if existing.content != content:
                    raise OtherBytesError
                return existing
            status = MemoryStatus(mod_time, time.time(), (len(content),), len(content))
            status.replaced = Replaced.of(existing.status if existing else None)
            status.filepath = self.filepath
            status.digests = digests
            status.version = str(next(_versions))
            self._archive.stored[self.filepath] = Stored(content, status)
            return self._archive.stored[self.filepath]

    def _existing(self) -> AbstractStatus | None:
        stored = self._archive.stored.get(self.filepath)
        return stored.status if stored else None


class MemoryBackendArchive(AbstractBackendArchive):
    """Files in a dictionary, by their paths."""

    def __init__(self, prefix: str, archive_options: ArchiveOptions | None = None, options: None = None) -> None:
        """Start empty."""
        super().__init__(prefix, archive_options)
        self.stored: dict[str, Stored] = {}
        self.lock = RLock()

    def file(self, file_id: str) -> MemoryFile:
        """Return the file *file_id*. Raises FileIdError."""
        return MemoryFile(self, self.path_of(file_id))

    def find(self, path: str) -> Stored:
        """Return what is stored at *path*. Raises MissingFileError."""
        try:
            return self.stored[path]
        except KeyError:
            raise MissingFileError("no such file in the archive") from None

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file whose path below the prefix comes after *after*."""
        with self.lock:
            paths = sorted(path.removeprefix(f"{self.prefix}/").split("/") for path in self.stored)
        for names in paths:
            if not after or names > after.split("/"):
                yield Entry("/".join(names), self.id_of("/".join(names)))
