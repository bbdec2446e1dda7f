"""What is known of a stored file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from ...digests import COLLISION_RESISTANT, Digests
from .residency import Place, RecallState, Residency


class Replaced(NamedTuple):
    """A file that has given way to another one or was removed, for the log: nobody can look at it any more.

    *was_there* is None if the storage does not tell; *digests* are those that were kept with it.
    """

    was_there: bool | None = None
    digests: Mapping[str, bytes] = MappingProxyType({})

    @classmethod
    def of(cls, existing: AbstractStatus | None) -> Replaced:
        """Return what is known of the file with the status *existing*, None for no file."""
        return cls(True, existing.digests) if existing else NOTHING_REPLACED


NOTHING_REPLACED = Replaced(False)


class AbstractStatus(ABC):
    """Times, size and whereabouts of one file; a subclass names the storage levels.

    mtime and ctime are epoch seconds, sizes are bytes. *filepath* is the file's place on the
    backend, *digests* are those stored with it, *damaged* says how it is known to be bad.
    *version* changes whenever the content may have changed. *places*, *recall*, *recall_error*, *is_available* and
    *disk_seconds* belong to the residency. *replaced*, of a file that was just stored, is what had its name before.
    """

    replaced = Replaced()

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
