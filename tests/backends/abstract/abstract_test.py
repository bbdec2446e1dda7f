"""What all backends inherit."""

import os
from pathlib import Path
from typing import ClassVar

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.file import ArchiveFile
from pacifica.archiveinterface.backends.abstract.naming import name_of_path, plain_name
from pacifica.archiveinterface.backends.abstract.notes import Notes
from pacifica.archiveinterface.backends.abstract.precondition import ANY, Precondition
from pacifica.archiveinterface.backends.abstract.residency import Locality, Place, RecallState, Residency
from pacifica.archiveinterface.backends.conformance import fails_with, put
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive, PosixFile
from pacifica.archiveinterface.backends.posix.extendedfile import PosixReader, PosixWriter
from pacifica.archiveinterface.backends.posix.status import PosixStatus
from pacifica.archiveinterface.backends.posix.store import Store
from pacifica.archiveinterface.exception import (
    BeingStagedError,
    ConfigurationError,
    ConflictError,
    FileIdError,
    MissingFileError,
)


class ArrivingFile(PosixFile):
    """Is on tape when it is looked at first, and on disk when its recall is asked for."""

    arrived: ClassVar[set[str]] = set()

    def is_online(self) -> bool:
        """Return whether the recall was asked for."""
        return self.filepath in self.arrived

    def stage(self) -> bool:
        """Ask for the recall; the file arrives at once."""
        self.arrived.add(self.filepath)
        return True


class ArrivingArchive(PosixBackendArchive):
    """Its files arrive meanwhile."""

    file_type = ArrivingFile


def test_a_file_that_arrives_while_its_recall_is_asked_for_is_read(tmp_path: Path) -> None:
    archive = ArrivingArchive(str(tmp_path))
    put(archive, "7", b"arrived")
    with archive.open("7", "r") as file:
        assert file.read(100) == b"arrived"


class DecryptingReader(PosixReader):
    """Its file is not on disk as it is read."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, decrypted."""
        return super().read(size).swapcase()


class EncryptedFile(PosixFile):
    """Is not on disk as it is read."""

    def _open_reader(self) -> PosixReader:
        return DecryptingReader(self._store, self.path)


class EncryptedArchive(PosixBackendArchive):
    """Its files are not on disk as they are read."""

    file_type = EncryptedFile


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


class LevelledStatus(PosixStatus):
    """Of a file system with a disk before two tapes; files with an odd size are on tape."""

    def define_levels(self) -> tuple[str, ...]:
        """Return the media of the levels."""
        return ("disk", "tape", "tape")

    @classmethod
    def of(cls, stat: os.stat_result, filepath: str) -> "LevelledStatus":
        """Return the status that *stat* describes, of the file at *filepath*."""
        counts = (0, stat.st_size, 0) if stat.st_size % 2 else (stat.st_size, 0, 0)
        return cls(stat.st_mtime, stat.st_ctime, counts, stat.st_size)


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
    assert (status.filepath, status.digests, status.damaged, status.places, status.recall) == (
        "",
        {},
        "",
        (),
        RecallState.NONE,
    )
    others = [LevelledStatus(1.0, 2.5, (5, 0, 0), 5), LevelledStatus(1.5, 2.0, (5, 0, 0), 5)]
    others.append(LevelledStatus(1.5, 2.5, (5, 0, 0), 4))
    assert len({status.etag, *(other.etag for other in others)}) == 4
    status.digests = {"md5": bytes(16)}
    assert status.etag == LevelledStatus(1.5, 2.5, (5, 0, 0), 5).etag  # md5 says too little
    status.digests = {"md5": bytes(16), "sha-256": bytes(32), "sha-512": bytes(64)}
    assert status.etag in (f'"sha-256-{"00" * 32}"', f'"sha-512-{"00" * 64}"')


class LevelledStore(Store):
    """Its files have levels."""

    status_type = LevelledStatus


class TapeFile(PosixFile):
    """A file that may be on tape."""

    is_online = ArchiveFile.is_online

    def stage(self) -> bool:
        """Return False: the recall takes its time."""
        return False


