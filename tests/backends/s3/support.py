"""Archives in a store, and what is left there."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.backends.s3.options import S3Options
from tests.support.seaweedfs import S3Server


class RunningStore(Protocol):
    """A store that a test can use."""

    endpoint: str

    def write_credentials(self) -> Path:
        """Write the keys of a user who may do everything, and return the path."""


def archive_on(
    store: RunningStore, prefix: str, archive: ArchiveOptions | None = None, **s3: object
) -> S3BackendArchive:
    """Return an archive below *prefix* in *store*; *s3* are options of its section."""
    return S3BackendArchive(prefix, archive, S3Options(**{**_options(store), "create_bucket": True, **s3}))


def checked_archive_on(
    store: RunningStore, prefix: str, archive: ArchiveOptions | None = None, **s3: object
) -> S3BackendArchive:
    """Return an archive as `archive_on` does; that *store* is as it has to be is seen once for all such archives."""
    _check(S3Options(**{**_options(store), "create_bucket": True}), split(prefix)["Bucket"])
    return _CheckedArchive(prefix, archive, S3Options(**{**_options(store), **s3}))


@lru_cache(maxsize=8)
def _check(options: S3Options, bucket: str) -> None:
    S3BackendArchive(f"s3://{bucket}/checked", None, options).require_usable()


class _CheckedArchive(S3BackendArchive):
    """Does not check the store before the first upload, which takes longer than most tests."""

    def __init__(self, prefix: str, archive_options: ArchiveOptions | None, options: S3Options) -> None:
        super().__init__(prefix, archive_options, options)
        self._store.is_usable = True


def _options(store: RunningStore) -> dict[str, Any]:
    credentials = str(store.write_credentials())
    return {
        "endpoint_url": store.endpoint,
        "region": "us-east-1",
        "addressing_style": "path",
        "credentials_file": credentials,
    }


def split(path: str) -> dict[str, str]:
    """Return bucket and key of ``s3://bucket/key`` as boto3 wants them."""
    bucket, _, key = path.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


@lru_cache(maxsize=4)
def client_of(store: S3Server) -> Any:
    """Return a client of boto3; to make one takes longer than most calls."""
    return store.client()


def objects_below(store: S3Server, prefix: str) -> list[str]:
    """Return the keys of all objects below *prefix*, notes included, from there on."""
    place = split(prefix)
    found = client_of(store).list_objects_v2(Bucket=place["Bucket"], Prefix=f"{place['Key']}/").get("Contents", ())
    return [each["Key"].removeprefix(f"{place['Key']}/") for each in found]


def write_config(
    directory: Path, store: RunningStore, *, name: str = "config.ini", http: str = "", archive: str = "", **s3: object
) -> Path:
    """Write the configuration of a service on *store*, with lines of its sections, and return its path."""
    options = {**_options(store), "create_bucket": "true", **s3}
    lines = [f"{key} = {value}" for key, value in options.items()]
    path = directory / name
    recalls = f"[recalls]\ndatabase = sqlite:///{directory}/recalls.sqlite3"
    path.write_text("\n".join(["[s3]", *lines, "[http]", http, "[archive]", archive, recalls, ""]))
    return path


def unfinished_uploads(store: S3Server, prefix: str) -> list[str]:
    """Return the keys of the uploads in parts below *prefix* that are neither completed nor aborted."""
    place = split(prefix)
    found = client_of(store).list_multipart_uploads(Bucket=place["Bucket"], Prefix=f"{place['Key']}/")
    return [each["Key"] for each in found.get("Uploads", ())]


def notes_of_nothing(store: S3Server, prefix: str) -> list[str]:
    """Return the keys of the notes below *prefix* that belong to no object, from there on."""
    keys, client = objects_below(store, prefix), client_of(store)
    files = [key for key in keys if not key.startswith(".notes/")]
    tokens = {key: client.head_object(**split(f"{prefix}/{key}"))["Metadata"]["pacifica-token"] for key in files}
    own = {".notes/layout", *(f".notes/{key}/{token}" for key, token in tokens.items())}
    return [key for key in keys if key not in own and key not in tokens]
