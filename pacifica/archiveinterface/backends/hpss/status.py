"""The status of a file in HPSS: its times, and on which levels its bytes are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..abstract.status import AbstractStatus, Place

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
        super().__init__(mtime, ctime, bytes_per_level, filesize)

    @classmethod
    def of(cls, filepath: str, stat: Any, residency: Any) -> Self:
        """Return the status of the file at *filepath* from what hpss_Stat and hpss_FileGetXAttributes say."""
        defined = [(medium, count) for medium, count, _ in residency["levels"] if medium]
        counts, media = tuple(count for _, count in defined), tuple(medium for medium, _ in defined)
        status = cls(float(stat["mtime"]), float(stat["ctime"]), counts, stat["size"], media)
        status.filepath = filepath
        status.bitfile = residency["bitfile"]
        on_tape = (volumes for medium, _, volumes in residency["levels"] if medium == TAPE)
        status.places = tuple(Place(*volume) for volumes in on_tape for volume in volumes)
        # Every upload is a bitfile of its own; migrating, purging and staging keep it.
        identity = hashlib.blake2b(status.bitfile, digest_size=8).hexdigest()
        status.version = f"{identity}-{status.filesize:x}-{stat['mtime']:x}"
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
        on_disk = max((count for medium, count in self._on_levels() if medium == DISK), default=0)
        on_tape = max((count for medium, count in self._on_levels() if medium == TAPE), default=0)
        return TAPE if on_tape > on_disk else DISK

    def _on_levels(self) -> list[tuple[str, int]]:
        return list(zip(self._levels, self.bytes_per_level, strict=True))
