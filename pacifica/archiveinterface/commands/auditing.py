"""What the log and the audit log are told of commands that change something."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..audit.deeds import CHANGE, FAILED, Deed, Who
from ..audit.log import AuditLog
from ..exception import ArchiveInterfaceError
from ..http.changes import Change, log_change
from .author import local_author

_HOW = "account"


class Telling:
    """Tells what a command does, in the service's own log and, if there is one, in the audit log."""

    def __init__(self, deed: Deed | None) -> None:
        """Tell what belongs to *deed*."""
        self._deed = deed

    def change(self, change: Change) -> None:
        """Tell of the *change* that was made, the only one."""
        log_change(change, local_author())
        self.note(change=change.name, bytes=change.size, **change.facts)

    def one_of_many(self, **facts: Any) -> None:
        """Tell of a change that was made, one of many, in a line of its own."""
        if self._deed:
            self._deed.end(CHANGE, **facts)

    def note(self, **facts: Any) -> None:
        """Have *facts* in the line of the outcome."""
        if self._deed:
            self._deed.note(**facts)


@contextmanager
def audited(log: AuditLog | None, action: str, ids: Sequence[str] = (), **facts: Any) -> Iterator[Telling]:
    """Write to *log*, if there is one, that a command is about to do *action*, and at the end of the block its outcome.

    Raises NoSpaceError, BackendUnavailableError, before the block if nothing must be done.
    """
    if log is None:
        yield Telling(None)
        return
    deed = Deed(log, Who(local_author().user, _HOW), action, **facts)
    deed.begin(ids=ids)
    try:
        yield Telling(deed)
    except Exception as error:
        deed.end(FAILED, reason=str(error) if isinstance(error, ArchiveInterfaceError) else type(error).__name__)
        raise
    deed.end(CHANGE)
