"""One file of an archive, and what it is while it is open: a reader or a writer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from ...digests import Digests
from ...exception import OfflineError
from .options import ArchiveOptions
from .precondition import Precondition
from .residency import Residency
from .status import AbstractStatus, Replaced

if TYPE_CHECKING:
    from typing_extensions import Self

PUBLISHED_MODE = 0o444


class Reader(ABC):
    """A stored file, open for reading; what replaces it meanwhile does not change what is read.

    *filepath* is its path on the backend, *block_size* how many bytes of a large file are best read at a time.
    A backend that keeps no digests need not override the last two methods.
    """

    filepath: str
    block_size = 1 << 18

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end of the file."""

    @abstractmethod
    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start of the file."""

    @abstractmethod
    def status(self) -> AbstractStatus:
        """Return the status of this open file."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def descriptor(self) -> int | None:
        """Return the descriptor that the file can be sent from at any offset, None when it has none in this system."""
        return None

    def set_digests(self, digests: Digests) -> None:
        """Keep *digests*, by our names of the algorithms, with the file: its content was found to have them."""

    def mark_damaged(self, finding: str) -> None:
        """Keep with the file that its content is not what was stored, and how that was found."""

    def __enter__(self) -> Self:
        """Return the open file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


class Writer(ABC):
    """A file being written; it replaces the old content when it is closed, whole or not at all.

    As a context manager, leaving cleanly closes it, an error discards it. *filepath* is its path on the backend.
    """

    filepath: str

    @abstractmethod
    def write(self, buf: bytes) -> int:
        """Append the whole *buf* and return its length in bytes."""

    @abstractmethod
    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time, epoch seconds."""

    @abstractmethod
    def set_file_permissions(self, mode: int = PUBLISHED_MODE) -> None:
        """Set the permission bits; by default readable by all and writable by none."""

    def set_digests(self, digests: Digests) -> None:
        """Keep *digests* of the content, by our names of the algorithms, with the file."""

    @abstractmethod
    def status(self) -> AbstractStatus:
        """Return the status of what was published; once the file is closed."""

    @abstractmethod
    def close(self) -> None:
        """Publish what was written. An error leaves the old content, and discards the new."""

    @abstractmethod
    def discard(self) -> None:
        """Close the file and forget what was written."""

    def fill(self, blocks: Iterable[bytes], mod_time: float, digests: Callable[[], Digests] = dict[str, bytes]) -> None:
        """Write *blocks*, and keep with the file what *digests* returns when all are written; closing publishes it."""
        for block in blocks:
            self.write(block)
        self.set_digests(digests())
        self.set_mod_time(mod_time)
        self.set_file_permissions()

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


class ArchiveFile(ABC):
    """One file of an archive, whether it is there or not, for one request.

    *path* is its path below the prefix, *filepath* the whole path on the backend. Each method may raise the
    errors of `exception`; all but the writing ones raise MissingFileError when the file is not there.
    """

    def __init__(self, prefix: str, path: str, options: ArchiveOptions) -> None:
        """Represent the file at *path* below *prefix*, kept as *options* say."""
        self.path = path
        self.filepath = f"{prefix}/{path}"
        self.options = options

    @abstractmethod
    def status(self) -> AbstractStatus:
        """Return the status of the file. Never recalls it and never waits for a tape."""

    def residency(self) -> Residency:
        """Return where the bytes of the file are. Never recalls it and never waits for a tape."""
        return self.status().residency

    def is_online(self) -> bool:
        """Return whether the whole file can be read now, without a recall."""
        return self.residency().is_online

    @abstractmethod
    def stage(self) -> bool:
        """Ask for the file to be brought to disk and return whether it is there already.

        Returns at once; asked again while the recall is under way, it submits nothing.
        Raises ConflictError when no copy can be read.
        """

    def cancel_recall(self) -> bool:
        """Withdraw the recall of the file and return whether none is under way any more; False if that cannot be."""
        return False

    def release(self) -> None:
        """Let storage use the file's place on disk, if the file has a good copy on tape. Raises ConflictError if not.

        Does nothing on storage that cannot.
        """

    def pin(self, seconds: float) -> None:
        """Keep the file on disk for *seconds*, or until it is unpinned; does nothing on storage that cannot."""

    def unpin(self) -> None:
        """Let storage decide again whether the file stays on disk."""

    def open_reader(self) -> Reader:
        """Open the file for reading.

        One that is only on tape: raises OfflineError, or waits for its recall, as ``offline_read`` says.
        """
        if self.options.offline_read == "stage" and not self.is_online():
            raise OfflineError("the file is on tape only")
        return self._open_reader()

    @abstractmethod
    def _open_reader(self) -> Reader:
        """Open the file for reading, wherever its bytes are."""

    def presigned_url(self, seconds: int) -> str:
        """Return a URL at which anybody can read the file for so many *seconds*; empty if the storage has none."""
        return ""

    @abstractmethod
    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> Writer:
        """Start to replace the file; it stays as it is until the writer is closed.

        *length* is how many bytes will be written, when known. Raises PreconditionError, here or when the writer
        is closed, unless the *precondition* holds.
        """

    def store(
        self,
        blocks: Iterable[bytes],
        mod_time: float,
        digests: Callable[[], Digests] = dict[str, bytes],
        *,
        length: int | None = None,
        precondition: Precondition | None = None,
    ) -> AbstractStatus:
        """Replace the file by *blocks* and return its status, or leave all as it was and raise.

        *digests* is called when all blocks are written; what it returns is kept with the file.
        """
        with self.open_writer(length, precondition) as writer:
            writer.fill(blocks, mod_time, digests)
        return writer.status()

    @abstractmethod
    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Remove the file and return what it was. Raises PreconditionError unless the *precondition* holds."""

    @abstractmethod
    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Let the file at *old_path*, an absolute path on the backend, become this file; return what this one was.

        Raises ForbiddenPathError outside the prefix and ``move_roots``, NotARegularFileError, MissingFileError,
        PreconditionError; a failure leaves both as they were.
        """
