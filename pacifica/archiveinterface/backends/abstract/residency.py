"""Where the bytes of a file are, and whether they are on their way to disk."""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Place(NamedTuple):
    """Where on tape a part of a file begins; recalls in this order wind each tape once."""

    volume: str
    position: int
    offset: int = 0  # of the file behind the position, in the backend's unit


class Locality(Enum):
    """The words of the WLCG Tape REST API."""

    DISK = "DISK"
    TAPE = "TAPE"
    DISK_AND_TAPE = "DISK_AND_TAPE"
    LOST = "LOST"
    NONE = "NONE"  # the file is empty
    UNAVAILABLE = "UNAVAILABLE"


class RecallState(Enum):
    """What the backend knows of a file's way to disk."""

    NONE = "none"
    QUEUED = "queued"
    ACTIVE = "active"
    FAILED = "failed"  # the last attempt failed, and there is none now
    UNKNOWN = "unknown"

    @property
    def is_under_way(self) -> bool:
        """Whether the file can be expected on disk without another request."""
        return self in (RecallState.QUEUED, RecallState.ACTIVE)


@dataclass(frozen=True)
class Residency:
    """How many of a file's *size* bytes can be read from disk, and how many are in tape copies.

    The copies begin at *places*. *error* says why the last recall failed. *is_read_from_tape*: the file never
    is on disk, and is read as it is.
    *is_available* is False while the storage that has the file cannot be reached. *disk_seconds* is for how long from
    now the file stays on disk, None where the storage names no end.
    """

    size: int
    disk: int
    tape: int
    recall: RecallState = RecallState.UNKNOWN
    places: tuple[Place, ...] = ()
    error: str = ""
    is_read_from_tape: bool = False
    is_available: bool = True
    disk_seconds: float | None = None

    @property
    def is_online(self) -> bool:
        """Whether the whole file can be read now, without a recall."""
        return self.disk >= self.size or self.is_read_from_tape

    @property
    def locality(self) -> Locality:
        """Where the whole file is."""
        if not self.is_available:
            return Locality.UNAVAILABLE
        if not self.size:
            return Locality.NONE
        if self.disk >= self.size:
            return Locality.DISK_AND_TAPE if self.tape >= self.size else Locality.DISK
        return Locality.TAPE if self.tape >= self.size else Locality.LOST
