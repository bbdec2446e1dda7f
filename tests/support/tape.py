"""A tape archive for tests: files on volumes, whose recalls arrive, fail, hang or get lost as the test says.

All of it is kept in a SQLite file: several processes share it, and it outlives those that are killed.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.file import ArchiveFile, Reader, Writer
from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.backends.abstract.residency import Place, RecallState, Residency
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus, Replaced
from pacifica.archiveinterface.exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    ConflictError,
    MissingFileError,
    StorageError,
)

ALL_TRAITS = RecallTraits(cancels=True, releases=True, tells_state=True)

_TABLES = """
PRAGMA journal_mode = wal;
CREATE TABLE IF NOT EXISTS file (
    id BLOB PRIMARY KEY, size INTEGER, volume BLOB, position INTEGER, is_online INTEGER DEFAULT 0,
    state TEXT DEFAULT 'none', fates TEXT DEFAULT '', recalls INTEGER DEFAULT 0, releases INTEGER DEFAULT 0,
    turn INTEGER DEFAULT 0
);
CREATE TABLE IF NOT EXISTS asked (number INTEGER PRIMARY KEY, id BLOB);
CREATE INDEX IF NOT EXISTS queue ON file (state);
"""


class Tape:
    """The files of an archive and what was asked of it, in the SQLite file *path*.

    A file has *fates*, one for each recall of it and the last one for all that follow: ``arrives``; ``fails``, after
    a while; ``lost``, after a while; ``hangs``; ``refused``, as it is asked for; ``busy``, refused for now. Without
    any it arrives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault = "the tape is torn"  # what is told of a recall that has failed
        self._lock = threading.RLock()
        self._opened: tuple[int, sqlite3.Connection] | None = None

    def add(
        self, *file_ids: str, size: int = 10, volume: str = "", position: int = 0, fates: Sequence[str] = ()
    ) -> None:
        """Put files on a tape, beginning at *position*."""
        rows = [
            (_bytes(file_id), size, _bytes(volume), position + number, " ".join(fates))
            for number, file_id in enumerate(file_ids)
        ]
        with self._lock, self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO file (id, size, volume, position, fates) VALUES (?, ?, ?, ?, ?)", rows)

    def put_online(self, *file_ids: str, state: bool = True) -> None:
        """Let the files be on disk, or not."""
        for file_id in file_ids:
            self._do("UPDATE file SET is_online = ?, state = 'none' WHERE id = ?", state, _bytes(file_id))

    def lose_copies(self, *file_ids: str) -> None:
        """Let no copy of the files be readable."""
        for file_id in file_ids:
            self._do("UPDATE file SET volume = NULL WHERE id = ?", _bytes(file_id))

    def run(self, most: int = -1) -> None:
        """Let the tape go on with *most* of the recalls that were asked for, -1 for all."""
        with self._lock:
            for file_id, state in self._do(
                "SELECT id, state FROM file WHERE state NOT IN ('none', 'hangs', 'failed') ORDER BY turn LIMIT ?", most
            ):
                after = "failed" if state == "fails" else "none"
                self._do("UPDATE file SET is_online = ?, state = ? WHERE id = ?", state == "arrives", after, file_id)

    @property
    def recalls(self) -> dict[str, int]:
        """How many recalls of each file there were; a file that is on its way is not recalled again."""
        return {_text(id): recalls for id, recalls in self._do("SELECT id, recalls FROM file WHERE recalls > 0")}

    @property
    def under_way(self) -> set[str]:
        """The files that the tape is recalling."""
        return {_text(id) for (id,) in self._do("SELECT id FROM file WHERE state NOT IN ('none', 'failed')")}

    @property
    def online(self) -> set[str]:
        """The files on disk."""
        return {_text(id) for (id,) in self._do("SELECT id FROM file WHERE is_online")}

    @property
    def releases(self) -> dict[str, int]:
        """How many times the disk copy of each file was freed."""
        return {_text(id): releases for id, releases in self._do("SELECT id, releases FROM file WHERE releases > 0")}

    @property
    def order(self) -> list[str]:
        """The files in the order in which their recalls began."""
        return [_text(id) for (id,) in self._do("SELECT id FROM asked ORDER BY number")]

    def residency(self, file_id: str) -> Residency:
        """Return where the file is. Raises MissingFileError."""
        size, volume, position, is_online, state = self._row(file_id, "size, volume, position, is_online, state")
        recall = {"none": RecallState.NONE, "failed": RecallState.FAILED}.get(state, RecallState.QUEUED)
        return Residency(
            size,
            size if is_online else 0,
            0 if volume is None else size,
            recall,
            (Place(_text(volume), position),) if volume else (),
            self.fault if state == "failed" else "",
        )

    def recall(self, file_id: str) -> bool:
        """Begin to recall the file unless that is under way; return whether it is on disk."""
        fate = self._begin(file_id)
        if fate == "refused":
            raise StorageError("the storage refuses the file")
        if fate == "busy":
            raise BackendUnavailableError("the storage is busy")
        return fate == "online"

    def _begin(self, file_id: str) -> str:
        with self._lock, self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            is_online, state, fates = self._row(file_id, "is_online, state, fates")
            if is_online or state not in ("none", "failed"):
                return "online" if is_online else ""
            fate, _, rest = (fates or "arrives").partition(" ")
            self._do("UPDATE file SET fates = ? WHERE id = ?", rest or fate, _bytes(file_id))
            if fate in ("refused", "busy"):
                return fate
            turn = connection.execute("INSERT INTO asked (id) VALUES (?)", [_bytes(file_id)]).lastrowid
            change = "UPDATE file SET state = ?, turn = ?, recalls = recalls + 1 WHERE id = ?"
            self._do(change, fate, turn, _bytes(file_id))
            return ""

    def cancel(self, file_id: str) -> None:
        """Withdraw the recall of the file."""
        self._do("UPDATE file SET state = 'none' WHERE id = ?", _bytes(file_id))

    def release(self, file_id: str) -> None:
        """Free the disk copy of the file."""
        self._do("UPDATE file SET is_online = 0, releases = releases + 1 WHERE id = ?", _bytes(file_id))

    def _row(self, file_id: str, columns: str) -> Any:
        rows = self._do(f"SELECT {columns} FROM file WHERE id = ?", _bytes(file_id))
        if not rows:
            raise MissingFileError("no such file in the archive")
        return rows[0]

    def _do(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @property
    def _connection(self) -> sqlite3.Connection:
        """The connection of this process: one that was open when it was forked must not be used."""
        if self._opened is None or self._opened[0] != os.getpid():
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=60)
            connection.execute("PRAGMA synchronous = off")
            connection.executescript(_TABLES)
            self._opened = os.getpid(), connection
        return self._opened[1]


