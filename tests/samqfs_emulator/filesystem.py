"""A SAM-QFS mount over an ordinary directory: archive, release, stage, and the events each of them raises."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.samqfs_emulator.blocks import drop_blocks, fill_blocks
from tests.samqfs_emulator.found import found_at, key_of
from tests.samqfs_emulator.library import Library
from tests.samqfs_emulator.looking import WORD, Lookout
from tests.samqfs_emulator.state import Copy, InodeState, Section
from tests.samqfs_emulator.store import StateStore

ROOT_INODE = (2, 2)


class SamQfs:
    """The file system under *mount*, its volumes under ``root/tape``, its memory under ``root/state``.

    Nothing is kept in the object: another process on the same root sees the same file system. Many calls within one
    ``with filesystem.state.locked()`` are faster.
    """

    def __init__(self, root: Path, mount: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self.mount = mount or root / "mount"
        self.tape = root / "tape"
        self.mount.mkdir(parents=True, exist_ok=True)
        self.tape.mkdir(parents=True, exist_ok=True)
        self.state = StateStore(root / "state")
        self.library = Library(self.state)
        self.clock = clock
        self._lookout = Lookout(self.mount, self.state, lambda: self.clock(), self._equals_its_copy)

    # What an operator does

    def archive(self, path: Path, copy: int = 1, media: str = "li", vsn: str = "", sections: int = 1) -> None:
        """Make archive copy number *copy* of *path*, spread over as many volumes as *sections* says.

        Without *vsn* the library says which volume.
        """
        with self.state.locked():
            state = self._state(path)
            vsn = vsn or self.library.volume_for_next()
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
            self._lookout.raise_event("archive", path, copy=copy - 1)

    def release(self, path: Path, partial: int = 0) -> bool:
        """Drop the blocks of *path* but the first *partial* KiB; return whether it went.

        Raises OSError(EBUSY) while it is being staged. A file without a good copy stays.
        """
        with self.state.locked():
            state = self._state(path)
            if self.state.request_file(path).exists():
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
            if state.offline or not state.good_copies() or path.stat().st_size <= partial * 1024:
                return False
            drop_blocks(path, partial * 1024)
            state.offline, state.partial, state.residence_time = True, partial, int(self.clock())
            self.state.keep_inode(path, state)
            self._lookout.raise_event("offline", path)
            return True

    def stage(self, path: Path) -> None:
        """Bring *path* to disk now, whatever the drives do.

        Raises OSError(ENXIO) when no copy is good, and notes that the stage failed.
        """
        with self.state.locked():
            self._stage(path, self._state(path))

    def damage(self, path: Path, copy: int = 1) -> None:
        """Mark copy number *copy* as damaged."""
        with self.state.locked():
            state = self._state(path)
            state.copies[copy].damaged = True
            state.damaged = state.offline and not state.good_copies()
            self.state.keep_inode(path, state)
            # Sic: SAM-QFS counts from 1 here while the updater counts from 0.
            self._lookout.raise_event("archange", path, copy=copy)

    def unarchive(self, path: Path, copy: int = 1) -> None:
        """Forget copy number *copy*; SAM-QFS raises no event for this."""
        with self.state.locked():
            state = self._state(path)
            del state.copies[copy]
            self.state.keep_inode(path, state)

    # What the stager's daemon does

    def requests(self) -> list[Path]:
        """Return the files that wait for a stage, the oldest request first."""
        return [Path(os.fsdecode(file.read_bytes())) for file in self.state.files_in("staging")]

    def serve_requests(self) -> None:
        """Let the drives read what they can have read by now, beginning with what was asked for since the last call."""
        with self.state.locked():
            self._take_in_requests()
            for request in self.library.read_until(self.clock()):
                self._end_request(request.key, Path(request.path))

    def time_of_next_stage(self) -> float | None:
        """Return when the drives have brought the next file to disk, None when they are idle."""
        with self.state.locked():
            return self.library.next_end()

    def counters(self) -> dict[str, int]:
        """Return how many mounts, positions sought and stages there were."""
        with self.state.locked():
            return self.library.counters()

    def stage_calls(self) -> list[str]:
        """Return one ``call <path>`` or ``queued <path>`` for each request the stubs have seen."""
        try:
            return (self.state.directory / "stage.log").read_text().splitlines()
        except FileNotFoundError:
            return []

    def fail_stage_requests(self, number: int) -> None:
        """Let sam_stage answer with errno *number* from now on; 0 ends it."""
        self.state.keep("stage-errno", number)

    def refuse_calls(self, is_refused: bool = True) -> None:
        """Let libsam answer ENOTTY to all but sam_stat, as on Linux clients; False ends it."""
        self.state.keep("call-errno", errno.ENOTTY if is_refused else 0)

    # What the kernel sees

    def notice(self) -> None:
        """Compare the mount with the last look and raise the events for what changed in between."""
        with self.state.locked():
            self._lookout.look()

    def inode_of(self, path: Path) -> tuple[int, int]:
        """Return (ino, gen) of *path*, which has been noticed."""
        if path == self.mount:
            return ROOT_INODE
        state = self.state.inode(path)
        return found_at(path).inode & WORD, state.generation if state else 0

    def status(self, path: Path) -> InodeState:
        """Return what SAM-QFS knows of *path*."""
        with self.state.locked():
            return self._state(path)

    def events(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return the oldest *most* events nobody has taken yet."""
        with self.state.locked():
            return self.state.events(most)

    def drop_events(self, last: int) -> None:
        """Take the events up to number *last* from the list."""
        with self.state.locked():
            self.state.drop_events(last)

    # Inside

    def _state(self, path: Path) -> InodeState:
        self._lookout.look_at(path)
        state = self.state.inode(path)
        if state is None:
            raise FileNotFoundError(errno.ENOENT, "the emulator has not seen this file", str(path))
        return state

    def _take_in_requests(self) -> None:
        known = self.library.keys()
        files = {file.name: file for file in self.state.files_in("staging")}
        for key in known - files.keys():
            self.library.withdraw(key)
        for key, file in files.items():
            if key not in known:
                self._take_in(key, Path(os.fsdecode(file.read_bytes())))

    def _take_in(self, key: str, path: Path) -> None:
        state = self.state.inode_of_key(key)
        copies = state.good_copies() if state else []
        if copies:
            section = copies[0].sections[0]
            self.library.add(key, str(path), self.clock(), section.vsn, section.position, section.size)
        else:
            self._end_request(key, path)

    def _end_request(self, key: str, path: Path) -> None:
        try:
            if key_of(path) == key:
                self._stage(path, self._state(path))
            self.state.count("stages_finished")
        except OSError:  # it is in the state of the inode
            self.state.count("stages_failed")
        (self.state.directory / "staging" / key).unlink(missing_ok=True)

    def _stage(self, path: Path, state: InodeState) -> None:
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
            fill_blocks(path, content)
            state.offline, state.partial, state.residence_time = False, 0, int(self.clock())
            self.state.keep_inode(path, state)
            self._lookout.raise_event("online", path)
        self.state.request_file(path).unlink(missing_ok=True)

    def _equals_its_copy(self, path: Path) -> bool:
        with suppress(FileNotFoundError):  # moved or removed just now
            state = self.state.inode(path)
            return state is not None and (
                state.offline or self._read_copy(next(iter(state.copies.values()))) == path.read_bytes()
            )
        return False

    def _write_section(self, content: bytes, media: str, vsn: str) -> Section:
        volume = self.tape / vsn
        volume.mkdir(exist_ok=True)
        position = self.state.count(f"position on {vsn}")
        (volume / str(position)).write_bytes(content)
        return Section(media, vsn, position, offset=1, size=len(content))

    def _read_copy(self, copy: Copy) -> bytes:
        return b"".join((self.tape / section.vsn / str(section.position)).read_bytes() for section in copy.sections)
