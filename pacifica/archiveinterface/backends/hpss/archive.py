"""The archive in IBM HPSS."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from ...exception import ArchiveInterfaceError, ConfigurationError, translated_os_errors
from ..abstract.archive import AbstractBackendArchive, Entry, absolute_prefix
from ..abstract.layout import LAYOUT
from ..abstract.moving import allowed_place
from ..abstract.naming import path_of_id
from ..abstract.options import ArchiveOptions
from ..abstract.recalls import RecallTraits
from ..abstract.residency import RecallState, Residency
from ..abstract.walking import files_below
from .file import HpssFile
from .layout import HpssLayoutKeeper
from .listing import children, stale_files
from .options import HpssOptions
from .places import PARTIAL
from .status import TAPE, HpssStatus
from .store import Store

path_info_munge = path_of_id


class HpssBackendArchive(AbstractBackendArchive):
    """Files below a directory of HPSS; uploads grow in ``.partial`` and are renamed into place."""

    name = "hpss"
    section = "hpss"
    options_type = HpssOptions
    is_shared_by_forks = False

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
        self.layout_keeper = HpssLayoutKeeper(self._store)
        self.recall_traits = RecallTraits(batch=self._store.recalls.batch, releases=True, tells_state=True)

    def file(self, file_id: str) -> HpssFile:
        """Return the file *file_id*. Raises FileIdError."""
        return HpssFile(self._store, self.path_of(file_id))

    def size_at(self, old_path: str) -> int:
        """Return the size of the file at *old_path*. Raises ForbiddenPathError, MissingFileError."""
        roots = (self.prefix, *self.archive_options.move_roots)
        root, path = allowed_place(old_path, roots, (PARTIAL, LAYOUT), str.encode)
        with translated_os_errors():
            return self._store.locate(f"{root.rstrip('/')}/{path}").filesize

    def residencies(self, file_ids: Iterable[str]) -> dict[str, Residency | ArchiveInterfaceError]:
        """Return where the bytes of each of *file_ids* are, or why that cannot be told."""
        located = self._located(file_ids)
        states = self._store.recalls.states(_on_tape(located))
        # Such a recall may have ended since the file was looked for, and the file be on disk.
        located.update(self._located(_not_under_way(located, states)))

        def residency(found: HpssStatus | ArchiveInterfaceError) -> Residency | ArchiveInterfaceError:
            if isinstance(found, ArchiveInterfaceError):
                return found
            state = states[found.filepath] if found.file_storage_media == TAPE else RecallState.NONE
            return state if isinstance(state, ArchiveInterfaceError) else replace(found.residency, recall=state)

        return {file_id: residency(found) for file_id, found in located.items()}

    def submit_recalls(self, file_ids: Iterable[str]) -> dict[str, ArchiveInterfaceError | None]:
        """Ask for the recall of each of *file_ids*, in the order of the tapes; return None, or why not."""
        located = self._located(file_ids)
        outcomes = self._store.recalls.submit(_on_tape(located))
        return {
            file_id: outcomes.get(found.filepath) if isinstance(found, HpssStatus) else found
            for file_id, found in located.items()
        }

    def _located(self, file_ids: Iterable[str]) -> dict[str, HpssStatus | ArchiveInterfaceError]:
        return self._store.session.at_once(lambda file_id: self.file(file_id).located(), dict.fromkeys(file_ids))

    def checks(self) -> Mapping[str, Callable[[], object]]:
        """Return the check of the core server."""
        return {"backend": self._store.require_prompt_server}

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


def _not_under_way(
    located: dict[str, HpssStatus | ArchiveInterfaceError], states: dict[str, RecallState | ArchiveInterfaceError]
) -> list[str]:
    return [
        file_id
        for file_id, found in located.items()
        if isinstance(found, HpssStatus) and states.get(found.filepath) is RecallState.NONE
    ]


def _on_tape(located: dict[str, HpssStatus | ArchiveInterfaceError]) -> list[HpssStatus]:
    return [found for found in located.values() if isinstance(found, HpssStatus) and found.file_storage_media == TAPE]
