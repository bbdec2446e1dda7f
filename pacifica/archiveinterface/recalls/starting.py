"""Asks the storage for the next files: of the volumes that are served, in the order of the tape."""

import time

from peewee import Database, fn

from ..backends.abstract.archive import AbstractBackendArchive
from .lease import HeldLease
from .locating import is_answering
from .options import RecallOptions
from .outcomes import Failure, Outcomes
from .queues import Queue, Queues
from .store import Store
from .tables import Phase, Recall, RequestedFile

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
        active = self._queues.active(lease.now())
        room = self._room() if any(queue.files for queue in active) else 0
        started = 0
        for queue in active:
            most = min(self._options.volume_files - queue.in_flight, room - started, _MOST_AT_ONCE)
            if most > 0 and queue.files:
                started += self._start(queue, most, lease)
        return started > 0

    def _room(self) -> int:
        """Return how many more files the storage may be asked for."""
        used = self._archive.disk_used()
        if used is not None and 100 * used > self._options.disk_full_percent:
            return 0
        if self._options.cache_bytes and self._bytes_on_disk() >= self._options.cache_bytes:
            return 0
        return self._options.in_flight - self._queues.in_flight

    def _bytes_on_disk(self) -> int:
        """Return the bytes of the files in flight and of those that are pinned."""
        pinned = RequestedFile.select(RequestedFile.recall).where(RequestedFile.pin_until.is_null(False))
        chosen = (Recall.phase == Phase.STARTED) | Recall.id.in_(pinned)
        [(total,)] = self._store.rows(Recall.select(fn.COALESCE(fn.SUM(Recall.size), 0)).where(chosen).tuples())
        return int(total)

    def _start(self, queue: Queue, most: int, lease: HeldLease) -> int:
        rows = self._next(queue.volume, most)
        if not rows:
            queue.files = 0
            return 0
        # First in the database: a recaller that takes over asks the storage again, which is asked once for each file.
        lease.change(lambda database: self._note(database, list(rows), lease.now()))
        answers = self._archive.submit_recalls(rows.values())
        queue.files, queue.in_flight = max(0, queue.files - len(rows)), queue.in_flight + len(rows)
        refused = {file_id: answer for file_id, answer in answers.items() if answer is not None}
        if refused:
            is_counted = is_answering(answers) or is_answering(self._archive.residencies([next(iter(refused))]))
            failed = [
                (id, Failure.of(refused[file_id], is_counted=is_counted))
                for id, file_id in rows.items()
                if file_id in refused
            ]
            lease.change(lambda database: self._outcomes.fail(database, failed, lease.now()))
        return len(rows)

    def _next(self, volume: str, most: int) -> dict[int, str]:
        """Return the files of *volume* that come next on the tape, by the ids of their recalls."""
        query = Recall.select(Recall.id, Recall.file_id).where(Recall.phase == Phase.WAITING, Recall.volume == volume)
        order = (Recall.position, Recall.position_offset, Recall.id)
        return dict(self._store.rows(query.order_by(*order).limit(most).tuples()))

    def _note(self, database: Database, recalls: list[int], clock: float) -> None:
        now = time.time()
        started = {"phase": Phase.STARTED, "started_at": fn.COALESCE(Recall.started_at, now), "changed_at": now}
        waiting = Recall.id.in_(recalls) & (Recall.phase == Phase.WAITING)
        Recall.update({**started, "due_clock": clock + self._options.timeout}).where(waiting).execute(database)
