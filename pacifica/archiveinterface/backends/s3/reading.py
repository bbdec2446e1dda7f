"""Reading an object; after a connection broke, another one goes on at the same byte."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from urllib3.exceptions import HTTPError

from ...digests import Digests, Hasher
from ...exception import BackendUnavailableError, DamagedFileError, MissingFileError, StorageError
from ...globals import LOG_NAME
from ..abstract.file import Reader
from .calls.errors import StoreConditionError, translated_store_errors
from .changes.annotating import annotate
from .status import S3Status
from .store import Store

_SKIPPED = 1 << 16  # bytes; a shorter distance is read and dropped instead of opening a new connection
_UNAVAILABLE = "the storage does not answer now, try again later"

_log = logging.getLogger(LOG_NAME)


class S3Reader(Reader):
    """An object, open for reading; the call that opened it brought its status and the stream of its bytes."""

    block_size = 1 << 20

    def __init__(self, store: Store, status: S3Status, body: Any = None) -> None:
        """Read the object with *status*; *body* is the stream of its bytes, if that is open already."""
        self.filepath = status.filepath
        self._store, self._status = store, status
        self._kept = status.kept
        self._body = body
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises DamagedFileError, and StorageError when the object has been replaced."""
        size = min(size, self._status.filesize - self._position)
        if size <= 0:
            return b""
        for _ in range(self._store.s3.attempts - 1):
            try:
                return self._read_some(size)
            except BackendUnavailableError as error:
                cause = type(error.__cause__ or error).__name__
                _log.warning("%s: reading goes on at byte %d after %s", self.filepath, self._position, cause)
                self._leave()
        return self._read_some(size)

    def _read_some(self, size: int) -> bytes:
        if self._body is None:
            self._body = self._opened()
        block = self._receive(size)
        if not block:
            raise BackendUnavailableError(_UNAVAILABLE)
        # At the end, boto3 compares the checksum.
        if self._position + len(block) == self._status.filesize and self._receive(1):
            raise DamagedFileError("the file is damaged: it is longer than what was stored")
        self._position += len(block)
        return block

    def _receive(self, size: int) -> bytes:
        with translated_store_errors():
            try:
                return bytes(self._body.read(size))
            except (HTTPError, OSError) as error:
                raise BackendUnavailableError(_UNAVAILABLE) from error

    def _opened(self) -> Any:
        try:
            key = self._store.key(self.filepath)
            return self._store.bucket.get(key, self._position, self._status.store_etag)["Body"]
        except (StoreConditionError, MissingFileError) as error:
            raise StorageError("the file was replaced or removed while it was read") from error

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        skipped = offset - self._position
        if skipped and not (self._body is not None and 0 < skipped <= _SKIPPED and self._skip(skipped)):
            self._leave()
        self._position = offset

    def _skip(self, count: int) -> bool:
        with suppress(BackendUnavailableError):
            while count and (block := self._receive(count)):
                count -= len(block)
        return not count

    def status(self) -> S3Status:
        """Return the status of the object that is read."""
        return self._status

    def set_digests(self, digests: Digests) -> None:
        """Keep *digests* in the notes of the object."""
        self._keep(digests=digests)

    def mark_damaged(self, finding: str) -> None:
        """Keep with the object that it is damaged."""
        self._keep(damaged=finding)

    def _keep(self, **changes: Any) -> None:
        self._kept = self._kept._replace(**changes)
        annotate(self._store, self._status, self._kept)

    def close(self) -> None:
        """Close the stream, and its connection if not all bytes were read."""
        self._leave()

    def _leave(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def digests_of(store: Store, status: S3Status, algorithms: Iterable[str]) -> Digests:
    """Read the object with *status* and return its digests *algorithms*."""
    hasher = Hasher(algorithms)
    with S3Reader(store, status) as reader:
        for _ in hasher.hashed(iter(partial(reader.read, reader.block_size), b"")):
            pass
    return hasher.digests()
