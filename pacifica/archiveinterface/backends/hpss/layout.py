"""The layout of files in HPSS: a tree. Files that other programs have stored under plain ids are converted.

The marker is the name of an empty directory below ``.layout``: no file, which HPSS might migrate, has to be read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from ...exception import ConflictError, MissingFileError, translated_os_errors
from ..abstract.layout import LAYOUT, LayoutKeeper, is_directory_of_tree
from .listing import children
from .places import in_directory, mode_of
from .store import Store

_MODE = 0o755
_LOOKED_AT, _ENTERED, _SAMPLE = 200, 2, 500  # names and directories of each directory, files


class HpssLayoutKeeper(LayoutKeeper):
    """Keeps the marker of the files below a directory of HPSS, and moves them by renaming."""

    def __init__(self, store: Store) -> None:
        """Keep the files of *store*; HPSS is not called yet."""
        self._store, self._prefix = store, store.prefix

    def marker(self) -> str:
        """Return the marker."""
        try:
            with translated_os_errors():
                return " and ".join(sorted(self._store.call(self._store.client.listdir, f"{self._prefix}/{LAYOUT}")))
        except MissingFileError:
            return ""

    def set_marker(self, marker: str, instead_of: str) -> None:
        """Set the marker if it is still *instead_of*. Raises ConflictError."""
        self._require_marker(instead_of)
        target = f"{self._prefix}/{LAYOUT}/{marker}"
        with translated_os_errors(), suppress(FileExistsError, FileNotFoundError):  # it has just been changed
            if instead_of:
                self._store.rename(f"{self._prefix}/{LAYOUT}/{instead_of}", target)
            else:
                make = partial(self._store.call, self._store.client.mkdir, target, _MODE)
                in_directory(self._store.session, self._prefix, target, make)
        self._require_marker(marker)

    def _require_marker(self, marker: str) -> None:
        if self.marker() != marker:
            raise ConflictError("another process has changed the layout of the archive")

    def sample(self) -> Iterator[str]:
        """Return paths of some of the files; the first directories of each level are entered."""
        with translated_os_errors():
            return iter(list(islice(self._files(""), _SAMPLE)))

    def _files(self, directory: str) -> Iterator[str]:
        directories = []
        for name, is_directory in islice(children(self._store.session, self._prefix, directory, ""), _LOOKED_AT):
            path = os.path.join(directory, name)
            if not is_directory:
                yield path
            elif is_directory_of_tree(name):
                directories.append(path)
        for path in directories[:_ENTERED]:
            yield from self._files(path)

    def require_absent(self, path: str) -> None:
        """Raise ConflictError when anything has the *path*."""
        with translated_os_errors():
            self._require_absent(path)

    def _require_absent(self, path: str) -> None:
        client = self._store.client
        try:
            found = self._store.call(client.lstat, f"{self._prefix}/{path}")
        except client.HPSSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return
        kind = "a directory" if stat.S_ISDIR(found["mode"]) else "there already"
        raise ConflictError(f"{path} is {kind}")

    def move(self, old: str, new: str) -> None:
        """Rename the file at *old*. Attributes belong to the file. Raises ConflictError when anything is at *new*."""
        source, target = f"{self._prefix}/{old}", f"{self._prefix}/{new}"
        with translated_os_errors(), self._store.session.lock_for(target):
            mode_of(self._store.session, source, self._prefix)
            self._require_absent(new)
            self._store.rename(source, target)
