"""What is kept with a file in its user-defined attributes.

Below ``/hpss/user/cksum/`` the MD5 in the form of hpsssum, which hsi and GridFTP read and write too; in
``/hpss/pacifica/notes`` the digests and the damage that this service knows of, in one attribute because
a query for several attributes fails when one of them is missing. Values are ASCII: others were returned damaged.
"""

import errno
import logging
import time
from typing import Any

from ...globals import LOG_NAME
from ..abstract.notes import Notes
from .calls.session import Session

CKSUM = "/hpss/user/cksum/"
NOTES = "/hpss/pacifica/notes"

_LONGEST_FINDING = 200  # characters
# No attribute, none that fits, or a site whose HPSS has none at all.
_NONE_THERE = frozenset((errno.ENOENT, errno.ERANGE, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS))
_log = logging.getLogger(LOG_NAME)


def read_notes(client: Any, filepath: str) -> Notes:
    """Return the notes of the file at *filepath*; call it within `Session.call`. Raises HPSSError."""
    try:
        return _notes_of(client.user_attributes(filepath, [NOTES])[NOTES])
    except client.HPSSError as error:
        if error.errno not in _NONE_THERE:
            raise
        return Notes({})


def remove_notes(session: Session, filepath: str) -> Notes:
    """Remove the notes of the file at *filepath* and return them. Raises HPSSError."""
    client = session.client
    notes = session.call(lambda: read_notes(client, filepath))
    try:
        session.call(lambda: client.delete_user_attributes(filepath, [NOTES]))
    except client.HPSSError as error:
        if error.errno not in _NONE_THERE:
            raise
    return notes


def write_notes(session: Session, filepath: str, notes: Notes) -> None:
    """Keep *notes*, and no others, with the file at *filepath*, if HPSS allows it."""
    _set(session, filepath, [(NOTES, _text_of(notes))])


def keep_checksum(session: Session, filepath: str, checksum: str, filesize: int) -> None:
    """Keep the MD5 *checksum*, in hex, with the file at *filepath*, if HPSS allows it."""
    values = {
        "algorithm": "md5",
        "checksum": checksum,
        "lastupdate": str(int(time.time())),
        "errors": "0",
        "state": "Valid",
        "app": "pacifica",
        "filesize": str(filesize),
    }
    _set(session, filepath, [(f"{CKSUM}{key}", value) for key, value in values.items()])


def _set(session: Session, filepath: str, attributes: list[tuple[str, str]]) -> None:
    try:
        session.call(lambda: session.client.set_user_attributes(filepath, attributes))
    except session.client.HPSSError as error:
        # The bytes are what matters; a site may have no attributes.
        _log.warning("no digests are kept with %s: %s", filepath, error)


def _text_of(notes: Notes) -> str:
    """Return *notes* as ``name=value`` with commas between."""
    plain = notes.damaged.encode("ascii", "replace").decode().replace(",", ";")[:_LONGEST_FINDING]
    return ",".join(f"{name}={value}" for name, value in notes._replace(damaged=plain).texts().items())


def _notes_of(text: str) -> Notes:
    return Notes.of_texts(dict(field.split("=", 1) for field in text.split(",") if "=" in field))
