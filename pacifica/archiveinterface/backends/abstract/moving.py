"""Where a file may be moved from."""

import os
import stat
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from ...exception import ConfigurationError, ForbiddenPathError, RequestError


class MoveSource(NamedTuple):
    """A file that is to be moved: its id if it is one of the archive, and its size in bytes if that can be told."""

    file_id: str | None
    size: int | None


def local_size(path: str, roots: Iterable[str]) -> int | None:
    """Return the size of the file at *path*, None unless it is a file of this host that is below one of *roots*."""
    real = os.path.realpath(path)
    if "\0" in path or not any(real.startswith(f"{os.path.realpath(root).rstrip('/')}/") for root in roots):
        return None
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def allowed_place(
    path: str, roots: Iterable[str], closed: Collection[str], encode: Callable[[str], bytes] = os.fsencode
) -> tuple[str, str]:
    """Return the first of *roots* that *path* lies below, and the path from there.

    *closed* are names of directories that nothing may be moved from; *encode* returns what the storage makes of
    a path. Raises RequestError unless *path* is absolute, ForbiddenPathError.
    """
    if not path.startswith("/") or "\0" in path or not _is_encodable(path, encode):
        raise RequestError("path is not an absolute path")
    names = _names(path)
    if {"..", *closed} & set(names):
        raise ForbiddenPathError("path leads out of the places that files may be moved from")
    tidy = "/" + "/".join(names)
    for root in roots:
        start = f"{root.rstrip('/')}/"
        if tidy.startswith(start):
            return root, tidy[len(start) :]
    raise ForbiddenPathError("path lies outside the places that files may be moved from")


def path_below(prefix: str, path: str) -> str | None:
    """Return where *path* is below *prefix*, a directory or a URL; None if it is elsewhere, by its names alone."""
    start, names = _names(prefix), _names(path)
    if ".." in names:  # which `allowed_place` refuses
        return None
    return "/".join(names[len(start) :]) if len(names) > len(start) and names[: len(start)] == start else None


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def require_directories(roots: Iterable[str]) -> None:
    """Raise ConfigurationError unless all *roots*, those of ``move_roots``, are directories of this host."""
    for root in roots:
        if not os.path.isdir(root):
            raise ConfigurationError(f"[archive] move_roots: {root!r} is not a directory")


def _is_encodable(path: str, encode: Callable[[str], bytes]) -> bool:
    try:
        encode(path)
    except UnicodeEncodeError:
        return False
    return True
