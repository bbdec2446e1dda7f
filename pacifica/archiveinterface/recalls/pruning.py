"""Removes what nobody asks for any more: old requests, and recalls that have ended and belong to none."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from peewee import SQL, Database, fn

from ..stores import BATCH
from .options import RecallOptions
from .store import Store
from .tables import Recall, Request, RequestedFile

_EVERY = 60.0  # seconds
_DAY = 86400.0


Change = Callable[[Callable[[Database], None]], None]


class Pruning:
    """Removes old rows, some at a time."""

    def __init__(self, store: Store, options: RecallOptions) -> None:
        """Keep what *options* say."""
        self._store, self._options = store, options
        self._next = 0.0

    def __call__(self, change: Change) -> bool:
        """Remove some, once a minute, by a transaction of *change*; return whether there may be more."""
        if time.monotonic() < self._next:
            return False
        oldest = time.time() - self._options.keep_days * _DAY
        requests = self._ids(self._old_requests(oldest))
        recalls = self._ids(self._old_recalls(oldest))
        for request in requests:  # each may have many files
            change(partial(_remove_request, request))
        if recalls:
            change(lambda database: _remove_recalls(database, recalls))
        is_more = BATCH in (len(requests), len(recalls))
        self._next = 0.0 if is_more else time.monotonic() + _EVERY
        return is_more

    def _ids(self, query: Any) -> list[Any]:
        return [id for (id,) in self._store.rows(query.limit(BATCH).tuples())]

    def _old_requests(self, oldest: float) -> Any:
        is_over = Recall.active.is_null() & (Recall.finished_at < oldest)
        is_needed = ~is_over | RequestedFile.pin_until.is_null(False)
        active = (
            RequestedFile.select(SQL("1"))
            .join(Recall, on=RequestedFile.recall == Recall.id)
            .where(RequestedFile.request == Request.id, is_needed)
        )
        return Request.select(Request.id).where(Request.created_at < oldest, ~fn.EXISTS(active))

    def _old_recalls(self, oldest: float) -> Any:
        asked = RequestedFile.select(SQL("1")).where(RequestedFile.recall == Recall.id)
        ended = Recall.active.is_null() & (Recall.finished_at < max(oldest, time.time() - _DAY))
        return Recall.select(Recall.id).where(ended, ~fn.EXISTS(asked))


def _remove_request(request: str, database: Database) -> None:
    RequestedFile.delete().where(RequestedFile.request == request).execute(database)
    Request.delete().where(Request.id == request).execute(database)


def _remove_recalls(database: Database, recalls: list[int]) -> None:
    Recall.delete().where(Recall.id.in_(recalls)).execute(database)
