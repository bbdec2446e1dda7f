"""What becomes of recalls: the changes of their rows, within a transaction of the recaller."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from peewee import Case, Database, fn

from ...exception import ArchiveInterfaceError, BackendUnavailableError, StorageBusyError
from ...stores import in_batches
from ..options import RecallOptions
from ..tables import Lease, Phase, Recall, RequestedFile

_MOST_DOUBLED = 10  # times


class Failure(NamedTuple):
    """Why an attempt to recall failed. *is_final*: another one would fail as well. *is_counted*: it was an attempt."""

    text: str
    is_final: bool = False
    is_counted: bool = True

    @classmethod
    def of(cls, error: ArchiveInterfaceError, *, is_counted: bool = True) -> "Failure":
        """Return the failure that *error* tells."""
        is_counted = is_counted and not isinstance(error, StorageBusyError)
        return cls(str(error), not isinstance(error, BackendUnavailableError), is_counted)


class Outcomes:
    """Writes what became of recalls, each given by its id."""

    def __init__(self, options: RecallOptions) -> None:
        """Keep to *options*."""
        self._options = options

    def complete(self, database: Database, recalls: Sequence[int]) -> None:
        """Note that the files are on disk."""
        now = time.time()
        for some in in_batches(recalls):
            running = Recall.id.in_(list(some)) & Recall.active.is_null(False)
            [(size,)] = Recall.select(fn.COALESCE(fn.SUM(Recall.size), 0)).where(running).tuples().execute(database)
            count = Recall.update({**_ended(Phase.COMPLETED, now), "error": ""}).where(running).execute(database)
            totals = {"completed_files": Lease.completed_files + count, "completed_bytes": Lease.completed_bytes + size}
            Lease.update(totals).execute(database)

    def pin(self, database: Database, recalls: Mapping[int, float | None], clock: float) -> None:
        """Pin the files for those who asked for them and have not released them since.

        *recalls* gives for how many seconds each file stays on disk, None where that has no known end.
        """
        waiting = RequestedFile.cancelled_at.is_null() & RequestedFile.released_at.is_null()
        together: dict[int | None, list[int]] = {}
        for recall, seconds in recalls.items():
            together.setdefault(None if seconds is None else int(seconds), []).append(recall)
        for most, alike in together.items():
            pinned = RequestedFile.update(pin_until=_lifetime(most) + clock)
            for some in in_batches(alike):
                pinned.where(RequestedFile.recall.in_(list(some)), waiting).execute(database)

    def cancel(self, database: Database, recalls: Sequence[int]) -> None:
        """Note that the storage has withdrawn the recalls; a file that was asked for again meanwhile is new again."""
        for some in in_batches(recalls):
            withdrawn = Recall.id.in_(list(some)) & (Recall.phase == Phase.STARTED)
            self._end_unwanted(database, withdrawn)
            Recall.update(phase=Phase.NEW, changed_at=time.time()).where(withdrawn).execute(database)

    def _end_unwanted(self, database: Database, chosen: Any) -> None:
        unwanted = chosen & Recall.is_unwanted
        Recall.update(_ended(Phase.CANCELLED, time.time())).where(unwanted).execute(database)

    def fail(self, database: Database, failures: Iterable[tuple[int, Failure]], clock: float) -> None:
        """Have the recalls tried again later, or note that they have failed, each with its reason.

        Those that nobody wants any more are cancelled.
        """
        for recall, failure in failures:
            running = (Recall.id == recall) & Recall.active.is_null(False)
            self._end_unwanted(database, running)
            self._fail(database, running, failure, clock)

    def _fail(self, database: Database, chosen: Any, failure: Failure, clock: float) -> None:
        now = time.time()
        tried = int(failure.is_counted)
        is_over = Recall.attempts + tried >= self._options.attempts
        over = {**_ended(Phase.FAILED, now), "error": failure.text, "is_final": failure.is_final}
        if failure.is_final or failure.is_counted:
            ending = chosen if failure.is_final else chosen & is_over
            if Recall.update({**over, "attempts": Recall.attempts + tried}).where(ending).execute(database):
                Lease.update(failed_files=Lease.failed_files + 1).execute(database)
                return
        due = clock + self._options.retry_seconds * _doubled(self._options.attempts)
        again = {"phase": Phase.RETRYING, "error": failure.text, "due_clock": due, "changed_at": now}
        Recall.update({**again, "attempts": Recall.attempts + tried}).where(chosen).execute(database)


def _lifetime(most: int | None) -> Any:
    """Return the seconds that a file shall stay on disk, *most* at most."""
    if most is None:
        return RequestedFile.lifetime
    return Case(None, [(RequestedFile.lifetime < most, RequestedFile.lifetime)], float(most))


def _doubled(attempts: int) -> Case:
    """Return the power of two that has grown with each attempt, of *attempts*."""
    most = min(attempts, _MOST_DOUBLED)
    return Case(None, [(Recall.attempts <= tried, 1 << tried) for tried in range(most)], 1 << most)


def _ended(phase: int, now: float) -> dict[str, Any]:
    started = fn.COALESCE(Recall.started_at, now)
    return {"phase": phase, "active": None, "started_at": started, "finished_at": now, "changed_at": now}
