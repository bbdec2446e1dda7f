"""The layout of objects below a prefix: ids are keys of a tree, as directories would be.

Objects that other programs have stored under plain ids are converted. The marker is an object among the notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256

from ...exception import ConflictError, MissingFileError, PreconditionError, StorageError
from ..abstract.layout import LayoutKeeper
from ..abstract.precondition import ABSENT
from ..abstract.undoing import UndoOnError
from .calls.bucket import Condition
from .calls.errors import StoreConditionError
from .changes.copying import Copy
from .changes.removing import remove
from .notes import NOTES
from .status import S3Status
from .store import Store
from .writing.publishing import publish


class S3LayoutKeeper(LayoutKeeper):
    """Keeps the marker of the objects below a prefix, and moves them by a copy that the store makes."""

    def __init__(self, store: Store) -> None:
        """Keep the objects of *store*, which is not asked yet."""
        self._store = store
        self._key = store.key(f"{store.prefix}/{NOTES}/layout")

    def marker(self) -> str:
        """Return the marker."""
        try:
            return self._store.bucket.read(self._key).decode("ascii", "replace")
        except MissingFileError:
            return ""

    def set_marker(self, marker: str, instead_of: str) -> None:
        """Set the marker if it is still *instead_of*. Raises ConflictError."""
        bucket = self._store.bucket
        # Another process was quicker, or the answer was lost and boto3 has asked again.
        with suppress(StoreConditionError):
            condition = Condition(bucket.head(self._key)["ETag"]) if instead_of else Condition(is_new=True)
            if self.marker() == instead_of:
                bucket.put_notes(self._key, marker.encode(), condition)
        if self.marker() != marker:
            raise ConflictError("another process has changed the layout of the archive")

    def sample(self) -> Iterator[str]:
        """Yield the first paths of a listing, and of one without the directories."""
        start = self._store.key(f"{self._store.prefix}/")
        for among in ({}, {"Delimiter": "/"}):
            # Notes come before all that begins with a digit or a letter.
            page = next(
                iter(self._store.bucket.pages("list_objects_v2", Prefix=start, StartAfter=f"{start}/", **among))
            )
            paths = (found["Key"].removeprefix(start) for found in page.get("Contents", ()))
            yield from (path for path in paths if not path.startswith(f"{NOTES}/"))

    def require_absent(self, path: str) -> None:
        """Raise ConflictError when an object has the *path*."""
        if self._store.existing(f"{self._store.prefix}/{path}"):
            raise ConflictError(f"{path} is there already")

    def move(self, old: str, new: str) -> None:
        """Have the object copied and remove it, with the token that tells the copy of a move that was killed."""
        store, target = self._store, f"{self._store.prefix}/{new}"
        source = store.whereabouts(f"{store.prefix}/{old}")
        token = sha256(f"{source.filepath}\n{source.store_etag}".encode()).hexdigest()[:32]
        if not store.has(target, token):
            self._copy(source, target, token)
        copied = store.whereabouts(target)
        if (copied.kept.token, copied.filesize) != (token, source.filesize):
            raise StorageError("the copy is not what was copied; both are left")
        remove(store, source, Condition(source.store_etag))

    def _copy(self, source: S3Status, target: str, token: str) -> None:
        if source.is_archived:
            raise ConflictError("the object is in an archive class: have the store restore it first")
        kept = source.kept._replace(token=token, mtime=source.mtime, size=source.filesize)
        copy = Copy(self._store, source, target, kept)
        try:
            with UndoOnError(copy.discard):
                publish(self._store, copy, ABSENT)
        except PreconditionError as error:
            raise ConflictError(f"{target.removeprefix(f'{self._store.prefix}/')} is there already") from error
