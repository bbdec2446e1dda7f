"""What the system tells of an inode, the time of its birth included."""

import ctypes
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BASIC_AND_BTIME = 0xFFF
_STATX_SIZE = 256  # bytes
_MODE, _INODE_AND_SIZE, _BIRTH, _MTIME = 28, 32, 80, 112  # offsets in struct statx

_libc = ctypes.CDLL(None, use_errno=True)


class Found(NamedTuple):
    """An inode, as statx describes it; the time of birth is zeros where the file system does not say."""

    inode: int
    size: int
    mtime: int  # nanoseconds
    born: int  # seconds
    is_directory: bool
    key: str  # "<ino>.<birth>": no later inode will have it


def found_at(path: str | Path) -> Found:
    """Return what is at *path*; a symlink is not followed. Raises OSError."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BASIC_AND_BTIME, buffer):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    (mode,) = struct.unpack_from("=H", buffer, _MODE)
    inode, size = struct.unpack_from("=QQ", buffer, _INODE_AND_SIZE)
    born, born_nanoseconds = struct.unpack_from("=qI", buffer, _BIRTH)
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _MTIME)
    key = f"{inode}.{born}.{born_nanoseconds}"
    return Found(inode, size, seconds * 1_000_000_000 + nanoseconds, born, stat.S_ISDIR(mode), key)


def key_of(path: str | Path) -> str:
    """Return the key of the inode at *path*. Raises OSError."""
    return found_at(path).key
