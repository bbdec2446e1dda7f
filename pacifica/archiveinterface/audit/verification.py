"""Reading a log from its first line to its last, and saying what in it is not as it was written.

A file is read as a stream, whatever its size, and each line is compared with the one before.
"""

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import IO, Any

from .chain import SEAL
from .lines import LONGEST_LINE, Hashing, Line, LineError, Place, parse_line, read_line
from .log import BEGIN
from .suspects import CHANGED, Finding, Suspects

MISSING = "missing"
MOVED = "out of order"
BROKEN = "broken chain"
FOREIGN = "of another node"
CUT = "cut off"
OTHER_HEAD = "another head"
SEALED = "sealed"
UNFINISHED = "no outcome"

NOTES = frozenset((SEALED, UNFINISHED))
"""Kinds of findings that say something of the service, and nothing against the log."""

_MOST_BEGUN = 100_000  # changes without an outcome that are remembered
_LOOKED_AT = 1000  # lines of a file until one tells its place
_OPENERS: Mapping[str, Callable[[str], Any]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}


class Verification:
    """Reads the files of one log in the order of their lines."""

    def __init__(self, hashing: Hashing, heads: Iterable[Place] = ()) -> None:
        """Expect lines that are hashed with *hashing*, and among them each of *heads*, which were told elsewhere."""
        self.count = 0
        """How many lines are authentic."""
        self.last: Place | None = None
        """The place of the last line."""
        self._hashing = hashing
        self._heads = {place.sequence: place.hash for place in heads}
        self._node = ""
        self._begun: dict[int, Finding] = {}
        self._suspects: Suspects | None = None
        self._path, self._number = "", 0

    def findings(self, paths: Iterable[str], sizes: Mapping[str, int] | None = None) -> Iterator[Finding]:
        """Yield what is found in the files at *paths*, each up to its size in *sizes* if it has one.

        Raises OSError, EOFError, LZMAError for a file that cannot be read.
        """
        for path in in_order(paths):
            with opened(path) as file:
                for number, text in enumerate(_lines(file, (sizes or {}).get(path, sys.maxsize)), start=1):
                    self._path, self._number = path, number
                    yield from self._read(text)
        yield from self._end()

    def _read(self, text: bytes) -> Iterator[Finding]:
        try:
            line = read_line(text, self._hashing)
        except LineError as error:
            self._suspects = self._suspects or Suspects()
            self._suspects.add(self._path, self._number, text, error)
            return
        self.count += 1
        unknown = yield from self._judged_suspects(line)
        yield from self._compared(line, unknown)
        yield from self._head_at(line.place)
        self._follow(line)

    def _judged_suspects(self, line: Line) -> Generator[Finding, None, int]:
        """Yield what is found of the lines before the authentic *line*; return how many may have been of the log."""
        suspects, self._suspects = self._suspects, None
        is_seal = line.members.get("event") == SEAL
        if suspects and is_seal and suspects.are_sealed_by(line):
            text = f"{suspects.size} bytes of lines that were not written to their end, as line {self._number} says"
            yield Finding(SEALED, *suspects.first, text)
            return 0
        if is_seal:
            yield self._finding(CHANGED, "it seals other bytes than those before it")
        if suspects is None:
            return 0
        yield from suspects.findings
        return suspects.count

    def _compared(self, line: Line, unknown: int) -> Iterator[Finding]:
        """Yield what is wrong with the place of *line*, before which as many lines as *unknown* may stand."""
        sequence, before = line.place.sequence, self.last or self._start(line)
        if sequence <= before.sequence:
            yield self._finding(MOVED, f"it has the number {sequence}, and comes after number {before.sequence}")
        elif sequence > before.sequence + 1 + unknown:
            first, last = before.sequence + 1, sequence - 1
            yield self._finding(MISSING, f"before it, {_numbers(first, last)} missing")
        elif sequence == before.sequence + 1 and line.previous != before.hash:
            yield self._finding(BROKEN, f"it was written after another line with the number {before.sequence}")
        self._node = self._node or str(line.members.get("node"))
        if line.members.get("node") != self._node:
            yield self._finding(FOREIGN, f"it is of the log of {line.members.get('node')}, not of {self._node}")

    def _start(self, line: Line) -> Place:
        """Return the place before the first line: the beginning, or a head that was given."""
        before = line.place.sequence - 1
        return Place(before, self._heads.pop(before)) if before in self._heads else Place()

    def _head_at(self, place: Place) -> Iterator[Finding]:
        expected = self._heads.pop(place.sequence, place.hash)
        if expected != place.hash:
            yield self._finding(OTHER_HEAD, f"the head that was kept has {expected} for the number {place.sequence}")

    def _follow(self, line: Line) -> None:
        if self.last is None or line.place.sequence > self.last.sequence:
            self.last = line.place
        told = line.members
        if told.get("event") == BEGIN and str(told.get("part", "1/")).startswith("1/"):
            words = [
                told.get("action"),
                told.get("id"),
                f"(request {told['request_id']})" if "request_id" in told else "",
            ]
            text = f"{' '.join(filter(None, words))} has begun, and what became of it is not written"
            self._begun[line.place.sequence] = self._finding(UNFINISHED, text)
            if len(self._begun) > _MOST_BEGUN:
                del self._begun[next(iter(self._begun))]
        if "begun" in told:
            self._begun.pop(told["begun"], None)

    def _end(self) -> Iterator[Finding]:
        reached = self.last.sequence if self.last else 0
        if self._suspects:
            yield from self._suspects.findings
            reached += self._suspects.count
        lost = max(self._heads, default=0)
        if lost > reached:
            yield self._finding(CUT, f"the log ends here, and {_numbers(reached + 1, lost)} missing at its end")
        yield from self._begun.values()

    def _finding(self, kind: str, text: str) -> Finding:
        return Finding(kind, self._path, self._number, text)


def opened(path: str) -> IO[bytes]:
    """Return the file at *path*, open for reading, as it was before it was compressed. Raises OSError."""
    for ending, opener in _OPENERS.items():
        if path.endswith(ending):
            file: IO[bytes] = opener(path)
            return file
    return open(path, "rb")


def in_order(paths: Iterable[str]) -> list[str]:
    """Return the files at *paths* that are not empty, in the order of their first lines."""
    found = ((_first_number(path), path) for path in paths)
    return [path for _, path in sorted(pair for pair in found if pair[0])]


def _first_number(path: str) -> int | float:
    """Return the number of the first line that tells one: 0 for an empty file, infinity if none does."""
    number: int | float = 0
    with opened(path) as file:
        for text in islice(_lines(file), _LOOKED_AT):
            number = float("inf")
            with suppress(LineError):
                return parse_line(text).place.sequence
    return number


def _lines(file: IO[bytes], size: int = sys.maxsize) -> Iterator[bytes]:
    while text := file.readline(min(LONGEST_LINE, size)):
        yield text
        size -= len(text)


def _numbers(first: int, last: int) -> str:
    return f"number {first} is" if first == last else f"numbers {first} to {last} are"
