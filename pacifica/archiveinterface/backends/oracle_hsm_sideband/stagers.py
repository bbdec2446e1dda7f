"""How a file is asked back from tape: through libsam, by a command, or by reading it."""

import errno
import logging
import os
import subprocess
from collections.abc import Callable, Sequence

from ...exception import ArchiveInterfaceError, BackendUnavailableError, ConflictError, archive_error
from ...globals import LOG_NAME
from .libsam import Libsam

NO_SUCH_CALL = (errno.ENOTTY, errno.ENOSYS, errno.ENOTSUP)  # what SAM-QFS clients on Linux answer

_log = logging.getLogger(LOG_NAME)

Stager = Callable[[str], None]
"""Asks for the file at a path to be brought to disk. May take long; raises UnsupportedStagerError and ours."""


class UnsupportedStagerError(ArchiveInterfaceError):
    """This machine does not know this way of staging."""


class LibsamStager:
    """sam_stage with ``i``: it queues and returns, and queues nothing twice."""

    def __init__(self, libsam: Libsam) -> None:
        """Call *libsam*."""
        self._libsam = libsam

    def __call__(self, filepath: str) -> None:
        """Queue the recall of *filepath*."""
        try:
            self._libsam.stage(filepath)
        except OSError as error:
            if error.errno in NO_SUCH_CALL:
                raise UnsupportedStagerError("sam_stage is not known here") from error
            raise stage_error(error) from error


class CommandStager:
    """A command that gets the path as its last argument, such as SAM-QFS's ``stage``; there is no shell between."""

    def __init__(self, command: Sequence[str]) -> None:
        """Run *command*."""
        self._command = command

    def __call__(self, filepath: str) -> None:
        """Run the command for *filepath* and wait until it ends."""
        try:
            # A session of its own: the terminal's interrupt would cancel the recall.
            done = subprocess.run(
                [*self._command, filepath],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                check=False,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise UnsupportedStagerError("the stage command cannot be run") from error
        if done.returncode:
            _log.error("%s ended with %s: %s", self._command[0], done.returncode, done.stderr.decode(errors="replace"))
            raise BackendUnavailableError("the recall from tape could not be started")


def read_last_byte(filepath: str) -> None:
    """Read the last byte of *filepath*, which blocks until SAM-QFS has staged the file up to there.

    The first bytes may have stayed on disk; reading those would recall nothing.
    """
    try:
        descriptor = os.open(filepath, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.pread(descriptor, 1, max(os.fstat(descriptor).st_size - 1, 0))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise stage_error(error) from error


class FirstSupported:
    """Several ways of staging; the first that this machine knows is used."""

    def __init__(self, ways: Sequence[Stager]) -> None:
        """Try *ways* in this order."""
        self._ways = ways

    def __call__(self, filepath: str) -> None:
        """Ask for *filepath*."""
        for way in self._ways:
            try:
                return way(filepath)
            except UnsupportedStagerError as error:
                _log.warning("%s; trying the next stager", error)
        raise BackendUnavailableError("no way of recalling files works on this server")


def stage_error(error: OSError) -> ArchiveInterfaceError:
    """Return the error of ours for a recall that failed by *error*."""
    if error.errno in (errno.ENXIO, errno.ENODATA):
        return ConflictError("no archive copy of the file can be read")
    if error.errno == errno.EIO:
        return BackendUnavailableError("the recall from tape failed, try again later")
    return archive_error(error)
