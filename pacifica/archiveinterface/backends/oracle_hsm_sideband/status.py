"""The status of a file that may be on disk, on tape or on both."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..posix.status import PosixStatus, version_of
from .residency import Recall, Residency, of_blocks
from .sideband import Inode

if TYPE_CHECKING:
    from typing_extensions import Self


class HsmSidebandStatus(PosixStatus):
    """Bytes on disk and bytes on tape, tape standing for every kind of archive copy."""

    stat: os.stat_result
    recall_failed = False

    def define_levels(self) -> tuple[str, ...]:
        """Return disk and tape."""
        return ("disk", "tape")

    @classmethod
    def of(cls, stat: os.stat_result, filepath: str) -> Self:
        """Return the status that *stat* alone describes; the allocated blocks tell disk from tape."""
        status = cls(stat.st_mtime, stat.st_ctime, of_blocks(stat, filepath).levels, stat.st_size)
        status.filepath = filepath
        status.version = version_of(stat)
        status.stat = stat
        return status

    @classmethod
    def recorded(cls, row: Inode, filepath: str) -> Self:
        """Return the status that the database alone can tell; its ctime is the inode's birth, the only one it has."""
        residency = Residency.of_row(row, online=row.online)
        status = cls(row.modify_time, row.create_time, residency.levels, row.size)
        status.places = residency.places
        status.filepath = filepath
        return status

    def locate(self, residency: Residency) -> None:
        """Note where the bytes are, found out by better means than the blocks."""
        self.bytes_per_level = residency.levels
        self.places = residency.places
        self.recall_failed = residency.recall is Recall.FAILED
        self.recall = "active" if residency.recall is Recall.ACTIVE else ""
        self.file_storage_media = self.find_file_storage_media()
