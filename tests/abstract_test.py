"""What all backends inherit."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.backends.conformance import fails_with, put
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.exception import BeingStagedError, ConfigurationError, StorageError


class ArrivingArchive(PosixBackendArchive):
    """Its files are on tape when they are looked at first, and on disk when their recall is asked for."""

    def is_online(self) -> bool:
        """Return False: the file is still on tape."""
        return False


def test_a_file_that_arrives_while_its_recall_is_asked_for_is_read(tmp_path: Path) -> None:
    archive = ArrivingArchive(str(tmp_path))
    put(archive, "7", b"arrived")
    with archive.open("7", "r") as file:
        assert file.read(100) == b"arrived"


class EncryptedArchive(PosixBackendArchive):
    """Its files are not on disk as they are read."""

    def read(self, blocksize: int) -> bytes:
        """Return the next bytes, decrypted."""
        return super().read(blocksize).swapcase()


def test_only_the_bytes_that_read_returns_are_sent_from_a_descriptor(tmp_path: Path) -> None:
    archive = PosixBackendArchive(str(tmp_path))
    put(archive, "7", b"bytes")
    with archive.open("7", "r") as file:
        descriptor = file.descriptor()
        assert descriptor is not None
        assert os.pread(descriptor, 100, 1) == b"ytes"
    with EncryptedArchive(str(tmp_path)).open("7", "r") as file:
        assert file.descriptor() is None
        assert file.read(100) == b"BYTES"


class LevelledStatus(AbstractStatus):
    """Of a file system with a disk before two tapes."""

    def define_levels(self) -> Sequence[str]:
        """Return the media of the levels."""
        return ("disk", "tape", "tape")


@pytest.mark.parametrize(
    ("counts", "medium"),
    [
        ((5, 0, 0), "disk"),
        ((5, 5, 5), "disk"),
        ((4, 5, 0), "tape"),
        ((0, 0, 5), "tape"),
        ((0, 0, 0), "tape"),  # in flight between two levels: not to be read from disk
        ((6, 0, 0), "disk"),  # whole blocks are counted
    ],
)
def test_a_file_is_on_the_fastest_level_that_holds_all_of_it(counts: tuple[int, ...], medium: str) -> None:
    assert LevelledStatus(1.5, 2.5, counts, 5).file_storage_media == medium


@pytest.mark.parametrize("counts", [(5, 0), (5, 0, 0, 0), ()])
def test_each_level_has_a_count(counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="argument"):
        LevelledStatus(1.5, 2.5, (0,) * len(counts), 5)


def test_a_status_knows_nothing_that_it_was_not_told() -> None:
    status = LevelledStatus(1.5, 2.5, (5, 0, 0), 5)
    assert (status.mtime, status.ctime, status.bytes_per_level, status.filesize) == (1.5, 2.5, (5, 0, 0), 5)
    assert (status.filepath, status.digests, status.damaged, status.places, status.recall) == ("", {}, "", (), "")
    others = [LevelledStatus(1.0, 2.5, (5, 0, 0), 5), LevelledStatus(1.5, 2.0, (5, 0, 0), 5)]
    others.append(LevelledStatus(1.5, 2.5, (5, 0, 0), 4))
    assert len({status.etag, *(other.etag for other in others)}) == 4
    status.digests = {"md5": bytes(16)}
    assert status.etag == LevelledStatus(1.5, 2.5, (5, 0, 0), 5).etag  # md5 says too little
    status.digests = {"md5": bytes(16), "sha-256": bytes(32), "sha-512": bytes(64)}
    assert status.etag in (f'"sha-256-{"00" * 32}"', f'"sha-512-{"00" * 64}"')


class TapeArchive(PosixBackendArchive):
    """Files with an odd size are on tape; the rest is inherited from all archives."""

    is_online = AbstractBackendArchive.is_online
    entries = AbstractBackendArchive.entries

    def describe(self, found: os.stat_result, filepath: str) -> AbstractStatus:
        """Return the status of the file at *filepath*, of which stat said *found*."""
        counts = (0, found.st_size, 0) if found.st_size % 2 else (found.st_size, 0, 0)
        return LevelledStatus(found.st_mtime, found.st_ctime, counts, found.st_size)

    def stage(self) -> bool:
        """Return False: the recall takes its time."""
        return False


def test_what_is_inherited_follows_the_status(tmp_path: Path) -> None:
    archive = TapeArchive(str(tmp_path))
    put(archive, "7", b"disk")
    put(archive, "8", b"tapes")
    assert (archive.file("7").is_online(), archive.file("8").is_online()) == (True, False)
    with archive.open("7", "r") as file:
        assert file.read(100) == b"disk"
    with fails_with(BeingStagedError):
        archive.open("8", "r")
    with fails_with(ConfigurationError):
        list(archive.entries())
    with fails_with(ConfigurationError):
        PosixBackendArchive("relative")
    with fails_with(StorageError):
        archive.read(100)  # nothing is open
