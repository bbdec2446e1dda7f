"""What is known of a stored file."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ...digests import COLLISION_RESISTANT, Digests
from .residency import Place, RecallState, Residency


class AbstractStatus(ABC):
    """Times, size and whereabouts of one file; a subclass names the storage levels.

    mtime and ctime are epoch seconds, sizes are bytes. *filepath* is the file's place on the
    backend, *digests* are those stored with it, *damaged* says how it is known to be bad.
    *version* changes whenever the content may have changed. *places*, *recall*, *recall_error*, *is_available* and
    *disk_seconds* belong to the residency.
    """

    def __init__(self, mtime: float, ctime: float, bytes_per_level: Sequence[int], filesize: int) -> None:
        """Keep what the backend found; bytes_per_level counts in the order of define_levels()."""
        self.mtime = mtime
        self.ctime = ctime
        self.bytes_per_level = bytes_per_level
        self.filesize = filesize
        self.filepath = ""
        self.digests: Digests = {}
        self.damaged = ""
        self.places: tuple[Place, ...] = ()
        self.recall = RecallState.NONE
        self.recall_error = ""
        self.is_available = True
        self.disk_seconds: float | None = None
        self.version = f"{mtime}-{ctime}-{filesize}"
        self.defined_levels = self.define_levels()
        self.file_storage_media = self.find_file_storage_media()

    @abstractmethod
    def define_levels(self) -> Sequence[str]:
        """Return the media of the storage levels, fastest first: each ``disk`` or ``tape``."""

    def find_file_storage_media(self) -> str:
        """Return the medium of the fastest level that holds the whole file."""
        for medium, count in zip(self.defined_levels, self.bytes_per_level, strict=True):
            if count >= self.filesize:
                return medium
        return self.defined_levels[-1]

    @property
    def residency(self) -> Residency:
        """Where the bytes of the file are."""
        return Residency(
            self.filesize,
            self.bytes_on("disk"),
            self.bytes_on("tape"),
            self.recall,
            self.places,
            self.recall_error,
            is_available=self.is_available,
            disk_seconds=self.disk_seconds,
        )

    def bytes_on(self, medium: str) -> int:
        """Return the bytes on that level of *medium* that has the most of the file."""
        levels = zip(self.defined_levels, self.bytes_per_level, strict=True)
        return max((count for kind, count in levels if kind == medium), default=0)

    @property
    def etag(self) -> str:
        """The file's strong entity tag, quotes included: its content's digest where one is stored."""
        for name in COLLISION_RESISTANT:
            if name in self.digests:
                return f'"{name}-{self.digests[name].hex()}"'
        return f'"{self.version}"'
