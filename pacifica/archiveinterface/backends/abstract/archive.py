"""What a backend is: an archive that hands out one object for each file it is asked for."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ...digests import Digests
from ...exception import BeingStagedError, ConfigurationError, FileIdError, StorageError
from ...id2filename import filename2id, id2filename, parse_file_id
from .extendedfile import ExtendedFile
from .options import ArchiveOptions
from .status import AbstractStatus

if TYPE_CHECKING:
    from typing_extensions import Self

Guard = Callable[["AbstractStatus | None"], None]
"""Called with what is about to be replaced or removed, None for nothing; raises to keep it."""

PUBLISHED_MODE = 0o444


class Entry(NamedTuple):
    """A file below the prefix; *file_id* is None for a name that no id maps to, or one that was never finished."""

    path: str
    file_id: str | None
    is_partial: bool = False


def absolute_prefix(prefix: str) -> str:
    """Return *prefix*. Raises ConfigurationError unless it is an absolute path."""
    if not prefix.startswith("/"):
        raise ConfigurationError(f"prefix {prefix!r} is not an absolute path")
    return prefix


class AbstractBackendArchive(ABC):
    """Files by id below *prefix*.

    `file` and `open` return a copy of the archive bound to one file; the archive itself never
    changes, so any number of threads may share it. The verbs work on what they returned.
    As a context manager, leaving cleanly publishes what was written, an error discards it.

    A backend fills in the abstract methods; each may raise the errors of `exception`.
    """

    section: ClassVar[str] = ""
    """The section of config.ini with the backend's own options; empty for none."""
    options_type: ClassVar[type | None] = None
    """The dataclass of that section, made with `options.option`; the constructor gets one as *options*."""

    use_id2filename: bool = True
    has_local_files: bool = False  # whether any program on this host can open self.filepath

    def __init__(self, prefix: str, archive_options: ArchiveOptions | None = None, options: Any = None) -> None:
        """Serve the files below *prefix*; a backend refuses one that it cannot serve with ConfigurationError.

        *options* are those of the backend's own section; without options, the defaults hold.
        """
        self.prefix = prefix.rstrip("/")
        self.archive_options = archive_options or ArchiveOptions()
        self.path = ""
        self._file: ExtendedFile | None = None
        self._guard: Guard | None = None

    def file(self, filepath: str, guard: Guard | None = None) -> Self:
        """Return this archive bound to the file *filepath*, an id as in the URL, without opening it.

        Raises FileIdError when no file can have this id. *guard* is called before the file is
        replaced or removed, and may refuse that.
        """
        bound = copy.copy(self)
        bound.path = self.path_of(filepath)
        bound._guard = guard
        return bound

    def open(self, filepath: str, mode: str, *, length: int | None = None, guard: Guard | None = None) -> Self:
        """Return this archive bound to *filepath* and open, for reading (``r``) or to replace it (``w``).

        *length* is how many bytes will be written, when known. Reading a file that is only on
        tape starts its recall and raises BeingStagedError, or waits, as ``offline_read`` says.
        """
        bound = self.file(filepath, guard)
        if mode == "r":
            # stage() returns True when the file has arrived since is_online() looked.
            if self.archive_options.offline_read == "stage" and not bound.is_online() and not bound.stage():
                raise BeingStagedError("the file is being staged from tape, try again later")
            bound._file = bound._open_reader()
        elif mode == "w":
            bound._file = bound._open_writer(length)
        else:
            raise ValueError(f"mode is r or w, not {mode!r}")
        return bound

    def path_of(self, filepath: str) -> str:
        """Return the path below the prefix, without a leading slash, of the file *filepath*."""
        if self.use_id2filename:
            return id2filename(parse_file_id(filepath))[1:]
        if not 1 <= len(filepath.encode(errors="surrogateescape")) <= 255:
            raise FileIdError("a file name has 1 to 255 bytes")
        if "/" in filepath or "\0" in filepath or filepath.startswith("."):
            raise FileIdError("a file name has no slash and no NUL, and does not start with a dot")
        return filepath

    def id_of(self, path: str) -> str | None:
        """Return the id whose file *path*, below the prefix, is; None when no id maps to it. The inverse of path_of."""
        try:
            file_id = str(filename2id(f"/{path}")) if self.use_id2filename else path
            self.path_of(file_id)
        except FileIdError:
            return None
        return file_id

    @property
    def filepath(self) -> str:
        """The whole path of the bound file on the backend."""
        return f"{self.prefix}/{self.path}"

    def read(self, blocksize: int) -> bytes:
        """Return the next bytes of the open file, at most *blocksize*; none at its end."""
        return self._open_file.read(blocksize)

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start of the open file."""
        self._open_file.seek(offset)

    def descriptor(self) -> int | None:
        """Return the descriptor that the open file can be sent from, None when it has none in this system."""
        # sendfile() must not bypass a subclass that overrides read().
        return self._open_file.descriptor() if type(self).read is AbstractBackendArchive.read else None

    def write(self, buf: bytes) -> int:
        """Append *buf* to the file being written and return its length in bytes."""
        return self._open_file.write(buf)

    def set_mod_time(self, mod_time: float) -> None:
        """Give the file being written the modification time *mod_time*, epoch seconds."""
        self._open_file.set_mod_time(mod_time)

    def set_file_permissions(self) -> None:
        """Make the file being written readable by all and writable by none (0444)."""
        self._open_file.set_file_permissions(PUBLISHED_MODE)

    def set_digests(self, digests: Digests) -> None:
        """Keep *digests* with the open file, by our names of the algorithms."""
        self._open_file.set_digests(digests)

    def mark_damaged(self, finding: str) -> None:
        """Keep with the stored file, open for reading, that it is damaged; `status` tells from now on."""
        self._open_file.mark_damaged(finding)

    def close(self) -> None:
        """Close the file; what was written replaces the old content now, whole or not at all."""
        self._open_file.close()

    def discard(self) -> None:
        """Close the file and forget what was written."""
        self._open_file.discard()

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Publish, or discard when the block failed."""
        if kind is None:
            self.close()
        else:
            self.discard()

    def status(self) -> AbstractStatus:
        """Return the status of the bound file, open or not. Raises MissingFileError.

        Never recalls the file and never waits for a tape.
        """
        return self._file.status() if self._file else self._stat()

    def is_online(self) -> bool:
        """Return whether the whole file can be read from disk now. Raises MissingFileError."""
        return self._stat().file_storage_media == "disk"

    @property
    def _open_file(self) -> ExtendedFile:
        if self._file is None:
            raise StorageError("no file is open")
        return self._file

    def sweep(self) -> None:
        """Remove what processes that died left half-written; a service does this when it starts."""

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file below the prefix whose path comes after *after*, in one fixed order.

        Raises ConfigurationError when the backend cannot list its files.
        """
        raise ConfigurationError("this backend cannot list its files, name their ids")

    @abstractmethod
    def stage(self) -> bool:
        """Ask for the bound file to be brought to disk and return whether it is there already.

        Returns at once; asked again while the recall is under way, it submits nothing.
        Raises MissingFileError, ConflictError when no copy can be read.
        """

    @abstractmethod
    def remove(self) -> None:
        """Remove the bound file. Raises MissingFileError."""

    @abstractmethod
    def patch(self, file_id: str, old_path: str, guard: Guard | None = None) -> None:
        """Move the file at *old_path*, an absolute path on the backend, to the id *file_id*.

        Raises ForbiddenPathError outside the prefix and ``move_roots``, NotARegularFileError,
        MissingFileError; a failure leaves the file where it was, and the id as it was.
        """

    @abstractmethod
    def _stat(self) -> AbstractStatus:
        """Return the status of the bound file without opening it. Raises MissingFileError."""

    @abstractmethod
    def _open_reader(self) -> ExtendedFile:
        """Open the bound file for reading. Raises MissingFileError."""

    @abstractmethod
    def _open_writer(self, length: int | None) -> ExtendedFile:
        """Start to replace the bound file; it stays as it is until `close`."""
