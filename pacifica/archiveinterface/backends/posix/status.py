"""The status of a file on a POSIX file system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..abstract.status import AbstractStatus

if TYPE_CHECKING:
    from typing_extensions import Self


class PosixStatus(AbstractStatus):
    """All bytes are on one level, the disk."""

    def define_levels(self) -> tuple[str, ...]:
        """Return the one level there is."""
        return ("disk",)

    @classmethod
    def of(cls, stat: os.stat_result, filepath: str) -> Self:
        """Return the status that *stat* describes, of the file at *filepath*."""
        status = cls(stat.st_mtime, stat.st_ctime, (stat.st_size,), stat.st_size)
        status.filepath = filepath
        status.version = version_of(stat)
        return status


def version_of(stat: os.stat_result) -> str:
    """Return what changes with the content of the file that *stat* describes."""
    # A client chooses mtime, and inode numbers are reused; with ctime no two contents share a tag.
    return f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_ctime_ns:x}"
