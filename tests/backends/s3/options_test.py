"""The options of [s3]: what the store is told by each, and what a wrong one is answered with at start."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.archiveinterface.backends.conformance import get, put
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.exception import ConfigurationError
from tests.backends.s3.support import archive_on, client_of, split, write_config
from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.processes import refusal
from tests.support.seaweedfs import SeaweedFS
from tests.support.service import TIMEOUT

MIB = 1 << 20  # bytes
SMALL, LARGE = b"one part", bytes(11 * MIB)

MakeArchive = Callable[..., S3BackendArchive]


def store_both(archive: S3BackendArchive, store: SeaweedFS) -> list[dict[str, Any]]:
    """Store a file of one part as 7 and one of three as 8, move that to 9, and return what the store says of both."""
    archive.require_usable()
    put(archive, "7", SMALL)
    put(archive, "8", LARGE)
    archive.patch("9", archive.file("8").filepath)
    assert [get(archive, "7"), get(archive, "9")] == [SMALL, LARGE]
    places = [split(archive.file(file_id).filepath) for file_id in ("7", "9")]
    return [client_of(store).head_object(**place, ChecksumMode="ENABLED") for place in places]


@pytest.mark.parametrize("checksum", ["crc32", "sha256", "crc32c", "crc64nvme"])
def test_the_store_has_the_checksum(make_archive: MakeArchive, store: SeaweedFS, checksum: str) -> None:
    archive = make_archive(checksum=checksum, part_size=5 * MIB, copy_size=5 * MIB)
    small, large = store_both(archive, store)
    name = f"Checksum{checksum.upper()}"
    assert small[name]
    # Three parts have a checksum of their checksums, but the one that can be put together from those of the parts.
    assert large[name].endswith("-3") == (checksum != "crc64nvme")


def test_checksums_are_left_out_for_a_store_that_does_not_know_them(
    make_archive: MakeArchive, store: SeaweedFS
) -> None:
    archive = make_archive(checksum_mode="when_required", part_size=5 * MIB, copy_size=5 * MIB)
    for said in store_both(archive, store):
        assert not [name for name in said if name.startswith("Checksum")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"storage_class": "STANDARD_IA"}, {"StorageClass": "STANDARD_IA"}),
        ({"encryption": "AES256"}, {"ServerSideEncryption": "AES256"}),
        (
            {"encryption": "aws:kms", "encryption_key": "archive-key", "copy_size": 1 << 30},
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "archive-key"},
        ),
    ],
    ids=str,
)
def test_the_store_is_told_class_and_encryption(
    make_archive: MakeArchive, store: SeaweedFS, options: dict[str, Any], said: dict[str, str]
) -> None:
    archive = make_archive(**{"part_size": 5 * MIB, "copy_size": 5 * MIB, **options})
    for told in store_both(archive, store):
        assert {name: told[name] for name in said} == said


def test_the_part_size_is_that_of_the_parts(make_archive: MakeArchive, store: SeaweedFS) -> None:
    for size, count in ((5 * MIB, 3), (6 * MIB, 2)):
        archive = make_archive(part_size=size)
        put(archive, "7", LARGE)
        tag = client_of(store).head_object(**split(archive.file("7").filepath))["ETag"]
        assert tag.endswith(f'-{count}"')


@pytest.mark.parametrize(("style", "url"), [("path", "http://store.example/bucket/"), ("virtual", "http://bucket.st")])
def test_the_addressing_style_says_where_the_bucket_is_named(style: str, url: str, store: SeaweedFS) -> None:
    archive = archive_on(store, "s3://bucket", endpoint_url="http://store.example", addressing_style=style)
    assert archive.file("7").presigned_url(60).startswith(url)


def test_the_profile_is_one_of_the_credentials_file(store: SeaweedFS, prefix: str, tmp_path: Path) -> None:
    right = store.write_credentials().read_text().replace("[default]", "[archive]")
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n{right}")
    archive = archive_on(store, prefix, credentials_file=str(credentials), profile="archive")
    put(archive, "7", SMALL)
    assert get(archive, "7") == SMALL
    with pytest.raises(ConfigurationError, match="InvalidAccessKeyId"):
        archive_on(store, prefix, credentials_file=str(credentials)).require_usable()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"credentials_file": "/proc/nonexistent"}, r"^\[s3\] credentials_file /proc/nonexistent cannot be read$"),
        ({"profile": "nobody"}, r"^\[s3\] The config profile \(nobody\) could not be found$"),
        ({"endpoint_url": "127.0.0.1:8333"}, r"^\[s3\] Invalid endpoint: 127.0.0.1:8333$"),
    ],
)
def test_what_cannot_be_is_refused_before_the_store_is_asked(
    store: SeaweedFS, prefix: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        archive_on(store, prefix, **options)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://not-made/x", r"^\[s3\] the bucket 'not-made' is not there: .* \(NoSuchBucket\)"),
        ("s3://no_bucket!/x", r"^\[s3\] the bucket 'no_bucket!' cannot be listed: .*Invalid bucket name"),
    ],
)
def test_a_bucket_that_is_not_there_is_named(store: SeaweedFS, place: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as raised:
        archive_on(store, place, create_bucket=False).require_usable()
    assert "\n" not in str(raised.value)


def test_a_bucket_that_cannot_be_made_is_named(store: SeaweedFS) -> None:
    with pytest.raises(ConfigurationError, match=r"^\[s3\] the bucket 'UPPER' cannot be made: .*InvalidBucketName"):
        archive_on(store, "s3://UPPER/x").require_usable()


# By the launcher


def test_the_prefix_is_in_the_configuration_and_the_keys_in_the_environment(store: SeaweedFS, tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
    config = write_config(tmp_path, store, bucket="archive", prefix="by/options", credentials_file="")
    with forked_launcher("", "-t", "s3", "-c", str(config), env=keys) as server:
        assert requests.put(f"{server.url}/7", data=SMALL, timeout=TIMEOUT).status_code == 201
    found = client_of(store).get_object(Bucket="archive", Key="by/options/file.7")
    assert found["Body"].read() == SMALL


def test_wrong_keys_are_one_line_and_code_2(store: SeaweedFS, tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": "wrong"}
    config = write_config(tmp_path, store, credentials_file="")
    line = refusal_of_main("-t", "s3", "--prefix", "s3://archive/x", "-c", str(config), **keys)
    assert "[s3] the bucket 'archive' cannot be listed: " in line
    assert "SignatureDoesNotMatch" in line


@pytest.mark.parametrize(
    ("module", "advice"),
    [("boto3", "pip install 'pacifica-archiveinterface[s3]'"), ("awscrt", "pip install 'boto3[crt]'")],
)
def test_a_library_that_is_missing_is_named(store: SeaweedFS, tmp_path: Path, module: str, advice: str) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise ModuleNotFoundError('not installed', name={module!r})\n")
    config = write_config(tmp_path, store, checksum="crc64nvme")
    command = ["-t", "s3", "--prefix", "s3://archive/x", "-c", str(config), "-p", "0"]
    line = refusal(*command, PYTHONPATH=str(tmp_path))
    assert f"needs the package {module}: {advice}" in line


def test_a_service_starts_without_its_store_and_works_when_that_is_there(tmp_path: Path) -> None:
    store = SeaweedFS(tmp_path / "store")
    config = write_config(tmp_path, store, attempts=1)
    with forked_launcher("s3://archive/x", "-t", "s3", "-c", str(config)) as server:
        for method in ("GET", "HEAD", "PUT", "DELETE", "POST"):
            answer = requests.request(method, f"{server.url}/7", timeout=TIMEOUT)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
        store.start()
        try:
            assert requests.put(f"{server.url}/7", data=SMALL, timeout=TIMEOUT).status_code == 201
            assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == SMALL
        finally:
            store.stop()
