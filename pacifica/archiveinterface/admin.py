"""The administrator's commands: delete, verify and status."""

import argparse
import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import globals as places
from .archive_utils import un_abs_path
from .backends.abstract.archive import AbstractBackendArchive, Entry
from .exception import ArchiveInterfaceError, ConfigurationError
from .scrub import BAD, OK, PARTIAL, Finding, Scrub

_INTERRUPTED = 130  # exit code, as shells give it for SIGINT
_KEEP_EVERY = 1.0  # seconds

Action = Callable[[AbstractBackendArchive, argparse.Namespace], int]


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the commands to *parser*; `run` does what was given."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, action: Action, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(action=action)
        return added

    delete = command("delete", _delete, "delete files")
    delete.add_argument("files", metavar="FILES", nargs="+", help="ids, as in the URL")
    verify = command("verify", _verify, "read files and compare their digests with the stored ones")
    verify.add_argument("ids", metavar="ID", nargs="*", help="ids, as in the URL; all files when none is given")
    verify.add_argument("--rate", type=_positive, default=0.0, metavar="MB/S", help="read at most so many MB a second")
    verify.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="read so many files at a time (default 1)")
    verify.add_argument("--record", action="store_true", help="store a digest for files that have none")
    verify.add_argument("--recall", action="store_true", help="recall files from tape to read them")
    verify.add_argument("--json", action="store_true", help="one JSON object a line for each file, then a summary")
    verify.add_argument("--restart", action="store_true", help="begin anew though an earlier run was interrupted")
    verify.add_argument(
        "--state", metavar="FILE", help="where an interrupted run of all files remembers how far it came"
    )
    status = command("status", _status, "print what is known of files")
    status.add_argument("ids", metavar="ID", nargs="+", help="ids, as in the URL")
    status.add_argument("--json", action="store_true", help="one JSON object a line for each file")


def run(archive: AbstractBackendArchive, given: argparse.Namespace) -> int:
    """Do the command that was *given*; return 0 when all went well, 1 when not. Raises ConfigurationError."""
    action: Action = given.action
    return action(archive, given)


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no positive number")


def _jobs(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 64")


def _delete(archive: AbstractBackendArchive, given: argparse.Namespace) -> int:
    failed = 0
    for name in given.files:
        try:
            archive.file(un_abs_path(name)).remove()
        except ArchiveInterfaceError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


def _status(archive: AbstractBackendArchive, given: argparse.Namespace) -> int:
    failed = 0
    for name in given.ids:
        try:
            facts = _facts(archive, un_abs_path(name))
        except ArchiveInterfaceError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
            continue
        if given.json:
            print(json.dumps(facts))
        else:
            print("\n".join(f"{key:<16} {value}" for key, value in _flat(facts)), end="\n\n")
    return failed


def _facts(archive: AbstractBackendArchive, file_id: str) -> dict[str, Any]:
    status = archive.file(file_id).status()
    return {
        "id": file_id,
        "file": status.filepath,
        "size": status.filesize,
        "mtime": status.mtime,
        "ctime": status.ctime,
        "bytes_per_level": list(status.bytes_per_level),
        "media": status.file_storage_media,
        "etag": status.etag,
        "digests": {name: value.hex() for name, value in status.digests.items()},
        "damaged": status.damaged,
    }


def _flat(facts: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from value.items()
        else:
            yield key, value


def _verify(archive: AbstractBackendArchive, given: argparse.Namespace) -> int:
    scrub = Scrub(archive, rate=given.rate * 1e6, record=given.record, recall=given.recall)
    report = _Report(as_json=given.json)
    if given.ids:
        ids = [un_abs_path(name) for name in given.ids]
        report.show(scrub.run((Entry(_path(archive, file_id), file_id) for file_id in ids), given.jobs))
        return report.end()
    progress = _Progress(Path(given.state) if given.state else _state_file(archive.prefix))
    if given.restart:
        progress.forget()
    report.counts.update(progress.counts)
    if progress.after:
        print(f"resuming after {progress.after}; --restart begins anew", file=sys.stderr)
    try:
        for finding in report.showing(scrub.run(archive.entries(progress.after), given.jobs)):
            progress.note(finding, report.counts)
    except KeyboardInterrupt:
        progress.keep()
        print("interrupted; the next run goes on from here", file=sys.stderr)
        return _INTERRUPTED
    progress.forget()
    return report.end()


def _path(archive: AbstractBackendArchive, file_id: str) -> str:
    try:
        return archive.path_of(file_id)
    except ArchiveInterfaceError:
        return file_id  # examining it says what is wrong


class _Report:
    """Tells of findings as they come: on a terminal with a progress bar, in a file a line each."""

    def __init__(self, *, as_json: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._as_json = as_json

    def show(self, findings: Iterable[Finding]) -> None:
        for _ in self.showing(findings):
            pass

    def showing(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        with tqdm(unit="file", disable=None, leave=False) as bar:  # None: only on a terminal
            for finding in findings:
                self.counts[finding.result] += 1
                self._tell(finding)
                bar.update()
                bar.set_postfix_str(finding.path)
                yield finding

    def _tell(self, finding: Finding) -> None:
        if self._as_json:
            facts = {
                "id": finding.file_id,
                "path": finding.path,
                "result": finding.result,
                "bytes": finding.size,
                "digests": {name: value.hex() for name, value in finding.digests.items()},
                "detail": finding.detail,
            }
            tqdm.write(json.dumps(facts), file=sys.stdout)
        elif finding.result != OK:
            tqdm.write(f"{finding.path}: {finding.result} {finding.detail}".rstrip(), file=sys.stdout)

    def end(self) -> int:
        if self._as_json:
            print(json.dumps({"summary": dict(self.counts)}))
        else:
            print(", ".join(f"{count} {result}" for result, count in sorted(self.counts.items())) or "no files")
        return int(any(self.counts[result] for result in BAD))


class _Progress:
    """How far a scrub of all files has come, kept in a file until it is through."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.after = ""
        self.counts: dict[str, int] = {}
        self._kept_at = time.monotonic()
        with suppress(FileNotFoundError):
            self._read(place)

    def _read(self, place: Path) -> None:
        try:
            content = json.loads(place.read_text(encoding="utf-8"))
            self.after, self.counts = str(content["after"]), dict(content["counts"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{place} does not say how far a scrub has come; --state names another") from error

    def note(self, finding: Finding, counts: Counter[str]) -> None:
        if finding.result == PARTIAL:
            return  # these come first, and each time
        self.after, self.counts = finding.path, counts
        if time.monotonic() - self._kept_at >= _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        beside = self._place.with_suffix(".new")
        self._place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"after": self.after, "counts": self.counts}), encoding="utf-8")
        os.replace(beside, self._place)
        self._kept_at = time.monotonic()

    def forget(self) -> None:
        self._place.unlink(missing_ok=True)
        self.after, self.counts = "", {}


def _state_file(prefix: str) -> Path:
    return places.HOME / f"scrub-{hashlib.sha256(os.fsencode(prefix)).hexdigest()[:16]}.json"
