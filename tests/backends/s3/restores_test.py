"""Restores of objects in archive classes: which calls are made, and what becomes of the answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.backends.abstract.residency import Locality, RecallState, Residency
from pacifica.archiveinterface.backends.conformance import fails_with, get, put
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.exception import (
    ArchiveInterfaceError,
    ConflictError,
    MissingFileError,
    OfflineError,
    StorageBusyError,
    StorageError,
)
from tests.backends.s3.support import archive_on, checked_archive_on, client_of, split
from tests.support.glacier_stub import DAY, MINIO, RGW, VERSITYGW, Dialect, GlacierStub, shared_stub
from tests.support.seaweedfs import SeaweedFS

Make = Callable[..., S3BackendArchive]


@pytest.fixture
def glacier() -> GlacierStub:
    """A store that speaks as AWS does, with no object in an archive class yet."""
    stub = shared_stub()
    stub.reset()
    return stub


@pytest.fixture
def make(glacier: GlacierStub, prefix: str) -> Make:
    """Return what makes archives of the same files, with options of [s3]."""
    return lambda **s3: checked_archive_on(glacier, prefix, **s3)


@pytest.fixture
def archive(make: Make) -> S3BackendArchive:
    """An archive with default options."""
    return make()


def place(archive: S3BackendArchive, file_id: str) -> str:
    """Return the bucket and the key of the file."""
    return archive.file(file_id).filepath.removeprefix("s3://")


def to_tape(archive: S3BackendArchive, glacier: GlacierStub, *file_ids: str, tier: str = "") -> None:
    """Store files that are offline."""
    for file_id in file_ids:
        put(archive, file_id, b"bytes")
        glacier.archive(place(archive, file_id), "INTELLIGENT_TIERING" if tier else "GLACIER", tier)


def localities(archive: S3BackendArchive, file_ids: list[str]) -> set[Locality]:
    """Return where the files are."""
    answers = archive.residencies(file_ids)
    assert list(answers) == file_ids
    return {answer.locality for answer in answers.values() if isinstance(answer, Residency)}


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("size", [5, 6 << 20])
def test_new_files_of_an_archive_class_are_on_tape_at_once(
    make: Make, glacier: GlacierStub, storage_class: str, size: int
) -> None:
    archive = make(storage_class=storage_class, part_size=5 << 20)
    stored = archive.file("7").store([bytes(size)], 1.0, lambda: {"sha-256": bytes(32)})
    for status in (stored, archive.file("7").status()):
        assert (status.filesize, status.bytes_per_level, status.file_storage_media) == (size, (0, size), "tape")
    assert archive.file("7").status().digests
    assert {each.storage_class for each in glacier.objects.values()} == {storage_class}
    with fails_with(OfflineError):
        archive.file("7").open_reader()
    archive.submit_recalls(["7"])
    glacier.finish()
    assert get(archive, "7") == bytes(size)


def test_a_file_on_tape_is_read_whole_when_it_has_no_bytes(make: Make) -> None:
    archive = make(storage_class="GLACIER")
    put(archive, "7", b"")
    assert (get(archive, "7"), archive.file("7").stage()) == (b"", True)


def test_no_bytes_are_made_up_where_the_store_gives_no_size(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    glacier.reset(RGW)
    client_of(glacier.store).put_object(**split(archive.file("7").filepath), Body=b"by another program")
    glacier.archive(place(archive, "7"))
    with fails_with(OfflineError):
        archive.file("7").open_reader()


@pytest.mark.parametrize("size", [5, 6 << 20])
def test_the_size_of_a_file_on_tape_is_known_where_the_store_gives_none(
    make: Make, glacier: GlacierStub, size: int
) -> None:
    glacier.reset(RGW)
    archive = make(part_size=5 << 20)
    put(archive, "7", bytes(size))
    glacier.archive(place(archive, "7"))
    assert archive.file("7").residency() == Residency(size, 0, size, RecallState.NONE)
    assert not archive.file("7").stage()
    assert len(glacier.restores) == 1


@pytest.mark.parametrize(
    ("options", "days", "tier"),
    [
        ({}, 7, "Standard"),
        ({"restore_days": 2, "restore_tier": "Bulk"}, 2, "Bulk"),
        ({"restore_days": 0, "restore_tier": "none"}, None, ""),
    ],
)
def test_days_and_tier_are_those_of_the_options(
    make: Make, glacier: GlacierStub, options: dict[str, object], days: int | None, tier: str
) -> None:
    archive = make(**options)
    to_tape(archive, glacier, "7")
    assert not archive.file("7").stage()
    assert [restore[1:] for restore in glacier.restores] == [(days, tier)]
    glacier.finish()
    assert archive.file("7").residency().locality is Locality.DISK_AND_TAPE
    assert archive.recall_traits == RecallTraits(pins=days is not None, tells_state=True, slowest_seconds=3 * DAY)


def test_an_object_of_intelligent_tiering_comes_back_for_good(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    to_tape(archive, glacier, "7", tier="DEEP_ARCHIVE_ACCESS")
    assert archive.file("7").residency().locality is Locality.TAPE
    assert archive.submit_recalls(["7"]) == {"7": None}
    assert [restore[1] for restore in glacier.restores] == [None]
    glacier.finish()
    assert archive.file("7").residency() == Residency(5, 5, 0, archive.file("7").residency().recall)


def test_a_copy_that_has_expired_is_restored_again(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    to_tape(archive, glacier, "7")
    archive.file("7").stage()
    glacier.finish()
    glacier.passed = 6 * DAY
    assert archive.file("7").stage()
    glacier.passed = 9 * DAY
    assert not archive.file("7").stage()
    assert len(glacier.restores) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ((503, "SlowDown"), StorageBusyError),
        ((503, "GlacierExpeditedRetrievalNotAvailable"), StorageBusyError),
        ((400, "ThrottlingException"), StorageBusyError),
        ((405, "MethodNotAllowed"), ConflictError),
        ((501, "NotImplemented"), ConflictError),
        ((403, "InvalidObjectState"), ConflictError),
        ((403, "AccessDenied"), StorageError),
    ],
)
def test_a_restore_that_is_refused_says_why_and_is_asked_for_once(
    archive: S3BackendArchive, glacier: GlacierStub, fault: tuple[int, str], error: type[ArchiveInterfaceError]
) -> None:
    to_tape(archive, glacier, "7")
    glacier.faults.append(fault)
    with fails_with(error):
        archive.file("7").stage()
    assert glacier.calls["RESTORE"] == 1
    assert not archive.file("7").stage()
    assert len(glacier.restores) == 1


def test_a_refused_restore_is_logged(
    archive: S3BackendArchive, glacier: GlacierStub, caplog: pytest.LogCaptureFixture
) -> None:
    to_tape(archive, glacier, "7")
    glacier.faults.append((403, "AccessDenied"))
    with fails_with(StorageError):
        archive.file("7").stage()
    assert "AccessDenied" in caplog.text


def test_what_another_node_restores_meanwhile_is_under_way(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    to_tape(archive, glacier, "7", "8")
    glacier.faults.extend([(409, "RestoreAlreadyInProgress")] * 2)
    assert archive.submit_recalls(["7", "8"]) == {"7": None, "8": None}
    assert glacier.calls["RESTORE"] == 2


def test_what_was_restored_since_it_was_looked_at_is_not_refused(
    archive: S3BackendArchive, glacier: GlacierStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_tape(archive, glacier, "7")
    refuse = glacier.restore

    def restored_meanwhile(path: str, days: int | None, tier: str) -> tuple[int, str]:
        del glacier.objects[path]
        return refuse(path, days, tier)

    monkeypatch.setattr(glacier, "restore", restored_meanwhile)
    assert archive.file("7").stage()


def test_a_store_that_restores_nothing_says_so(store: SeaweedFS, prefix: str) -> None:
    archive = archive_on(store, prefix, storage_class="GLACIER")
    put(archive, "7", b"bytes")
    answers = archive.submit_recalls(["7"])
    assert isinstance(answers["7"], ConflictError)


# 256 ids have names in one directory: they differ in their highest byte.
def in_one_directory(count: int) -> list[str]:
    """Return ids of files in one directory."""
    return [str((number << 8) + 1) for number in range(1, count + 1)]


def asked(glacier: GlacierStub, archive: S3BackendArchive, file_ids: list[str]) -> tuple[int, int]:
    """Return how many lists and HEADs tell where the files are."""
    glacier.calls.clear()
    localities(archive, file_ids)
    return glacier.calls["LIST"], glacier.calls["HEAD"]


def test_many_files_of_a_directory_are_looked_at_by_one_list(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    offline, online = in_one_directory(30)[:20], in_one_directory(30)[20:]
    to_tape(archive, glacier, *offline)
    for file_id in online:
        put(archive, file_id, b"bytes")
    assert asked(glacier, archive, offline + online) == (1, 30)  # no object has a state that a list can show
    archive.submit_recalls(offline[:15])
    assert asked(glacier, archive, offline + online) == (1, 0)
    assert localities(archive, offline) == {Locality.TAPE}
    assert localities(archive, online) == {Locality.DISK}
    assert asked(glacier, archive, offline[:11]) == (0, 11)
    under_way = archive.residencies(offline)
    assert [answer.recall.is_under_way for answer in under_way.values() if isinstance(answer, Residency)] == (
        [True] * 15 + [False] * 5
    )
    glacier.finish()
    assert asked(glacier, archive, offline) == (1, 0)
    assert localities(archive, offline[:15]) == {Locality.DISK_AND_TAPE}
    by_list, by_head = archive.residencies(offline)[offline[0]], archive.file(offline[0]).residency()
    assert isinstance(by_list, Residency)
    assert by_list.disk_seconds == pytest.approx(by_head.disk_seconds, abs=60)


def test_what_a_list_does_not_tell_is_asked_for(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    file_ids = in_one_directory(15)
    to_tape(archive, glacier, *file_ids[:12])
    to_tape(archive, glacier, file_ids[12], tier="ARCHIVE_ACCESS")
    put(archive, file_ids[13], b"")
    archive.submit_recalls(file_ids[:1])
    answers = archive.residencies(file_ids)
    assert asked(glacier, archive, file_ids) == (1, 3)  # a tier, an empty object, and none
    assert [answer.locality for answer in answers.values() if isinstance(answer, Residency)] == (
        [Locality.TAPE] * 13 + [Locality.NONE]
    )
    assert isinstance(answers[file_ids[14]], MissingFileError)


@pytest.mark.parametrize("dialect", [RGW, VERSITYGW, MINIO])
def test_a_store_that_does_not_list_restores_is_asked_for_each_file(
    archive: S3BackendArchive, glacier: GlacierStub, dialect: Dialect
) -> None:
    glacier.reset(dialect)
    file_ids = in_one_directory(12)
    to_tape(archive, glacier, *file_ids)
    assert archive.submit_recalls(file_ids) == dict.fromkeys(file_ids)
    assert asked(glacier, archive, file_ids) == (1, 12)
    glacier.finish()
    assert localities(archive, file_ids) == {Locality.DISK_AND_TAPE}
    assert asked(glacier, archive, file_ids) == (0, 12)  # the last list showed no state of a restored object


def test_a_store_that_refuses_to_list_restores_is_asked_for_each_file(
    archive: S3BackendArchive, glacier: GlacierStub
) -> None:
    glacier.refuses_states = True
    file_ids = in_one_directory(12)
    to_tape(archive, glacier, *file_ids)
    assert asked(glacier, archive, file_ids) == (1, 12)
    assert asked(glacier, archive, file_ids) == (0, 12)


def test_many_restores_take_two_looks_and_a_call_for_each_file(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    file_ids = ["7", "8", "9"]
    to_tape(archive, glacier, *file_ids)
    glacier.calls.clear()
    archive.submit_recalls(file_ids)
    assert glacier.calls == {"HEAD": 6, "RESTORE": 3}
    archive.submit_recalls(file_ids)
    assert glacier.calls == {"HEAD": 9, "RESTORE": 3}


def test_a_copy_is_kept_for_longer_and_never_for_less(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    to_tape(archive, glacier, "7", "8")
    archive.submit_recalls(["7"])
    glacier.finish()
    archive.pin(["7"], 3600.0)
    assert len(glacier.restores) == 1
    assert archive.pin(["7", "8"], 20.5 * DAY) == {"7": None, "8": None}
    assert [restore[1] for restore in glacier.restores] == [7, 21]
    left = archive.file("7").residency().disk_seconds
    assert left is not None
    assert 21 * DAY - 60 < left < 22 * DAY
    assert not archive.file("8").residency().recall.is_under_way


def test_many_who_ask_for_one_object_make_one_call(archive: S3BackendArchive, glacier: GlacierStub) -> None:
    to_tape(archive, glacier, "7")
    with ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(lambda _: archive.file("7").stage(), range(32)))
    assert glacier.calls["RESTORE"] == 1
