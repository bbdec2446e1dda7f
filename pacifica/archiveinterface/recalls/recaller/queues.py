"""The queues of recalls: a queue for each volume, and which of them are served now.

A tape is mounted for many files at once: the files of a volume wait until no more are added, until the oldest has
waited long enough, or until they are worth a mount. Files whose volume is not known go in the order of arrival.
"""

import time
from dataclasses import dataclass
from typing import Any

from peewee import Database, fn

from ...stores import insert_rows
from ..options import RecallOptions
from ..store import Store
from ..tables import Phase, Recall, Volume
from .lease import HeldLease

_COUNTING_SHARE = 10  # the queues are counted for at most a tenth of the time


@dataclass
class Queue:
    """The files of one volume that wait; times are of the recaller's clock, 0 for never."""

    volume: str
    active_since: float = 0.0
    idle_since: float = 0.0
    files: int = 0
    bytes: int = 0
    oldest: float = 0.0
    newest: float = 0.0
    priority: int = 0
    in_flight: int = 0
    served: float = 0.0  # when it last had to make way for others
    is_draining: bool = False  # no more files of it are started for now

    @property
    def is_active(self) -> bool:
        """Whether the volume is being read."""
        return self.active_since > 0

    def is_ripe(self, options: RecallOptions, clock: float) -> bool:
        """Return whether the volume is worth a mount at *clock*."""
        if not self.files or (self.idle_since and clock - self.idle_since < options.remount_seconds):
            return False
        is_quiet, is_old = clock - self.newest >= options.quiet_seconds, clock - self.oldest >= options.max_age
        return is_quiet or is_old or self.files >= options.enough_files or self.bytes >= options.enough_bytes

    def urgency(self, options: RecallOptions, clock: float) -> float:
        """Return the priority of the volume, which grows as its oldest file waits for its turn."""
        return self.priority + (clock - max(self.oldest, self.served)) / options.aging_seconds


class Queues:
    """The queues of all volumes, as the recaller at work knows them."""

    def __init__(self, store: Store, options: RecallOptions) -> None:
        """Read the recalls in *store*."""
        self._store, self._options = store, options
        self._by_volume: dict[str, Queue] = {}
        self._written: list[dict[str, Any]] = []
        self._count_at = 0.0

    def take_over(self) -> None:
        """Read what the last recaller knew of the volumes."""
        columns = (Volume.name, Volume.active_since, Volume.idle_since)
        self._by_volume = {row[0]: Queue(*row) for row in self._store.rows(Volume.select(*columns).tuples())}
        self._count_at = 0.0

    def count(self, lease: HeldLease) -> None:
        """Count what waits, for a tenth of the time at most, and let others see it."""
        began = time.monotonic()
        if began < self._count_at:
            return
        self._read(lease.now())
        self._count_at = time.monotonic() + _COUNTING_SHARE * (time.monotonic() - began)
        rows = self._rows(lease.now())
        if rows != self._written:
            lease.change(lambda database: _write(database, rows))
            self._written = rows

    def _read(self, clock: float) -> None:
        for queue in self._by_volume.values():
            queue.files = queue.bytes = queue.in_flight = 0
        for volume, *waiting in self._store.rows(_WAITING):
            queue = self._by_volume.setdefault(volume, Queue(volume))
            queue.files, queue.bytes, queue.oldest, queue.newest, queue.priority = waiting
        for volume, in_flight in self._store.rows(_IN_FLIGHT):
            queue = self._by_volume.setdefault(volume, Queue(volume))
            queue.in_flight, queue.active_since = in_flight, queue.active_since or clock
        for queue in list(self._by_volume.values()):
            self._end(queue, clock)

    def _end(self, queue: Queue, clock: float) -> None:
        """Let *queue* be inactive when nothing of it is in flight or about to be, and forget it after its rest."""
        if queue.in_flight or (queue.files and not queue.is_draining):
            return
        if queue.is_active:
            queue.active_since, queue.is_draining, queue.served = 0.0, False, clock
            queue.idle_since = 0.0 if queue.files else clock
        if not queue.files and clock - queue.idle_since >= self._options.remount_seconds:
            del self._by_volume[queue.volume]

    def _rows(self, clock: float) -> list[dict[str, Any]]:
        rows, ahead = [], 0
        for queue in self._in_order(clock):
            rows.append(
                {
                    "name": queue.volume,
                    "active_since": queue.active_since,
                    "idle_since": queue.idle_since,
                    "waiting_files": queue.files,
                    "waiting_bytes": queue.bytes,
                    "in_flight": queue.in_flight,
                    "oldest_clock": queue.oldest,
                    "ahead": ahead,
                }
            )
            ahead += queue.files
        return rows

    def _in_order(self, clock: float) -> list[Queue]:
        """Return the queues in the order in which they are expected to be served."""
        order = {volume: queue.urgency(self._options, clock) for volume, queue in self._by_volume.items()}
        return sorted(self._by_volume.values(), key=lambda queue: (not queue.is_active, -order[queue.volume]))

    def active(self, clock: float) -> list[Queue]:
        """Return the queues that files may be started of; volumes are made active while there are drives for them."""
        queues = self._in_order(clock)
        ripe = [queue for queue in queues if not queue.is_active and queue.is_ripe(self._options, clock)]
        drives = self._options.volumes - sum(1 for queue in queues if queue.is_active and queue.volume)
        for queue in ripe:
            if drives > 0 or not queue.volume:
                queue.active_since = clock or 1e-9
                drives -= 1 if queue.volume else 0
        is_waited_for = any(not queue.is_active for queue in ripe)
        for queue in queues:
            has_had_its_turn = clock - queue.active_since > self._options.max_age
            queue.is_draining = bool(queue.volume) and queue.is_active and is_waited_for and has_had_its_turn
        return [queue for queue in queues if queue.is_active and not queue.is_draining]

    @property
    def in_flight(self) -> int:
        """How many files the storage was asked for."""
        return sum(queue.in_flight for queue in self._by_volume.values())


_WAITING = (
    Recall.select(
        Recall.volume,
        fn.COUNT(Recall.id),
        fn.SUM(Recall.size),
        fn.MIN(Recall.queued_clock),
        fn.MAX(Recall.queued_clock),
        fn.MAX(Recall.priority),
    )
    .where(Recall.phase == Phase.WAITING)
    .group_by(Recall.volume)
    .tuples()
)
_IN_FLIGHT = (
    Recall.select(Recall.volume, fn.COUNT(Recall.id))
    .where(Recall.phase == Phase.STARTED)
    .group_by(Recall.volume)
    .tuples()
)


def _write(database: Database, rows: list[dict[str, Any]]) -> None:
    Volume.delete().execute(database)
    insert_rows(database, Volume, rows)
