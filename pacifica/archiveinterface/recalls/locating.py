"""Where the files of new recalls are: on disk already, on which volume, or nowhere."""

from collections.abc import Mapping
from typing import NamedTuple

from peewee import Database

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.residency import Locality, Residency
from ..exception import ArchiveInterfaceError, BackendUnavailableError
from .lease import HeldLease
from .outcomes import Failure, Outcomes
from .store import BATCH, Store
from .tables import Phase, Recall

Answers = Mapping[str, Residency | ArchiveInterfaceError]
"""What the storage says of files, by their ids."""

_LOST = Failure("no copy of the file can be read", is_final=True)
_UNAVAILABLE = Failure("the storage that has the file does not answer", is_counted=False)


def is_answering(answers: Mapping[str, object]) -> bool:
    """Return whether the storage answered for any of the files: what failed for others is their own fault then."""
    return any(not isinstance(answer, BackendUnavailableError) for answer in answers.values())


class _Found(NamedTuple):
    """What to write of the recalls that were looked at."""

    online: list[int]
    offline: list[tuple[int, Residency]]
    failed: list[tuple[int, Failure]]


class Locating:
    """Looks where the files of new recalls are."""

    def __init__(self, archive: AbstractBackendArchive, store: Store, outcomes: Outcomes) -> None:
        """Ask *archive*, and write to *store*."""
        self._archive, self._store, self._outcomes = archive, store, outcomes

    def __call__(self, lease: HeldLease) -> bool:
        """Look for some files; return whether there may be more. Raises LeaseLostError, DatabaseUnavailableError."""
        self._try_again(lease)
        query = Recall.select(Recall.id, Recall.file_id).where(Recall.phase == Phase.NEW).order_by(Recall.id)
        recalls = self._store.rows(query.limit(BATCH).tuples())
        if recalls:
            answers = self._archive.residencies([file_id for _, file_id in recalls])
            found = _sorted(recalls, answers)
            lease.change(lambda database: self._write(database, found, lease.now()))
        return len(recalls) == BATCH

    def _try_again(self, lease: HeldLease) -> None:
        """Look again where files are whose next attempt is due; a copy may have gone meanwhile, or the file itself."""
        due = (Recall.phase == Phase.RETRYING) & (Recall.due_clock <= lease.now())
        if self._store.rows(Recall.select(Recall.id).where(due).limit(1).tuples()):
            lease.change(lambda database: Recall.update(phase=Phase.NEW).where(due).execute(database))

    def _write(self, database: Database, found: _Found, clock: float) -> None:
        self._outcomes.complete(database, found.online)
        self._outcomes.fail(database, found.failed, clock)
        for recall, residency in found.offline:
            volume, position, offset = residency.places[0] if residency.places else ("", 0, 0)
            place = {"volume": volume, "position": position, "position_offset": offset, "size": residency.size}
            new = (Recall.id == recall) & (Recall.phase == Phase.NEW)
            Recall.update({**place, "phase": Phase.WAITING, "queued_clock": clock}).where(new).execute(database)


def _sorted(recalls: list[tuple[int, str]], answers: Answers) -> _Found:
    found = _Found([], [], [])
    is_counted = is_answering(answers)
    for recall, file_id in recalls:
        answer = answers[file_id]
        if isinstance(answer, ArchiveInterfaceError):
            found.failed.append((recall, Failure.of(answer, is_counted=is_counted)))
        elif not answer.is_available:
            found.failed.append((recall, _UNAVAILABLE))
        elif answer.is_online:
            found.online.append(recall)
        elif answer.locality is Locality.LOST:
            found.failed.append((recall, _LOST))
        else:
            found.offline.append((recall, answer))
    return found
