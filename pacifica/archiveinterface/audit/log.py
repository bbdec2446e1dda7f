"""The audit log as threads use it: what they write at the same time is written and synced together."""

import errno
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..exception import ArchiveInterfaceError, BackendUnavailableError, ConfigurationError, NoSpaceError
from ..globals import LOG_NAME
from ..metrics.definitions import AUDIT_FAILURES, CELLS
from .chain import Chain
from .keys import hashing_of
from .lines import Members, Place
from .options import ALL, OUTCOMES, AuditOptions

BEGIN = "begin"
"""The event of a line that is written before a change; the line that ends it has its number, as ``begun``."""

_log = logging.getLogger(LOG_NAME)


class _Ticket:
    """Lines that a thread has to write, and what became of them."""

    def __init__(self, lines: Sequence[Members], *, sync: bool) -> None:
        self.lines, self.sync = lines, sync
        self.places: list[Place] = []
        self.error: Exception | None = OSError(errno.EINTR, os.strerror(errno.EINTR))  # until it is written
        self.is_done = False


class AuditLog:
    """The log of this node; all threads share it."""

    def __init__(self, options: AuditOptions) -> None:
        """Write as *options* say; no file is opened yet. Raises ConfigurationError for a key that cannot be used."""
        self.options = options
        self._chain = Chain(options, hashing_of(options.key_file))
        self._waiting: list[_Ticket] = []
        self._turn = threading.Condition()
        self._is_writing = False
        self._failure = AUDIT_FAILURES.cell()

    def require_usable(self) -> None:
        """Seal what a process that died has left. Raises ConfigurationError if the log cannot be gone on with."""
        try:
            with self._alone():
                self._chain.head()
                self._chain.close()  # processes that are forked now have files of their own
        except OSError as error:
            reason = (error.strerror or "it cannot be opened").lower()
            raise ConfigurationError(f"[audit] {error.filename or self._chain.path}: {reason}") from error
        except BackendUnavailableError as error:
            raise ConfigurationError(f"[audit] {error}") from error

    def require_room(self) -> None:
        """Raise BackendUnavailableError, NoSpaceError if it is certain that no line can be written."""
        directory = self.options.directory
        if not os.access(directory, os.W_OK | os.X_OK):
            raise BackendUnavailableError("its directory is not there or cannot be written")
        if not os.statvfs(directory).f_bavail:
            raise NoSpaceError("no space is left")

    def close(self) -> None:
        """Close the files; another line opens them again."""
        with self._alone():
            self._chain.close()

    def write(self, *lines: Members) -> int:
        """Write *lines* and return the number of the first; all have what they need for the answer to be sent.

        Raises NoSpaceError, BackendUnavailableError if one could not be written.
        """
        ticket = _Ticket(lines, sync=any(map(self._is_synced, lines)))
        with self._turn:
            self._waiting.append(ticket)
            while self._is_writing and not ticket.is_done:
                self._turn.wait()
            leads = not ticket.is_done
            if leads:  # it writes for all that have come meanwhile
                self._is_writing = True
                tickets, self._waiting = self._waiting, []
        if leads:
            self._lead(tickets)
        if ticket.error:
            CELLS.add((self._failure, 1))
            raise self._failed(ticket.error) from ticket.error
        return ticket.places[0].sequence

    def _is_synced(self, members: Members) -> bool:
        return self.options.sync == ALL or (self.options.sync == OUTCOMES and "begun" in members)

    def _lead(self, tickets: Sequence[_Ticket]) -> None:
        try:
            self._write_all(tickets)
        finally:
            with self._turn:
                for ticket in tickets:
                    ticket.is_done = True
                self._is_writing = False
                self._turn.notify_all()

    def _write_all(self, tickets: Sequence[_Ticket]) -> None:
        lines = [line for ticket in tickets for line in ticket.lines]
        error: Exception = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        places: list[Place] = []
        try:
            places = self._chain.append(lines, sync=any(ticket.sync for ticket in tickets))
        except (OSError, ArchiveInterfaceError) as failure:
            error = failure
        for ticket in tickets:
            count = len(ticket.lines)
            ticket.places, places = places[:count], places[count:]
            ticket.error = error if len(ticket.places) < count else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no thread write in the block."""
        with self._turn:
            while self._is_writing:
                self._turn.wait()
            yield

    def _failed(self, error: Exception) -> ArchiveInterfaceError:
        _log.error("the audit log %s cannot be written: %s", self._chain.path, error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoSpaceError("no space is left for the audit log, without which nothing is changed")
        return BackendUnavailableError("the audit log cannot be written, without which nothing is changed")
