"""The archive in IBM HPSS."""

from collections.abc import Iterator
from functools import partial

from ...exception import ConfigurationError, translated_os_errors
from ..abstract.archive import AbstractBackendArchive, Entry, absolute_prefix
from ..abstract.naming import path_of_id
from ..abstract.options import ArchiveOptions
from ..abstract.recalls import RecallTraits
from ..abstract.walking import files_below
from .file import HpssFile
from .listing import children, stale_files
from .options import HpssOptions
from .places import PARTIAL
from .store import Store

path_info_munge = path_of_id


class HpssBackendArchive(AbstractBackendArchive):
    """Files below a directory of HPSS; uploads grow in ``.partial`` and are renamed into place."""

    section = "hpss"
    recall_traits = RecallTraits(releases=True, tells_state=True)
    options_type = HpssOptions

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: HpssOptions | None = None
    ) -> None:
        """Load the client library; the login comes with the first request of each process."""
        super().__init__(absolute_prefix(prefix), archive_options)
        if self.archive_options.reserve_bytes:
            raise ConfigurationError(
                "[archive] reserve_bytes: HPSS does not support it; its classes of service have limits of their own"
            )
        self._store = Store(self.prefix, self.archive_options, options or HpssOptions())

    def file(self, file_id: str) -> HpssFile:
        """Return the file *file_id*. Raises FileIdError."""
        return HpssFile(self._store, self.path_of(file_id))

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file below the prefix whose path comes after *after*, by the names along their paths.

        An upload counts as never finished when nothing was written to it for a day: HPSS does not tell who writes it.
        """
        session = self._store.session
        with translated_os_errors():
            for name in stale_files(session, f"{self.prefix}/{PARTIAL}"):
                yield Entry(f"{PARTIAL}/{name}", None, is_partial=True)
            for path in files_below(partial(children, session, self.prefix), after=after.split("/")):
                if path.split("/")[0] != PARTIAL:
                    yield Entry(path, self.id_of(path))
