"""What the log and the audit log tell of a file that is stored, replaced, removed or moved, or gets a digest."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

from ..backends.abstract.status import AbstractStatus, Replaced
from ..globals import LOG_NAME

_log = logging.getLogger(LOG_NAME)


class Author(NamedTuple):
    """Who has asked for a change: the address of the client, empty for a command, and the user, empty for none."""

    client: str
    user: str


class Change(NamedTuple):
    """What was done to the file *file_id*, in a word or a few; *facts* are digests and paths by their names."""

    name: str
    file_id: str
    facts: dict[str, str]
    size: int | None = None  # bytes of the file that is there now, None if not known


STORED = "stored"
"""A change that took nothing away."""


def stored(file_id: str, status: AbstractStatus) -> Change:
    """Return what a file with *status* has done to what was there."""
    replaced, new = status.replaced, {"new_digest": _text_of(status.digests)}
    if replaced.was_there is False:
        return Change(STORED, file_id, new, status.filesize)
    name = "replaced" if replaced.was_there else "stored, perhaps replaced"
    return Change(name, file_id, {**_old(replaced), **new}, status.filesize)


def deleted(file_id: str, removed: Replaced) -> Change:
    """Return that a file was *removed*."""
    return Change("deleted", file_id, _old(removed))


def moved(file_id: str, old_path: str, replaced: Replaced) -> Change:
    """Return that the file at *old_path* was moved here, and *replaced* another one."""
    return Change("moved", file_id, {**({} if replaced.was_there is False else _old(replaced)), "from": old_path})


def recorded(file_id: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> Change:
    """Return that the digests *new* were stored with a file that had only the *old* ones."""
    return Change("recorded", file_id, {"old_digest": _text_of(old), "new_digest": _text_of(new)})


def log_change(change: Change, author: Author) -> None:
    """Log a change of a file that was there before: it cannot be looked at any more."""
    if change.name == STORED:
        return
    # What may be too long for a line comes last: a path.
    told = {**{name: text for name, text in author._asdict().items() if text}, **change.facts}
    shown = ", ".join(f"{name.replace('_', ' ')} {text!a}" for name, text in told.items())
    members = {"change": change.name, "id": change.file_id, **told}
    _log.info("%s %a: %s", change.name, change.file_id, shown, extra={"members": members})


def _old(replaced: Replaced) -> dict[str, str]:
    return {"old_digest": _text_of(replaced.digests)}


def _text_of(digests: Mapping[str, bytes]) -> str:
    return " ".join(f"{name}={value.hex()}" for name, value in digests.items()) or "unknown"