def _bytes(file_id: str) -> bytes:
    return file_id.encode(errors="surrogatepass")


def _text(stored: bytes) -> str:
    return stored.decode(errors="surrogatepass")


class TapeFile(ArchiveFile):
    """A file on tape that is never opened."""

    def __init__(self, archive: "TapeArchive", file_id: str) -> None:
        super().__init__(archive.prefix, file_id, archive.archive_options)
        self._archive, self._id = archive, file_id

    def residency(self) -> Residency:
        self._archive.called("residency", self._id)
        found = self._archive.tape.residency(self._id)
        return replace(found, disk_seconds=self._archive.stays.get(self._id) if found.is_online else None)

    def stage(self) -> bool:
        self._archive.called("stage", self._id)
        return self._archive.tape.recall(self._id)

    def cancel_recall(self) -> bool:
        self._archive.called("cancel", self._id)
        if self._archive.recall_traits.cancels:
            self._archive.tape.cancel(self._id)
        return self._archive.recall_traits.cancels

    def release(self) -> None:
        self._archive.called("release", self._id)
        if not self._archive.tape.residency(self._id).tape:
            raise ConflictError("the file has no copy on tape")
        self._archive.tape.release(self._id)

    def pin(self, seconds: float) -> None:
        self._archive.called("pin", self._id)
        self._archive.stays[self._id] = seconds

    def status(self) -> AbstractStatus:
        _never_called()

    def _open_reader(self) -> Reader:
        _never_called()

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> Writer:
        _never_called()

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        _never_called()

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        _never_called()


def _never_called() -> NoReturn:
    raise AssertionError("recalls neither read nor write files")


class TapeArchive(AbstractBackendArchive):
    """An archive on a tape.

    *is_down*: no call to it succeeds. *is_quick*: the tape goes on whenever somebody looks. *called* is told of each
    call, the verb and the file, before it is made. *full* is how full its disk is, if it tells. *stays* are the seconds
    that files stay on disk after they arrive, if it tells.
    """

    def __init__(self, tape: Tape, traits: RecallTraits = ALL_TRAITS, *, is_quick: bool = False) -> None:
        super().__init__("/tape")
        self.tape, self.recall_traits, self.is_quick = tape, traits, is_quick
        self.is_down = False
        self.full: float | None = None
        self.stays: dict[str, float] = {}
        self.called: Callable[[str, str], None] = self._check

    def file(self, file_id: str) -> TapeFile:
        return TapeFile(self, file_id)

    def residencies(self, file_ids: Iterable[str]) -> dict[str, Residency | ArchiveInterfaceError]:
        if self.is_quick:
            self.tape.run()
        return super().residencies(file_ids)

    def disk_used(self) -> float | None:
        return self.full

    def _check(self, verb: str, file_id: str) -> None:
        if self.is_down:
            raise BackendUnavailableError("the storage does not answer")
