"""What all files of one archive in S3 share: the bucket, keys, notes, and how an object is described."""

from __future__ import annotations

from ...exception import ConfigurationError, MissingFileError
from ..abstract.options import ArchiveOptions
from .calls.bucket import Answer, Bucket
from .calls.dates import time_of
from .notes import NOTES, Kept, kept_in_content, kept_in_metadata
from .options import S3Options
from .status import S3Status
from .writing.memory import Memory

SCHEME = "s3://"


class Store:
    """The objects below *prefix*, ``s3://bucket/path``, kept as *options* say; shared by all threads."""

    def __init__(self, prefix: str, options: ArchiveOptions, s3: S3Options) -> None:
        """Represent the archive; the store is not asked yet. Raises ConfigurationError."""
        name, _, path = prefix.removeprefix(SCHEME).partition("/")
        if not prefix.startswith(SCHEME) or not name or ".." in path.split("/"):
            raise ConfigurationError(f"prefix {prefix!r} is not s3://bucket/path")
        self.prefix = prefix.rstrip("/")
        self.options = options
        self.s3 = s3
        self.bucket = Bucket(name, s3)
        self.memory = Memory(s3.upload_memory)
        self.is_usable = False  # until the store was seen to do what the archive depends on
        self.lists_restores: bool | None = None  # None until it was seen whether lists tell of restored copies
        self._place = f"{SCHEME}{name}/"

    def key(self, filepath: str) -> str:
        """Return the key of the object *filepath*, ``s3://bucket/key``."""
        return filepath.removeprefix(self._place)

    def filepath(self, key: str) -> str:
        """Return the whole path of the object *key*. The inverse of `key`."""
        return f"{self._place}{key}"

    def describe(self, filepath: str) -> S3Status:
        """Return the status of the file. Raises MissingFileError."""
        return self.status_of(filepath, self.bucket.head(self.key(filepath)))

    def whereabouts(self, filepath: str) -> S3Status:
        """Return the status of the file without what only its notes say, by one call. Raises MissingFileError.

        The notes are read for the size if the store gives none.
        """
        answer = self.bucket.head(self.key(filepath))
        if not answer["ContentLength"]:
            return self.status_of(filepath, answer)
        kept = kept_in_metadata(answer.get("Metadata", {}))
        return S3Status.of(filepath, answer, kept, self.s3.archive_classes)

    def status_of(self, filepath: str, answer: Answer) -> S3Status:
        """Return the status of the file, of which the store gave the *answer* to HEAD or GET."""
        kept = kept_in_metadata(answer.get("Metadata", {}))
        status = S3Status.of(filepath, answer, kept, self.s3.archive_classes)
        if kept.is_complete:
            return status
        found = self.read_notes(filepath, status.notes_name)
        if found:
            status = S3Status.of(filepath, answer, _merged(kept, found), self.s3.archive_classes)
            status.has_notes = True
        return status

    def existing(self, filepath: str) -> S3Status | None:
        """Return the status of the file, None for nothing."""
        try:
            return self.describe(filepath)
        except MissingFileError:
            return None

    def has(self, filepath: str, token: str) -> bool:
        """Return whether the object *filepath* is the one with the *token*."""
        existing = self.existing(filepath)
        return existing is not None and existing.kept.token == token

    def notes_key(self, filepath: str, name: str = "") -> str:
        """Return the key of the file's notes *name*, or what the keys of all its notes begin with."""
        return self.key(f"{self.prefix}/{NOTES}/{filepath.removeprefix(f'{self.prefix}/')}/{name}")

    def read_notes(self, filepath: str, name: str) -> Kept | None:
        """Return what the notes *name* of the file say, None when there are none."""
        try:
            return kept_in_content(self.bucket.read(self.notes_key(filepath, name)))
        except MissingFileError:
            return None

    def write_notes(self, filepath: str, name: str, kept: Kept) -> None:
        """Store the notes *name* of the file."""
        self.bucket.put_notes(self.notes_key(filepath, name), kept.content())

    def remove_notes(self, filepath: str, name: str) -> None:
        """Remove the notes *name* of the file, if there are any."""
        self.bucket.delete(self.notes_key(filepath, name))

    def remove_old_notes(self, filepath: str, current: str = "") -> None:
        """Remove all notes of the file but those named *current*; new ones may belong to an upload in progress."""
        kept = self.notes_key(filepath, current)
        for page in self.bucket.pages("list_objects_v2", Prefix=self.notes_key(filepath)):
            for found in page.get("Contents", ()):
                age = time_of(page) - int(found["LastModified"].timestamp())
                if found["Key"] != kept and age >= self.s3.abandoned_seconds:
                    self.bucket.delete(found["Key"])


def _merged(kept: Kept, found: Kept) -> Kept:
    return found._replace(
        token=kept.token,
        mtime=found.mtime if kept.mtime is None else kept.mtime,
        size=found.size if kept.size is None else kept.size,
    )
