"""A copy that the store makes of an object, published as an upload is."""

from __future__ import annotations

from ....digests import SUPPORTED, Digests
from ....exception import ConflictError
from ..calls.bucket import Answer, Condition
from ..calls.errors import StoreConditionError
from ..notes import Kept
from ..reading import digests_of
from ..status import S3Status
from ..store import Store
from ..writing.parts import Upload, part_size

_CONTENT = ("sha-256",)


class Copy:
    """A copy of one object in the place of another; *token* tells it from every other object that is stored there."""

    def __init__(self, store: Store, source: S3Status, filepath: str, kept: Kept) -> None:
        """Copy the object *source* to *filepath*, with *kept*; the store does nothing before `put`."""
        self.filepath = filepath
        self.kept, self.token, self.size = kept, kept.token, source.filesize
        self._store, self._status = store, source
        self._key = store.key(filepath)
        self._source = store.bucket.source(store.key(source.filepath), source.store_etag)
        self._upload: Upload | None = None

    @property
    def is_in_parts(self) -> bool:
        """Whether the object is too large to be copied by one call."""
        return self.size > self._store.s3.copy_size

    def content_digests(self) -> Digests:
        """Return digests of the content: those that are known, or one that is computed now."""
        known = {name: value for name, value in self.kept.digests.items() if name in SUPPORTED}
        return known or digests_of(self._store, self._status, _CONTENT)

    def put(self, condition: Condition) -> Answer:
        """Have the store make the copy if the *condition* holds. Raises ConflictError when the source has changed."""
        try:
            if self.is_in_parts:
                return self._uploaded().complete(condition)
            answer = self._store.bucket.copy(self._key, self._source, self.kept.metadata(), condition)
            return {**answer, **answer["CopyObjectResult"]}
        except StoreConditionError as error:
            # It is a condition on the source or on the target that did not hold.
            if self._store.describe(self._status.filepath).store_etag != self._status.store_etag:
                raise ConflictError("the file changed while it was being moved") from error
            raise

    def _uploaded(self) -> Upload:
        """Return the upload that has all parts."""
        if self._upload is None:
            self._upload = Upload(self._store, self.filepath, self.token)
            size = part_size(self._store.s3.copy_size, 0, self.size)
            for first in range(0, self.size, size):
                self._upload.copy(self._source, first, min(first + size, self.size) - 1)
            self._upload.finish(self.kept)
        return self._upload

    def discard(self) -> None:
        """Remove the parts that were copied."""
        if self._upload:
            self._upload.discard()
