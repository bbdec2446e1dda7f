"""The status of a file in HPSS: its times, and on which levels its bytes are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..abstract.residency import Place, Residency
from ..abstract.status import AbstractStatus

if TYPE_CHECKING:
    from typing_extensions import Self

DISK, TAPE = "disk", "tape"


class HpssStatus(AbstractStatus):
    """Levels are those of the file's class of service: disk first, then tape, as its site defines them."""

    def __init__(
        self,
        mtime: float,
        ctime: float,
        bytes_per_level: Sequence[int],
        filesize: int,
        levels: Sequence[str] = (DISK, TAPE, TAPE, TAPE, TAPE),
    ) -> None:
        """Keep what HPSS said; *levels* are the media of *bytes_per_level*."""
        self._levels = levels
        self.bitfile = b""
        self.tape_level = 0  # the number of the level that a recall reads
        super().__init__(mtime, ctime, bytes_per_level, filesize)

    @classmethod
    def located(cls, filepath: str, residency: Any) -> Self:
        """Return what hpss_FileGetXAttributes says of the file at *filepath*: all but its times and its version."""
        return cls._of(filepath, 0.0, 0.0, residency["data_length"], residency)

    @classmethod
    def of(cls, filepath: str, stat: Any, residency: Any) -> Self:
        """Return the status of the file at *filepath* from what hpss_Stat and hpss_FileGetXAttributes say."""
        status = cls._of(filepath, float(stat["mtime"]), float(stat["ctime"]), stat["size"], residency)
        # Every upload is a bitfile of its own; migrating, purging and staging keep it.
        identity = hashlib.blake2b(status.bitfile, digest_size=8).hexdigest()
        status.version = f"{identity}-{status.filesize:x}-{stat['mtime']:x}"
        return status

    @classmethod
    def _of(cls, filepath: str, mtime: float, ctime: float, size: int, residency: Any) -> Self:
        defined = [(medium, count) for medium, count, _ in residency["levels"] if medium]
        counts, media = tuple(count for _, count in defined), tuple(medium for medium, _ in defined)
        status = cls(mtime, ctime, counts, size, media)
        status.filepath = filepath
        status.bitfile = residency["bitfile"]
        copies = [
            (count, number, volumes)
            for number, (medium, count, volumes) in enumerate(residency["levels"])
            if medium == TAPE and count
        ]
        copies.sort(key=lambda copy: -copy[0])  # the most complete one is read
        status.tape_level = copies[0][1] if copies else 0
        status.places = tuple(Place(*volume) for _, _, volumes in copies for volume in volumes)
        return status

    def define_levels(self) -> Sequence[str]:
        """Return the media of the levels."""
        return self._levels

    @property
    def is_read_from_tape(self) -> bool:
        """Whether the file's class of service has no disk: each read of it waits for a tape."""
        return bool(self._levels) and self._levels[0] == TAPE

    def find_file_storage_media(self) -> str:
        """Return ``disk`` unless a tape level holds more of the file than any disk level does.

        Sizes are not compared with the file's: holes are stored nowhere. A file that lives on tape
        alone by its class of service counts as on disk (sic): it cannot be staged and is read as it is,
        and clients that wait for the word ``disk`` would wait for ever.
        """
        if not self.filesize or not self._levels or self.is_read_from_tape:
            return DISK
        return TAPE if self.bytes_on(TAPE) > self.bytes_on(DISK) else DISK

    @property
    def residency(self) -> Residency:
        """Where the bytes are; a level that holds all but the holes holds the whole file."""
        disk, tape = self.bytes_on(DISK), self.bytes_on(TAPE)
        is_on_disk = not self.is_read_from_tape and self.file_storage_media == DISK
        return Residency(
            self.filesize,
            self.filesize if is_on_disk else disk,
            self.filesize if tape and tape >= disk else tape,
            self.recall,
            self.places,
            is_read_from_tape=self.is_read_from_tape,
        )
