"""The commands ``convert``, which gives an archive the other layout, and ``check-layout``, which counts both.

Nothing has to be remembered of a conversion but that it was begun, which the marker says: a file that has been moved
is in the new layout. So it may be killed at any moment, and the same command finishes it.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.layout import FLAT, PATH_OF, TREE, LayoutKeeper, conversion, has_only_a_name, id_in
from ..exception import ArchiveInterfaceError, BackendUnavailableError, ConfigurationError, ConflictError
from ..printing import printable
from .auditing import Telling, audited
from .inventory import archived_entries
from .output import write_line
from .startup import Site

_OTHER = {FLAT: TREE, TREE: FLAT}
_TOLD_INTERVAL = 10.0  # seconds between two lines about progress

Act = Callable[[str, str], None]
"""Does something about the file at the first path, which is to get the second one."""


def add_convert_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``convert``."""
    parser.add_argument("--to", required=True, choices=sorted(_OTHER), help="the layout that the archive gets")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, and name what could not be converted")


class _Pass(NamedTuple):
    """What became of one pass through the archive: how many files were converted, and why others were not."""

    converted: int
    problems: list[str]


class _Conversion(NamedTuple):
    """Gives the files of *archive* their paths in the layout *target*."""

    archive: AbstractBackendArchive
    keeper: LayoutKeeper
    source: str
    target: str

    @property
    def marker(self) -> str:
        """The marker while it goes on."""
        return conversion(self.source, self.target)

    def begin(self) -> None:
        """Set the marker, after which no service starts. Raises ConfigurationError during one to the other layout."""
        marker = self.keeper.marker()
        if marker == conversion(self.target, self.source):
            raise ConfigurationError(f"the archive is being converted to {self.source}: finish that first")
        if marker != self.marker:
            self.keeper.set_marker(self.marker, instead_of=marker)

    def run(self) -> _Pass:
        """Move files until none is left that can be moved; return how many, and why others are left."""
        converted = 0
        while True:
            # A file of one layout and a directory of the other may want the same name.
            if self.target == FLAT:
                self.keeper.remove_empty_directories()
            done = self.walk(self.keeper.move)
            converted += done.converted
            if not done.converted:
                return _Pass(converted, done.problems)

    def walk(self, act: Act) -> _Pass:
        """Call *act* for each file in the old layout."""
        progress, problems = _Progress(), list[str]()
        for entry in archived_entries(self.archive):
            file_id = None if entry.is_partial else id_in(self.source, entry.path)
            if file_id is None:
                if self.source == FLAT and has_only_a_name(entry.path):
                    problems.append(
                        f"{entry.path}: this name is not a number, which the tree needs: rename or remove it"
                    )
                continue
            try:
                act(entry.path, PATH_OF[self.target](file_id))
            except BackendUnavailableError:
                raise
            except ArchiveInterfaceError as error:
                problems.append(f"{entry.path}: {error}")
            else:
                progress.count()
        return _Pass(progress.converted, problems)


class _Progress:
    """Counts files, and prints the count now and then."""

    def __init__(self) -> None:
        """Begin with none."""
        self.converted = 0
        self._told = time.monotonic()

    def count(self) -> None:
        """Count one more file."""
        self.converted += 1
        if time.monotonic() - self._told > _TOLD_INTERVAL:
            self._told = time.monotonic()
            write_line(f"{self.converted} files so far")


def convert(site: Site, given: argparse.Namespace) -> int:
    """Give all files their paths in the layout that was *given*; return 1 when some are left in the old one.

    Raises ConfigurationError while a service uses the archive, as far as the storage tells.
    """
    keeper = _keeper_of(site.archive)
    if given.to not in keeper.layouts:
        raise ConfigurationError(
            f"the backend {site.archive.name} serves the layout {' or '.join(keeper.layouts)} only"
        )
    conversion = _Conversion(site.archive, keeper, _OTHER[given.to], given.to)
    if given.dry_run:
        return _tell(conversion.walk(lambda old, new: keeper.require_absent(new)), "can be converted")
    _require_ours(site.archive)
    try:
        with audited(site.audit, "admin convert", to=given.to) as telling, keeper.converting():
            return _convert(conversion, telling)
    except ConflictError as error:
        raise ConfigurationError(str(error)) from error


def _convert(conversion: _Conversion, telling: Telling) -> int:
    conversion.begin()
    done = conversion.run()
    telling.note(files=done.converted, left=len(done.problems))
    code = _tell(done, f"converted to {conversion.target}")
    if done.problems:
        write_line("no service starts on this archive until this command has ended without a file that is left")
    else:
        conversion.keeper.set_marker(conversion.target, instead_of=conversion.marker)
    return code


def _tell(done: _Pass, outcome: str) -> int:
    for problem in done.problems:
        write_line(printable(problem))
    left = f", {len(done.problems)} not" if done.problems else ""
    write_line(f"{done.converted} files {outcome}{left}")
    return 1 if done.problems else 0


def _keeper_of(archive: AbstractBackendArchive) -> LayoutKeeper:
    if archive.layout_keeper is None:
        raise ConfigurationError(f"the backend {archive.name} has no layouts that can be converted")
    return archive.layout_keeper


def _require_ours(archive: AbstractBackendArchive) -> None:
    """Raise ConfigurationError when the archive is read-only, or new directories would not be the service's."""
    if archive.archive_options.read_only:
        raise ConfigurationError("[archive] read_only: nothing may be moved in this archive")
    if archive.has_local_files and os.geteuid() == 0:
        owner = os.stat(archive.prefix or "/").st_uid
        if owner:
            raise ConfigurationError(f"run this as the owner of {archive.prefix}, the user with the id {owner}")


def check_layout(site: Site, given: argparse.Namespace) -> int:
    """Print the layout of the options, the marker, and how many files have which layout; return 1 if they disagree."""
    archive = site.archive
    marker = _keeper_of(archive).marker()
    counts = Counter(_kind_of(entry.path) for entry in archived_entries(archive) if not entry.is_partial)
    write_line(f"layout of the options: {archive.layout}")
    write_line(f"marker: {marker or 'none'}")
    for kind in (FLAT, TREE, _NAMED, _OTHERS):
        write_line(f"{kind}: {counts[kind]} files")
    agrees = marker in ("", archive.layout) and not counts[_OTHER[archive.layout]]
    return 0 if agrees and not (archive.layout == TREE and counts[_NAMED]) else 1


_NAMED, _OTHERS = "flat, not a number", "neither"


def _kind_of(path: str) -> str:
    for layout in (FLAT, TREE):
        if id_in(layout, path) is not None:
            return layout
    return _NAMED if has_only_a_name(path) else _OTHERS
