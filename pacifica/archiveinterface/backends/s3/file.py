"""One file of an archive in S3."""

from functools import partial

from ...exception import OfflineError
from ..abstract.file import ArchiveFile
from ..abstract.precondition import Precondition
from ..abstract.replacing import may_replace, refuse_early
from ..abstract.residency import Residency
from ..abstract.status import Replaced
from ..abstract.undoing import UndoOnError
from .changes.moving import move
from .changes.removing import remove
from .probing import require_usable
from .reading import S3Reader
from .status import S3Status
from .store import SCHEME, Store
from .tape.recalls import keep, stage
from .writing.publishing import condition_for, publish
from .writing.uploading import move_up
from .writing.writer import S3Writer


class S3File(ArchiveFile):
    """One object."""

    def __init__(self, store: Store, path: str) -> None:
        """Represent the object at *path* below the prefix of *store*."""
        super().__init__(store.prefix, path, store.options)
        self._store = store
        self._key = store.key(self.filepath)

    def status(self) -> S3Status:
        """Return the status of the object. Raises MissingFileError."""
        return self._store.describe(self.filepath)

    def residency(self) -> Residency:
        """Return where the bytes of the object are, by one call. Raises MissingFileError."""
        return self._store.whereabouts(self.filepath).residency

    def open_reader(self) -> S3Reader:
        """Open the object for reading, by the call that brings its status. Raises OfflineError."""
        try:
            return self._open_reader()
        except OfflineError:
            status = self.status()
            # Ceph RGW gives the size 0 for every object that it has archived: what we keep says whether it is empty.
            if status.kept.size != 0:
                raise
        return S3Reader(self._store, status)

    def _open_reader(self) -> S3Reader:
        answer = self._store.bucket.get(self._key)
        with UndoOnError(answer["Body"].close):
            return S3Reader(self._store, self._store.status_of(self.filepath, answer), answer["Body"])

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> S3Writer:
        """Start to replace the object. Raises PreconditionError, OtherBytesError."""
        require_usable(self._store)
        if precondition or not self.options.may_replace:
            refuse_early(self.options, precondition, self._store.existing(self.filepath), length)
        publish_writer = partial(publish, self._store, precondition=precondition)
        replaces = may_replace(self.options, precondition)
        return S3Writer(self._store, self.filepath, length, publish_writer, may_replace=replaces)

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Remove the object, and what is kept with it; return what it was."""
        existing = self._store.describe(self.filepath)
        remove(self._store, existing, condition_for(self._store, existing, precondition))
        return Replaced.of(existing)

    def presigned_url(self, seconds: int) -> str:
        """Return a URL at which anybody can read the object for so many *seconds*. The store is not asked."""
        return self._store.bucket.presigned_url(self._key, seconds)

    def stage(self) -> bool:
        """Ask for a restored copy unless one is there or under way, and return whether the object can be read."""
        return stage(self._store, self.filepath)

    def pin(self, seconds: float) -> None:
        """Have a restored copy stay for *seconds*; the store counts whole days."""
        keep(self._store, self.filepath, seconds)

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Make the object ``s3://bucket/key`` or the local file at *old_path* this file; return what this one was."""
        require_usable(self._store)
        if old_path.startswith(SCHEME):
            return move(self._store, old_path, self.filepath, precondition)
        return move_up(self, old_path, precondition)
