"""Open files of a SAM-QFS file system: POSIX ones that are told apart when they are on tape."""

import os
from collections.abc import Callable

from ...exception import BeingStagedError, translated_os_errors
from ..abstract.archive import ExtendedFile, Guard
from ..abstract.status import AbstractStatus
from ..posix.extendedfile import Describe, PosixReader, PosixWriter, stored_status
from ..posix.tree import Tree
from .status import HsmSidebandStatus


def extended_hsmsideband_factory(filepath: str, mode: str, sam_qfs_path: str) -> ExtendedFile:
    """Return the file at the absolute path *filepath* open to read (``r``) or to replace (``w``).

    Its status tells where its bytes are, going by the blocks on disk, and names it *sam_qfs_path*.
    Reading a file that is on tape waits for the tape. Raises MissingFileError, ForbiddenPathError.
    """

    def describe(found: os.stat_result, _: str) -> AbstractStatus:
        return HsmSidebandStatus.of(found, sam_qfs_path)

    with translated_os_errors():
        tree = Tree(os.path.dirname(filepath))
    name = os.path.basename(filepath)
    return PosixReader(tree, name, describe) if mode == "r" else PosixWriter(tree, name, describe)


class HsmSidebandWriter(PosixWriter):
    """A file being written; it never waits for a tape."""

    def __init__(
        self,
        tree: Tree,
        path: str,
        describe: Describe,
        *,
        length: int | None,
        guard: Guard | None,
        replace: bool,
        recall: Callable[[], object],
    ) -> None:
        """Start to write as PosixWriter does; *recall* brings the stored file back if it has to be read."""
        super().__init__(tree, path, describe, length=length, guard=guard, replace=replace)
        self._recall = recall

    def _equal_stored_file(self) -> AbstractStatus:
        stored = stored_status(self._tree, self._path, self._describe)
        if stored and stored.file_storage_media != "disk":
            self._recall()
            raise BeingStagedError("the stored file is being staged from tape to be compared, try again later")
        return super()._equal_stored_file()
