"""The status of a file that may be on disk, on tape or on both."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..abstract.residency import Residency
from ..posix.status import PosixStatus, version_of
from .residency import of_blocks, of_row
from .sideband import Inode
from .tape.recalls import Key

if TYPE_CHECKING:
    from typing_extensions import Self


class HsmSidebandStatus(PosixStatus):
    """Bytes on disk and bytes on tape, tape standing for every kind of archive copy."""

    stat: os.stat_result

    def define_levels(self) -> tuple[str, ...]:
        """Return disk and tape."""
        return ("disk", "tape")

    @property
    def key(self) -> Key:
        """Identifies this content of the file."""
        return self.stat.st_ino, self.stat.st_mtime_ns, self.stat.st_size

    @classmethod
    def of(cls, stat: os.stat_result, filepath: str) -> Self:
        """Return the status that *stat* alone describes; the allocated blocks tell disk from tape."""
        blocks = of_blocks(stat)
        status = cls(stat.st_mtime, stat.st_ctime, (blocks.disk, blocks.tape), stat.st_size)
        status.filepath = filepath
        status.version = version_of(stat)
        status.stat = stat
        return status

    @classmethod
    def recorded(cls, row: Inode, filepath: str) -> Self:
        """Return the status that the database alone can tell; its ctime is the inode's birth, the only one it has."""
        residency = of_row(row, online=row.online)
        status = cls(row.modify_time, row.create_time, (residency.disk, residency.tape), row.size)
        status.places = residency.places
        status.is_available = False
        status.filepath = filepath
        return status

    def locate(self, residency: Residency) -> None:
        """Note where the bytes are, found out by better means than the blocks."""
        self.bytes_per_level = residency.disk, residency.tape
        self.places = residency.places
        self.recall, self.recall_error = residency.recall, residency.error
        self.file_storage_media = self.find_file_storage_media()
