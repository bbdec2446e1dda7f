"""The calls of libsam that this service needs: sam_stat, sam_stage and sam_cancelstage.

The record is that of sam_stat(3) on x86-64, packed to four bytes; compare it with the installed stat.h. The caller
compares inode and size with stat's, so that another layout is noticed.
"""

import ctypes
import os
import struct
from typing import NamedTuple

RECORD_SIZE = 420  # bytes
_ROOM = 4096  # bytes; more than any layout needs, in case a library ignores the size
_INODE, _SIZE, _FLAGS, _PARTIAL, _ATTR = 4, 28, 329, 336, 412  # offsets in the record

# attr
SS_DAMAGED = 0x10
SS_SAMFS = 0x800
SS_PARTIAL = 0x4000
SS_OFFLINE = 0x8000
SS_ARCHIVED = 0x10000

# flags
SS_STAGING = 0x01  # asked for, or being read from tape
SS_STAGEFAIL = 0x02  # the last attempt failed


class SamStat(NamedTuple):
    """What sam_stat tells of a file; sizes are bytes."""

    inode: int
    size: int
    partial: int
    attr: int
    flags: int


class Libsam:
    """The library at one path."""

    def __init__(self, path: str) -> None:
        """Load it. Raises OSError when it is not there or lacks a call."""
        library = ctypes.CDLL(path, use_errno=True)
        try:
            self._stat, self._stage, self._cancel = library.sam_stat, library.sam_stage, library.sam_cancelstage
        except AttributeError as error:
            raise OSError(f"{path} is not a libsam: {error}") from error
        self._stat.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
        self._stage.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        self._cancel.argtypes = (ctypes.c_char_p,)

    def stat(self, filepath: str) -> SamStat:
        """Return what SAM-QFS has recorded about *filepath*. Raises OSError."""
        record = ctypes.create_string_buffer(_ROOM)
        _check(self._stat(os.fsencode(filepath), record, RECORD_SIZE), filepath)
        (inode,) = struct.unpack_from("=I", record, _INODE)
        (size,) = struct.unpack_from("=Q", record, _SIZE)
        (flags,) = struct.unpack_from("=B", record, _FLAGS)
        (partial,) = struct.unpack_from("=i", record, _PARTIAL)
        (attr,) = struct.unpack_from("=Q", record, _ATTR)
        return SamStat(inode, size, max(partial, 0) * 1024, attr, flags)

    def stage(self, filepath: str) -> None:
        """Queue the recall of *filepath* and return; nothing is queued twice. Raises OSError."""
        _check(self._stage(os.fsencode(filepath), b"i"), filepath)

    def cancel_stage(self, filepath: str) -> None:
        """Withdraw the recall of *filepath*, if there is one. Raises OSError, for example unless the caller owns it."""
        _check(self._cancel(os.fsencode(filepath)), filepath)


def _check(result: int, filepath: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), filepath)