class TapeArchive(PosixBackendArchive):
    """Files with an odd size are on tape; the rest is inherited from all archives."""

    store_type = LevelledStore
    file_type = TapeFile
    entries = AbstractBackendArchive.entries


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


@pytest.mark.parametrize(
    ("residency", "locality", "is_online"),
    [
        (Residency(5, 5, 0), Locality.DISK, True),
        (Residency(5, 5, 4), Locality.DISK, True),
        (Residency(5, 6, 5), Locality.DISK_AND_TAPE, True),  # whole blocks are counted
        (Residency(5, 4, 5), Locality.TAPE, False),
        (Residency(5, 0, 5, is_read_from_tape=True), Locality.TAPE, True),
        (Residency(5, 4, 4), Locality.LOST, False),
        (Residency(0, 0, 0), Locality.NONE, True),
        (Residency(5, 0, 5, is_available=False), Locality.UNAVAILABLE, False),
    ],
)
def test_the_locality_of_a_file(residency: Residency, locality: Locality, is_online: bool) -> None:
    assert (residency.locality, residency.is_online) == (locality, is_online)


def test_a_status_tells_the_residency() -> None:
    status = LevelledStatus(1.5, 2.5, (1, 5, 3), 5)
    assert status.residency == Residency(5, 1, 5, RecallState.NONE)
    status.recall, status.places, status.recall_error = RecallState.FAILED, (Place("A1", 7),), "the drive failed"
    status.is_available = False
    assert status.residency == Residency(
        5, 1, 5, RecallState.FAILED, (Place("A1", 7, 0),), "the drive failed", is_available=False
    )
    assert [state for state in RecallState if state.is_under_way] == [RecallState.QUEUED, RecallState.ACTIVE]


class CopiedBackStatus(LevelledStatus):
    """Of a file system with a disk before and a disk behind the tape."""

    def define_levels(self) -> tuple[str, ...]:
        """Return the media of the levels."""
        return ("disk", "tape", "disk")


def test_a_file_that_no_level_holds_whole_is_on_the_last_one() -> None:
    assert CopiedBackStatus(1.5, 2.5, (1, 2, 3), 5).file_storage_media == "disk"
    assert CopiedBackStatus(1.5, 2.5, (1, 5, 5), 5).file_storage_media == "tape"


def test_the_residency_of_many_files_is_told_at_once(tmp_path: Path) -> None:
    archive = PosixBackendArchive(str(tmp_path))
    put(archive, "7", b"bytes")
    put(archive, "8", b"")
    found = archive.residencies(["7", "8", "404", "../x"])
    assert list(found) == ["7", "8", "404", "../x"]
    assert found["7"] == archive.file("7").residency() == Residency(5, 5, 0, RecallState.NONE)
    assert found["8"] == Residency(0, 0, 0, RecallState.NONE)
    assert isinstance(found["404"], MissingFileError)
    assert isinstance(found["../x"], FileIdError)


