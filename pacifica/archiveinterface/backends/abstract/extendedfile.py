"""One open file of a backend."""

from abc import ABC, abstractmethod

from ...digests import Digests
from ...exception import ConflictError
from .status import AbstractStatus


class ExtendedFile(ABC):
    """A file open to read or to replace; its archive object calls it, and closes it once.

    A reader fills in read and seek, a writer write, set_mod_time and set_file_permissions;
    what is left out is refused. A backend that keeps no digests leaves the last two alone.
    """

    @abstractmethod
    def status(self) -> AbstractStatus:
        """Return the status of this open file; once it is published, of what was published."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; what was written becomes visible now, whole, and not before."""

    def discard(self) -> None:
        """Let go of the file; what was written is gone."""
        self.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end of the file."""
        raise ConflictError("the file is open for writing")

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start of the file."""
        raise ConflictError("the file is open for writing")

    def descriptor(self) -> int | None:
        """Return the descriptor that the file can be sent from at any offset, None when it has none in this system."""
        return None

    def write(self, block: bytes) -> int:
        """Append the whole *block* and return its length."""
        raise ConflictError("the file is open for reading")

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time, epoch seconds."""
        raise ConflictError("the file is open for reading")

    def set_file_permissions(self, mode: int) -> None:
        """Set the permission bits."""
        raise ConflictError("the file is open for reading")

    def set_digests(self, digests: Digests) -> None:
        """Keep the digests of the content with the file, being written or stored."""

    def mark_damaged(self, finding: str) -> None:
        """Keep with the stored file that its content is not what was stored, and how that was found."""
