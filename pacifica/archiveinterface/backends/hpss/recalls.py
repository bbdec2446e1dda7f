"""Recalls that this process asked for, to distinguish a tape that cannot be read from a slow one."""

import hashlib
import threading
import time
from collections import OrderedDict

_MOST_REMEMBERED = 10_000
_MOST_IN_VAIN = 3
FORGOTTEN_AFTER = 86400.0  # seconds; an older request says nothing about the tape now

# An arbitrary constant that distinguishes this service's requests from those of other programs.
_OURS = bytes.fromhex("70616369666963612d61726368697665")


def request_id(bitfile: bytes) -> bytes:
    """Return the 16 bytes under which every process of this service asks for *bitfile*, and so only once."""
    digest = hashlib.blake2b(bitfile, digest_size=16).digest()
    return bytes(ours ^ theirs for ours, theirs in zip(_OURS, digest, strict=True))


class Recalls:
    """How often each file was asked for without being seen on disk since; the oldest are forgotten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._asked: OrderedDict[bytes, tuple[int, float]] = OrderedDict()  # how often, and when last

    def submitted(self, bitfile: bytes) -> int:
        """Count one more request for *bitfile* and return how many before it did not bring it to disk."""
        with self._lock:
            before = self._count(bitfile)
            self._asked.pop(bitfile, None)
            self._asked[bitfile] = (before + 1, time.monotonic())
            if len(self._asked) > _MOST_REMEMBERED:
                self._asked.popitem(last=False)
            return before

    def has_failed(self, bitfile: bytes) -> bool:
        """Return whether *bitfile* was recalled too often without coming to disk; it may then be recalled again."""
        with self._lock:
            failed = self._count(bitfile) >= _MOST_IN_VAIN
            if failed:
                del self._asked[bitfile]
            return failed

    def arrived(self, bitfile: bytes) -> None:
        """Forget the requests for *bitfile*, which is on disk."""
        with self._lock:
            self._asked.pop(bitfile, None)

    def _count(self, bitfile: bytes) -> int:
        count, last = self._asked.get(bitfile, (0, 0.0))
        return count if time.monotonic() - last < FORGOTTEN_AFTER else 0
