"""Writing a file of HPSS."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
from collections.abc import Callable

from ....digests import Digests
from ....exception import ModTimeError, StorageError, translated_os_errors
from ....globals import LOG_NAME
from ...abstract.file import PUBLISHED_MODE, Writer
from ...abstract.notes import Notes
from ...abstract.undoing import UndoOnError
from ..calls.session import Session
from ..extended import HpssExtended
from ..notes import keep_checksum, write_notes
from ..status import HpssStatus

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
_LATEST = (1 << 32) - 1  # epoch seconds; HPSS counts them in 32 bits
_PRIVATE_MODE = 0o600
_log = logging.getLogger(LOG_NAME)


class HpssWriter(HpssExtended, Writer):
    """A file being written under a name of its own; `close` has it published."""

    def __init__(
        self, filepath: str, session: Session, length: int | None, publish: Callable[[HpssWriter], HpssStatus]
    ) -> None:
        """Create the file at *filepath*, *length* bytes long if known; `close` calls *publish*, which publishes it."""
        options = session.options
        creation = (_PRIVATE_MODE, options.cos_id, options.family_id, -1 if length is None else length)
        super().__init__(filepath, session, session.transfers, _CREATE, creation)
        self._publish = publish
        self._published: HpssStatus | None = None
        self._pending = bytearray()
        self._mod_time = int(time.time())
        self._mode = _PRIVATE_MODE
        self.digests: Digests = {}
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def checksum(self) -> str:
        """The MD5 of what was written, in hex: as hpsssum and GridFTP compute it."""
        return self._md5.hexdigest()

    def write(self, buf: bytes) -> int:
        """Append the whole *buf*."""
        self._md5.update(buf)
        self._pending += buf
        if len(self._pending) >= self._session.options.io_block_size:
            with translated_os_errors():
                self._flush()
        return len(buf)

    def set_mod_time(self, mod_time: float) -> None:
        """Set the modification time, whole seconds. Raises ModTimeError beyond the year 2106."""
        if not 0 <= mod_time <= _LATEST:
            raise ModTimeError("HPSS cannot hold this Last-Modified: its years are 1970 to 2106")
        self._mod_time = int(mod_time)

    def set_file_permissions(self, mode: int = PUBLISHED_MODE) -> None:
        """Set the permission bits."""
        self._mode = mode

    def set_digests(self, digests: Digests) -> None:
        """Note the digests of the content once it is whole."""
        self.digests = digests

    def status(self) -> HpssStatus:
        """Return the status of what was published."""
        if self._published is None:
            raise StorageError("the file is not published yet")
        return self._published

    def close(self) -> None:
        """Publish the file. Raises ConflictError, PreconditionError; the old file then stays."""
        with UndoOnError(self.discard), translated_os_errors():
            self._flush()
            self._close_descriptor()
            self._finish()
            self._published = self._publish(self)

    def discard(self) -> None:
        """Remove what was written."""
        client = self._session.client
        with translated_os_errors():
            try:
                self._close_descriptor()
            except client.HPSSError as error:
                _log.warning("closing %s: %s", self.filepath, error)
            try:
                self._session.call(lambda: client.unlink(self.filepath))
            except client.HPSSError as error:
                if error.errno != errno.ENOENT:  # it is published already
                    raise

    def _close_descriptor(self) -> None:
        self._session.call(self._descriptor.close, self._workers)

    def _flush(self) -> None:
        written, pending = 0, memoryview(self._pending)
        while written < len(pending):
            count = self._write_some(pending[written:])
            self.position += count
            written += count
        self._pending = bytearray()

    def _write_some(self, rest: memoryview) -> int:
        count = self._use(lambda descriptor: int(descriptor.write(rest)))
        if not count:
            raise StorageError("HPSS takes no more bytes")
        return count

    def _finish(self) -> None:
        """Set checksum, times and mode of the file, and check that HPSS has all that was written."""
        client = self._session.client
        keep_checksum(self._session, self.filepath, self.checksum, self.position)
        write_notes(self._session, self.filepath, Notes(self.digests))

        def finish() -> int:
            client.utime(self.filepath, self._mod_time, self._mod_time)
            client.chmod(self.filepath, self._mode)
            return int(client.stat(self.filepath)["size"])

        if self._session.call(finish) != self.position:
            raise StorageError("HPSS did not store all that was written")
