"""What is logged of a file that is replaced, removed or moved, or gets a digest: it cannot be looked at any more."""

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


def log_stored(file_id: str, status: AbstractStatus, author: Author) -> None:
    """Log that a file was replaced by one with *status*, or that it was stored where storage tells no more."""
    if status.replaced.was_there is not False:
        change = "replaced" if status.replaced.was_there else "stored, perhaps replaced"
        _log_change(change, file_id, {**_old(status.replaced), "new_digest": _text_of(status.digests)}, author)


def log_deleted(file_id: str, removed: Replaced, author: Author) -> None:
    """Log that a file was *removed*."""
    _log_change("deleted", file_id, _old(removed), author)


def log_moved(file_id: str, old_path: str, replaced: Replaced, author: Author) -> None:
    """Log that the file at *old_path* was moved here, and *replaced* another one."""
    _log_change("moved", file_id, {**({} if replaced.was_there is False else _old(replaced)), "from": old_path}, author)


def log_recorded(file_id: str, old: Mapping[str, bytes], new: Mapping[str, bytes], author: Author) -> None:
    """Log that the digests *new* were stored with a file that had only the *old* ones."""
    _log_change("recorded", file_id, {"old_digest": _text_of(old), "new_digest": _text_of(new)}, author)


def _log_change(change: str, file_id: str, facts: dict[str, str], author: Author) -> None:
    # What may be too long for a line comes last: a path.
    told = {**{name: text for name, text in author._asdict().items() if text}, **facts}
    shown = ", ".join(f"{name.replace('_', ' ')} {text!a}" for name, text in told.items())
    _log.info("%s %a: %s", change, file_id, shown, extra={"members": {"change": change, "id": file_id, **told}})


def _old(replaced: Replaced) -> dict[str, str]:
    return {"old_digest": _text_of(replaced.digests)}


def _text_of(digests: Mapping[str, bytes]) -> str:
    return " ".join(f"{name}={value.hex()}" for name, value in digests.items()) or "unknown"
