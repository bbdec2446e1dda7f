"""What web processes write: the active recall of each file that is asked for, found or made."""

import threading
import time
from collections.abc import Mapping

from peewee import Case, Database, fn

from ..exception import TooManyRequestsError
from ..stores import in_batches, insert_rows
from .store import Store
from .tables import ACTIVE, Phase, Recall

_COUNT_AGAIN = 10.0  # seconds


def join(database: Database, files: Mapping[str, str], priority: int = 0, *, is_direct: bool = False) -> dict[str, int]:
    """Return the id of the active recall of each of *files*, ids by their keys; it is made if there is none.

    No other transaction runs, so none of them can end before the caller has written who waits for it. *is_direct*:
    no request of the tape API asks.
    """
    changes = {"priority": _at_least(priority), "is_unwanted": False, "is_asked_again": True}
    if is_direct:
        changes["is_direct"] = True
    joined: dict[str, int] = {}
    for keys in in_batches(list(files)):
        _insert(database, {key: files[key] for key in keys}, priority)
        chosen = Recall.active.in_(list(keys))
        Recall.update(changes).where(chosen).execute(database)
        joined |= dict(Recall.select(Recall.active, Recall.id).where(chosen).tuples().execute(database))
    return joined


def _insert(database: Database, files: Mapping[str, str], priority: int) -> None:
    now = time.time()
    new = {"phase": Phase.NEW, "priority": priority, "created_at": now, "changed_at": now}
    rows = [{"key": key, "active": key, "file_id": file_id, **new} for key, file_id in files.items()]
    insert_rows(database, Recall, rows, ignores=True)


def _at_least(priority: int) -> Case:
    return Case(None, [(Recall.priority < priority, priority)], Recall.priority)


class Room:
    """How many more files may wait for their recall; what others add meanwhile is noticed within seconds."""

    def __init__(self, store: Store, most: int) -> None:
        """Let *most* files wait."""
        self._store, self._most = store, most
        self._lock = threading.Lock()
        self._waiting, self._counted_at = 0, float("-inf")

    def require(self, more: int) -> None:
        """Raise TooManyRequestsError if there is no room for *more* files."""
        with self._lock:
            if time.monotonic() - self._counted_at > _COUNT_AGAIN:
                self._waiting = self._count()
                self._counted_at = time.monotonic()
            if self._waiting + more > self._most:
                raise TooManyRequestsError("too many files wait for their recall, try again later")
            self._waiting += more

    def _count(self) -> int:
        [(waiting,)] = self._store.rows(Recall.select(fn.COUNT(Recall.id)).where(Recall.phase.in_(ACTIVE)).tuples())
        return int(waiting)