class RecordingFile(PosixFile):
    """Remembers what was asked of it; the file 8 cannot be recalled, and its recall cannot be cancelled."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def _ask(self, verb: str) -> None:
        self.asked.append((verb, self.path))
        if self.path == "8":
            raise ConflictError("no copy of the file can be read")

    def stage(self) -> bool:
        """Remember the recall; it takes a while."""
        self._ask("stage")
        return False

    def cancel_recall(self) -> bool:
        """Remember it; the recall of 9 goes on."""
        self._ask("cancel_recall")
        return self.path != "9"

    def release(self) -> None:
        """Remember it."""
        self._ask("release")

    def pin(self, seconds: float) -> None:
        """Remember it."""
        self._ask(f"pin for {seconds}")

    def unpin(self) -> None:
        """Remember it."""
        self._ask("unpin")


class RecordingArchive(PosixBackendArchive):
    """Its files are on tape."""

    file_type = RecordingFile


@pytest.mark.parametrize(
    ("verb", "details", "asked"),
    [
        ("submit_recalls", (), "stage"),
        ("release", (), "release"),
        ("pin", (60.0,), "pin for 60.0"),
        ("unpin", (), "unpin"),
    ],
)
def test_what_is_asked_for_many_files_is_asked_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, details: tuple[float, ...], asked: str
) -> None:
    monkeypatch.setattr(RecordingFile, "asked", [])
    answers = getattr(RecordingArchive(str(tmp_path)), verb)(["7", "8", "../x", "9"], *details)
    assert list(answers) == ["7", "8", "../x", "9"]
    assert (answers["7"], answers["9"]) == (None, None)
    assert (type(answers["8"]), type(answers["../x"])) == (ConflictError, FileIdError)
    assert RecordingFile.asked == [(asked, "7"), (asked, "8"), (asked, "9")]


def test_only_the_recalls_that_ended_count_as_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordingFile, "asked", [])
    assert RecordingArchive(str(tmp_path)).cancel_recalls(["7", "8", "9", "../x"]) == {"7"}
    assert [path for _, path in RecordingFile.asked] == ["7", "8", "9"]


def test_storage_without_tape_has_nothing_to_cancel_to_release_or_to_pin(tmp_path: Path) -> None:
    archive = PosixBackendArchive(str(tmp_path))
    put(archive, "7", b"bytes")
    assert archive.cancel_recalls(["7"]) == set()
    for verb in (archive.submit_recalls, archive.release, archive.unpin):
        assert verb(["7"]) == {"7": None}
    assert archive.pin(["7"], 60.0) == {"7": None}
    assert archive.file("7").is_online()


def test_a_writer_is_told_what_is_known_of_an_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, open_writer = [], PosixFile.open_writer

    def opened(file: PosixFile, length: int | None = None, precondition: Precondition | None = None) -> PosixWriter:
        told.append((length, precondition))
        return open_writer(file, length, precondition)

    monkeypatch.setattr(PosixFile, "open_writer", opened)
    absent = Precondition(none_match=(ANY,))
    file = PosixBackendArchive(str(tmp_path)).file("7")
    assert file.store([b"by", b"tes"], 7.0, dict, length=5, precondition=absent).filesize == 5
    assert told == [(5, absent)]


# Names and notes


@pytest.mark.parametrize("name", ["a", "x" * 255, "\u00e4" * 127, "a.b", "\udcff"])
def test_a_plain_name_is_its_own_path(name: str) -> None:
    assert (plain_name(name), name_of_path(name)) == (name, name)


@pytest.mark.parametrize("name", ["", "x" * 256, "\u00e4" * 128, "a/b", "/", "a\0", "\0", ".", "..", ".a"])
def test_what_is_not_a_plain_name_is_refused(name: str) -> None:
    with fails_with(FileIdError):
        plain_name(name)
    assert name_of_path(name) is None


def test_notes_are_kept_as_texts() -> None:
    notes = Notes({"md5": bytes(16), "sha-256": bytes(32)}, "md5 was another")
    texts = {"digest.md5": "00" * 16, "digest.sha-256": "00" * 32, "damaged": "md5 was another"}
    assert notes.texts("digest.") == texts
    assert Notes({"md5": bytes(16)}).texts("digest.") == {"digest.md5": "00" * 16}
    assert Notes.of_texts(texts, "digest.") == notes
    foreign = {"other.md5": "00", "digest.crc": "not hexadecimal", "damaged": "abcd"}
    assert Notes.of_texts(foreign, "digest.") == Notes({}, "abcd")
    assert Notes.of_texts({"md5": "00", "damaged": "abcd"}) == Notes({"md5": bytes(1)}, "abcd")
    assert Notes({"md5": bytes(1)}, "abcd").texts() == {"md5": "00", "damaged": "abcd"}


def test_a_prefix_may_end_in_a_slash(tmp_path: Path) -> None:
    assert PosixBackendArchive(f"{tmp_path}/").prefix == str(tmp_path)


def test_an_entity_tag_has_quotes() -> None:
    status = PosixStatus(1.5, 2.5, (5,), 5)
    assert status.etag == f'"{status.version}"'
    status.digests = {"md5": bytes(16), "sha-256": bytes(32)}
    assert status.etag == f'"sha-256-{"00" * 32}"'
