"""Commands that may hang: each gets the paths of some files, is waited for, and is killed when its time is over."""

import errno
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress

from ....exception import ArchiveInterfaceError, BackendUnavailableError, archive_error
from ....globals import LOG_NAME

NO_SUCH_COMMAND = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC)
KILL_AFTER = 2.0  # seconds that a process has to end after SIGTERM

_log = logging.getLogger(LOG_NAME)

Request = Callable[[Sequence[str]], None]
"""Asks the storage something for the files at some paths. May take long; raises UnsupportedError and ours."""


class UnsupportedError(ArchiveInterfaceError):
    """This machine does not support this way of asking."""


class HungCommandError(BackendUnavailableError):
    """The command did not end in time, and was killed."""


def outcomes(request: Request, filepaths: Sequence[str], batch: int) -> dict[str, ArchiveInterfaceError | None]:
    """Make *request* for up to *batch* files at a time; return None for each, or why it failed.

    When it fails for several, it is made for each alone: a command does not tell which of the files it refused. After
    a command that hung, no other is started.
    """
    results: dict[str, ArchiveInterfaceError | None] = {}
    for start in range(0, len(filepaths), batch):
        some = filepaths[start : start + batch]
        error = _error_of(request, some)
        if isinstance(error, HungCommandError):
            return results | dict.fromkeys(filepaths[start:], error)
        if error and len(some) > 1:
            results |= outcomes(request, some, 1)
        else:
            results |= dict.fromkeys(some, error)
    return results


def _error_of(request: Request, filepaths: Sequence[str]) -> ArchiveInterfaceError | None:
    try:
        request(filepaths)
    except ArchiveInterfaceError as error:
        return error
    except OSError as error:
        return archive_error(error)
    return None


class Command:
    """A command that gets the paths as its last arguments, such as SAM-QFS's ``stage``; no shell is involved."""

    def __init__(self, command: Sequence[str], timeout: float, failure: str) -> None:
        """Run *command*, for at most *timeout* seconds at a time; *failure* tells clients that it failed."""
        self._command = command
        self._run = Runner(timeout)
        self._failure = failure

    def __call__(self, filepaths: Sequence[str]) -> None:
        """Run the command for *filepaths* and wait until it ends."""
        code, errors = self._run([*self._command, *filepaths])
        if code:
            _log.error("%s ended with %s: %s", self._command[0], code, errors)
            raise BackendUnavailableError(self._failure)


class Runner:
    """Runs commands, each in a session of its own: the terminal's interrupt would cancel a recall."""

    def __init__(self, timeout: float) -> None:
        """Give each command *timeout* seconds."""
        self._timeout = timeout
        self._running: set[subprocess.Popen[bytes]] = set()

    def __call__(self, command: Sequence[str]) -> tuple[int, str]:
        """Return the exit code of *command* and what it wrote to standard error. Raises HungCommandError."""
        # Not a pipe: a process that the command leaves in the background (ssh's ControlPersist) would keep it open.
        with tempfile.TemporaryFile() as errors:
            process = _started(command, errors.fileno())
            self._running.add(process)
            try:
                code = process.wait(self._timeout)
            except subprocess.TimeoutExpired as error:
                _end(process)
                _log.error("%s did not end within %g seconds and was killed", command[0], self._timeout)
                raise HungCommandError("the request to the tape system did not end in time") from error
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
            raise UnsupportedError(f"{command[0]} cannot be run") from error
        raise archive_error(error) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End *process* and its children; one in a system call that never returns is left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # SIGKILL is for children as well that outlive the process, so it is sent in any case.
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(KILL_AFTER)
