"""Where the files of new recalls are: on disk already, on which volume, or nowhere."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from peewee import Database

from ...backends.abstract.archive import AbstractBackendArchive
from ...backends.abstract.residency import Locality, Place, Residency
from ...exception import ArchiveInterfaceError, BackendUnavailableError
from ...stores import BATCH
from ..options import RecallOptions
from ..store import Store
from ..tables import Phase, Recall
from .keeping import Arrival, Keeping
from .lease import HeldLease
from .outcomes import Failure, Outcomes

Answers = Mapping[str, Residency | ArchiveInterfaceError]
"""What the storage says of files, by their ids."""

_LONGEST_NAME = 128  # characters of a volume's name
_LONGEST_STEP = 1_000_000  # seconds of aging; times the highest priority it is a number of 32 bits
_LAST = (1 << 63) - 1  # the largest number that a database keeps

_LOST = Failure("no copy of the file can be read", is_final=True)
_UNAVAILABLE = Failure("the storage that has the file does not answer", is_counted=False)


def is_answering(answers: Mapping[str, object]) -> bool:
    """Return whether the storage answered for any of the files: what failed for others is their own fault then."""
    return any(not isinstance(answer, BackendUnavailableError) for answer in answers.values())


class _Found(NamedTuple):
    """What to write of the recalls that were looked at."""

    online: list[Arrival]
    offline: list[tuple[int, Residency]]
    failed: list[tuple[int, Failure]]


class Locating:
    """Looks where the files of new recalls are."""

    def __init__(
        self,
        archive: AbstractBackendArchive,
        store: Store,
        options: RecallOptions,
        outcomes: Outcomes,
        keeping: Keeping,
    ) -> None:
        """Ask *archive*, and write to *store*."""
        self._archive, self._store, self._options = archive, store, options
        self._outcomes, self._keeping = outcomes, keeping

    def __call__(self, lease: HeldLease) -> bool:
        """Look for some files; return whether there may be more. Raises LeaseLostError, DatabaseUnavailableError."""
        self._try_again(lease)
        query = Recall.select(Recall.id, Recall.file_id).where(Recall.phase == Phase.NEW).order_by(Recall.id)
        recalls = self._store.rows(query.limit(BATCH).tuples())
        if recalls:
            answers = self._archive.residencies([file_id for _, file_id in recalls])
            found = _sorted(recalls, answers)
            ends = self._keeping(found.online)
            lease.change(lambda database: self._write(database, found, ends, lease.now()))
        return len(recalls) == BATCH

    def _try_again(self, lease: HeldLease) -> None:
        """Look again where files are whose next attempt is due; a copy may have gone meanwhile, or the file itself."""
        due = (Recall.phase == Phase.RETRYING) & (Recall.due_clock <= lease.now())
        if self._store.rows(Recall.select(Recall.id).where(due).limit(1).tuples()):
            lease.change(lambda database: Recall.update(phase=Phase.NEW).where(due).execute(database))

    def _write(self, database: Database, found: _Found, ends: Mapping[int, float | None], clock: float) -> None:
        for each in found.online:
            Recall.update(size=each.residency.size).where(Recall.id == each.recall).execute(database)
        self._outcomes.complete(database, list(ends))
        self._outcomes.pin(database, ends, clock)
        self._outcomes.fail(database, found.failed, clock)
        for recall, residency in found.offline:
            waiting = {"phase": Phase.WAITING, "queued_clock": clock, "size": residency.size}
            new = (Recall.id == recall) & (Recall.phase == Phase.NEW)
            Recall.update({**waiting, **_place(residency, self._arrival(clock))}).where(new).execute(database)

    def _arrival(self, clock: float) -> Any:
        """Return where a file stands among those whose place is not told: by arrival, earlier with priority."""
        return int(clock) - Recall.priority * min(int(self._options.aging_seconds), _LONGEST_STEP)


def _place(residency: Residency, arrival: Any) -> dict[str, Any]:
    place = residency.places[0] if residency.places else Place("", 0)
    volume = "".join(character for character in place.volume if character.isprintable()).strip()[:_LONGEST_NAME]
    position, offset = min(place.position, _LAST), min(place.offset, _LAST)
    return {"volume": volume, "position": position if volume else arrival, "position_offset": offset}


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
            found.online.append(Arrival(recall, file_id, answer))
        elif answer.locality is Locality.LOST:
            found.failed.append((recall, _LOST))
        else:
            found.offline.append((recall, answer))
    return found
