"""Listing what is below the prefix: files, and uploads that were not finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from .calls.bucket import Answer
from .calls.dates import time_of
from .calls.errors import MissingUploadError
from .notes import NOTES
from .store import Store


class _AbandonedUpload(NamedTuple):
    key: str
    upload: str


def entries(store: Store, after: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the path of every object below the prefix that comes after *after*, each with whether it is unfinished."""
    start = store.key(f"{store.prefix}/")
    for upload in _abandoned_uploads(store):
        yield upload.key.removeprefix(start), True
    for page in store.bucket.pages("list_objects_v2", Prefix=start, StartAfter=f"{start}{after}"):
        for found in page.get("Contents", ()):
            path = found["Key"].removeprefix(start)
            if not path.startswith(f"{NOTES}/"):
                yield path, False


def sweep(store: Store) -> None:
    """Abort the uploads below the prefix to which no part was added for `abandoned_seconds`, and remove their notes."""
    for abandoned in _abandoned_uploads(store):
        with suppress(MissingUploadError):  # another node was quicker
            store.bucket.abort(*abandoned)
        filepath = store.filepath(abandoned.key)
        existing = store.existing(filepath)
        store.remove_old_notes(filepath, existing.notes_name if existing else "")


def _abandoned_uploads(store: Store) -> Iterator[_AbandonedUpload]:
    for page in store.bucket.pages("list_multipart_uploads", Prefix=store.key(f"{store.prefix}/")):
        latest = time_of(page) - store.s3.abandoned_seconds
        for found in page.get("Uploads", ()):
            with suppress(MissingUploadError):  # it has just been completed or aborted
                if all(time <= latest for time in _changes(store, found)):
                    yield _AbandonedUpload(found["Key"], found["UploadId"])


def _changes(store: Store, upload: Answer) -> Iterator[int]:
    """Yield when the upload was begun, and when its parts were sent; in whole seconds, as the store tells its time."""
    yield int(upload["Initiated"].timestamp())
    for page in store.bucket.pages("list_parts", Key=upload["Key"], UploadId=upload["UploadId"]):
        for part in page.get("Parts", ()):
            yield int(part["LastModified"].timestamp())
