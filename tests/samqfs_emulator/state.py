"""What the emulator remembers of inodes, in small files that Python and the C stubs read alike.

Counters and what the last look at the mount found are in an SQLite database, which costs the same however many files
there are.

``state/inodes/<ino>.<birth>`` has two lines: five numbers for the C stubs (attr, flags, partial KiB, generation,
residence time), and the whole state as JSON. ``<birth>`` is the time the inode was made, so that an inode number used
again begins anew.
"""

import ctypes
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SS_DAMAGED = 0x10
SS_SAMFS = 0x800
SS_PARTIAL = 0x4000
SS_OFFLINE = 0x8000
SS_ARCHIVED = 0x10000
SS_STAGEFAIL = 0x02

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BTIME = 0x800
_STATX_SIZE = 256  # bytes
_BTIME_SECONDS = slice(80, 88)
_BTIME_NANOSECONDS = slice(88, 92)

_libc = ctypes.CDLL(None, use_errno=True)

# A crash of the machine ends the tests as well.
_TABLES = """
    PRAGMA synchronous = OFF;
    PRAGMA journal_mode = MEMORY;
    CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, number INTEGER);
    CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY, text TEXT);
    BEGIN;
"""


@dataclass
class Section:
    """A part of an archive copy on one volume; most copies have one."""

    media: str
    vsn: str
    position: int
    offset: int
    size: int


@dataclass
class Copy:
    """An archive copy of a file."""

    sections: list[Section]
    created: int
    stale: bool = False
    damaged: bool = False

    @property
    def good(self) -> bool:
        """Whether the file can be staged from this copy."""
        return not (self.stale or self.damaged)


@dataclass
class InodeState:
    """What SAM-QFS knows of an inode beyond POSIX."""

    generation: int
    born: int
    offline: bool = False
    partial: int = 0  # KiB that stay on disk
    stage_failed: bool = False
    damaged: bool = False
    residence_time: int = 0
    copies: dict[int, Copy] = field(default_factory=dict)  # numbered from 1

    def good_copies(self) -> list[Copy]:
        """Return the copies the file can be staged from, lowest number first."""
        return [self.copies[number] for number in sorted(self.copies) if self.copies[number].good]

    def attributes(self) -> int:
        """Return the ``attr`` bits of sam_stat."""
        return (
            SS_SAMFS
            | (SS_OFFLINE if self.offline else 0)
            | (SS_PARTIAL if self.offline and self.partial else 0)
            | (SS_DAMAGED if self.damaged else 0)
            | (SS_ARCHIVED if self.good_copies() else 0)
        )


class StateStore:
    """The directory of the emulator's memory; every change happens under one lock between processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("inodes", "staging", "events"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process, and every other thread, out until the end of the block."""
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with closing(sqlite3.connect(self.directory / "numbers")) as self._database, self._database:
                self._database.executescript(_TABLES)
                yield

    def inode(self, path: Path) -> InodeState | None:
        """Return the state of the inode *path* leads to, None if nothing is known of it yet."""
        return self.inode_of_key(key_of(path))

    def inode_of_key(self, key: str) -> InodeState | None:
        """Return the state of the inode *key*, None if nothing is known of it yet."""
        try:
            text = (self.directory / "inodes" / key).read_text()
        except FileNotFoundError:
            return None
        known = json.loads(text.split("\n", 1)[1])
        copies = {
            int(number): Copy(**{**copy, "sections": [Section(**section) for section in copy["sections"]]})
            for number, copy in known.pop("copies").items()
        }
        return InodeState(**known, copies=copies)

    def keep_inode(self, path: Path, state: InodeState) -> None:
        """Remember *state* for the inode *path* leads to."""
        self.keep_inode_of_key(key_of(path), state)

    def keep_inode_of_key(self, key: str, state: InodeState) -> None:
        """Remember *state* for the inode *key*."""
        flags = SS_STAGEFAIL if state.stage_failed else 0
        numbers = (state.attributes(), flags, state.partial, state.generation, state.residence_time)
        replace(self.directory / "inodes" / key, f"{' '.join(map(str, numbers))}\n{json.dumps(asdict(state))}")

    def read(self, name: str, default: Any) -> Any:
        """Return what :meth:`keep` wrote under *name*."""
        try:
            return json.loads((self.directory / name).read_text())
        except FileNotFoundError:
            return default

    def keep(self, name: str, content: Any) -> None:
        """Remember *content*, anything JSON can say, under *name*."""
        replace(self.directory / name, json.dumps(content))

    def next_number(self, name: str) -> int:
        """Return 1, 2, 3...: a counter of its own for each *name*. Only under the lock, as the next three."""
        [number] = self._database.execute(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET number = number + 1 RETURNING number",
            (name,),
        ).fetchone()
        return int(number)

    def seen(self) -> dict[str, Any]:
        """Return what was seen under each key at the last look."""
        return {key: json.loads(text) for key, text in self._database.execute("SELECT key, text FROM seen")}

    def keep_seen(self, key: str, entry: Any) -> None:
        """Remember *entry*, anything JSON can say, as seen under *key*."""
        self._database.execute("REPLACE INTO seen VALUES (?, ?)", (key, json.dumps(entry)))

    def forget_seen(self, key: str) -> None:
        """Forget what was seen under *key*."""
        self._database.execute("DELETE FROM seen WHERE key = ?", (key,))

    def request_file(self, path: Path) -> Path:
        """Return the file that is there while *path* waits for its stage."""
        return self.directory / "staging" / key_of(path)


def replace(path: Path, text: str) -> None:
    """Put *text* in place of the file *path* at once."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text)
    beside.replace(path)


def key_of(path: Path) -> str:
    """Return ``<ino>.<birth>``, the name of an inode that no later inode will have."""
    seconds, nanoseconds = birth_of(path)
    return f"{path.lstat().st_ino}.{seconds}.{nanoseconds}"


def birth_of(path: Path) -> tuple[int, int]:
    """Return (seconds, nanoseconds) of the time the inode was made, zeros where the file system does not say."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    raw = buffer.raw
    return (
        int.from_bytes(raw[_BTIME_SECONDS], "little", signed=True),
        int.from_bytes(raw[_BTIME_NANOSECONDS], "little"),
    )
