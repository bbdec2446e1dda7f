"""Lines that are not authentic: pieces that a killed writer has left, if a seal says so, or else a change by others."""

import hashlib
from typing import NamedTuple

from .lines import Line, LineError, parse_line

CHANGED = "changed"
MALFORMED = "malformed"
TORN = "torn"

_MOST_FINDINGS = 1000  # of lines that follow each other


class Finding(NamedTuple):
    """What was found: its kind, the file and the line, counted from 1, and what it is in words."""

    kind: str
    path: str
    line: int
    text: str


class Suspects:
    """Lines that follow each other, none of them authentic."""

    def __init__(self) -> None:
        """Begin with none."""
        self.findings: list[Finding] = []
        self.first = ("", 0)
        self.count = 0
        self._digest = hashlib.sha256()
        self._size = 0
        self._ends_line = False

    def add(self, path: str, number: int, text: bytes, error: LineError) -> None:
        """Add the line *text*, which is not authentic because of *error*."""
        if not self.first[1]:
            self.first = path, number
        if self._ends_line:
            self._digest.update(b"\n")
            self._size += 1
        content = text.removesuffix(b"\n")
        self._digest.update(content)
        self._size += len(content)
        self._ends_line = len(content) < len(text)
        self.count += 1
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(_kind_of(text), path, number, str(error)))

    def are_sealed_by(self, line: Line) -> bool:
        """Return whether *line* is the seal of these bytes."""
        told = line.members
        return (told.get("torn_bytes"), told.get("torn_sha256")) == (self._size, self._digest.hexdigest())

    @property
    def size(self) -> int:
        """Their bytes, without the end of the last."""
        return self._size


def _kind_of(text: bytes) -> str:
    if not text.endswith(b"\n"):
        return TORN
    try:
        parse_line(text)
    except LineError:
        return MALFORMED
    return CHANGED
