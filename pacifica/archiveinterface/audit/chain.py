"""Appending to the log of a node, whichever process of it writes, and going on where one that died has left it."""

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from ..exception import ConfigurationError
from ..globals import LOG_NAME
from ..syncing import sync_names
from .files import LogFile, file_with, head_path, inode_of, log_files, log_path, own
from .head import Head, HeadFile
from .lines import Hashing, LineError, Members, Place, line_after, read_line
from .options import NONE, AuditOptions

SEAL = "seal"
"""The event of a line that says how many bytes before it are of lines that were not written to their end."""

Result = TypeVar("Result")
_log = logging.getLogger(LOG_NAME)


class Chain:
    """The log of one node."""

    def __init__(self, options: AuditOptions, hashing: Hashing) -> None:
        """Append to the log in the directory of *options*; no file is opened yet."""
        self.node = options.name
        self.path = log_path(options.directory, self.node)
        self._options = options
        self._hashing = hashing
        self._heads: HeadFile | None = None
        self._file: LogFile | None = None
        self._process = 0

    def append(self, lines: Sequence[Members], *, sync: bool) -> list[Place]:
        """Append *lines*, on stable storage if *sync*, and return the places of those that there was room for.

        Raises OSError if there was no room for any, ConfigurationError if the log is not one that can be gone on with.
        """
        return self._at_end(lambda heads, file, head: self._append(heads, file, head, lines, sync))

    def head(self) -> Head:
        """Return the head of the log, once it says of all lines that are there. Raises as `append` does."""
        return self._at_end(lambda heads, file, head: head)

    def close(self) -> None:
        """Close the files; the next line opens them again."""
        for opened in (self._heads, self._file):
            if opened:
                opened.close()
        self._heads = self._file = None

    def _at_end(self, act: Callable[[HeadFile, LogFile, Head], Result]) -> Result:
        while True:
            heads = self._open_heads()
            with heads.locked():
                if inode_of(heads.path) == os.fstat(heads.descriptor).st_ino:
                    file, head = self._current(heads, self._read(heads))
                    return act(heads, file, head)
            self.close()  # another file was put there

    def _open_heads(self) -> HeadFile:
        if self._process != os.getpid():  # a lock is shared by processes that were forked after the file was opened
            self.close()
            self._process = os.getpid()
        if self._heads is None:
            path = head_path(self._options.directory, self.node)
            is_new = not inode_of(path)
            self._heads = HeadFile(path, self.node, self._hashing, writable=True)
            if is_new:
                own(path)
                sync_names(self._options.directory)
        return self._heads

    def _read(self, heads: HeadFile) -> Head:
        head = heads.read()
        if head:
            return head
        for node, path in log_files(self._options.directory):
            if node == self.node and os.path.getsize(path):
                fault = "is missing" if heads.is_empty() else "is not authentic: it has another key, or was changed"
                raise ConfigurationError(
                    f"{heads.path} {fault}; verify the log, keep its files elsewhere, and a new one begins"
                )
        return heads.begin()

    def _current(self, heads: HeadFile, head: Head) -> tuple[LogFile, Head]:
        """Return the file to which the next line goes, and the head once it says of all lines before."""
        if self._file is None or self._file.inode != inode_of(self.path):
            head = self._changed_over(heads, head)
        file = self._file
        assert file
        if head.inode != file.inode:
            head = heads.write(head._replace(inode=file.inode, offset=0, torn_from=-1))
        head = self._caught_up(heads, file, head)
        if self._options.rotate_bytes and head.offset >= self._options.rotate_bytes:
            return self._rotated(heads, file, head)
        return file, head

    def _changed_over(self, heads: HeadFile, head: Head) -> Head:
        """Open the file that is at the path now, and return the head once it says of all lines in the one before."""
        before, self._file = self._file, None
        try:
            file = LogFile.made(self.path)
            self._file = file
            return head if head.inode == file.inode else self._left(heads, head, before)
        finally:
            if before:
                before.close()

    def _left(self, heads: HeadFile, head: Head, before: LogFile | None) -> Head:
        """Return the head once it says of all lines in the file that was rotated by others."""
        if before and before.inode == head.inode:
            return self._caught_up(heads, before, head)
        rotated = file_with(self._options.directory, self.node, head.inode) if head.inode else None
        if rotated is None:
            return head
        try:
            return self._caught_up(heads, rotated, head)
        finally:
            rotated.close()

    def _caught_up(self, heads: HeadFile, file: LogFile, head: Head) -> Head:
        """Return *head* once it says of all lines in *file*; a line that was not written to its end is sealed."""
        size = file.size
        if size == head.offset and head.torn_from < 0:
            return head
        if size < head.offset:
            return heads.write(self._behind_cut(file, head))
        for text in file.lines_from(head.offset):
            head = self._after(file, head, text)
        head = heads.write(head)
        return head if head.torn_from < 0 else self._sealed(heads, file, head)

    def _behind_cut(self, file: LogFile, head: Head) -> Head:
        """Go on in a file that others have made shorter: the lines that are missing have their numbers."""
        _log.error("%s has lost its end: audit verify tells which lines are missing", self.path)
        if file.ends_within_a_line():
            file.append(b"\n")
        return head._replace(offset=file.size, torn_from=-1)

    def _after(self, file: LogFile, head: Head, text: bytes) -> Head:
        """Return the head after *text*, a line at its offset that may have no end."""
        ended = text if text.endswith(b"\n") else text + b"\n"
        with suppress(LineError):
            line = read_line(ended, self._hashing)
            if (line.place.sequence, line.previous) == (head.place.sequence + 1, head.place.hash):
                if ended is not text:
                    file.append(b"\n")
                return head._replace(place=line.place, offset=head.offset + len(ended), torn_from=-1)
        if ended is not text and head.torn_from < 0:
            head = head._replace(torn_from=head.offset)
        return head._replace(offset=head.offset + len(text))

    def _sealed(self, heads: HeadFile, file: LogFile, head: Head) -> Head:
        """Say how many bytes are no lines, and what they are, so that nobody can put others there."""
        size = head.offset - head.torn_from
        told = {"torn_bytes": size, "torn_sha256": file.digest_of(head.torn_from, head.offset)}
        line, place = line_after(head.place, self._told(SEAL) | told, self._hashing)
        if file.append(b"\n" + line) <= len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        file.sync()
        _log.warning("%s: a line was not written to its end, as its process was killed or had no space", self.path)
        return heads.write(head._replace(place=place, offset=head.offset + 1 + len(line), torn_from=-1))

    def _rotated(self, heads: HeadFile, file: LogFile, head: Head) -> tuple[LogFile, Head]:
        if self._options.sync != NONE:
            file.sync()
        rotated = f"{self.path}.{head.place.sequence:015}"
        try:
            if inode_of(rotated):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), rotated)
            os.rename(self.path, rotated)
        except OSError as error:
            _log.warning("%s cannot be rotated, and grows: %s", self.path, (error.strerror or "").lower())
            return file, head
        _log.info("audit log %s: %s ends at %s", self.node, rotated, head.place)
        self._file = LogFile.made(self.path)
        file.close()
        return self._file, heads.write(head._replace(inode=self._file.inode, offset=0))

    def _append(self, heads: HeadFile, file: LogFile, head: Head, told: Sequence[Members], sync: bool) -> list[Place]:
        lines, places = list[bytes](), [head.place]
        for members in told:
            line, place = line_after(places[-1], self._told() | dict(members), self._hashing)
            lines.append(line)
            places.append(place)
        room = file.append(b"".join(lines))
        if sync:
            file.sync()
        count, end = _whole(lines, room)
        head = head._replace(place=places[count], offset=head.offset + end)
        heads.write(self._told_elsewhere(head))
        if not count and lines:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        return places[1 : count + 1]

    def _told(self, event: str = "") -> dict[str, object]:
        now = time.time()
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z"
        return {"time": moment, "node": self.node, **({"event": event} if event else {})}

    def _told_elsewhere(self, head: Head) -> Head:
        """Log the place now and then: whoever can write the audit log need not be able to change that one."""
        now = time.time()
        if not self._options.head_seconds or 0 <= now - head.told < self._options.head_seconds:
            return head
        _log.info("audit log %s: head %s", self.node, head.place)
        return head._replace(told=now)


def _whole(lines: Sequence[bytes], room: int) -> tuple[int, int]:
    """Return how many of *lines* have their end within the first *room* bytes, and where the last of them ends."""
    count = end = 0
    for line in lines:
        if end + len(line) > room:
            break
        count, end = count + 1, end + len(line)
    return count, end
