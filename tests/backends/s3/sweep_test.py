"""What is said of unfinished uploads while other nodes begin and end them."""

from collections.abc import Callable

from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from tests.backends.s3.support import split
from tests.support.seaweedfs import SeaweedFS


def test_an_upload_that_ends_while_all_are_listed_is_not_missed(
    store: SeaweedFS, prefix: str, make_archive: Callable[..., S3BackendArchive]
) -> None:
    archive = make_archive(abandoned_seconds=0)
    archive.sweep()  # makes the bucket
    client, place = store.client(), split(prefix)
    keys = [f"{place['Key']}/{name}" for name in "12"]
    uploads = [client.create_multipart_upload(Bucket=place["Bucket"], Key=key)["UploadId"] for key in keys]
    entries = archive.entries()
    first = next(entries)
    for key, upload in zip(keys, uploads, strict=True):
        client.abort_multipart_upload(Bucket=place["Bucket"], Key=key, UploadId=upload)
    assert (first.is_partial, list(entries)) == (True, [])
