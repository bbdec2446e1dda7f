"""The archive on Oracle HSM (SAM-QFS): a POSIX file system whose files may be on tape."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from ...exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    ConflictError,
    MissingFileError,
    NotARegularFileError,
    StorageError,
    translated_os_errors,
)
from ..abstract.archive import outcome_of
from ..abstract.file import ArchiveFile
from ..abstract.layout import TREE
from ..abstract.naming import path_of_id
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import Precondition
from ..abstract.residency import Residency
from ..abstract.status import AbstractStatus, Replaced
from ..posix.archive import PosixBackendArchive, PosixFile
from ..posix.extendedfile import PosixReader
from ..posix.moving import Source
from ..posix.options import PosixOptions
from ..posix.tree import split, stat_regular
from .connecting import connections_of
from .extended_file_factory import HsmSidebandWriter, SamQfsStore
from .options import HsmSidebandOptions
from .residency import Asked, FirstAnswer
from .sideband import Sideband
from .status import HsmSidebandStatus
from .tape.choosing import Ways
from .tape.requests import Outcomes

Found = dict[str, HsmSidebandStatus | ArchiveInterfaceError]
"""By id: the status of a file on the mount, or why it has none."""

path_info_munge = path_of_id


class HsmSidebandFile(PosixFile):
    """One file on a SAM-QFS mount, whose bytes may be on tape."""

    _archive: "HsmSidebandBackendArchive"

    def status(self) -> AbstractStatus:
        """Return the status of the file; without a mount, what the database has. Raises MissingFileError."""
        try:
            with self._mounted():
                status = cast("HsmSidebandStatus", super().status())
        except NotMountedError:
            return self.recorded()
        self._archive.locate([status])
        return status

    def residency(self) -> Residency:
        """Return where the bytes are; without a mount, what the database has. Raises MissingFileError."""
        try:
            return self._located().residency
        except NotMountedError:
            return self.recorded().residency

    def is_online(self) -> bool:
        """Return whether the whole file can be read from disk now. Raises MissingFileError."""
        return ArchiveFile.is_online(self)

    def stage(self) -> bool:
        """Ask for the file to be recalled, and return whether it is on disk. Raises ConflictError."""
        status = self._located()
        if status.residency.is_online:
            return True
        _raise(self._archive.requests.submit([status]))
        return False

    def cancel_recall(self) -> bool:
        """Withdraw the recall of the file, and return whether none goes on."""
        return bool(self._archive.requests.cancel([self._located()]))

    def release(self) -> None:
        """Drop the blocks of the file. Raises ConflictError unless it has a good archive copy."""
        _raise(self._archive.requests.release([self._located()]))

    def _open_reader(self) -> PosixReader:
        with self._mounted():
            return super()._open_reader()

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> HsmSidebandWriter:
        """Start to replace the file. Raises PreconditionError, NoSpaceError."""
        with self._mounted():
            return HsmSidebandWriter(self._store, self.path, length, precondition, recall=self.stage)

    def _copy_here(self, source: Source, precondition: Precondition | None) -> Replaced:
        if not self._store.tree.is_at_hand(os.fstat(source.fd)):
            raise ConflictError("the file to move is on tape; it has to be staged first")
        return super()._copy_here(source, precondition)

    def described(self) -> HsmSidebandStatus:
        """Return what stat tells, without the digests, which are in another file. Raises MissingFileError."""
        directory, name = split(self.path)
        with self._mounted(), translated_os_errors(), self._store.tree.directory(directory) as parent:
            try:
                return HsmSidebandStatus.of(stat_regular(name, parent), self.filepath)
            except NotARegularFileError as error:
                raise MissingFileError("no such file in the archive") from error

    def _located(self) -> HsmSidebandStatus:
        status = self.described()
        self._archive.locate([status])
        return status

    def recorded(self) -> HsmSidebandStatus:
        """Return the status that the database has of the file, for when there is no mount to ask."""
        directory, name = split(self.path)
        row = self._archive.sideband.inode_at(f"{self._archive.sam_qfs_prefix}/{directory}", name)
        if row is None:
            raise BackendUnavailableError("the file system is not mounted, try again later")
        return HsmSidebandStatus.recorded(row, self.filepath)

    @contextmanager
    def _mounted(self) -> Iterator[None]:
        """Tell a file that is not there from a file system that is not there."""
        try:
            yield
        except (MissingFileError, StorageError, BackendUnavailableError) as error:
            if os.path.isdir(self._archive.prefix):
                raise
            raise NotMountedError("the file system is not mounted, try again later") from error


class HsmSidebandBackendArchive(PosixBackendArchive):
    """Files below a directory of a SAM-QFS mount; the sideband database or libsam tells where their bytes are."""

    section = "hsm_sideband"
    has_tape = True
    options_type = HsmSidebandOptions
    name = "hsmsideband"
    store_type = SamQfsStore
    file_type = HsmSidebandFile
    layouts = (TREE,)
    path_info_munge = staticmethod(path_of_id)

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: HsmSidebandOptions | None = None
    ) -> None:
        """Open the directory *prefix*, a place on the mount. The database is first asked when it is needed."""
        super().__init__(prefix, archive_options, PosixOptions(use_id2filename=True))
        options = options or HsmSidebandOptions()
        self.sam_qfs_prefix = options.sam_qfs_prefix
        self.sideband = Sideband(connections_of(options))
        ways = Ways(options)
        self._residencies = FirstAnswer(ways.sources(self.sideband))
        self.requests = ways.requests()
        self.recall_traits = ways.traits(self.prefix or "/")

    def file(self, file_id: str) -> HsmSidebandFile:
        """Return the file *file_id*. Raises FileIdError."""
        return HsmSidebandFile(self, self.path_of(file_id))

    def locate(self, statuses: Sequence[HsmSidebandStatus]) -> None:
        """Note in *statuses* where the bytes are and whether a recall is under way; the database is asked once."""
        told = self._residencies([Asked(status.stat, status.filepath) for status in statuses])
        for status, residency in zip(statuses, told, strict=True):
            status.locate(self.requests.noted(status, residency))

    def residencies(self, file_ids: Iterable[str]) -> dict[str, Residency | ArchiveInterfaceError]:
        """Return where the bytes of each of *file_ids* are, or why that cannot be told; the database is asked once."""
        return {file_id: self._residency_of(file_id, found) for file_id, found in self._statuses(file_ids).items()}

    def submit_recalls(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Ask for the recall of each of *file_ids*; return None for a file that is on disk or on its way, or why not.

        Returns at once; the reason of what fails later is in the residency.
        """
        return self._asked(file_ids, self.requests.submit)

    def cancel_recalls(self, file_ids: Iterable[str]) -> set[str]:
        """Withdraw the recalls of *file_ids*, those of other clients too; return the files that have none any more."""
        found = _located(self._statuses(file_ids))
        gone = self.requests.cancel(list(found.values()))
        return {file_id for file_id, status in found.items() if status.filepath in gone}

    def release(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Drop the blocks of *file_ids* on disk; return None for each, or why it stays."""
        return self._asked(file_ids, self.requests.release)

    def disk_used(self) -> float | None:
        """Return how full the mounted file system is, from 0 to 1, as df counts; None while it is not mounted."""
        try:
            size, free = self.space()
        except ArchiveInterfaceError:
            return None
        return (size - free) / max(size, 1)

    def _asked(
        self, file_ids: Iterable[str], request: Callable[[Sequence[HsmSidebandStatus]], Outcomes]
    ) -> dict[str, ArchiveInterfaceError | None]:
        found = self._statuses(file_ids)
        told = request(list(_located(found).values()))
        return {
            file_id: status if isinstance(status, ArchiveInterfaceError) else told[status.filepath]
            for file_id, status in found.items()
        }

    def _statuses(self, file_ids: Iterable[str]) -> Found:
        found = {file_id: outcome_of(partial(self._described, file_id)) for file_id in file_ids}
        self.locate(list(_located(found).values()))
        return found

    def _described(self, file_id: str) -> HsmSidebandStatus:
        return self.file(file_id).described()

    def _residency_of(
        self, file_id: str, found: HsmSidebandStatus | ArchiveInterfaceError
    ) -> Residency | ArchiveInterfaceError:
        if isinstance(found, NotMountedError):
            return outcome_of(self.file(file_id).residency)
        return found.residency if isinstance(found, HsmSidebandStatus) else found


class NotMountedError(BackendUnavailableError):
    """The prefix is gone, and the file system with it."""


def _located(found: Found) -> dict[str, HsmSidebandStatus]:
    return {file_id: status for file_id, status in found.items() if isinstance(status, HsmSidebandStatus)}


def _raise(outcomes: Outcomes) -> None:
    """Raise the error in *outcomes*, if there is one."""
    for error in outcomes.values():
        if error:
            raise error
