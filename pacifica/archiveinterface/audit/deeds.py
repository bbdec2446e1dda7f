"""One thing that somebody asks for, from before it is done to its outcome."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .log import BEGIN, AuditLog

CHANGE, DENIED, FAILED, READ = "change", "denied", "failed", "read"
"""The events of the lines that tell an outcome."""

_MOST_IDS = 500  # in a line
_DENIALS = (401, 403, 429)  # statuses
_ERRORS = 400  # and above


class Who(NamedTuple):
    """Who asks: the name, how that is known, who vouches for it, and the address of the client; each may be empty."""

    user: str = ""
    how: str = ""
    issuer: str = ""
    client: str = ""


class Deed:
    """What is asked for, and its lines in the *log*."""

    def __init__(self, log: AuditLog, who: Who, action: str, **facts: Any) -> None:
        """Write lines with *who*, *action* and *facts*; facts that are empty are left out."""
        self._log = log
        self._facts = {**who._asdict(), "action": action, **facts}
        self._begun = 0

    @property
    def has_begun(self) -> bool:
        """Whether the log says that it was about to be done."""
        return self._begun > 0

    def begin(self, action: str = "", ids: Sequence[str] = (), **facts: Any) -> None:
        """Write that it is about to be done, to all files in *ids*; it may be done when this returns.

        Raises NoSpaceError, BackendUnavailableError when it must not be done.
        """
        self._facts |= {**facts, **({"action": action} if action else {})}
        parts = [{"ids": part} for part in _parts(ids)] or [{}]
        lines = [self._line(BEGIN, {**part, "part": _part(at, parts)}) for at, part in enumerate(parts, start=1)]
        self._begun = self._log.write(*lines)

    def note(self, **facts: Any) -> None:
        """Have *facts* in the line of the outcome."""
        self._facts |= facts

    def end(self, event: str, **facts: Any) -> None:
        """Write the outcome. Raises as `begin` does; what was done stays done."""
        begun = {"begun": self._begun} if self._begun else {}
        self._log.write(self._line(event, {**facts, **begun}))

    def _line(self, event: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        told = {"event": event, **self._facts, **facts}
        return {name: value for name, value in told.items() if value not in ("", None)}


def event_of(status: int, *, is_change: bool) -> str:
    """Return the event of an outcome with this HTTP *status*."""
    if status in _DENIALS:
        return DENIED
    if status >= _ERRORS:
        return FAILED
    return CHANGE if is_change else READ


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _MOST_IDS):
        yield ids[start : start + _MOST_IDS]


def _part(number: int, parts: Sequence[object]) -> str:
    return f"{number}/{len(parts)}" if len(parts) > 1 else ""
