"""Reading a file of HPSS, and which files are being read."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext

from ....digests import Digests
from ....exception import BackendUnavailableError, translated_os_errors
from ....globals import LOG_NAME
from ...abstract.file import Reader
from ...abstract.notes import Notes
from ..calls.session import Session
from ..extended import HpssExtended
from ..notes import write_notes
from ..status import HpssStatus

_log = logging.getLogger(LOG_NAME)


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


class OpenReaders:
    """Which files are being read in this process, and by whom.

    HPSS has been seen to abort a process that removes a file it is reading, and a reader must get the
    bytes of one file from beginning to end.
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
