"""Directories of HPSS: making those that are missing, and following a path without links."""

import errno
import stat
from collections.abc import Callable
from typing import TypeVar

from ...exception import ForbiddenPathError, NotARegularFileError, StorageError
from .calls.session import Session

T = TypeVar("T")

PARTIAL = ".partial"  # below the prefix: uploads, and removed files that are still being read
_DIRECTORY_MODE = 0o755


def in_directory(session: Session, prefix: str, path: str, action: Callable[[], T]) -> T:
    """Return what *action* returns, once the directories of *path*, below *prefix*, that it needs are there."""
    try:
        return action()
    except session.client.HPSSError as error:
        if error.errno != errno.ENOENT:
            raise
    _make_directories(session, prefix, path)
    return action()


def _make_directories(session: Session, prefix: str, path: str) -> None:
    directory = prefix
    for name in path.removeprefix(f"{prefix}/").split("/")[:-1]:
        directory += f"/{name}"
        try:
            _make_directory(session, directory)
        except session.client.HPSSError as error:
            if error.errno == errno.ENOENT:
                raise StorageError("the archive's prefix is not there") from error
            if error.errno != errno.EEXIST:  # another request made it just now
                raise


def _make_directory(session: Session, path: str) -> None:
    session.call(lambda: session.client.mkdir(path, _DIRECTORY_MODE))


def mode_of(session: Session, path: str, place: str) -> int:
    """Return the permissions of the file at *path*, to which no symbolic link below *place* may lead."""
    names, mode = path.removeprefix(f"{place}/").split("/"), 0
    for depth in range(1, len(names) + 1):
        mode = _mode_of_name(session, "/".join((place, *names[:depth])))
        if stat.S_ISLNK(mode):
            raise ForbiddenPathError("the path leads through a symbolic link")
    if not stat.S_ISREG(mode):
        raise NotARegularFileError("this is not a regular file")
    return stat.S_IMODE(mode)


def _mode_of_name(session: Session, path: str) -> int:
    return int(session.call(lambda: session.client.lstat(path))["mode"])
