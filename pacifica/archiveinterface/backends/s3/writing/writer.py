"""Writing an object: in one call when it is small, else in parts."""

from __future__ import annotations

import time
from collections.abc import Callable

from ....digests import Digests, Hasher
from ....exception import StorageError
from ...abstract.file import PUBLISHED_MODE, Writer
from ...abstract.undoing import UndoOnError
from ..calls.bucket import Answer, Condition
from ..notes import Kept, new_token
from ..status import S3Status
from ..store import Store
from .parts import Upload, part_size

_CONTENT = "sha-256"


class S3Writer(Writer):
    """An object being written; it is published by one last call to the store.

    If the answer to that call is lost, *token* tells whether the object that is stored is this one.
    """

    def __init__(
        self,
        store: Store,
        filepath: str,
        length: int | None,
        publish: Callable[[S3Writer], S3Status],
        *,
        may_replace: bool,
    ) -> None:
        """Write *length* bytes, if known, to *filepath*; `close` calls *publish*, which calls `put`.

        If it may not replace another object, *publish* may compare the content with that one's.
        """
        self.filepath = filepath
        self.token = new_token()
        self.size = 0
        self._store, self._length, self._publish = store, length, publish
        self._key = store.key(filepath)
        self._part, self._room = bytearray(), 0
        self._upload: Upload | None = None
        self._mod_time = time.time()
        self._digests: Digests = {}
        # Where files may not be replaced, the same bytes may be sent again.
        self._hasher = Hasher(() if may_replace else (_CONTENT,))
        self._published: S3Status | None = None

    def write(self, buf: bytes) -> int:
        """Append the whole *buf*. Raises StorageBusyError when no memory for it is free within a minute."""
        self._hasher.update(buf)
        rest = memoryview(buf)
        while rest:
            if len(self._part) == self._room:
                self._begin_part()
            count = min(len(rest), self._room - len(self._part))
            self._part += rest[:count]
            rest = rest[count:]
            self.size += count
        return len(buf)

    def _begin_part(self) -> None:
        if self._room:
            self._send_part()
        size = part_size(self._store.s3.part_size, self.size, self._length)
        room = size if self._length is None else max(1, min(size, self._length - self.size))
        self._store.memory.take(room)
        self._room = room

    def _send_part(self) -> None:
        if self._upload is None:
            self._upload = Upload(self._store, self.filepath, self.token)
        part, room = self._part, self._room
        self._part, self._room = bytearray(), 0
        self._upload.send(part, room)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time."""
        self._mod_time = mod_time

    def set_file_permissions(self, mode: int = PUBLISHED_MODE) -> None:
        """Do nothing: the policies of the bucket say who may do what."""

    def set_digests(self, digests: Digests) -> None:
        """Note the digests of the content once it is whole."""
        self._digests = digests

    def status(self) -> S3Status:
        """Return the status of what was published."""
        if self._published is None:
            raise StorageError("the file is not published yet")
        return self._published

    @property
    def kept(self) -> Kept:
        """What is kept with the object."""
        return Kept(self.token, self._mod_time, self.size, self._digests)

    @property
    def is_in_parts(self) -> bool:
        """Whether the object is larger than one part."""
        return self._upload is not None

    def content_digests(self) -> Digests:
        """Return the digests of the content: those that were set, and one that identifies it."""
        return {**self._hasher.digests(), **self._digests}

    def close(self) -> None:
        """Publish the object. Raises ConflictError, PreconditionError; the old object then stays."""
        with UndoOnError(self.discard):
            if self._upload:
                self._send_part()
                self._upload.finish(self.kept)
            self._published = self._publish(self)
        self._free()

    def put(self, condition: Condition) -> Answer:
        """Have the store publish the object if the *condition* holds."""
        if self._upload:
            return self._upload.complete(condition)
        return self._store.bucket.put(self._key, self._part, self.kept.metadata(), condition)

    def discard(self) -> None:
        """Remove what was written."""
        self._free()
        if self._upload:
            self._upload.discard()

    def _free(self) -> None:
        self._part = bytearray()
        self._store.memory.give_back(self._room)
        self._room = 0
