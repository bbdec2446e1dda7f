"""The command ``recalls``: prints the queues of the recall service."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tqdm import tqdm

from ..connections import DatabaseUnavailableError
from ..printing import printable
from ..recalls.report import Report, json_of
from .output import write_line
from .startup import Site

_INTERVAL = 2.0  # seconds
_CLEAR = "\x1b[H\x1b[2J"  # of a terminal: cursor to the top, and nothing on the screen
_HEADINGS = ("VOLUME", "STATE", "FILES", "BYTES", "IN FLIGHT", "AHEAD", "OLDEST")


def add_queues_options(parser: argparse.ArgumentParser) -> None:
    """Add to *parser* what `show_queues` is given."""
    parser.add_argument("--json", action="store_true", help="one JSON object on a line")
    parser.add_argument("--watch", action="store_true", help="print again whenever something has changed")


def show_queues(site: Site, given: argparse.Namespace) -> int:
    """Print the queues, again and again if that was *given*; return 0."""
    text_of = json_of if given.json else _text_of
    shown = text_of(site.recalls.report())
    write_line(shown)
    if not given.watch:
        return 0
    clear = _CLEAR if sys.stdout.isatty() and not given.json else ""
    while True:
        time.sleep(_INTERVAL)
        with suppress(DatabaseUnavailableError):  # the connections have logged it
            before, shown = shown, text_of(site.recalls.report())
            if shown != before:
                write_line(f"{clear}{shown}")


def _text_of(report: Report) -> str:
    recaller = "a recaller is" if report.has_recaller else "no recaller is"
    lines = [
        f"{recaller} at work, {report.files_per_second:.3g} files a second",
        f"{report.new_files} new files, {report.waiting_files} wait, {report.started_files} are being recalled",
        f"{report.completed_files} files came so far, {_size(report.completed_bytes)}, {report.failed_files} failed",
    ]
    return "\n".join([*lines, *_table(report)])


def _table(report: Report) -> Iterator[str]:
    if not report.volumes:
        return
    rows: list[Sequence[str]] = [_HEADINGS]
    for volume in report.volumes:
        numbers = (volume.waiting_files, _size(volume.waiting_bytes), volume.in_flight, volume.ahead)
        state = "active" if volume.is_active else "waits"
        rows.append([printable(volume.name) or "-", state, *map(str, numbers), f"{volume.oldest_seconds:.0f} s"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = [text.ljust(width) for text, width in zip(row[:2], widths, strict=False)]
        yield "  ".join([*words, *(text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True))])


def _size(size: int) -> str:
    return tqdm.format_sizeof(size, "B")
