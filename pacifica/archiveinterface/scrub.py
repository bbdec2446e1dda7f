"""Scrubbing: reading what is stored, and saying of each file whether it is still what was stored."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from .backends.abstract.archive import AbstractBackendArchive, Entry
from .backends.abstract.status import AbstractStatus
from .bodies import BLOCK_SIZE, settle_digests
from .digests import SUPPORTED, Digests, Hasher
from .exception import ArchiveInterfaceError, DamagedFileError, MissingFileError

OK = "ok"
DAMAGED = "damaged"
NO_DIGEST = "no digest"
RECORDED = "recorded"  # it had no digest, and has one now
UNREADABLE = "unreadable"
MISSING = "missing"
OFFLINE = "offline"  # on tape only, and not to be recalled
PARTIAL = "partial"  # left half-written by a process that died
UNKNOWN = "unknown"  # a name that no id maps to

BAD = frozenset((DAMAGED, UNREADABLE, MISSING))

_RECALL_POLL = 1.0  # seconds


@dataclass(frozen=True)
class Finding:
    """What was found of one file; *path* is below the prefix, *file_id* None where no id maps to it."""

    path: str
    file_id: str | None
    result: str
    size: int = 0
    digests: Digests = field(default_factory=dict)
    detail: str = ""


class Throttle:
    """Lets *rate* bytes a second through, all threads together; 0 lets all through."""

    def __init__(self, rate: float) -> None:
        """Start now."""
        self._rate = rate
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Return when *size* bytes may be read."""
        if not self._rate:
            return
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + size / self._rate
        time.sleep(max(0.0, begin - time.monotonic()))


class Scrub:
    """Reads files of *archive* and settles whether they are what was stored."""

    def __init__(
        self, archive: AbstractBackendArchive, *, rate: float = 0, record: bool = False, recall: bool = False
    ) -> None:
        """Read at most *rate* bytes a second; *record* digests where there are none; *recall* from tape."""
        self._archive = archive
        self._throttle = Throttle(rate)
        self._record = record
        self._recall = recall

    def run(self, entries: Iterable[Entry], jobs: int = 1) -> Iterator[Finding]:
        """Yield what is found of each of *entries*, in their order, *jobs* of them at a time."""
        remaining = iter(entries)
        with ThreadPoolExecutor(jobs, "scrub") as pool:
            queue: list[Future[Finding]] = [pool.submit(self.examine, entry) for entry in islice(remaining, 2 * jobs)]
            try:
                while queue:
                    yield queue.pop(0).result()
                    queue += [pool.submit(self.examine, entry) for entry in islice(remaining, 1)]
            finally:
                for unfinished in queue:
                    unfinished.cancel()

    def examine(self, entry: Entry) -> Finding:
        """Return what is found of *entry*; it is read to its end when it is a file and at hand."""
        if entry.file_id is None:
            return Finding(entry.path, None, PARTIAL if entry.is_partial else UNKNOWN)
        try:
            return self._read(entry.path, entry.file_id)
        except MissingFileError as error:
            return Finding(entry.path, entry.file_id, MISSING, detail=str(error))
        except ArchiveInterfaceError as error:
            return Finding(entry.path, entry.file_id, UNREADABLE, detail=str(error.__cause__ or error))

    def _read(self, path: str, file_id: str) -> Finding:
        if not self._is_at_hand(file_id):
            return Finding(path, file_id, OFFLINE)
        with self._archive.open(file_id, "r") as file:
            status = file.status()
            computed = self._hash(file, status)
            try:
                return self._settle(path, file_id, file, status, computed)
            except DamagedFileError as error:
                return Finding(path, file_id, DAMAGED, status.filesize, computed, str(error))

    def _is_at_hand(self, file_id: str) -> bool:
        file = self._archive.file(file_id)
        if file.is_online():
            return True
        if not self._recall:
            return False
        while not file.stage():
            time.sleep(_RECALL_POLL)
        return True

    def _hash(self, file: AbstractBackendArchive, status: AbstractStatus) -> Digests:
        known = [name for name in status.digests if name in SUPPORTED]
        hasher = Hasher(known or self._archive.config.archive.digests)
        while block := file.read(BLOCK_SIZE):
            self._throttle.take(len(block))
            hasher.update(block)
        return hasher.digests()

    def _settle(
        self, path: str, file_id: str, file: AbstractBackendArchive, status: AbstractStatus, computed: Digests
    ) -> Finding:
        if not status.digests:
            if self._record:
                settle_digests(file, status, computed)
            return Finding(path, file_id, RECORDED if self._record else NO_DIGEST, status.filesize, computed)
        settle_digests(file, status, computed)
        if status.damaged:
            file.set_digests(status.digests)  # somebody has repaired it: the mark goes
        return Finding(path, file_id, OK, status.filesize, computed)
