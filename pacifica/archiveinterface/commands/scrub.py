"""Scrubbing: reading what is stored, and saying of each file whether it is still what was stored."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from ..backends.abstract.archive import AbstractBackendArchive, Entry
from ..backends.abstract.file import Reader
from ..backends.abstract.status import AbstractStatus
from ..digests import SUPPORTED, Digests, Hasher
from ..exception import (
    ArchiveInterfaceError,
    BeingStagedError,
    DamagedFileError,
    MissingFileError,
    NotARegularFileError,
)
from ..fixity import compare_or_store_digests

OK = "ok"
DAMAGED = "damaged"
NO_DIGEST = "no digest"
RECORDED = "recorded"  # it had no digest, and has one now
UNREADABLE = "unreadable"
UNCHECKED = "unchecked"  # its digests are all of algorithms that cannot be computed here
MISSING = "missing"
REMOVED = "removed"  # by a client, after it was listed
OFFLINE = "offline"  # on tape only, and not to be recalled
PARTIAL = "partial"  # left half-written by a process that died
UNKNOWN = "unknown"  # a name that no id maps to

BAD = frozenset((DAMAGED, UNREADABLE, UNCHECKED, MISSING))

_RECALL_POLL = 1.0  # seconds
_ASKED_AHEAD = 500  # files whose recall is asked for before they are read


@dataclass(frozen=True)
class Finding:
    """What was found of one file; *path* is below the prefix, *file_id* None where no id maps to it."""

    path: str
    file_id: str | None
    result: str
    size: int = 0
    digests: Digests = field(default_factory=dict)
    detail: str = ""


class Recalling(NamedTuple):
    """How files that are on tape only are recalled: *ask* asks for one by its id and returns whether it is on disk.

    One that takes longer than *seconds* is taken for unreadable.
    """

    ask: Callable[[str], bool]
    seconds: float


class ScrubStoppedError(Exception):
    """The scrub was asked to stop."""


class Throttle:
    """Lets *rate* bytes a second through, all threads together; 0 lets all through."""

    def __init__(self, rate: float, stopping: threading.Event) -> None:
        """Start now; nobody waits any longer once *stopping* is set."""
        self._rate = rate
        self._stopping = stopping
        self._free_at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Wait until *size* bytes may be read."""
        if not self._rate:
            return
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + size / self._rate
        self._stopping.wait(max(0.0, begin - time.monotonic()))


class Scrub:
    """Reads files of *archive* and says whether they are what was stored."""

    def __init__(
        self,
        archive: AbstractBackendArchive,
        *,
        rate: float = 0,
        record: bool = False,
        recalling: Recalling | None = None,
        absent: str = MISSING,
    ) -> None:
        """Read at most *rate* bytes a second; *record* digests where there are none.

        A file that is on tape only is read if *recalling* says how to have it recalled. *absent* is the result for a
        file that is not there.
        """
        self._archive = archive
        self._stopping = threading.Event()
        self._throttle = Throttle(rate, self._stopping)
        self._record = record
        self._recalling = recalling
        self._absent = absent

    def stop(self) -> None:
        """Let `run` raise ScrubStoppedError soon, in the middle of a file; a signal handler may call this."""
        self._stopping.set()

    def run(self, entries: Iterable[Entry], jobs: int = 1) -> Iterator[Finding]:
        """Yield what is found of each of *entries*, in their order, *jobs* of them at a time.

        Raises ScrubStoppedError after `stop`, and the errors of *entries*.
        """
        failures: list[ArchiveInterfaceError] = []
        remaining = _until_failure(self._asked_for(entries), failures)
        ahead = max(2 * jobs, _ASKED_AHEAD if self._recalling else 0)
        with ThreadPoolExecutor(jobs, "scrub") as pool:
            queue = deque(pool.submit(self.examine, entry) for entry in islice(remaining, ahead))
            try:
                while queue:
                    yield queue.popleft().result()
                    queue += [pool.submit(self.examine, entry) for entry in islice(remaining, 1)]
            except BaseException:
                self.stop()  # leaving the pool waits for the files that are being read
                pool.shutdown(cancel_futures=True)
                raise
        if failures:
            raise failures[0]

    def _asked_for(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield *entries*, each once its recall was asked for: tapes are read in their order only if many wait."""
        for entry in entries:
            if self._recalling and entry.file_id is not None:
                self._raise_if_stopped()
                with suppress(ArchiveInterfaceError):  # examining the file will tell
                    self._recalling.ask(entry.file_id)
            yield entry

    def examine(self, entry: Entry) -> Finding:
        """Return what is found of *entry*; a file on disk is read to its end."""
        self._raise_if_stopped()
        if entry.file_id is None:
            return Finding(entry.path, None, PARTIAL if entry.is_partial else UNKNOWN)
        try:
            return self._read(entry.path, entry.file_id)
        except MissingFileError as error:
            is_other = isinstance(error.__cause__, NotARegularFileError)
            return Finding(entry.path, entry.file_id, UNREADABLE if is_other else self._absent, detail=str(error))
        except ArchiveInterfaceError as error:
            return Finding(entry.path, entry.file_id, UNREADABLE, detail=_reason(error))

    def _read(self, path: str, file_id: str) -> Finding:
        if not self._is_readable(file_id):
            return Finding(path, file_id, OFFLINE)
        with self._archive.open(file_id, "r") as file:
            status = file.status()
            if status.digests and not status.digests.keys() & set(SUPPORTED):
                detail = f"{', '.join(status.digests)} cannot be computed here"
                return Finding(path, file_id, UNCHECKED, status.filesize, detail=detail)
            computed = self._hash(file, status)
            try:
                return self._compared(path, file_id, file, status, computed)
            except DamagedFileError as error:
                return Finding(path, file_id, DAMAGED, status.filesize, computed, str(error))

    def _is_readable(self, file_id: str) -> bool:
        if self._recalling is None:
            return self._archive.file(file_id).is_online()
        ask, seconds = self._recalling
        deadline = time.monotonic() + seconds
        while not ask(file_id):
            if time.monotonic() >= deadline:
                raise BeingStagedError(f"not recalled from tape within {seconds:g} seconds")
            self._stopping.wait(min(_RECALL_POLL, seconds))
            self._raise_if_stopped()
        return True

    def _hash(self, file: Reader, status: AbstractStatus) -> Digests:
        known = [name for name in status.digests if name in SUPPORTED]
        hasher = Hasher(known or self._archive.archive_options.digests)
        while block := file.read(file.block_size):
            self._throttle.take(len(block))
            self._raise_if_stopped()
            hasher.update(block)
        return hasher.digests()

    def _raise_if_stopped(self) -> None:
        if self._stopping.is_set():
            raise ScrubStoppedError

    def _compared(self, path: str, file_id: str, file: Reader, status: AbstractStatus, computed: Digests) -> Finding:
        if not status.digests:
            if self._record:
                compare_or_store_digests(file, status, computed)
            return Finding(path, file_id, RECORDED if self._record else NO_DIGEST, status.filesize, computed)
        compare_or_store_digests(file, status, computed)
        if status.damaged:
            file.set_digests(status.digests)  # the file has been repaired: remove the mark
        return Finding(path, file_id, OK, status.filesize, computed)


def _until_failure(entries: Iterable[Entry], failures: list[ArchiveInterfaceError]) -> Iterator[Entry]:
    """Yield *entries*; an error ends them and goes to *failures*, so that those before it are still examined."""
    try:
        yield from entries
    except ArchiveInterfaceError as error:
        failures.append(error)


def _reason(error: ArchiveInterfaceError) -> str:
    return str(error.__cause__ or error)
