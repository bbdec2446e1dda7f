"""A file that is read again when it has changed."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ...exception import ConfigurationError
from ...globals import LOG_NAME
from ...options import read_text

T = TypeVar("T")

_log = logging.getLogger(LOG_NAME)
_Stamp = tuple[int, ...] | None


class Watched(Generic[T]):
    """What a file says.

    A new version that is wrong or cannot be read is logged once, and what the last right one says stays in force.
    """

    def __init__(self, path: str, parse: Callable[[str], T]) -> None:
        """Read the file at *path*, whose text *parse* understands; it raises ValueError. Raises ConfigurationError."""
        self._path, self._parse = path, parse
        self._reading = threading.Lock()
        self._stamp = _stamp_of(path)
        self._content = self._read()

    def current(self) -> T:
        """Return what the file says now."""
        if _stamp_of(self._path) != self._stamp and self._reading.acquire(blocking=False):
            try:
                self._reread()
            finally:
                self._reading.release()
        return self._content

    def _reread(self) -> None:
        # Before the file is read: what is written to it meanwhile is seen by the next call.
        self._stamp = _stamp_of(self._path)
        try:
            self._content = self._read()
        except ConfigurationError as error:
            _log.error("%s; what the file said before stays in force", error)
        else:
            _log.info("%s has changed and was read again", self._path)

    def _read(self) -> T:
        try:
            return self._parse(read_text(self._path))
        except ValueError as error:
            raise ConfigurationError(f"{self._path}: {error}") from error


def _stamp_of(path: str) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
