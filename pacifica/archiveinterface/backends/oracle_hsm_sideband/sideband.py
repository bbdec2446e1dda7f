"""The queries to the sideband database, and their results."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, Cast, ModelSelect, RawQuery, Value

from ...connections import Connections, DatabaseUnavailableError
from ..abstract.residency import Place
from .orm import DIRECTORY, REGULAR, SEGMENT_INDEX, SamArchive, SamArchiveOffSet, SamFile, SamInode, SamPath

_IS_OFF_SET = """
    SELECT column_name = 'off_set' FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sam_archive' AND column_name IN ('offset', 'off_set')
"""

MOST_IN_QUERY = 1000  # inodes


@dataclass(frozen=True)
class ArchiveCopy:
    """An archive copy as the database has it."""

    number: int
    media_type: str
    vsn: str
    position: int
    offset: int
    create_time: int
    stale: bool

    def is_valid_for(self, modify_time: int) -> bool:
        """Return whether this copy holds the content that was last changed at *modify_time*.

        The updater may never set stale, and may leave rows that name no volume.
        """
        return bool(self.vsn and self.media_type) and not self.stale and self.create_time >= modify_time


@dataclass(frozen=True)
class Inode:
    """A regular file as the database has it."""

    ino: int
    gen: int
    type: int
    size: int
    create_time: int
    modify_time: int
    online: bool
    copies: tuple[ArchiveCopy, ...]

    def valid_copies(self) -> list[ArchiveCopy]:
        """Return the copies that hold the present content."""
        return [copy for copy in self.copies if copy.is_valid_for(self.modify_time)]

    def places(self) -> tuple[Place, ...]:
        """Return where the copies begin that hold the present content."""
        return tuple(Place(copy.vsn, copy.position, copy.offset) for copy in self.valid_copies())


class Sideband:
    """Queries the database. Each raises DatabaseUnavailableError without an answer. Safe to share between threads."""

    def __init__(self, connections: Connections) -> None:
        """Ask over *connections*."""
        self._connections = connections
        self._archive_model: type[SamArchive] | None = None

    def inode(self, ino: int) -> Inode | None:
        """Return the file that has the inode number *ino* now: the row of the highest generation."""
        return self.inodes([ino]).get(ino)

    def inodes(self, numbers: Sequence[int]) -> dict[int, Inode]:
        """Return the files that have the inode *numbers* now; one query for up to MOST_IN_QUERY of them."""
        rows: dict[int, list[tuple[Any, ...]]] = {}
        for start in range(0, len(numbers), MOST_IN_QUERY):
            some = list(numbers[start : start + MOST_IN_QUERY])
            for row in self._rows(_inodes(self._spelling()).where(SamInode.ino.in_(some))):
                rows.setdefault(row[0], []).append(row)
        files = {number: _newest(of_file) for number, of_file in rows.items()}
        return {number: file for number, file in files.items() if file}

    def inode_at(self, directory: str, name: str) -> Inode | None:
        """Return the file *name* in *directory*, a path below the mount."""
        # Symlinks keep their target in sam_path, and some updaters lose a slash at either end.
        bare = directory.strip("/")
        spellings = {f"{bare}/", bare, f"/{bare}/", f"/{bare}"} if bare else {"/"}
        parent = SamInode.alias()
        found = (
            _inodes(self._spelling())
            .join_from(SamInode, SamFile, on=(SamFile.ino == SamInode.ino) & (SamFile.gen == SamInode.gen))
            .join_from(SamFile, SamPath, on=(SamPath.ino == SamFile.p_ino) & (SamPath.gen == SamFile.p_gen))
            .join_from(SamPath, parent, on=(parent.ino == SamPath.ino) & (parent.gen == SamPath.gen))
            .where(
                SamPath.path.in_([_exactly(spelling) for spelling in sorted(spellings)]),
                SamFile.name == _exactly(name),
                parent.type == DIRECTORY,
            )
        )
        return _newest(self._rows(found))

    def _spelling(self) -> type[SamArchive]:
        if self._archive_model is None:
            found = self._rows(RawQuery(_IS_OFF_SET))
            if not found:
                raise DatabaseUnavailableError("the sideband database has no table sam_archive")
            self._archive_model = SamArchiveOffSet if found == [(1,)] else SamArchive
        return self._archive_model

    def _rows(self, query: Any) -> list[tuple[Any, ...]]:
        try:
            return self._connections.rows(query)
        except DatabaseUnavailableError:
            self._archive_model = None  # the schema may be another when the database answers again
            raise


def _exactly(name: str) -> Cast:
    """Return *name* to be compared byte by byte; the columns' collation takes "a" for "A" and "a " for "a"."""
    return Cast(Value(os.fsencode(name), converter=False), "BINARY")


def _inodes(archive: type[SamArchive]) -> "ModelSelect[SamInode]":
    """Return the query for files with their copies, newest generation first; ``seq`` 0 stands for the whole copy."""
    same = (archive.ino == SamInode.ino) & (archive.gen == SamInode.gen) & (archive.seq == 0)
    return (
        SamInode.select(
            SamInode.ino,
            SamInode.gen,
            SamInode.type,
            SamInode.size,
            SamInode.create_time,
            SamInode.modify_time,
            SamInode.online,
            archive.copy,
            archive.media_type,
            archive.vsn,
            archive.position,
            archive.offset,
            archive.create_time,
            archive.stale,
        )
        .join(archive, JOIN.LEFT_OUTER, on=same)
        .order_by(SamInode.gen.desc(), archive.copy)
    )


def _newest(rows: Sequence[tuple[Any, ...]]) -> Inode | None:
    """Return the file of the first of *rows*, with its copies; None if it is not a file."""
    if not rows or rows[0][2] not in (REGULAR, SEGMENT_INDEX):
        return None
    ino, gen, kind, size, create_time, modify_time, online = rows[0][:7]
    copies = tuple(
        ArchiveCopy(number, media_type, vsn, position, offset, created or 0, bool(stale))
        for _, row_gen, *_, number, media_type, vsn, position, offset, created, stale in rows
        if row_gen == gen and number is not None
    )
    return Inode(ino, gen, kind, size or 0, create_time or 0, modify_time or 0, bool(online), copies)
