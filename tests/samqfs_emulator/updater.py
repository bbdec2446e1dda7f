"""The updater: it takes the events of the mount and writes the sideband database, late and with the known defects.

As in SAM-QFS an event only names the inode; what is written is the state at the time of writing.
"""

import os
import stat
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pymysql

from tests.samqfs_emulator.filesystem import ROOT_INODE, SamQfs
from tests.samqfs_emulator.namehash import name_hash
from tests.samqfs_emulator.schema import schema

REGULAR, DIRECTORY, SYMLINK, OTHER = 0, 1, 4, 5


@dataclass
class Switches:
    """The defects and habits of an updater; as they stand, all is well and at once."""

    delay: float = 0.0  # seconds from event to row; production shows 0 to 15
    stopped: bool = False  # the daemons are down
    stale: str = "fixed"  # "faithful": never marked; "checked": the rows go
    shared_client: bool = False  # no close event: a row keeps size 0 until the file is archived
    lose_remove: bool = False  # rows of deleted files stay
    archange: str = "fixed"  # "faithful": the wrong copy is refreshed, a row without a volume appears
    rename: str = "fixed"  # "faithful": the text after the last occurrence of the old path is kept
    directory_slash: bool = True  # False: directory paths end without a slash
    relative_paths: bool = False  # as loaded from a dump made at the wrong place: no leading slash


