"""The archive on Oracle HSM (SAM-QFS): a POSIX file system whose files may be on tape."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from ...exception import (
    BackendUnavailableError,
    ConfigurationError,
    ConflictError,
    MissingFileError,
    StorageError,
)
from ..abstract.file import ArchiveFile
from ..abstract.naming import path_of_id
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import Precondition
from ..abstract.status import AbstractStatus
from ..posix.archive import PosixBackendArchive, PosixFile
from ..posix.extendedfile import PosixReader
from ..posix.moving import Source
from ..posix.options import PosixOptions
from ..posix.tree import split
from .connecting import connections_of
from .extended_file_factory import HsmSidebandWriter, SamQfsStore
from .libsam import Libsam
from .options import HsmSidebandOptions
from .recalls import Key, Limits, Recalls
from .residency import BLOCK, Ask, DatabaseResidency, FirstAnswer, SamStatResidency
from .sideband import Sideband
from .stagers import CommandStager, FirstSupported, LibsamStager, ReadStager, Stager
from .status import HsmSidebandStatus

path_info_munge = path_of_id


class HsmSidebandFile(PosixFile):
    """One file on a SAM-QFS mount, whose bytes may be on tape."""

    _archive: "HsmSidebandBackendArchive"

    def status(self) -> AbstractStatus:
        """Return the status of the file; without a mount, what the database has. Raises MissingFileError."""
        try:
            return self._located()
        except _NotMountedError:
            return self._recorded()

    def is_online(self) -> bool:
        """Return whether the whole file can be read from disk now. Raises MissingFileError."""
        return ArchiveFile.is_online(self)

    def stage(self) -> bool:
        """Ask for the file to be recalled, once, and return whether it is on disk. Raises ConflictError."""
        status, recalls = self._located(), self._archive.recalls
        if status.file_storage_media == "disk":
            return True
        key = _key(status.stat)
        if status.recall_failed and recalls.was_submitted(key):
            recalls.forget(key)
            raise BackendUnavailableError("the recall from tape failed, try again later")
        recalls.ask(key, self.filepath)
        return False

    def _open_reader(self) -> PosixReader:
        with self._mounted():
            return super()._open_reader()

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> HsmSidebandWriter:
        """Start to replace the file. Raises PreconditionError, NoSpaceError."""
        with self._mounted():
            return HsmSidebandWriter(self._store, self.path, length, precondition, recall=self.stage)

    def _copy_here(self, source: Source, precondition: Precondition | None) -> None:
        if not self._store.tree.is_at_hand(os.fstat(source.fd)):
            raise ConflictError("the file to move is on tape; it has to be staged first")
        super()._copy_here(source, precondition)

    def _located(self) -> HsmSidebandStatus:
        """Return the status of the file on the mount. Raises MissingFileError, _NotMountedError."""
        with self._mounted():
            status = cast("HsmSidebandStatus", super().status())
        recalls, key = self._archive.recalls, _key(status.stat)
        residency = self._archive.residency_of(status.stat, self.filepath)
        if residency.disk == status.filesize:
            if status.stat.st_blocks * BLOCK < status.filesize and recalls.is_under_way(key):
                residency = residency._replace(disk=0, tape=status.filesize)  # the first blocks are back, not the last
            else:
                recalls.forget(key)
        status.locate(residency)
        if status.file_storage_media != "disk":
            status.recall = recalls.state_of(key) or status.recall
        return status

    def _recorded(self) -> HsmSidebandStatus:
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
            raise _NotMountedError("the file system is not mounted, try again later") from error


class HsmSidebandBackendArchive(PosixBackendArchive):
    """Files below a directory of a SAM-QFS mount; the sideband database or libsam tells where their bytes are."""

    section = "hsm_sideband"
    options_type = HsmSidebandOptions
    store_type = SamQfsStore
    file_type = HsmSidebandFile
    path_info_munge = staticmethod(path_of_id)

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: HsmSidebandOptions | None = None
    ) -> None:
        """Open the directory *prefix*, a place on the mount. The database is first asked when it is needed."""
        super().__init__(prefix, archive_options, PosixOptions(use_id2filename=True))
        options = options or HsmSidebandOptions()
        libsam = _libsam(options)
        self.sam_qfs_prefix = options.sam_qfs_prefix
        self.sideband = Sideband(connections_of(options))
        self.residency_of = FirstAnswer(_residency_ways(options, libsam, self.sideband))
        self.recalls = Recalls(FirstSupported(_stagers(options, libsam)), _limits(options))


class _NotMountedError(BackendUnavailableError):
    """The prefix is gone, and the file system with it."""


def _key(found: os.stat_result) -> Key:
    return found.st_ino, found.st_mtime_ns, found.st_size


def _libsam(options: HsmSidebandOptions) -> Libsam | None:
    """Return the library, None if this server need not have it. Raises ConfigurationError."""
    try:
        return Libsam(options.libsam)
    except OSError as error:
        if options.residency == "sam_stat" or options.stager == "libsam":
            raise ConfigurationError(f"[hsm_sideband] libsam: {error}") from error
        return None


def _residency_ways(options: HsmSidebandOptions, libsam: Libsam | None, sideband: Sideband) -> list[Ask]:
    ways: list[Ask] = []
    if libsam and options.residency in ("auto", "sam_stat"):
        ways.append(SamStatResidency(libsam))
    if options.residency in ("auto", "database"):
        ways.append(DatabaseResidency(sideband))
    return ways


def _limits(options: HsmSidebandOptions) -> Limits:
    # Another stager might wait for the tape of each of the files in turn.
    batch = options.stage_batch if options.stager == "command" else 1
    return Limits(options.recall_threads, options.recall_queue, batch)


def _stagers(options: HsmSidebandOptions, libsam: Libsam | None) -> list[Stager]:
    ways: list[Stager] = []
    if libsam and options.stager in ("auto", "libsam"):
        ways.append(LibsamStager(libsam))
    if options.stage_command and options.stager in ("auto", "command"):
        ways.append(CommandStager(options.stage_command, options.stage_timeout))
    if options.stager in ("auto", "read"):
        ways.append(ReadStager(options.stage_read_timeout))
    if not ways:
        raise ConfigurationError("[hsm_sideband] stage_command is empty, and stager = command needs one")
    return ways
