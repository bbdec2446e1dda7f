"""The files of a log: ``NODE.log``, what it was before it was rotated, and ``NODE.head``."""

import os
import re
from collections.abc import Iterator
from functools import partial
from hashlib import sha256

from ..syncing import sync_names
from .lines import LONGEST_LINE

_LOG = re.compile(r"(.+?)\.log(?:[.-].*)?")
_BLOCK = 1 << 16  # bytes
_MODE = 0o640


def head_path(directory: str, node: str) -> str:
    """Return the path of the head of the log of *node*."""
    return os.path.join(directory, f"{node}.head")


def log_path(directory: str, node: str) -> str:
    """Return the path of the log of *node*."""
    return os.path.join(directory, f"{node}.log")


def log_files(directory: str) -> Iterator[tuple[str, str]]:
    """Yield the node and the path of each file of a log, those that were rotated too. Raises OSError."""
    for name in sorted(os.listdir(directory)):
        found = _LOG.fullmatch(name)
        if found:
            yield found[1], os.path.join(directory, name)


class LogFile:
    """A file of a log that is open for appending."""

    def __init__(self, path: str) -> None:
        """Open the file at *path*. Raises OSError, FileNotFoundError if it is missing."""
        self.descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.inode = os.fstat(self.descriptor).st_ino

    @classmethod
    def made(cls, path: str) -> "LogFile":
        """Return the file at *path*; one that is missing is made, and stays when power is lost. Raises OSError."""
        try:
            return cls(path)
        except FileNotFoundError:
            directory = os.path.dirname(path)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE))
            own(path)
            sync_names(directory)
        return cls(path)

    @property
    def size(self) -> int:
        """The bytes in the file."""
        return os.fstat(self.descriptor).st_size

    def append(self, text: bytes) -> int:
        """Append *text*, and return how many bytes of it there was room for."""
        written = 0
        while written < len(text):
            try:
                written += os.write(self.descriptor, text[written:])
            except OSError:
                if not written:
                    raise
                return written
        return written

    def sync(self) -> None:
        """Return when all that was appended is on stable storage."""
        os.fdatasync(self.descriptor)

    def lines_from(self, offset: int) -> Iterator[bytes]:
        """Yield the lines from *offset* on, each with its end; the last one may have none."""
        with open(os.dup(self.descriptor), "rb") as file:
            file.seek(offset)
            yield from iter(partial(file.readline, LONGEST_LINE), b"")

    def digest_of(self, start: int, end: int) -> str:
        """Return the SHA-256 of the bytes from *start* to *end*, in hex."""
        digest = sha256()
        for offset in range(start, end, _BLOCK):
            digest.update(os.pread(self.descriptor, min(_BLOCK, end - offset), offset))
        return digest.hexdigest()

    def ends_within_a_line(self) -> bool:
        """Return whether the last byte is not the end of a line."""
        size = self.size
        return size > 0 and os.pread(self.descriptor, 1, size - 1) != b"\n"

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def inode_of(path: str) -> int:
    """Return the inode of what is at *path*, 0 for nothing."""
    try:
        return os.stat(path, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return 0


def file_with(directory: str, node: str, inode: int) -> LogFile | None:
    """Return the file of the log of *node* that has this *inode*, open, if it is still there."""
    for owner, path in log_files(directory):
        if owner == node and inode_of(path) == inode:
            return LogFile(path)
    return None


def own(path: str) -> None:
    """Give a new file to the owner of its directory: root runs commands, and the service has to append."""
    if os.geteuid() == 0:
        owner = os.stat(os.path.dirname(path))
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
