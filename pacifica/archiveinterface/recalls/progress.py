"""How far requests and their files are, from the database alone: clients take a failed poll for a failed file."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from peewee import JOIN, Case, Table, fn

from ..stores import decoded
from .requests import Requests
from .store import Store
from .tables import ACTIVE, SUBMITTED, Lease, Phase, Recall, RequestedFile, Volume

_STATES = {
    **dict.fromkeys(SUBMITTED, "SUBMITTED"),
    Phase.STARTED: "STARTED",
    Phase.COMPLETED: "COMPLETED",
    Phase.FAILED: "FAILED",
    Phase.CANCELLED: "CANCELLED",
}


class FileProgress(NamedTuple):
    """How far the recall of one file of a request is; *state* is the tape API's word, times are in epoch seconds.

    *position* is how many files are expected to be recalled before it, *seconds* how long that is expected to
    take; both are None unless it waits, *seconds* as well while nothing is known of the rate. *size* is in bytes, 0
    while it is not known. *was_asked_for* is False for a path that was refused when the request was made.
    """

    path: str
    state: str
    started_at: float | None
    finished_at: float | None
    error: str
    position: int | None = None
    seconds: float | None = None
    size: int = 0
    was_asked_for: bool = True


class RequestProgress(NamedTuple):
    """A request and its files; *completed_at* is when the last of them ended, None while any has not."""

    id: str
    created_at: float
    started_at: float
    completed_at: float | None
    files: Sequence[FileProgress]


class _Row(NamedTuple):
    path: str
    created_error: str
    cancelled_at: float | None
    recall: int | None
    phase: int | None
    started_at: float | None
    finished_at: float | None
    error: str | None
    volume: str | None
    position: int | None
    position_offset: int | None
    size: int | None

    @property
    def is_waiting(self) -> bool:
        return self.phase in SUBMITTED and self.cancelled_at is None


_IN_ORDER = attrgetter("position", "position_offset", "recall")

_Places = dict[int | None, tuple[int | None, float | None]]
"""Position and seconds of the recalls that wait."""
_NO_PLACE = (None, None)


class Progress:
    """Tells how far requests are."""

    def __init__(self, store: Store, requests: Requests) -> None:
        """Read *store*, which has *requests*."""
        self._store, self._requests = store, requests

    def __call__(self, request: str, since: float = 0.0) -> RequestProgress:
        """Return the *request*, with those of its files that changed at *since* (epoch seconds) or later.

        Raises MissingRequestError.
        """
        created_at = self._requests.require(request)
        [(pending, started_at, finished_at)] = self._store.rows(_summary(request))
        rows = list(map(_Row._make, self._store.rows(_files(request, since, created_at))))
        places = self._places(rows)
        return RequestProgress(
            request,
            created_at,
            created_at if started_at is None else started_at,
            None if pending else finished_at or created_at,
            [_progress(row, created_at, places) for row in rows],
        )

    def _places(self, rows: Sequence[_Row]) -> _Places:
        """Return position and seconds of the recalls that wait; a volume's files are taken as evenly spread."""
        queues: dict[str, list[_Row]] = {}
        for row in rows:
            if row.is_waiting:
                queues.setdefault(row.volume or "", []).append(row)
        if not queues:
            return {}
        [(rate,)] = self._store.rows(Lease.select(Lease.files_per_second).tuples())
        columns = (Volume.name, Volume.ahead, Volume.waiting_files)
        known = {name: (ahead, waiting) for name, ahead, waiting in self._store.rows(Volume.select(*columns).tuples())}
        places: _Places = {}
        for name, queue in queues.items():
            ahead, waiting = known.get(name, (0, 0))
            spread = max(waiting, len(queue)) / len(queue)
            queue.sort(key=_IN_ORDER)
            for rank, row in enumerate(queue):
                position = ahead + int(rank * spread)
                places[row.recall] = position, position / rate if rate else None
        return places


def _progress(row: _Row, created_at: float, places: _Places) -> FileProgress:
    path = decoded(row.path)
    if row.phase is None:
        return FileProgress(path, "FAILED", created_at, created_at, decoded(row.created_error), was_asked_for=False)
    if row.cancelled_at is not None:
        return FileProgress(path, "CANCELLED", row.started_at, row.cancelled_at, "", size=row.size or 0)
    state, error = _STATES[row.phase], decoded(row.error) if row.error else ""
    position, seconds = places.get(row.recall, _NO_PLACE) if row.phase in SUBMITTED else _NO_PLACE
    return FileProgress(path, state, row.started_at, row.finished_at, error, position, seconds, row.size or 0)


# Columns without the conversions of models, which take most of the time of a poll of many files.
_ASKED = Table(RequestedFile._meta.table_name)
_RECALL = Table(Recall._meta.table_name)


def _of_request(request: str, *columns: Any) -> Any:
    return (
        _ASKED.select(*columns)
        .join(_RECALL, JOIN.LEFT_OUTER, on=_ASKED.c.recall == _RECALL.c.id)
        .where(_ASKED.c.request == request)
    )


def _files(request: str, since: float, created_at: float) -> Any:
    own = (_ASKED.c.path, _ASKED.c.error, _ASKED.c.cancelled_at, _ASKED.c.recall)
    times = (_RECALL.c.phase, _RECALL.c.started_at, _RECALL.c.finished_at, _RECALL.c.error)
    places = (_RECALL.c.volume, _RECALL.c.position, _RECALL.c.position_offset)
    query = _of_request(request, *own, *times, *places, _RECALL.c.size)
    if since > created_at:
        query = query.where((_RECALL.c.changed_at >= since) | (_ASKED.c.cancelled_at >= since))
    return query.order_by(_ASKED.c.number).tuples()


def _summary(request: str) -> Any:
    """Select how many files are pending, when the first started, and when the last ended."""
    pending = _RECALL.c.phase.in_(ACTIVE) & _ASKED.c.cancelled_at.is_null()
    return _of_request(
        request,
        fn.COUNT(Case(None, [(pending, 1)])),
        fn.MIN(_RECALL.c.started_at),
        fn.MAX(fn.COALESCE(_ASKED.c.cancelled_at, _RECALL.c.finished_at)),
    ).tuples()
