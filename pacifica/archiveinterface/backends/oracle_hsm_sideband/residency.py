"""Where the bytes of a file are: asked of libsam, of the sideband database, or of the blocks on disk."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from ...connections import DatabaseUnavailableError
from ...globals import LOG_NAME
from ..abstract.status import Place
from .libsam import (
    SS_ARCHIVED,
    SS_DAMAGED,
    SS_OFFLINE,
    SS_PARTIAL,
    SS_SAMFS,
    SS_STAGEFAIL,
    SS_STAGING,
    Libsam,
    SamStat,
)
from .orm import SEGMENT_INDEX
from .sideband import Inode, Sideband

if TYPE_CHECKING:
    from typing_extensions import Self

BLOCK = 512  # bytes; the unit of st_blocks
WORD = 0xFFFFFFFF  # inode numbers and times have 32 bits in SAM-QFS
MOST_REMEMBERED = 4096  # files
USUAL_LAG = 60.0  # seconds; the updater is up to 15 behind, and more when it has much to do

_log = logging.getLogger(LOG_NAME)


class UnknownResidencyError(Exception):
    """This way of asking has no answer for the file; the message says why, for the log."""


class Recall(Enum):
    """What a source says of a file's way back to disk."""

    UNKNOWN = auto()
    ACTIVE = auto()  # asked for, or being read
    FAILED = auto()  # the last attempt failed, and there is none now


class Residency(NamedTuple):
    """How many bytes of a file are on disk, and how many in archive copies, which begin at *places*."""

    disk: int
    tape: int
    places: tuple[Place, ...] = ()
    recall: Recall = Recall.UNKNOWN

    @classmethod
    def of_row(cls, row: Inode, online: bool) -> Self:
        """Return what *row* says, of a file that is *online* or not."""
        places = row.places()
        return cls(row.size if online else 0, row.size if places else 0, places)

    @property
    def levels(self) -> tuple[int, int]:
        """The bytes on disk and on tape."""
        return self.disk, self.tape


Ask = Callable[[os.stat_result, str], Residency]
"""Tells the residency of the file at a path, of which stat said this. Raises UnknownResidencyError."""


def of_blocks(found: os.stat_result, filepath: str) -> Residency:
    """Return what the allocated blocks show: at once and always, but nothing of copies.

    A released file has none. (Neither has a file that is one hole; such a file counts as released.)
    """
    online = found.st_blocks > 0 or found.st_size == 0
    return Residency(found.st_size, 0) if online else Residency(0, found.st_size)


class SamStatResidency:
    """What libsam says, which is the state of the file system itself."""

    def __init__(self, libsam: Libsam) -> None:
        """Ask *libsam*."""
        self._libsam = libsam

    def __call__(self, found: os.stat_result, filepath: str) -> Residency:
        """Return the residency of the file at *filepath*."""
        try:
            told = self._libsam.stat(filepath)
        except OSError as error:
            raise UnknownResidencyError(f"sam_stat fails: {error.strerror}") from error
        # A library with another record than ours would give nonsense here.
        if (told.inode, told.size) != (found.st_ino & WORD, found.st_size) or not told.attr & SS_SAMFS:
            raise UnknownResidencyError("sam_stat describes another file, or has another record")
        return _residency_of(told)


def _residency_of(told: SamStat) -> Residency:
    tape = told.size if told.attr & SS_ARCHIVED else 0
    if not told.attr & SS_OFFLINE:
        return Residency(told.size, tape)
    if told.attr & SS_DAMAGED or not tape:
        return Residency(0, 0)
    disk = min(told.partial, told.size) if told.attr & SS_PARTIAL else 0
    return Residency(disk, tape, recall=_recall_of(told))


def _recall_of(told: SamStat) -> Recall:
    if told.flags & SS_STAGING:
        return Recall.ACTIVE
    return Recall.FAILED if told.flags & SS_STAGEFAIL else Recall.UNKNOWN


class DatabaseResidency:
    """What the sideband database says, as far as the file system does not contradict it."""

    def __init__(self, sideband: Sideband) -> None:
        """Ask *sideband*."""
        self._sideband = sideband

    def __call__(self, found: os.stat_result, filepath: str) -> Residency:
        """Return the residency of the file of which stat said *found*."""
        try:
            row = self._sideband.inode(found.st_ino & WORD)
        except DatabaseUnavailableError as error:
            raise UnknownResidencyError(str(error)) from error
        if row is None:
            raise UnknownResidencyError("the sideband database has no row of it")
        if row.type == SEGMENT_INDEX:
            raise UnknownResidencyError("it is segmented, and the database does not tell of the segments")
        if (row.size, row.modify_time) != (found.st_size, int(found.st_mtime) & WORD):
            raise UnknownResidencyError("the sideband database lags behind its size or time")
        return _in_agreement(row, found)


def _in_agreement(row: Inode, found: os.stat_result) -> Residency:
    """Return what *row* says, but for changes that the blocks show already.

    The row trails by seconds, or for ever if the updater is down; the blocks never do.
    """
    if row.online and not found.st_blocks and found.st_size:
        raise UnknownResidencyError("the sideband database has not seen its release")
    if row.online or found.st_blocks * BLOCK >= found.st_size:
        return Residency.of_row(row, online=True)
    return Residency.of_row(row, online=False)


class FirstAnswer:
    """Several ways of asking, the best first, and the blocks when none has an answer; each file is logged once."""

    def __init__(self, ways: Sequence[Ask]) -> None:
        """Try *ways* in this order."""
        self._ways = ways
        self._told: set[tuple[int, int, str]] = set()

    def __call__(self, found: os.stat_result, filepath: str) -> Residency:
        """Return the residency of the file at *filepath*; there always is one."""
        residency = self._first(found, filepath)
        if found.st_size and not any(residency.levels):
            what = "is not on disk and no archive copy of it is good: it seems damaged"
            self._tell(logging.WARNING, found, filepath, what)
        return residency

    def _first(self, found: os.stat_result, filepath: str) -> Residency:
        for way in self._ways:
            try:
                return way(found, filepath)
            except UnknownResidencyError as reason:
                # Every file that was just stored is ahead of its row for some seconds.
                is_new = time.time() - found.st_ctime < USUAL_LAG
                level = logging.DEBUG if is_new else logging.INFO
                self._tell(level, found, filepath, f"{reason}; falling back to the next source")
        return of_blocks(found, filepath)

    def _tell(self, level: int, found: os.stat_result, filepath: str, what: str) -> None:
        # cartd asks for one file many times a second.
        if (found.st_ino, level, what) in self._told:
            return
        if len(self._told) >= MOST_REMEMBERED:
            self._told.clear()
        self._told.add((found.st_ino, level, what))
        _log.log(level, "residency of %s: %s", filepath, what)
