"""An archive with limits, served from this process, and what its database says is stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.limits.allowances import allowance
from pacifica.archiveinterface.limits.options import LimitOptions
from pacifica.archiveinterface.limits.service import limits_of
from tests.support.service import POSIX_TREE, Service, serving

NAME = "posix:/archive"


class Limited:
    """An archive below *directory* whose limits are the options given; processes with the same *url* count together."""

    def __init__(self, directory: Path, url: str, principal: str = "", **options: Any) -> None:
        self.outside = directory / "outside"
        self.outside.mkdir(exist_ok=True)
        self.archive = POSIX_TREE.make(directory / "archive", ArchiveOptions(move_roots=(str(self.outside),)))
        given = LimitOptions(database=url, principal=allowance(principal), **options)
        limits = limits_of(self.archive, NAME, given)
        assert limits
        self.limits = limits

    @contextmanager
    def served(self) -> Iterator[Service]:
        """Serve the archive during the block."""
        with serving(self.archive, limits=self.limits) as service:
            yield service

    def used(self) -> tuple[int, int]:
        """Return the bytes and the files of all."""
        in_all, _ = self.limits.usage()
        return in_all.bytes, in_all.files

    def used_by(self, name: str) -> tuple[int, int]:
        """Return the bytes and the files of the principal with this *name*, empty for files of nobody."""
        [found] = [(used.bytes, used.files) for used in self.limits.usage()[1] if used.name == name] or [(0, 0)]
        return found

    def store(self, file_id: str, content: bytes, name: str = "") -> None:
        """Store *content* as a file of the principal with this *name*."""
        self.limits.file(file_id, name).store([content], 1.0, length=len(content))
