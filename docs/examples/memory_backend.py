"""A whole backend: an archive that keeps its files in memory, for as long as the process runs."""

import io
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import RLock

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive, Entry, Guard
from pacifica.archiveinterface.backends.abstract.extendedfile import ExtendedFile
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.digests import Digests
from pacifica.archiveinterface.exception import (
    ConflictError,
    ForbiddenPathError,
    MissingFileError,
    NotARegularFileError,
    RequestError,
)

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


class MemoryReader(ExtendedFile):
    """A stored file, open for reading."""

    def __init__(self, stored: Stored) -> None:
        """Read *stored*, whatever becomes of its name meanwhile."""
        self._stored = stored
        self._stream = io.BytesIO(stored.content)

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        return self._stream.read(size)

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        self._stream.seek(offset)

    def close(self) -> None:
        """Let go of the file."""
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


class MemoryWriter(ExtendedFile):
    """A file being written; `close` lets *archive* store it."""

    def __init__(self, archive: "MemoryBackendArchive") -> None:
        """Start to write the file that *archive* is bound to."""
        self._archive = archive
        self._content = bytearray()
        self._mod_time = time.time()
        self._digests: Digests = {}
        self._stored: Stored | None = None

    def write(self, block: bytes) -> int:
        """Append *block*."""
        self._content += block
        return len(block)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time."""
        self._mod_time = mod_time

    def set_file_permissions(self, mode: int) -> None:
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
        self._stored = self._archive.store(bytes(self._content), self._mod_time, self._digests)

    def discard(self) -> None:
        """Forget what was written."""
        self._content.clear()


class MemoryBackendArchive(AbstractBackendArchive):
    """Files in a dictionary, by their paths; a lock keeps what a guard saw true until it is acted upon."""

    def __init__(self, prefix: str, archive_options: ArchiveOptions | None = None, options: None = None) -> None:
        """Start empty."""
        super().__init__(prefix, archive_options)
        self.stored: dict[str, Stored] = {}
        self._lock = RLock()

    def stage(self) -> bool:
        """Return True: the file is at hand. Raises MissingFileError."""
        self._stat()
        return True

    def remove(self) -> None:
        """Remove the file. Raises MissingFileError."""
        with self._lock:
            status = self._stat()
            if self._guard:
                self._guard(status)
            del self.stored[self.filepath]

    def patch(self, file_id: str, old_path: str, guard: Guard | None = None) -> None:
        """Move the file at *old_path* to *file_id*."""
        target = self.file(file_id, guard)
        if not old_path.startswith("/") or "\0" in old_path or not old_path.isascii():
            raise RequestError("path is no absolute path")
        if not old_path.startswith(f"{self.prefix}/") or "/../" in old_path:
            raise ForbiddenPathError("path lies outside the archive")
        with self._lock:
            if any(path.startswith(f"{old_path}/") for path in self.stored):
                raise NotARegularFileError("this is a directory")
            source = self._find(old_path)
            target.store(source.content, source.status.mtime, source.status.digests)
            if target.filepath != old_path:
                del self.stored[old_path]

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file whose path below the prefix comes after *after*."""
        with self._lock:
            paths = sorted(path.removeprefix(f"{self.prefix}/").split("/") for path in self.stored)
        for names in paths:
            if not after or names > after.split("/"):
                yield Entry("/".join(names), self.id_of("/".join(names)))

    def store(self, content: bytes, mod_time: float, digests: Digests | None = None) -> Stored:
        """Make *content* the bound file, unless the guard or ``overwrite`` forbid it."""
        with self._lock:
            existing = self.stored.get(self.filepath)
            if self._guard:
                self._guard(existing.status if existing else None)
            if existing and self.archive_options.overwrite == "refuse":
                if existing.content != content:
                    raise ConflictError("the file exists with other bytes and may not be replaced")
                return existing
            status = MemoryStatus(mod_time, time.time(), (len(content),), len(content))
            status.filepath = self.filepath
            status.digests = digests or {}
            status.version = str(next(_versions))
            self.stored[self.filepath] = Stored(content, status)
            return self.stored[self.filepath]

    def _find(self, path: str) -> Stored:
        try:
            return self.stored[path]
        except KeyError:
            raise MissingFileError("no such file in the archive") from None

    def _stat(self) -> AbstractStatus:
        return self._find(self.filepath).status

    def _open_reader(self) -> MemoryReader:
        return MemoryReader(self._find(self.filepath))

    def _open_writer(self, length: int | None) -> MemoryWriter:
        if self._guard:
            self._guard(self.stored[self.filepath].status if self.filepath in self.stored else None)
        return MemoryWriter(self)
