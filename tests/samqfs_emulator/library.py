"""The tape library and the order in which sam-stagerd reads: drives, mounts, positions, and how long all of it takes.

A volume has to be in a drive to be read; when no drive is empty, the one that has been idle for longest dismounts its
own. sam-stagerd sorts the requests for a volume by position, and reads all there are before it mounts the next volume.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from tests.samqfs_emulator.store import StateStore

COUNTERS = ("mounts", "seek_distance", "stages_started", "stages_finished", "stages_failed")
FIRST_POSITION = 1  # of a volume that was just mounted


@dataclass
class Settings:
    """The library; as it stands, it has one drive and nothing takes time."""

    drives: int = 1
    mount_seconds: float = 0.0  # the dismount of another volume included
    seek_seconds: float = 0.0  # for the distance from one position to the next
    bytes_per_second: float = 0.0  # 0: no time
    files_per_volume: int = 0  # that are archived without naming a volume; 0: all on one
    sorts: bool = True  # False: requests are served in the order of their arrival


class Request(NamedTuple):
    """A file that waits to be read; *asked* is the time of arrival."""

    key: str
    path: str
    number: int
    asked: float
    volume: str
    position: int
    size: int


class Drive(NamedTuple):
    """A drive: its volume, if any, the position after what it read last, and the time when it has read *key*."""

    number: int
    volume: str
    position: int
    key: str | None
    ends: float


class Library:
    """The drives and what waits for them, in *state*; used under its lock only."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    @property
    def settings(self) -> Settings:
        """The settings as any process made them last."""
        return Settings(**self._state.read("library.json", {}))

    def change(self, **changes: Any) -> None:
        """Change some settings."""
        self._state.keep("library.json", asdict(Settings(**{**asdict(self.settings), **changes})))

    def counters(self) -> dict[str, int]:
        """Return what was done since the beginning, by the names in COUNTERS; seek distances are in positions."""
        return {name: self._state.count(name, 0) for name in COUNTERS}

    def volume_for_next(self) -> str:
        """Return the volume that the archiver writes on, VOL001, VOL002..., full ones left out."""
        most, number = self.settings.files_per_volume, max(self._state.count("volumes", 0), 1)
        if most and self._state.count(f"position on VOL{number:03}", 0) >= most:
            number += 1
        self._state.count("volumes", number - self._state.count("volumes", 0))
        return f"VOL{number:03}"

    def keys(self) -> set[str]:
        """Return the keys of all requests."""
        return {key for [key] in self._state.database.execute("SELECT key FROM request")}

    def add(self, key: str, path: str, asked: float, volume: str, position: int, size: int) -> None:
        """Let *key* wait for *volume* at *position*."""
        request = Request(key, path, self._state.count("requests"), asked, volume, position, size)
        self._state.database.execute(
            "INSERT INTO request (key, path, number, asked, volume, position, size) VALUES (?, ?, ?, ?, ?, ?, ?)",
            request,
        )

    def withdraw(self, key: str) -> None:
        """Forget the request *key*; a drive that reads it stops."""
        self._state.database.execute("DELETE FROM request WHERE key = ?", (key,))
        self._state.database.execute("UPDATE drive SET key = NULL WHERE key = ?", (key,))

    def next_end(self) -> float | None:
        """Return when the next drive has read what it reads, None when all are idle."""
        [[end]] = self._state.database.execute("SELECT min(ends) FROM drive WHERE key IS NOT NULL")
        return float(end) if end is not None else None

    def read_until(self, now: float) -> Iterator[Request]:
        """Yield each request when it has been read, in the order of the ends, until the time *now*."""
        settings = self.settings
        self._install(settings.drives)
        while True:
            while self._start_one(settings):
                pass
            end = self.next_end()
            if end is None or end > now:
                return
            yield self._finish(end)

    def _install(self, drives: int) -> None:
        self._state.database.execute("DELETE FROM drive WHERE number > ? AND key IS NULL", (drives,))
        for number in range(1, drives + 1):
            self._state.database.execute("INSERT OR IGNORE INTO drive (number) VALUES (?)", (number,))

    def _finish(self, end: float) -> Request:
        [drive] = self._drives("key IS NOT NULL AND ends = ? ORDER BY number LIMIT 1", end)
        [request] = self._requests("key = ?", drive.key)
        self.withdraw(request.key)
        return request

    def _start_one(self, settings: Settings) -> bool:
        """Let one idle drive read one request; return whether there was one."""
        idle = self._drives("key IS NULL ORDER BY volume <> '', ends, number")
        chosen = self._choose(idle, settings.sorts)
        if chosen:
            self._start(*chosen, settings)
        return chosen is not None

    def _choose(self, idle: list[Drive], sorts: bool) -> tuple[Drive, Request] | None:
        """Return a drive of *idle*, empty ones first, and what it reads next."""
        if not idle:
            return None
        for drive in idle if sorts else []:
            if request := self._next_on(drive.volume, drive.position):
                return drive, request
        for oldest in self._requests(
            "is_read = 0 AND volume NOT IN (SELECT volume FROM drive WHERE key IS NOT NULL) ORDER BY number LIMIT 1"
        ):
            drive = next((drive for drive in idle if drive.volume == oldest.volume), idle[0])
            return drive, (sorts and self._next_on(oldest.volume, FIRST_POSITION)) or oldest
        return None

    def _next_on(self, volume: str, position: int) -> Request | None:
        """Return the next request of *volume* from *position* on, or from its beginning."""
        for start in (position, 0):
            for request in self._requests(
                "is_read = 0 AND volume = ? AND position >= ? ORDER BY position LIMIT 1", volume, start
            ):
                return request
        return None

    def _start(self, drive: Drive, request: Request, settings: Settings) -> None:
        is_mounted = drive.volume == request.volume
        distance = abs(request.position - (drive.position if is_mounted else FIRST_POSITION))
        seconds = 0.0 if is_mounted else settings.mount_seconds
        seconds += settings.seek_seconds * distance
        seconds += request.size / settings.bytes_per_second if settings.bytes_per_second else 0.0
        self._state.count("mounts", int(not is_mounted))
        self._state.count("seek_distance", distance)
        self._state.count("stages_started")
        self._state.database.execute(
            "UPDATE drive SET volume = ?, position = ?, key = ?, ends = ? WHERE number = ?",
            (
                request.volume,
                request.position + 1,
                request.key,
                max(drive.ends, request.asked) + seconds,
                drive.number,
            ),
        )
        self._state.database.execute("UPDATE request SET is_read = 1 WHERE key = ?", (request.key,))

    def _drives(self, which: str, *values: Any) -> list[Drive]:
        rows = self._state.database.execute(
            f"SELECT number, volume, position, key, ends FROM drive WHERE {which}", values
        )
        return [Drive(*row) for row in rows]

    def _requests(self, which: str, *values: Any) -> list[Request]:
        rows = self._state.database.execute(
            f"SELECT key, path, number, asked, volume, position, size FROM request WHERE {which}", values
        )
        return [Request(*row) for row in rows]
