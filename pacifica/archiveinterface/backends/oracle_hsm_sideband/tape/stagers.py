"""How a file is recalled from tape: through libsam, by a command, or by reading it."""

import atexit
import errno
import logging
import os
from collections.abc import Callable, Sequence

from ....exception import ArchiveInterfaceError, BackendUnavailableError, ConflictError, archive_error
from ....globals import LOG_NAME, python_program
from .libsam import NO_SUCH_CALL
from .running import Request, Runner, UnsupportedError

# Exits with the error number. The first bytes may have stayed on disk; reading those would recall nothing.
_READER = """
import os, sys
try:
    descriptor = os.open(sys.argv[1], os.O_RDONLY | os.O_NOFOLLOW)
    os.pread(descriptor, 1, max(os.fstat(descriptor).st_size - 1, 0))
except OSError as error:
    os._exit(error.errno)
"""

_log = logging.getLogger(LOG_NAME)


class LibsamRequest:
    """A call of libsam that returns at once: sam_stage with ``i`` only queues, and queues nothing twice."""

    def __init__(self, call: Callable[[str], None]) -> None:
        """Make *call* for each file."""
        self._call = call

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Make the call for each of *filepaths*, up to the first that fails."""
        try:
            for filepath in filepaths:
                self._call(filepath)
        except OSError as error:
            if error.errno in NO_SUCH_CALL:
                raise UnsupportedError("libsam has no such call on this server") from error
            raise stage_error(error) from error


class ReadStager:
    """A read of the last byte, which blocks until SAM-QFS has staged the file up to there.

    It happens in a process of its own, because a blocked thread cannot be ended.
    """

    def __init__(self, timeout: float) -> None:
        """Read for at most *timeout* seconds."""
        self._command = [python_program(), "-I", "-S", "-c", _READER]
        self._run = Runner(timeout)
        # The process ends with the service; it would wait for the tape without need.
        atexit.register(self._run.end)

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Read the last byte of each of *filepaths*, one after the other."""
        for filepath in filepaths:
            code, errors = self._run([*self._command, filepath])
            if code in errno.errorcode:
                raise stage_error(OSError(code, os.strerror(code)))
            if code:
                _log.error("reading the last byte of %s ended with %s: %s", filepath, code, errors)
                raise BackendUnavailableError("the recall from tape failed, try again later")


class FirstSupported:
    """Several ways of staging; the first that this machine supports is used."""

    def __init__(self, ways: Sequence[Request]) -> None:
        """Try *ways* in this order."""
        self._ways = ways
        self._logged: set[str] = set()

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Ask for *filepaths*."""
        for way in self._ways:
            try:
                return way(filepaths)
            except UnsupportedError as error:
                self._log_once(str(error))
        raise BackendUnavailableError("no way of recalling files works on this server")

    def _log_once(self, reason: str) -> None:
        if reason not in self._logged:
            self._logged.add(reason)
            _log.warning("%s; trying the next stager", reason)


def stage_error(error: OSError) -> ArchiveInterfaceError:
    """Return the error of ours for a recall that failed by *error*."""
    if error.errno in (errno.ENXIO, errno.ENODATA):
        return ConflictError("no archive copy of the file can be read")
    if error.errno == errno.EIO:
        return BackendUnavailableError("the recall from tape failed, try again later")
    return archive_error(error)
