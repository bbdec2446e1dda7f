"""The command ``verify``: prints what a scrub finds, and resumes one that was interrupted."""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .. import globals as paths
from ..archive_utils import un_abs_path
from ..backends.abstract.archive import AbstractBackendArchive, Entry
from ..exception import ArchiveInterfaceError, ConfigurationError
from ..printing import printable
from ..servers.supervisor import STOP_SIGNALS
from .auditing import Telling, audited
from .inventory import archived_entries
from .output import write_line
from .scrub import BAD, DAMAGED, MISSING, OK, PARTIAL, RECORDED, REMOVED, Finding, Recalling, Scrub, ScrubStoppedError
from .startup import INTERRUPTED, Site

INCOMPLETE = 3  # exit code: the storage failed, or the findings could not be written

_SAVE_INTERVAL = 1.0  # seconds


def verify(site: Site, given: argparse.Namespace) -> int:
    """Read the files that were *given*, all when none was, and print what is found; return the exit code.

    The result of the run is written to the file of --report. Raises ConfigurationError when that, or the state of an
    interrupted run, cannot be written or read, or the backend cannot list its files.
    """
    report, began = _Report(as_json=given.json), time.time()
    code = _verify(site, given, report)
    if given.report:
        result = {"began": began, "ended": time.time(), "exit_code": code, "counts": dict(report.counts)}
        _write(Path(given.report), result, "--report")
    return code


def _verify(site: Site, given: argparse.Namespace, report: "_Report") -> int:
    archive = site.archive
    progress = None if given.ids else _progress(archive, given)
    scrub = Scrub(
        archive,
        rate=given.rate * 1e6,
        record=given.record,
        recalling=Recalling(site.recalls.ask, given.recall_timeout) if given.recall else None,
        absent=REMOVED if progress else MISSING,
    )
    entries = archived_entries(archive, progress.after) if progress else _named(archive, given.ids)
    try:
        # The service's recaller does the work if it runs; this one stands by.
        recalling = site.recalls.at_work() if given.recall else nullcontext()
        with audited(site.audit, "admin verify", record=given.record) as telling, _stopped_by_signals(scrub), recalling:
            _run(_told(scrub.run(entries, given.jobs), telling), report, progress)
            telling.note(**{result.replace(" ", "_"): count for result, count in report.counts.items()})
    except ConfigurationError:
        raise
    except ScrubStoppedError:
        return _incomplete("interrupted", INTERRUPTED, progress)
    except ArchiveInterfaceError as error:
        return _incomplete(f"verify has stopped: {error.__cause__ or error}", INCOMPLETE, progress)
    return int(report.is_bad)


def _run(findings: Iterable[Finding], report: "_Report", progress: "_Progress | None") -> None:
    if progress:
        report.counts.update(progress.counts)
    for finding in report.shown(findings):
        if progress:
            progress.note(finding, report.counts)
    report.end()
    if progress:
        progress.forget()


def _told(findings: Iterable[Finding], telling: Telling) -> Iterator[Finding]:
    """Yield *findings*; what was stored with a file is told."""
    for finding in findings:
        if finding.result in (RECORDED, DAMAGED):
            digests = " ".join(f"{name}={value.hex()}" for name, value in finding.digests.items())
            telling.one_of_many(id=finding.file_id, change=finding.result, bytes=finding.size, new_digest=digests)
        yield finding


def _incomplete(reason: str, code: int, progress: "_Progress | None") -> int:
    if progress:
        progress.save()
    advice = "; the next run goes on from here" if progress else ""
    print(printable(f"{reason}{advice}"), file=sys.stderr)
    return code


def _progress(archive: AbstractBackendArchive, given: argparse.Namespace) -> "_Progress":
    progress = _Progress(Path(given.state) if given.state else _state_file(archive.prefix))
    if given.restart:
        progress.forget()
    if progress.after:
        print(printable(f"resuming after {progress.after}; --restart starts with the first file"), file=sys.stderr)
    progress.save()  # now rather than when hours of reading would be lost
    return progress


