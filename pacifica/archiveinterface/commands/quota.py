"""The command ``quota``: prints what is stored for each principal, or counts it anew."""

import argparse
import json
from collections.abc import Sequence

from ..exception import ConfigurationError
from ..limits.service import LimitService, Used
from ..printing import printable
from .output import write_line
from .startup import Site

_HEADINGS = ("PRINCIPAL", "BYTES", "OF", "FILES", "OF")


def add_quota_options(parser: argparse.ArgumentParser) -> None:
    """Add to *parser* what `quota` is given."""
    parser.add_argument(
        "what", nargs="?", choices=["recount"], help="look at all files of the archive, and count them as they are"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each principal")


def quota(site: Site, given: argparse.Namespace) -> int:
    """Print what is stored, after a recount if that was *given*; return 0."""
    if not (site.limits and site.limits.has_quotas):
        raise ConfigurationError("[limits] has no quota: nothing is counted")
    if given.what:
        found = site.limits.recount()
        write_line(f"{found.files} files, {found.corrected} of them were counted wrongly or not at all")
    write_line(_lines(site.limits) if given.json else _table(site.limits))
    return 0


def _rows(limits: LimitService) -> list[tuple[str, Used]]:
    in_all, owners = limits.usage()
    return [("in all", in_all), *((used.name or "nobody", used) for used in owners)]


def _lines(limits: LimitService) -> str:
    return "\n".join(json.dumps({**used._asdict(), "name": name}) for name, used in _rows(limits))


def _table(limits: LimitService) -> str:
    rows: list[Sequence[str]] = [_HEADINGS]
    for name, used in _rows(limits):
        pairs = ((used.bytes, used.most_bytes), (used.files, used.most_files))
        numbers = [str(number) if number is not None else "-" for pair in pairs for number in pair]
        rows.append([printable(name), *numbers])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join([row[0].ljust(widths[0]), *numbers])
