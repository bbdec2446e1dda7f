"""The commands ``stage`` and ``release``: a request for recalls, made in the database, and its end."""

import argparse
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..archive_utils import un_abs_path
from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ConfigurationError, FileIdError, MissingRequestError
from ..printing import printable
from ..recalls.requests import Wish
from .auditing import audited
from .following import follow
from .output import write_line
from .startup import INTERRUPTED, Site


def add_stage_options(parser: argparse.ArgumentParser) -> None:
    """Add to *parser* what `stage` is given."""
    parser.add_argument("ids", metavar="ID", nargs="*", help="ids, as in the URL")
    parser.add_argument("--from-file", metavar="FILE", help="a file with an id in each line, - for standard input")
    parser.add_argument("--lifetime", type=_seconds, metavar="SECONDS", help="how long to keep the files on disk")
    parser.add_argument("--activity", default="", metavar="NAME", help="activity whose priority the request has")
    parser.add_argument("--wait", action="store_true", help="show the progress, and wait until each file has ended")
    parser.add_argument("--follow", metavar="REQUEST", help="wait for a request that was made before")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file that has ended")


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """Add to *parser* what `release` is given."""
    parser.add_argument("request", metavar="REQUEST", help="the id that stage has printed")
    parser.add_argument("ids", metavar="ID", nargs="+", help="ids, as in the URL")


def stage(site: Site, given: argparse.Namespace) -> int:
    """Have the files that were *given* recalled; return 1 when one that was waited for did not come."""
    if given.follow and (given.ids or given.from_file):
        raise ConfigurationError("--follow is for a request that was made before, and takes no ids")
    request: str = given.follow or _submit(site, given)
    if not (given.wait or given.follow):
        return 0
    try:
        # The service's recaller does the work if it runs; this one stands by.
        with _interrupted_by_sigterm(), site.recalls.at_work():
            return int(not follow(site.recalls, request, as_json=given.json))
    except KeyboardInterrupt:
        print(f"interrupted; the request goes on, stage --follow {request} waits for it", file=sys.stderr)
        return INTERRUPTED
    except MissingRequestError as error:
        print(printable(f"{request}: {error}"), file=sys.stderr)
        return 1


def release(site: Site, given: argparse.Namespace) -> int:
    """Let go of the files that were *given*; return 0."""
    wishes = list(_wishes(site.archive, given.ids))
    with audited(site.audit, "admin release", _ids(wishes), request=given.request):
        site.recalls.release(given.request, wishes)
    return 0


def _submit(site: Site, given: argparse.Namespace) -> str:
    names = [*given.ids, *(_names_in(given.from_file) if given.from_file else ())]
    if not names:
        raise ConfigurationError("stage needs ids, in the command or by --from-file, or --follow")
    wishes = list(_wishes(site.archive, dict.fromkeys(names)))
    with audited(site.audit, "admin stage", _ids(wishes), files=len(wishes)) as telling:
        told = [wish._replace(lifetime=given.lifetime, activity=given.activity) for wish in wishes]
        request = site.recalls.submit(told)
        telling.note(request=request)
    write_line(f'{{"request": "{request}"}}' if given.json else request)
    return request


def _names_in(place: str) -> list[str]:
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(errors="surrogateescape")
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be read: {(error.strerror or '').lower()}") from error
    return [line.strip() for line in text.split("\n") if line.strip()]


def _wishes(archive: AbstractBackendArchive, names: Iterable[str]) -> Iterator[Wish]:
    for file_id in map(un_abs_path, names):
        path = f"/{file_id}"
        try:
            archive.path_of(file_id)
        except FileIdError as error:
            yield Wish(path, None, error=str(error))
        else:
            yield Wish(path, file_id)


def _ids(wishes: Iterable[Wish]) -> list[str]:
    return [wish.file_id for wish in wishes if wish.file_id is not None]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM within the block raise KeyboardInterrupt, as SIGINT does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
