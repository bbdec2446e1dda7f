"""A backend with tape: the files in memory may lie on a simulated tape, and come back when a recall is requested."""

from docs.examples.memory_backend import MemoryBackendArchive, MemoryFile
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.backends.abstract.residency import RecallState
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.exception import ConflictError


class TapeStatus(AbstractStatus):
    """Disk, then tape."""

    def define_levels(self) -> tuple[str, ...]:
        """Return the two levels."""
        return ("disk", "tape")


class TapeFile(MemoryFile):
    """One file, which may be on tape."""

    _archive: "TapeBackendArchive"

    def status(self) -> AbstractStatus:
        """Return the status of the file, and where its bytes are."""
        stored, library = super().status(), self._archive.library
        size, version = stored.filesize, stored.version
        levels = (0 if version in library.offline else size, size if version in library.copies else 0)
        status = TapeStatus(stored.mtime, stored.ctime, levels, size)
        status.filepath, status.version = stored.filepath, version
        status.digests, status.damaged = stored.digests, stored.damaged
        status.recall = library.state_of(version)
        return status

    def stage(self) -> bool:
        """Ask for the file's recall, once, and return whether the file is on disk."""
        return self._archive.library.ask(self.status())

    def cancel_recall(self) -> bool:
        """Withdraw the file's recall, if one is under way."""
        with self._archive.lock:
            self._archive.library.recalls.discard(self.status().version)
        return True

    def release(self) -> None:
        """Leave the file on tape only. Raises ConflictError without a tape copy."""
        status, library = self.status(), self._archive.library
        if status.filesize and status.version not in library.copies:
            raise ConflictError("the file has no copy on tape")
        library.offline |= {status.version} if status.filesize else set()


class Library:
    """Tapes, by the versions of the files on them."""

    def __init__(self) -> None:
        """Begin with empty tapes."""
        self.copies: set[str] = set()
        self.offline: set[str] = set()  # on tape only
        self.recalls: set[str] = set()  # under way
        self.failed: set[str] = set()  # recalled in vain
        self.broken = False
        self.asked = 0

    def ask(self, status: AbstractStatus) -> bool:
        """Recall the file with *status* and return whether it is on disk."""
        if status.version not in self.offline:
            return True
        if status.version not in self.recalls:
            self.failed.discard(status.version)
            self.recalls.add(status.version)
            self.asked += 1
        return False

    def state_of(self, version: str) -> RecallState:
        """Return whether the file with *version* is being recalled, or was recalled in vain."""
        if version in self.recalls:
            return RecallState.ACTIVE
        return RecallState.FAILED if version in self.failed else RecallState.NONE

    def finish(self) -> None:
        """Let each recall that is under way succeed, or fail when the tape is broken."""
        (self.failed if self.broken else set()).update(self.recalls)
        self.offline -= set() if self.broken else self.recalls
        self.recalls = set()


class TapeBackendArchive(MemoryBackendArchive):
    """Files in memory and on tape."""

    recall_traits = RecallTraits(cancels=True, releases=True, tells_state=True)

    def __init__(self, prefix: str, archive_options: ArchiveOptions | None = None, options: None = None) -> None:
        """Start empty."""
        super().__init__(prefix, archive_options)
        self.library = Library()

    def file(self, file_id: str) -> TapeFile:
        """Return the file *file_id*. Raises FileIdError."""
        return TapeFile(self, self.path_of(file_id))
