"""What a store says of an object's restore, in the dialects of the stores."""

from collections.abc import Mapping
from typing import Any

import pytest

from pacifica.archiveinterface.backends.abstract.residency import Locality, RecallState
from pacifica.archiveinterface.backends.s3.calls.dates import time_of
from pacifica.archiveinterface.backends.s3.notes import Kept
from pacifica.archiveinterface.backends.s3.status import S3Status

CLASSES = ("GLACIER", "DEEP_ARCHIVE", "CLOUDTIER")
NOW = "Fri, 21 Dec 2012 00:00:00 GMT"
HOUR = 3600.0
RUNNING = 'ongoing-request="true"'
RESTORED = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 01:00:00 GMT"'
EXPIRED = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"'
FOR_GOOD = 'ongoing-request="false", expiry-date="Fri, 2 Dec 2050 00:00:00 GMT"'


def status_of(said: Mapping[str, Any], kept: Kept | None = None, length: int = 5) -> S3Status:
    """Return the status of an object of which a store has *said* so, by its clock."""
    headers = {"ResponseMetadata": {"HTTPHeaders": {"date": NOW}}}
    answer = {"ETag": '"e"', "ContentLength": length, "LastModified": _Moment(), **headers, **said}
    return S3Status.of("s3://b/7", answer, kept or Kept(), CLASSES)


class _Moment:
    def timestamp(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("said", "locality", "is_online", "is_under_way"),
    [
        # AWS
        ({}, Locality.DISK, True, False),
        ({"StorageClass": "STANDARD_IA"}, Locality.DISK, True, False),
        ({"StorageClass": "GLACIER_IR"}, Locality.DISK, True, False),
        ({"StorageClass": "GLACIER"}, Locality.TAPE, False, False),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": RUNNING}, Locality.TAPE, False, True),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": RESTORED}, Locality.DISK_AND_TAPE, True, False),
        ({"StorageClass": "DEEP_ARCHIVE", "Restore": EXPIRED}, Locality.TAPE, False, False),
        # Intelligent-Tiering
        ({"StorageClass": "INTELLIGENT_TIERING"}, Locality.DISK, True, False),
        ({"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "ARCHIVE_ACCESS"}, Locality.TAPE, False, False),
        (
            {"StorageClass": "INTELLIGENT_TIERING", "ArchiveStatus": "DEEP_ARCHIVE_ACCESS", "Restore": RUNNING},
            Locality.TAPE,
            False,
            True,
        ),
        # Ceph RGW, for good: without an end, in the old class or a new one
        ({"StorageClass": "CLOUDTIER", "Restore": 'ongoing-request="false"'}, Locality.DISK_AND_TAPE, True, False),
        ({"StorageClass": "STANDARD", "Restore": 'ongoing-request="false"'}, Locality.DISK, True, False),
        # versitygw: offline, being staged, on disk
        ({"StorageClass": "GLACIER", "Restore": ""}, Locality.TAPE, False, False),
        ({"Restore": " "}, Locality.TAPE, False, False),
        ({"StorageClass": "GLACIER", "Restore": "false"}, Locality.TAPE, False, False),
        ({"StorageClass": "GLACIER", "Restore": "true"}, Locality.TAPE, False, True),
        ({"StorageClass": "STANDARD", "Restore": FOR_GOOD}, Locality.DISK, True, False),
        # NooBaa, MinIO: spelled as AWS does, or nearly
        ({"StorageClass": "GLACIER", "Restore": "ongoing-request=true"}, Locality.TAPE, False, True),
        ({"StorageClass": "GLACIER", "Restore": 'Ongoing-Request = "True"'}, Locality.TAPE, False, True),
        # malformed
        ({"StorageClass": "GLACIER", "Restore": "maybe"}, Locality.TAPE, False, False),
        ({"Restore": "maybe"}, Locality.DISK, True, False),
        ({"StorageClass": "GLACIER", "Restore": 'ongoing-request="'}, Locality.TAPE, False, False),
        (
            {"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="soon"'},
            Locality.DISK_AND_TAPE,
            True,
            False,
        ),
        (
            {"StorageClass": "GLACIER", "Restore": 'ongoing-request="false", expiry-date="1 Foo 99999 99:99"'},
            Locality.DISK_AND_TAPE,
            True,
            False,
        ),
    ],
)
def test_class_and_restore_say_where_the_bytes_are(
    said: dict[str, str], locality: Locality, is_online: bool, is_under_way: bool
) -> None:
    status = status_of(said)
    assert (status.residency.locality, status.residency.is_online) == (locality, is_online)
    assert (status.recall is RecallState.ACTIVE) is is_under_way
    on_tape = 0 if locality is Locality.DISK else 5
    assert status.bytes_per_level == (5 if is_online else 0, on_tape)
    assert status.file_storage_media == ("disk" if is_online else "tape")


def test_a_copy_stays_until_its_end_by_the_clock_of_the_store() -> None:
    assert status_of({"StorageClass": "GLACIER", "Restore": RESTORED}).residency.disk_seconds == HOUR
    for said in (
        {},
        {"StorageClass": "GLACIER"},
        {"Restore": FOR_GOOD},
        {"StorageClass": "GLACIER", "Restore": RUNNING},
    ):
        assert status_of(said).residency.disk_seconds is None


@pytest.mark.parametrize("date", ["", "yesterday", None])
def test_without_a_date_of_the_store_the_clock_of_this_host_counts(date: str | None) -> None:
    headers = {"date": date} if date is not None else {}
    assert time_of({"ResponseMetadata": {"HTTPHeaders": headers}}) > 1.7e9
    past = status_of({"StorageClass": "GLACIER", "Restore": RESTORED, "ResponseMetadata": {"HTTPHeaders": headers}})
    assert not past.residency.is_online


def test_the_size_is_the_one_that_was_stored_where_the_store_gives_none() -> None:
    status = status_of({"StorageClass": "CLOUDTIER"}, Kept(size=5), length=0)
    assert (status.filesize, status.residency.is_online) == (5, False)
    assert status.bytes_per_level == (0, 5)
