"""The blocks of a file: dropped and filled again, with everything else as it was."""

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK_SIZE = 4096  # bytes; what stays on disk of a partially released file is a multiple of it

_FALLOC_KEEP_SIZE = 0x1
_FALLOC_PUNCH_HOLE = 0x2

_libc = ctypes.CDLL(None, use_errno=True)


def drop_blocks(path: Path, keep: int) -> None:
    """Drop the blocks of *path* but those of the first *keep* bytes."""
    start = -(-keep // BLOCK_SIZE) * BLOCK_SIZE
    with _writable(path) as descriptor:
        _punch_hole(descriptor, start)
        if os.fstat(descriptor).st_blocks * 512 > start:
            os.fsync(descriptor)  # some file systems drop only what is on disk already
            _punch_hole(descriptor, start)


def _punch_hole(descriptor: int, start: int) -> None:
    # To the end of the last block: half a block would only be filled with zeros.
    length = max(-(-os.fstat(descriptor).st_size // BLOCK_SIZE) * BLOCK_SIZE - start, 0)
    arguments = (ctypes.c_longlong(start), ctypes.c_longlong(length))
    if length and _libc.fallocate(descriptor, _FALLOC_PUNCH_HOLE | _FALLOC_KEEP_SIZE, *arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fill_blocks(path: Path, content: bytes) -> None:
    """Write *content* into *path*."""
    with _writable(path) as descriptor:
        written = 0
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], written)
        if os.fstat(descriptor).st_blocks * 512 < len(content):
            os.fsync(descriptor)  # some file systems count a block once it is on disk


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
