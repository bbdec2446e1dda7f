"""The recall service: whatever wants a file from tape asks it, and it has each file recalled once."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from peewee import Database

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.residency import Locality, Residency
from ..exception import ArchiveInterfaceError, BackendUnavailableError, ConflictError
from ..stores import key_of
from .demands import Room, join
from .options import RecallOptions
from .progress import Progress
from .pruning import Pruning
from .recaller.outcomes import Failure, Outcomes
from .recaller.recaller import Recaller
from .report import Report, report
from .requests import Requests, Settle, Wish
from .store import Store
from .tables import Phase, Recall

_PATIENCE = 10.0  # seconds that the recaller has to end; a call to the storage may hang
_TOLD_FOR = 3600.0  # seconds; an older failure does not say what the next attempt will give


class RecallService:
    """The recalls of an archive, for the threads of a process. The database is opened when it is first needed."""

    def __init__(self, archive: AbstractBackendArchive, store: Store, options: RecallOptions) -> None:
        """Recall files of *archive*, with the memory *store*."""
        self._archive, self._store, self.options = archive, store, options
        self._room = Room(store, options.most_waiting)
        self._requests = Requests(store, options)
        self._outcomes, self._pruning = Outcomes(options), Pruning(store, options)
        self.progress = Progress(store, self._requests)
        self.wake: Callable[[], None] = lambda: None  # is called when something was asked for

    def ask(self, file_id: str) -> bool:
        """Have the file recalled unless it is on disk, and return whether it is.

        Raises MissingFileError and others of the storage, ConflictError when no copy can be read, and, once for each
        failure, BackendUnavailableError when the last recall has failed.
        """
        residency = self._archive.file(file_id).residency()
        if residency.is_online:
            return True
        if residency.locality is Locality.LOST:
            raise ConflictError("no copy of the file can be read")
        key = key_of(file_id)
        if not self._is_active(key):
            self._room.require(1)
            failure = self._store.change(lambda database: _demand(database, key, file_id))
            if failure:
                raise failure
            self.wake()
        return False

    def require_database(self) -> None:
        """Raise BackendUnavailableError when the database does not answer."""
        self._store.rows(Recall.select(Recall.id).limit(1).tuples())

    def _is_active(self, key: str) -> bool:
        # A file that is asked for while it is started may have been purged, or replaced, since it arrived.
        is_known = (Recall.phase != Phase.STARTED) | Recall.is_asked_again
        active = Recall.select(Recall.id).where(Recall.active == key, Recall.is_direct, is_known)
        return bool(self._store.rows(active.tuples()))

    def submit(self, wishes: Sequence[Wish]) -> str:
        """Return the id of a new request for *wishes*, which is in the database now.

        Raises TooManyRequestsError, DatabaseUnavailableError.
        """
        self._room.require(len(wishes))
        if not self._archive.has_tape:
            self._pruning(self._store.change)
            return self._requests.submit(wishes, self._settlement(wishes))
        request = self._requests.submit(wishes)
        self.wake()
        return request

    def _settlement(self, wishes: Sequence[Wish]) -> Settle:
        """Return what writes, without tape, that files which are there are on disk, and why others are not."""
        files = {wish.key: wish.file_id for wish in wishes if wish.file_id is not None}
        answers = self._archive.residencies(files.values())

        def settle(database: Database, recalls: Mapping[str, int]) -> None:
            errors = {key: answers[files[key]] for key in recalls if isinstance(answers[files[key]], Exception)}
            self._outcomes.complete(database, [recall for key, recall in recalls.items() if key not in errors])
            failed = [(recalls[key], Failure(str(error), is_final=True)) for key, error in errors.items()]
            self._outcomes.fail(database, failed, clock=0)

        return settle

    def cancel(self, request: str, wishes: Sequence[Wish]) -> None:
        """Cancel the files of the *request* that *wishes* name, all or none; what has ended stays as it is.

        Raises MissingRequestError, RequestError for a file that is not in the request.
        """
        self._requests.cancel(request, wishes)

    def release(self, request: str, wishes: Sequence[Wish]) -> None:
        """Unpin the files that *wishes* name for the *request*, which need not exist; others are ignored."""
        self._requests.release(request, wishes)

    def delete(self, request: str) -> None:
        """Cancel all files of the *request*, unpin them, and forget the request. Raises MissingRequestError."""
        self._requests.delete(request)

    def report(self) -> Report:
        """Return what waits, what is under way, and how fast it goes."""
        return report(self._store)

    def residencies(self, file_ids: Iterable[str]) -> Mapping[str, Residency | ArchiveInterfaceError]:
        """Return what the storage says of *file_ids*."""
        return self._archive.residencies(file_ids)

    def recaller(self) -> Recaller:
        """Return a recaller for this archive, which hears of what is asked for from now on."""
        recaller = Recaller(self._archive, self._store, self.options)
        self.wake = recaller.wake
        return recaller

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Run a recaller in a thread during the block, for an archive with tape."""
        if not self._archive.has_tape:
            yield
            return
        recaller = self.recaller()
        thread = threading.Thread(target=recaller.run, name="recaller", daemon=True)
        thread.start()
        try:
            yield
        finally:
            recaller.stop()
            thread.join(_PATIENCE)


def _demand(database: Database, key: str, file_id: str) -> ArchiveInterfaceError | None:
    """Have the file recalled, or return the failure that nobody was told of yet."""
    failed = (Recall.key == key) & (Recall.phase == Phase.FAILED) & Recall.is_direct & ~Recall.is_told
    recent = failed & (Recall.finished_at > time.time() - _TOLD_FOR)
    query = Recall.select(Recall.id, Recall.error, Recall.is_final).where(recent).order_by(Recall.id.desc()).limit(1)
    for recall, error, is_final in query.tuples().execute(database):
        Recall.update(is_told=True).where(Recall.id == recall).execute(database)
        kind = ConflictError if is_final else BackendUnavailableError
        return kind(f"the recall from tape failed: {error}")
    join(database, {key: file_id}, is_direct=True)
    return None