def _named(archive: AbstractBackendArchive, names: Iterable[str]) -> Iterator[Entry]:
    for file_id in map(un_abs_path, names):
        try:
            yield Entry(archive.path_of(file_id), file_id)
        except ArchiveInterfaceError:
            yield Entry(file_id, file_id)  # examining it says what is wrong


@contextmanager
def _stopped_by_signals(scrub: Scrub) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM within the block stop *scrub*, and a second one end the process."""

    def stop(number: int, frame: object) -> None:
        for stop_signal in STOP_SIGNALS:
            signal.signal(stop_signal, signal.SIG_DFL)
        scrub.stop()

    before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Report:
    """Prints findings as they come, each written out before the next one is asked for."""

    def __init__(self, *, as_json: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._as_json = as_json

    @property
    def is_bad(self) -> bool:
        """Whether anything was found that somebody has to look at."""
        return any(self.counts[result] for result in BAD)

    def shown(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Yield each of *findings* once it is printed; on a terminal a progress bar goes along."""
        with tqdm(unit="file", disable=None, leave=False) as bar:  # None: only on a terminal
            for finding in findings:
                self.counts[finding.result] += 1
                self._print(self._text_of(finding))
                bar.update()
                bar.set_postfix_str(printable(finding.path))
                yield finding

    def end(self) -> None:
        """Print the summary."""
        if self._as_json:
            self._print(json.dumps({"summary": dict(self.counts)}))
        else:
            self._print(", ".join(f"{count} {result}" for result, count in sorted(self.counts.items())) or "no files")

    def _text_of(self, finding: Finding) -> str:
        if self._as_json:
            facts = {
                "id": finding.file_id,
                "path": finding.path,
                "result": finding.result,
                "bytes": finding.size,
                "digests": {name: value.hex() for name, value in finding.digests.items()},
                "detail": finding.detail,
            }
            return json.dumps(facts)
        if finding.result == OK:
            return ""
        return printable(f"{finding.path}: {finding.result} {finding.detail}".rstrip())

    def _print(self, line: str) -> None:
        if line:
            write_line(line)


class _Progress:
    """How far a scrub of all files has come, kept in a file until it is through."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._reached: tuple[str, dict[str, int]] = "", {}
        self._saved_at = time.monotonic()
        if place.exists():
            self._reached = self._read()

    @property
    def after(self) -> str:
        """The path of the last file that was reported; empty at the start."""
        return self._reached[0]

    @property
    def counts(self) -> dict[str, int]:
        """How many files had each result so far."""
        return self._reached[1]

    def _read(self) -> tuple[str, dict[str, int]]:
        try:
            content = json.loads(self._place.read_text(encoding="utf-8"))
            return str(content["after"]), dict(content["counts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{self._place} does not say how far a scrub has come; --state names another file"
            ) from error

    def note(self, finding: Finding, counts: Counter[str]) -> None:
        """Take *finding*, which is printed and counted in *counts*, as done."""
        if finding.result == PARTIAL:
            return  # unfinished uploads are listed before all files on every run, so they are not a progress mark
        self._reached = finding.path, {result: count for result, count in counts.items() if result != PARTIAL}
        if time.monotonic() - self._saved_at >= _SAVE_INTERVAL:
            self.save()

    def save(self) -> None:
        """Write the file. Raises ConfigurationError."""
        _write(self._place, {"after": self.after, "counts": self.counts}, "--state")
        self._saved_at = time.monotonic()

    def forget(self) -> None:
        """Remove the file; the next run begins with the first file."""
        self._place.unlink(missing_ok=True)
        self._reached = "", {}


def _write(place: Path, content: dict[str, Any], option: str) -> None:
    """Write *content* as JSON over the file *place*, which *option* names. Raises ConfigurationError."""
    beside = place.with_name(f"{place.name}.new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(content), encoding="utf-8")
        os.replace(beside, place)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ConfigurationError(f"{place} cannot be written: {reason}; {option} names another file") from error


def _state_file(prefix: str) -> Path:
    return paths.HOME / f"scrub-{hashlib.sha256(os.fsencode(prefix)).hexdigest()[:16]}.json"
