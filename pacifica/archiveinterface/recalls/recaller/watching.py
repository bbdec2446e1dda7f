"""Recalls that the storage was asked for: whether they have arrived, failed, were lost, or take too long."""

import time
from typing import NamedTuple

from peewee import Database

from ...backends.abstract.archive import AbstractBackendArchive
from ...backends.abstract.residency import RecallState, Residency
from ...exception import ArchiveInterfaceError
from ...stores import BATCH
from ..options import RecallOptions
from ..store import Store
from ..tables import Phase, Recall
from .keeping import Arrival, Keeping
from .lease import HeldLease
from .locating import Answers, is_answering
from .outcomes import Failure, Outcomes

ASK_AGAIN = 600.0  # seconds; storage that does not tell of its recalls may have lost them

_LOST = Failure("the storage has lost the recall, or it failed there")


class _Started(NamedTuple):
    """A recall that the storage was asked for; it is over at *due_clock*."""

    id: int
    file_id: str
    due_clock: float
    is_unwanted: bool
    is_asked_again: bool


class Watching:
    """Looks at the recalls that the storage was asked for, some of them at a time."""

    def __init__(
        self,
        archive: AbstractBackendArchive,
        store: Store,
        options: RecallOptions,
        outcomes: Outcomes,
        keeping: Keeping,
    ) -> None:
        """Ask *archive* of what *store* says that it was asked for."""
        self._archive, self._store, self._options = archive, store, options
        self._outcomes, self._keeping = outcomes, keeping
        self._after = 0  # the last recall that was looked at
        self._round_began = float("-inf")
        self._asked_clock = 0.0  # when the storage was last asked for all recalls
        self._asks_again = False  # in this round

    def take_over(self, lease: HeldLease) -> None:
        """Ask the storage again for all that is wanted: the last recaller may have ended before it did."""
        self._asked_clock, after = lease.now(), 0
        while recalls := self._started(after):
            self._archive.submit_recalls([recall.file_id for recall in recalls if not recall.is_unwanted])
            lease.keep()
            after = recalls[-1].id

    def __call__(self, lease: HeldLease) -> bool:
        """Look at the next recalls; return whether there are more in this round. Raises LeaseLostError."""
        if not self._after:
            if time.monotonic() - self._round_began < self._options.poll_seconds:
                return False
            self._round_began = time.monotonic()
            self._begin_round(lease.now())
        recalls = self._started(self._after)
        self._after = recalls[-1].id if len(recalls) == BATCH else 0
        if recalls:
            self._look(recalls, lease)
        return self._after > 0

    def _started(self, after: int) -> list[_Started]:
        columns = (Recall.id, Recall.file_id, Recall.due_clock, Recall.is_unwanted, Recall.is_asked_again)
        query = Recall.select(*columns).where(Recall.phase == Phase.STARTED, Recall.id > after).order_by(Recall.id)
        return [_Started(*row) for row in self._store.rows(query.limit(BATCH).tuples())]

    def _look(self, recalls: list[_Started], lease: HeldLease) -> None:
        answers = self._archive.residencies([recall.file_id for recall in recalls])
        is_counted, clock = is_answering(answers), lease.now()
        arrived = self._keeping(_arrivals(recalls, answers))
        rest = [recall for recall in recalls if recall.id not in arrived]
        withdrawn = self._withdraw([recall for recall in rest if recall.is_unwanted])
        failed = []
        for recall in rest:
            failure = self._failure(recall, answers[recall.file_id], clock, is_counted)
            if failure and recall.id not in withdrawn:
                failed.append((recall.id, failure))
        self._withdraw([recall for recall in rest if recall.due_clock <= clock])
        over = {*withdrawn, *(recall for recall, _ in failed)}
        again = [recall for recall in rest if recall.id not in over and self._is_to_ask_for(recall)]

        def write(database: Database) -> None:
            self._outcomes.complete(database, list(arrived))
            self._outcomes.pin(database, arrived, clock)
            self._outcomes.cancel(database, withdrawn)
            self._outcomes.fail(database, failed, clock)
            known = Recall.id.in_([recall.id for recall in again])
            Recall.update(is_asked_again=False).where(known).execute(database)

        if arrived or withdrawn or failed or again:
            lease.change(write)
        if again:
            self._archive.submit_recalls([recall.file_id for recall in again])

    def _is_to_ask_for(self, recall: _Started) -> bool:
        """Return whether storage that does not tell of its recalls is asked once more, which starts none twice.

        A file that a client asks for may have arrived and been purged, or replaced, since the last look at it. Where
        the storage tells, that counts as an attempt: it looks the same as a recall that failed.
        """
        is_in_doubt = recall.is_asked_again or self._asks_again
        return is_in_doubt and not recall.is_unwanted and not self._archive.recall_traits.tells_state

    def _failure(
        self, recall: _Started, answer: Residency | ArchiveInterfaceError, clock: float, is_counted: bool
    ) -> Failure | None:
        if recall.due_clock <= clock:
            timeout = self._options.timeout_with(self._archive.recall_traits.slowest_seconds)
            return Failure(f"the recall took longer than {timeout:g} seconds")
        if isinstance(answer, ArchiveInterfaceError):
            return Failure.of(answer, is_counted=is_counted) if is_counted else None
        if answer.recall is RecallState.FAILED:
            return Failure(answer.error or "the recall failed in the storage")
        is_lost = self._archive.recall_traits.tells_state and not answer.recall.is_under_way
        return _LOST if is_lost and answer.is_available else None

    def _withdraw(self, recalls: list[_Started]) -> list[int]:
        """Return the ids of those *recalls* that the storage has really cancelled."""
        if not recalls or not self._archive.recall_traits.cancels:
            return []
        cancelled = self._archive.cancel_recalls([recall.file_id for recall in recalls])
        return [recall.id for recall in recalls if recall.file_id in cancelled]

    def _begin_round(self, clock: float) -> None:
        self._asks_again = not self._archive.recall_traits.tells_state and clock - self._asked_clock > ASK_AGAIN
        if self._asks_again:
            self._asked_clock = clock


def _arrivals(recalls: list[_Started], answers: Answers) -> list[Arrival]:
    found = [(recall, answers[recall.file_id]) for recall in recalls]
    return [
        Arrival(recall.id, recall.file_id, answer)
        for recall, answer in found
        if isinstance(answer, Residency) and answer.is_online
    ]
