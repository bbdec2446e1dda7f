"""What the kernel of SAM-QFS sees by itself: here the mount is compared with the last look at it."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.samqfs_emulator.found import Found, found_at
from tests.samqfs_emulator.state import InodeState
from tests.samqfs_emulator.store import StateStore

WORD = 0xFFFFFFFF


@dataclass
class Entry:
    """An inode as the last look at the mount found it."""

    inode: int
    generation: int
    names: list[str]  # below the mount, with a leading slash
    size: int
    mtime: int  # nanoseconds
    is_directory: bool


class Lookout:
    """Raises the events of what changed below *mount*; *equals_its_copy* tells a file from one that was rewritten.

    utime and chmod raise no event, as in SAM-QFS. All of it happens under the lock of *state*.
    """

    def __init__(
        self, mount: Path, state: StateStore, clock: Callable[[], float], equals_its_copy: Callable[[Path], bool]
    ) -> None:
        self._mount = mount
        self._state = state
        self._clock = clock
        self._equals_its_copy = equals_its_copy

    def look(self) -> None:
        """Look at the whole mount."""
        before = {key: Entry(**entry) for key, entry in self._state.seen().items()}
        after = self._entries(before)
        for key in before.keys() - after.keys():
            self._forget(before[key])
            self._state.forget_seen(key)
        for key, entry in after.items():
            self._note_entry(key, before.get(key), entry)
        self._take_releases()

    def look_at(self, path: Path) -> None:
        """Look at *path* and the directories above it only: the cost does not grow with the mount."""
        below = path.relative_to(self._mount)
        for part in [*reversed(below.parents), below][1:]:
            found, name = found_at(self._mount / part), f"/{part}"
            known = self._state.seen_under(found.key)
            before = Entry(**known) if known else None
            if before and name not in before.names:
                return self.look()  # renamed, or another link
            self._note_entry(found.key, before, self._entry(found, before, before.names if before else [name]))
        return None

    def raise_event(self, kind: str, path: Path, **more: Any) -> None:
        """Raise the event *kind* of *path*, which has been looked at."""
        state = self._state.inode(path)
        inode = found_at(path).inode & WORD
        self._queue(kind, inode, state.generation if state else 0, path=str(path.relative_to(self._mount)), **more)

    def _entries(self, before: dict[str, Entry]) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for path in _below(str(self._mount)):
            with suppress(FileNotFoundError):  # removed just now
                found, name = found_at(path), path[len(str(self._mount)) :]
                if found.key in entries:
                    entries[found.key].names.append(name)
                else:
                    entries[found.key] = self._entry(found, before.get(found.key), [name])
        return entries

    def _entry(self, found: Found, before: Entry | None, names: list[str]) -> Entry:
        inode = found.inode & WORD
        generation = before.generation if before else self._state.count(f"generation of {inode}")
        if before is None:
            self._state.keep_inode_of_key(found.key, InodeState(generation, found.born))
        return Entry(inode, generation, names, found.size, found.mtime, found.is_directory)

    def _note_entry(self, key: str, before: Entry | None, after: Entry) -> None:
        if after != before:
            self._compare(before, after)
            self._state.keep_seen(key, vars(after))

    def _compare(self, before: Entry | None, after: Entry) -> None:
        if before is None:
            for name in after.names:
                self._note("create", after, name=name)
            if not after.is_directory:
                self._note("close", after)
            return
        gone, new = sorted(set(before.names) - set(after.names)), sorted(set(after.names) - set(before.names))
        while gone and new:
            self._note("rename", after, old=gone.pop(), new=new.pop(), directory=after.is_directory)
        for name in new:
            self._note("create", after, name=name)
        for name in gone:
            self._note("remove", after, name=name, last=False)
        if not after.is_directory and (before.size, before.mtime) != (after.size, after.mtime):
            self._note_change(before, after)

    def _note_change(self, before: Entry, after: Entry) -> None:
        path = self._mount / after.names[0].lstrip("/")
        with suppress(FileNotFoundError):  # moved or removed just now
            state = self._state.inode(path)
            if state and state.copies:
                if before.size == after.size and self._equals_its_copy(path):
                    return  # utime only
                for copy in state.copies.values():
                    copy.stale = True
                self._state.keep_inode(path, state)
                self._note("modify", after)
        self._note("close", after)

    def _forget(self, entry: Entry) -> None:
        for name in entry.names:
            last = name == entry.names[-1]
            self._queue("remove", entry.inode, entry.generation, name=name, last=last)
        self._state.count(f"generation of {entry.inode}")  # freed

    def _take_releases(self) -> None:
        """Raise the events of what the stub of sam_release has released."""
        for file in self._state.files_in("released"):
            with suppress(FileNotFoundError):  # removed since
                self.raise_event("offline", Path(os.fsdecode(file.read_bytes())))
            file.unlink()

    def _note(self, kind: str, entry: Entry, **more: Any) -> None:
        self._queue(kind, entry.inode, entry.generation, path=entry.names[0].lstrip("/"), **more)

    def _queue(self, kind: str, inode: int, generation: int, **more: Any) -> None:
        self._state.add_event({"kind": kind, "ino": inode, "gen": generation, "time": self._clock(), **more})


def _below(directory: str) -> Iterator[str]:
    for top, directories, files in os.walk(directory):
        for name in sorted(directories + files):
            yield f"{top}/{name}"
