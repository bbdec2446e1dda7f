"""The head of a log: a file that says where its chain has come to, and whose lock all writers take.

It has two slots of fixed size, which are written in turn, so that one of them is always whole. Each is
authenticated like a line.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..exception import BackendUnavailableError
from .lines import Hashing, Place

_SLOT = 4096  # bytes
_PATIENCE = 30.0  # seconds
_PAUSES = (0.0002, 0.005)  # seconds between two attempts to get the lock: at first, at most


class Head(NamedTuple):
    """Where a log is: the last line, the inode of its file, and the offset at which the next line begins.

    From *torn_from* on, if that is not -1, the file has the bytes of lines that were not written to their end. *told*
    is when the place was last told elsewhere, in seconds since the epoch. *turn* counts how often it was written.
    """

    place: Place = Place()
    inode: int = 0
    offset: int = 0
    torn_from: int = -1
    told: float = 0.0
    turn: int = 0


class HeadFile:
    """The head of the log of *node*, in an open file."""

    def __init__(self, path: str, node: str, hashing: Hashing, *, writable: bool) -> None:
        """Open the file; a *writable* one that is missing is made. Raises OSError."""
        self.path = path
        self._node = node
        self._hashing = hashing
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        self.descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    @contextmanager
    def locked(self, operation: int = fcntl.LOCK_EX) -> Iterator[None]:
        """Keep other writers off in the block. Raises BackendUnavailableError if one of them takes too long."""
        deadline, (pause, longest) = time.monotonic() + _PATIENCE, _PAUSES
        while not self._try_to_lock(operation):
            if time.monotonic() > deadline:
                raise BackendUnavailableError("another process keeps the audit log locked, try again later")
            time.sleep(pause)
            pause = min(2 * pause, longest)
        try:
            yield
        finally:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def _try_to_lock(self, operation: int) -> bool:
        try:
            fcntl.flock(self.descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_empty(self) -> bool:
        """Return whether no head was ever written."""
        return os.fstat(self.descriptor).st_size == 0

    def read(self) -> Head | None:
        """Return what was written last, None if neither slot is authentic."""
        text = os.pread(self.descriptor, 2 * _SLOT, 0)
        heads = [self._parse(text[:_SLOT]), self._parse(text[_SLOT:])]
        return max((head for head in heads if head), key=lambda head: head.turn, default=None)

    def write(self, head: Head) -> Head:
        """Write *head* into the slot that was not written last, and return it."""
        turned = head._replace(turn=head.turn + 1)
        text = json.dumps({"head": self._node, **turned._asdict()}).encode()
        slot = b"%b %b" % (self._hashing.of(text).encode(), text)
        os.pwrite(self.descriptor, slot.ljust(_SLOT), turned.turn % 2 * _SLOT)
        return turned

    def begin(self) -> Head:
        """Fill both slots with the head of an empty log, and return it."""
        for turn in range(2):
            head = self.write(Head(turn=turn))
        os.fsync(self.descriptor)
        return head

    def _parse(self, slot: bytes) -> Head | None:
        digest, _, text = slot.rstrip(b" ").partition(b" ")
        if not text or self._hashing.of(text) != digest.decode("ascii", "replace"):
            return None
        members: dict[str, Any] = json.loads(text)
        if members.pop("head") != self._node:
            return None
        return Head(**{**members, "place": Place(*members["place"])})
