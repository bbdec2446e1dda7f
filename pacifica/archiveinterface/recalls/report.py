"""What waits for tape, what is under way, and how fast it goes, from the database alone."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from peewee import fn

from .store import Store
from .tables import ACTIVE, SUBMITTED, Lease, Phase, Recall, Volume


class VolumeReport(NamedTuple):
    """The queue of a volume; the name is empty where the storage does not tell the volume."""

    name: str
    is_active: bool
    waiting_files: int
    waiting_bytes: int
    in_flight: int
    ahead: int
    oldest_seconds: float


class Report(NamedTuple):
    """All queues; *new_files* are those whose volume has not been looked up. The rest counts since the database is."""

    has_recaller: bool
    new_files: int
    waiting_files: int
    started_files: int
    oldest_seconds: float
    files_per_second: float
    completed_files: int
    completed_bytes: int
    failed_files: int
    volumes: Sequence[VolumeReport]


def json_of(report: Report) -> str:
    """Return *report* as a JSON object on one line."""
    return json.dumps({**report._asdict(), "volumes": [volume._asdict() for volume in report.volumes]})


def report(store: Store) -> Report:
    """Return what *store* says."""
    phases = Recall.select(Recall.phase, fn.COUNT(Recall.id)).where(Recall.phase.in_(ACTIVE)).group_by(Recall.phase)
    counts = dict(store.rows(phases.tuples()))
    columns = (Lease.holder, Lease.clock, Lease.files_per_second)
    totals = (Lease.completed_files, Lease.completed_bytes, Lease.failed_files)
    [(holder, clock, rate, files, size, failed)] = store.rows(Lease.select(*columns, *totals).tuples())
    volumes = [_volume(row, clock) for row in store.rows(_VOLUMES)]
    return Report(
        bool(holder),
        counts.get(Phase.NEW, 0),
        sum(counts.get(phase, 0) for phase in SUBMITTED) - counts.get(Phase.NEW, 0),
        counts.get(Phase.STARTED, 0),
        max((volume.oldest_seconds for volume in volumes), default=0.0),
        rate,
        files,
        size,
        failed,
        volumes,
    )


_VOLUMES = (
    Volume.select(
        Volume.name,
        Volume.active_since,
        Volume.waiting_files,
        Volume.waiting_bytes,
        Volume.in_flight,
        Volume.ahead,
        Volume.oldest_clock,
    )
    .order_by(Volume.ahead, Volume.name)
    .tuples()
)


def _volume(row: tuple[str, float, int, int, int, int, float], clock: float) -> VolumeReport:
    name, active_since, files, size, in_flight, ahead, oldest = row
    return VolumeReport(
        name, active_since > 0, files, size, in_flight, ahead, max(0.0, clock - oldest) if files else 0.0
    )
