"""The memory of the emulator: a directory that any number of processes share.

``inodes/<ino>.<birth>`` is the state of an inode, ``staging/`` has a file with the path of each one that waits for its
stage, ``released/`` one for each release that no event was raised for yet; the C stubs use these three. Counters,
events, what the last look at the mount found, and the library are in an SQLite database, which costs the same however
many files there are. ``<birth>`` is the time the inode was made, so that an inode number used again begins anew.
"""

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.samqfs_emulator.found import key_of
from tests.samqfs_emulator.state import InodeState, state_of, text_of

# A crash of the machine ends the tests as well.
_TABLES = """
    PRAGMA synchronous = OFF;
    PRAGMA journal_mode = MEMORY;
    CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, number INTEGER);
    CREATE TABLE IF NOT EXISTS event (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);
    CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, text TEXT);
    CREATE TABLE IF NOT EXISTS request (
        key TEXT PRIMARY KEY, path TEXT, number INTEGER, asked REAL, volume TEXT, position INTEGER, size INTEGER,
        is_read INTEGER DEFAULT 0
    );
    CREATE INDEX IF NOT EXISTS in_order ON request (is_read, volume, position);
    CREATE INDEX IF NOT EXISTS by_age ON request (is_read, number);
    CREATE TABLE IF NOT EXISTS drive (
        number INTEGER PRIMARY KEY, volume TEXT DEFAULT '', position INTEGER DEFAULT 0, key TEXT, ends REAL DEFAULT 0
    );
    BEGIN;
"""


class StateStore:
    """The directory of the emulator's memory; every change happens under one lock between processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._owner = 0
        for name in ("inodes", "staging", "released"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process, and every other thread, out until the end of the block. Blocks may be nested."""
        if self._owner == threading.get_ident():
            yield
            return
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with closing(sqlite3.connect(self.directory / "database")) as self.database, self.database:
                self.database.executescript(_TABLES)
                self._owner = threading.get_ident()
                try:
                    yield
                finally:
                    self._owner = 0

    def inode(self, path: Path) -> InodeState | None:
        """Return the state of the inode *path* leads to, None if nothing is known of it yet."""
        return self.inode_of_key(key_of(path))

    def inode_of_key(self, key: str) -> InodeState | None:
        """Return the state of the inode *key*, None if nothing is known of it yet."""
        try:
            return state_of((self.directory / "inodes" / key).read_text())
        except FileNotFoundError:
            return None

    def keep_inode(self, path: Path, state: InodeState) -> None:
        """Remember *state* for the inode *path* leads to."""
        self.keep_inode_of_key(key_of(path), state)

    def keep_inode_of_key(self, key: str, state: InodeState) -> None:
        """Remember *state* for the inode *key*."""
        replace(self.directory / "inodes" / key, text_of(state))

    def read(self, name: str, default: Any) -> Any:
        """Return what :meth:`keep` wrote under *name*."""
        try:
            return json.loads((self.directory / name).read_text())
        except FileNotFoundError:
            return default

    def keep(self, name: str, content: Any) -> None:
        """Remember *content*, anything JSON can say, under *name*."""
        replace(self.directory / name, json.dumps(content))

    def request_file(self, path: Path) -> Path:
        """Return the file that is there while *path* waits for its stage."""
        return self.directory / "staging" / key_of(path)

    def files_in(self, name: str) -> list[Path]:
        """Return the complete files of the subdirectory *name*, the oldest first."""
        found: list[tuple[int, Path]] = []
        for entry in os.scandir(self.directory / name):
            with suppress(FileNotFoundError):
                if entry.name[0] != ".":
                    found.append((entry.stat().st_mtime_ns, Path(entry.path)))
        return [file for _, file in sorted(found)]

    # Only under the lock

    def count(self, name: str, more: int = 1) -> int:
        """Add *more* to the counter *name*, which begins at 0, and return it."""
        [number] = self.database.execute(
            "INSERT INTO counter VALUES (?1, ?2)"
            " ON CONFLICT (name) DO UPDATE SET number = number + ?2 RETURNING number",
            (name, more),
        ).fetchone()
        return int(number)

    def seen(self) -> dict[str, Any]:
        """Return what was seen under each key at the last look."""
        return {key: json.loads(text) for key, text in self.database.execute("SELECT key, text FROM seen")}

    def seen_under(self, key: str) -> Any:
        """Return what was seen under *key* at the last look, None if nothing was."""
        found = self.database.execute("SELECT text FROM seen WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def keep_seen(self, key: str, entry: Any) -> None:
        """Remember *entry*, anything JSON can say, as seen under *key*."""
        self.database.execute("REPLACE INTO seen VALUES (?, ?)", (key, json.dumps(entry)))

    def forget_seen(self, key: str) -> None:
        """Forget what was seen under *key*."""
        self.database.execute("DELETE FROM seen WHERE key = ?", (key,))

    def add_event(self, event: dict[str, Any]) -> None:
        """Put *event* at the end of the list."""
        self.database.execute("INSERT INTO event (text) VALUES (?)", (json.dumps(event),))

    def events(self, most: int | None) -> list[dict[str, Any]]:
        """Return the oldest *most* events nobody has taken yet, each with its number."""
        rows = self.database.execute("SELECT number, text FROM event ORDER BY number LIMIT ?", (most or -1,))
        return [{"number": number, **json.loads(text)} for number, text in rows]

    def drop_events(self, last: int) -> None:
        """Take the events up to number *last* from the list."""
        self.database.execute("DELETE FROM event WHERE number <= ?", (last,))


def replace(path: Path, text: str) -> None:
    """Put *text* in place of the file *path* at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)
