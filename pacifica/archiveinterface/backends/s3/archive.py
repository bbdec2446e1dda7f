"""The archive in a bucket of an S3 store."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from ...exception import ArchiveInterfaceError, BackendUnavailableError, ConfigurationError, StorageError
from ...globals import LOG_NAME
from ..abstract.archive import AbstractBackendArchive, Entry, outcome_of
from ..abstract.file import ArchiveFile
from ..abstract.moving import local_size, require_directories
from ..abstract.options import ArchiveOptions
from ..abstract.recalls import RecallTraits
from ..abstract.residency import Residency
from .calls.client import require_client
from .calls.errors import reason_of
from .file import S3File
from .layout import S3LayoutKeeper
from .listing import entries, sweep
from .options import S3Options
from .probing import require_usable
from .store import SCHEME, Store
from .tape.polling import outcomes_of, residencies_of

_SLOWEST_RESTORE = 3 * 86400.0  # seconds; Bulk from DEEP_ARCHIVE takes up to two days

_log = logging.getLogger(LOG_NAME)


class S3BackendArchive(AbstractBackendArchive):
    """Files as objects below ``s3://bucket/path``; objects in an archive class are on tape until they are restored."""

    name = "s3"
    section = "s3"
    options_type = S3Options
    has_presigned_urls = True

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: S3Options | None = None
    ) -> None:
        """Represent the archive; the store is not asked yet. Raises ConfigurationError."""
        super().__init__(prefix, archive_options)
        if self.archive_options.reserve_bytes:
            raise ConfigurationError("[archive] reserve_bytes: an S3 store does not tell how much space is left")
        if self.archive_options.offline_read == "wait":
            raise ConfigurationError("[archive] offline_read = wait: a restore in S3 takes minutes to days")
        require_client(options or S3Options())
        self._store = Store(self.prefix, self.archive_options, options or S3Options())
        self.layout_keeper = S3LayoutKeeper(self._store)
        has_end = self._store.s3.restore_days > 0
        self.recall_traits = RecallTraits(pins=has_end, tells_state=True, slowest_seconds=_SLOWEST_RESTORE)

    @classmethod
    def prefix_in(cls, options: S3Options) -> str:
        """Return ``s3://bucket/path`` of the options bucket and prefix."""
        return f"{SCHEME}{options.bucket}/{options.prefix}".rstrip("/") if options.bucket else ""

    def size_at(self, old_path: str) -> int | None:
        """Return the size of the local file at *old_path*, None for an object."""
        return None if old_path.startswith(SCHEME) else local_size(old_path, self.archive_options.move_roots)

    def file(self, file_id: str) -> S3File:
        """Return the file *file_id*. Raises FileIdError."""
        return S3File(self._store, self.path_of(file_id))

    def checks(self) -> Mapping[str, Callable[[], object]]:
        """Return the check of the bucket."""
        return {"backend": self._store.bucket.require}

    def residencies(self, file_ids: Iterable[str]) -> dict[str, Residency | ArchiveInterfaceError]:
        """Return where the bytes of each of *file_ids* are; those of one directory are asked for by one call."""
        filepaths = {file_id: outcome_of(partial(self._filepath_of, file_id)) for file_id in file_ids}
        found = residencies_of(self._store, [path for path in filepaths.values() if isinstance(path, str)])
        return {file_id: found[path] if isinstance(path, str) else path for file_id, path in filepaths.items()}

    def submit_recalls(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Ask for a copy of each of *file_ids* that cannot be read and is not being restored, several at a time."""
        found = self.residencies(file_ids)
        offline = [file_id for file_id, answer in found.items() if _is_to_restore(answer)]
        refused = {file_id: answer for file_id, answer in found.items() if isinstance(answer, ArchiveInterfaceError)}
        return {**dict.fromkeys(found), **refused, **super().submit_recalls(offline)}

    def _filepath_of(self, file_id: str) -> str:
        return self.file(file_id).filepath

    def _done_to(
        self, file_ids: Iterable[str], action: Callable[[ArchiveFile], object]
    ) -> dict[str, ArchiveInterfaceError | None]:
        answers = outcomes_of(self._store, lambda file_id: action(self.file(file_id)), list(file_ids))
        return {
            file_id: answer if isinstance(answer, ArchiveInterfaceError) else None
            for file_id, answer in answers.items()
        }

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every object below the prefix whose path comes after *after*, in the order of their keys."""
        for path, is_partial in entries(self._store, after):
            yield Entry(path, None if is_partial else self.id_of(path), is_partial)

    def require_usable(self) -> None:
        """Raise ConfigurationError unless the store does what the archive depends on and ``move_roots`` are there."""
        require_directories(self.archive_options.move_roots)
        try:
            require_usable(self._store)
        except BackendUnavailableError as error:
            _log.warning(
                "%s: the store does not answer, it will be checked before the first upload: %s", self.prefix, error
            )

    def sweep(self) -> None:
        """Remove uploads whose process ended."""
        try:
            sweep(self._store)
        except (BackendUnavailableError, StorageError) as error:
            _log.warning("%s: abandoned uploads are not all removed: %s", self.prefix, reason_of(error))


def _is_to_restore(answer: Residency | ArchiveInterfaceError) -> bool:
    return isinstance(answer, Residency) and not answer.is_online and not answer.recall.is_under_way
