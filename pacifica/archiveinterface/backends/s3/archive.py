"""The archive in a bucket of an S3 store."""

import logging
from collections.abc import Callable, Iterator, Mapping

from ...exception import BackendUnavailableError, ConfigurationError
from ...globals import LOG_NAME
from ..abstract.archive import AbstractBackendArchive, Entry
from ..abstract.options import ArchiveOptions
from ..abstract.recalls import RecallTraits
from .file import S3File
from .listing import entries, sweep
from .options import S3Options
from .probing import require_usable
from .store import SCHEME, Store

_log = logging.getLogger(LOG_NAME)


class S3BackendArchive(AbstractBackendArchive):
    """Files as objects below ``s3://bucket/path``; objects in an archive class are on tape until they are restored."""

    name = "s3"
    section = "s3"
    options_type = S3Options
    has_presigned_urls = True
    recall_traits = RecallTraits(tells_state=True)

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: S3Options | None = None
    ) -> None:
        """Represent the archive; the store is not asked yet. Raises ConfigurationError."""
        super().__init__(prefix, archive_options)
        if self.archive_options.reserve_bytes:
            raise ConfigurationError("[archive] reserve_bytes: an S3 store does not tell how much space is left")
        if self.archive_options.offline_read == "wait":
            raise ConfigurationError("[archive] offline_read = wait: a restore in S3 takes minutes to days")
        self._store = Store(self.prefix, self.archive_options, options or S3Options())

    @classmethod
    def prefix_in(cls, options: S3Options) -> str:
        """Return ``s3://bucket/path`` of the options bucket and prefix."""
        return f"{SCHEME}{options.bucket}/{options.prefix}".rstrip("/") if options.bucket else ""

    def file(self, file_id: str) -> S3File:
        """Return the file *file_id*. Raises FileIdError."""
        return S3File(self._store, self.path_of(file_id))

    def checks(self) -> Mapping[str, Callable[[], object]]:
        """Return the check of the bucket."""
        return {"backend": self._store.bucket.require}

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every object below the prefix whose path comes after *after*, in the order of their keys."""
        for path, is_partial in entries(self._store, after):
            yield Entry(path, None if is_partial else self.id_of(path), is_partial)

    def sweep(self) -> None:
        """Check the store, and remove uploads whose process ended. Raises ConfigurationError."""
        try:
            require_usable(self._store)
            sweep(self._store)
        except BackendUnavailableError as error:
            _log.warning(
                "%s: the store does not answer, it will be checked before the first upload: %s", self.prefix, error
            )
