"""The calls of libsam that this service needs: sam_stat, sam_stage, sam_cancelstage and sam_release.

The record is that of sam_stat(3) on x86-64, packed to four bytes; compare it with the installed stat.h. The caller
compares inode and size with stat's, so that another layout is noticed.
"""

import ctypes
import errno
import os
import struct
from typing import NamedTuple

RECORD_SIZE = 420  # bytes
_ROOM = 4096  # bytes; more than any layout needs, in case a library ignores the size
_INODE, _SIZE, _COPIES, _FLAGS, _PARTIAL, _ATTR = 4, 28, 84, 329, 336, 412  # offsets in the record
# Of each of the four copies: position, time, offset, flags, number of volumes, media, volume.
_COPY = struct.Struct("=QqIHH4s32s")

# attr
SS_DAMAGED = 0x10
SS_SAMFS = 0x800
SS_PARTIAL = 0x4000
SS_OFFLINE = 0x8000
SS_ARCHIVED = 0x10000

# flags
SS_STAGING = 0x01  # asked for, or being read from tape
SS_STAGEFAIL = 0x02  # the last attempt failed


# flags of a copy
CF_STALE = 0x01
CF_DAMAGED = 0x10
CF_UNARCHIVED = 0x20
CF_ARCHIVED = 0x80

NO_SUCH_CALL = (errno.ENOTTY, errno.ENOSYS, errno.ENOTSUP)  # what SAM-QFS clients on Linux answer


class Copy(NamedTuple):
    """One of the four archive copies that a file may have, with its first volume."""

    flags: int
    volume: str
    position: int
    offset: int

    @property
    def is_good(self) -> bool:
        """Whether the file can be staged from this copy."""
        return self.flags & (CF_ARCHIVED | CF_STALE | CF_DAMAGED | CF_UNARCHIVED) == CF_ARCHIVED and bool(self.volume)


class SamStat(NamedTuple):
    """What sam_stat tells of a file; sizes are bytes."""

    inode: int
    size: int
    partial: int
    attr: int
    flags: int
    copies: tuple[Copy, ...]


class Libsam:
    """The library at one path."""

    def __init__(self, path: str) -> None:
        """Load it. Raises OSError when it is not there or lacks a call."""
        library = ctypes.CDLL(path, use_errno=True)
        try:
            self._stat, self._stage = library.sam_stat, library.sam_stage
            self._cancel, self._release = library.sam_cancelstage, library.sam_release
        except AttributeError as error:
            raise OSError(f"{path} is not a libsam: {error}") from error
        self._stat.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
        self._stage.argtypes = self._release.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        self._cancel.argtypes = (ctypes.c_char_p,)

    def has_requests(self) -> bool:
        """Return whether this host has more than sam_stat: SAM-QFS clients on Linux have not."""
        # The empty path names no file, so that nothing else can come of it.
        return not self._release(b"", b"i") or ctypes.get_errno() != errno.ENOTTY

    def stat(self, filepath: str) -> SamStat:
        """Return what SAM-QFS has recorded about *filepath*. Raises OSError."""
        record = ctypes.create_string_buffer(_ROOM)
        _check(self._stat(os.fsencode(filepath), record, RECORD_SIZE), filepath)
        (inode,) = struct.unpack_from("=I", record, _INODE)
        (size,) = struct.unpack_from("=Q", record, _SIZE)
        (flags,) = struct.unpack_from("=B", record, _FLAGS)
        (partial,) = struct.unpack_from("=i", record, _PARTIAL)
        (attr,) = struct.unpack_from("=Q", record, _ATTR)
        return SamStat(inode, size, max(partial, 0) * 1024, attr, flags, _copies(record))

    def stage(self, filepath: str) -> None:
        """Queue the recall of *filepath* and return; nothing is queued twice. Raises OSError."""
        _check(self._stage(os.fsencode(filepath), b"i"), filepath)

    def cancel_stage(self, filepath: str) -> None:
        """Withdraw the recall of *filepath*, if there is one. Raises OSError, for example unless the caller owns it."""
        _check(self._cancel(os.fsencode(filepath)), filepath)

    def release(self, filepath: str) -> None:
        """Drop the disk blocks of *filepath* if SAM-QFS has a good copy, else do nothing. Raises OSError."""
        _check(self._release(os.fsencode(filepath), b"i"), filepath)


def _copies(record: ctypes.Array[ctypes.c_char]) -> tuple[Copy, ...]:
    found = (_COPY.unpack_from(record, _COPIES + number * _COPY.size) for number in range(4))
    return tuple(
        Copy(flags, volume.partition(b"\0")[0].decode("latin-1"), position, offset)
        for position, _, offset, flags, _, _, volume in found
    )


def _check(result: int, filepath: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), filepath)
