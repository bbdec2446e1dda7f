"""The commands ``export`` and ``import``: the digests of all files, in a manifest outside of the archive."""

import argparse
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ..backends.abstract.archive import AbstractBackendArchive
from ..digests import Digests, algorithm, digest_length
from ..exception import ArchiveInterfaceError, ConfigurationError, MissingFileError
from ..http.changes import recorded
from ..printing import printable
from .auditing import audited
from .inventory import archived_entries, facts_of
from .output import write_line
from .startup import Site

_SHA_256 = "sha-256"
_CHECKSUM_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}  # as sha256sum writes names, with a backslash before the line
_UNESCAPES = {escape: character for character, escape in _ESCAPES.items()}


class ManifestError(ArchiveInterfaceError):
    """A line of a manifest is in none of the two forms, or says something else than the archive."""


class _Record(NamedTuple):
    """What a line of a manifest says of a file; *size* in bytes is None when it says none."""

    file_id: str
    digests: Digests
    size: int | None = None


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``export``."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with all digests")


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``import``."""
    parser.add_argument("manifest", metavar="FILE", help="a manifest in either form; - for standard input")


def export(site: Site, given: argparse.Namespace) -> int:
    """Print a line for each file that has an id, as sha256sum does; return 1 when a file has no SHA-256 for it.

    Raises ConfigurationError when the backend cannot list its files.
    """
    _keep_bytes(sys.stdout)
    failed = 0
    for entry in archived_entries(site.archive):
        if entry.file_id is None:
            continue
        try:
            facts = facts_of(entry, site.archive.file(entry.file_id).status())
            line = json.dumps(facts) if given.json else _checksum_line(facts)
        except MissingFileError:  # removed meanwhile
            continue
        except ArchiveInterfaceError as error:
            print(printable(f"{entry.path}: {error}"), file=sys.stderr)
            failed = 1
        else:
            write_line(line)
    return failed


def import_manifest(site: Site, given: argparse.Namespace) -> int:
    """Compare each line with what is stored, and store the digests of files that have none; return 1 if one differs.

    No file is read: ``verify`` does that. Raises ConfigurationError when the manifest cannot be read.
    """
    failed = 0
    with _opened(given.manifest) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                _import(site, line.rstrip("\n"))
            except ArchiveInterfaceError as error:
                print(printable(f"line {number}: {error}"), file=sys.stderr)
                failed = 1
    return failed


def _keep_bytes(stream: object) -> None:
    """Let names that are not UTF-8 pass *stream* as they are."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")


@contextmanager
def _opened(name: str) -> Iterator[Iterable[str]]:
    if name == "-":
        _keep_bytes(sys.stdin)
        yield sys.stdin
        return
    try:
        with Path(name).open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            yield lines
    except OSError as error:
        raise ConfigurationError(f"{name}: {(error.strerror or 'unreadable').lower()}") from error


def _checksum_line(facts: dict[str, Any]) -> str:
    if _SHA_256 not in facts["digests"]:
        raise ManifestError("no sha-256 is stored; verify --record stores one")
    path = facts["path"]
    escaped = "".join(_ESCAPES.get(character, character) for character in path)
    return f"{'' if escaped == path else chr(92)}{facts['digests'][_SHA_256]}  {escaped}"


def _import(site: Site, line: str) -> None:
    if not line.strip():
        return
    record = _record_in_json(line) if line.startswith("{") else _record_of_checksum(site.archive, line)
    try:
        _compare_or_store(site, record)
    except ArchiveInterfaceError as error:
        raise ManifestError(f"{record.file_id}: {error}") from error


def _record_in_json(line: str) -> _Record:
    try:
        facts = json.loads(line)
        digests = {name: _digest(name, text) for name, text in facts["digests"].items()}
        size = facts.get("size")
        return _Record(str(facts["id"]), digests, None if size is None else int(size))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError("not a JSON object with id, size and digests in hex") from error


def _digest(name: str, text: str) -> bytes:
    value = bytes.fromhex(text)
    known = algorithm(name)
    if known != name or len(value) != digest_length(known):
        raise ValueError
    return value


def _record_of_checksum(archive: AbstractBackendArchive, line: str) -> _Record:
    found = _CHECKSUM_LINE.fullmatch(line)
    if not found:
        raise ManifestError("neither a line of sha256sum nor a JSON object")
    is_escaped, digest, path = found.groups()
    if is_escaped:
        path = re.sub(r"\\.", lambda escape: _UNESCAPES.get(escape.group(), escape.group()), path)
    file_id = archive.id_of(path.removeprefix("./"))
    if file_id is None:
        raise ManifestError(f"{path}: no id has this path")
    return _Record(file_id, {_SHA_256: bytes.fromhex(digest)})


def _compare_or_store(site: Site, record: _Record) -> None:
    file = site.archive.file(record.file_id)
    status = file.status()
    if record.size not in (None, status.filesize):
        raise ManifestError(f"the file has {status.filesize} bytes, not {record.size} as the manifest says")
    common = status.digests.keys() & record.digests.keys()
    for name in sorted(common):
        if status.digests[name] != record.digests[name]:
            raise ManifestError(f"the stored {name} is not that of the manifest")
    if record.digests and not common:
        with file.open_reader() as reader:
            if reader.status().version == status.version:
                with audited(site.audit, "admin import", id=record.file_id) as telling:
                    reader.set_digests({**status.digests, **record.digests})
                    telling.change(recorded(record.file_id, status.digests, record.digests))
