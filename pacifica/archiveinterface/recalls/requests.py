"""The requests of the tape API: made, cancelled, released and removed, in the database alone."""

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from peewee import JOIN, Database

from ..exception import MissingRequestError, RequestError
from ..stores import in_batches, insert_rows, key_of
from .demands import join
from .options import RecallOptions
from .store import Store
from .tables import SUBMITTED, Eviction, Phase, Recall, Request, RequestedFile

# As str(uuid.uuid4()) has it. Databases differ in what other text they take, and in what is equal to what.
_ID = re.compile("[0-9a-f-]{36}")

Settle = Callable[[Database, Mapping[str, int]], None]

NO_REQUEST = "there is no such request; it was deleted, or is too old"


class Wish(NamedTuple):
    """A file that is asked for: *path* as the client spells it.

    *file_id* is None for a path that no file of the archive can have; *error* then says why. *lifetime* is the time
    in seconds that the file shall stay on disk, None for the site's default.
    """

    path: str
    file_id: str | None
    lifetime: float | None = None
    activity: str = ""
    error: str = ""

    @property
    def key(self) -> str:
        """What the tables know the file by, empty for a path that no file can have."""
        return "" if self.file_id is None else key_of(self.file_id)


class Requests:
    """All requests of an archive."""

    def __init__(self, store: Store, options: RecallOptions) -> None:
        """Keep them in *store*."""
        self._store = store
        self._options = options

    def submit(self, wishes: Sequence[Wish], settle: Settle = lambda database, recalls: None) -> str:
        """Return the id of a new request for *wishes*, which is written then. Raises DatabaseUnavailableError.

        *settle* is called in the same transaction with the ids of the recalls by the keys of the files.
        """
        request = str(uuid.uuid4())
        groups: dict[int, dict[str, str]] = {}  # the files of each priority
        for wish in wishes:
            if wish.file_id is not None:
                groups.setdefault(self._options.priority_of(wish.activity), {})[wish.key] = wish.file_id

        def write(database: Database) -> None:
            recalls: dict[str, int] = {}
            for priority, files in groups.items():
                recalls |= join(database, files, priority)
            Request.insert(id=request, created_at=time.time()).execute(database)
            rows = [self._row(request, number, wish, recalls) for number, wish in enumerate(wishes)]
            insert_rows(database, RequestedFile, rows)
            settle(database, recalls)

        self._store.change(write)
        return request

    def _row(self, request: str, number: int, wish: Wish, recalls: dict[str, int]) -> dict[str, Any]:
        lifetime = self._options.pin_seconds if wish.lifetime is None else wish.lifetime
        return {
            "request": request,
            "number": number,
            "path": wish.path,
            "key": wish.key,
            "recall": recalls.get(wish.key),
            "lifetime": min(lifetime, self._options.pin_seconds_most),
            "error": wish.error,
        }

    def require(self, request: str) -> float:
        """Return when the *request* was made, epoch seconds. Raises MissingRequestError."""
        query = Request.select(Request.created_at).where(Request.id == request).tuples()
        rows = self._store.rows(query) if _ID.fullmatch(request) else []
        if not rows:
            raise MissingRequestError(NO_REQUEST)
        return float(rows[0][0])

    def cancel(self, request: str, wishes: Sequence[Wish]) -> None:
        """Cancel the files of the *request* that *wishes* name, all or none; what has ended stays as it is.

        Raises MissingRequestError, RequestError for a file that is not in the request.
        """
        self.require(request)

        def write(database: Database) -> None:
            chosen, missing = _chosen(_rows_of(database, request), wishes)
            if missing:
                raise RequestError(f"File missing from stage request: {missing[0]!r}")
            _cancel(database, request, chosen)

        self._store.change(write)

    def release(self, request: str, wishes: Sequence[Wish]) -> None:
        """Unpin the files that *wishes* name for the *request*, which need not exist; files that do not are ignored."""

        def write(database: Database) -> None:
            rows = _rows_of(database, request) if _ID.fullmatch(request) else []
            chosen, _ = _chosen(rows, wishes)
            for some in in_batches([row.number for row in chosen]):
                mine = (RequestedFile.request == request) & RequestedFile.number.in_(list(some))
                RequestedFile.update(released_at=time.time(), pin_until=None).where(mine).execute(database)
            self._offer(database, {wish.key: wish.file_id for wish in wishes if wish.file_id is not None})

        self._store.change(write)

    def delete(self, request: str) -> None:
        """Cancel all files of the *request*, unpin them, and forget the request. Raises MissingRequestError."""
        self.require(request)

        def write(database: Database) -> None:
            rows = _rows_of(database, request)
            _cancel(database, request, rows)
            RequestedFile.delete().where(RequestedFile.request == request).execute(database)
            Request.delete().where(Request.id == request).execute(database)
            self._offer(database, {row.key: row.file_id for row in rows if row.file_id is not None})

        self._store.change(write)

    def _offer(self, database: Database, files: dict[str, str]) -> None:
        """Let the recaller free the disk copies of *files*, ids by their keys, unless they are pinned."""
        if self._options.evict != "never":
            offer(database, files)


