"""What is below the prefix: files, and uploads that were never finished."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .calls.bucket import Answer
from .calls.dates import time_of
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
    """Remove the uploads below the prefix to which no part was added for a while, and their notes."""
    for abandoned in _abandoned_uploads(store):
        store.bucket.abort(*abandoned)
        filepath = store.filepath(abandoned.key)
        existing = store.existing(filepath)
        store.remove_old_notes(filepath, existing.notes_name if existing else "")


def _abandoned_uploads(store: Store) -> Iterator[_AbandonedUpload]:
    for page in store.bucket.pages("list_multipart_uploads", Prefix=store.key(f"{store.prefix}/")):
        for found in page.get("Uploads", ()):
            last = _last_change(store, found)
            if time_of(page) - last >= store.s3.abandoned_seconds:
                yield _AbandonedUpload(found["Key"], found["UploadId"])


def _last_change(store: Store, upload: Answer) -> float:
    """Return when the upload was begun, or its latest part was sent."""
    last = float(upload["Initiated"].timestamp())
    for page in store.bucket.pages("list_parts", Key=upload["Key"], UploadId=upload["UploadId"]):
        last = max([last, *(part["LastModified"].timestamp() for part in page.get("Parts", ()))])
    return last
