"""A SAM-QFS mount over an ordinary directory: archive, release, stage, and the events each of them raises."""

import ctypes
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.samqfs_emulator.state import Copy, InodeState, Section, StateStore, birth_of, key_of

ROOT_INODE = (2, 2)
WORD = 0xFFFFFFFF
BLOCK_SIZE = 4096  # bytes; what stays on disk of a partially released file is a multiple of it
TAPE_BLOCK = 512  # bytes; the unit of a copy's offset

_FALLOC_KEEP_SIZE = 0x1
_FALLOC_PUNCH_HOLE = 0x2

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Entry:
    """An inode as the last look at the mount found it."""

    inode: int
    generation: int
    names: list[str]  # below the mount, with a leading slash
    size: int
    mtime: int  # nanoseconds
    birth: list[int]
    is_directory: bool


class SamQfs:
    """The file system under *mount*, its volumes under ``root/tape``, its memory under ``root/state``.

    Nothing is kept in the object: another process on the same root sees the same file system.
    """

    def __init__(self, root: Path, mount: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self.mount = mount or root / "mount"
        self.tape = root / "tape"
        self.mount.mkdir(parents=True, exist_ok=True)
        self.tape.mkdir(parents=True, exist_ok=True)
        self.state = StateStore(root / "state")
        self.clock = clock

    # What an operator does

    def archive(self, path: Path, copy: int = 1, media: str = "li", vsn: str = "VOL001", sections: int = 1) -> None:
        """Make archive copy number *copy* of *path*, spread over as many volumes as *sections* says."""
        self.notice()
        with self.state.locked():
            state = self._state(path)
            # What is released is copied from tape to tape.
            content = self._read_copy(state.good_copies()[0]) if state.offline else path.read_bytes()
            length = -(-len(content) // sections)
            state.copies[copy] = Copy(
                [
                    self._write_section(content[i * length : (i + 1) * length], media, vsn if i == 0 else f"{vsn}+{i}")
                    for i in range(sections)
                ],
                int(self.clock()),
            )
            self.state.keep_inode(path, state)
            self._raise_event("archive", path, copy=copy - 1)

    def release(self, path: Path, partial: int = 0) -> bool:
        """Drop the blocks of *path* but the first *partial* KiB; return whether it went.

        Raises OSError(EBUSY) while it is being staged. A file without a good copy stays.
        """
        self.notice()
        with self.state.locked():
            state = self._state(path)
            if self.state.request_file(path).exists():
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
            if state.offline or not state.good_copies() or path.stat().st_size <= partial * 1024:
                return False
            self._punch_hole(path, partial * 1024)
            state.offline, state.partial, state.residence_time = True, partial, int(self.clock())
            self.state.keep_inode(path, state)
            self._raise_event("offline", path)
            return True

    def stage(self, path: Path) -> None:
        """Bring *path* to disk now, as the stager does when the tape is mounted.

        Raises OSError(ENXIO) when no copy is good, and notes that the stage failed.
        """
        self.notice()
        with self.state.locked():
            self._stage(path)

    def damage(self, path: Path, copy: int = 1) -> None:
        """Mark copy number *copy* as damaged."""
        self.notice()
        with self.state.locked():
            state = self._state(path)
            state.copies[copy].damaged = True
            state.damaged = state.offline and not state.good_copies()
            self.state.keep_inode(path, state)
            # Sic: SAM-QFS counts from 1 here while the updater counts from 0.
            self._raise_event("archange", path, copy=copy)

    def unarchive(self, path: Path, copy: int = 1) -> None:
        """Forget copy number *copy*; SAM-QFS raises no event for this."""
        self.notice()
        with self.state.locked():
            state = self._state(path)
            del state.copies[copy]
            self.state.keep_inode(path, state)

    # What the stager's daemon does

    def requests(self) -> list[Path]:
        """Return the files that wait for a stage, the oldest request first."""
        files = [file for file in self.state.directory.joinpath("staging").iterdir() if file.name[0] != "."]
        return [
            Path(os.fsdecode(file.read_bytes())) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)
        ]

    def serve_requests(self, delay: float = 0.0) -> int:
        """Stage every file that was asked for *delay* seconds ago or earlier; return how many."""
        served = 0
        for file in list(self.state.directory.joinpath("staging").iterdir()):
            if file.name[0] == "." or time.time() - file.stat().st_mtime < delay:
                continue
            path = Path(os.fsdecode(file.read_bytes()))
            with suppress(OSError):  # a failure is in the state of the inode
                if key_of(path) == file.name:
                    self.stage(path)
            file.unlink(missing_ok=True)
            served += 1
        return served

    def stage_calls(self) -> list[str]:
        """Return one ``call <path>`` or ``queued <path>`` for each request the stubs have seen."""
        try:
            return (self.state.directory / "stage.log").read_text().splitlines()
        except FileNotFoundError:
            return []

    def fail_stage_requests(self, number: int) -> None:
        """Let sam_stage answer with errno *number* from now on; 0 ends it."""
        self.state.keep("stage-errno", number)

    # What the kernel sees

    def notice(self) -> None:
        """Compare the mount with the last look and raise the events for what changed in between.

        utime and chmod raise none, as in SAM-QFS.
        """
        with self.state.locked():
            before = {key: Entry(**entry) for key, entry in self.state.seen().items()}
            after = self._look(before)
            for key in before.keys() - after.keys():
                self._forget(before[key])
                self.state.forget_seen(key)
            for key, entry in after.items():
                if entry != before.get(key):
                    self._compare(key, before.get(key), entry)
                    self.state.keep_seen(key, vars(entry))

    def inode_of(self, path: Path) -> tuple[int, int]:
        """Return (ino, gen) of *path*, which has been noticed."""
        if path == self.mount:
            return ROOT_INODE
        state = self.state.inode(path)
        return path.lstat().st_ino & WORD, state.generation if state else 0

    def status(self, path: Path) -> InodeState:
        """Return what SAM-QFS knows of *path*."""
        self.notice()
        with self.state.locked():
            return self._state(path)

    def events(self) -> list[dict[str, Any]]:
        """Return the events nobody has taken yet, oldest first."""
        directory = self.state.directory / "events"
        return [self.state.read(f"events/{name}", {}) for name in sorted(os.listdir(directory)) if name[0] != "."]

    def drop_event(self, event: dict[str, Any]) -> None:
        """Take *event* from the list."""
        (self.state.directory / "events" / f"{event['number']:012}").unlink(missing_ok=True)

    # Inside

    def _look(self, before: dict[str, Entry]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for path in self._walk():
            try:
                status, birth = path.lstat(), birth_of(path)
            except FileNotFoundError:
                continue
            key = f"{status.st_ino}.{birth[0]}.{birth[1]}"
            name = f"/{path.relative_to(self.mount)}"
            if key in found:
                found[key].names.append(name)
                continue
            generation = before[key].generation if key in before else self._new_generation(status.st_ino & WORD)
            found[key] = Entry(
                status.st_ino & WORD,
                generation,
                [name],
                status.st_size,
                status.st_mtime_ns,
                [*birth],
                stat.S_ISDIR(status.st_mode),
            )
            if key not in before:
                self.state.keep_inode_of_key(key, InodeState(generation, birth[0]))
        return found

    def _walk(self) -> Iterator[Path]:
        for directory, directories, files in os.walk(self.mount):
            for name in sorted(directories + files):
                yield Path(directory, name)

    def _new_generation(self, inode: int) -> int:
        """Return the generation of an inode just made: 1 for a new number, one more than its last free else."""
        return self.state.next_number(f"generation of {inode}")

    def _compare(self, key: str, before: Entry | None, after: Entry) -> None:
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
            self._note_change(key, before, after)

    def _note_change(self, key: str, before: Entry, after: Entry) -> None:
        state = self.state.inode_of_key(key)
        if state and state.copies:
            if before.size == after.size and self._equals_its_copy(self._path(after.names[0]), state):
                return  # utime only
            for copy in state.copies.values():
                copy.stale = True
            self.state.keep_inode_of_key(key, state)
            self._note("modify", after)
        self._note("close", after)

    def _equals_its_copy(self, path: Path, state: InodeState) -> bool:
        with suppress(FileNotFoundError):  # moved or removed just now
            return state.offline or self._read_copy(next(iter(state.copies.values()))) == path.read_bytes()
        return False

    def _forget(self, entry: Entry) -> None:
        for name in entry.names:
            last = name == entry.names[-1]
            self._queue("remove", entry.inode, entry.generation, name=name, last=last)
        self.state.next_number(f"generation of {entry.inode}")  # freed

    def _state(self, path: Path) -> InodeState:
        state = self.state.inode(path)
        if state is None:
            raise FileNotFoundError(errno.ENOENT, "the emulator has not seen this file", str(path))
        return state

    def _path(self, name: str) -> Path:
        return self.mount / name.lstrip("/")

    def _note(self, kind: str, entry: Entry, **more: Any) -> None:
        self._queue(kind, entry.inode, entry.generation, path=entry.names[0].lstrip("/"), **more)

    def _raise_event(self, kind: str, path: Path, **more: Any) -> None:
        inode, generation = self.inode_of(path)
        self._queue(kind, inode, generation, path=str(path.relative_to(self.mount)), **more)

    def _queue(self, kind: str, inode: int, generation: int, **more: Any) -> None:
        number = self.state.next_number("events")
        event = {"number": number, "kind": kind, "ino": inode, "gen": generation, "time": self.clock(), **more}
        self.state.keep(f"events/{number:012}", event)

    def _write_section(self, content: bytes, media: str, vsn: str) -> Section:
        volume = self.tape / vsn
        volume.mkdir(exist_ok=True)
        position = self.state.next_number(f"position on {vsn}")
        (volume / str(position)).write_bytes(content)
        return Section(media, vsn, position, offset=1, size=len(content))

    def _read_copy(self, copy: Copy) -> bytes:
        return b"".join((self.tape / section.vsn / str(section.position)).read_bytes() for section in copy.sections)

    def _stage(self, path: Path) -> None:
        state = self._state(path)
        if state.offline:
            copies = state.good_copies()
            state.stage_failed, state.damaged = not copies, not copies
            if not copies:
                self.state.keep_inode(path, state)
                raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), str(path))
            try:
                content = self._read_copy(copies[0])
            except OSError:  # the tape cannot be read now
                state.stage_failed = True
                self.state.keep_inode(path, state)
                raise
            _fill(path, content)
            state.offline, state.partial, state.residence_time = False, 0, int(self.clock())
            self.state.keep_inode(path, state)
            self._raise_event("online", path)
        self.state.request_file(path).unlink(missing_ok=True)

    def _punch_hole(self, path: Path, keep: int) -> None:
        start = -(-keep // BLOCK_SIZE) * BLOCK_SIZE
        with _writable(path) as descriptor:
            os.fsync(descriptor)  # what is not on disk yet cannot be dropped from it
            size = os.fstat(descriptor).st_size
            # To the end of the last block: half a block would only be filled with zeros.
            length = max(-(-size // BLOCK_SIZE) * BLOCK_SIZE - start, 0)
            arguments = (ctypes.c_longlong(start), ctypes.c_longlong(length))
            if length and _libc.fallocate(descriptor, _FALLOC_PUNCH_HOLE | _FALLOC_KEEP_SIZE, *arguments):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(path))


@contextmanager
def _writable(path: Path) -> Iterator[int]:
    """Open *path* for writing whatever its mode; leave its mode and times as they were."""
    status = path.stat()
    if not status.st_mode & stat.S_IWUSR:
        path.chmod(status.st_mode | stat.S_IWUSR)
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield descriptor
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    finally:
        os.close(descriptor)


def _fill(path: Path, content: bytes) -> None:
    with _writable(path) as descriptor:
        written = 0
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], written)
        os.fsync(descriptor)
