"""Where the bytes of a file are: asked of libsam, of the sideband database, or of the blocks on disk."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...connections import DatabaseUnavailableError
from ...globals import LOG_NAME
from ..abstract.residency import Locality, Place, RecallState, Residency
from .orm import SEGMENT_INDEX
from .sideband import Inode, Sideband
from .tape.libsam import (
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

BLOCK = 512  # bytes; the unit of st_blocks
WORD = 0xFFFFFFFF  # inode numbers and times have 32 bits in SAM-QFS
MOST_REMEMBERED = 4096  # files
DAMAGED = "no archive copy of the file can be read"
STAGE_FAILED = "the recall from tape failed"
USUAL_LAG = 60.0  # seconds; the updater is up to 15 behind, and more when it has much to do

_log = logging.getLogger(LOG_NAME)


class Unknown(NamedTuple):
    """A source has no answer for a file; *reason* is for the log."""

    reason: str


class Asked(NamedTuple):
    """A file whose residency is asked for: its path, and what stat said of it."""

    found: os.stat_result
    filepath: str


ResidencySource = Callable[[Sequence[Asked]], Sequence[Residency | Unknown]]
"""Tells the residency of each of some files, in their order."""


def of_row(row: Inode, online: bool) -> Residency:
    """Return what *row* says, of a file that is *online* or not."""
    places = row.places()
    tape = row.size if places else 0
    if online:
        return Residency(row.size, row.size, tape, RecallState.NONE, places)
    return Residency(row.size, 0, tape, RecallState.UNKNOWN, places)


def of_blocks(found: os.stat_result) -> Residency:
    """Return what the allocated blocks show: at once and always, but nothing of copies.

    A file that was released in part, or whose last bytes are not back from tape yet, has fewer than its size needs.
    (So has a file with holes, which counts as released, too.)
    """
    if found.st_blocks * BLOCK >= found.st_size:
        return Residency(found.st_size, found.st_size, 0, RecallState.NONE)
    return Residency(found.st_size, 0, found.st_size)


class SamStatResidency:
    """What libsam says, which is the state of the file system itself."""

    def __init__(self, libsam: Libsam) -> None:
        """Ask *libsam*."""
        self._libsam = libsam

    def __call__(self, files: Sequence[Asked]) -> list[Residency | Unknown]:
        """Return the residency of each of *files*."""
        return [self._ask(*file) for file in files]

    def describes(self, path: str) -> bool:
        """Return whether libsam has a record of *path* that can be understood."""
        try:
            return isinstance(self._ask(os.stat(path), path), Residency)
        except OSError:
            return False

    def _ask(self, found: os.stat_result, filepath: str) -> Residency | Unknown:
        try:
            told = self._libsam.stat(filepath)
        except OSError as error:
            return Unknown(f"sam_stat fails: {error.strerror}")
        # A library with another record than ours would give nonsense here.
        if (told.inode, told.size) != (found.st_ino & WORD, found.st_size) or not told.attr & SS_SAMFS:
            return Unknown("sam_stat describes another file, or has another record")
        return _residency_of(told)


def _residency_of(told: SamStat) -> Residency:
    places = tuple(Place(copy.volume, copy.position, copy.offset) for copy in told.copies if copy.is_good)
    tape = told.size if told.attr & SS_ARCHIVED else 0
    if not told.attr & SS_OFFLINE:
        return Residency(told.size, told.size, tape, RecallState.NONE, places)
    if told.attr & SS_DAMAGED or not tape:
        return Residency(told.size, 0, 0, RecallState.NONE, error=DAMAGED)
    disk = min(told.partial, told.size) if told.attr & SS_PARTIAL else 0
    if told.flags & SS_STAGING:
        return Residency(told.size, disk, tape, RecallState.ACTIVE, places)
    if told.flags & SS_STAGEFAIL:
        return Residency(told.size, disk, tape, RecallState.FAILED, places, STAGE_FAILED)
    return Residency(told.size, disk, tape, RecallState.NONE, places)


class DatabaseResidency:
    """What the sideband database says, as far as the file system does not contradict it."""

    def __init__(self, sideband: Sideband) -> None:
        """Ask *sideband*."""
        self._sideband = sideband

    def __call__(self, files: Sequence[Asked]) -> list[Residency | Unknown]:
        """Return the residency of each of *files*, by one query."""
        try:
            rows = self._sideband.inodes([file.found.st_ino & WORD for file in files])
        except DatabaseUnavailableError as error:
            return [Unknown(str(error))] * len(files)
        return [_answer(rows.get(file.found.st_ino & WORD), file.found) for file in files]


def _answer(row: Inode | None, found: os.stat_result) -> Residency | Unknown:
    """Return what *row* says, but for changes that the file system shows already.

    The row trails by seconds, or for ever if the updater is down; the blocks never do.
    """
    if row is None:
        return Unknown("the sideband database has no row of it")
    if row.type == SEGMENT_INDEX:
        return Unknown("it is segmented, and the database does not tell of the segments")
    if (row.size, row.modify_time) != (found.st_size, int(found.st_mtime) & WORD):
        return Unknown("the sideband database lags behind its size or time")
    if row.online and not found.st_blocks and found.st_size:
        return Unknown("the sideband database has not seen its release")
    if not row.online and not row.places():
        # SAM-QFS releases no file without a good copy; the row may be newer than the rows of its copies.
        return Unknown("the sideband database has not seen its archive copies")
    return of_row(row, online=row.online or found.st_blocks * BLOCK >= found.st_size)


class FirstAnswer:
    """Several ways of asking, the best first, and the blocks when none has an answer; each file is logged once."""

    def __init__(self, sources: Sequence[ResidencySource]) -> None:
        """Ask *sources* in this order."""
        self._sources = sources
        self._told: set[tuple[int, int, str]] = set()

    def __call__(self, files: Sequence[Asked]) -> list[Residency]:
        """Return the residency of each of *files*; there always is one."""
        answers: list[Residency | None] = [None] * len(files)
        for source in self._sources:
            self._ask(source, files, answers)
        return [self._known(file, answer) for file, answer in zip(files, answers, strict=True)]

    def _ask(self, source: ResidencySource, files: Sequence[Asked], answers: list[Residency | None]) -> None:
        """Put what *source* knows into *answers* where there is none yet."""
        unanswered = [number for number, answer in enumerate(answers) if answer is None]
        if not unanswered:
            return
        told = source([files[number] for number in unanswered])
        for number, answer in zip(unanswered, told, strict=True):
            if isinstance(answer, Residency):
                answers[number] = answer
            else:
                self._log_fallback(files[number], answer.reason)

    def _known(self, file: Asked, answer: Residency | None) -> Residency:
        residency = answer or of_blocks(file.found)
        if residency.locality is Locality.LOST:
            what = "is not on disk and no archive copy of it is good: it seems damaged"
            self._tell(logging.WARNING, file, what)
        return residency

    def _log_fallback(self, file: Asked, reason: str) -> None:
        # Every file that was just stored is ahead of its row for some seconds.
        is_new = time.time() - file.found.st_ctime < USUAL_LAG
        self._tell(logging.DEBUG if is_new else logging.INFO, file, f"{reason}; falling back to the next source")

    def _tell(self, level: int, file: Asked, what: str) -> None:
        # cartd asks for one file many times a second.
        if (file.found.st_ino, level, what) in self._told:
            return
        if len(self._told) >= MOST_REMEMBERED:
            self._told.clear()
        self._told.add((file.found.st_ino, level, what))
        _log.log(level, "residency of %s: %s", file.filepath, what)
