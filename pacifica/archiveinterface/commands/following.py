"""Follows a request for recalls until each of its files has ended, and shows how far it is."""

import json
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import NamedTuple

from tqdm import tqdm

from ..connections import DatabaseUnavailableError
from ..printing import printable
from ..recalls.progress import FileProgress, RequestProgress
from ..recalls.service import RecallService
from .output import write_line

_POLL = 1.0  # seconds
_PAUSES = 10  # pauses are at least so many times as long as the answers: a request may have a million files
_LINE_INTERVAL = 10.0  # seconds between two lines on the progress
_COMPLETED = "COMPLETED"
_ENDED = (_COMPLETED, "FAILED", "CANCELLED")


def follow(recalls: RecallService, request: str, *, as_json: bool) -> bool:
    """Show how the *request* goes until it is over; return whether all of its files are on disk.

    While the database does not answer, that is waited for. Raises MissingRequestError, OutputError.
    """
    report = _Report(as_json=as_json)
    try:
        while not report.is_over:
            began = time.monotonic()
            pause = _POLL
            with suppress(DatabaseUnavailableError):  # the connections have logged it
                report.show(recalls.progress(request))
                pause = max(_POLL, _PAUSES * (time.monotonic() - began))
            if not report.is_over:
                time.sleep(pause)
    finally:
        report.close()
    report.end()
    return report.is_good


class _Report:
    """Prints each file that did not come, all with *as_json*, and how many have ended."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._meter = _Bar() if sys.stderr.isatty() else _Lines()
        self._told: set[int] = set()
        self._states: Counter[str] = Counter()
        self.is_over = False

    @property
    def is_good(self) -> bool:
        """Whether every file is on disk."""
        return not any(count for state, count in self._states.items() if state != _COMPLETED)

    def show(self, progress: RequestProgress) -> None:
        """Print what is new in *progress*."""
        self._meter.show(_Counts.of(progress))
        for number, file in enumerate(progress.files):
            if file.state in _ENDED and number not in self._told:
                self._told.add(number)
                self._states[file.state] += 1
                self._tell(file)
        self.is_over = progress.completed_at is not None

    def _tell(self, file: FileProgress) -> None:
        if self._as_json:
            write_line(json.dumps(file._asdict()))
        elif file.state != _COMPLETED:
            write_line(printable(f"{file.path}: {file.state.lower()} {file.error}".rstrip()))

    def close(self) -> None:
        """Remove the progress bar."""
        self._meter.close()

    def end(self) -> None:
        """Print the summary."""
        if self._as_json:
            write_line(json.dumps({"summary": dict(self._states)}))
        else:
            counts = (f"{count} {state.lower()}" for state, count in sorted(self._states.items()))
            write_line(", ".join(counts) or "no files")


class _Counts(NamedTuple):
    """How many files of a request there are, have ended, and did not come; and the bytes of those that came."""

    total: int
    ended: int
    failed: int
    size: int

    @classmethod
    def of(cls, progress: RequestProgress) -> "_Counts":
        """Count the files of *progress*."""
        came = [file.size for file in progress.files if file.state == _COMPLETED]
        failed = sum(file.state in _ENDED for file in progress.files) - len(came)
        return cls(len(progress.files), len(came) + failed, failed, sum(came))

    def __str__(self) -> str:
        failed = [f"{self.failed} failed"] if self.failed else []
        size = [tqdm.format_sizeof(self.size, "B")] if self.size else []
        return ", ".join(failed + size)


class _Bar:
    """A progress bar on a terminal."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="file", leave=False)

    def show(self, counts: _Counts) -> None:
        """Move the bar."""
        self._bar.total = counts.total
        self._bar.set_postfix_str(str(counts), refresh=False)
        self._bar.update(counts.ended - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


class _Lines:
    """Lines on standard error when that is not a terminal, at most one in each interval."""

    _FORMAT = "{n_fmt} of {total_fmt} files have ended [{elapsed}<{remaining}, {rate_fmt}{postfix}]"

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._next = self._began + _LINE_INTERVAL

    def show(self, counts: _Counts) -> None:
        """Write a line if the last one was long ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LINE_INTERVAL
            line = tqdm.format_meter(
                counts.ended,
                counts.total,
                now - self._began,
                unit=" files",
                postfix=str(counts),
                bar_format=self._FORMAT,
            )
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Do nothing: a line needs no end."""
