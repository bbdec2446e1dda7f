"""How a file is recalled from tape: through libsam, by a command, or by reading it."""

import atexit
import errno
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...exception import ArchiveInterfaceError, BackendUnavailableError, ConflictError, archive_error
from ...globals import LOG_NAME, python_program
from .libsam import Libsam

NO_SUCH_CALL = (errno.ENOTTY, errno.ENOSYS, errno.ENOTSUP)  # what SAM-QFS clients on Linux answer
NO_SUCH_COMMAND = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)
KILL_AFTER = 2.0  # seconds that a process has to end after SIGTERM

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

Stager = Callable[[Sequence[str]], None]
"""Asks for the files at some paths to be brought to disk. May take long; raises UnsupportedStagerError and ours."""


class UnsupportedStagerError(ArchiveInterfaceError):
    """This machine does not support this way of staging."""


class HungStagerError(BackendUnavailableError):
    """The process that should start the recall did not end in time, and was killed."""


class LibsamStager:
    """sam_stage with ``i``: it queues and returns, and queues nothing twice."""

    def __init__(self, libsam: Libsam) -> None:
        """Call *libsam*."""
        self._libsam = libsam

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Queue the recall of each of *filepaths*, up to the first that fails."""
        try:
            for filepath in filepaths:
                self._libsam.stage(filepath)
        except OSError as error:
            if error.errno in NO_SUCH_CALL:
                raise UnsupportedStagerError("sam_stage is not supported here") from error
            raise stage_error(error) from error


class CommandStager:
    """A command that gets the paths as its last arguments, such as SAM-QFS's ``stage``; no shell is involved."""

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        """Run *command*, for at most *timeout* seconds at a time."""
        self._command = command
        self._run = _Runner(timeout)

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Run the command for *filepaths* and wait until it ends."""
        code, errors = self._run([*self._command, *filepaths])
        if code:
            _log.error("%s ended with %s: %s", self._command[0], code, errors)
            raise BackendUnavailableError("the recall from tape could not be started")


class ReadStager:
    """A read of the last byte, which blocks until SAM-QFS has staged the file up to there.

    It happens in a process of its own, because a blocked thread cannot be ended.
    """

    def __init__(self, timeout: float) -> None:
        """Read for at most *timeout* seconds."""
        self._command = [python_program(), "-I", "-S", "-c", _READER]
        self._run = _Runner(timeout)
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

    def __init__(self, ways: Sequence[Stager]) -> None:
        """Try *ways* in this order."""
        self._ways = ways
        self._logged: set[str] = set()

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Ask for *filepaths*."""
        for way in self._ways:
            try:
                return way(filepaths)
            except UnsupportedStagerError as error:
                self._log_once(str(error))
        raise BackendUnavailableError("no way of recalling files works on this server")

    def _log_once(self, reason: str) -> None:
        if reason not in self._logged:
            self._logged.add(reason)
            _log.warning("%s; trying the next stager", reason)


class _Runner:
    """Runs commands, each in a session of its own: the terminal's interrupt would cancel the recall."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._running: set[subprocess.Popen[bytes]] = set()

    def __call__(self, command: Sequence[str]) -> tuple[int, str]:
        """Return the exit code of *command* and what it wrote to standard error. Raises HungStagerError."""
        # Not a pipe: a process that the command leaves in the background (ssh's ControlPersist) would keep it open.
        with tempfile.TemporaryFile() as errors:
            process = _started(command, errors.fileno())
            self._running.add(process)
            try:
                code = process.wait(self._timeout)
            except subprocess.TimeoutExpired as error:
                _end(process)
                _log.error("%s did not end within %g seconds and was killed", command[0], self._timeout)
                raise HungStagerError("the recall from tape could not be started in time") from error
            finally:
                self._running.discard(process)
            return code, os.pread(errors.fileno(), 1 << 12, 0).decode(errors="replace")

    def end(self) -> None:
        """Ask what still runs to end, and do not wait for it."""
        for process in list(self._running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def _started(command: Sequence[str], errors: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
    except OSError as error:
        if error.errno in NO_SUCH_COMMAND:
            raise UnsupportedStagerError(f"{command[0]} cannot be run") from error
        raise archive_error(error) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End *process* and its children; one in a system call that never returns is left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # SIGKILL is for children as well that outlive the process, so it is sent in any case.
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(KILL_AFTER)


def stage_error(error: OSError) -> ArchiveInterfaceError:
    """Return the error of ours for a recall that failed by *error*."""
    if error.errno in (errno.ENXIO, errno.ENODATA):
        return ConflictError("no archive copy of the file can be read")
    if error.errno == errno.EIO:
        return BackendUnavailableError("the recall from tape failed, try again later")
    return archive_error(error)
