"""What a simulator of AWS by others says of archive classes, and what the backend makes of it."""

import uuid

import pytest

from pacifica.archiveinterface.backends.abstract.residency import Locality
from pacifica.archiveinterface.backends.conformance import fails_with, get
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.exception import BeingStagedError, ConfigurationError, OfflineError
from tests.backends.s3.support import archive_on, split
from tests.support.moto_server import MotoServer, shared_moto


@pytest.fixture
def moto() -> MotoServer:
    """The simulator, with an empty bucket."""
    server = shared_moto()
    server.client().create_bucket(Bucket="archive")
    return server


@pytest.fixture
def archive(moto: MotoServer) -> S3BackendArchive:
    """An empty archive."""
    return archive_on(moto, f"s3://archive/{uuid.uuid4()}")


def place(moto: MotoServer, archive: S3BackendArchive, file_id: str, storage_class: str) -> None:
    """Store the file: moto compares too few conditions for the archive to do it."""
    where = split(archive.file(file_id).filepath)
    moto.client().put_object(**where, Body=b"bytes", StorageClass=storage_class)


def test_a_store_that_ignores_a_condition_is_refused(archive: S3BackendArchive) -> None:
    with pytest.raises(ConfigurationError, match="IfMatch of multipart uploads"):
        archive.require_usable()


@pytest.mark.parametrize(("region", "place"), [("us-east-1", None), ("eu-central-1", "eu-central-1")])
def test_a_bucket_is_made_in_its_region(moto: MotoServer, region: str, place: str | None) -> None:
    bucket = f"made-in-{region}"
    with pytest.raises(ConfigurationError, match="IfMatch"):  # once the bucket is there
        archive_on(moto, f"s3://{bucket}", region=region).require_usable()
    assert moto.client().get_bucket_location(Bucket=bucket)["LocationConstraint"] == place


@pytest.mark.parametrize("storage_class", ["STANDARD", "GLACIER_IR", "STANDARD_IA"])
def test_objects_of_other_classes_are_on_disk(moto: MotoServer, archive: S3BackendArchive, storage_class: str) -> None:
    place(moto, archive, "7", storage_class)
    assert archive.file("7").residency().locality is Locality.DISK
    assert archive.file("7").stage()
    assert get(archive, "7") == b"bytes"


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_is_restored_in_steps(
    moto: MotoServer, archive: S3BackendArchive, storage_class: str
) -> None:
    place(moto, archive, "7", storage_class)
    assert archive.file("7").residency().locality is Locality.TAPE
    with fails_with(OfflineError):
        archive.file("7").open_reader()
    with fails_with(BeingStagedError):
        archive.open("7", "r")
    under_way = archive.file("7").residency()
    assert (under_way.locality, under_way.recall.is_under_way) == (Locality.TAPE, True)
    restored = archive.file("7").residency()
    assert (restored.locality, restored.recall.is_under_way) == (Locality.DISK_AND_TAPE, False)
    assert restored.disk_seconds == pytest.approx(7 * 86400, abs=86400)
    assert get(archive, "7") == b"bytes"
    archive.pin(["7"], 30 * 86400)
    assert archive.file("7").residency().disk_seconds == pytest.approx(30 * 86400, abs=86400)