class Updater:
    """The daemon that keeps *database* (what pymysql.connect takes) in step with *filesystem*."""

    def __init__(
        self,
        filesystem: SamQfs,
        database: dict[str, Any],
        offset: str = "offset",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.filesystem = filesystem
        self.offset = offset
        self.clock = clock
        self._database = database

    @property
    def switches(self) -> Switches:
        """The switches as any process set them last."""
        return Switches(**self.filesystem.state.read("switches.json", {}))

    def switch(self, **changes: Any) -> None:
        """Set some switches."""
        self.filesystem.state.keep("switches.json", asdict(Switches(**{**asdict(self.switches), **changes})))

    def create_tables(self) -> None:
        """Make the tables and their first rows, as ``samdb create`` does."""
        with self._connect() as connection, connection.cursor() as cursor:
            for statement in schema(self.offset):
                cursor.execute(statement)
            connection.commit()

    def run_once(self, most: int | None = None) -> int:
        """Write the rows of every event that is old enough, of at most *most*; return how many events there were."""
        self.filesystem.notice()
        switches = self.switches
        if switches.stopped:
            return 0
        events = self.filesystem.events(most)
        due = [event for event in events if event["time"] + switches.delay <= self.clock()]
        if due:
            self._write(due, switches)
        return len(due)

    def _write(self, events: list[dict[str, Any]], switches: Switches) -> None:
        written = 0
        try:
            with self._connect() as connection:
                for event in events:
                    with connection.cursor() as cursor:
                        Rows(cursor, self.filesystem, switches, self.offset).take(event)
                    connection.commit()
                    written = event["number"]
        finally:
            self.filesystem.drop_events(written)

    def _connect(self) -> Any:
        return closing(pymysql.connect(**self._database, charset="latin1", use_unicode=False, ssl_disabled=True))


class Rows:
    """Writes what one event changes, through *cursor*."""

    def __init__(self, cursor: Any, filesystem: SamQfs, switches: Switches, offset: str) -> None:
        self._cursor = cursor
        self._filesystem = filesystem
        self._switches = switches
        self._offset = offset

    def take(self, event: dict[str, Any]) -> None:
        """Write the rows of *event*."""
        getattr(self, f"_take_{event['kind']}")(event)

    def _take_create(self, event: dict[str, Any]) -> None:
        path = self._filesystem.mount / event["name"].lstrip("/")
        if not os.path.lexists(path) or self._filesystem.inode_of(path) != (event["ino"], event["gen"]):
            return
        self._write_entry(path)
        self._write_inode(path, empty=self._switches.shared_client)
        if path.is_dir() and not path.is_symlink():
            self._write_path(path, self._directory_path(event["name"]))
        elif path.is_symlink():
            self._write_path(path, os.fsencode(path.readlink()))

    def _take_close(self, event: dict[str, Any]) -> None:
        if not self._switches.shared_client:
            self._refresh(event)

    def _take_modify(self, event: dict[str, Any]) -> None:
        if self._switches.stale == "fixed":
            self._run("UPDATE sam_archive SET stale = 1 WHERE ino = %s AND gen = %s", event["ino"], event["gen"])
        elif self._switches.stale == "checked":
            self._run("DELETE FROM sam_archive WHERE ino = %s AND gen = %s", event["ino"], event["gen"])
        self._refresh(event)

    def _take_archive(self, event: dict[str, Any]) -> None:
        self._write_copy(event, event["copy"])
        self._refresh(event)

    def _take_archange(self, event: dict[str, Any]) -> None:
        # The event counts from 1, the table from 0; the faulty updater does not mind.
        self._write_copy(event, event["copy"] if self._switches.archange == "faithful" else event["copy"] - 1)
        self._refresh(event)

    def _take_offline(self, event: dict[str, Any]) -> None:
        self._refresh(event)

    _take_online = _take_offline

    def _take_rename(self, event: dict[str, Any]) -> None:
        old, new = event["old"], event["new"]
        path = self._filesystem.mount / new.lstrip("/")
        self._run(
            "DELETE FROM sam_file WHERE ino = %s AND gen = %s AND name = BINARY %s",
            event["ino"],
            event["gen"],
            os.fsencode(os.path.basename(old)),
        )
        if path.exists():
            self._write_entry(path)
        if event["directory"]:
            self._rename_paths(self._directory_path(old), self._directory_path(new))

    def _take_remove(self, event: dict[str, Any]) -> None:
        if self._switches.lose_remove:
            return
        key = event["ino"], event["gen"]
        name = os.fsencode(os.path.basename(event["name"]))
        self._run("DELETE FROM sam_file WHERE ino = %s AND gen = %s AND name = BINARY %s", *key, name)
        if event["last"]:
            for table in ("sam_inode", "sam_path", "sam_archive"):
                self._run(f"DELETE FROM {table} WHERE ino = %s AND gen = %s", *key)

    def _refresh(self, event: dict[str, Any]) -> None:
        path = self._filesystem.mount / event["path"]
        if os.path.lexists(path) and self._filesystem.inode_of(path) == (event["ino"], event["gen"]):
            self._write_inode(path)

    def _write_inode(self, path: Path, empty: bool = False) -> None:
        status, state = path.lstat(), self._filesystem.state.inode(path)
        if state is None:
            return
        self._run(
            "REPLACE INTO sam_inode VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            *self._filesystem.inode_of(path),
            _type_of(status),
            0 if empty else status.st_size,
            "",
            state.born,
            int(status.st_mtime),
            status.st_uid,
            status.st_gid,
            int(not state.offline),
        )

    def _write_entry(self, path: Path) -> None:
        name = os.fsencode(path.name)
        parent = self._filesystem.inode_of(path.parent)
        entry = (*parent, name_hash(name), name, *self._filesystem.inode_of(path))
        self._run("DELETE FROM sam_file WHERE p_ino = %s AND p_gen = %s AND name = BINARY %s", *parent, name)
        # Two names of one or two letters that differ in case only are one key: here the updater stops, like the real
        # one.
        self._run("INSERT INTO sam_file VALUES (%s, %s, %s, %s, %s, %s)", *entry)

    def _write_path(self, path: Path, text: bytes) -> None:
        self._run("REPLACE INTO sam_path VALUES (%s, %s, %s)", *self._filesystem.inode_of(path), text)

    def _write_copy(self, event: dict[str, Any], index: int) -> None:
        """Refresh the rows of copy *index*, counted from 0; older rows of further sections stay, as in SAM-QFS."""
        path = self._filesystem.mount / event["path"]
        state = self._filesystem.state.inode(path) if path.exists() else None
        copy = state.copies.get(index + 1) if state else None
        if copy is None:
            self._write_section(event, index, 0, ("", "", 0, 0, 0), 0, 0)
            return
        for number, section in enumerate(copy.sections):
            row = (section.media, section.vsn, section.position, section.offset, section.size)
            stale = int(copy.stale and self._switches.stale == "fixed")
            self._write_section(event, index, number, row, copy.created, stale)

    def _write_section(
        self,
        event: dict[str, Any],
        index: int,
        number: int,
        row: tuple[str, str, int, int, int],
        created: int,
        stale: int,
    ) -> None:
        self._run(
            f"REPLACE INTO sam_archive (ino, gen, copy, seq, media_type, vsn, position, `{self._offset}`, size,"
            " create_time, stale) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            event["ino"],
            event["gen"],
            index,
            number,
            *row,
            created,
            stale,
        )

    def _directory_path(self, name: str) -> bytes:
        path = os.fsencode(name)
        path = path if self._switches.directory_slash else path.rstrip(b"/")
        path = path + b"/" if self._switches.directory_slash else path
        return path.lstrip(b"/") if self._switches.relative_paths else path

    def _rename_paths(self, old: bytes, new: bytes) -> None:
        self._run("SELECT ino, gen, path FROM sam_path")
        for inode, generation, path in list(self._cursor.fetchall()):
            if (inode, generation) == ROOT_INODE or not path.startswith(old):
                continue
            # The faulty one keeps what follows the *last* occurrence of the old path.
            at = path.rfind(old) if self._switches.rename == "faithful" else 0
            text = new + path[at + len(old) :]
            self._run("UPDATE sam_path SET path = %s WHERE ino = %s AND gen = %s", text, inode, generation)

    def _run(self, statement: str, *values: Any) -> None:
        self._cursor.execute(statement, values)


def _type_of(status: os.stat_result) -> int:
    if stat.S_ISREG(status.st_mode):
        return REGULAR
    if stat.S_ISDIR(status.st_mode):
        return DIRECTORY
    return SYMLINK if stat.S_ISLNK(status.st_mode) else OTHER
