"""Giving a finished file its name in the archive, and undoing that when a later step fails."""

import errno
import fcntl
import logging
import os
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from ...exception import ArchiveInterfaceError
from ...globals import LOG_NAME
from ..abstract.precondition import Precondition
from ..abstract.replacing import may_replace
from ..abstract.status import NOTHING_REPLACED
from .notes import forget_sidecar
from .partial import Partial
from .store import Old, Store, entry
from .tree import split

if TYPE_CHECKING:
    from typing_extensions import Self

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)  # what link() says where a file can have one name only

_log = logging.getLogger(LOG_NAME)


class Placement:
    """A block in which a file gets its name; when the block fails, the file that had the name has it again.

    Where the file system has no hard links, the new file stays.
    """

    def __init__(self, store: Store, partial: Partial, path: str) -> None:
        """Let *partial* become *path* in *store*."""
        self._store = store
        self._partial = partial
        self._path = path
        self._directory, self._name = split(path)
        self._old: Old | None = None
        self.replaced = NOTHING_REPLACED
        self._kept = ""  # the second name of the old file
        self._is_taken = False
        self._open = ExitStack()

    def take(self, precondition: Precondition | None) -> None:
        """Take the name. Raises PreconditionError, FileExistsError when it may not replace a file."""
        replaces = may_replace(self._store.options, precondition)
        with self._store.tree.directory(self._directory, create=True) as parent, self._partial.exclusive():
            self._old = self._open.enter_context(self._store.admitted(precondition, parent, self._name, self._path))
            if self._old and replaces:
                self.replaced = self._store.replaced(self._old)
                self._keep(self._old, parent)
            self._partial.move_to(parent, self._name, replace=replaces)
            self._is_taken = True

    def __enter__(self) -> "Self":
        """Begin; nothing is changed yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Forget the old file, or put it back when the block failed."""
        with self._open:
            if self._is_taken and kind is not None:
                self._revoke()
            if self._kept:
                self._partial.forget(self._kept)
            if self._is_taken and kind is None and self._old and self._old.found.st_nlink == 1:
                forget_sidecar(self._store.tree, self._old.found)

    def _keep(self, old: Old, parent: int) -> None:
        try:
            self._kept = self._partial.keep(parent, self._name)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        if old.fd is not None:
            with suppress(OSError):  # so that no sweep takes it for a left-over
                fcntl.flock(old.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _revoke(self) -> None:
        tree = self._store.tree
        try:
            with tree.directory(self._directory) as parent, self._partial.exclusive():
                if not self._has_name(parent):
                    return
                if self._kept:
                    self._partial.put_back(self._kept, parent, self._name)
                    self._kept = ""
                elif not self._old:
                    os.unlink(self._name, dir_fd=parent)
            self._store.durability.sync_names(tree, [self._directory])
        except (OSError, ArchiveInterfaceError) as error:
            _log.error("%s: the request failed, and the old file could not be put back: %s", self._path, error)

    def _has_name(self, parent: int) -> bool:
        """Return whether the name is still this file's; another request may have replaced or removed it."""
        found = entry(parent, self._name)
        return found is not None and os.path.samestat(found, os.fstat(self._partial.fd))
