"""Asks the storage for the next files: of the volumes that are served, in the order of the tape."""

import time
from itertools import accumulate
from math import inf

from peewee import Database, fn

from ...backends.abstract.archive import AbstractBackendArchive
from ..options import RecallOptions
from ..store import Store
from ..tables import Phase, Recall, RequestedFile
from .lease import HeldLease
from .locating import is_answering
from .outcomes import Failure, Outcomes
from .queues import Queue, Queues

_MOST_AT_ONCE = 200  # files that the storage is asked for before the lease is renewed


class Starting:
    """Starts recalls, as many as the storage may be asked for."""

    def __init__(
        self,
        archive: AbstractBackendArchive,
        store: Store,
        options: RecallOptions,
        outcomes: Outcomes,
        queues: Queues,
    ) -> None:
        """Ask *archive* for what waits in *queues*."""
        self._archive, self._store, self._options = archive, store, options
        self._outcomes, self._queues = outcomes, queues

    def __call__(self, lease: HeldLease) -> bool:
        """Ask for what comes next; return whether there was anything. Raises LeaseLostError."""
        self._queues.count(lease)
        active = [queue for queue in self._queues.active(lease.now()) if queue.files]
        if not active or self._is_disk_full():
            return False
        room = self._options.cache_bytes - self._bytes_on_disk() if self._options.cache_bytes else inf
        started = 0
        for queue in active:
            files, size = self._start(queue, room, lease)
            started, room = started + files, room - size
        return started > 0

    def _is_disk_full(self) -> bool:
        used = self._archive.disk_used()
        return used is not None and 100 * used > self._options.disk_full_percent

    def _bytes_on_disk(self) -> int:
        """Return the bytes of the files in flight and of those that are pinned."""
        pinned = RequestedFile.select(RequestedFile.recall).where(RequestedFile.pin_until.is_null(False))
        chosen = (Recall.phase == Phase.STARTED) | Recall.id.in_(pinned)
        sizes = Recall.select(fn.MAX(Recall.size)).where(chosen).group_by(Recall.key)
        return sum(size for (size,) in self._store.rows(sizes.tuples()))

    def _start(self, queue: Queue, room: float, lease: HeldLease) -> tuple[int, int]:
        """Start files of *queue* while there are bytes of *room* left; return how many, and their bytes."""
        most = min(self._options.in_flight - self._queues.in_flight, _MOST_AT_ONCE)
        if queue.volume:
            most = min(most, self._options.volume_files - queue.in_flight)
        if most <= 0 or room <= 0:
            return 0, 0
        waiting = self._next(queue.volume, most)
        queue.files = max(0, queue.files - len(waiting)) if waiting else 0
        before = accumulate((size for _, _, size in waiting), initial=0)
        chosen = {id: file_id for (id, file_id, _), used in zip(waiting, before, strict=False) if used < room}
        # First in the database: a recaller that takes over asks the storage again, which is asked once for each file.
        noted = lease.change(lambda database: self._note(database, list(chosen), lease.now())) if chosen else {}
        queue.in_flight += len(noted)
        self._submit({id: file_id for id, file_id in chosen.items() if id in noted}, lease)
        return len(noted), sum(noted.values())

    def _submit(self, rows: dict[int, str], lease: HeldLease) -> None:
        answers = self._archive.submit_recalls(rows.values())
        refused = {file_id: answer for file_id, answer in answers.items() if answer is not None}
        if refused:
            is_counted = is_answering(answers) or is_answering(self._archive.residencies([next(iter(refused))]))
            failed = [
                (id, Failure.of(refused[file_id], is_counted=is_counted))
                for id, file_id in rows.items()
                if file_id in refused
            ]
            lease.change(lambda database: self._outcomes.fail(database, failed, lease.now()))

    def _next(self, volume: str, most: int) -> list[tuple[int, str, int]]:
        """Return the recall, the file and its size of what comes next on the tape *volume*."""
        columns = (Recall.id, Recall.file_id, Recall.size)
        query = Recall.select(*columns).where(Recall.phase == Phase.WAITING, Recall.volume == volume)
        order = (Recall.position, Recall.position_offset, Recall.id)
        return self._store.rows(query.order_by(*order).limit(most).tuples())

    def _note(self, database: Database, recalls: list[int], clock: float) -> dict[int, int]:
        """Note that the *recalls* are started, and return the sizes of those that were not cancelled meanwhile."""
        now = time.time()
        times = {"started_at": fn.COALESCE(Recall.started_at, now), "changed_at": now}
        started = {"phase": Phase.STARTED, "is_asked_again": False, **times}
        waiting = Recall.id.in_(recalls) & (Recall.phase == Phase.WAITING)
        timeout = self._options.timeout_with(self._archive.recall_traits.slowest_seconds)
        Recall.update({**started, "due_clock": clock + timeout}).where(waiting).execute(database)
        noted = Recall.select(Recall.id, Recall.size).where(Recall.id.in_(recalls), Recall.phase == Phase.STARTED)
        return dict(noted.tuples().execute(database))
