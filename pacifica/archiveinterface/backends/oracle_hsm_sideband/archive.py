"""The archive on Oracle HSM (SAM-QFS): a POSIX file system whose files may be on tape."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import cast

from ...exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    ConfigurationError,
    ConflictError,
    MissingFileError,
    StorageError,
    translated_os_errors,
)
from ..abstract.archive import outcome_of
from ..abstract.file import ArchiveFile
from ..abstract.naming import path_of_id
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import Precondition
from ..abstract.recalls import RecallTraits
from ..abstract.residency import RecallState, Residency
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
from .residency import BLOCK, Asked, DatabaseResidency, FirstAnswer, ResidencySource, SamStatResidency
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
        except NotMountedError:
            return self.recorded()

    def is_online(self) -> bool:
        """Return whether the whole file can be read from disk now. Raises MissingFileError."""
        return ArchiveFile.is_online(self)

    def stage(self) -> bool:
        """Ask for the file to be recalled, once, and return whether it is on disk. Raises ConflictError."""
        status, recalls = self._located(), self._archive.recalls
        if status.file_storage_media == "disk":
            return True
        key = _key(status.stat)
        if status.recall is RecallState.FAILED and recalls.was_submitted(key):
            recalls.forget(key)
            raise BackendUnavailableError("the recall from tape failed, try again later")
        recalls.ask(key, self.filepath)
        return False

    def cancel_recall(self) -> bool:
        """Withdraw the recall of the file, through libsam where the storage has been asked for it already."""
        key, libsam = _key(self.status_by_blocks().stat), self._archive.libsam
        if self._archive.recalls.withdraw(key):
            return True
        if libsam is None:
            return False
        with translated_os_errors():
            libsam.cancel_stage(self.filepath)
        return not self._archive.recalls.is_under_way(key)

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

    def status_by_blocks(self) -> HsmSidebandStatus:
        """Return the status of the file on the mount. Raises MissingFileError, NotMountedError."""
        with self._mounted():
            return cast("HsmSidebandStatus", super().status())

    def _located(self) -> HsmSidebandStatus:
        status = self.status_by_blocks()
        (residency,) = self._archive.sources([Asked(status.stat, self.filepath)])
        self.locate(status, residency)
        return status

    def locate(self, status: HsmSidebandStatus, residency: Residency) -> None:
        """Note in *status* what the sources know, and the recall that this process has asked for."""
        recalls, key = self._archive.recalls, _key(status.stat)
        if residency.is_online:
            if status.stat.st_blocks * BLOCK < status.filesize and recalls.is_under_way(key):
                residency = replace(
                    residency, disk=0, tape=status.filesize
                )  # the first blocks are on disk, the last ones not yet
            else:
                recalls.forget(key)
        has_failed = residency.recall is RecallState.FAILED and recalls.was_submitted(key)
        if not (residency.is_online or has_failed) and (state := recalls.state_of(key)).is_under_way:
            residency = replace(residency, recall=state)
        status.locate(residency)

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


class _Look:
    """A file of which the mount is asked, and no source of residency yet."""

    def __init__(self, archive: "HsmSidebandBackendArchive", file_id: str) -> None:
        self.file = archive.file(file_id)
        self.status = self.file.status_by_blocks()
        self.asked = Asked(self.status.stat, self.file.filepath)


class HsmSidebandBackendArchive(PosixBackendArchive):
    """Files below a directory of a SAM-QFS mount; the sideband database or libsam tells where their bytes are."""

    section = "hsm_sideband"
    has_tape = True
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
        self.libsam = libsam = _libsam(options)
        self.sam_qfs_prefix = options.sam_qfs_prefix
        self.sideband = Sideband(connections_of(options))
        self.sources = FirstAnswer(_sources(options, libsam, self.sideband))
        self.recalls = Recalls(FirstSupported(_stagers(options, libsam)), _limits(options))
        self.recall_traits = RecallTraits(
            batch=_limits(options).batch,
            sorts=True,
            cancels=libsam is not None,
            tells_state=libsam is not None and options.residency in ("auto", "sam_stat"),
        )

    def file(self, file_id: str) -> HsmSidebandFile:
        """Return the file *file_id*. Raises FileIdError."""
        return HsmSidebandFile(self, self.path_of(file_id))

    def residencies(self, file_ids: Iterable[str]) -> dict[str, Residency | ArchiveInterfaceError]:
        """Return where the bytes of each of *file_ids* are, or why that cannot be told; the database is asked once."""
        looks = {file_id: outcome_of(partial(_Look, self, file_id)) for file_id in file_ids}
        on_mount = [look for look in looks.values() if isinstance(look, _Look)]
        for look, residency in zip(on_mount, self.sources([look.asked for look in on_mount]), strict=True):
            look.file.locate(look.status, residency)
        return {file_id: self._residency_of(file_id, look) for file_id, look in looks.items()}

    def _residency_of(self, file_id: str, look: _Look | ArchiveInterfaceError) -> Residency | ArchiveInterfaceError:
        if isinstance(look, NotMountedError):
            return outcome_of(self.file(file_id).residency)
        return look.status.residency if isinstance(look, _Look) else look


class NotMountedError(BackendUnavailableError):
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


def _sources(options: HsmSidebandOptions, libsam: Libsam | None, sideband: Sideband) -> list[ResidencySource]:
    sources: list[ResidencySource] = []
    if libsam and options.residency in ("auto", "sam_stat"):
        sources.append(SamStatResidency(libsam))
    if options.residency in ("auto", "database"):
        sources.append(DatabaseResidency(sideband))
    return sources


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