class _Row(NamedTuple):
    """A file of a request."""

    number: int
    path: str
    key: str
    recall: int | None
    file_id: str | None


def _rows_of(database: Database, request: str) -> list[_Row]:
    columns = (RequestedFile.number, RequestedFile.path, RequestedFile.key, RequestedFile.recall, Recall.file_id)
    query = (
        RequestedFile.select(*columns)
        .join(Recall, JOIN.LEFT_OUTER, on=RequestedFile.recall == Recall.id)
        .where(RequestedFile.request == request)
    )
    return [_Row(*row) for row in query.tuples().execute(database)]


def _chosen(rows: Sequence[_Row], wishes: Sequence[Wish]) -> tuple[list[_Row], list[str]]:
    """Return those of *rows* that *wishes* name, by file or by spelling, and the paths that are not among them."""
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.key or row.path, []).append(row)
    wanted = {wish.key or wish.path: wish.path for wish in wishes}
    chosen = [row for name in wanted for row in found.get(name, [])]
    return chosen, [path for name, path in wanted.items() if name not in found]


def _cancel(database: Database, request: str, rows: Sequence[_Row]) -> None:
    now = time.time()
    recalls = list({row.recall for row in rows if row.recall is not None})
    for some in in_batches(recalls):
        running = Recall.id.in_(list(some)) & Recall.active.is_null(False)
        Recall.update(is_unwanted=True).where(running, ~Recall.is_direct).execute(database)
        mine = (RequestedFile.request == request) & RequestedFile.recall.in_(Recall.select(Recall.id).where(running))
        these = set(some)
        chosen = RequestedFile.number.in_([row.number for row in rows if row.recall in these])
        RequestedFile.update(cancelled_at=now).where(mine, chosen, RequestedFile.cancelled_at.is_null()).execute(
            database
        )
        others = RequestedFile.select(RequestedFile.recall).where(
            RequestedFile.recall.in_(list(some)), RequestedFile.cancelled_at.is_null()
        )
        Recall.update(is_unwanted=False).where(running, Recall.id.in_(others)).execute(database)
        ended = {"phase": Phase.CANCELLED, "active": None, "changed_at": now, "finished_at": now}
        Recall.update(ended).where(running, Recall.is_unwanted, Recall.phase.in_(SUBMITTED)).execute(database)


def offer(database: Database, files: dict[str, str]) -> None:
    """Let the recaller free the disk copies of *files*, ids by their keys, unless they are pinned."""
    rows = [{"key": key, "file_id": file_id} for key, file_id in sorted(files.items())]
    insert_rows(database, Eviction, rows, ignores=True)
