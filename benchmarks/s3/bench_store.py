"""The store that everybody works on: a private SeaweedFS server with one bucket."""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests
from boto3.s3.transfer import TransferConfig

from pacifica.archiveinterface.backends.s3.options import S3Options
from pacifica.archiveinterface.exception import FileIdError
from pacifica.archiveinterface.id2filename import filename2id, id2filename
from tests.support.seaweedfs import SeaweedFS

BUCKET = "bench"
OURS, OTHERS = "ours/", "others/"  # our paths of ids, and ids as they are
_BLOCK = 1 << 20  # bytes
_PART = S3Options().part_size


class BenchStore:
    """The objects of BUCKET in *server*, by their ids; those below OURS are the service's."""

    def __init__(self, server: SeaweedFS) -> None:
        """Make the bucket."""
        self.endpoint = server.endpoint
        self.access_key, self.secret_key = server.access_key, server.secret_key
        self.credentials_file = server.write_credentials()
        self._master = server.master
        self._client = server.client()
        self._client.create_bucket(Bucket=BUCKET)

    def put(self, seed: Path) -> None:
        """Store the files of *seed* below OTHERS; a large one in parts of the size that the service's have."""
        parts = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART)
        for path in (path for path in seed.rglob("*") if path.is_file()):
            self._client.upload_file(str(path), BUCKET, f"{OTHERS}{path.name}", Config=parts)

    def count_wrong(self, directory: str, ids: list[int], path: Path) -> int:
        """Return how many objects *ids* below *directory* are missing, or are not the file at *path*."""
        right: set[str] = set()
        return sum(not self._is_file(_key(directory, file_id), path, right) for file_id in ids)

    def judge(self, after: int, content: bytes) -> tuple[int, int]:
        """Return how many objects with ids above *after* are *content*, and how many are not."""
        right = wrong = 0
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        for found in self._listed():
            if _id_of(found["Key"]) > after:
                is_right = found["ETag"] == etag or self._content(found["Key"]) == content
                right, wrong = right + is_right, wrong + (not is_right)
        return right, wrong

    def remove_new(self, after: int) -> None:
        """Remove the objects with ids above *after*, and free the space that they took."""
        keys = [found["Key"] for found in self._listed() if _id_of(found["Key"]) > after]
        if not keys:
            return
        for first in range(0, len(keys), 1000):
            listed = [{"Key": key} for key in keys[first : first + 1000]]
            self._client.delete_objects(Bucket=BUCKET, Delete={"Objects": listed, "Quiet": True})
        requests.get(f"{self._master}/vol/vacuum?garbageThreshold=0.0001", timeout=600).raise_for_status()

    def _is_file(self, key: str, path: Path, right: set[str]) -> bool:
        """Read the object back unless its ETag, which the store computes of what it received, is one of *right*."""
        try:
            found = self._client.get_object(Bucket=BUCKET, Key=key)
        except self._client.exceptions.NoSuchKey:
            return False
        with closing(found["Body"]) as body, path.open("rb") as file:
            if found["ETag"] in right:
                return True
            if any(block != file.read(len(block)) for block in body.iter_chunks(_BLOCK)) or file.read(1):
                return False
        right.add(found["ETag"])
        return True

    def _content(self, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def _listed(self) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for page in pages:
            yield from page.get("Contents", ())


def _key(directory: str, file_id: int) -> str:
    return f"{OURS}{id2filename(file_id)[1:]}" if directory == OURS else f"{OTHERS}{file_id}"


def _id_of(key: str) -> int:
    """Return the id of an object; 0 for what is kept beside one."""
    if key.startswith(OTHERS):
        return int(key.removeprefix(OTHERS))
    with suppress(FileIdError):
        return filename2id(f"/{key.removeprefix(OURS)}")
    return 0


@contextmanager
def bench_store(directory: Path) -> Iterator[BenchStore]:
    """Run a store with its data below *directory* until the block is left."""
    directory.mkdir()
    server = SeaweedFS(directory, mebibytes=1024)
    try:
        server.start()
        yield BenchStore(server)
    finally:
        server.stop()
