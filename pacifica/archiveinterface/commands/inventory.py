"""The command ``list``: every file of the archive, without reading any."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from .. import globals as paths
from ..backends.abstract.archive import AbstractBackendArchive, Entry
from ..backends.abstract.status import AbstractStatus
from ..exception import ArchiveInterfaceError, MissingFileError
from ..printing import printable
from .output import write_line
from .startup import Site


def add_list_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``list``."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each file")
    parser.add_argument("--digests", action="store_true", help="also print the digests that are stored with a file")


def list_files(site: Site, given: argparse.Namespace) -> int:
    """Print id, size in bytes, modification time, medium and path of every file; return the exit code.

    Raises ConfigurationError when the backend cannot list its files.
    """
    failed = 0
    for entry in archived_entries(site.archive):
        try:
            status = site.archive.file(entry.file_id).status() if entry.file_id else None
        except MissingFileError:  # removed meanwhile
            continue
        except ArchiveInterfaceError as error:
            print(printable(f"{entry.path}: {error}"), file=sys.stderr)
            failed = 1
            continue
        facts = facts_of(entry, status)
        if not given.digests:
            facts.pop("digests", None)
        write_line(json.dumps(facts) if given.json else _text(facts))
    return failed


def archived_entries(archive: AbstractBackendArchive, after: str = "") -> Iterator[Entry]:
    """Yield every file below the prefix whose path comes after *after*, but for the service's own."""
    # The home directory of the service's account may be the archive.
    own = f"{paths.HOME.name}/"
    return (entry for entry in archive.entries(after) if not entry.path.startswith(own))


def facts_of(entry: Entry, status: AbstractStatus | None) -> dict[str, Any]:
    """Return what ``list`` and a manifest tell of a file; *status* is None for one that has no id."""
    facts: dict[str, Any] = {"id": entry.file_id, "path": entry.path}
    if entry.is_partial:
        facts["partial"] = True
    if status:
        facts |= {
            "size": status.filesize,
            "mtime": status.mtime,
            "media": status.file_storage_media,
            "digests": {name: value.hex() for name, value in status.digests.items()},
        }
    return facts


def _text(facts: dict[str, Any]) -> str:
    path = printable(facts["path"])
    if "size" not in facts:
        return f"{'-':<12} {'never finished' if facts.get('partial') else 'no file of the archive':>38}  {path}"
    moment = datetime.fromtimestamp(facts["mtime"], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    digests = "".join(f"  {name}={value}" for name, value in facts.get("digests", {}).items())
    return f"{printable(facts['id']):<12} {facts['size']:>13} {moment}  {facts['media']}  {path}{digests}"
