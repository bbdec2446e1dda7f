"""Open files of a SAM-QFS file system: POSIX ones that are told apart when they are on tape."""

import os
from collections.abc import Callable

from ...exception import BeingStagedError, translated_os_errors
from ..abstract.file import Reader, Writer
from ..abstract.precondition import Precondition
from ..abstract.status import AbstractStatus
from ..posix.extendedfile import PosixWriter, open_stored
from ..posix.store import Store
from ..posix.tree import Tree
from .status import HsmSidebandStatus


class SamQfsTree(Tree):
    """Directories on a SAM-QFS mount."""

    # They are not archived with the file, and blocks of their own would hide that the file has none.
    has_attributes = False

    def is_at_hand(self, found: os.stat_result) -> bool:
        """Return whether the file of which stat said *found* has blocks on disk."""
        return found.st_blocks > 0 or found.st_size == 0


class SamQfsStore(Store):
    """Files on a SAM-QFS mount; their status goes by the blocks alone: no precondition or ETag needs more."""

    tree_type = SamQfsTree
    status_type = HsmSidebandStatus


class _StoreOfOneFile(SamQfsStore):
    """A file that has another path on the SAM-QFS server."""

    def __init__(self, root: str, sam_qfs_path: str) -> None:
        super().__init__(root)
        self._sam_qfs_path = sam_qfs_path

    def filepath(self, path: str) -> str:
        return self._sam_qfs_path


def extended_hsmsideband_factory(filepath: str, mode: str, sam_qfs_path: str) -> Reader | Writer:
    """Return the file at the absolute path *filepath* open to read (``r``) or to replace (``w``).

    Its status tells where its bytes are, going by the blocks on disk, and names it *sam_qfs_path*.
    Reading a file that is on tape waits for the tape. Raises MissingFileError, ForbiddenPathError,
    ValueError for another *mode*.
    """
    with translated_os_errors():
        store = _StoreOfOneFile(os.path.dirname(filepath), sam_qfs_path)
    return open_stored(store, os.path.basename(filepath), mode)


class HsmSidebandWriter(PosixWriter):
    """A file being written; it never waits for a tape."""

    def __init__(
        self,
        store: Store,
        path: str,
        length: int | None,
        precondition: Precondition | None,
        recall: Callable[[], object],
    ) -> None:
        """Start to write as PosixWriter does; *recall* brings the stored file back if it has to be read."""
        super().__init__(store, path, length, precondition)
        self._recall = recall

    def _equal_stored_file(self) -> AbstractStatus:
        stored = self._store.stored_status(self._path)
        if stored and stored.file_storage_media != "disk":
            self._recall()
            raise BeingStagedError("the stored file is being staged from tape to be compared, try again later")
        return super()._equal_stored_file()
