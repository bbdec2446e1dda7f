"""Open files in HPSS, to read and to replace.

They outlive a new login: a file whose descriptor was closed for it opens itself again where it was.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any, TypeVar

from ...digests import Digests
from ...exception import (
    BackendUnavailableError,
    ModTimeError,
    StorageError,
    translated_os_errors,
)
from ...globals import LOG_NAME
from ..abstract.file import PUBLISHED_MODE, Reader, Writer
from ..abstract.notes import Notes
from ..abstract.undoing import UndoOnError
from .notes import keep_checksum, write_notes
from .session import Session
from .status import HpssStatus
from .workers import Workers

T = TypeVar("T")

# Opening must not recall a file; without O_NONBLOCK it would, and wait for the tape.
READ = os.O_RDONLY | os.O_NONBLOCK
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
_LATEST = (1 << 32) - 1  # epoch seconds; HPSS counts them in 32 bits
_PRIVATE_MODE = 0o600
_log = logging.getLogger(LOG_NAME)


class HpssExtended:
    """A file open in HPSS, at *position* bytes from its start."""

    def __init__(
        self,
        filepath: str,
        session: Session,
        workers: Workers,
        flags: int = READ,
        creation: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Open the file at *filepath*, to read or write it by *workers*. Raises HPSSError.

        *creation* is mode, class of service, family and size.
        """
        self.filepath = filepath
        self.position = 0
        self._session = session
        self._workers = workers
        self._flags = flags & ~(os.O_CREAT | os.O_EXCL)
        self._descriptor = session.call(lambda: session.open(filepath, flags, *(creation or ())))

    @staticmethod
    def parse_latency(latency_tuple: tuple[float, float]) -> float:
        """Return the seconds between asking and answer, both by this machine's monotonic clock."""
        asked, answered = latency_tuple
        return answered - asked

    def _use(self, action: Callable[[Any], T]) -> T:
        return self._session.use(lambda: action(self._ready_descriptor()), self._workers)

    def _ready_descriptor(self) -> Any:
        if self._descriptor.closed:  # for a new login
            self._descriptor = self._reopened()
        return self._descriptor

    def _reopened(self) -> Any:
        descriptor = self._session.open(self.filepath, self._flags)

        def close() -> None:
            # Now: whenever it is collected, its number may be another file's.
            with suppress(self._session.client.HPSSError):
                descriptor.close()

        with UndoOnError(close):
            descriptor.seek(self.position, os.SEEK_SET)
        return descriptor


class HpssReader(HpssExtended, Reader):
    """A stored file, open for reading in large blocks."""

    def __init__(
        self, filepath: str, session: Session, status: HpssStatus, leave: Callable[[HpssReader], None]
    ) -> None:
        """Open the file at *filepath*, which has *status*; *leave* is called once it is closed. Raises HPSSError."""
        super().__init__(filepath, session, session.tape_reads if status.is_read_from_tape else session.transfers)
        self._leave = leave
        self._status = status
        self._block = memoryview(bytearray(max(1, min(session.options.io_block_size, status.filesize))))
        self._rest = self._block[:0]

    def status(self) -> HpssStatus:
        """Return the status of the file as it was opened."""
        return self._status

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        if not self._rest:
            self._fill()
        block, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return block

    def _fill(self) -> None:
        waiting = self._session.waiting_for_tape() if self._status.is_read_from_tape else nullcontext()
        with translated_os_errors(), waiting:
            count = self._use(lambda descriptor: descriptor.readinto(self._block))
        self.position += count
        self._rest = self._block[:count]

    def seek(self, offset: int) -> None:
        """Go to *offset* bytes from the start."""
        with translated_os_errors():
            self._use(lambda descriptor: descriptor.seek(offset, os.SEEK_SET))
        self.position = offset
        self._rest = memoryview(b"")

    def close(self) -> None:
        """Close the file. An error of HPSS is only logged: all was read."""
        for step in (lambda: self._session.call(self._descriptor.close), lambda: self._leave(self)):
            try:
                step()
            except (self._session.client.HPSSError, BackendUnavailableError) as error:
                _log.warning("closing %s: %s", self.filepath, error)

    def set_digests(self, digests: Digests) -> None:
        """Note the digests that the content was found to have."""
        self._status.digests = digests
        write_notes(self._session, self.filepath, Notes(digests))

    def mark_damaged(self, finding: str) -> None:
        """Note that the content is not what was stored."""
        self._status.damaged = finding
        write_notes(self._session, self.filepath, Notes(self._status.digests, finding))


class HpssWriter(HpssExtended, Writer):
    """A file being written under a name of its own; `close` has it published."""

    def __init__(
        self, filepath: str, session: Session, length: int | None, publish: Callable[[HpssWriter], HpssStatus]
    ) -> None:
        """Create the file at *filepath*, *length* bytes long if known; *publish* gives it its place in the end."""
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
        """The MD5 of what was written, in hex: the one that hpsssum and GridFTP know."""
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
        """Have the file published. Raises ConflictError, PreconditionError and leaves the old one."""
        with UndoOnError(self.discard), translated_os_errors():
            self._flush()
            self._close_descriptor()
            self._finish()
            self._published = self._publish(self)

    def discard(self) -> None:
        """Forget what was written."""
        client = self._session.client
        with translated_os_errors():
            try:
                self._close_descriptor()
            except client.HPSSError as error:
                _log.warning("closing %s: %s", self.filepath, error)
            try:
                self._session.call(lambda: client.unlink(self.filepath))
            except client.HPSSError as error:
                if error.errno != errno.ENOENT:  # it has its place already
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
        """See that HPSS has all that was written, and give the file its checksum, times and mode."""
        client = self._session.client
        keep_checksum(self._session, self.filepath, self.checksum, self.position)
        write_notes(self._session, self.filepath, Notes(self.digests))

        def finish() -> int:
            client.utime(self.filepath, self._mod_time, self._mod_time)
            client.chmod(self.filepath, self._mode)
            return int(client.stat(self.filepath)["size"])

        if self._session.call(finish) != self.position:
            raise StorageError("HPSS has not kept all that was written")


class OpenReaders:
    """Which files are being read in this process, and by whom.

    HPSS has been seen to abort a process that removes a file it is reading; and a reader is to end
    with the bytes it began with.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._by_path: dict[str, list[HpssReader]] = {}

    def add(self, reader: HpssReader) -> None:
        """Remember *reader*."""
        with self._lock:
            self._by_path.setdefault(reader.filepath, []).append(reader)

    def discard(self, reader: HpssReader) -> bool:
        """Forget *reader*; return whether it was the last of its path."""
        with self._lock:
            readers = self._by_path.get(reader.filepath, [])
            if reader in readers:
                readers.remove(reader)
            if not readers:
                self._by_path.pop(reader.filepath, None)
            return not readers

    def any_of(self, path: str) -> bool:
        """Return whether the file at *path* is being read."""
        with self._lock:
            return path in self._by_path

    def move(self, path: str, aside: str) -> None:
        """Let all readers of *path* know that their file is now at *aside*."""
        with self._lock:
            readers = self._by_path.pop(path, [])
            for reader in readers:
                reader.filepath = aside
            if readers:
                self._by_path[aside] = readers
