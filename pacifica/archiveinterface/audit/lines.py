"""The form of a line: a JSON object that has the hash of the line before in it, and ends with the hash of itself.

The hash covers each byte of the line before the hash. Nothing but printable ASCII is written: what a client chooses
cannot begin another line.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..exception import ArchiveInterfaceError

LONGEST_LINE = 1 << 20  # bytes
_LONGEST_TEXT = 4200  # characters of a value; a path has at most 4096
_DIGITS = 64  # of a hash
_NO_LINE = "0" * _DIGITS
_ENDING = re.compile(rb', "hash": "([0-9a-f]{64})"\}\n')

Members = Mapping[str, Any]
"""What a line tells, by name: texts, numbers and lists of texts."""


class LineError(ArchiveInterfaceError):
    """A line is not one that this log could have: the message says why."""


class Place(NamedTuple):
    """Where a chain has come to: the number of its last line, and the hash in it."""

    sequence: int = 0
    hash: str = _NO_LINE

    def __str__(self) -> str:
        """Return the form that `place_in` reads."""
        return f"{self.sequence}:{self.hash}"


def place_in(text: str) -> Place:
    """Return the place in *text*, as ``audit head`` prints it. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text)
    if not found:
        raise ValueError("a number, a colon and 64 hexadecimal digits")
    return Place(int(found[1]), found[2])


class Hashing(NamedTuple):
    """How lines are hashed: with HMAC-SHA-256 if there is a *key*, else with SHA-256."""

    key: bytes = b""

    def of(self, text: bytes) -> str:
        """Return the hash of *text*, in hex."""
        if self.key:
            return hmac.digest(self.key, text, "sha256").hex()
        return hashlib.sha256(text).hexdigest()


class Line(NamedTuple):
    """A line: what it tells, its place in the chain, and the hash of the line before."""

    members: Members
    place: Place
    previous: str


def line_after(last: Place, members: Members, hashing: Hashing) -> tuple[bytes, Place]:
    """Return the line that tells *members* and comes after *last*, its end included, and its place."""
    sequence = last.sequence + 1
    told = {"seq": sequence, **{name: _shown(value) for name, value in members.items()}, "previous": last.hash}
    text = json.dumps(told)[:-1].encode()
    digest = hashing.of(text)
    return b'%b, "hash": "%b"}\n' % (text, digest.encode()), Place(sequence, digest)


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}... ({len(value)} characters)"
    return value


def read_line(text: bytes, hashing: Hashing) -> Line:
    """Return the line *text*, its end included, whose hash is right. Raises LineError."""
    line = parse_line(text)
    if hashing.of(text[: -_length_of_ending(text)]) != line.place.hash:
        raise LineError("its content does not have its hash")
    return line


def parse_line(text: bytes) -> Line:
    """Return the line *text*, its end included, whatever its hash. Raises LineError."""
    try:
        members = json.loads(text)
        digest = text[-_length_of_ending(text) :][11:-3].decode()
        return Line(members, Place(int(members["seq"]), digest), str(members["previous"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LineError("it is not a line of this log") from error


def _length_of_ending(text: bytes) -> int:
    length = len(', "hash": ""}\n') + _DIGITS
    if not _ENDING.fullmatch(text[-length:]):
        raise LineError("it does not end with a hash")
    return length
