"""What is kept with a file in its user-defined attributes.

Below ``/hpss/user/cksum/`` the MD5 in the form of hpsssum, which hsi and GridFTP read and write too; in
``/hpss/pacifica/notes`` the digests and the damage that this service knows of, in one attribute because
asking for one that is missing refuses all. Values are plain ASCII: HPSS has not kept others well.
"""

import errno
import logging
import time
from contextlib import suppress
from typing import Any, NamedTuple

from ...digests import Digests
from ...globals import LOG_NAME
from .session import Session

CKSUM = "/hpss/user/cksum/"
NOTES = "/hpss/pacifica/notes"

_DAMAGED = "damaged"
_LONGEST_FINDING = 200  # characters
# No attribute, none that fits, or a site whose HPSS has none at all.
_NONE_THERE = frozenset((errno.ENOENT, errno.ERANGE, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS))
_log = logging.getLogger(LOG_NAME)


class Notes(NamedTuple):
    """The digests of a file's content as it was stored, and what damage was found since."""

    digests: Digests
    damaged: str = ""

    def text(self) -> str:
        """Return the notes as ``name=value`` with commas between."""
        fields = [f"{name}={value.hex()}" for name, value in self.digests.items()]
        if self.damaged:
            plain = self.damaged.encode("ascii", "replace").decode().replace(",", ";")
            fields.append(f"{_DAMAGED}={plain[:_LONGEST_FINDING]}")
        return ",".join(fields)

    @classmethod
    def of(cls, text: str) -> "Notes":
        """Return the notes that *text* says; what is not a digest is left out."""
        fields = dict(field.split("=", 1) for field in text.split(",") if "=" in field)
        damaged, digests = fields.pop(_DAMAGED, ""), {}
        for name, value in fields.items():
            with suppress(ValueError):
                digests[name] = bytes.fromhex(value)
        return cls(digests, damaged)


def read_notes(client: Any, filepath: str) -> Notes:
    """Return the notes of the file at *filepath*; to be used within `Session.call`. Raises HPSSError."""
    try:
        return Notes.of(client.user_attributes(filepath, [NOTES])[NOTES])
    except client.HPSSError as error:
        if error.errno not in _NONE_THERE:
            raise
        return Notes({})


def remove_notes(session: Session, filepath: str) -> Notes:
    """Leave the file at *filepath* without notes and return those it had. Raises HPSSError."""
    client = session.client
    notes = session.call(lambda: read_notes(client, filepath))
    try:
        session.call(lambda: client.delete_user_attributes(filepath, [NOTES]))
    except client.HPSSError as error:
        if error.errno not in _NONE_THERE:
            raise
    return notes


def write_notes(session: Session, filepath: str, notes: Notes) -> None:
    """Keep *notes*, and no others, with the file at *filepath*, if HPSS lets us."""
    _set(session, filepath, [(NOTES, notes.text())])


def keep_checksum(session: Session, filepath: str, checksum: str, filesize: int) -> None:
    """Keep the MD5 *checksum*, in hex, with the file at *filepath*, if HPSS lets us."""
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
