"""Digests of content, computed while its bytes stream.

Algorithms have their names of RFC 9530 (``sha-256``, ``sha-512``, and the deprecated ``sha``,
``md5``, ``adler32`` and ``crc32c``); other spellings are understood. A digest is
bytes in here; checksums are their four bytes, most significant first.
"""

import hashlib
import os
import sys
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from queue import SimpleQueue
from typing import Any, Protocol

from .exception import DigestMismatchError, StorageError
from .metrics.definitions import CELLS, DIGEST_MISMATCHES

Digests = dict[str, bytes]


class _Hash(Protocol):
    def update(self, block: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Checksum:
    """A 32-bit checksum with the methods of hashlib."""

    def __init__(self, extend: Callable[[bytes, int], int], start: int) -> None:
        self._extend = extend
        self._value = start

    def update(self, block: bytes, /) -> None:
        self._value = self._extend(block, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _crc32c() -> Callable[[], _Hash] | None:
    try:
        extend = import_module("google_crc32c").extend
    except ImportError:
        return None
    return lambda: _Checksum(lambda block, value: int(extend(value, block)), 0)


def _sha1() -> Any:
    return hashlib.sha1(usedforsecurity=False)


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


# name: (length in bytes, maker); the strongest first, which is also the order in headers.
_ALGORITHMS: dict[str, tuple[int, Callable[[], _Hash] | None]] = {
    "sha-512": (64, hashlib.sha512),
    "sha-256": (32, hashlib.sha256),
    "sha": (20, _sha1),
    "md5": (16, _md5),
    "crc32c": (4, _crc32c()),
    "adler32": (4, lambda: _Checksum(zlib.adler32, 1)),
}
# RFC 9530 registers adler, RFC 3230 ADLER32; Pacifica's metadata say sha1 and sha256.
_OTHER_NAMES = {"adler": "adler32", "sha1": "sha", "sha-1": "sha", "sha256": "sha-256", "sha512": "sha-512"}
BLOCKS_HELD = 2  # by a Hasher: one is hashed while the next is received
COLLISION_RESISTANT = ("sha-512", "sha-256")

ALGORITHMS = tuple(_ALGORITHMS)
SUPPORTED = tuple(name for name, (_, maker) in _ALGORITHMS.items() if maker)

_INLINE_SIZE = 1 << 16  # bytes; below it a thread costs more than it gains
_PROCESSORS = os.cpu_count() or 1


def digest_length(name: str) -> int:
    """Return the length in bytes of the digests of the algorithm *name*."""
    return _ALGORITHMS[name][0]


def algorithm(name: str) -> str | None:
    """Return our name of the algorithm *name*, in any case and spelling; None when it cannot be computed here."""
    lowered = name.strip().lower()
    known = _OTHER_NAMES.get(lowered, lowered)
    return known if known in SUPPORTED else None


class Hasher:
    """Computes digests of what it is fed; it holds BLOCKS_HELD blocks at most."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        """Compute the digests *algorithms*, our names."""
        self._hashes = {name: _make(name) for name in sorted(set(algorithms), key=SUPPORTED.index)}
        self._held: deque[bytes] = deque()  # the first is being hashed, or is the next
        self._changed = threading.Condition()
        self._is_shared = False  # with threads that hash
        self._failure: BaseException | None = None

    def update(self, block: bytes) -> None:
        """Take the next block. It is hashed while the caller goes on to read and write the ones after.

        Raises StorageError once hashing has failed.
        """
        if not self._hashes:
            return
        if len(block) < _INLINE_SIZE:
            self._await(most=0)
            self._hash(block)
            return
        self._await(most=BLOCKS_HELD - 1)
        self._is_shared = True
        with self._changed:
            self._held.append(block)
            begins = len(self._held) == 1
        if begins:
            self._hash_later()

    def hashed(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield *blocks*, each of which is being hashed. Raises as `update` does."""
        for block in blocks:
            self.update(block)
            yield block

    def digests(self) -> Digests:
        """Return the digests of all that was taken, the strongest first. Raises as `update` does."""
        self._await(most=0)
        return {name: state.digest() for name, state in self._hashes.items()}

    def _await(self, most: int) -> None:
        if not self._is_shared:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._failure or len(self._held) <= most)
        if self._failure:
            raise StorageError("the digests of the content could not be computed") from self._failure

    def _hash_later(self) -> None:
        if not _pool(os.getpid()).submit(self._hash_in_pool):
            while self._hash_next():
                pass

    def _hash_in_pool(self) -> None:
        # One block at a time: between two of them the pool's threads take blocks of other uploads.
        if self._hash_next():
            self._hash_later()

    def _hash_next(self) -> bool:
        """Hash the first of the blocks that are held, and return whether there are more."""
        is_hashed = False
        try:
            self._hash(self._held[0])
            is_hashed = True
        finally:
            with self._changed:
                self._held.popleft()
                if not is_hashed:
                    self._failure = sys.exc_info()[1]
                    self._held.clear()
                self._changed.notify()
                has_more = bool(self._held)
        return has_more

    def _hash(self, block: bytes) -> None:
        for state in self._hashes.values():
            state.update(block)


class _Pool:
    """Threads that hash, as many as there are processors."""

    def __init__(self) -> None:
        self._threads = 0
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, task: Callable[[], None]) -> bool:
        """Run *task* soon; return False, and do not run it, when no thread can be started."""
        self._grow()
        if not self._threads:
            return False
        self._tasks.put(task)
        return True

    def _grow(self) -> None:
        with self._lock, suppress(RuntimeError):  # the system has no thread left
            if self._threads < _PROCESSORS:
                threading.Thread(target=self._work, name="hashing", daemon=True).start()
                self._threads += 1

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            with suppress(Exception):  # the Hasher keeps it
                task()
            del task  # and with it the block


def _make(name: str) -> _Hash:
    maker = _ALGORITHMS[name][1]
    assert maker
    return maker()


@lru_cache(maxsize=1)
def _pool(pid: int) -> _Pool:
    # One for each process: a fork leaves the threads behind.
    return _Pool()


def check(announced_digests: Digests, computed: Digests) -> None:
    """Raise DigestMismatchError unless the content has every digest that was announced for it."""
    for name, value in announced_digests.items():
        if computed[name] != value:
            CELLS.add(DIGEST_MISMATCHES.change("upload"))
            raise DigestMismatchError(
                f"the {name} digest of the bytes received is {computed[name].hex()}, not {value.hex()}"
            )
